package web

import (
	"strconv"
	"strings"
)

// heldView is the page of mails that wait for a person's decision.
type heldView struct {
	Mails []heldMail
}

type heldMail struct {
	ID, From, Subject, Why string
	At                     when
	Ticket                 int64
	Accept                 string // what accepting does
}

// heldReasons are the codes that the desk gives, in words.
var heldReasons = map[string]string{
	"unreadable": "unreadable", "automatic": "automatic", "no sender": "sender", "unverified": "unverified", "stranger": "stranger", "unknown sender": "unknown", "the organization has no tickets": "plan", "too large": "large",
}

func (s *Server) held(c *call) error {
	list, err := s.o.Tickets.Quarantine(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := heldView{}
	for _, m := range list {
		h := heldMail{ID: m.ID, From: m.From, Subject: m.Subject, At: c.when(m.At), Ticket: m.Ticket, Accept: c.T("mail.held.accept.new")}
		if m.Name != "" && m.Name != m.From {
			h.From = m.Name + " <" + m.From + ">"
		}
		if h.From == "" {
			h.From = c.T("mail.held.nobody")
		}
		if h.Subject == "" {
			h.Subject = c.T("mail.nosubject")
		}
		if m.Ticket != 0 {
			h.Accept = c.T("mail.held.accept.ticket", "Number", m.Ticket)
		}
		code, _, _ := strings.Cut(m.Why, ":")
		switch reason := heldReasons[code]; {
		case reason != "":
			h.Why = c.T("mail.held.why." + reason)
		case strings.HasPrefix(m.Why, "another address"):
			h.Why = c.T("mail.held.why.another")
		default:
			h.Why = m.Why
		}
		v.Mails = append(v.Mails, h)
	}
	return c.show("held", c.page("mail", c.T("mail.held"), v))
}

func (s *Server) acceptHeld(c *call) error {
	number, err := s.o.Tickets.AcceptMail(c.ctx, c.actor, c.r.PostFormValue("mail"))
	if err != nil {
		return err
	}
	if number == 0 {
		return c.redirect("/mail/held")
	}
	return c.redirect("/tickets/" + strconv.FormatInt(number, 10))
}

func (s *Server) discardHeld(c *call) error {
	if err := s.o.Tickets.DiscardMail(c.ctx, c.actor, c.r.PostFormValue("mail")); err != nil {
		return err
	}
	return c.redirect("/mail/held?done=mail.gone")
}
