package device

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
)

// StartOwner begins to link a computer to the actor's account and returns the code to be typed there. Codes
// made before and not used stop working.
func (d *Devices) StartOwner(ctx context.Context, a desk.Actor) (w device.Owner, code string, err error) {
	if a.Account == "" {
		return w, "", desk.Fail(desk.ErrDenied)
	}
	code = device.NewCode()
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		if err := mayOwn(c.Tx, a); err != nil {
			return err
		}
		mine, err := c.OwnersOf(a.Account, c.Now.Add(-device.CodeLife-device.ConfirmLife))
		if err != nil {
			return err
		}
		linked := 0
		for _, m := range mine {
			switch m.State(c.Now) {
			case device.OwnerLinked:
				linked++
			case device.OwnerAsked:
				if err := c.SaveOwner(m.End(c.Now)); err != nil {
					return err
				}
			}
		}
		if linked >= device.MaxOwned {
			return desk.Refuse(desk.ErrConflict, "owner_many")
		}
		if err := c.ForgetOwners(c.Now.Add(-24 * time.Hour)); err != nil {
			return err
		}
		w = device.Owner{ID: c.NewID(), Account: a.Account, AccountName: a.Name, Organization: a.Organization, AskedAt: c.Now, Version: 1}
		return c.InsertOwner(w, device.HashCode(code))
	})
	return w, code, err
}

// mayOwn reports whether the actor's organization has a plan by which people reach their own devices.
func mayOwn(tx store.Tx, a desk.Actor) error {
	o, err := tx.Organization(a.Organization)
	if err == nil && !o.Has().OwnDevice {
		err = desk.Refuse(desk.ErrDenied, "owner_plan")
	}
	return err
}

// MayOwn reports whether the actor can link computers to their account.
func (d *Devices) MayOwn(ctx context.Context, a desk.Actor) bool {
	return a.Account != "" && d.o.Read(ctx, func(tx store.Tx) error { return mayOwn(tx, a) }) == nil
}

// Owned lists what the actor has linked or is about to link.
func (d *Devices) Owned(ctx context.Context, a desk.Actor) (list []device.Owner, err error) {
	if a.Account == "" {
		return nil, desk.Fail(desk.ErrDenied)
	}
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		list = nil
		all, err := tx.OwnersOf(a.Account, now.Add(-device.CodeLife-device.ConfirmLife))
		for _, w := range all {
			if w.State(now) != device.OwnerOver {
				list = append(list, w)
			}
		}
		return err
	})
	return list, err
}

// ConfirmOwner is the account's yes to a computer on which its code was entered.
func (d *Devices) ConfirmOwner(ctx context.Context, a desk.Actor, id string) (w device.Owner, err error) {
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		if w, err = ownedBy(c.Tx, a, id); err != nil {
			return err
		}
		if w, err = w.Confirm(c.Now); err != nil {
			return err
		}
		dev, err := c.Device(w.Device)
		if err != nil {
			return err
		}
		if err := mayOwn(c.Tx, a); err != nil {
			return err
		}
		if !dev.RemovedAt.IsZero() || dev.Organization != w.Organization {
			return device.ErrCode
		}
		if err := free(c.Tx, w); err != nil {
			return err
		}
		if err := c.SaveOwner(w); err != nil {
			return err
		}
		c.Hint(desk.TopicDevice, string(w.Device))
		return c.Record("device_owner.confirmed", ref(w.Device), dev.Name, map[string]any{"account": w.Account, "os_user": w.User})
	})
	return w, err
}

// EndOwner ends a link: its own account does, or somebody who manages devices.
func (d *Devices) EndOwner(ctx context.Context, a desk.Actor, id string) error {
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		w, err := c.Owner(id)
		if err != nil {
			return err
		}
		if a.Account == "" || w.Account != a.Account && !a.MayIn(account.DevicesManage, w.Organization) {
			return store.ErrNotFound
		}
		return endOwner(c, w)
	})
}

func endOwner(c *desk.Change, w device.Owner) error {
	if w.State(c.Now) == device.OwnerOver {
		return nil
	}
	if err := c.SaveOwner(w.End(c.Now)); err != nil || w.ConfirmedAt.IsZero() {
		return err
	}
	c.Hint(desk.TopicDevice, string(w.Device))
	return c.Record("device_owner.ended", ref(w.Device), w.DeviceName, map[string]any{"account": w.Account, "os_user": w.User})
}

func ownedBy(tx store.Tx, a desk.Actor, id string) (device.Owner, error) {
	w, err := tx.Owner(id)
	if err == nil && (a.Account == "" || w.Account != a.Account) {
		err = store.ErrNotFound
	}
	return w, err
}

// free reports whether no other account is linked to the OS user of the device.
func free(tx store.Tx, w device.Owner) error {
	on, err := tx.OwnersOn(w.Device)
	if err != nil {
		return err
	}
	for _, o := range on {
		if o.UserID == w.UserID && o.ID != w.ID {
			return device.ErrOwned
		}
	}
	return nil
}

// LookOwner tells an OS user at a device whose code it is that they typed, before they confirm it.
func (d *Devices) LookOwner(ctx context.Context, from device.ID, r api.OwnerClaim) (o api.Owner, err error) {
	if !d.guesses.allow(from, d.o.Time()) {
		return o, desk.Fail(desk.ErrLimited)
	}
	err = d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		w, _, err := claim(c, from, r)
		o = ownerOf(w)
		return err
	})
	return o, err
}

// ClaimOwner is the OS user's yes at the device. The account's own follows in the portal.
func (d *Devices) ClaimOwner(ctx context.Context, from device.ID, r api.OwnerClaim) (o api.Owner, err error) {
	if !d.guesses.allow(from, d.o.Time()) {
		return o, desk.Fail(desk.ErrLimited)
	}
	err = d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		w, dev, err := claim(c, from, r)
		if err != nil {
			return err
		}
		o = ownerOf(w)
		if err := c.SaveOwner(w); err != nil {
			return err
		}
		c.Actor.Name = dev.Name
		c.Hint(desk.TopicDevice, string(from))
		return c.Record("device_owner.claimed", ref(from), dev.Name, map[string]any{"account": w.Account, "os_user": w.User})
	})
	return o, err
}

func claim(c *desk.Change, from device.ID, r api.OwnerClaim) (w device.Owner, dev device.Device, err error) {
	if len(r.Code) > 50 || len(r.UserID) > device.MaxOSUser || len(r.User) > device.MaxOSUser {
		return w, dev, device.ErrCode
	}
	if dev, err = c.Device(from); err != nil {
		return w, dev, err
	}
	w, err = c.OwnerByCode(device.HashCode(r.Code))
	if errors.Is(err, store.ErrNotFound) || err == nil && w.Organization != dev.Organization {
		return device.Owner{}, dev, device.ErrCode // a code of another organization is no code here
	}
	if err != nil {
		return w, dev, err
	}
	w, err = w.Claim(dev, r.UserID, r.User, c.Now)
	if err == nil {
		err = free(c.Tx, w)
	}
	if err != nil {
		w = device.Owner{}
	}
	return w, dev, err
}

func ownerOf(w device.Owner) api.Owner {
	return api.Owner{ID: w.ID, Name: w.AccountName, Email: w.AccountEmail, UserID: w.UserID, Confirmed: !w.ConfirmedAt.IsZero(), Since: micros(w.ConfirmedAt)}
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// OwnersHere lists for a device whose accounts its OS users are linked to.
func (d *Devices) OwnersHere(ctx context.Context, from device.ID) (list []api.Owner, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		on, err := tx.OwnersOn(from)
		list = []api.Owner{}
		for _, w := range on {
			list = append(list, ownerOf(w))
		}
		return err
	})
	return list, err
}

// EndOwnerHere ends the link of an OS user, who says so at the device.
func (d *Devices) EndOwnerHere(ctx context.Context, from device.ID, id, userID string) error {
	return d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		w, err := c.Owner(id)
		if err != nil {
			return err
		}
		if w.Device != from || w.UserID != userID {
			return store.ErrNotFound
		}
		return endOwner(c, w)
	})
}

// guesses bounds how often codes are tried from one device: ten at once, then one in ten seconds.
type guesses struct {
	mu sync.Mutex
	by map[device.ID]*rate.Limiter
}

func (g *guesses) allow(from device.ID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == nil || len(g.by) > 10_000 {
		g.by = map[device.ID]*rate.Limiter{}
	}
	l := g.by[from]
	if l == nil {
		l = rate.NewLimiter(rate.Every(10*time.Second), 10)
		g.by[from] = l
	}
	return l.AllowN(now, 1)
}
