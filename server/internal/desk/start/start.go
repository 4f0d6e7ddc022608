// Package start tells administrators what is left to do on a new server: six steps that tick themselves when
// they are true. The portal's page "Getting started" calls it.
package start

import (
	"context"
	"errors"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// setting says that an administrator does not want to see the steps any more.
const setting = "start.dismissed"

// Steps are what is true of the server's data. That it has an address and a certificate of its own is known to
// whoever runs it.
type Steps struct {
	Mail         bool // a mail server has taken a mail
	Organization bool // there is a customer
	Device       bool
	Ticket       bool
	Session      bool // somebody was let onto a device
	Dismissed    bool // an administrator has put the page away
}

// Start is the use cases.
type Start struct{ o desk.Options }

// New returns the use cases.
func New(o desk.Options) *Start { return &Start{o} }

// Steps loads what is true now. Only administrators ask.
func (s *Start) Steps(ctx context.Context, a desk.Actor) (k Steps, err error) {
	if !Shown(a) {
		return k, desk.Fail(desk.ErrDenied)
	}
	err = s.o.Read(ctx, func(tx store.Tx) error {
		f, err := tx.FirstSteps()
		if err != nil {
			return err
		}
		k = Steps{Mail: f.Sent, Organization: f.Customer, Device: f.Device, Ticket: f.Ticket, Session: f.Session}
		_, err = tx.Setting(setting)
		if k.Dismissed = err == nil; errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return k, err
}

// Dismiss puts the page away for every administrator.
func (s *Start) Dismiss(ctx context.Context, a desk.Actor) error {
	if !Shown(a) {
		return desk.Fail(desk.ErrDenied)
	}
	return s.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.SetSetting(setting, "1"); err != nil {
			return err
		}
		return c.Record("start.dismissed", "server", "", nil)
	})
}

// Shown reports whether the steps are the actor's business.
func Shown(a desk.Actor) bool { return a.May(account.SettingsManage) }
