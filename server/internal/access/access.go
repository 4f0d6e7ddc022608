// Package access holds the rules about sessions and about the server's copies of grants: who may
// ask, what moves a session from one state to the next, which grant carries a channel, and until when.
//
// It is pure: values and the time go in, a value or a named error comes out. The permission itself
// lives on the device, which decides with the same grant.Permits on its own store; the copies here let
// the server refuse early and tell technicians what is allowed. The desk calls it; edges use its types.
package access

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// SessionID is the id of a session, a UUIDv7.
type SessionID string

// State is where a session stands.
type State string

// The states. Asking, Nobody and Locked wait for the person at the device; Allowed, Active and
// Paused are open; the others are the end.
const (
	Asking    State = "asking"    // the question is on its way or on the screen
	Nobody    State = "nobody"    // nobody is signed in who could see the question
	Locked    State = "locked"    // the screen is locked or switched away
	Allowed   State = "allowed"   // a grant exists, nothing was opened yet
	Active    State = "active"    // a channel was opened
	Paused    State = "paused"    // the person has paused: nothing is seen or touched
	Ended     State = "ended"     // it was open and is over, or the question came to nothing
	Refused   State = "refused"   // the person, or the device for them, said no
	Withdrawn State = "withdrawn" // the technician no longer asks
)

// States lists every state.
var States = []State{Asking, Nobody, Locked, Allowed, Active, Paused, Ended, Refused, Withdrawn}

// Waiting reports whether the person has not answered yet.
func (s State) Waiting() bool { return s == Asking || s == Nobody || s == Locked }

// Open reports whether channels may be opened.
func (s State) Open() bool { return s == Allowed || s == Active || s == Paused }

// Over reports whether nothing follows any more.
func (s State) Over() bool { return s == Ended || s == Refused || s == Withdrawn }

// Event is something that happens to a session.
type Event string

// The events.
const (
	EventShown    Event = "shown"    // the device shows the question
	EventNobody   Event = "nobody"   // the device has nobody to show it to
	EventLocked   Event = "locked"   // nobody sees it: locked or switched away
	EventRefused  Event = "refused"  // the device says no
	EventAllowed  Event = "allowed"  // the device has a grant for it
	EventActive   Event = "active"   // the device has opened a channel, or goes on after a pause
	EventPaused   Event = "paused"   // the person pauses
	EventEnded    Event = "ended"    // device, ticket or time end it
	EventWithdraw Event = "withdraw" // the technician takes the question back
	EventLeave    Event = "leave"    // the technician leaves
)

// Events lists every event.
var Events = []Event{EventShown, EventNobody, EventLocked, EventRefused, EventAllowed, EventActive, EventPaused, EventEnded, EventWithdraw, EventLeave}

// Errors of this package. Each is a sentence that a person can be shown.
var (
	ErrOver     = errors.New("this session is over")
	ErrEvent    = errors.New("this can't happen to the session now")
	ErrMayNot   = errors.New("only technicians and administrators can ask for access to a device")
	ErrNotYours = errors.New("this session belongs to another technician")
	ErrScopes   = errors.New("say what you ask for: view, control, clipboard, files, terminal, forward or admin")
	ErrOutcome  = errors.New("the outcome must be solved, later or nothing")
	ErrNotOpen  = errors.New("the person at the device has not allowed this session")
)

// Next is the state after e. ErrOver means that the session has ended before, ErrEvent that e makes no
// sense here; in both cases nothing changes.
func (s State) Next(e Event) (State, error) {
	switch {
	case !slices.Contains(States, s):
		return s, ErrEvent
	case s.Over():
		return s, ErrOver
	case s.Waiting():
		switch e {
		case EventShown:
			return Asking, nil
		case EventNobody:
			return Nobody, nil
		case EventLocked:
			return Locked, nil
		case EventRefused:
			return Refused, nil
		case EventAllowed:
			return Allowed, nil
		case EventEnded:
			return Ended, nil
		case EventWithdraw, EventLeave:
			return Withdrawn, nil
		}
	default:
		switch e {
		case EventAllowed: // the permission was widened
			return s, nil
		case EventActive:
			return Active, nil
		case EventPaused:
			return Paused, nil
		case EventEnded, EventWithdraw, EventLeave:
			return Ended, nil
		}
	}
	return s, ErrEvent
}

// Who or what ends a session, as link.SessionState says it, and what only the server knows.
const (
	ByPerson       = "person"
	ByTechnician   = "technician"
	ByBudget       = "budget"
	ByTicketClosed = "ticket_closed"
	ByNoAnswer     = "no_answer"      // the question was never answered
	ByDeviceGone   = "device_gone"    // the device knows nothing of it after its link came back
	ByRemoved      = "device_removed" // the device was removed from the server
)

// reasons are the codes that are stored as they come; others become "other".
var reasons = []string{
	"no", "later", "unknown_person", "silence", "cooldown", "busy", "withdrawn", "no_desktop", "no_sign", "wayland_not_shown", "os_not_yet", "not_available",
	ByPerson, ByTechnician, ByBudget, ByTicketClosed, "sign_lost", "signed_out", "failed", "revoked", "session_ended", "renewed", ByNoAnswer, ByDeviceGone, ByRemoved,
}

// Reason returns a device's reason if it is one that we know or a grant.Refusal, otherwise "other"; empty
// stays empty.
func Reason(s string) string {
	if s == "" || slices.Contains(reasons, s) || slices.Contains(refusals, grant.Refusal(s)) {
		return s
	}
	return "other"
}

// Bounds.
const (
	// AnswerWithin is how long a question may go without a sign of life from the device before it is
	// taken for unanswered. The device itself ends it after 60 s, or 11 minutes with all prolongations.
	AnswerWithin = 15 * time.Minute
	// IdleAfter is how long an open session may have no channel before the technician is taken to have
	// left: a closed browser must not keep a one-time permission open.
	IdleAfter = 15 * time.Minute
	maxText   = 100 // characters of a text of the device
)

// The outcomes that a technician leaves with.
const (
	Solved = "solved" // answered and closed by the technician
	Later  = "later"  // the permission stays as it was given
)

// Session is a technician's authorised use of one device, from the question to the end.
type Session struct {
	ID           SessionID
	Device       device.ID
	DeviceName   string
	Organization account.OrganizationID // the device's
	Ticket       ticket.ID
	TicketNumber int64
	TicketTitle  string
	Account      account.ID // the technician
	Name         string     // the technician's, as it was shown
	Scopes       []grant.Scope
	State        State
	User         string        // OS user who has the question, or whose rights are lent
	UserSince    time.Time     // locked or away since, device clock
	Words        string        // to be read out on the telephone
	Deadline     time.Time     // of the answer; zero: not known
	Granted      []grant.Scope // what was allowed
	Grant        string        // id of the grant by which it opened
	Reason       string        // of a refusal, or who or what ended it
	Outcome      string        // Solved, Later or empty
	Used         []string      // kinds of channel that were opened, and "control"
	AskedAt      time.Time
	MovedAt      time.Time // it changed its state
	AllowedAt    time.Time // zero: never
	EndedAt      time.Time // zero: not over
	Version      int64
}

// Ask makes a session that begins with a question. No scope means view and control.
func Ask(id SessionID, rights account.Rights, by account.ID, name string, d device.Device, t ticket.Ticket, scopes []grant.Scope, now time.Time) (Session, error) {
	if !rights.Has(account.SessionsStart) {
		return Session{}, ErrMayNot
	}
	if len(scopes) == 0 {
		scopes = []grant.Scope{grant.View, grant.Control}
	}
	var asked []grant.Scope
	for _, s := range grant.Scopes { // in the order in which people read them
		if slices.Contains(scopes, s) {
			asked = append(asked, s)
		}
	}
	for _, s := range scopes {
		if !slices.Contains(grant.Scopes, s) {
			return Session{}, ErrScopes
		}
	}
	if slices.Contains(asked, grant.Control) && !slices.Contains(asked, grant.View) {
		asked = append([]grant.Scope{grant.View}, asked...) // nobody controls what they can't see
	}
	return Session{
		ID: id, Device: d.ID, DeviceName: d.Name, Organization: d.Organization,
		Ticket: t.ID, TicketNumber: t.Number, TicketTitle: t.Title,
		Account: by, Name: name, Scopes: asked, State: Asking, AskedAt: now, MovedAt: now, Version: 1,
	}, nil
}

// MayEnd reports whether an account with these rights may end the session: its technician, or who may
// close those of others.
func (s Session) MayEnd(by account.ID, rights account.Rights) error {
	if s.Account == by && rights.Has(account.SessionsStart) || rights.Has(account.AssistanceDelete) {
		return nil
	}
	return ErrNotYours
}

// Unanswered reports whether the question has waited too long for any word of the device.
func (s Session) Unanswered(now time.Time) bool {
	return s.State.Waiting() && now.Sub(s.MovedAt) > AnswerWithin && now.After(s.Deadline)
}

// move applies an event; what belongs to the state before is cleared.
func (s Session) move(e Event, now time.Time) (Session, error) {
	next, err := s.State.Next(e)
	if err != nil {
		return s, err
	}
	s.State, s.MovedAt = next, now
	if !next.Waiting() {
		s.Deadline = time.Time{}
	}
	if next.Open() && s.AllowedAt.IsZero() {
		s.AllowedAt = now
	}
	if next.Over() {
		s.EndedAt = now
	}
	return s, nil
}

// Answer applies what a device says about the question. The grant of an answer that allows must have
// been verified before; g is nil for any other.
func (s Session) Answer(b link.AskState, g *grant.Grant, now time.Time) (Session, error) {
	event := map[string]Event{
		link.AskShown: EventShown, link.AskNobody: EventNobody, link.AskLocked: EventLocked,
		link.AskRefused: EventRefused, link.AskAllowed: EventAllowed, link.AskOpen: EventAllowed,
	}[b.State]
	if event == EventAllowed && g == nil {
		return s, grant.NoGrant
	}
	t, err := s.move(event, now)
	if err != nil {
		return s, err
	}
	if u := clean(b.User); u != "" {
		t.User = u
	}
	t.UserSince = time.Time{}
	switch event {
	case EventShown:
		t.Words = clean(b.Words)
		if b.Seconds > 0 {
			t.Deadline = now.Add(time.Duration(min(b.Seconds, 3600)) * time.Second)
		}
	case EventLocked:
		if b.Since > 0 {
			t.UserSince = time.UnixMicro(b.Since).UTC()
		}
		if b.Words != "" {
			t.Words = clean(b.Words)
		}
	case EventRefused:
		if t.Reason = Reason(b.Reason); t.Reason == "" {
			t.Reason = "no"
		}
	case EventAllowed:
		t.Grant, t.User, t.Granted = g.ID, g.As, slices.Clone(g.Scopes)
	}
	return t, nil
}

// Report applies what a device says about a running session.
func (s Session) Report(b link.SessionState, now time.Time) (Session, error) {
	switch b.State {
	case "active":
		return s.move(EventActive, now)
	case "paused":
		return s.move(EventPaused, now)
	case "ended":
		return s.End(Reason(b.Reason), now)
	}
	return s, ErrEvent
}

// Opened notes that a channel of that kind carries bytes.
func (s Session) Opened(kind grant.Kind, control bool, now time.Time) (Session, error) {
	if s.State.Over() {
		return s, ErrOver
	}
	if s.State == Allowed {
		var err error
		if s, err = s.move(EventActive, now); err != nil {
			return s, err
		}
	}
	used := []string{string(kind)}
	if control {
		used = append(used, "control")
	}
	for _, u := range used {
		if !slices.Contains(s.Used, u) {
			s.Used = append(slices.Clone(s.Used), u)
		}
	}
	return s, nil
}

// End ends the session for a reason that is one of the By… or of the device's.
func (s Session) End(reason string, now time.Time) (Session, error) {
	t, err := s.move(EventEnded, now)
	if err != nil {
		return s, err
	}
	if t.Reason = reason; reason == "" {
		t.Reason = "other"
	}
	return t, nil
}

// Leave is the technician's going: a question is taken back, an open session ends.
func (s Session) Leave(outcome string, now time.Time) (Session, error) {
	if outcome != "" && outcome != Solved && outcome != Later {
		return s, ErrOutcome
	}
	t, err := s.move(EventLeave, now)
	if err != nil {
		return s, err
	}
	t.Reason, t.Outcome = ByTechnician, outcome
	return t, nil
}

// clean makes a device's text fit to be shown: one line, without control and bidi characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > maxText {
		s = string([]rune(s)[:maxText])
	}
	return s
}
