package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// settingIn holds the mailboxes; a password, place and state stand behind it with the mailbox's id.
const settingIn = "mail.in"

// MaxMailboxes bounds how many mailboxes are read.
const MaxMailboxes = 20

// Mailbox is an IMAP mailbox from which mail is taken in.
type Mailbox struct {
	ID       string   `json:"id"`
	Host     string   `json:"host"`
	Port     int      `json:"port"`
	Security Security `json:"security"`
	User     string   `json:"user"`
	Folder   string   `json:"folder"`
	Trusted  string   `json:"trusted"` // name of the mail server whose Authentication-Results count; empty: nobody's
	Password string   `json:"-"`       // never leaves the desk but to the mail server
}

// Place is how far a mailbox has been read. IMAP's numbers count only within one validity.
type Place struct {
	Validity uint32 `json:"validity"`
	Last     uint32 `json:"last"`
}

// MailboxState is how reading goes.
type MailboxState struct {
	At    time.Time `json:"at"` // since when it is so
	Error string    `json:"error"`
}

func mailboxes(tx store.Tx) (list []Mailbox, err error) {
	text, err := tx.Setting(settingIn)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		if err = json.Unmarshal([]byte(text), &list); err != nil {
			err = fmt.Errorf("setting %s: %w", settingIn, err)
		}
	}
	return list, err
}

func (b Mailbox) setting(what string) string { return settingIn + "." + b.ID + "." + what }

// Mailboxes lists the mailboxes with how reading them goes, without passwords.
func (m *Mails) Mailboxes(ctx context.Context, a desk.Actor) (list []Mailbox, states map[string]MailboxState, err error) {
	if err := may(a); err != nil {
		return nil, nil, err
	}
	err = m.o.Read(ctx, func(tx store.Tx) error {
		states = map[string]MailboxState{}
		if list, err = mailboxes(tx); err != nil {
			return err
		}
		for _, b := range list {
			text, err := tx.Setting(b.setting("state"))
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			var s MailboxState
			if err == nil {
				err = json.Unmarshal([]byte(text), &s)
			}
			if err != nil {
				return err
			}
			states[b.ID] = s
		}
		return nil
	})
	return list, states, err
}

// AddMailbox has a mailbox read from now on; what is in it already is left alone.
func (m *Mails) AddMailbox(ctx context.Context, a desk.Actor, b Mailbox) error {
	if err := may(a); err != nil {
		return err
	}
	if err := desk.NeedFresh(a, m.o.Time()); err != nil {
		return err
	}
	s, err := Server{Host: b.Host, Port: b.Port, Security: b.Security, User: b.User, Password: b.Password, From: "check@example.com"}.check()
	if err != nil {
		return desk.Fail(err)
	}
	if b.Port == 0 {
		s.Port = map[Security]int{TLS: 993, STARTTLS: 143, Plain: 143}[b.Security]
	}
	b.Host, b.Port, b.User = s.Host, s.Port, s.User
	if b.Folder = strings.TrimSpace(b.Folder); b.Folder == "" {
		b.Folder = "INBOX"
	}
	b.Trusted = strings.ToLower(strings.TrimSpace(b.Trusted))
	if _, err := account.CheckName(b.Folder); err != nil || len(b.Trusted) > 253 || b.User == "" || b.Password == "" {
		return desk.Refuse(desk.ErrInvalid, "mailbox")
	}
	return m.o.Change(ctx, a, func(c *desk.Change) error {
		list, err := mailboxes(c.Tx)
		if err != nil {
			return err
		}
		if len(list) >= MaxMailboxes {
			return desk.ErrTooLarge
		}
		b := b
		b.ID = c.NewID()
		sealed, err := m.o.SealText(b.Password, b.setting("password"))
		if err != nil {
			return err
		}
		if err := c.SetSetting(b.setting("password"), sealed); err != nil {
			return err
		}
		if err := saveMailboxes(c, append(list, b)); err != nil {
			return err
		}
		return c.Record("mail.mailbox_added", "mailbox:"+b.ID, b.User+"@"+b.Host, map[string]any{"folder": b.Folder, "trusted": b.Trusted})
	})
}

// RemoveMailbox stops reading a mailbox.
func (m *Mails) RemoveMailbox(ctx context.Context, a desk.Actor, id string) error {
	if err := may(a); err != nil {
		return err
	}
	return m.o.Change(ctx, a, func(c *desk.Change) error {
		list, err := mailboxes(c.Tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(b Mailbox) bool { return b.ID == id })
		if i < 0 {
			return store.ErrNotFound
		}
		b := list[i]
		for _, what := range []string{"password", "place", "state"} {
			if err := c.SetSetting(b.setting(what), ""); err != nil {
				return err
			}
		}
		if err := saveMailboxes(c, slices.Delete(list, i, i+1)); err != nil {
			return err
		}
		return c.Record("mail.mailbox_removed", "mailbox:"+b.ID, b.User+"@"+b.Host, nil)
	})
}

func saveMailboxes(c *desk.Change, list []Mailbox) error {
	if len(list) == 0 {
		return c.SetSetting(settingIn, "")
	}
	text, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode the mailboxes: %w", err)
	}
	return c.SetSetting(settingIn, string(text))
}

// Open lists the mailboxes with their passwords, for whoever reads them.
func (m *Mails) Open(ctx context.Context) (list []Mailbox, err error) {
	err = m.o.Read(ctx, func(tx store.Tx) error {
		if list, err = mailboxes(tx); err != nil {
			return err
		}
		for i, b := range list {
			sealed, err := tx.Setting(b.setting("password"))
			if err != nil {
				return err
			}
			if list[i].Password, err = m.o.OpenText(sealed, b.setting("password")); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Place tells how far a mailbox has been read; known is false before the first time.
func (m *Mails) Place(ctx context.Context, b Mailbox) (p Place, known bool, err error) {
	err = m.o.Read(ctx, func(tx store.Tx) error {
		text, err := tx.Setting(b.setting("place"))
		if errors.Is(err, store.ErrNotFound) {
			p, known = Place{}, false
			return nil
		}
		known = err == nil
		if err == nil {
			err = json.Unmarshal([]byte(text), &p)
		}
		return err
	})
	return p, known, err
}

// SetPlace notes how far a mailbox has been read.
func (m *Mails) SetPlace(ctx context.Context, b Mailbox, p Place) error {
	return m.put(ctx, b, "place", p)
}

// SetState notes how reading a mailbox goes.
func (m *Mails) SetState(ctx context.Context, b Mailbox, reason string) error {
	return m.put(ctx, b, "state", MailboxState{At: m.o.Time(), Error: short(reason)})
}

// put writes what belongs to a mailbox, unless it has been removed meanwhile.
func (m *Mails) put(ctx context.Context, b Mailbox, what string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the %s of a mailbox: %w", what, err)
	}
	return m.o.Change(ctx, desk.System(), func(c *desk.Change) error {
		list, err := mailboxes(c.Tx)
		if err != nil || !slices.ContainsFunc(list, func(k Mailbox) bool { return k.ID == b.ID }) {
			return err
		}
		return c.SetSetting(b.setting(what), string(text))
	})
}
