package web

import (
	"errors"
	"net/http"

	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
)

// mailedView is a page behind a link in a mail about a ticket. Opening it changes nothing: a button decides.
type mailedView struct {
	Path    string
	Asks    bool // for the token
	Secret  string
	Error   string
	Ticket  deskticket.MailedTicket
	Heading string
	Text    string
	Status  mark
	Confirm bool // the page is about the address
	Typed   string
	Over    string // what was done, or why nothing can be
}

// mailed serves the pages behind the links in mails: purpose is what the link's token is for.
func (s *Server) mailed(purpose string) func(*call) error {
	path := "/" + purpose
	return func(c *call) error {
		v := mailedView{Path: path, Confirm: purpose == desk.TokenConfirm, Heading: c.T("mail." + purpose + ".heading")}
		if c.r.Method == http.MethodGet {
			v.Asks = true
			return c.show("mailed", c.page("", v.Heading, v))
		}
		v.Secret = clip(c.r.PostFormValue("token"), 100)
		show := func(status int) error { return c.showAs(status, "mailed", c.page("", v.Heading, v)) }
		k, err := s.o.Tickets.ByMail(c.ctx, purpose, v.Secret)
		if errors.Is(err, desk.ErrNotFound) {
			v.Asks, v.Error, v.Secret = true, c.T("mail.page.link.wrong"), ""
			return show(http.StatusUnprocessableEntity)
		}
		if err != nil {
			return err
		}
		v.Ticket = k
		v.Status = mark{string(k.Status), c.T("word.status." + string(k.Status))}
		v.Text = c.T("mail."+purpose+".text", "Number", k.Number, "Email", k.Email)
		switch step := c.r.PostFormValue("step"); {
		case step == "confirm" && v.Confirm:
			err = s.o.Tickets.ConfirmAddress(c.ctx, v.Secret, c.address())
			v.Over = c.T("mail.confirm.done", "Email", k.Email)
		case step == "close" && !v.Confirm:
			err = s.o.Tickets.CloseByMail(c.ctx, v.Secret, c.address())
			v.Over = c.T("mail.decide.closed", "Number", k.Number)
		case step == "broken" && !v.Confirm:
			v.Typed = c.r.PostFormValue("text")
			err = s.o.Tickets.BrokenByMail(c.ctx, v.Secret, v.Typed, c.address())
			v.Over = c.T("mail.decide.broken", "Number", k.Number)
		case v.Confirm && k.Done:
			v.Over = c.T("mail.confirm.done", "Email", k.Email)
		case !v.Confirm && !k.Closes && !k.Broken:
			v.Over = c.T("mail.decide.over", "Number", k.Number)
		}
		if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) {
			v.Over, v.Error = "", desk.Text(err, c.Language())
			return show(http.StatusUnprocessableEntity)
		}
		if err != nil {
			return err
		}
		return show(http.StatusOK)
	}
}
