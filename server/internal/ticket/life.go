package ticket

import (
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
)

// Party is who acts on a ticket: their rights in its organization, and whether they are its requester or speak
// for that organization.
type Party struct {
	Rights account.Rights
	Mine   bool
}

func (p Party) staff() bool { return p.Rights.Has(account.TicketsWork) }

// support is a party that works on tickets.
var support = Party{Rights: account.RightsOf(account.TicketsWork)}

// Action is something that a party may do to a ticket.
type Action string

// The actions. Moves to a status are actions of their own: "to open" and so on.
const (
	Say         Action = "say"       // a public message
	Remark      Action = "remark"    // an internal note
	Give        Action = "give"      // take it, hand it over, put it back
	Rate        Action = "rate"      // set the severity, category or queue
	Hold        Action = "hold"      // ask for an approval
	Join        Action = "join"      // merge it into another ticket
	Part        Action = "part"      // take a merge back
	Watch       Action = "watch"     // follow what becomes of it
	BookTime    Action = "book"      // note time worked
	Fix         Action = "fix"       // correct requester, title or address
	toPrefix           = "to "       // before a status
	maxReason          = 1000        // characters
	earliestNow        = time.Minute // a pause ends at least that far ahead
)

// To is the action of moving a ticket into a status.
func To(s Status) Action { return Action(toPrefix + string(s)) }

// Actions lists every action.
var Actions = append([]Action{Say, Remark, Give, Rate, Hold, Join, Part, Watch, BookTime, Fix}, To(New), To(Open), To(Waiting), To(Paused), To(Resolved), To(Closed))

// moves are the status changes that staff may make by hand. New is only where a ticket starts.
var moves = map[Status][]Status{
	New:      {Open, Waiting, Paused, Resolved, Closed},
	Open:     {Waiting, Paused, Resolved, Closed},
	Waiting:  {Open, Paused, Resolved, Closed},
	Paused:   {Open, Waiting, Resolved, Closed},
	Resolved: {Open, Closed},
	Closed:   {Open},
}

// Check reports why p may not do a to the ticket now, or nil.
func (t Ticket) Check(a Action, p Party, now time.Time) error {
	if !p.staff() && !p.Mine {
		return ErrNotYours
	}
	if t.MergedInto != "" && a != Part {
		return ErrMerged
	}
	if to, ok := strings.CutPrefix(string(a), toPrefix); ok {
		return t.checkMove(Status(to), p, now)
	}
	if a == Say {
		switch {
		case p.staff() && t.Status == Closed:
			return ErrClosed // staff reopens first
		case !p.staff() && t.over() && !t.Reopenable(now):
			return ErrFollowUp
		}
		return nil
	}
	if a == Watch {
		return nil
	}
	if !p.staff() {
		return ErrNotYours
	}
	switch a {
	case Part:
		if t.MergedInto == "" || now.Sub(t.ClosedAt) >= UndoMerge {
			return ErrUnmerge
		}
	case Hold:
		if t.WaitsFor == ForApproval && t.Status == Waiting {
			return ErrHeld
		}
		if t.over() {
			return ErrMove
		}
	case Join, Give, Rate, Fix:
		if t.Status == Closed {
			return ErrClosed
		}
	}
	return nil // Remark and BookTime: also on a closed ticket
}

func (t Ticket) checkMove(to Status, p Party, now time.Time) error {
	if !slices.Contains(Statuses, to) {
		return ErrStatus
	}
	if p.staff() {
		if t.Held() && to != Closed {
			return ErrHeld
		}
		if !slices.Contains(moves[t.Status], to) {
			return ErrMove
		}
		return nil
	}
	switch {
	case to == Closed && t.Status != Closed:
		return nil
	case to == Open && t.over() && t.Reopenable(now):
		return nil
	case to == Open && t.over():
		return ErrFollowUp
	}
	return ErrNotYours
}

// over reports whether the ticket is done, we think.
func (t Ticket) over() bool { return t.Status == Resolved || t.Status == Closed }

// Held reports whether the ticket waits for an approval.
func (t Ticket) Held() bool { return t.Status == Waiting && t.WaitsFor == ForApproval }

// Moves lists the statuses into which a person with these rights may put the ticket now. mine says
// that the person is its requester or speaks for its organization.
func (t Ticket) Moves(r account.Rights, mine bool, now time.Time) []Status {
	var list []Status
	for _, s := range Statuses {
		if s != t.Status && t.Check(To(s), Party{r, mine}, now) == nil {
			list = append(list, s)
		}
	}
	return list
}

// Reopenable reports whether an answer of the requester still reopens the ticket: for 14 days after it was
// resolved, closed or not. A merged ticket is not reopened.
func (t Ticket) Reopenable(now time.Time) bool {
	return t.over() && t.MergedInto == "" && now.Sub(t.ResolvedAt) < ReopenWithin
}

// Move says into which status a ticket is put, and how.
type Move struct {
	To     Status
	Reason string    // Paused: needed, the requester reads it
	Until  time.Time // Paused: needed, the ticket comes back by itself
}

// ChangeStatus puts t into another status. Putting it where it is changes nothing, except that a pause may
// get another reason or date.
func (t Ticket) ChangeStatus(m Move, r account.Rights, mine bool, now time.Time) (Ticket, error) {
	if !slices.Contains(Statuses, m.To) {
		return t, ErrStatus
	}
	again := m.To == Paused && t.Status == Paused && r.Has(account.TicketsWork) && !m.Until.IsZero()
	if m.To == t.Status && !again {
		return t, nil
	}
	if !again {
		if err := t.Check(To(m.To), Party{r, mine}, now); err != nil {
			return t, err
		}
	}
	reason := strings.TrimSpace(m.Reason)
	if !text(reason, maxReason) || m.To == Paused && reason == "" {
		return t, ErrReason
	}
	if m.To == Paused && (m.Until.Before(now.Add(earliestNow)) || m.Until.Sub(now) > PauseAtMost) {
		return t, ErrUntil
	}
	t = t.move(m.To, reason, now)
	if m.To == Paused {
		t.PausedUntil = m.Until
	}
	return t, nil
}

func (t Ticket) move(to Status, reason string, now time.Time) Ticket {
	if t.over() && to != Resolved && to != Closed {
		t.Reopened++
	}
	t.Status, t.UpdatedAt = to, now
	t.Reason, t.PausedUntil, t.WaitsFor = "", time.Time{}, ForRequester
	if to == Paused {
		t.Reason = reason
	}
	switch to {
	case Resolved:
		t.ResolvedAt = now
	case Closed:
		if t.ResolvedAt.IsZero() {
			t.ResolvedAt = now
		}
		t.ClosedAt = now
	default:
		t.ResolvedAt, t.ClosedAt = time.Time{}, time.Time{}
	}
	return t
}

// Answer applies a public message by staff or requester: staff's first answer opens a new ticket, the
// requester's returns a waiting or recently resolved one to Open. It is ErrFollowUp when the requester comes
// back too late: what they wrote then makes a ticket that follows this one.
func (t Ticket) Answer(staff bool, now time.Time) (Ticket, error) {
	p := Party{Mine: true}
	if staff {
		p = support
	}
	if err := t.Check(Say, p, now); err != nil {
		return t, err
	}
	t.UpdatedAt = now
	t.CustomerLast = !staff
	switch {
	case staff && t.Status == New:
		t = t.move(Open, "", now)
	case !staff && t.Status == Waiting && !t.Held(), !staff && t.over():
		t = t.move(Open, "", now)
	}
	return t, nil
}

// Assign gives t to a technician; an empty id gives it to nobody. Taking a new ticket opens it.
func (t Ticket) Assign(to account.ID, name string, now time.Time) (Ticket, error) {
	if err := t.Check(Give, support, now); err != nil {
		return t, err
	}
	t.Assignee, t.AssigneeName, t.UpdatedAt = to, name, now
	if to != "" && t.Status == New {
		t = t.move(Open, "", now)
	}
	return t, nil
}

// ChangeSeverity sets the severity.
func (t Ticket) ChangeSeverity(s api.Severity, now time.Time) (Ticket, error) {
	if !slices.Contains(api.Severities, s) {
		return t, ErrSeverity
	}
	t.Severity, t.UpdatedAt = s, now
	return t, nil
}

// AwaitApproval puts t into Waiting for an approval.
func (t Ticket) AwaitApproval(now time.Time) (Ticket, error) {
	if err := t.Check(Hold, support, now); err != nil {
		return t, err
	}
	t = t.move(Waiting, "", now)
	t.WaitsFor = ForApproval
	return t, nil
}

// Released is t after its approval was decided, expired or withdrawn: open again. Otherwise it is as it was.
func (t Ticket) Released(now time.Time) Ticket {
	if !t.Held() {
		return t
	}
	return t.move(Open, "", now)
}

// Wake is what happens to t by itself: a pause ends on its date, and a resolved ticket closes at closeAt. It
// reports whether anything happened.
func (t Ticket) Wake(closeAt, now time.Time) (Ticket, bool) {
	switch {
	case t.Status == Paused && !t.PausedUntil.IsZero() && !now.Before(t.PausedUntil):
		return t.move(Open, "", now), true
	case t.Status == Resolved && !closeAt.IsZero() && !now.Before(closeAt):
		return t.move(Closed, "", now), true
	}
	return t, false
}

// Merge makes t a pointer to another ticket, in which its thread is read from now on. The other keeps the
// stricter severity and the earlier making.
func (t Ticket) Merge(into Ticket, now time.Time) (source, target Ticket, err error) {
	if t.ID == into.ID || t.Organization != into.Organization || into.MergedInto != "" {
		return t, into, ErrMerge
	}
	if err := t.Check(Join, support, now); err != nil {
		return t, into, err
	}
	if into.Status == Closed {
		return t, into, ErrClosed
	}
	t = t.move(Closed, "", now)
	t.MergedInto = into.ID
	if slices.Index(api.Severities, t.Severity) < slices.Index(api.Severities, into.Severity) {
		into.Severity = t.Severity
	}
	into.UpdatedAt = now
	return t, into, nil
}

// Unmerge takes a merge back: t is open again.
func (t Ticket) Unmerge(now time.Time) (Ticket, error) {
	if err := t.Check(Part, support, now); err != nil {
		return t, err
	}
	before := t.Reopened
	t.MergedInto = ""
	t = t.move(Open, "", now)
	t.Reopened = before // nobody came back
	return t, nil
}

// EventStatus and its siblings begin the text of a thread's event: "status TO", "severity TO",
// "assigned NAME", "unassigned" and so on. The log that contracts are computed from is read out of them.
const (
	EventStatus   = "status"
	EventSeverity = "severity"
	EventAnswered = "answered" // staff says that the caller was answered on the phone
	EventAlarm    = "alarm"    // "alarm CLOCK PERCENT": of a promised time so much is over; for staff
	EventMeToo    = "metoo"    // "metoo NAME": somebody else has the same trouble; for staff
	EventFollows  = "follows"  // "follows NUMBER"
	EventMerged   = "merged"   // "merged NUMBER": into that one
	EventAbsorbed = "absorbed" // "absorbed NUMBER": that one was merged into this
	EventHeld     = "held"     // waits for an approval
	EventApproved = "approved" // "approved NAME"
	EventDeclined = "declined" // "declined NAME: REASON"
	EventExpired  = "expired"  // nobody decided in time
	EventVoided   = "voided"   // the request was changed or withdrawn
	EventRecalled = "recalled" // "recalled NAME"
)

// Internal reports whether only staff reads an entry of the thread.
func (m Message) Internal() bool {
	what, _, _ := strings.Cut(m.Text, " ")
	return m.Kind == Note || m.Kind == Event && (what == EventAlarm || what == EventMeToo)
}

// Log reads a ticket's thread, the oldest first, as the entries that its promises are computed from. What the
// server itself has written, as a mail's automatic acknowledgement, has no author and answers nobody.
func Log(thread []Message) []sla.Entry {
	var log []sla.Entry
	for _, m := range thread {
		switch m.Kind {
		case Public:
			switch {
			case !m.FromStaff:
				log = append(log, sla.Entry{At: m.At, Kind: sla.Asked})
			case m.Author != "":
				log = append(log, sla.Entry{At: m.At, Kind: sla.Answered})
			}
		case Event:
			what, arg, _ := strings.Cut(m.Text, " ")
			switch what {
			case EventStatus:
				log = append(log, sla.Entry{At: m.At, Kind: runs(Status(arg))})
			case EventAnswered:
				log = append(log, sla.Entry{At: m.At, Kind: sla.Answered})
			}
		}
	}
	return log
}

// runs is what a status means to a contract's clocks.
func runs(s Status) sla.Kind {
	switch s {
	case Waiting:
		return sla.Waits
	case Paused:
		return sla.Pauses
	case Resolved, Closed:
		return sla.Solved
	}
	return sla.Runs
}

// AllUrgent reports whether a scale of severities has lost its worth: of at least 8 tickets more than half are
// Critical or High.
func AllUrgent(counts map[api.Severity]int) bool {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum >= 8 && 2*(counts[api.Critical]+counts[api.High]) > sum
}
