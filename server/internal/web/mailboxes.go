package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
)

// mailboxesView is the page of the mailboxes from which mail is taken in.
type mailboxesView struct {
	Mailboxes       []mailboxView
	Error           string
	Host, Port      field
	Securities      []choice
	User, Password  field
	Folder, Trusted field
}

type mailboxView struct {
	ID, Name, Where string
	State           line
}

func (s *Server) mailboxes(c *call) error {
	return s.showMailboxes(c, http.StatusOK, deskmail.Mailbox{}, "")
}

func (s *Server) showMailboxes(c *call, status int, typed deskmail.Mailbox, problem string) error {
	list, states, err := s.o.Mails.Mailboxes(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := mailboxesView{Error: problem}
	for _, b := range list {
		m := mailboxView{ID: b.ID, Name: b.User, Where: b.Host + ":" + strconv.Itoa(b.Port) + " · " + b.Folder, State: line{Kind: "off", Icon: "i-clock", Text: c.T("mail.in.soon")}}
		if st, ok := states[b.ID]; ok {
			m.State = line{Kind: "good", Icon: "i-circle-check", Text: c.T("mail.in.good", "When", c.date(st.At))}
			if st.Error != "" {
				m.State = line{Kind: "warn", Icon: "i-alert-circle", Text: c.T("mail.in.bad", "When", c.date(st.At), "Why", st.Error)}
			}
		}
		v.Mailboxes = append(v.Mailboxes, m)
	}
	v.Host = field{Name: "host", Label: c.T("mail.page.host"), Hint: c.T("mail.in.host.hint"), Type: "text", Value: typed.Host, Max: 253, Required: true, Auto: "off"}
	v.Port = field{Name: "port", Label: c.T("mail.page.port"), Hint: c.T("mail.page.port.hint"), Type: "text", Max: 5, Auto: "off"}
	if typed.Port > 0 {
		v.Port.Value = strconv.Itoa(typed.Port)
	}
	for _, k := range []deskmail.Security{deskmail.TLS, deskmail.STARTTLS, deskmail.Plain} {
		v.Securities = append(v.Securities, choice{Code: string(k), Word: c.T("mail.in.security." + string(k)), Current: k == typed.Security})
	}
	v.User = field{Name: "user", Label: c.T("mail.page.user"), Type: "text", Value: typed.User, Max: 320, Required: true, Auto: "off"}
	v.Password = field{Name: "password", Label: c.T("web.password"), Type: "password", Max: 1000, Required: true, Auto: "off"}
	v.Folder = field{Name: "folder", Label: c.T("mail.in.folder"), Hint: c.T("mail.in.folder.hint"), Type: "text", Value: typed.Folder, Max: 200, Auto: "off"}
	v.Trusted = field{Name: "trusted", Label: c.T("mail.in.trusted"), Hint: c.T("mail.in.trusted.hint"), Type: "text", Value: typed.Trusted, Max: 253, Auto: "off"}
	return c.showAs(status, "mailboxes", c.page("mail", c.T("mail.in"), v))
}

func (s *Server) addMailbox(c *call) error {
	get := c.r.PostFormValue
	b := deskmail.Mailbox{Host: get("host"), Security: deskmail.Security(get("security")), User: get("user"), Password: get("password"), Folder: get("folder"), Trusted: get("trusted")}
	if p := strings.TrimSpace(get("port")); p != "" {
		n, err := strconv.Atoi(p)
		if b.Port = n; err != nil || n == 0 {
			b.Port = -1
		}
	}
	err := s.o.Mails.AddMailbox(c.ctx, c.actor, b)
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrTooLarge) {
		return s.showMailboxes(c, http.StatusUnprocessableEntity, b, desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	return c.redirect("/mail/mailboxes?done=saved")
}

func (s *Server) removeMailbox(c *call) error {
	if err := s.o.Mails.RemoveMailbox(c.ctx, c.actor, c.r.PostFormValue("mailbox")); err != nil {
		return err
	}
	return c.redirect("/mail/mailboxes?done=saved")
}
