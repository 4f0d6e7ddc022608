package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPassword(t *testing.T) {
	for _, c := range []struct {
		name, password string
		want           error
	}{
		{"good", "Correct-Horse-7", nil},
		{"eight with a digit", "vorTefk7", nil},
		{"eight with a symbol", "vorTefk!", nil},
		{"a phrase in another script", "Дождь идёт с утра 3", nil},
		{"64 characters", strings.Repeat("aB3-", 16), nil},
		{"seven characters", "abcDe7!", ErrPasswordShort},
		{"bytes are not characters", "Äöüß1é", ErrPasswordShort},
		{"too long", strings.Repeat("aB3-", 65), ErrPasswordLong},
		{"no upper case", "correct-horse-7", ErrPasswordKinds},
		{"no lower case", "CORRECT-HORSE-7", ErrPasswordKinds},
		{"letters only", "CorrectHorse", ErrPasswordKinds},
		{"common, decorated", "Password123!", ErrPasswordCommon},
		{"used by many", "Trustno1!", ErrPasswordCommon},
		{"a name with a year", "Michelle1987!", ErrPasswordCommon},
		{"common in Italian", "Benvenuto2026!", ErrPasswordCommon},
		{"the address", "Lucia.rossi@verdi1.it", ErrPasswordCommon},
		{"the address's name, decorated", "Lucia.rossi1!", ErrPasswordCommon},
	} {
		if got := CheckPassword(c.password, "lucia.rossi@verdi1.it"); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEmail(t *testing.T) {
	for in, want := range map[string]string{
		" Lucia@Verdi.IT ": "lucia@verdi.it", "a+b@c.de": "a+b@c.de", "ü@größe.de": "ü@größe.de",
		"": "", "lucia": "", "@verdi.it": "", "lucia@": "", "a@b@c": "", "Lucia <l@v.it>": "", "l@v.it\r\nBcc: x@y.z": "", "a b@c.de": "", `"a b"@c.de`: "",
		strings.Repeat("a", 250) + "@b.it": "",
	} {
		got, err := NormalizeEmail(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzNormalizeEmail(f *testing.F) {
	f.Add("Lucia@Verdi.it")
	f.Add("a@[127.0.0.1]")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := NormalizeEmail(s)
		if err != nil {
			return
		}
		if again, err := NormalizeEmail(got); again != got || err != nil {
			t.Errorf("%q became %q, then %q (%v)", s, got, again, err)
		}
		if strings.ContainsAny(got, "\r\n\x00 <>") {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestLoginEnds(t *testing.T) {
	now := time.Now()
	l := Login{CreatedAt: now, SeenAt: now, State: LoginIn}
	if !l.Live(now.Add(LoginIdle - 1)) {
		t.Error("ended before its time")
	}
	if l.Live(now.Add(LoginIdle)) {
		t.Error("an unused login lives on")
	}
	l.SeenAt = now.Add(LoginLife)
	if l.Live(now.Add(LoginLife)) {
		t.Error("a much used login lives for ever")
	}
}

func TestInvitationChecks(t *testing.T) {
	now := time.Now()
	i := Invitation{ExpiresAt: now.Add(1)}
	if err := i.Check(now); err != nil {
		t.Error(err)
	}
	if err := i.Check(now.Add(1)); err != ErrExpired {
		t.Error(err)
	}
	i.UsedAt = now
	if err := i.Check(now); err != ErrUsed {
		t.Error(err)
	}
}

func TestMayInvite(t *testing.T) {
	mine := Reach{Organizations: []OrganizationID{"mine"}}
	for _, c := range []struct {
		name   string
		rights Rights
		reach  Reach
		may    []Role // into "mine"
		other  []Role // into another organization
	}{
		{"administrator", Administrator.Rights(), Reach{All: true}, Roles, Roles},
		{"responsible", Responsible.Rights(), mine, []Role{Requester}, nil},
		{"technician", Technician.Rights(), Reach{All: true}, nil, nil},
		{"technician who invites", Technician.Rights() | RightsOf(PeopleManage), Reach{All: true}, []Role{Requester, Technician}, []Role{Requester, Technician}},
		{"the same, for one organization", Technician.Rights() | Responsible.Rights(), mine, []Role{Requester, Responsible}, nil},
		{"nobody", 0, Reach{All: true}, nil, nil},
	} {
		for _, as := range Roles {
			if got, want := MayInvite(c.rights, c.reach, as, "mine"), slices.Contains(c.may, as); got != want {
				t.Errorf("%s invites %s: %v, want %v", c.name, as, got, want)
			}
			if got, want := MayInvite(c.rights, c.reach, as, "other"), slices.Contains(c.other, as); got != want {
				t.Errorf("%s invites %s elsewhere: %v, want %v", c.name, as, got, want)
			}
		}
	}
}
