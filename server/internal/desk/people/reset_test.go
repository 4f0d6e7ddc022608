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
	"github.com/traybell/traybell/server/internal/servertest"
)

// linkIn is the link in the one waiting mail of a kind to an address, which an administrator may copy; empty: none.
func linkIn(t *testing.T, s *servertest.Server, kind, to string) (token string) {
	t.Helper()
	box, err := s.Mails.Outbox(t.Context(), desk.System())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range box.Mails {
		if m.Kind != kind || m.To != to {
			continue
		}
		_, l, err := s.Mails.Link(t.Context(), desk.System(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, token, _ = strings.Cut(l, "#token=")
		return token
	}
	return ""
}

func TestForgottenPasswordNeedsTheSecondFactor(t *testing.T) {
	s := servertest.Start(t)
	s.Administrator(t)
	lucia := s.Person(t, account.Requester, "lucia@verdi.it", "Studio Verdi")
	for _, email := range []string{"lucia@verdi.it", "nobody@verdi.it"} {
		if err := s.People.ForgotPassword(t.Context(), email, "::1"); err != nil {
			t.Errorf("%s: %v", email, err)
		}
	}
	if linkIn(t, s, desk.MailReset, "nobody@verdi.it") != "" {
		t.Error("a mail to an address without account")
	}
	token := linkIn(t, s, desk.MailReset, "lucia@verdi.it")
	if kind, a, err := s.People.ResetLink(t.Context(), token); kind != people.PasswordLink || a.ID != lucia.Account.ID || err != nil {
		t.Fatal(kind, a, err)
	}
	step, err := s.People.FollowPasswordLink(t.Context(), token, "::1", "")
	if err != nil || step.Login.State != account.LoginSecond {
		t.Fatalf("%+v %v", step.Login, err)
	}
	if _, err := s.People.BeginApp(t.Context(), step.Actor()); err == nil {
		t.Error("the link alone sets up another second factor")
	}
	in, err := peopletest.Recover(t.Context(), s.People, step, lucia.Codes[0])
	if err != nil {
		t.Fatal(err)
	}
	me := peopletest.Finished{SignedIn: in}.Actor()
	if err := s.People.NewPassword(t.Context(), me, "Another-Horse-8"); err != nil {
		t.Fatal(err)
	}
	if err := s.People.NewPassword(t.Context(), me, "Another-Horse-9"); err == nil {
		t.Error("the link sets two passwords")
	}
	if _, err := s.People.FollowPasswordLink(t.Context(), token, "::1", ""); !errors.Is(err, account.ErrExpired) {
		t.Errorf("the link again: %v", err)
	}
	if _, _, err := s.People.Login(t.Context(), lucia.Cookie, "::1"); err == nil {
		t.Error("another login survived")
	}
	if _, err := s.People.SignIn(t.Context(), people.Credentials{Email: "lucia@verdi.it", Password: "Another-Horse-8"}); err != nil {
		t.Error(err)
	}
}

func TestLostSecondFactor(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	lucia := s.Person(t, account.Requester, "lucia@verdi.it", "Studio Verdi")
	carla := s.Person(t, account.Responsible, "carla@verdi.it", "Studio Verdi")
	dora := s.Person(t, account.Responsible, "dora@neri.it", "Neri")
	for name, who := range map[string]*servertest.Person{"a requester": lucia, "another organization": dora} {
		if err := s.People.ResetFactor(t.Context(), who.Actor, "carla@verdi.it"); err == nil {
			t.Errorf("%s resets", name)
		}
	}
	if err := s.People.ResetFactor(t.Context(), carla.Actor, "admin@example.com"); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("a responsible person resets the administrator's: %v", err)
	}
	if err := s.People.ResetFactor(t.Context(), admin.Actor, "admin@example.com"); !errors.Is(err, desk.ErrConflict) {
		t.Errorf("one's own: %v", err)
	}
	if err := s.People.ResetFactor(t.Context(), carla.Actor, "lucia@verdi.it"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.People.Login(t.Context(), lucia.Cookie, "::1"); err == nil {
		t.Error("a login survived")
	}
	right := people.Credentials{Email: "lucia@verdi.it", Password: servertest.Password, Address: "::1"}
	if _, err := s.People.SignIn(t.Context(), right); !errors.Is(err, desk.ErrConflict) {
		t.Errorf("the password alone goes on: %v", err)
	}
	token := linkIn(t, s, desk.MailFactorReset, "lucia@verdi.it")
	if _, err := s.People.FollowFactorLink(t.Context(), token, people.Credentials{Password: "Wrong-Horse-7", Address: "::1"}); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("the link without the password: %v", err)
	}
	step, err := s.People.FollowFactorLink(t.Context(), token, right)
	if err != nil || step.Login.State != account.LoginSetup {
		t.Fatalf("%+v %v", step.Login, err)
	}
	if f, err := peopletest.Finish(t.Context(), s.People, step, time.Now()); err != nil || len(f.Codes) != 10 {
		t.Fatal(f, err)
	}
	if _, err := s.People.FollowFactorLink(t.Context(), token, right); !errors.Is(err, account.ErrExpired) {
		t.Errorf("the link again: %v", err)
	}
	if step, err := s.People.SignIn(t.Context(), right); err != nil || step.Login.State != account.LoginSecond {
		t.Errorf("%+v %v", step.Login, err)
	}
}

func TestEveryChangeOfASecondFactorIsMailed(t *testing.T) {
	s := servertest.Start(t)
	s.Administrator(t)
	lucia := s.Person(t, account.Requester, "lucia@verdi.it", "Studio Verdi")
	notices := func() (n int) {
		t.Helper()
		box, err := s.Mails.Outbox(t.Context(), desk.System())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range box.Mails {
			if m.Kind == desk.MailFactorChanged && m.To == "lucia@verdi.it" {
				n++
			}
		}
		return n
	}
	if n := notices(); n != 0 {
		t.Errorf("%d notices of a sign-up", n)
	}
	me, _, err := s.People.Login(t.Context(), lucia.Cookie, "::1")
	if err != nil {
		t.Fatal(err)
	}
	app, err := s.People.BeginApp(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.People.ConfirmApp(t.Context(), me, "Tablet", peopletest.Code(app.Secret, time.Now())); err != nil {
		t.Fatal(err)
	}
	if n := notices(); n != 1 {
		t.Errorf("%d notices after another factor", n)
	}
	list, err := s.People.Factors(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.People.RemoveFactor(t.Context(), me, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if n := notices(); n != 2 {
		t.Errorf("%d notices after its removal", n)
	}
	if err := s.People.RemoveFactor(t.Context(), me, list[1].ID); !errors.Is(err, desk.ErrConflict) {
		t.Errorf("the last factor: %v", err)
	}
	if n := notices(); n != 2 {
		t.Errorf("%d notices after a refusal", n)
	}
}
