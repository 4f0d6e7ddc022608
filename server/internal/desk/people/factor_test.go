package people_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

// prove signs Anna in by a proof.
func prove(t *testing.T, p *people.People, kind account.FactorKind, text string) (people.SignedIn, error) {
	t.Helper()
	step, err := signIn(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return p.Prove(t.Context(), step, people.Proof{Kind: kind, Text: text})
}

func TestAccountNeedsSecondFactor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		token, err := p.FirstAdministratorToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		step, err := p.FirstAdministrator(t.Context(), token, "", people.NewAccount{Email: "anna@example.com", Name: "Anna", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Login(t.Context(), step.Token, ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("half-way is signed in: %v", err)
		}
		if done, err := p.Initialised(t.Context()); done || err != nil {
			t.Errorf("an administrator without second factor counts: %v %v", done, err)
		}
		if a := step.Actor(); a.Staff() || a.Administrator() {
			t.Error("half-way has rights")
		}
		// With another address, by the same link: still one account.
		step, err = p.FirstAdministrator(t.Context(), token, "", people.NewAccount{Email: "anna.b@example.com", Name: "Anna", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		if list, err := p.Accounts(t.Context(), desk.System()); len(list) != 1 || err != nil {
			t.Errorf("%d accounts, %v", len(list), err)
		}
		setup, err := p.BeginApp(t.Context(), step.Actor())
		if err != nil || !strings.HasPrefix(setup.URL, "otpauth://totp/Traybell") {
			t.Fatalf("%+v %v", setup, err)
		}
		if again, err := p.BeginApp(t.Context(), step.Actor()); again != setup || err != nil {
			t.Errorf("loaded again, the key is another one: %+v %v", again, err)
		}
		if png, err := p.AppPicture(t.Context(), step.Actor()); err != nil || string(png[1:4]) != "PNG" {
			t.Error(err)
		}
		if _, err := p.ConfirmApp(t.Context(), step.Actor(), "", "000000"); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("a wrong code: %v", err)
		}
		d, err := p.ConfirmApp(t.Context(), step.Actor(), "", peopletest.Code(setup.Secret, c.now))
		if err != nil || len(d.Codes) != 10 || d.SignedIn == nil {
			t.Fatalf("%+v %v", d, err)
		}
		if _, _, err := p.Login(t.Context(), d.SignedIn.Token, ""); err != nil {
			t.Error(err)
		}
		if _, err := p.Step(t.Context(), step.Token); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the token of half-way lives on: %v", err)
		}
		if err := p.CheckFirst(t.Context(), token); !errors.Is(err, account.ErrUsed) {
			t.Errorf("the link works again: %v", err)
		}
	})
}

func TestSecondFactor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		in := first(t, p, c)
		code := func() string { return peopletest.Code(in.Secret, c.now) }
		if _, err := prove(t, p, account.App, code()); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the code of the set-up works a second time: %v", err)
		}
		c.pass(30 * time.Second)
		now := code()
		if _, err := prove(t, p, account.App, now[:3]+" "+now[3:]); err != nil {
			t.Errorf("the right code: %v", err)
		}
		if _, err := prove(t, p, account.App, now); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the same code again: %v", err)
		}
		c.pass(5 * time.Minute)
		if _, err := prove(t, p, account.App, now); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an old code: %v", err)
		}
		if _, err := prove(t, p, people.Recovery, strings.ToLower(in.Codes[3])); err != nil {
			t.Errorf("a recovery code: %v", err)
		}
		if _, err := prove(t, p, people.Recovery, in.Codes[3]); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the same recovery code again: %v", err)
		}
		if _, err := prove(t, p, "whatever", code()); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an unknown kind: %v", err)
		}
		actor, _, err := p.Login(t.Context(), in.Token, "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := p.RecoveryCodesLeft(t.Context(), actor); n != 9 || err != nil {
			t.Errorf("%d left, %v", n, err)
		}
	})
}

func TestHalfWayEnds(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	in := first(t, p, c)
	step, err := signIn(t, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.BeginApp(t.Context(), step.Actor()); err == nil {
		t.Error("who has a second factor sets up another one without proving it")
	}
	c.pass(account.StepLife)
	if _, err := p.Step(t.Context(), step.Token); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("got %v", err)
	}
	if _, err := peopletest.Recover(t.Context(), p, step, in.Codes[0]); err == nil {
		t.Error("a step goes on after its time")
	}
}

func TestSecurityNeedsFreshProof(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	in := first(t, p, c)
	me := func() desk.Actor {
		a, _, err := p.Login(t.Context(), in.Token, "::1")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	guarded := map[string]func() error{
		"an app":         func() error { _, err := p.BeginApp(t.Context(), me()); return err },
		"recovery codes": func() error { _, err := p.NewRecoveryCodes(t.Context(), me()); return err },
		"password":       func() error { return p.ChangePassword(t.Context(), me(), password, "Another-Horse-8") },
		"token": func() error {
			_, _, err := p.CreateNarrowToken(t.Context(), me(), people.NewToken{Name: "x"})
			return err
		},
		"remove": func() error { return p.RemoveFactor(t.Context(), me(), "x") },
	}
	c.pass(desk.FreshFor + time.Second)
	for name, f := range guarded {
		if err := f(); !errors.Is(err, desk.ErrStepUp) {
			t.Errorf("%s: %v, want ErrStepUp", name, err)
		}
	}
	if err := p.StepUp(t.Context(), me(), people.Proof{Kind: account.App, Text: "000000"}); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("a wrong code: %v", err)
	}
	if err := p.StepUp(t.Context(), me(), people.Proof{Kind: account.App, Text: peopletest.Code(in.Secret, c.now)}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.NewRecoveryCodes(t.Context(), me()); err != nil {
		t.Error(err)
	}
	a := desk.Of(in.Account, desk.ViaAPI, "")
	if err := desk.NeedFresh(a, c.now); err != nil {
		t.Errorf("an API token: %v", err)
	}
}

func TestFactorsAreKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		in := first(t, p, c)
		me := in.Actor()
		list, err := p.Factors(t.Context(), me)
		if err != nil || len(list) != 1 || list[0].Secret != "" {
			t.Fatalf("%+v %v", list, err)
		}
		if err := p.RemoveFactor(t.Context(), me, list[0].ID); !errors.Is(err, desk.ErrConflict) {
			t.Errorf("the only one is removed: %v", err)
		}
		setup, err := p.BeginApp(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.ConfirmApp(t.Context(), me, "Work phone", peopletest.Code(setup.Secret, c.now))
		if err != nil || d.Codes != nil || d.SignedIn != nil {
			t.Fatalf("%+v %v", d, err)
		}
		if err := p.RenameFactor(t.Context(), desk.Actor{Account: "other"}, list[0].ID, "x"); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("somebody else's factor is renamed: %v", err)
		}
		if err := p.RemoveFactor(t.Context(), me, list[0].ID); err != nil {
			t.Fatal(err)
		}
		if list, err = p.Factors(t.Context(), me); len(list) != 1 || list[0].Name != "Work phone" || err != nil {
			t.Errorf("%+v %v", list, err)
		}
		c.pass(30 * time.Second)
		if _, err := prove(t, p, account.App, peopletest.Code(in.Secret, c.now)); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the removed app: %v", err)
		}
		if _, err := prove(t, p, account.App, peopletest.Code(setup.Secret, c.now)); err != nil {
			t.Error(err)
		}
	})
}
