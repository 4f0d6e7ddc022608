// Package grants is the device's own store of permissions: the only place where one is live. It makes
// them, spends their budgets, ends them, and decides by grant.Permits whether an offer may be opened.
//
// Nothing that a server sends can make or widen one: Make is called where the kernel has told that
// the OS user or root acts, and nowhere else. A budget is spent by the boot-time clock within a boot
// and by the wall clock, forward only, across boots; what was spent is stored each minute and never
// given back. An end holds at once, even where it can't be written. The stored bytes are verified
// again at each decision.
package grants

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// Reasons for which a grant ends.
const (
	Revoked      = "revoked"
	Budget       = "budget"
	TicketClosed = "ticket_closed"
	SessionEnded = "session_ended"
	Renewed      = "renewed"
)

// ErrNotFound is returned by End for a grant that is not live.
var ErrNotFound = errors.New("no such permission")

// Clock tells times. Boot names the running boot and how long it has been running, suspended time
// included.
type Clock struct {
	Now  func() time.Time
	Boot func() (id string, since time.Duration)
}

// SystemClock is this computer's clock.
func SystemClock() Clock { return Clock{Now: time.Now, Boot: boot} }

// Entry is a live grant.
type Entry struct {
	Grant        grant.Grant
	Signed       grant.Signed
	TicketNumber int64
	Live         grant.Live
}

// Left is what remains of the budget in seconds; -1 where there is none.
func (e Entry) Left() int64 {
	if e.Grant.Budget == 0 {
		return -1
	}
	return max(0, e.Grant.Budget-e.Live.Spent)
}

// held is a grant in memory: what the database has, and the clock readings that its spent seconds
// belong to.
type held struct {
	entry  Entry
	err    error // Forged or Malformed: what stands in the store is not what was signed
	spent  float64
	boot   string
	bootAt time.Duration
	wallAt int64 // Unix microseconds
}

// Store keeps the grants of one device.
type Store struct {
	db     *sql.DB
	key    ed25519.PrivateKey
	device string
	clock  Clock

	mu    sync.Mutex
	live  map[string]*held
	ended map[string]string // id -> reason, of this run, and of the newest in the database
}

// New loads the live grants of a device.
func New(ctx context.Context, db *sql.DB, key ed25519.PrivateKey, device string, clock Clock) (*Store, error) {
	s := &Store{db: db, key: key, device: device, clock: clock, live: map[string]*held{}, ended: map[string]string{}}
	rows, err := db.QueryContext(ctx, `select id, bytes, signature, ticket_number, spent, boot, boot_at, wall_at from permission where ended_at = 0`)
	if err != nil {
		return nil, fmt.Errorf("load permissions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var h held
		var spent, bootAt int64
		if err := rows.Scan(&id, &h.entry.Signed.Bytes, &h.entry.Signed.Signature, &h.entry.TicketNumber, &spent, &h.boot, &bootAt, &h.wallAt); err != nil {
			return nil, fmt.Errorf("load permissions: %w", err)
		}
		h.spent, h.bootAt = float64(spent), time.Duration(bootAt)*time.Microsecond
		h.verify(key.Public().(ed25519.PublicKey), id)
		s.live[id] = &h
	}
	return s, rows.Err()
}

// verify parses the stored bytes again and checks that they are what this device signed under this id.
func (h *held) verify(key ed25519.PublicKey, id string) {
	h.entry.Grant, h.err = grant.Verify(h.entry.Signed, key)
	if h.err == nil && h.entry.Grant.ID != id {
		h.err = grant.Forged
	}
}

// advance spends the time that has gone by since the last reading.
func (h *held) advance(c Clock) {
	id, since := c.Boot()
	wall := c.Now().UnixMicro()
	switch {
	case id == h.boot && id != "":
		if d := since - h.bootAt; d > 0 {
			h.spent += d.Seconds()
		}
	default:
		// Another boot: the wall clock's difference, forward only, and at least the time this boot has
		// been running.
		h.spent += max(time.Duration(wall-h.wallAt)*time.Microsecond, since, 0).Seconds()
	}
	h.boot, h.bootAt, h.wallAt = id, since, wall
	h.entry.Live.Spent = int64(h.spent)
}

// Make signs g, with its id, device, version and time filled in, and keeps it. It is live when Make
// returns nil.
func (s *Store) Make(ctx context.Context, g grant.Grant, ticketNumber int64) (Entry, error) {
	now := s.clock.Now()
	g.Version, g.ID, g.Device, g.MadeAt = 1, api.NewID(now), s.device, now.UnixMicro()
	signed, err := grant.Sign(g, s.key)
	if err != nil {
		return Entry{}, fmt.Errorf("make permission: %w", err)
	}
	h := &held{entry: Entry{Grant: g, Signed: signed, TicketNumber: ticketNumber}, wallAt: now.UnixMicro()}
	h.boot, h.bootAt = s.clock.Boot()
	s.mu.Lock()
	defer s.mu.Unlock()
	err = state.Tx(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into permission (id, as_id, bytes, signature, ticket_number, spent, boot, boot_at, wall_at)
			values ($1, $2, $3, $4, $5, 0, $6, $7, $8)`, g.ID, g.AsID, signed.Bytes, signed.Signature, ticketNumber, h.boot, h.bootAt.Microseconds(), h.wallAt)
		return err
	})
	if err != nil {
		return Entry{}, fmt.Errorf("make permission: %w", err)
	}
	s.live[g.ID] = h
	return h.entry, nil
}

// Live lists live grants, oldest first, of one OS user or of all if asID is empty. A grant whose
// budget has run out is not in it.
func (s *Store) Live(asID string) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, h := range s.live {
		h.advance(s.clock)
		if h.err == nil && !h.entry.Grant.Ended(h.entry.Live) && (asID == "" || h.entry.Grant.AsID == asID) {
			out = append(out, h.entry)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return int(a.Grant.MadeAt - b.Grant.MadeAt) })
	return out
}

// Signed lists what the server mirrors.
func (s *Store) Signed() []grant.Signed {
	var out []grant.Signed
	for _, e := range s.Live("") {
		out = append(out, e.Signed)
	}
	return out
}

// Get returns a live grant.
func (s *Store) Get(id string) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.live[id]
	if h == nil || h.err != nil {
		return Entry{}, false
	}
	h.advance(s.clock)
	return h.entry, !h.entry.Grant.Ended(h.entry.Live)
}

// Decide answers an offer by this store and nothing else. The error is a grant.Refusal.
func (s *Store) Decide(ctx context.Context, o link.Offer) (Entry, error) {
	s.mu.Lock()
	h := s.live[o.Grant]
	reason, over := s.ended[o.Grant]
	var e Entry
	var damage error
	if h != nil {
		h.verify(s.key.Public().(ed25519.PublicKey), o.Grant)
		h.advance(s.clock)
		e, damage = h.entry, h.err
	}
	s.mu.Unlock()
	if h == nil {
		if !over {
			err := s.db.QueryRowContext(ctx, `select reason from permission where id = $1 and ended_at <> 0`, o.Grant).Scan(&reason)
			over = err == nil
		}
		switch {
		case over && reason == Budget:
			return Entry{}, grant.Expired
		case over:
			return Entry{}, grant.Revoked
		}
		return Entry{}, grant.NoGrant
	}
	if damage != nil {
		return Entry{}, damage
	}
	err := e.Grant.Permits(grant.Use{
		Device: s.device, Account: o.Account, Session: o.Session, Ticket: o.Ticket,
		Kind: o.Kind, Control: o.Control, Target: o.Target,
	}, e.Live)
	if err != nil {
		return e, err
	}
	// Administrator rights are a scope of their own: what runs as root needs it, whatever else is allowed.
	if RootID(e.Grant.AsID) && o.Kind != grant.KindDesktop && o.Kind != grant.KindForward && !e.Grant.Has(grant.Admin) {
		return e, grant.Scopeless
	}
	return e, nil
}

// RootID reports whether this uid or SID is the administrator's own account: commands and files as
// this user need the scope admin.
func RootID(id string) bool { return id == "0" || id == "S-1-5-18" }

// End ends a grant. It holds at once, before it is written: an error means only that it might come
// back after a restart, and the service tries again.
func (s *Store) End(ctx context.Context, id, reason string) (link.GrantEnded, Entry, error) {
	s.mu.Lock()
	h := s.live[id]
	if h == nil {
		s.mu.Unlock()
		return link.GrantEnded{}, Entry{}, ErrNotFound
	}
	h.advance(s.clock)
	delete(s.live, id)
	s.ended[id] = reason
	s.mu.Unlock()
	e := link.GrantEnded{ID: id, At: s.clock.Now().UnixMicro(), Reason: reason}
	_, err := s.db.ExecContext(ctx, `update permission set ended_at = $2, reason = $3, spent = $4 where id = $1 and ended_at = 0`, id, e.At, reason, int64(h.spent))
	if err != nil {
		err = fmt.Errorf("write end of permission: %w", err)
	}
	return e, h.entry, err
}

// Ended lists what has ended on the device, the newest 100, for a server that was not there.
func (s *Store) Ended(ctx context.Context) ([]link.GrantEnded, error) {
	rows, err := s.db.QueryContext(ctx, `select id, ended_at, reason from permission where ended_at <> 0 order by ended_at desc limit 100`)
	if err != nil {
		return nil, fmt.Errorf("list ended permissions: %w", err)
	}
	defer rows.Close()
	var out []link.GrantEnded
	for rows.Next() {
		var e link.GrantEnded
		if err := rows.Scan(&e.ID, &e.At, &e.Reason); err != nil {
			return nil, fmt.Errorf("list ended permissions: %w", err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Tick stores what has been spent and returns the ids whose budget has run out, for the caller to
// end. next is when it should be called again: at the next end of a budget, in a minute at most.
// It also writes ends that could not be written before.
func (s *Store) Tick(ctx context.Context) (over []string, next time.Duration, err error) {
	type reading struct {
		id, boot       string
		spent          int64
		bootAt, wallAt int64
	}
	next = time.Minute
	var rs []reading
	var ends []string
	s.mu.Lock()
	for id, h := range s.live {
		h.advance(s.clock)
		if h.err != nil {
			continue
		}
		if h.entry.Grant.Ended(h.entry.Live) {
			over = append(over, id)
			continue
		}
		if b := h.entry.Grant.Budget; b > 0 {
			left := time.Duration((float64(b) - h.spent) * float64(time.Second))
			next = min(next, max(left, 10*time.Millisecond))
		}
		rs = append(rs, reading{id, h.boot, int64(h.spent), h.bootAt.Microseconds(), h.wallAt})
	}
	for id := range s.ended {
		ends = append(ends, id)
	}
	s.mu.Unlock()
	slices.Sort(over)
	if len(rs) == 0 && len(ends) == 0 {
		return over, next, nil
	}
	err = state.Tx(ctx, s.db, func(tx *sql.Tx) error {
		for _, r := range rs {
			// Seconds are stored rounded up with the reading they belong to: nothing is given back.
			if _, err := tx.ExecContext(ctx, `update permission set spent = max(spent, $2), boot = $3, boot_at = $4, wall_at = $5 where id = $1 and ended_at = 0`,
				r.id, r.spent+1, r.boot, r.bootAt, r.wallAt); err != nil {
				return err
			}
		}
		now := s.clock.Now().UnixMicro()
		for _, id := range ends {
			s.mu.Lock()
			reason := s.ended[id]
			s.mu.Unlock()
			if _, err := tx.ExecContext(ctx, `update permission set ended_at = $2, reason = $3 where id = $1 and ended_at = 0`, id, now, reason); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return over, next, fmt.Errorf("store spent budgets: %w", err)
	}
	s.mu.Lock()
	for _, id := range ends {
		delete(s.ended, id)
	}
	s.mu.Unlock()
	return over, next, nil
}
