package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

type login struct {
	Server    string `help:"Address of the server." required:"" placeholder:"https://HOST:PORT" env:"TRAYBELL_SERVER"`
	TokenFile string `help:"File with the API token; - reads standard input." required:"" placeholder:"FILE|-" env:"TRAYBELL_TOKEN_FILE"`
	Pin       string `help:"Certificate that must be in the server's chain: sha256:HEX, or first for the one it shows now. Without it the system's certificates decide." placeholder:"sha256:HEX|first" env:"TRAYBELL_PIN"`
}

// Run implements the command.
func (l *login) Run(ctx context.Context, p *program) error {
	server, err := parseServer(l.Server)
	if err != nil {
		return err
	}
	token, err := readToken(l.TokenFile)
	if err != nil {
		return err
	}
	c := config{Server: server, Token: token}
	switch l.Pin {
	case "":
	case "first":
		if c.Pin, err = firstPin(ctx, server); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, p.say.T("cli.pinned", "Pin", "sha256:"+c.Pin))
	default:
		if c.Pin, err = parsePin(l.Pin); err != nil {
			return err
		}
	}
	// one request, so that a wrong token is told now
	if err := newClient(c, p.say).call(ctx, http.MethodGet, "/devices?limit=1", nil, nil); err != nil {
		return err
	}
	path, err := p.save(c)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, p.say.T("cli.logged_in", "Server", server, "File", path))
	return nil
}

type devices struct {
	Query string `arg:"" optional:"" help:"Part of a name, host name or user name."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Run implements the command.
func (d *devices) Run(ctx context.Context, p *program) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	raws, err := pages(ctx, c, "/devices?limit=1000&query="+url.QueryEscape(d.Query), "devices", 0)
	if err != nil {
		return err
	}
	if d.JSON {
		return printJSON(os.Stdout, "devices", raws)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row(w, p.say.T("cli.col.name"), p.say.T("cli.col.state"), p.say.T("cli.col.user"), p.say.T("cli.col.os"), p.say.T("cli.col.organization"), "ID")
	for _, raw := range raws {
		var d device
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		state := p.say.T("cli.offline")
		if d.Online {
			state = p.say.T("cli.online")
		}
		var users []string
		for _, u := range d.Facts.Users {
			users = append(users, u.Name)
		}
		row(w, d.Name, state, strings.Join(users, ", "), d.Facts.OSName, d.Organization, d.ID)
	}
	return w.Flush()
}

type sessions struct {
	All   bool `help:"Those that are over, too."`
	Limit int  `help:"How many." default:"50"`
	JSON  bool `name:"json" help:"Print JSON."`
}

// Run implements the command.
func (s *sessions) Run(ctx context.Context, p *program) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/sessions?limit=%d", max(1, min(s.Limit, 200)))
	if !s.All {
		path += "&live=true"
	}
	raws, err := pages(ctx, c, path, "sessions", s.Limit)
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(os.Stdout, "sessions", raws)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	row(w, p.say.T("cli.col.from"), p.say.T("cli.col.to"), p.say.T("cli.col.device"), p.say.T("cli.col.ticket"), p.say.T("cli.col.technician"), p.say.T("cli.col.user"), p.say.T("cli.col.state"), p.say.T("cli.col.used"))
	for _, raw := range raws {
		var s session
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		state := s.State
		if s.Reason != "" {
			state += " (" + s.Reason + ")"
		}
		row(w, clock(s.AskedAt), clock(s.EndedAt), s.DeviceName, fmt.Sprintf("#%d", s.TicketNumber), s.Name, s.User, state, strings.Join(s.Used, ", "))
	}
	return w.Flush()
}

func clock(micros int64) string {
	if micros == 0 {
		return "-"
	}
	return time.UnixMicro(micros).Local().Format("2006-01-02 15:04:05")
}

// client is for commands that need a login.
func (p *program) client() (*client, error) {
	c, err := p.load()
	if err != nil {
		return nil, err
	}
	return newClient(c, p.say), nil
}

// pages collects a list from all its pages, at most limit entries (0: all).
func pages(ctx context.Context, c *client, path, field string, limit int) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for next := ""; ; {
		at := path
		if next != "" {
			at += "&cursor=" + url.QueryEscape(next)
		}
		var page map[string]json.RawMessage
		if err := c.call(ctx, http.MethodGet, at, nil, &page); err != nil {
			return nil, err
		}
		var list []json.RawMessage
		if err := json.Unmarshal(page[field], &list); err != nil {
			return nil, fmt.Errorf("read the list of %s: %w", field, err)
		}
		all = append(all, list...)
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		next = ""
		if err := json.Unmarshal(page["next"], &next); err != nil || next == "" || len(list) == 0 {
			return all, nil
		}
	}
}

func printJSON(w io.Writer, field string, list []json.RawMessage) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{field: list})
}

// row prints one line of a table. Cells come from the server: no control characters.
func row(w io.Writer, cells ...string) {
	for i, c := range cells {
		if cells[i] = strings.ReplaceAll(plain(c), "\n", " "); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}
