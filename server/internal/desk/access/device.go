package access

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// maxGrants bounds the copies that the server keeps of one device's live grants.
const maxGrants = 500

// FromDevice takes a message of a device that concerns sessions, grants or channels. Other messages
// are not its business and change nothing.
func (d *Sessions) FromDevice(ctx context.Context, from device.ID, m link.Message) error {
	switch m.Type {
	case link.TypeAskState:
		return take(m, func(b link.AskState) error { return d.answered(ctx, from, b) })
	case link.TypeGrant:
		return take(m, func(b link.GrantMade) error { return d.granted(ctx, from, b) })
	case link.TypeGrantEnded:
		return take(m, func(b link.GrantEnded) error {
			return d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error { return d.deviceEnded(c, from, b) })
		})
	case link.TypeSession:
		return take(m, func(b link.SessionState) error { return d.reported(ctx, from, b) })
	case link.TypeChannelUp:
		return take(m, func(b link.ChannelUp) error { return d.channel(ctx, from, b.Channel, "") })
	case link.TypeOfferRefused:
		return take(m, func(b link.OfferRefused) error {
			if b.Code == "" {
				b.Code = "failed"
			}
			return d.channel(ctx, from, b.Channel, b.Code)
		})
	}
	return nil
}

func take[T any](m link.Message, f func(T) error) error {
	var b T
	if err := m.Decode(&b); err != nil {
		return err
	}
	return f(b)
}

// of loads a session that the device speaks of; another device's does not exist for it.
func of(tx store.Tx, from device.ID, id string) (access.Session, error) {
	s, err := tx.Session(access.SessionID(id))
	if err == nil && s.Device != from {
		return access.Session{}, store.ErrNotFound
	}
	return s, err
}

// answered applies what a device says of a question.
func (d *Sessions) answered(ctx context.Context, from device.ID, b link.AskState) error {
	var late *access.Session // allowed, but nobody asks any more
	var refusal error
	err := d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		late, refusal = nil, nil
		s, err := of(c.Tx, from, b.Session)
		if err != nil {
			return err
		}
		dev, err := c.Device(from)
		if err != nil {
			return err
		}
		c.Actor.Name = dev.Name
		var g *grant.Grant
		if b.State == link.AskAllowed || b.State == link.AskOpen {
			if g, err = d.permission(c, dev, s, b.Grant); err != nil {
				if refusal = refusalOf(err); refusal == nil {
					return err
				}
				return c.Record("grant.refused", ref(s.ID), name(s), map[string]any{"code": refusal.Error()})
			}
		}
		t, err := s.Answer(b, g, c.Now)
		switch {
		case errors.Is(err, access.ErrOver):
			if g != nil {
				late = &s
				return d.endSessionGrants(c, s)
			}
			return nil
		case errors.Is(err, access.ErrEvent):
			return nil // for instance "shown" after "allowed" of a device that repeats itself
		case err != nil:
			return err
		}
		if err := d.save(c, t); err != nil {
			return err
		}
		switch {
		case t.State == s.State:
			return nil // shown with other seconds left
		case t.State == access.Allowed:
			return c.Record("session.allowed", ref(t.ID), name(t), map[string]any{"grant": t.Grant, "as": t.User, "scopes": t.Granted, "asked": b.State != link.AskOpen})
		case t.State == access.Refused:
			return c.Record("session.refused", ref(t.ID), name(t), map[string]any{"reason": t.Reason})
		}
		return nil
	})
	if late != nil && err == nil {
		d.end(*late, access.ByTechnician)
	}
	if err == nil {
		err = refusal
	}
	return err
}

// permission finds the grant that answers the question: the one that comes with the answer, or one that the
// server has a copy of.
func (d *Sessions) permission(c *desk.Change, dev device.Device, s access.Session, signed *grant.Signed) (*grant.Grant, error) {
	if signed != nil {
		g, err := access.Copy(*signed, dev.ID, dev.GrantKey, 0, c.Now)
		if err != nil {
			return nil, err
		}
		if err := s.Bears(g.Grant); err != nil {
			return nil, err
		}
		kept, err := d.keep(c, g)
		if err != nil {
			return nil, err
		}
		if kept.Ended(kept.Live(c.Now)) {
			return nil, grant.Revoked
		}
		return &kept.Grant, nil
	}
	known, err := c.Grants(store.GrantFilter{Device: dev.ID, Live: true})
	if err != nil {
		return nil, err
	}
	for _, g := range known {
		if s.Bears(g.Grant) == nil && !g.Ended(g.Live(c.Now)) {
			return &g.Grant, nil
		}
	}
	return nil, grant.NoGrant
}

// keep stores the copy of a verified grant, or returns the copy that the server has. The same id with
// other bytes is refused: what was signed never changes.
func (d *Sessions) keep(c *desk.Change, g access.Grant) (access.Grant, error) {
	known, err := c.Grant(device.ID(g.Device), g.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		live, err := c.Grants(store.GrantFilter{Device: device.ID(g.Device), Live: true, Limit: maxGrants})
		if err != nil {
			return g, err
		}
		if len(live) >= maxGrants {
			return g, fmt.Errorf("device %s has more than %d grants: %w", g.Device, maxGrants, grant.Malformed)
		}
		if err := c.InsertGrant(g); err != nil {
			return g, err
		}
		c.Hint(desk.TopicDevice, g.Device)
		return g, c.Record("grant.made", "grant:"+g.ID, "", map[string]any{
			"device": g.Device, "as": g.As, "scopes": g.Scopes, "session": g.Session, "ticket": g.Ticket, "standing": g.Standing, "budget": g.Budget, "made_by": g.MadeBy, "how": g.How,
		})
	case err != nil:
		return g, err
	case !slices.Equal(known.Signed.Bytes, g.Signed.Bytes):
		return g, grant.Forged
	}
	return known, nil
}

// granted keeps a copy of a grant that was made on the device.
func (d *Sessions) granted(ctx context.Context, from device.ID, b link.GrantMade) error {
	var refusal error
	var over *access.Grant
	err := d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		refusal, over = nil, nil
		dev, err := c.Device(from)
		if err != nil {
			return err
		}
		c.Actor.Name = dev.Name
		g, err := access.Copy(b.Grant, from, dev.GrantKey, b.Spent, c.Now)
		if err == nil {
			err = d.purpose(c.Tx, g.Grant)
		}
		if err == nil {
			var known access.Grant
			if known, err = d.keep(c, g); err == nil {
				if known.EndedAt.IsZero() && g.Spent > known.Live(c.Now).Spent { // the device knows best, and gives nothing back
					known.Spent, known.SpentAt = g.Spent, c.Now
					err = c.SaveGrant(known)
				} else if !known.EndedAt.IsZero() {
					over = &known
				}
			}
		}
		if refusal = refusalOf(err); refusal != nil {
			return c.Record("grant.refused", "device:"+string(from), dev.Name, map[string]any{"code": refusal.Error()})
		}
		return err
	})
	if err != nil {
		return err
	}
	if over != nil {
		d.tell(from, link.TypeEndGrant, link.EndGrant{ID: over.ID, Reason: over.Reason})
	}
	return refusal
}

// purpose checks that a grant is for something that the server knows: a session of that device and
// technician, or an open ticket of that device or of a session on it. A standing grant needs neither.
func (d *Sessions) purpose(tx store.Tx, g grant.Grant) error {
	switch {
	case g.Session != "":
		s, err := tx.Session(access.SessionID(g.Session))
		if errors.Is(err, store.ErrNotFound) {
			return grant.OtherSession
		}
		if err != nil {
			return err
		}
		return s.Bears(g)
	case g.Ticket != "":
		k, err := tx.Ticket(ticket.ID(g.Ticket))
		if errors.Is(err, store.ErrNotFound) {
			return grant.OtherTicket
		}
		if err != nil {
			return err
		}
		if k.Status == ticket.Closed {
			return grant.OtherTicket
		}
		if string(k.Device) == g.Device {
			return nil
		}
		asked, err := tx.Sessions(store.SessionFilter{Device: device.ID(g.Device), Ticket: k.ID, Limit: 1})
		if err != nil {
			return err
		}
		if len(asked) == 0 {
			return grant.OtherTicket
		}
	}
	return nil
}

func refusalOf(err error) error {
	if r, ok := errors.AsType[grant.Refusal](err); ok {
		return r
	}
	return nil
}

// deviceEnded notes that a grant is over on the device.
func (d *Sessions) deviceEnded(c *desk.Change, from device.ID, b link.GrantEnded) error {
	g, err := c.Grant(from, b.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // made and ended while the link was down
	}
	if err != nil {
		return err
	}
	return d.endGrant(c, g, b.Reason, true)
}

func (d *Sessions) endSessionGrants(c *desk.Change, s access.Session) error {
	grants, err := c.Grants(store.GrantFilter{Device: s.Device, Session: s.ID, Live: true})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := d.endGrant(c, g, "session_ended", false); err != nil {
			return err
		}
	}
	return nil
}

// reported applies what a device says of a running session.
func (d *Sessions) reported(ctx context.Context, from device.ID, b link.SessionState) error {
	return d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		s, err := of(c.Tx, from, b.Session)
		if err != nil {
			return err
		}
		t, err := s.Report(b, c.Now)
		if errors.Is(err, access.ErrOver) || errors.Is(err, access.ErrEvent) {
			return nil
		}
		if err != nil {
			return err
		}
		if t.State == s.State {
			return nil
		}
		if err := d.save(c, t); err != nil {
			return err
		}
		detail := map[string]any{}
		if t.State == access.Ended {
			detail["by"] = t.Reason
		}
		return c.Record("session."+string(t.State), ref(t.ID), name(t), detail)
	})
}

// channel notes what became of a channel that was offered: opened, or refused with a code.
func (d *Sessions) channel(ctx context.Context, from device.ID, id, refused string) error {
	return d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		ch, err := c.Channel(id)
		if err != nil {
			return err
		}
		if ch.Device != from {
			return store.ErrNotFound
		}
		if !ch.OpenedAt.IsZero() || ch.Refused != "" {
			return nil
		}
		s, err := c.Session(ch.Session)
		if err != nil {
			return err
		}
		detail := map[string]any{"channel": id, "kind": ch.Kind, "control": ch.Control}
		if refused != "" {
			if len(refused) > 64 {
				refused = "other"
			}
			detail["code"] = refused
			if err := c.RefuseChannel(id, refused); err != nil {
				return err
			}
			return c.Record("session.channel_refused", ref(s.ID), name(s), detail)
		}
		if err := c.OpenChannel(id, c.Now); err != nil {
			return err
		}
		t, err := s.Opened(ch.Kind, ch.Control, c.Now)
		switch {
		case errors.Is(err, access.ErrOver): // it ended while the channel was being opened; the relay closes it
		case err != nil:
			return err
		default:
			if err := d.save(c, t); err != nil {
				return err
			}
		}
		return c.Record("session.channel_opened", ref(s.ID), name(s), detail)
	})
}

// Known is what a device is told when its link comes up.
type Known struct {
	Ended    []string // grants that are over
	Sessions []string // sessions that the server holds open; others are over
}

// LinkUp brings the server's copies in line with what the device reports, and returns what the device must
// learn before it accepts an offer. Questions that wait are asked again, because the device may have
// restarted; they follow the welcome.
func (d *Sessions) LinkUp(ctx context.Context, from device.ID, p link.Proof) (Known, error) {
	var known Known
	var again []link.Ask
	if len(p.Grants) == 0 && len(p.Ended) == 0 { // most devices most of the time: after a restart they all come at once
		open := false
		if err := d.o.Read(ctx, func(tx store.Tx) (err error) {
			open, err = tx.AccessOpen(from)
			return err
		}); err != nil || !open {
			return known, err
		}
	}
	err := d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		known, again = Known{}, nil
		dev, err := c.Device(from)
		if err != nil {
			return err
		}
		c.Actor.Name = dev.Name
		for _, e := range p.Ended[:min(len(p.Ended), maxGrants)] {
			if err := d.deviceEnded(c, from, e); err != nil {
				return err
			}
		}
		reported, err := d.reconcile(c, dev, p.Grants, &known)
		if err != nil {
			return err
		}
		live, err := c.Sessions(store.SessionFilter{Device: from, Live: true, Limit: 1000})
		if err != nil {
			return err
		}
		for _, s := range live {
			if s, err = d.resume(c, s, reported); err != nil {
				return err
			}
			if s.State.Over() {
				continue
			}
			known.Sessions = append(known.Sessions, string(s.ID))
			if s.State.Waiting() {
				q, err := d.askAgain(c, s)
				if err != nil {
					return err
				}
				again = append(again, q)
			}
		}
		return nil
	})
	if err != nil {
		return known, err
	}
	for _, q := range again {
		if err := d.send(from, link.TypeAsk, q); err != nil {
			d.o.Logger.Info("question not asked again", "device", from, "session", q.Session, "err", err)
		}
	}
	return known, nil
}

// reconcile compares the grants that live on the device with the server's copies and returns the live ones.
func (d *Sessions) reconcile(c *desk.Change, dev device.Device, signed []grant.Signed, known *Known) (live []access.Grant, err error) {
	there := map[string]bool{}
	for _, s := range signed[:min(len(signed), maxGrants)] {
		g, err := access.Copy(s, dev.ID, dev.GrantKey, 0, c.Now)
		if err == nil {
			g.Spent = access.SpentSince(g.MadeAt, c.Now)
			err = d.purpose(c.Tx, g.Grant)
		}
		if r := refusalOf(err); r != nil {
			if g.ID != "" {
				known.Ended = append(known.Ended, g.ID) // for something that is over, or was never asked
				there[g.ID] = true
			}
			if err := c.Record("grant.refused", "device:"+string(dev.ID), dev.Name, map[string]any{"code": r.Error()}); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		kept, err := d.keep(c, g)
		if refusalOf(err) != nil {
			known.Ended = append(known.Ended, g.ID)
			continue
		}
		if err != nil {
			return nil, err
		}
		there[kept.ID] = true
		if !kept.EndedAt.IsZero() {
			known.Ended = append(known.Ended, kept.ID)
			continue
		}
		live = append(live, kept)
	}
	// what the server has and the device has not: over there, whoever ended it
	for _, f := range []store.GrantFilter{{Device: dev.ID, Live: true}, {Device: dev.ID, Untold: true}} {
		copies, err := c.Grants(f)
		if err != nil {
			return nil, err
		}
		for _, g := range copies {
			if !there[g.ID] {
				if err := d.endGrant(c, g, access.ByDeviceGone, true); err != nil {
					return nil, err
				}
			}
		}
	}
	return live, nil
}

// resume moves a session to where the device's grants say that it is.
func (d *Sessions) resume(c *desk.Change, s access.Session, live []access.Grant) (access.Session, error) {
	for _, g := range live {
		if s.Bears(g.Grant) != nil || g.Standing && s.State.Waiting() { // a standing grant is no answer to a question
			continue
		}
		if !s.State.Waiting() {
			return s, nil
		}
		if g.Session == "" {
			continue // a permission for the ticket was there before; the person is asked all the same
		}
		t, err := s.Answer(link.AskState{State: link.AskAllowed, User: g.As}, &g.Grant, c.Now)
		if err != nil {
			return s, err
		}
		if err := d.save(c, t); err != nil {
			return s, err
		}
		return t, c.Record("session.allowed", ref(t.ID), name(t), map[string]any{"grant": t.Grant, "as": t.User, "scopes": t.Granted, "asked": true})
	}
	switch {
	case s.Unanswered(c.Now):
		return d.over(c, s, access.ByNoAnswer)
	case s.State.Open():
		return d.over(c, s, access.ByDeviceGone)
	}
	return s, nil
}

func (d *Sessions) askAgain(c *desk.Change, s access.Session) (link.Ask, error) {
	k, err := c.Ticket(s.Ticket)
	if err != nil {
		return link.Ask{}, err
	}
	who, err := c.Account(s.Account)
	if err != nil {
		return link.Ask{}, err
	}
	return question(s, k, who.OrganizationName), nil
}
