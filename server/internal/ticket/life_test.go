package ticket

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
)

func at(s Status) Ticket {
	k := Ticket{ID: "t1", Organization: "o1", Status: s, Severity: api.Low, CreatedAt: now.Add(-time.Hour)}
	switch s {
	case Paused:
		k.Reason, k.PausedUntil = "spare part", now.Add(time.Hour)
	case Resolved:
		k.ResolvedAt = now.Add(-time.Minute)
	case Closed:
		k.ResolvedAt, k.ClosedAt = now.Add(-time.Minute), now.Add(-time.Minute)
	}
	return k
}

// states are all the situations that the rules tell apart: the six statuses, waiting for an approval, merged,
// and those in which time has run out.
func states() map[string]Ticket {
	m := map[string]Ticket{}
	for _, s := range Statuses {
		m[string(s)] = at(s)
	}
	held := at(Waiting)
	held.WaitsFor = ForApproval
	m["held"] = held
	merged := at(Closed)
	merged.MergedInto = "t2"
	m["merged"] = merged
	merged.ClosedAt = now.Add(-UndoMerge)
	m["merged long ago"] = merged
	for _, s := range []Status{Resolved, Closed} {
		old := at(s)
		old.ResolvedAt, old.ClosedAt = now.Add(-ReopenWithin), now.Add(-ReopenWithin)
		if s == Resolved {
			old.ClosedAt = time.Time{}
		}
		m[string(s)+" long ago"] = old
	}
	return m
}

// may is the whole table: what staff and what the requester (or who speaks for the organization) may do in
// each state. Whoever is neither may do nothing.
var may = map[string][2]string{
	//                  staff                                                                             requester
	"new":               {"say remark give rate hold join watch book fix →open →waiting →paused →resolved →closed", "say watch →closed"},
	"open":              {"say remark give rate hold join watch book fix →waiting →paused →resolved →closed", "say watch →closed"},
	"waiting":           {"say remark give rate hold join watch book fix →open →paused →resolved →closed", "say watch →closed"},
	"held":              {"say remark give rate join watch book fix →closed", "say watch →closed"},
	"paused":            {"say remark give rate hold join watch book fix →open →waiting →resolved →closed", "say watch →closed"},
	"resolved":          {"say remark give rate join watch book fix →open →closed", "say watch →open →closed"},
	"resolved long ago": {"say remark give rate join watch book fix →open →closed", "watch →closed"},
	"closed":            {"remark watch book →open", "say watch →open"},
	"closed long ago":   {"remark watch book →open", "watch"},
	"merged":            {"part", ""},
	"merged long ago":   {"", ""},
}

// TestWhoMayDoWhat walks state × action × role × whose ticket it is.
func TestWhoMayDoWhat(t *testing.T) {
	steps := 0
	for name, k := range states() {
		row, ok := may[name]
		if !ok {
			t.Fatalf("the table has no row %q", name)
		}
		for _, role := range account.Roles {
			for _, mine := range []bool{false, true} {
				cell := row[1]
				if role.Staff() {
					cell = row[0]
				} else if !mine {
					cell = ""
				}
				cell = strings.ReplaceAll(cell, "→", "to_")
				allowed := strings.Fields(cell)
				for _, a := range Actions {
					steps++
					want := slices.Contains(allowed, strings.ReplaceAll(string(a), " ", "_"))
					err := k.Check(a, Party{role.Rights(), mine}, now)
					if (err == nil) != want {
						t.Errorf("%s, %q by %s (theirs: %v): %v, want allowed %v", name, a, role, mine, err, want)
					}
					to, isMove := strings.CutPrefix(string(a), toPrefix)
					if !isMove || Status(to) == k.Status {
						continue
					}
					checkMoved(t, name, k, Status(to), role, mine, want)
				}
			}
		}
	}
	if steps < 11*16*8 {
		t.Errorf("only %d steps were walked", steps)
	}
}

// checkMoved moves k and looks at what must hold of every ticket.
func checkMoved(t *testing.T, name string, k Ticket, to Status, role account.Role, mine, want bool) {
	t.Helper()
	got, err := k.ChangeStatus(Move{To: to, Reason: "because", Until: now.Add(time.Hour)}, role.Rights(), mine, now)
	if (err == nil) != want {
		t.Errorf("%s → %s by %s, theirs %v: %v, want allowed %v", name, to, role, mine, err, want)
	}
	if slices.Contains(k.Moves(role.Rights(), mine, now), to) != want {
		t.Errorf("%s → %s by %s, theirs %v: offered %v", name, to, role, mine, !want)
	}
	if err != nil {
		if fmt.Sprint(got) != fmt.Sprint(k) {
			t.Errorf("%s → %s was refused and changed the ticket", name, to)
		}
		return
	}
	switch over := got.Status == Resolved || got.Status == Closed; {
	case got.Status != to:
		t.Errorf("%s → %s became %s", name, to, got.Status)
	case over != !got.ResolvedAt.IsZero() || (to == Closed) != !got.ClosedAt.IsZero():
		t.Errorf("%s → %s: resolved at %v, closed at %v", name, to, got.ResolvedAt, got.ClosedAt)
	case (to == Paused) != (got.Reason != "") || (to == Paused) != !got.PausedUntil.IsZero():
		t.Errorf("%s → %s: paused for %q until %v", name, to, got.Reason, got.PausedUntil)
	case got.Held():
		t.Errorf("%s → %s still waits for an approval", name, to)
	case got.Reopened-k.Reopened == 1 != (k.over() && !over):
		t.Errorf("%s → %s: reopened %d times, was %d", name, to, got.Reopened, k.Reopened)
	case to == Closed && k.Status == Resolved && !got.ResolvedAt.Equal(k.ResolvedAt):
		t.Errorf("%s → closed moved the time of the solution", name)
	}
}

func TestAPauseNeedsReasonAndDate(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason string
		until  time.Duration
		want   error
	}{
		{"no reason", " ", time.Hour, ErrReason}, {"a long reason", strings.Repeat("x", 1001), time.Hour, ErrReason},
		{"the past", "spare part", -time.Hour, ErrUntil}, {"now", "spare part", 0, ErrUntil}, {"in two years", "spare part", 2 * PauseAtMost, ErrUntil}, {"tomorrow", "spare part", 24 * time.Hour, nil},
	} {
		k, err := at(Open).ChangeStatus(Move{To: Paused, Reason: c.reason, Until: now.Add(c.until)}, account.Technician.Rights(), false, now)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && (k.Reason != "spare part" || !k.PausedUntil.Equal(now.Add(c.until))) {
			t.Errorf("%s: %+v", c.name, k)
		}
	}
	k, err := at(Paused).ChangeStatus(Move{To: Paused, Reason: "later still", Until: now.Add(48 * time.Hour)}, account.Technician.Rights(), false, now)
	if err != nil || k.Reason != "later still" || !k.PausedUntil.Equal(now.Add(48*time.Hour)) {
		t.Errorf("another date: %+v, %v", k, err)
	}
}

func TestAnswerMoves(t *testing.T) {
	for name, want := range map[string][2]Status{ // after an answer of staff, of the requester; empty: refused
		"new": {Open, New}, "open": {Open, Open}, "waiting": {Waiting, Open}, "held": {Waiting, Waiting}, "paused": {Paused, Paused}, "resolved": {Resolved, Open},
		"resolved long ago": {Resolved, ""}, "closed": {"", Open}, "closed long ago": {"", ""}, "merged": {"", ""}, "merged long ago": {"", ""},
	} {
		for i, staff := range []bool{true, false} {
			k, err := states()[name].Answer(staff, now)
			if want[i] == "" {
				if err == nil {
					t.Errorf("%s took an answer (staff %v)", name, staff)
				}
				if !staff && strings.HasSuffix(name, "long ago") && !strings.HasPrefix(name, "merged") && !errors.Is(err, ErrFollowUp) {
					t.Errorf("%s: %v, want a follow-up", name, err)
				}
				continue
			}
			if err != nil || k.Status != want[i] || k.CustomerLast == staff || k.Held() != (name == "held") {
				t.Errorf("%s, staff %v: %s %v, want %s", name, staff, k.Status, err, want[i])
			}
		}
	}
}

func TestWhatHappensByItself(t *testing.T) {
	for name, k := range states() {
		if got, woke := k.Wake(time.Time{}, now); woke || got.Status != k.Status {
			t.Errorf("%s woke before its time: %s", name, got.Status)
		}
		got, woke := k.Wake(now, now.Add(time.Hour))
		want := map[string]Status{"paused": Open, "resolved": Closed, "resolved long ago": Closed}[name]
		if woke != (want != "") || woke && got.Status != want {
			t.Errorf("%s: %s (woke %v), want %s", name, got.Status, woke, want)
		}
	}
}

func TestApprovalHolds(t *testing.T) {
	for name, k := range states() {
		held, err := k.AwaitApproval(now)
		ok := name == "new" || name == "open" || name == "waiting" || name == "paused"
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if ok && (!held.Held() || held.Released(now).Status != Open) {
			t.Errorf("%s: %+v", name, held)
		}
		if !k.Held() && k.Released(now).Status != k.Status {
			t.Errorf("%s was released without being held", name)
		}
	}
}

func TestMerge(t *testing.T) {
	target := at(Open)
	target.ID, target.Severity = "t2", api.Medium
	for name, k := range states() {
		k.ID = "t1"
		k.Severity = api.High
		source, into, err := k.Merge(target, now)
		ok := k.Status != Closed
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if !ok {
			continue
		}
		if source.Status != Closed || source.MergedInto != "t2" || into.Severity != api.High || into.Status != Open {
			t.Errorf("%s: %+v into %+v", name, source, into)
		}
		back, err := source.Unmerge(now.Add(UndoMerge - 1))
		if err != nil || back.Status != Open || back.MergedInto != "" || back.Reopened != source.Reopened {
			t.Errorf("%s taken back: %+v, %v", name, back, err)
		}
		if _, err := source.Unmerge(now.Add(UndoMerge)); !errors.Is(err, ErrUnmerge) {
			t.Errorf("%s taken back after 30 days: %v", name, err)
		}
	}
	other := target
	other.Organization = "o2"
	for name, into := range map[string]Ticket{"itself": at(Open), "another organization's": other, "a merged one": states()["merged"], "a closed one": states()["closed"]} {
		if name != "itself" {
			into.ID = "t2"
		}
		if name == "another organization's" {
			into.ID = "t3"
		}
		if _, _, err := at(Open).Merge(into, now); err == nil {
			t.Errorf("a ticket was merged into %s", name)
		}
	}
}

func TestLogIsReadOutOfTheThread(t *testing.T) {
	m := func(minute int, kind MessageKind, staff bool, author, text string) Message {
		return Message{At: now.Add(time.Duration(minute) * time.Minute), Kind: kind, FromStaff: staff, Author: account.ID(author), Text: text}
	}
	got := Log([]Message{
		m(1, Public, true, "", "We have received your message."), m(2, Note, true, "anna", "hm"), m(3, Event, true, "anna", "assigned Anna"), m(4, Event, true, "anna", "status open"),
		m(5, Public, true, "anna", "Which printer?"), m(6, Event, true, "anna", "status waiting"), m(7, Public, false, "", "The big one"), m(8, Event, false, "", "status open"),
		m(9, Event, true, "anna", "status paused"), m(10, Event, true, "", "status open"), m(11, Event, true, "anna", "status resolved"), m(12, Event, true, "", "status closed"), m(13, Event, true, "anna", "answered"),
	})
	want := []sla.Entry{{Kind: sla.Runs}, {Kind: sla.Answered}, {Kind: sla.Waits}, {Kind: sla.Asked}, {Kind: sla.Runs}, {Kind: sla.Pauses}, {Kind: sla.Runs}, {Kind: sla.Solved}, {Kind: sla.Solved}, {Kind: sla.Answered}}
	for i, minute := range []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13} {
		want[i].At = now.Add(time.Duration(minute) * time.Minute)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestAllUrgent(t *testing.T) {
	for _, c := range []struct {
		critical, high, medium, low int
		want                        bool
	}{{4, 0, 0, 0, false}, {4, 4, 0, 0, true}, {3, 2, 2, 1, true}, {2, 2, 2, 2, false}, {0, 0, 10, 10, false}} {
		if got := AllUrgent(map[api.Severity]int{api.Critical: c.critical, api.High: c.high, api.Medium: c.medium, api.Low: c.low}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
