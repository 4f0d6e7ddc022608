package sla

import (
	"slices"
	"time"

	"github.com/traybell/traybell/shared/api"
)

// Target is what a contract promises for one severity, as budgets of working time. Zero promises nothing.
type Target struct {
	First    time.Duration `json:"first"`          // until the first answer
	Solution time.Duration `json:"solution"`       // until the ticket is resolved
	Next     time.Duration `json:"next,omitempty"` // until a further answer, while the customer spoke last
}

// Contract promises times by severity, counted in one calendar.
type Contract struct {
	Name           string                  `json:"name"`
	Calendar       Calendar                `json:"calendar"`
	Targets        map[api.Severity]Target `json:"targets"`
	AlwaysCritical bool                    `json:"always_critical,omitempty"` // Critical counts around the clock
}

// Check reports why c can't be used.
func (c Contract) Check() error {
	if c.Name == "" || len(c.Name) > 800 {
		return ErrName
	}
	for s, t := range c.Targets {
		if !slices.Contains(api.Severities, s) {
			return ErrTargets
		}
		for _, d := range []time.Duration{t.First, t.Solution, t.Next} {
			if d != 0 && (d < time.Minute || d > maxBudget) {
				return ErrTargets
			}
		}
		if t.First > 0 && t.Solution > 0 && t.Solution < t.First {
			return ErrTargets
		}
	}
	return c.Calendar.Check()
}

// Hours are those in which the contract counts for a severity.
func (c Contract) Hours(s api.Severity) (*Hours, error) {
	if s == api.Critical && c.AlwaysCritical {
		always := Always
		always.Zone = c.Calendar.Zone
		return always.Hours()
	}
	return c.Calendar.Hours()
}

// Kind tells what an entry of a ticket's log means to its clocks.
type Kind string

// The kinds. Automatic acknowledgements and internal notes are in no log: they answer nobody.
const (
	Runs     Kind = "runs"     // the ticket is New or Open: work is ours
	Waits    Kind = "waits"    // for the customer or an approver
	Pauses   Kind = "pauses"   // planned for later
	Solved   Kind = "solved"   // Resolved or Closed
	Answered Kind = "answered" // a public answer by staff
	Asked    Kind = "asked"    // a message by the customer
)

// Entry is one entry of a ticket's log.
type Entry struct {
	At   time.Time
	Kind Kind
}

// Due is one promise.
type Due struct {
	Budget  time.Duration // 0: nothing is promised
	At      time.Time     // when it is due; while the clock stands, as if it went on now
	Met     time.Time     // zero: not yet
	Stands  bool          // the clock does not run now
	Missed  bool          // met too late, or not met and past
	Used    time.Duration // of the budget, until Met or now
	Running bool          // promised, not met, and the clock runs
}

// Percent is how much of the budget is used, in whole percent.
func (d Due) Percent() int {
	if d.Budget <= 0 {
		return 0
	}
	return int(d.Used * 100 / d.Budget)
}

// Left is what remains of the budget; negative when it is exceeded.
func (d Due) Left() time.Duration { return d.Budget - d.Used }

// State is where a ticket stands against its contract.
type State struct {
	First    Due
	Solution Due
	Next     Due
	Waited   time.Duration // working time for customer or approver
	Paused   time.Duration // working time in Paused
	Resting  time.Duration // working time in Resolved or Closed before a reopening
	Reopened int           // how often it came back
	Alarms   []Alarm       // at which somebody must be told, in order, past ones too
}

// Alarm is the moment at which a share of a running budget is used up.
type Alarm struct {
	At      time.Time
	Clock   string // first, solution
	Percent int
	Arm     string // changes when the alarm may ring again: after a reopening or with a new target
}

// Shares of a budget at which alarms ring.
var Shares = []int{50, 75, 100}

// At computes where a ticket that was made at a time stands now. log is in order of time; what lies after now
// is not looked at. The present severity and contract count from the ticket's making.
func (c Contract) At(made time.Time, severity api.Severity, log []Entry, now time.Time) (State, error) {
	var s State
	h, err := c.Hours(severity)
	if err != nil {
		return s, err
	}
	t := c.Targets[severity]
	state, since := Runs, made
	var resolved, asked time.Time
	asked = made
	// pass books the stretch of the log that ends at a time.
	pass := func(until time.Time) {
		d := h.Between(since, until)
		switch state {
		case Waits:
			s.Waited += d
		case Pauses:
			s.Paused += d
		case Solved:
			s.Resting += d
		}
		since = until
	}
	for _, e := range log {
		if e.At.After(now) {
			break
		}
		switch e.Kind {
		case Answered:
			if s.First.Met.IsZero() {
				s.First.Met = e.At
			}
			asked = time.Time{}
		case Asked:
			if asked.IsZero() {
				asked = e.At
			}
		default:
			if e.Kind == state {
				continue
			}
			if e.Kind == Solved {
				resolved = e.At
			} else if state == Solved {
				s.Reopened++
			}
			pass(e.At)
			state = e.Kind
			if state != Solved {
				resolved = time.Time{}
			}
		}
	}
	if state != Solved {
		pass(now)
	}
	end := now
	if state == Solved {
		end = resolved
	}
	pause := s.Waited + s.Paused + s.Resting

	// The first answer: nothing but Resolved lets it stand. A ticket that was resolved without one has none.
	s.First.Budget = t.First
	if t.First > 0 {
		s.First.At = h.Add(made, t.First+s.Resting)
		until := end
		if !s.First.Met.IsZero() {
			until = s.First.Met
		}
		s.First.Used = h.Between(made, until)
		if s.First.Met.IsZero() {
			s.First.Used -= s.Resting
		} else {
			s.First.At = h.Add(made, t.First)
			if s.Resting > 0 { // it may have been answered only after a reopening
				rest := restBefore(h, log, s.First.Met)
				s.First.At = h.Add(made, t.First+rest)
				s.First.Used -= rest
			}
		}
		s.First.Stands = s.First.Met.IsZero() && state == Solved
		s.First.Running = s.First.Met.IsZero() && state != Solved
		s.First.Missed = until.After(s.First.At)
	}
	s.Solution.Budget = t.Solution
	if t.Solution > 0 {
		s.Solution.At = h.Add(made, t.Solution+pause)
		s.Solution.Used = h.Between(made, end) - pause
		s.Solution.Stands = state == Waits || state == Pauses
		s.Solution.Running = state == Runs
		if state == Solved {
			s.Solution.Met = resolved
		}
		s.Solution.Missed = end.After(s.Solution.At)
	}
	s.Next.Budget = t.Next
	if t.Next > 0 && !s.First.Met.IsZero() && !asked.IsZero() && state != Solved {
		s.Next.At = h.Add(asked, t.Next)
		s.Next.Used = h.Between(asked, now)
		s.Next.Running = true
		s.Next.Missed = now.After(s.Next.At)
	}
	ring := func(clock string, d Due, paused time.Duration) {
		if !d.Running {
			return
		}
		for _, p := range Shares {
			at := h.Add(made, d.Budget*time.Duration(p)/100+paused)
			s.Alarms = append(s.Alarms, Alarm{At: at, Clock: clock, Percent: p, Arm: arm(s.Reopened, d.Budget)})
		}
	}
	ring("first", s.First, s.Resting)
	ring("solution", s.Solution, pause)
	slices.SortStableFunc(s.Alarms, func(a, b Alarm) int { return a.At.Compare(b.At) })
	return s, nil
}

// restBefore is the working time that a ticket was solved before a time.
func restBefore(h *Hours, log []Entry, t time.Time) (sum time.Duration) {
	var since time.Time
	for _, e := range log {
		if e.At.After(t) || e.Kind == Answered || e.Kind == Asked {
			continue
		}
		if e.Kind == Solved && since.IsZero() {
			since = e.At
		} else if e.Kind != Solved && !since.IsZero() {
			sum += h.Between(since, e.At)
			since = time.Time{}
		}
	}
	return sum
}

func arm(reopened int, budget time.Duration) string {
	return budget.String() + "/" + string(rune('a'+min(reopened, 25)))
}
