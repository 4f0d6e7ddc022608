package main

import (
	"errors"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
)

type ticketCmd struct {
	where
	Title    string   `required:"" help:"In a few words: what is not working?"`
	Email    string   `required:"" help:"Where answers go."`
	Name     string   `help:"Your name."`
	Phone    string   `help:"Your telephone number."`
	Text     string   `help:"What did you want to do? What happened instead? Since when?"`
	Severity string   `help:"critical, high, medium or low." enum:",critical,high,medium,low" default:""`
	Attach   []string `help:"A file to send with it; may be given several times." placeholder:"FILE" sep:"none"`
	JSON     bool     `help:"Print JSON."`
}

// sendWithin is how long the command waits for the server's number.
const sendWithin = 5 * time.Second

func (c *ticketCmd) Run(a *app) error {
	f, err := c.file(a)
	if err != nil {
		// Neither sent nor kept, whatever it was.
		f = localapi.Filed{State: localapi.FiledRefused, Reason: a.sentence(err)}
		var p api.Problem
		if errors.As(err, &p) {
			f.Code = p.Code
		}
	}
	if c.JSON {
		if err := a.asJSON(f); err != nil {
			return err
		}
	} else {
		switch f.State {
		case localapi.FiledSent:
			a.print("agent.filed.sent", "Number", f.Number)
			if f.FilesPending > 0 {
				a.print("agent.filed.files", "Count", f.FilesPending)
			}
		case localapi.FiledKept:
			a.print("agent.filed.kept")
		default:
			a.print("agent.filed.refused", "Reason", f.Reason)
		}
	}
	switch {
	case errors.Is(err, localapi.ErrNotRunning):
		return silent{exitNotRunning}
	case f.State == localapi.FiledRefused:
		return silent{exitFailed}
	}
	return nil
}

// file hands over the attachments, then the ticket. The service never opens a path of ours.
func (c *ticketCmd) file(a *app) (localapi.Filed, error) {
	cl, err := c.dial(a)
	if err != nil {
		return localapi.Filed{}, err
	}
	id := api.NewID(time.Now())
	for i, p := range c.Attach {
		if err := put(a, cl, id, i, p); err != nil {
			return localapi.Filed{}, err
		}
	}
	return cl.File(a.ctx, localapi.Ticket{
		ID: id, Title: c.Title, Text: c.Text, Email: c.Email, Name: c.Name, Phone: c.Phone,
		Severity: api.Severity(c.Severity), Language: a.say.Language(), Files: len(c.Attach),
	}, sendWithin)
}

func put(a *app, cl *localapi.Client, id string, index int, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", a.say.T("agent.filed.attach"), err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.IsDir() {
		return fmt.Errorf("%s: %s", a.say.T("agent.filed.attach"), path)
	}
	return cl.PutFile(a.ctx, id, index, filepath.Base(path), mime.TypeByExtension(filepath.Ext(path)), f)
}

type ticketsCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *ticketsCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	ts, err := cl.Tickets(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(ts)
	}
	if len(ts) == 0 {
		a.print("agent.tickets.none")
		return nil
	}
	var rows [][]string
	for _, t := range ts {
		state := a.say.T("agent.tickets." + t.State)
		if t.State == localapi.FiledSent && t.Status != "" {
			if id := "word.status." + t.Status; a.say.T(id) != id {
				state = a.say.T(id)
			}
		}
		if t.Reason != "" {
			state += ": " + t.Reason
		}
		rows = append(rows, []string{clock(t.MadeAt), number(t.Number), state, t.Title})
	}
	a.table(rows)
	return nil
}
