// Package mail is what people do about the server's mail, and what the server does with the mails that changes
// owe: settings of the mail server, the outbox with what waits and why, the sending.
//
// Mails are written by package server/internal/mail, an edge, which also speaks to mail servers; this package
// knows it as a Transport. Without a mail server nothing fails: mails wait, and their links can be copied.
package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// Names of the settings.
const (
	settingOut      = desk.SettingMailOut
	settingPassword = "mail.out.password" // sealed
)

const (
	maxAttempts = 14 // the pauses double from 5 s: half a day in all
	pageSize    = 200
	keepText    = 500 // bytes of a mail server's answer
)

// Security is how the connection to a mail server is protected.
type Security string

// The ways, best first.
const (
	TLS      Security = "tls"      // from the first byte, usually port 465
	STARTTLS Security = "starttls" // required before anything is said, usually port 587
	Plain    Security = "plain"    // not at all: for a mail server on this machine or in a network that is trusted
)

// Server is the mail server that takes outgoing mail.
type Server struct {
	Host     string   `json:"host"`
	Port     int      `json:"port"`
	Security Security `json:"security"`
	User     string   `json:"user"`
	Password string   `json:"-"` // never leaves the desk but to the mail server
	From     string   `json:"from"`
	FromName string   `json:"from_name"` // empty: the organization's
}

// Letter is one mail, ready to be written in its language and sent.
type Letter struct {
	Kind      string
	MessageID string // without angle brackets
	At        time.Time
	From      string
	Brand     string // the organization whose name it carries
	FromName  string
	To        string
	ToName    string
	Language  string
	Link      string // path of the portal; may be empty
	Data      map[string]string
	Ticket    *LetterTicket // nil: it is not about a ticket
}

// LetterTicket is what a letter about a ticket tells of it, and how it finds its way back.
type LetterTicket struct {
	Number     int64
	Title      string
	Text       string // as it was filed
	Confirmed  bool   // the recipient's address is known to be the requester's
	Account    bool   // the recipient can sign in and see the ticket
	Closed     bool
	Author     string   // who has answered; empty: the letter is about something else
	Answer     string   // what they said
	Files      []string // names of the answer's files, which wait in the portal
	ReplyTo    string   // address with the recipient's token
	Decide     string   // token behind the links that close the ticket or say that it is still broken
	Confirm    string   // token behind the link that confirms the address
	References []string // Message-IDs of earlier mails to the recipient, the oldest first
}

// Receipt is what the mail server said when it took a mail.
type Receipt struct {
	TLS   string // "TLS 1.3"; empty: not encrypted
	Reply string
}

// Transport writes and sends letters. Its errors are a *SendError.
type Transport interface {
	Send(ctx context.Context, s Server, l Letter) (Receipt, error)
}

// Stage is how far sending came before it failed.
type Stage string

// The stages, in order.
const (
	StageName      Stage = "name"      // the host's name is unknown
	StageConnect   Stage = "connect"   // nobody answers at its port
	StageTLS       Stage = "tls"       // no encryption, or a certificate that isn't trusted
	StageSignIn    Stage = "signin"    // user or password
	StageSender    Stage = "sender"    // it does not take mail from our address
	StageRecipient Stage = "recipient" // it does not take mail to theirs
	StageContent   Stage = "content"   // it refused the mail itself
	StageOther     Stage = "other"
)

// SendError is why a mail was not taken.
type SendError struct {
	Stage     Stage
	Permanent bool   // trying the same again has no purpose
	Text      string // what the server or the network said
}

// Error implements error.
func (e *SendError) Error() string { return string(e.Stage) + ": " + e.Text }

// Mails are the use cases.
type Mails struct {
	o desk.Options
	t Transport
}

// New returns the use cases. Nothing is sent before Through.
func New(o desk.Options) *Mails { return &Mails{o: o} }

// Through names what writes and sends mails.
func (m *Mails) Through(t Transport) { m.t = t }

// Handle gives w the sending of mails. It should be a worker of its own, which claims one job at a time: a mail
// server may take half a minute to answer.
func (m *Mails) Handle(w *desk.Worker) {
	w.Handle(desk.JobMail, func(ctx context.Context, payload []byte) error {
		var j desk.MailJob
		if err := json.Unmarshal(payload, &j); err != nil {
			return err
		}
		return m.deliver(ctx, j)
	})
}

// Manages reports whether a sees and changes the server's mail.
func Manages(a desk.Actor) bool { return a.May(account.MailManage) }

func may(a desk.Actor) error {
	if !Manages(a) {
		return desk.Fail(desk.ErrDenied)
	}
	return nil
}

// Outgoing is the mail server that is set, without its password; HasPassword says whether there is one. The zero
// Server means that none is set.
func (m *Mails) Outgoing(ctx context.Context, a desk.Actor) (s Server, hasPassword bool, err error) {
	if err := may(a); err != nil {
		return s, false, err
	}
	err = m.o.Read(ctx, func(tx store.Tx) error {
		s, hasPassword, err = outgoing(tx)
		return err
	})
	return s, hasPassword, err
}

// Ready reports whether a mail server is set.
func (m *Mails) Ready(ctx context.Context) (ready bool, err error) {
	err = m.o.Read(ctx, func(tx store.Tx) error {
		s, _, err := outgoing(tx)
		ready = s.Host != ""
		return err
	})
	return ready, err
}

func outgoing(tx store.Tx) (s Server, hasPassword bool, err error) {
	text, err := tx.Setting(settingOut)
	if errors.Is(err, store.ErrNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, false, fmt.Errorf("setting %s: %w", settingOut, err)
	}
	_, err = tx.Setting(settingPassword)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return s, false, err
	}
	return s, err == nil, nil
}

// check completes and checks what somebody typed.
func (s Server) check() (Server, error) {
	s.Host = strings.ToLower(strings.TrimSpace(s.Host))
	_, notAddress := netip.ParseAddr(s.Host)
	if s.Host == "" || len(s.Host) > 253 || notAddress != nil && strings.ContainsFunc(s.Host, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '-' && r != '_'
	}) {
		return s, desk.Refuse(desk.ErrInvalid, "mail_host")
	}
	if s.Port == 0 {
		s.Port = map[Security]int{TLS: 465, STARTTLS: 587, Plain: 25}[s.Security]
	}
	if s.Port < 1 || s.Port > 65535 || !slices.Contains([]Security{TLS, STARTTLS, Plain}, s.Security) {
		return s, desk.Refuse(desk.ErrInvalid, "mail_host")
	}
	var err error
	if s.From, err = account.NormalizeEmail(s.From); err != nil {
		return s, desk.Refuse(desk.ErrInvalid, "mail_from")
	}
	if s.FromName = strings.TrimSpace(s.FromName); s.FromName != "" {
		if s.FromName, err = account.CheckName(s.FromName); err != nil {
			return s, err
		}
	}
	s.User = strings.TrimSpace(s.User)
	if len(s.User) > 320 || len(s.Password) > 1000 || strings.ContainsFunc(s.User+s.Password, func(r rune) bool { return r == 0 || r == '\r' || r == '\n' }) {
		return s, desk.ErrInvalid
	}
	if s.Security == Plain && s.User != "" && !Loopback(s.Host) {
		return s, desk.Refuse(desk.ErrInvalid, "mail_plain")
	}
	return s, nil
}

// Loopback reports whether host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// SetOutgoing sets the mail server; all mails that wait are tried. An empty password keeps the one that is set as
// long as host and user stay the same.
func (m *Mails) SetOutgoing(ctx context.Context, a desk.Actor, s Server) error {
	if err := may(a); err != nil {
		return err
	}
	if err := desk.NeedFresh(a, m.o.Time()); err != nil {
		return err
	}
	s, err := s.check()
	if err != nil {
		return desk.Fail(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the mail server: %w", err)
	}
	sealed := ""
	if s.Password != "" {
		if sealed, err = m.o.SealText(s.Password, settingPassword); err != nil {
			return err
		}
	}
	return m.o.Change(ctx, a, func(c *desk.Change) error {
		before, _, err := outgoing(c.Tx)
		if err != nil {
			return err
		}
		if err := c.SetSetting(settingOut, string(text)); err != nil {
			return err
		}
		if sealed != "" || before.Host != s.Host || before.User != s.User { // a password never goes to another server
			if err := c.SetSetting(settingPassword, sealed); err != nil {
				return err
			}
		}
		if err := c.Record("mail.server_set", "server", s.Host, map[string]any{"host": s.Host, "port": s.Port, "security": s.Security, "user": s.User, "from": s.From}); err != nil {
			return err
		}
		return again(c, store.MailWaiting)
	})
}

// ForgetOutgoing removes the mail server. Mails wait from then on.
func (m *Mails) ForgetOutgoing(ctx context.Context, a desk.Actor) error {
	if err := may(a); err != nil {
		return err
	}
	return m.o.Change(ctx, a, func(c *desk.Change) error {
		for _, name := range []string{settingOut, settingPassword} {
			if err := c.SetSetting(name, ""); err != nil {
				return err
			}
		}
		return c.Record("mail.server_removed", "server", "", nil)
	})
}

// again has all mails of a state tried now.
func again(c *desk.Change, of store.MailState) error {
	after := ""
	for {
		list, err := c.Mails(of, after, pageSize)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, l := range list {
			if err := retry(c, l); err != nil {
				return err
			}
		}
		after = list[len(list)-1].ID
	}
}

func retry(c *desk.Change, l store.Mail) error {
	l.State, l.Attempts, l.MovedAt = store.MailWaiting, 0, c.Now
	l.Turn++
	if err := c.SaveMail(l); err != nil {
		return err
	}
	c.Hint(desk.TopicMail, l.ID)
	return c.Owe(desk.JobMail, desk.MailJob{Mail: l.ID, Turn: l.Turn})
}

// Test sends a mail to an address now and tells what the mail server said. The error is a *SendError when
// the server did not take it.
func (m *Mails) Test(ctx context.Context, a desk.Actor, to string) (s Server, r Receipt, err error) {
	if err := may(a); err != nil {
		return s, r, err
	}
	if to, err = account.NormalizeEmail(to); err != nil {
		return s, r, desk.Fail(err)
	}
	var brand string
	err = m.o.Read(ctx, func(tx store.Tx) error {
		if s, err = m.server(tx); err != nil {
			return err
		}
		brand, err = brandOf(tx, "")
		return err
	})
	if err != nil {
		return s, r, err
	}
	if s.Host == "" {
		return s, r, desk.Refuse(desk.ErrConflict, "mail_none")
	}
	err = m.o.Change(ctx, a, func(c *desk.Change) error {
		return c.Record("mail.tested", "server", s.Host, map[string]any{"to": to})
	})
	if err != nil {
		return s, r, err
	}
	now := m.o.Time()
	id := api.NewID(now)
	r, err = m.t.Send(ctx, s, Letter{Kind: desk.MailTest, MessageID: id + "@" + domain(s.From), At: now, From: s.From, FromName: fromName(s, brand), Brand: brand, To: to, Language: a.Language, Data: map[string]string{"By": a.Name}})
	s.Password = ""
	if err != nil {
		return s, r, err
	}
	return s, r, m.o.Change(ctx, a, func(c *desk.Change) error { // a failure that comes back is matched with it
		return c.InsertMail(store.Mail{ID: id, Kind: desk.MailTest, To: to, Language: a.Language, MessageID: id + "@" + domain(s.From), State: store.MailSent, MadeBy: a.Account, CreatedAt: c.Now, MovedAt: c.Now})
	})
}

// server is the mail server with its password.
func (m *Mails) server(tx store.Tx) (Server, error) {
	s, has, err := outgoing(tx)
	if err != nil || !has {
		return s, err
	}
	sealed, err := tx.Setting(settingPassword)
	if err != nil {
		return s, err
	}
	s.Password, err = m.o.OpenText(sealed, settingPassword)
	return s, err
}

func brandOf(tx store.Tx, o account.OrganizationID) (string, error) {
	if o != "" {
		of, err := tx.Organization(o)
		if err == nil && of.Provider {
			return of.Name, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	of, err := tx.Provider()
	return of.Name, err
}

func fromName(s Server, brand string) string {
	if s.FromName != "" {
		return s.FromName
	}
	return brand
}

func domain(address string) string {
	_, d, _ := strings.Cut(address, "@")
	return d
}

// deliver does one job.
func (m *Mails) deliver(ctx context.Context, j desk.MailJob) error {
	var s Server
	var l store.Mail
	var letter Letter
	now := m.o.Time()
	err := m.o.Read(ctx, func(tx store.Tx) (err error) {
		if l, err = tx.Mail(j.Mail); err != nil {
			return err
		}
		if l.State != store.MailWaiting || l.Turn != j.Turn {
			return desk.ErrDrop
		}
		if s, err = m.server(tx); err != nil {
			return err
		}
		brand, err := brandOf(tx, l.Organization)
		if err != nil {
			return err
		}
		letter = Letter{Kind: l.Kind, MessageID: l.MessageID, At: l.CreatedAt, From: s.From, FromName: fromName(s, brand), Brand: brand, To: l.To, ToName: l.ToName, Language: l.Language}
		return nil
	})
	switch {
	case errors.Is(err, desk.ErrNotFound):
		return desk.ErrDrop
	case err != nil:
		return err
	}
	if !l.ExpiresAt.IsZero() && !now.Before(l.ExpiresAt) {
		return m.settle(ctx, l, store.MailDiscarded, "expired")
	}
	if s.Host == "" {
		return desk.ErrDrop // SetOutgoing owes it again
	}
	content, err := m.o.OpenMailContent(l)
	if err != nil {
		return m.settle(ctx, l, store.MailFailed, err.Error())
	}
	letter.Link, letter.Data = content.Link, content.Data
	if l.Ticket != "" {
		if err := m.o.Read(ctx, func(tx store.Tx) (err error) {
			letter.Ticket, err = m.ticket(tx, s, l, content)
			return err
		}); err != nil {
			return err
		}
	}
	if l.MessageID == "" { // kept before it is sent, so that the same mail sent twice after a crash counts once
		l.MessageID = l.ID + "@" + domain(s.From)
		letter.MessageID = l.MessageID
		if err := m.o.Change(ctx, desk.System(), func(c *desk.Change) error { return c.SaveMail(l) }); err != nil {
			return err
		}
		l.Version++
	}
	l.Attempts++
	_, err = m.t.Send(ctx, s, letter)
	var e *SendError
	switch {
	case err == nil:
		return m.settle(ctx, l, store.MailSent, "")
	case errors.As(err, &e) && e.Permanent || l.Attempts >= maxAttempts:
		return m.settle(ctx, l, store.MailFailed, err.Error())
	}
	if err := m.settle(ctx, l, store.MailWaiting, err.Error()); err != nil {
		return err
	}
	return err
}

// settle notes what became of a mail. Once nothing is left to do its content is forgotten.
func (m *Mails) settle(ctx context.Context, l store.Mail, to store.MailState, reason string) error {
	return m.o.Change(ctx, desk.System(), func(c *desk.Change) error {
		k := l
		k.State, k.LastError, k.MovedAt = to, short(reason), c.Now
		if to == store.MailSent || to == store.MailDiscarded {
			k.Data, k.Link = "", false
		}
		c.Hint(desk.TopicMail, k.ID)
		err := c.SaveMail(k)
		if errors.Is(err, store.ErrStale) && to != store.MailSent {
			return nil // a person has moved it meanwhile, and knows better
		}
		return err
	})
}

func short(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s), "")
	for len(s) > keepText {
		r := []rune(s)
		s = string(r[:len(r)*keepText/len(s)])
	}
	return s
}

// Outbox is what has not reached its recipients.
type Outbox struct {
	Ready    bool // a mail server is set
	Waiting  int64
	Failed   int64
	Returned int64
	Mails    []Entry // those that were given up or came back first, then those that wait; at most 200 of each
}

// State is where a mail of the outbox stands.
type State = store.MailState

// The states in the outbox.
const (
	Waiting  = store.MailWaiting
	Failed   = store.MailFailed
	Returned = store.MailReturned
)

// Entry is a mail in the outbox, without what it says.
type Entry struct {
	ID        string
	Kind      string
	To        string
	State     State
	Link      bool // it can be copied
	Attempts  int
	LastError string
	CreatedAt time.Time
	MovedAt   time.Time
}

func entry(m store.Mail) Entry {
	return Entry{ID: m.ID, Kind: m.Kind, To: m.To, State: m.State, Link: m.Link && m.Data != "", Attempts: m.Attempts, LastError: m.LastError, CreatedAt: m.CreatedAt, MovedAt: m.MovedAt}
}

// Outbox lists what has not reached its recipients.
func (m *Mails) Outbox(ctx context.Context, a desk.Actor) (b Outbox, err error) {
	if err := may(a); err != nil {
		return b, err
	}
	err = m.o.Read(ctx, func(tx store.Tx) error {
		b = Outbox{}
		s, _, err := outgoing(tx)
		if err != nil {
			return err
		}
		b.Ready = s.Host != ""
		for _, p := range []struct {
			state store.MailState
			n     *int64
		}{{store.MailFailed, &b.Failed}, {store.MailReturned, &b.Returned}, {store.MailWaiting, &b.Waiting}} {
			if *p.n, err = tx.CountMails(p.state); err != nil {
				return err
			}
			list, err := tx.Mails(p.state, "", pageSize)
			if err != nil {
				return err
			}
			for _, l := range list {
				b.Mails = append(b.Mails, entry(l))
			}
		}
		return nil
	})
	return b, err
}

// Link is the link of a mail that has not reached its recipient: a path of the portal with its secret. Looking
// at it is recorded.
func (m *Mails) Link(ctx context.Context, a desk.Actor, id string) (e Entry, link string, err error) {
	if err := may(a); err != nil {
		return e, "", err
	}
	if err := desk.NeedFresh(a, m.o.Time()); err != nil { // whoever has the link can become somebody else
		return e, "", err
	}
	err = m.o.Change(ctx, a, func(c *desk.Change) error {
		l, err := c.Mail(id)
		if err != nil {
			return err
		}
		if !l.Link || l.Data == "" {
			return desk.Refuse(desk.ErrConflict, "mail_gone")
		}
		content, err := m.o.OpenMailContent(l)
		if err != nil {
			return err
		}
		e, link = entry(l), content.Link
		return c.Record("mail.link_shown", "mail:"+id, l.To, map[string]any{"kind": l.Kind})
	})
	return e, link, err
}

// Retry has a mail tried now.
func (m *Mails) Retry(ctx context.Context, a desk.Actor, id string) error {
	return m.move(ctx, a, id, "mail.retried", retry)
}

// Discard gives a mail up.
func (m *Mails) Discard(ctx context.Context, a desk.Actor, id string) error {
	return m.move(ctx, a, id, "mail.discarded", func(c *desk.Change, l store.Mail) error {
		l.State, l.MovedAt, l.Data, l.Link = store.MailDiscarded, c.Now, "", false
		c.Hint(desk.TopicMail, id)
		return c.SaveMail(l)
	})
}

func (m *Mails) move(ctx context.Context, a desk.Actor, id, action string, f func(*desk.Change, store.Mail) error) error {
	if err := may(a); err != nil {
		return err
	}
	return m.o.Change(ctx, a, func(c *desk.Change) error {
		l, err := c.Mail(id)
		if err != nil {
			return err
		}
		if l.Data == "" {
			return desk.Refuse(desk.ErrConflict, "mail_gone")
		}
		if err := f(c, l); err != nil {
			return err
		}
		return c.Record(action, "mail:"+id, l.To, map[string]any{"kind": l.Kind})
	})
}

// settingBanner is until when the banner stays away, in Unix seconds.
const settingBanner = "mail.banner"

// Banner reports whether administrators should read that no mail server is set, and how many mails wait.
func (m *Mails) Banner(ctx context.Context) (show bool, waiting int64, err error) {
	now := m.o.Time()
	err = m.o.Read(ctx, func(tx store.Tx) error {
		s, _, err := outgoing(tx)
		if err != nil || s.Host != "" {
			show = false
			return err
		}
		text, err := tx.Setting(settingBanner)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		until, _ := strconv.ParseInt(text, 10, 64) // an empty or broken one is over
		if show = now.Unix() >= until; show {
			waiting, err = tx.CountMails(store.MailWaiting)
			return err
		}
		return nil
	})
	return show, waiting, err
}

// HideBanner keeps the banner away for a time.
func (m *Mails) HideBanner(ctx context.Context, a desk.Actor, life time.Duration) error {
	if err := may(a); err != nil {
		return err
	}
	return m.o.Change(ctx, a, func(c *desk.Change) error {
		return c.SetSetting(settingBanner, strconv.FormatInt(c.Now.Add(life).Unix(), 10))
	})
}

// maxReferences bounds how many earlier mails a mail names.
const maxReferences = 20

// ticket loads what a letter tells of its ticket.
func (m *Mails) ticket(tx store.Tx, s Server, l store.Mail, content desk.MailContent) (*LetterTicket, error) {
	k, err := tx.Ticket(l.Ticket)
	if err != nil {
		return nil, err
	}
	t := &LetterTicket{Number: k.Number, Title: k.Title, Text: k.Text, Confirmed: k.Requester.Confirmed || !strings.EqualFold(k.Requester.Email, l.To), Closed: k.Status == ticket.Closed}
	local, at, _ := strings.Cut(s.From, "@")
	t.ReplyTo = local + "+" + m.o.SignMail(desk.TokenReply, k.Number, l.To) + "@" + at
	t.Decide = m.o.SignMail(desk.TokenDecide, k.Number, l.To)
	if !t.Confirmed {
		t.Confirm = m.o.SignMail(desk.TokenConfirm, k.Number, l.To)
	}
	if l.Account != "" {
		a, err := tx.Account(l.Account)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		t.Account = err == nil && a.Password != "" && !a.Disabled
	}
	if id := content.Data["Message"]; id != "" {
		thread, err := tx.Messages(k.ID)
		if err != nil {
			return nil, err
		}
		files, err := tx.Files(k.ID)
		if err != nil {
			return nil, err
		}
		for _, said := range thread {
			if said.ID == id && said.Kind == ticket.Public {
				t.Author, t.Answer = said.AuthorName, said.Text
			}
		}
		for _, f := range files {
			if f.Message == id {
				t.Files = append(t.Files, f.Name)
			}
		}
	}
	earlier, err := tx.TicketMails(k.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range earlier {
		if e.ID < l.ID && e.To == l.To && e.MessageID != "" {
			t.References = append(t.References, e.MessageID)
		}
	}
	if n := len(t.References); n > maxReferences {
		t.References = append(t.References[:1:1], t.References[n-maxReferences+1:]...)
	}
	return t, nil
}
