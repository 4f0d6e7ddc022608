package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
)

// mailView is the page of the mail server.
type mailView struct {
	Set         bool
	State       line
	Host, Port  field
	Securities  []choice
	User        field
	Password    field
	HasPassword bool
	From, Name  field
	Error       string
	To          field // of the test
	Report      *mailReport
	Held        int    // mails that wait for a decision
	Outbox      string // how many mails have not reached their recipients; empty: none
}

// mailReport is what became of a test.
type mailReport struct {
	Kind, Icon, Text string
	Said             string // by the mail server, or the network
}

// mailState is what a form of the page has left.
type mailState struct {
	status int
	typed  *deskmail.Server
	err    string
	to     string
	toErr  string
	report *mailReport
}

func (s *Server) mail(c *call) error { return s.showMail(c, mailState{}) }

func (s *Server) showMail(c *call, st mailState) error {
	set, has, err := s.o.Mails.Outgoing(c.ctx, c.actor)
	if err != nil {
		return err
	}
	box, err := s.o.Mails.Outbox(c.ctx, c.actor)
	if err != nil {
		return err
	}
	waiting, err := s.o.Tickets.Quarantine(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := mailView{Held: len(waiting), Set: set.Host != "", HasPassword: has, Error: st.err, Report: st.report}
	v.State = line{Kind: "off", Icon: "i-mail-off", Text: c.T("mail.page.unset")}
	if v.Set {
		v.State = line{Kind: "good", Icon: "i-circle-check", Text: c.T("mail.page.set", "Host", set.Host, "From", set.From)}
	}
	show := set
	if st.typed != nil {
		show = *st.typed
	}
	if show.Security == "" {
		show.Security = deskmail.STARTTLS
	}
	port := ""
	if show.Port > 0 {
		port = strconv.Itoa(show.Port)
	}
	v.Host = field{Name: "host", Label: c.T("mail.page.host"), Hint: c.T("mail.page.host.hint"), Type: "text", Value: show.Host, Max: 253, Required: true, Auto: "off"}
	v.Port = field{Name: "port", Label: c.T("mail.page.port"), Hint: c.T("mail.page.port.hint"), Type: "text", Value: port, Max: 5, Auto: "off"}
	for _, k := range []deskmail.Security{deskmail.STARTTLS, deskmail.TLS, deskmail.Plain} {
		v.Securities = append(v.Securities, choice{Code: string(k), Word: c.T("mail.page.security." + string(k)), Current: k == show.Security})
	}
	v.User = field{Name: "user", Label: c.T("mail.page.user"), Hint: c.T("mail.page.user.hint"), Type: "text", Value: show.User, Max: 320, Auto: "off"}
	v.Password = field{Name: "password", Label: c.T("web.password"), Type: "password", Max: 1000, Auto: "off"}
	if has {
		v.Password.Hint = c.T("mail.page.password.kept")
	}
	v.From = field{Name: "from", Label: c.T("mail.page.from"), Hint: c.T("mail.page.from.hint"), Type: "email", Value: show.From, Max: account.MaxEmail, Required: true, Auto: "off"}
	v.Name = field{Name: "from-name", Label: c.T("mail.page.name"), Hint: c.T("mail.page.name.hint"), Type: "text", Value: show.FromName, Max: account.MaxName, Auto: "off"}
	to := st.to
	if to == "" {
		to = c.me.Email
	}
	v.To = field{Name: "to", Label: c.T("mail.page.to"), Type: "email", Value: to, Max: account.MaxEmail, Required: true, Auto: "email", Error: st.toErr}
	if n := box.Waiting + box.Failed + box.Returned; n > 0 {
		v.Outbox = c.T("mail.page.outbox.some", "Count", n)
	}
	status := st.status
	if status == 0 {
		status = http.StatusOK
	}
	return c.showAs(status, "mail", c.page("mail", c.T("mail.page"), v))
}

func (s *Server) saveMail(c *call) error {
	get := c.r.PostFormValue
	port, err := strconv.Atoi(strings.TrimSpace(get("port")))
	if err != nil {
		port = 0
		if strings.TrimSpace(get("port")) != "" {
			port = -1
		}
	}
	typed := deskmail.Server{Host: get("host"), Port: port, Security: deskmail.Security(get("security")), User: get("user"), Password: get("password"), From: get("from"), FromName: get("from-name")}
	err = s.o.Mails.SetOutgoing(c.ctx, c.actor, typed)
	if errors.Is(err, desk.ErrInvalid) {
		return s.showMail(c, mailState{status: http.StatusUnprocessableEntity, typed: &typed, err: desk.Text(err, c.Language())})
	}
	if err != nil {
		return err
	}
	return c.redirect("/mail?done=mail#test")
}

func (s *Server) forgetMail(c *call) error {
	if err := s.o.Mails.ForgetOutgoing(c.ctx, c.actor); err != nil {
		return err
	}
	return c.redirect("/mail?done=mail.off")
}

func (s *Server) testMail(c *call) error {
	to := c.r.PostFormValue("to")
	server, r, err := s.o.Mails.Test(c.ctx, c.actor, to)
	var e *deskmail.SendError
	st := mailState{to: to}
	switch {
	case err == nil:
		secure := r.TLS
		if secure == "" {
			secure = c.T("mail.test.plain")
		}
		st.report = &mailReport{Kind: "good", Icon: "i-circle-check", Text: c.T("mail.test.taken", "Host", server.Host, "To", to, "Secure", secure), Said: r.Reply}
	case errors.As(err, &e):
		st.report = &mailReport{Kind: "bad", Icon: "i-alert-circle", Text: c.T("mail.test.failed."+string(e.Stage), "Host", server.Host, "Port", strconv.Itoa(server.Port), "From", server.From, "To", to), Said: e.Text}
	case errors.Is(err, desk.ErrInvalid), errors.Is(err, desk.ErrConflict):
		st.status, st.toErr = http.StatusUnprocessableEntity, desk.Text(err, c.Language())
	default:
		return err
	}
	return s.showMail(c, st)
}

// outboxView is the page of what has not reached its recipients.
type outboxView struct {
	Lead  string
	Ready bool
	Link  *outboxLink
	Mails []outboxMail
	More  string
}

type outboxLink struct{ To, URL string }

type outboxMail struct {
	ID, To, What string
	Since        when
	Icon, Why    string
	Link         bool // it can be copied
}

func (s *Server) outbox(c *call) error { return s.showOutbox(c, nil) }

func (s *Server) showOutbox(c *call, link *outboxLink) error {
	b, err := s.o.Mails.Outbox(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := outboxView{Ready: b.Ready, Link: link, Lead: c.T("mail.outbox.lead")}
	if !b.Ready {
		v.Lead = c.T("mail.outbox.lead.unset")
	}
	for _, m := range b.Mails {
		o := outboxMail{ID: m.ID, To: m.To, What: c.T("mail.kind." + m.Kind), Since: c.when(m.CreatedAt), Link: m.Link, Icon: "i-clock"}
		switch m.State {
		case deskmail.Failed:
			o.Icon, o.Why = "i-alert-circle", c.T("mail.outbox.failed", "When", c.date(m.MovedAt), "Why", m.LastError)
		case deskmail.Returned:
			o.Icon, o.Why = "i-mail-x", c.T("mail.outbox.returned", "When", c.date(m.MovedAt), "Why", m.LastError)
		default:
			switch {
			case !b.Ready:
				o.Why = c.T("mail.outbox.unset")
			case m.LastError != "":
				o.Why = c.T("mail.outbox.again", "Count", m.Attempts, "When", c.date(m.MovedAt), "Why", m.LastError)
			default:
				o.Why = c.T("mail.outbox.now")
			}
		}
		v.Mails = append(v.Mails, o)
	}
	if all := b.Waiting + b.Failed + b.Returned; all > int64(len(b.Mails)) {
		v.More = c.T("mail.outbox.more", "Count", all-int64(len(b.Mails)))
	}
	return c.show("outbox", c.page("mail", c.T("mail.outbox"), v))
}

func (s *Server) outboxLink(c *call) error {
	m, link, err := s.o.Mails.Link(c.ctx, c.actor, c.r.PostFormValue("mail"))
	if err != nil {
		return err
	}
	return s.showOutbox(c, &outboxLink{To: m.To, URL: strings.TrimSuffix(s.o.PublicURL, "/") + link})
}

func (s *Server) outboxRetry(c *call) error {
	if err := s.o.Mails.Retry(c.ctx, c.actor, c.r.PostFormValue("mail")); err != nil {
		return err
	}
	return c.redirect("/mail/outbox?done=mail.again")
}

func (s *Server) outboxDiscard(c *call) error {
	if err := s.o.Mails.Discard(c.ctx, c.actor, c.r.PostFormValue("mail")); err != nil {
		return err
	}
	return c.redirect("/mail/outbox?done=mail.gone")
}

// mailBanner is what administrators read on every page as long as no mail server is set.
type mailBanner struct {
	Waiting int64
	Back    string
}

// banner is nil when there is nothing to say, or not to this reader.
func (c *call) banner(place string) *mailBanner {
	if c.s.o.Mails == nil || !deskmail.Manages(c.actor) || place == "mail" || place == "start" {
		return nil
	}
	show, waiting, err := c.s.o.Mails.Banner(c.ctx)
	if err != nil || !show {
		return nil
	}
	return &mailBanner{Waiting: waiting, Back: c.r.URL.Path}
}

func (s *Server) hideBanner(c *call) error {
	if err := s.o.Mails.HideBanner(c.ctx, c.actor, bannerRest); err != nil {
		return err
	}
	return c.redirect(local(c.r.PostFormValue("back"), "/tickets"))
}

const bannerRest = 7 * 24 * time.Hour // for which the banner stays away once somebody has hidden it
