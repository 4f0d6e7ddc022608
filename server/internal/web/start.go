package web

import (
	"net/url"

	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/start"
)

// startView is the page of the first steps.
type startView struct {
	Steps []startStep
	Done  int
	All   bool
}

type startStep struct {
	Done               bool
	Heading, Text      string
	Href, Act          string
	Line               string // to be pasted
	LineID             string
	Current            bool
	DoneWord, OpenWord string
}

// started tells which of the six first steps are done.
func (s *Server) started(c *call) (done [6]bool, dismissed bool, err error) {
	f, err := s.o.Start.Steps(c.ctx, c.actor)
	u, perr := url.Parse(s.o.PublicURL)
	named := perr == nil && u.Hostname() != "localhost" && !deskmail.Loopback(u.Hostname())
	return [6]bool{named && s.o.Trusted, f.Mail, f.Organization, f.Device, f.Ticket, f.Session}, f.Dismissed, err
}

func (s *Server) start(c *call) error {
	done, _, err := s.started(c)
	if err != nil {
		return err
	}
	v := startView{}
	acts := [6]string{"", "/mail", "/organizations/new", "/devices/enrol", "/tickets/new", "/devices"}
	for i, name := range []string{"address", "mail", "organization", "device", "ticket", "session"} {
		st := startStep{Done: done[i], Heading: c.T("start." + name), Text: c.T("start." + name + ".text"), Href: acts[i], DoneWord: c.T("start.done"), OpenWord: c.T("start.open")}
		if st.Href != "" {
			st.Act = c.T("start." + name + ".act")
		}
		if name == "address" && st.Done {
			st.Text = c.T("start.address.text.done", "URL", s.o.PublicURL)
		} else if name == "address" {
			st.Line, st.LineID = "traybell-server serve --public-url https://HELP.EXAMPLE.COM --certificate CHAIN.PEM --certificate-key KEY.PEM", "address-line"
		}
		if st.Done {
			v.Done++
		} else if v.Done == i {
			st.Current = true
		}
		v.Steps = append(v.Steps, st)
	}
	v.All = v.Done == len(v.Steps)
	return c.show("start", c.page("start", c.T("start.title"), v))
}

func (s *Server) dismissStart(c *call) error {
	if err := s.o.Start.Dismiss(c.ctx, c.actor); err != nil {
		return err
	}
	return c.redirect("/tickets")
}

// starting reports whether the menu names the first steps.
func (c *call) starting() bool {
	if !start.Shown(c.actor) {
		return false
	}
	done, dismissed, err := c.s.started(c)
	return err == nil && !dismissed && done != [6]bool{true, true, true, true, true, true}
}
