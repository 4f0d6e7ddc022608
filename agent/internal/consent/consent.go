// Package consent holds the questions that wait for a person at the device: who asks for what, until
// when, and what came of it.
//
// Its rules: silence is no after 60 seconds, prolonged by 60 at most ten times; an answer comes from
// the OS user whom the question concerns; a yes counts from one second after the question was drawn;
// after a no the same technician can't ask again for five minutes. Texts that come from the server are
// cleaned and shortened before anybody sees them. The package makes no grant: Allow calls back while
// the question is still open. The service calls it for messages of the link and of the local API.
package consent

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/shared/grant"
)

// The times of a question.
const (
	Countdown = 60 * time.Second
	Settle    = time.Second     // between drawn and a yes that counts
	CoolDown  = 5 * time.Minute // of a technician after a no
	Prolongs  = 10

	maxText    = 80 // runes of a text of the server
	maxPending = 5  // questions of one person at the same time
)

// Errors of the answers.
var (
	ErrGone    = errors.New("the question is over")
	ErrTooSoon = errors.New("the question was drawn less than a second ago")
	ErrScopes  = errors.New("more was allowed than asked")
	ErrNoMore  = errors.New("the question can't be prolonged again")
)

// Outcomes of a question.
const (
	Allowed   = "allowed"
	Refused   = "refused"
	Silence   = "silence"
	Withdrawn = "withdrawn"
)

// Reasons of a no, beside those a person chooses (no, later, unknown_person).
const (
	ReasonCoolDown = "cooldown"
	ReasonBusy     = "busy"
)

// Question is one question to one person.
type Question struct {
	Session      string
	Account      string
	Name         string
	Organization string
	Ticket       string
	TicketNumber int64
	TicketTitle  string
	Scopes       []grant.Scope
	UserID       string // whom it concerns
	User         string
	Words        string
	Standing     bool // a standing grant exists, the person is asked first
	Deadline     time.Time
	Prolonged    int
	ShownAt      time.Time // zero: not drawn yet
}

// Outcome is how a question ended.
type Outcome struct {
	Question Question
	Result   string // Allowed, Refused, Silence, Withdrawn
	Reason   string // of Refused: no, later, unknown_person
}

// Options of New.
type Options struct {
	Now  func() time.Time
	Over func(Outcome) // called once when a question ends, not under a lock
}

// Desk holds the questions of one device.
type Desk struct {
	o Options

	mu      sync.Mutex
	open    map[string]*pending  // by session
	refused map[string]time.Time // by account and user: when the cool-down ends
}

type pending struct {
	q     Question
	timer *time.Timer
}

// New makes an empty desk.
func New(o Options) *Desk {
	return &Desk{o: o, open: map[string]*pending{}, refused: map[string]time.Time{}}
}

// Clean makes a text of the server harmless: one line, no control, format or bidi characters, 80
// runes at most.
func Clean(s string) string { return CleanTo(s, maxText) }

// CleanTo is Clean with another limit of runes.
func CleanTo(s string, limit int) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > limit {
		r := []rune(s)
		s = strings.TrimSpace(string(r[:limit-1])) + "…"
	}
	return s
}

func cooling(account, user string) string { return account + "\x00" + user }

// Ask puts a question. It returns the reason of an immediate no: ReasonCoolDown or ReasonBusy, or
// nothing. The question as it is shown comes back with its deadline.
func (d *Desk) Ask(q Question) (Question, string) {
	now := d.o.Now()
	q.Name, q.Organization, q.TicketTitle = Clean(q.Name), Clean(q.Organization), Clean(q.TicketTitle)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused[cooling(q.Account, q.UserID)].After(now) {
		return q, ReasonCoolDown
	}
	if d.open[q.Session] != nil {
		return q, ReasonBusy
	}
	n := 0
	for _, p := range d.open {
		if p.q.UserID == q.UserID {
			n++
			if p.q.Account == q.Account {
				return q, ReasonBusy
			}
		}
	}
	if n >= maxPending {
		return q, ReasonBusy
	}
	q.Deadline = now.Add(Countdown)
	p := &pending{q: q}
	session := q.Session
	p.timer = time.AfterFunc(Countdown, func() { d.silence(session, p) })
	d.open[q.Session] = p
	return q, ""
}

// silence ends a question whose deadline has passed.
func (d *Desk) silence(session string, p *pending) {
	d.mu.Lock()
	if d.open[session] != p {
		d.mu.Unlock()
		return
	}
	if left := p.q.Deadline.Sub(d.o.Now()); left > 0 { // prolonged meanwhile
		p.timer.Reset(left)
		d.mu.Unlock()
		return
	}
	d.refused[cooling(p.q.Account, p.q.UserID)] = d.o.Now().Add(CoolDown)
	o := d.close(p, Silence, "silence")
	d.mu.Unlock()
	d.o.Over(o)
}

// close takes a question off the desk; the lock is held.
func (d *Desk) close(p *pending, result, reason string) Outcome {
	p.timer.Stop()
	delete(d.open, p.q.Session)
	now := d.o.Now()
	for k, t := range d.refused {
		if !t.After(now) {
			delete(d.refused, k)
		}
	}
	return Outcome{Question: p.q, Result: result, Reason: reason}
}

// find returns the question of a session if it concerns this user; the lock is held.
func (d *Desk) find(session, userID string) (*pending, error) {
	p := d.open[session]
	if p == nil || p.q.UserID != userID || !p.q.Deadline.After(d.o.Now()) {
		return nil, ErrGone
	}
	return p, nil
}

// Shown notes that the question is drawn. first tells whether it is the first time.
func (d *Desk) Shown(session, userID string) (q Question, first bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.find(session, userID)
	if err != nil {
		return Question{}, false, err
	}
	if p.q.ShownAt.IsZero() {
		p.q.ShownAt, first = d.o.Now(), true
	}
	return p.q, first, nil
}

// Allow is a person's yes to scopes, a part of what was asked. keep makes the grant; if it fails, the
// question stays open.
func (d *Desk) Allow(session, userID string, scopes []grant.Scope, keep func(Question) error) error {
	d.mu.Lock()
	p, err := d.find(session, userID)
	if err != nil {
		d.mu.Unlock()
		return err
	}
	if p.q.ShownAt.IsZero() || d.o.Now().Sub(p.q.ShownAt) < Settle {
		d.mu.Unlock()
		return ErrTooSoon
	}
	for i, s := range scopes {
		if !slices.Contains(p.q.Scopes, s) || slices.Contains(scopes[:i], s) {
			d.mu.Unlock()
			return ErrScopes
		}
	}
	if len(scopes) == 0 {
		d.mu.Unlock()
		return ErrScopes
	}
	if err := keep(p.q); err != nil {
		d.mu.Unlock()
		return err
	}
	o := d.close(p, Allowed, "")
	d.mu.Unlock()
	d.o.Over(o)
	return nil
}

// Refuse is a person's no: no, later or unknown_person.
func (d *Desk) Refuse(session, userID, reason string) error {
	switch reason {
	case "no", "later", "unknown_person":
	default:
		reason = "no"
	}
	d.mu.Lock()
	p, err := d.find(session, userID)
	if err != nil {
		d.mu.Unlock()
		return err
	}
	d.refused[cooling(p.q.Account, userID)] = d.o.Now().Add(CoolDown)
	o := d.close(p, Refused, reason)
	d.mu.Unlock()
	d.o.Over(o)
	return nil
}

// MoreTime prolongs a question by 60 seconds.
func (d *Desk) MoreTime(session, userID string) (Question, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.find(session, userID)
	if err != nil {
		return Question{}, err
	}
	if p.q.Prolonged >= Prolongs {
		return p.q, ErrNoMore
	}
	p.q.Prolonged++
	p.q.Deadline = p.q.Deadline.Add(Countdown)
	return p.q, nil
}

// Withdraw takes a question back; the technician no longer asks.
func (d *Desk) Withdraw(session string) {
	d.mu.Lock()
	p := d.open[session]
	if p == nil {
		d.mu.Unlock()
		return
	}
	o := d.close(p, Withdrawn, "")
	d.mu.Unlock()
	d.o.Over(o)
}

// Get returns a question that concerns this user.
func (d *Desk) Get(session, userID string) (Question, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, err := d.find(session, userID)
	if err != nil {
		return Question{}, err
	}
	return p.q, nil
}

// Waiting lists the questions of a user, the oldest first; of everybody if userID is empty.
func (d *Desk) Waiting(userID string) []Question {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Question
	for _, p := range d.open {
		if userID == "" || p.q.UserID == userID {
			out = append(out, p.q)
		}
	}
	slices.SortFunc(out, func(a, b Question) int { return a.Deadline.Compare(b.Deadline) })
	return out
}
