package sla

import (
	"errors"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/shared/api"
)

// office is Monday to Friday, 8:00–13:00 and 14:00–18:00.
func office(zone string, holidays ...Holiday) Calendar {
	c := Calendar{Name: "office", Zone: zone, Holidays: holidays}
	for d := time.Monday; d <= time.Friday; d++ {
		c.Week = append(c.Week, Interval{d, 8 * 60, 13 * 60}, Interval{d, 14 * 60, 18 * 60})
	}
	return c
}

// night is 22:00–6:00, every night.
func night(zone string) Calendar {
	c := Calendar{Name: "night", Zone: zone}
	for d := time.Sunday; d <= time.Saturday; d++ {
		c.Week = append(c.Week, Interval{d, 22 * 60, 6 * 60})
	}
	return c
}

func hours(t *testing.T, c Calendar) *Hours {
	t.Helper()
	h, err := c.Hours()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func parse(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDueTimes(t *testing.T) {
	always := Always
	always.Zone = "Europe/Rome"
	christmas := Holiday{Month: time.December, Day: 25, Name: "Natale"}
	stephen := Holiday{Month: time.December, Day: 26}
	once := Holiday{Month: time.November, Day: 24, Year: 2026}
	for _, c := range []struct {
		name   string
		in     Calendar
		from   string
		budget time.Duration
		want   string
	}{
		{"within a morning", office("Europe/Rome"), "2026-11-23T09:00:00+01:00", 2 * time.Hour, "2026-11-23T11:00:00+01:00"},
		{"over lunch", office("Europe/Rome"), "2026-11-23T12:00:00+01:00", 2 * time.Hour, "2026-11-23T15:00:00+01:00"},
		{"to the very end of the day", office("Europe/Rome"), "2026-11-23T16:00:00+01:00", 2 * time.Hour, "2026-11-23T18:00:00+01:00"},
		{"one minute over the day", office("Europe/Rome"), "2026-11-23T16:00:00+01:00", 2*time.Hour + time.Minute, "2026-11-24T08:01:00+01:00"},
		{"made at night", office("Europe/Rome"), "2026-11-23T23:30:00+01:00", time.Hour, "2026-11-24T09:00:00+01:00"},
		{"made at lunch", office("Europe/Rome"), "2026-11-23T13:20:00+01:00", time.Hour, "2026-11-23T15:00:00+01:00"},
		{"over the weekend", office("Europe/Rome"), "2026-11-20T17:00:00+01:00", 4 * time.Hour, "2026-11-23T11:00:00+01:00"},
		{"made on Sunday", office("Europe/Rome"), "2026-11-22T11:00:00+01:00", 9 * time.Hour, "2026-11-23T18:00:00+01:00"},
		{"five days", office("Europe/Rome"), "2026-11-18T08:00:00+01:00", 45 * time.Hour, "2026-11-24T18:00:00+01:00"},
		{"told from another zone", office("Europe/Rome"), "2026-11-23T03:00:00-05:00", 2 * time.Hour, "2026-11-23T11:00:00+01:00"},
		{"New York", office("America/New_York"), "2026-11-23T09:00:00+01:00", time.Hour, "2026-11-23T09:00:00-05:00"},
		{"Kathmandu, 45 minutes off", office("Asia/Kathmandu"), "2026-11-23T00:00:00Z", 90 * time.Minute, "2026-11-23T09:30:00+05:45"},
		{"Auckland, a day ahead", office("Pacific/Auckland"), "2026-11-22T18:00:00Z", time.Hour, "2026-11-23T09:00:00+13:00"},
		{"a yearly holiday and a weekend", office("Europe/Rome", christmas, stephen), "2026-12-24T17:00:00+01:00", 2 * time.Hour, "2026-12-28T09:00:00+01:00"},
		{"a single holiday", office("Europe/Rome", once), "2026-11-23T17:00:00+01:00", 2 * time.Hour, "2026-11-25T09:00:00+01:00"},
		{"the same date next year is no holiday", office("Europe/Rome", once), "2027-11-23T17:00:00+01:00", 2 * time.Hour, "2027-11-24T09:00:00+01:00"},
		{"summer time begins over the weekend", office("Europe/Rome"), "2026-03-27T17:00:00+01:00", 2 * time.Hour, "2026-03-30T09:00:00+02:00"},
		{"summer time ends over the weekend", office("Europe/Rome"), "2026-10-23T17:00:00+02:00", 2 * time.Hour, "2026-10-26T09:00:00+01:00"},
		{"a night of eight hours while an hour is left out", night("Europe/Rome"), "2026-03-28T22:00:00+01:00", 8 * time.Hour, "2026-03-29T06:00:00+02:00"},
		{"a night of eight hours while an hour is repeated", night("Europe/Rome"), "2026-10-24T22:00:00+02:00", 8 * time.Hour, "2026-10-25T06:00:00+01:00"},
		{"due in the hour that is left out", night("Europe/Rome"), "2026-03-29T01:30:00+01:00", time.Hour, "2026-03-29T03:00:00+02:00"},
		{"due in the hour that is repeated: at its first", night("Europe/Rome"), "2026-10-25T01:30:00+02:00", time.Hour, "2026-10-25T02:30:00+02:00"},
		{"after the hour that is repeated", night("Europe/Rome"), "2026-10-25T01:30:00+02:00", 2 * time.Hour, "2026-10-25T03:30:00+01:00"},
		{"from within the repeated hour", night("Europe/Rome"), "2026-10-25T02:30:00+01:00", time.Hour, "2026-10-25T04:00:00+01:00"},
		{"around the clock, nothing is left out", always, "2026-03-29T01:30:00+01:00", time.Hour, "2026-03-29T03:30:00+02:00"},
		{"around the clock, nothing is repeated", always, "2026-10-25T01:30:00+02:00", 2 * time.Hour, "2026-10-25T02:30:00+01:00"},
		{"around the clock over the new year", always, "2026-12-31T23:30:00+01:00", time.Hour, "2027-01-01T00:30:00+01:00"},
		{"nothing left, in hours: at once", office("Europe/Rome"), "2026-11-23T09:00:00+01:00", 0, "2026-11-23T09:00:00+01:00"},
		{"nothing left, out of hours: when they begin", office("Europe/Rome"), "2026-11-22T09:00:00+01:00", 0, "2026-11-23T08:00:00+01:00"},
	} {
		h := hours(t, c.in)
		from, want := parse(t, c.from), parse(t, c.want)
		if got := h.Add(from, c.budget); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", c.name, got.In(h.Location()).Format(time.RFC3339), c.want)
		}
		if got := h.Between(from, want); got != c.budget && c.name != "due in the hour that is left out" && c.budget > 0 {
			t.Errorf("%s: %v of working time lie between, want %v", c.name, got, c.budget)
		}
	}
}

// TestAddAndBetweenAgree walks two years in odd steps through every kind of calendar.
func TestAddAndBetweenAgree(t *testing.T) {
	overlap := office("Europe/Berlin")
	overlap.Week = append(overlap.Week, Interval{time.Monday, 12 * 60, 20 * 60}, Interval{time.Friday, 20 * 60, 2 * 60})
	for name, c := range map[string]Calendar{"office": office("Europe/Rome", Holiday{Month: 8, Day: 15}), "night": night("America/Sao_Paulo"), "lord howe": night("Australia/Lord_Howe"), "overlapping": overlap, "always": Always} {
		h := hours(t, c)
		at := time.Date(2026, 1, 1, 0, 7, 0, 0, time.UTC)
		for i := range 1500 {
			budget := time.Duration(i%37)*17*time.Minute + time.Second
			due := h.Add(at, budget)
			got := h.Between(at, due)
			if got != budget && h.wall(due).Sub(h.wall(due.Add(-time.Nanosecond))) < time.Minute {
				t.Fatalf("%s: %v after %s is %s, with %v between", name, budget, at, due, got)
			}
			if mid := at.Add(due.Sub(at) / 3); h.Between(at, mid)+h.Between(mid, due) != got {
				t.Fatalf("%s: working time between %s and %s is not the sum of its parts", name, at, due)
			}
			at = at.Add(11*time.Hour + 41*time.Minute)
		}
	}
}

func TestWorkingDays(t *testing.T) {
	h := hours(t, office("Europe/Rome", Holiday{Month: 12, Day: 8}))
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-11-23T10:00:00+01:00", 5, "2026-11-30T18:00:00+01:00"},
		{"2026-12-03T10:00:00+01:00", 5, "2026-12-11T18:00:00+01:00"}, // over a weekend and the 8th
		{"2026-11-22T10:00:00+01:00", 1, "2026-11-23T18:00:00+01:00"},
	} {
		if got := h.Days(parse(t, c.from), c.n); !got.Equal(parse(t, c.want)) {
			t.Errorf("%d days after %s: %s, want %s", c.n, c.from, got, c.want)
		}
	}
	if got, want := hours(t, Always).Days(parse(t, "2026-11-23T10:00:00Z"), 5), parse(t, "2026-11-29T00:00:00Z"); !got.Equal(want) {
		t.Errorf("around the clock: %s, want %s", got, want)
	}
}

func TestOpen(t *testing.T) {
	h := hours(t, office("Europe/Rome"))
	for at, want := range map[string]bool{"2026-11-23T07:59:59+01:00": false, "2026-11-23T08:00:00+01:00": true, "2026-11-23T13:00:00+01:00": false, "2026-11-23T17:59:00+01:00": true, "2026-11-22T10:00:00+01:00": false} {
		if got := h.Open(parse(t, at)); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
}

func TestCalendarsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Calendar)
		want   error
	}{
		{"no name", func(c *Calendar) { c.Name = "" }, ErrName},
		{"no zone", func(c *Calendar) { c.Zone = "" }, ErrZone},
		{"the server's own zone", func(c *Calendar) { c.Zone = "Local" }, ErrZone},
		{"an unknown zone", func(c *Calendar) { c.Zone = "Europe/Bologna" }, ErrZone},
		{"a path", func(c *Calendar) { c.Zone = "../../etc/passwd" }, ErrZone},
		{"no hours", func(c *Calendar) { c.Week = nil }, ErrHours},
		{"an empty interval", func(c *Calendar) { c.Week[0].To = c.Week[0].From }, ErrHours},
		{"a day of 25 hours", func(c *Calendar) { c.Week[0].To = 25 * 60 }, ErrHours},
		{"a holiday that does not exist", func(c *Calendar) { c.Holidays = []Holiday{{Month: 2, Day: 30}} }, ErrHolidays},
		{"29 February of a plain year", func(c *Calendar) { c.Holidays = []Holiday{{Month: 2, Day: 29, Year: 2026}} }, ErrHolidays},
		{"a holiday twice", func(c *Calendar) {
			c.Holidays = []Holiday{{Month: 5, Day: 1, Name: "a"}, {Month: 5, Day: 1, Name: "b"}}
		}, ErrHolidays},
	} {
		k := office("Europe/Rome")
		c.change(&k)
		if err := k.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	leap := office("Europe/Rome", Holiday{Month: 2, Day: 29}, Holiday{Month: 5, Day: 1}, Holiday{Month: 5, Day: 1, Year: 2026})
	if err := leap.Check(); err != nil {
		t.Error(err)
	}
	closed := Calendar{Name: "x", Zone: "UTC", Week: []Interval{{time.Monday, 60, 120}}}
	for d := range 366 {
		day := time.Date(2024, 1, 1+d, 0, 0, 0, 0, time.UTC)
		closed.Holidays = append(closed.Holidays, Holiday{Month: day.Month(), Day: day.Day()})
	}
	if got := hours(t, closed).Add(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Hour); !got.IsZero() {
		t.Errorf("a calendar of holidays only promises %s", got)
	}
}

// gold promises a first answer in 2 hours, a solution in 9 and a further answer in 4; Critical in 30 minutes
// and 4 hours around the clock.
func gold() Contract {
	return Contract{Name: "gold", Calendar: office("Europe/Rome"), AlwaysCritical: true, Targets: map[api.Severity]Target{
		api.Medium:   {First: 2 * time.Hour, Solution: 9 * time.Hour, Next: 4 * time.Hour},
		api.High:     {First: time.Hour, Solution: 4 * time.Hour},
		api.Critical: {First: 30 * time.Minute, Solution: 4 * time.Hour},
	}}
}

func TestPromises(t *testing.T) {
	const made = "2026-11-23T09:00:00+01:00" // a Monday
	type entries []struct {
		at   string
		kind Kind
	}
	for _, c := range []struct {
		name            string
		severity        api.Severity
		log             entries
		now             string
		first, solution string // due; empty: nothing is promised
		check           func(State) bool
	}{
		{"just made", api.Medium, nil, made, "2026-11-23T11:00:00+01:00", "2026-11-23T19:00:00+01:00", nil}, // replaced below: lunch
		{"low promises nothing", api.Low, nil, "2026-11-24T09:00:00+01:00", "", "", func(s State) bool { return !s.First.Missed && len(s.Alarms) == 0 }},
		{"answered in time", api.Medium, entries{{"2026-11-23T10:30:00+01:00", Answered}}, "2026-11-23T12:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool {
				return !s.First.Missed && s.First.Used == 90*time.Minute && !s.First.Running && s.Solution.Running
			}},
		{"answered too late", api.Medium, entries{{"2026-11-23T11:00:01+01:00", Answered}}, "2026-11-23T12:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return s.First.Missed }},
		{"not answered", api.Medium, nil, "2026-11-23T11:00:01+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return s.First.Missed && s.First.Percent() == 100 && s.Solution.Percent() == 22 }},
		{"waiting does not stop the first answer", api.Medium, entries{{"2026-11-23T09:30:00+01:00", Waits}, {"2026-11-23T10:30:00+01:00", Runs}}, "2026-11-23T11:30:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T10:00:00+01:00",
			func(s State) bool { return s.First.Missed && s.Waited == time.Hour }},
		{"still waiting: the date moves on", api.Medium, entries{{"2026-11-23T10:00:00+01:00", Waits}}, "2026-11-24T10:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-25T09:00:00+01:00",
			func(s State) bool { return s.Solution.Stands && !s.Solution.Missed && s.Solution.Used == time.Hour }},
		{"paused over a weekend", api.Medium, entries{{"2026-11-23T10:00:00+01:00", Answered}, {"2026-11-27T17:00:00+01:00", Pauses}, {"2026-11-30T09:00:00+01:00", Runs}}, "2026-11-30T09:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T11:00:00+01:00",
			func(s State) bool { return s.Paused == 2*time.Hour && s.Solution.Missed }},
		{"paused at night costs nothing", api.Medium, entries{{"2026-11-23T18:30:00+01:00", Pauses}, {"2026-11-24T07:00:00+01:00", Runs}}, "2026-11-24T08:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return s.Paused == 0 }},
		{"solved: the clock stands where it was", api.Medium, entries{{"2026-11-23T10:00:00+01:00", Answered}, {"2026-11-23T12:00:00+01:00", Solved}}, "2027-01-01T10:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return !s.Solution.Missed && s.Solution.Used == 3*time.Hour && len(s.Alarms) == 0 }},
		{"closing a solved one does not move it", api.Medium, entries{{"2026-11-23T12:00:00+01:00", Solved}, {"2026-12-01T12:00:00+01:00", Solved}}, "2027-01-01T10:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return s.Solution.Used == 3*time.Hour }},
		{"solved without an answer, too late for one", api.Medium, entries{{"2026-11-23T12:00:00+01:00", Solved}}, "2027-01-01T10:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return s.First.Missed && !s.First.Running }},
		{"reopened: the same clock goes on", api.Medium, entries{{"2026-11-23T10:00:00+01:00", Answered}, {"2026-11-23T12:00:00+01:00", Solved}, {"2026-11-25T12:00:00+01:00", Runs}}, "2026-11-25T15:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-26T09:00:00+01:00",
			func(s State) bool {
				return s.Reopened == 1 && s.Resting == 18*time.Hour && s.Waited == 0 && s.Solution.Used == 5*time.Hour && s.Solution.Running
			}},
		{"reopened before any answer", api.Medium, entries{{"2026-11-23T10:00:00+01:00", Solved}, {"2026-11-24T10:00:00+01:00", Runs}}, "2026-11-24T10:30:00+01:00", "2026-11-24T11:00:00+01:00", "2026-11-25T09:00:00+01:00",
			func(s State) bool { return s.First.Used == 90*time.Minute && s.First.Running && !s.First.Missed }},
		{"answered, then reopened: the answer's due time stays", api.Medium, entries{{"2026-11-23T12:00:00+01:00", Answered}, {"2026-11-23T12:30:00+01:00", Solved}, {"2026-11-25T12:30:00+01:00", Runs}}, "2026-11-25T12:30:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-26T09:00:00+01:00",
			func(s State) bool { return s.First.Missed }},
		{"critical, around the clock", api.Critical, nil, made, "2026-11-23T09:30:00+01:00", "2026-11-23T13:00:00+01:00", nil},
		{"made less severe: counted anew, with the waiting kept", api.High, entries{{"2026-11-23T09:15:00+01:00", Waits}, {"2026-11-23T10:15:00+01:00", Runs}}, "2026-11-23T10:15:00+01:00", "2026-11-23T10:00:00+01:00", "2026-11-23T15:00:00+01:00",
			func(s State) bool { return s.Waited == time.Hour }},
		{"what lies ahead is not looked at", api.Medium, entries{{"2026-11-23T12:00:00+01:00", Solved}}, "2026-11-23T10:00:00+01:00", "2026-11-23T11:00:00+01:00", "2026-11-24T09:00:00+01:00",
			func(s State) bool { return s.Solution.Running }},
	} {
		if c.name == "just made" {
			c.solution = "2026-11-24T09:00:00+01:00" // 9 hours: the day has 9 of them, one of which is over
		}
		var log []Entry
		for _, e := range c.log {
			log = append(log, Entry{parse(t, e.at), e.kind})
		}
		s, err := gold().At(parse(t, made), c.severity, log, parse(t, c.now))
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]struct {
			due  Due
			want string
		}{"first answer": {s.First, c.first}, "solution": {s.Solution, c.solution}} {
			if got.want == "" {
				if got.due.Budget != 0 || !got.due.At.IsZero() {
					t.Errorf("%s: %s due %s, want no promise", c.name, what, got.due.At)
				}
				continue
			}
			if want := parse(t, got.want); !got.due.At.Equal(want) {
				t.Errorf("%s: %s due %s, want %s", c.name, what, got.due.At.In(want.Location()).Format(time.RFC3339), got.want)
			}
		}
		if c.check != nil && !c.check(s) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestNextAnswer(t *testing.T) {
	made := parse(t, "2026-11-23T09:00:00+01:00")
	at := func(clock string) time.Time { return parse(t, "2026-11-23T"+clock+":00+01:00") }
	for _, c := range []struct {
		name string
		log  []Entry
		want string // due; empty: does not run
	}{
		{"never before the first answer", []Entry{{at("09:30"), Asked}}, ""},
		{"not while we spoke last", []Entry{{at("09:30"), Answered}}, ""},
		{"from the customer's first word since", []Entry{{at("09:30"), Answered}, {at("10:00"), Asked}, {at("11:00"), Asked}}, "2026-11-23T15:00:00+01:00"},
		{"ends with our answer", []Entry{{at("09:30"), Answered}, {at("10:00"), Asked}, {at("11:00"), Answered}}, ""},
		{"ends with the solution", []Entry{{at("09:30"), Answered}, {at("10:00"), Asked}, {at("11:00"), Solved}}, ""},
	} {
		s, err := gold().At(made, api.Medium, c.log, at("12:00"))
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" != !s.Next.Running || c.want != "" && !s.Next.At.Equal(parse(t, c.want)) {
			t.Errorf("%s: %+v, want %q", c.name, s.Next, c.want)
		}
	}
}

func TestAlarms(t *testing.T) {
	made := parse(t, "2026-11-23T09:00:00+01:00")
	at := func(s string) time.Time { return parse(t, s+"+01:00") }
	s, err := gold().At(made, api.Medium, nil, made)
	if err != nil {
		t.Fatal(err)
	}
	want := []Alarm{
		{at("2026-11-23T10:00:00"), "first", 50, "2h0m0s/a"}, {at("2026-11-23T10:30:00"), "first", 75, "2h0m0s/a"}, {at("2026-11-23T11:00:00"), "first", 100, "2h0m0s/a"},
		{at("2026-11-23T14:30:00"), "solution", 50, "9h0m0s/a"}, {at("2026-11-23T16:45:00"), "solution", 75, "9h0m0s/a"}, {at("2026-11-24T09:00:00"), "solution", 100, "9h0m0s/a"},
	}
	if len(s.Alarms) != len(want) {
		t.Fatalf("%d alarms, want %d: %v", len(s.Alarms), len(want), s.Alarms)
	}
	for i, a := range s.Alarms {
		if !a.At.Equal(want[i].At) || a.Clock != want[i].Clock || a.Percent != want[i].Percent || a.Arm != want[i].Arm {
			t.Errorf("alarm %d: %v, want %v", i, a, want[i])
		}
	}
	paused, err := gold().At(made, api.Medium, []Entry{{at("2026-11-23T09:30:00"), Answered}, {at("2026-11-23T10:00:00"), Pauses}}, at("2026-11-23T12:00:00"))
	if err != nil || len(paused.Alarms) != 0 {
		t.Errorf("pausing leaves alarms: %v, %v", paused.Alarms, err)
	}
	again, err := gold().At(made, api.Medium, []Entry{{at("2026-11-23T09:30:00"), Answered}, {at("2026-11-23T10:00:00"), Solved}, {at("2026-11-23T11:00:00"), Runs}}, at("2026-11-23T12:00:00"))
	if err != nil || len(again.Alarms) != 3 || again.Alarms[0].Arm != "9h0m0s/b" {
		t.Errorf("reopening arms anew: %v, %v", again.Alarms, err)
	}
}

func TestContractsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Contract)
		want   error
	}{
		{"as it is", func(*Contract) {}, nil},
		{"no name", func(c *Contract) { c.Name = "" }, ErrName},
		{"an unknown severity", func(c *Contract) { c.Targets["urgent"] = Target{} }, ErrTargets},
		{"seconds", func(c *Contract) { c.Targets[api.Low] = Target{First: time.Second} }, ErrTargets},
		{"years", func(c *Contract) { c.Targets[api.Low] = Target{Solution: 9000 * time.Hour} }, ErrTargets},
		{"solved before it is answered", func(c *Contract) { c.Targets[api.Low] = Target{First: 2 * time.Hour, Solution: time.Hour} }, ErrTargets},
		{"a broken calendar", func(c *Contract) { c.Calendar.Zone = "x" }, ErrZone},
	} {
		k := gold()
		c.change(&k)
		if err := k.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestOnDuty(t *testing.T) {
	p := Plan{Zone: "Europe/Rome", Fallback: "boss", Shifts: []Shift{
		{Interval{time.Monday, 8 * 60, 18 * 60}, "anna"}, {Interval{time.Monday, 18 * 60, 8 * 60}, "nico"}, {Interval{time.Tuesday, 8 * 60, 18 * 60}, "bert"},
	}, Exceptions: []Exception{{parse(t, "2026-11-30T00:00:00+01:00"), parse(t, "2026-12-01T00:00:00+01:00"), "carl"}}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]account.ID{
		"2026-11-23T08:00:00+01:00": "anna", "2026-11-23T17:59:00+01:00": "anna", "2026-11-23T18:00:00+01:00": "nico", "2026-11-24T07:59:00+01:00": "nico",
		"2026-11-24T08:00:00+01:00": "bert", "2026-11-25T10:00:00+01:00": "boss", "2026-11-30T10:00:00+01:00": "carl", "2026-12-01T00:00:00+01:00": "nico",
	} {
		if got, planned := p.OnDuty(parse(t, at)); got != want || planned != (want != "boss") {
			t.Errorf("%s: %s (planned %v), want %s", at, got, planned, want)
		}
	}
	if got, _ := p.Without("anna").OnDuty(parse(t, "2026-11-23T09:00:00+01:00")); got != "boss" {
		t.Errorf("after anna left: %s", got)
	}
	if got, _ := p.Without("boss").OnDuty(parse(t, "2026-11-25T10:00:00+01:00")); got != "" {
		t.Errorf("nobody is left, got %s", got)
	}
	p.Exceptions[0].To = p.Exceptions[0].From
	if err := p.Check(); !errors.Is(err, ErrDuty) {
		t.Errorf("an empty exception: %v", err)
	}
}

func TestClock(t *testing.T) {
	for s, want := range map[string]int{"08:30": 510, "8:30": 510, "00:00": 0, "24:00": 1440} {
		if got, err := ParseClock(s); got != want || err != nil {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "8", "24:01", "25:00", "12:60", "-1:00", "12:30x", "1234567:10"} {
		if got, err := ParseClock(s); err == nil {
			t.Errorf("%q is read as %d", s, got)
		}
	}
	if got := Clock(510); got != "08:30" {
		t.Error(got)
	}
}
