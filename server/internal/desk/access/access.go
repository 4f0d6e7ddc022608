// Package access is what technicians do to reach a device, and what the device answers: ask, wait, open
// channels, leave; and how sessions and the copies of grants follow the device's word, a ticket's end and
// a link that comes back.
//
// Every method authorises its actor. The server's copies of grants only let it refuse early: the device
// decides again, on its own store, at every channel. The edges (web, api, httpd) call it; httpd hands it the
// messages of devices.
package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// Links reaches devices; package relay is one.
type Links interface {
	Online(device string) bool
	Send(device, typ string, body any) error
	EndSession(device, session, reason string) // closes its channels and tells the device
	Channels(device, session string) int       // that are open
}

// Topics of the bus beside those of package desk: every move of a session is published on TopicSession with
// its id, and on TopicSession + "." + id.
const TopicSession = "session"

// Sessions are the use cases.
type Sessions struct {
	o     desk.Options
	links atomic.Pointer[Links]

	mu   sync.Mutex
	busy map[access.SessionID]time.Time // when Sweep last saw an open session with a channel, or for the first time
}

// New returns the use cases. Until Reach is called, every device is offline.
func New(o desk.Options) *Sessions {
	return &Sessions{o: o, busy: map[access.SessionID]time.Time{}}
}

// Reach says how devices are reached. The relay itself needs a desk, so that it is made later.
func (d *Sessions) Reach(l Links) { d.links.Store(&l) }

func (d *Sessions) online(id device.ID) bool {
	l := d.links.Load()
	return l != nil && (*l).Online(string(id))
}

func (d *Sessions) send(id device.ID, typ string, body any) error {
	l := d.links.Load()
	if l == nil {
		return errors.New("no links yet")
	}
	return (*l).Send(string(id), typ, body)
}

func (d *Sessions) end(s access.Session, reason string) {
	if l := d.links.Load(); l != nil {
		(*l).EndSession(string(s.Device), string(s.ID), reason)
	}
}

// Ask makes a session and asks the person at the device. Without a ticket it takes the technician's own
// open ticket of that kind for the device, or makes one: there is no work without a ticket. Asking again
// while a session of the same technician, device and ticket is not over returns that one; if it still waits,
// the device is asked again, and answers with what became of the question: a screen may have been unlocked.
func (d *Sessions) Ask(ctx context.Context, a desk.Actor, to device.ID, t ticket.ID, scopes []grant.Scope) (s access.Session, err error) {
	if a.Account == "" || !a.May(account.SessionsStart) {
		return s, desk.Fail(access.ErrMayNot)
	}
	if err := desk.NeedFresh(a, d.o.Time()); err != nil {
		return s, err
	}
	if !d.online(to) {
		if err := d.o.Read(ctx, func(tx store.Tx) error { return present(tx, a, to) }); err != nil {
			return s, err
		}
		return s, offline()
	}
	var ask *link.Ask
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		ask = nil
		if err := present(c.Tx, a, to); err != nil {
			return err
		}
		dev, err := c.Device(to)
		if err != nil {
			return err
		}
		k, err := d.ticketFor(c, dev, t)
		if err != nil {
			return err
		}
		live, err := c.Sessions(store.SessionFilter{Device: to, Account: a.Account, Live: true})
		if err != nil {
			return err
		}
		for _, l := range live {
			if l.Unanswered(c.Now) {
				if _, err := d.over(c, l, access.ByNoAnswer); err != nil {
					return err
				}
				continue
			}
			if l.Ticket == k.ID {
				s = l
				if s.State.Waiting() {
					q, err := d.askAgain(c, s)
					ask = &q
					return err
				}
				return nil
			}
		}
		s, err = access.Ask(access.SessionID(c.NewID()), a.RightsIn(dev.Organization), a.Account, a.Name, dev, k, scopes, c.Now)
		if err != nil {
			return err
		}
		mine, err := c.Organization(a.Organization)
		if err != nil {
			return err
		}
		q := question(s, k, mine.Name)
		ask = &q
		if err := c.InsertSession(s); err != nil {
			return err
		}
		d.hint(c, s)
		return c.Record("session.asked", ref(s.ID), name(s), map[string]any{"device": s.Device, "ticket": s.Ticket, "scopes": s.Scopes})
	})
	if err != nil || ask == nil {
		return s, err
	}
	if err := d.send(to, link.TypeAsk, *ask); err != nil {
		s, err = d.endNow(ctx, a, s.ID, access.ByDeviceGone)
		if err != nil {
			return s, err
		}
		return s, offline()
	}
	return s, nil
}

// question is what the person reads. Texts are plain and short.
func question(s access.Session, k ticket.Ticket, organization string) link.Ask {
	q := link.Ask{
		Session: string(s.ID), Account: string(s.Account), Name: plain(s.Name), Organization: plain(organization),
		Ticket: string(k.ID), TicketNumber: k.Number, TicketTitle: plain(k.Title), Scopes: s.Scopes,
	}
	if k.Device == s.Device {
		q.User = k.OSUser
	}
	return q
}

// ticketFor loads the ticket that a session belongs to, or makes one.
func (d *Sessions) ticketFor(c *desk.Change, dev device.Device, id ticket.ID) (k ticket.Ticket, err error) {
	provider, err := c.Provider()
	if err != nil {
		return k, err
	}
	if id != "" {
		if k, err = c.Ticket(id); err != nil {
			return k, err
		}
		switch {
		case !c.Actor.MayIn(account.TicketsAll, k.Organization) && k.Assignee != c.Actor.Account:
			return k, store.ErrNotFound
		case k.Status == ticket.Closed:
			return k, ticket.ErrClosed
		case k.Organization != dev.Organization && k.Organization != provider.ID:
			return k, refuse(desk.ErrInvalid, "ticket_of_other_customer") // its title would be shown to another customer
		}
		return k, nil
	}
	mine, err := c.Tickets(store.TicketFilter{Device: dev.ID, Assignee: c.Actor.Account, Live: true, Limit: 20})
	if err != nil {
		return k, err
	}
	for _, k := range mine {
		if k.Source == ticket.FromPhone {
			return k, nil
		}
	}
	say := catalogue.For(c.Actor.Language)
	k = ticket.Ticket{
		ID: ticket.ID(c.NewID()), Organization: dev.Organization, OrganizationName: dev.OrganizationName, Title: say.T("access.ticket", "Device", dev.Name),
		Severity: api.Low, Status: ticket.Open, Requester: ticket.Contact{Name: dev.Name}, Device: dev.ID, DeviceName: dev.Name,
		Language: say.Language(), Source: ticket.FromPhone, Assignee: c.Actor.Account, AssigneeName: c.Actor.Name, CreatedAt: c.Now, UpdatedAt: c.Now, Version: 1,
	}
	k.Subject = say.T("ticket.subject", "Organization", k.OrganizationName, "Title", k.Title)
	if k.Number, err = c.NextTicketNumber(); err != nil {
		return k, err
	}
	if err := c.InsertTicket(k, ""); err != nil {
		return k, err
	}
	if err := c.IndexTicket(k, nil); err != nil {
		return k, err
	}
	c.Hint(desk.TopicTicket, string(k.ID))
	return k, c.Record("ticket.filed", "ticket:"+string(k.ID), fmt.Sprintf("#%d", k.Number), map[string]any{"number": k.Number, "source": k.Source, "device": dev.ID})
}

// Filter chooses sessions.
type Filter struct {
	Device device.ID
	Ticket ticket.ID
	Mine   bool             // the actor's own
	Live   bool             // not over
	Before access.SessionID // the last session of the page before
	Limit  int              // 1 to 200; default 50
}

// Sessions lists sessions, the newest first: all of them for who may view them, those of the organization's
// devices for a responsible person, their own for other technicians. Nobody else sees any.
func (d *Sessions) Sessions(ctx context.Context, a desk.Actor, f Filter) (list []access.Session, err error) {
	s := store.SessionFilter{Device: f.Device, Ticket: f.Ticket, Live: f.Live, Before: f.Before, Limit: f.Limit}
	if s.Limit < 1 || s.Limit > 200 {
		s.Limit = 50
	}
	switch {
	case a.May(account.AssistanceView):
		s.Within = a.Within()
		if f.Mine && a.May(account.SessionsStart) {
			s.Account = a.Account
		}
	case a.Account != "" && a.May(account.SessionsStart):
		s.Within, s.Account = a.Within(), a.Account
	case a.Account != "" && f.Device != "":
		return d.ownSessions(ctx, a, s)
	default:
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		list, err = tx.Sessions(s)
		return err
	})
	return list, err
}

// ownSessions lists for the owner of a device who was there as their own OS user; what happened at other
// users' desktops is not theirs to know.
func (d *Sessions) ownSessions(ctx context.Context, a desk.Actor, s store.SessionFilter) (list []access.Session, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		list = nil
		owners, err := tx.OwnersOn(s.Device)
		if err != nil {
			return err
		}
		mine := false
		for _, w := range owners {
			if w.Account != a.Account {
				continue
			}
			mine = true
			s.User = w.User
			of, err := tx.Sessions(s)
			if err != nil {
				return err
			}
			list = append(list, of...)
		}
		if !mine {
			return desk.ErrDenied
		}
		return nil
	})
	slices.SortFunc(list, func(a, b access.Session) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return list, err
}

// Session loads one session that the actor may see.
func (d *Sessions) Session(ctx context.Context, a desk.Actor, id access.SessionID) (s access.Session, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		s, err = visible(tx, a, id)
		return err
	})
	if err == nil && s.Unanswered(d.o.Time()) {
		return d.endNow(ctx, desk.System(), id, access.ByNoAnswer)
	}
	return s, err
}

// Channels lists what was opened in a session, the oldest first.
func (d *Sessions) Channels(ctx context.Context, a desk.Actor, id access.SessionID) (list []store.Channel, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		if _, err := visible(tx, a, id); err != nil {
			return err
		}
		list, err = tx.Channels(id)
		return err
	})
	return list, err
}

func visible(tx store.Tx, a desk.Actor, id access.SessionID) (access.Session, error) {
	s, err := tx.Session(id)
	if err != nil {
		return s, err
	}
	if a.MayIn(account.AssistanceView, s.Organization) || s.Account == a.Account && a.MayIn(account.SessionsStart, s.Organization) {
		return s, nil
	}
	return access.Session{}, store.ErrNotFound
}

// Permission is what the server knows of the permission under which a session goes on.
type Permission struct {
	Grant   access.Grant
	Scopes  []grant.Scope // what is allowed
	Until   time.Time     // zero with Forever
	Forever bool          // a standing permission, until somebody ends it
}

// Permission tells what is allowed in a session and until when; ErrNotFound when nothing is.
func (d *Sessions) Permission(ctx context.Context, a desk.Actor, id access.SessionID) (p Permission, err error) {
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		s, err := visible(tx, a, id)
		if err != nil {
			return err
		}
		grants, err := tx.Grants(store.GrantFilter{Device: s.Device, Live: true})
		if err != nil {
			return err
		}
		for _, g := range grants {
			left, forever := g.Left(now)
			if s.Bears(g.Grant) != nil || left == 0 && !forever || p.Grant.ID != "" && g.ID != s.Grant {
				continue
			}
			p = Permission{Grant: g, Scopes: g.Scopes, Until: now.Add(left), Forever: forever}
			if forever {
				p.Until = time.Time{}
			}
		}
		if p.Grant.ID == "" {
			return store.ErrNotFound
		}
		return nil
	})
	return p, err
}

// Grants lists the server's copies of a device's grants that are live, or of every device's, to those who may
// connect there.
func (d *Sessions) Grants(ctx context.Context, a desk.Actor, of device.ID) (list []access.Grant, err error) {
	if !a.May(account.SessionsStart) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		all, err := tx.Grants(store.GrantFilter{Device: of, Live: true})
		if err != nil {
			return err
		}
		list = nil
		reached := map[string]bool{}
		for _, g := range all {
			if _, known := reached[g.Device]; !known {
				dev, err := tx.Device(device.ID(g.Device))
				if err != nil {
					return err
				}
				reached[g.Device] = a.MayIn(account.SessionsStart, dev.Organization)
			}
			if reached[g.Device] && !g.Ended(g.Live(now)) {
				list = append(list, g)
			}
		}
		return nil
	})
	return list, err
}

// Authorise decides whether the actor may open a channel of a session now, and returns the offer for
// relay.Open. A refusal is an error of kind ErrDenied or ErrConflict whose Code is a grant.Refusal or one of this
// package's; it is on the audit log.
func (d *Sessions) Authorise(ctx context.Context, a desk.Actor, id access.SessionID, kind grant.Kind, control bool) (link.Offer, error) {
	return d.AuthoriseTarget(ctx, a, id, kind, control, "")
}

// AuthoriseTarget is Authorise for a channel that reaches host:port from the device.
func (d *Sessions) AuthoriseTarget(ctx context.Context, a desk.Actor, id access.SessionID, kind grant.Kind, control bool, target string) (o link.Offer, err error) {
	if a.Account == "" {
		return o, desk.Fail(desk.ErrDenied)
	}
	var refused error
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		refused = nil
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		if !a.MayIn(account.SessionsStart, s.Organization) {
			return store.ErrNotFound
		}
		grants, err := c.Grants(store.GrantFilter{Device: s.Device, Live: true})
		if err != nil {
			return err
		}
		g, err := s.Permits(a.Account, a.RightsIn(s.Organization), kind, control, target, grants, c.Now)
		if err == nil && !d.online(s.Device) {
			return offline()
		}
		if err != nil {
			refused = explain(err)
			return c.Record("session.channel_denied", ref(s.ID), name(s), map[string]any{"kind": kind, "control": control, "code": codeOf(refused)})
		}
		o = link.Offer{
			Channel: c.NewID(), Session: string(s.ID), Ticket: string(s.Ticket), Grant: g.ID, Account: string(s.Account), Name: plain(s.Name),
			Kind: kind, Control: control, Target: target,
		}
		return c.InsertChannel(store.Channel{ID: o.Channel, Session: s.ID, Device: s.Device, Kind: kind, Control: control, Grant: g.ID, OfferedAt: c.Now})
	})
	if err == nil {
		err = refused
	}
	return o, err
}

// Leave is the technician's going, or an administrator's ending of it: a question is taken back, an
// open session ends and its channels are closed. A permission until the ticket is closed stays.
func (d *Sessions) Leave(ctx context.Context, a desk.Actor, id access.SessionID, outcome string) error {
	var s access.Session
	waiting := false
	err := d.o.Change(ctx, a, func(c *desk.Change) (err error) {
		if s, err = visible(c.Tx, a, id); err != nil {
			return err
		}
		if !a.System {
			if err := s.MayEnd(a.Account, a.RightsIn(s.Organization)); err != nil {
				return err
			}
		}
		waiting = s.State.Waiting()
		if s, err = s.Leave(outcome, c.Now); err != nil {
			return err
		}
		if err := d.save(c, s); err != nil {
			return err
		}
		action := "session.left"
		if waiting {
			action = "session.withdrawn"
		}
		return c.Record(action, ref(s.ID), name(s), map[string]any{"outcome": outcome})
	})
	if errors.Is(err, access.ErrOver) {
		return nil // it is what was wanted
	}
	if err != nil {
		return err
	}
	if waiting {
		d.tell(s.Device, link.TypeWithdraw, link.Withdraw{Session: string(s.ID)})
		return nil
	}
	d.end(s, access.ByTechnician)
	return nil
}

// TicketClosed ends every permission and session that was given for a ticket. It may be called again.
func (d *Sessions) TicketClosed(ctx context.Context, id ticket.ID) error {
	var sessions []access.Session
	var grants []access.Grant
	err := d.o.Change(ctx, desk.System(), func(c *desk.Change) (err error) {
		k, err := c.Ticket(id)
		if err != nil {
			return err
		}
		if k.Status != ticket.Closed {
			sessions, grants = nil, nil
			return nil // opened again meanwhile: what is live was given anew or not yet ended
		}
		if sessions, err = c.Sessions(store.SessionFilter{Ticket: id, Live: true, Limit: 1000}); err != nil {
			return err
		}
		for i, s := range sessions {
			if sessions[i], err = d.over(c, s, access.ByTicketClosed); err != nil {
				return err
			}
		}
		if grants, err = c.Grants(store.GrantFilter{Ticket: id, Live: true}); err != nil {
			return err
		}
		for _, g := range grants {
			if err := d.endGrant(c, g, access.ByTicketClosed, false); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range grants {
		d.tell(device.ID(g.Device), link.TypeEndGrant, link.EndGrant{ID: g.ID, Reason: access.ByTicketClosed})
	}
	for _, s := range sessions {
		d.end(s, access.ByTicketClosed)
	}
	return nil
}

// DeviceRemoved ends what was open on a device that has been removed from the server.
func (d *Sessions) DeviceRemoved(ctx context.Context, id device.ID) error {
	var sessions []access.Session
	err := d.o.Change(ctx, desk.System(), func(c *desk.Change) (err error) {
		if sessions, err = c.Sessions(store.SessionFilter{Device: id, Live: true, Limit: 1000}); err != nil {
			return err
		}
		for i, s := range sessions {
			if sessions[i], err = d.over(c, s, access.ByRemoved); err != nil {
				return err
			}
		}
		grants, err := c.Grants(store.GrantFilter{Device: id, Live: true})
		if err != nil {
			return err
		}
		for _, g := range grants {
			if err := d.endGrant(c, g, access.ByRemoved, false); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range sessions {
		d.end(s, access.ByRemoved)
	}
	return err
}

// Sweep ends questions that were never answered, and open sessions that have had no channel for so long
// that the technician must have left. Run calls it each minute.
func (d *Sessions) Sweep(ctx context.Context) error {
	now := d.o.Time()
	var live []access.Session
	if err := d.o.Read(ctx, func(tx store.Tx) (err error) {
		live, err = tx.Sessions(store.SessionFilter{Live: true, Limit: 10_000})
		return err
	}); err != nil {
		return err
	}
	end := map[access.SessionID]string{}
	d.mu.Lock()
	busy := map[access.SessionID]time.Time{}
	for _, s := range live {
		switch since, seen := d.busy[s.ID]; {
		case s.Unanswered(now):
			end[s.ID] = access.ByNoAnswer
		case !s.State.Open():
		case !seen || d.channels(s) > 0:
			busy[s.ID] = now
		case now.Sub(since) > access.IdleAfter:
			end[s.ID] = access.ByTechnician
		default:
			busy[s.ID] = since
		}
	}
	d.busy = busy
	d.mu.Unlock()
	var errs []error
	for id, reason := range end {
		if _, err := d.endNow(ctx, desk.System(), id, reason); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (d *Sessions) channels(s access.Session) int {
	l := d.links.Load()
	if l == nil {
		return 0
	}
	return (*l).Channels(string(s.Device), string(s.ID))
}

// Run sweeps until ctx ends.
func (d *Sessions) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := d.Sweep(ctx); err != nil && ctx.Err() == nil {
				d.o.Logger.Warn("old sessions not ended", "err", err)
			}
		}
	}
}

// endNow ends one session and tells the device; one that is over stays as it is.
func (d *Sessions) endNow(ctx context.Context, a desk.Actor, id access.SessionID, reason string) (s access.Session, err error) {
	err = d.o.Change(ctx, a, func(c *desk.Change) (err error) {
		if s, err = c.Session(id); err != nil {
			return err
		}
		s, err = d.over(c, s, reason)
		return err
	})
	if err == nil {
		d.end(s, reason)
	}
	return s, err
}

// over ends a session in a change, with its one-time grants.
func (d *Sessions) over(c *desk.Change, s access.Session, reason string) (access.Session, error) {
	t, err := s.End(reason, c.Now)
	if errors.Is(err, access.ErrOver) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := d.save(c, t); err != nil {
		return s, err
	}
	return t, c.Record("session.ended", ref(t.ID), name(t), map[string]any{"by": reason})
}

// save stores a session that has moved, publishes it, and ends its one-time grants with it.
func (d *Sessions) save(c *desk.Change, s access.Session) error {
	if err := c.SaveSession(s); err != nil {
		return err
	}
	d.hint(c, s)
	if !s.State.Over() {
		return nil
	}
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

func (d *Sessions) endGrant(c *desk.Change, g access.Grant, reason string, told bool) error {
	if !g.EndedAt.IsZero() {
		if told && !g.Told {
			return c.SaveGrant(g.End(reason, true, c.Now))
		}
		return nil
	}
	g = g.End(reason, told, c.Now)
	if err := c.SaveGrant(g); err != nil {
		return err
	}
	c.Hint(desk.TopicDevice, g.Device)
	return c.Record("grant.ended", "grant:"+g.ID, "", map[string]any{"device": g.Device, "reason": g.Reason})
}

func (d *Sessions) hint(c *desk.Change, s access.Session) {
	c.Hint(TopicSession, string(s.ID))
	c.Hint(TopicSession+"."+string(s.ID), string(s.ID))
	if s.Ticket != "" {
		c.Hint(desk.TopicTicket, string(s.Ticket))
	}
}

// tell sends what a device that is offline learns when it comes back.
func (d *Sessions) tell(id device.ID, typ string, body any) {
	if !d.online(id) {
		return
	}
	if err := d.send(id, typ, body); err != nil {
		d.o.Logger.Info("message not sent; the device learns it with its next link", "device", id, "err", err)
	}
}

// present is an error if the device is not there, was removed, or is beyond the actor's reach.
func present(tx store.Tx, a desk.Actor, id device.ID) error {
	dev, err := tx.Device(id)
	if err != nil {
		return err
	}
	if !dev.RemovedAt.IsZero() || !a.MayIn(account.SessionsStart, dev.Organization) {
		return store.ErrNotFound
	}
	return nil
}

// plain makes a text fit for a window of the device: one line of at most 80 characters.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > 80 {
		s = string([]rune(s)[:79]) + "…"
	}
	return s
}

func ref(id access.SessionID) string { return "session:" + string(id) }

func name(s access.Session) string { return fmt.Sprintf("#%d %s", s.TicketNumber, s.DeviceName) }
