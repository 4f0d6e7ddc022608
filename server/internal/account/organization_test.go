package account

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestDomain(t *testing.T) {
	for in, want := range map[string]string{
		" @StudioVerdi.IT. ": "studioverdi.it", "a-b.co.uk": "a-b.co.uk", "größe.de": "größe.de",
		"": "", "localhost": "", "a..b": "", ".it": "", "-a.it": "", "a-.it": "", "a b.it": "", "a_b.it": "", "a@b.it": "", "b.it/x": "", strings.Repeat("a", 64) + ".it": "",
	} {
		got, err := CheckDomain(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestPlanDecidesWhoSeesDevices(t *testing.T) {
	for _, p := range []Plan{{}, {OwnDevice: true}, {Assets: true}, FullPlan} {
		for _, r := range Roles {
			want := r.Staff() || p.OwnDevice || p.Assets && r == Responsible
			if got := p.Devices(r); got != want {
				t.Errorf("%+v, %s: %v, want %v", p, r, got, want)
			}
		}
	}
	if (Organization{Provider: true}).Has() != FullPlan || (Organization{}).Has() != (Plan{}) {
		t.Error("the provider has everything, others what they have bought")
	}
}

func TestLicensedUsers(t *testing.T) {
	for _, r := range Roles {
		if Licensed(r, true) {
			t.Errorf("a disabled %s counts", r)
		}
		if got, want := Licensed(r, false), !r.Staff(); got != want {
			t.Errorf("%s: %v, want %v", r, got, want)
		}
	}
}

func TestDayIsThatOfTheOrganization(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
	if got := DayIn(rome, now); got != "2026-11-23" {
		t.Errorf("in Rome it is %s", got)
	}
	if got := DayIn(time.UTC, now); got != "2026-11-22" {
		t.Errorf("in UTC it is %s", got)
	}
}

func TestWhoStandsForWhom(t *testing.T) {
	away := func(who, deputy ID, from, to Day) Absence {
		return Absence{Account: who, Deputy: deputy, From: from, To: to}
	}
	for _, c := range []struct {
		name     string
		absences []Absence
		day      Day
		want     map[ID]ID
	}{
		{"everybody is there", nil, "2026-11-22", map[ID]ID{"c": "c", "d": "d"}},
		{"the first day", []Absence{away("c", "l", "2026-11-22", "2026-11-24")}, "2026-11-22", map[ID]ID{"c": "l", "d": "d"}},
		{"the last day", []Absence{away("c", "l", "2026-11-20", "2026-11-22")}, "2026-11-22", map[ID]ID{"c": "l", "d": "d"}},
		{"back again", []Absence{away("c", "l", "2026-11-20", "2026-11-21")}, "2026-11-22", map[ID]ID{"c": "c", "d": "d"}},
		{"the deputy is away too", []Absence{away("c", "d", "2026-11-20", "2026-11-30"), away("d", "l", "2026-11-22", "2026-11-22")}, "2026-11-22", map[ID]ID{"c": "l", "d": "l"}},
		{"they name each other", []Absence{away("c", "d", "2026-11-20", "2026-11-30"), away("d", "c", "2026-11-20", "2026-11-30")}, "2026-11-22", map[ID]ID{"c": "c", "d": "d"}},
		{"the earlier entry counts", []Absence{away("c", "l", "2026-11-20", "2026-11-30"), away("c", "d", "2026-11-22", "2026-11-23")}, "2026-11-22", map[ID]ID{"c": "l", "d": "d"}},
	} {
		if got := StandIns([]ID{"c", "d"}, c.absences, c.day); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAbsenceIsChecked(t *testing.T) {
	carla := Account{ID: "c", Organization: "o", Role: Responsible}
	lucia := Account{ID: "l", Organization: "o", Role: Requester}
	good := Absence{Organization: "o", Account: "c", Deputy: "l", From: "2026-11-22", To: "2026-11-30"}
	for _, c := range []struct {
		name        string
		change      func(*Absence)
		who, deputy Account
		want        error
	}{
		{"good", func(*Absence) {}, carla, lucia, nil},
		{"backwards", func(a *Absence) { a.To = "2026-11-21" }, carla, lucia, ErrDays},
		{"over already", func(a *Absence) { a.From, a.To = "2026-11-01", "2026-11-21" }, carla, lucia, ErrDays},
		{"for ever", func(a *Absence) { a.To = "2036-11-21" }, carla, lucia, ErrDays},
		{"not a day", func(a *Absence) { a.To = "soon" }, carla, lucia, ErrDays},
		{"nobody's to give", func(*Absence) {}, lucia, carla, ErrDeputy},
		{"themselves", func(*Absence) {}, carla, carla, ErrDeputy},
		{"of another customer", func(*Absence) {}, carla, Account{ID: "x", Organization: "p", Role: Requester}, ErrDeputy},
		{"disabled", func(*Absence) {}, carla, Account{ID: "l", Organization: "o", Role: Requester, Disabled: true}, ErrDeputy},
		{"a technician", func(*Absence) {}, carla, Account{ID: "l", Organization: "o", Role: Technician}, ErrDeputy},
	} {
		a := good
		c.change(&a)
		if got := CheckAbsence(a, c.who, c.deputy, "2026-11-22"); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzCheckDomain(f *testing.F) {
	f.Add("studioverdi.it")
	f.Add("@xn--gre-6ka8i.de.")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := CheckDomain(s)
		if err != nil {
			return
		}
		if again, err := CheckDomain(got); again != got || err != nil {
			t.Errorf("%q became %q, then %q (%v)", s, got, again, err)
		}
		if _, err := NormalizeEmail("a@" + got); err != nil {
			t.Errorf("%q is no domain of an address", got)
		}
	})
}
