package access

import (
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/grant"
)

// Grant is the server's copy of a grant that lives on a device.
type Grant struct {
	grant.Grant
	Signed  grant.Signed // the bytes as they came
	Spent   int64        // seconds of the budget that were gone at SpentAt
	SpentAt time.Time
	EndedAt time.Time // zero: live, as far as the server knows
	Reason  string    // why it ended
	Told    bool      // the device itself said that it ended, or has confirmed it
}

// Copy verifies a grant that device d sent and makes the server's copy of it: Malformed, Forged or
// OtherDevice. spent is what the device says is gone of its budget.
func Copy(s grant.Signed, d device.ID, key ed25519.PublicKey, spent int64, now time.Time) (Grant, error) {
	g, err := grant.Verify(s, key)
	if err != nil {
		return Grant{}, err
	}
	if g.Device != string(d) {
		return Grant{}, grant.OtherDevice
	}
	return Grant{Grant: g, Signed: s, Spent: max(spent, 0), SpentAt: now}, nil
}

// SpentSince estimates what is gone of the budget of a grant that the device keeps and whose copy is
// new to the server: the wall clock since it was made, never less than nothing.
func SpentSince(madeAt int64, now time.Time) int64 {
	return max(0, int64(now.Sub(time.UnixMicro(madeAt))/time.Second))
}

// Live is what grant.Permits wants to know at the given time.
func (g Grant) Live(now time.Time) grant.Live {
	return grant.Live{Spent: g.Spent + max(0, int64(now.Sub(g.SpentAt)/time.Second)), Revoked: !g.EndedAt.IsZero()}
}

// Left is how long the grant may still be used; 0 when it is over. forever is true for a standing grant
// without a budget.
func (g Grant) Left(now time.Time) (left time.Duration, forever bool) {
	live := g.Live(now)
	if g.Ended(live) {
		return 0, false
	}
	if g.Budget == 0 {
		return 0, true
	}
	return time.Duration(g.Budget-live.Spent) * time.Second, false
}

// End ends the copy. Ending it again changes nothing, except that the device may confirm it.
func (g Grant) End(reason string, told bool, now time.Time) Grant {
	if g.EndedAt.IsZero() {
		g.EndedAt, g.Reason = now, Reason(reason)
		if g.Reason == "" {
			g.Reason = "other"
		}
	}
	g.Told = g.Told || told
	return g
}

// Bears reports whether g can be the answer to the question of session s: it is of that device, for
// that technician, and bound to that session, to its ticket, or standing. The error is a grant.Refusal.
func (s Session) Bears(g grant.Grant) error {
	switch {
	case g.Device != string(s.Device):
		return grant.OtherDevice
	case g.Holder != nil && g.Holder.Account != string(s.Account):
		return grant.OtherHolder
	case g.Session != "" && g.Session != string(s.ID):
		return grant.OtherSession
	case g.Ticket != "" && (s.Ticket == "" || g.Ticket != string(s.Ticket)):
		return grant.OtherTicket
	}
	return nil
}

// refusals are ordered by how much they tell the technician what to do: the first that any grant
// gives is the answer.
var refusals = []grant.Refusal{grant.Scopeless, grant.OtherTarget, grant.Expired, grant.Revoked, grant.OtherSession, grant.OtherTicket}

// Permits decides whether an account may open a channel of session s now, and by which grant. It is
// asked at every channel. The error is ErrNotYours, ErrNotOpen, ErrOver or a grant.Refusal.
func (s Session) Permits(by account.ID, rights account.Rights, kind grant.Kind, control bool, target string, grants []Grant, now time.Time) (Grant, error) {
	switch {
	case !rights.Has(account.SessionsStart) || s.Account != by:
		return Grant{}, ErrNotYours
	case s.State.Over():
		return Grant{}, ErrOver
	case !s.State.Open():
		return Grant{}, ErrNotOpen
	}
	use := grant.Use{
		Device: string(s.Device), Account: string(s.Account), Session: string(s.ID), Ticket: string(s.Ticket),
		Kind: kind, Control: control, Target: target,
	}
	var best *Grant
	refusal := grant.NoGrant
	rank := len(refusals)
	for i := range grants {
		g := &grants[i]
		err := g.Permits(use, g.Live(now))
		if err == nil {
			if best == nil || s.before(*g, *best) {
				best = g
			}
			continue
		}
		if r, ok := err.(grant.Refusal); ok {
			if n := slices.Index(refusals, r); n >= 0 && n < rank {
				refusal, rank = r, n
			}
		}
	}
	if best == nil {
		return Grant{}, refusal
	}
	return *best, nil
}

// before reports whether a is the better grant to use: the one by which the session opened, then the
// narrower bound (session, ticket, standing), then the newer.
func (s Session) before(a, b Grant) bool {
	if x, y := a.ID == s.Grant, b.ID == s.Grant; x != y {
		return x
	}
	bound := func(g Grant) int {
		switch {
		case g.Session != "":
			return 0
		case g.Ticket != "":
			return 1
		}
		return 2
	}
	if x, y := bound(a), bound(b); x != y {
		return x < y
	}
	return a.MadeAt > b.MadeAt
}
