package people_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

const password = "Correct-Horse-7"

func setup(t *testing.T, s *store.Store) (*people.People, *clock) {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	p := people.New(people.Options{Options: desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: c.Now}, Seal: seal})
	if err := p.EnsureProvider(t.Context(), "Rossi IT"); err != nil {
		t.Fatal(err)
	}
	return p, c
}

func first(t *testing.T, p *people.People, c *clock) peopletest.Finished {
	t.Helper()
	token, err := p.FirstAdministratorToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	step, err := p.FirstAdministrator(t.Context(), token, "Bianchi IT", people.NewAccount{Email: "Anna@Example.com", Name: "Anna", Password: password, Language: "it", Address: "::1"})
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, p, c, step)
}

func finish(t *testing.T, p *people.People, c *clock, step people.Step) peopletest.Finished {
	t.Helper()
	in, err := peopletest.Finish(t.Context(), p, step, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func signIn(t *testing.T, p *people.People) (people.Step, error) {
	return p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: password, Address: "::1"})
}

func TestFirstAdministratorOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		if done, err := p.Initialised(t.Context()); done || err != nil {
			t.Fatal(done, err)
		}
		old, err := p.FirstAdministratorToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		weak := people.NewAccount{Email: "a@b.it", Name: "A", Password: "Password-1!"}
		if _, err := p.FirstAdministrator(t.Context(), old, "", weak); !errors.Is(err, account.ErrPasswordCommon) {
			t.Errorf("a common password: %v", err)
		}
		// An invited administrator who has not accepted does not count: nobody could get in.
		if _, _, err := p.Invite(t.Context(), desk.System(), people.NewInvitation{Email: "anna@example.com", Role: account.Technician}); err != nil {
			t.Fatal(err)
		}
		in := first(t, p, c)
		if in.Account.Role != account.Administrator || in.Account.Email != "anna@example.com" || in.Account.OrganizationName != "Bianchi IT" {
			t.Errorf("got %+v", in.Account)
		}
		if err := p.CheckFirst(t.Context(), old); err == nil {
			t.Error("an old link still works")
		}
		if token, err := p.FirstAdministratorToken(t.Context()); token != "" || err != nil {
			t.Errorf("a second link: %q %v", token, err)
		}
		if a, me, err := p.Login(t.Context(), in.Token, "::1"); err != nil || a.Account != in.Account.ID || me.Name != "Anna" || a.Login != in.Login.ID {
			t.Errorf("login %+v %v", a, err)
		}
	})
}

func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		in := first(t, p, c)
		if step, err := signIn(t, p); err != nil || len(step.Factors) != 1 {
			t.Fatal(step, err)
		}
		var texts []string
		for _, wrong := range []people.Credentials{{Email: "anna@example.com", Password: "Wrong-Horse-7"}, {Email: "nobody@example.com", Password: password}, {Email: "no address", Password: password}} {
			_, err := p.SignIn(t.Context(), wrong)
			if !errors.Is(err, desk.ErrDenied) {
				t.Fatalf("%+v: %v", wrong, err)
			}
			texts = append(texts, desk.Text(err, "en"))
		}
		if texts[0] != texts[1] || texts[1] != texts[2] {
			t.Errorf("the answers tell which part was wrong: %q", texts)
		}
		step, err := signIn(t, p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := peopletest.Recover(t.Context(), p, step, in.Codes[0]); err != nil {
			t.Fatal(err)
		}
		actor, _, err := p.Login(t.Context(), in.Token, "::1")
		if err != nil {
			t.Fatal(err)
		}
		if list, err := p.Logins(t.Context(), actor); len(list) != 2 || err != nil {
			t.Errorf("logins %+v %v", list, err)
		}
		if err := p.ChangePassword(t.Context(), actor, "Wrong-Horse-7", "Another-Horse-8"); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("changed with a wrong password: %v", err)
		}
		if err := p.ChangePassword(t.Context(), actor, password, "Another-Horse-8"); err != nil {
			t.Fatal(err)
		}
		if list, err := p.Logins(t.Context(), actor); len(list) != 1 || !list[0].Current || err != nil {
			t.Errorf("logins after the password was changed: %+v %v", list, err)
		}
		if _, err := signIn(t, p); err == nil {
			t.Error("the old password still works")
		}
		c.pass(account.LoginIdle)
		if _, _, err := p.Login(t.Context(), in.Token, "::1"); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an idle login: %v", err)
		}
	})
}

func TestSignOutEndsTheLogin(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	in := first(t, p, c)
	actor, _, err := p.Login(t.Context(), in.Token, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SignOut(t.Context(), actor); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Login(t.Context(), in.Token, ""); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	first(t, p, c)
	guess := func(email, address string) error {
		_, err := p.SignIn(t.Context(), people.Credentials{Email: email, Password: "Wrong-Horse-7", Address: address})
		return err
	}
	n := 0
	for ; n < 50; n++ {
		if errors.Is(guess("anna@example.com", "::"+string(rune('2'+n%8))), desk.ErrLimited) {
			break
		}
	}
	if n != 10 {
		t.Errorf("%d guesses of one account's password, want 10", n)
	}
	right := func() error {
		_, err := p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: password, Address: "::9"})
		return err
	}
	if err := right(); !errors.Is(err, desk.ErrLimited) {
		t.Errorf("the right password among guesses: %v", err)
	}
	c.pass(time.Minute)
	if err := right(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestGuessingElsewhereKeepsNobodyOut: somebody who guesses from many addresses uses up the count of strangers, and
// the owner still signs in where they are signed in already. The twin is an address where nobody is.
func TestGuessingElsewhereKeepsNobodyOut(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	in := first(t, p, c)
	at := func(address, password string) error {
		_, err := p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: password, Address: address})
		return err
	}
	c.pass(10 * time.Minute)
	if _, _, err := p.Login(t.Context(), in.Token, "2001:db8::7"); err != nil { // she works there now
		t.Fatal(err)
	}
	for i := range 40 {
		if err := at(fmt.Sprintf("192.0.2.%d", i), "Wrong-Horse-7"); !errors.Is(err, desk.ErrDenied) && !errors.Is(err, desk.ErrLimited) {
			t.Fatal(err)
		}
	}
	if err := at("198.51.100.1", password); !errors.Is(err, desk.ErrLimited) {
		t.Errorf("from an unknown address after forty guesses: %v, want to be limited", err)
	}
	if err := at("2001:db8::7", password); err != nil {
		t.Errorf("the owner is kept out where she works: %v", err)
	}
	n := 0
	for ; n < 50 && !errors.Is(at("2001:db8::7", "Wrong-Horse-7"), desk.ErrLimited); n++ {
	}
	if n != 10 {
		t.Errorf("%d guesses from the known address, want 10", n)
	}
	if err := p.SignOut(t.Context(), func() desk.Actor { a, _, _ := p.Login(t.Context(), in.Token, "2001:db8::7"); return a }()); err != nil {
		t.Fatal(err)
	}
	if err := at("2001:db8::7", password); !errors.Is(err, desk.ErrLimited) {
		t.Errorf("an address where nobody is signed in any more counts as known: %v", err)
	}
}

// TestAKnownBrowserIsNotKeptOut: in a browser in which she has signed in before, the owner still signs in from
// anywhere, whatever others guess. Twins: a browser of somebody else, a changed text, one that is too old.
func TestAKnownBrowserIsNotKeptOut(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	in := first(t, p, c)
	browser, others := p.Browser(in.Account.ID), p.Browser("somebody else")
	at := func(browser string) error {
		_, err := p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: password, Address: "198.51.100.1", Browser: browser})
		return err
	}
	for i := range 12 {
		_, err := p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: "Wrong-Horse-7", Address: fmt.Sprintf("192.0.2.%d", i)})
		if err == nil {
			t.Fatal("a wrong password")
		}
	}
	if err := at(browser); err != nil {
		t.Errorf("the owner is kept out of her own browser: %v", err)
	}
	for what, b := range map[string]string{"no cookie": "", "somebody else's": others, "changed": "A" + browser[1:], "nonsense": "x"} {
		if err := at(b); !errors.Is(err, desk.ErrLimited) {
			t.Errorf("%s: %v, want to be limited", what, err)
		}
	}

	// Who has the password but not the second factor uses up the count of strangers, not the owner's.
	c.pass(time.Hour)
	begin := func(browser, address string) people.Step {
		t.Helper()
		s, err := p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: password, Address: address, Browser: browser})
		if err != nil {
			t.Fatal(err)
		}
		s.Browser = browser
		return s
	}
	thief := begin("", "192.0.2.66")
	prove := func(s people.Step) error {
		_, err := p.Prove(t.Context(), s, people.Proof{Kind: account.App, Text: "000000"})
		return err
	}
	n := 0
	for ; n < 50 && !errors.Is(prove(thief), desk.ErrLimited); n++ {
	}
	if n != 10 {
		t.Errorf("the thief has %d guesses, want 10", n)
	}
	if err := prove(begin("", "192.0.2.67")); !errors.Is(err, desk.ErrLimited) {
		t.Errorf("from another address the thief guesses on: %v", err)
	}
	if err := prove(begin(browser, "198.51.100.1")); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("the owner is kept out by who has her password: %v", err)
	}
	c.pass(people.BrowserLife)
	for range 12 {
		p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: "Wrong-Horse-7", Address: "192.0.2.1"})
	}
	if err := at(browser); !errors.Is(err, desk.ErrLimited) {
		t.Errorf("a browser that was here half a year ago is known: %v", err)
	}
}

// TestGuessesAtOnceAreCountedToo: attempts count before they are made, so that none slips past the others.
func TestGuessesAtOnceAreCountedToo(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	first(t, p, c)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			_, err := p.SignIn(context.Background(), people.Credentials{Email: "anna@example.com", Password: "Wrong-Horse-7", Address: fmt.Sprint(i)})
			if !errors.Is(err, desk.ErrLimited) {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 10 {
		t.Errorf("%d guesses at once, want 10", n)
	}
}

func TestInvitation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		in := first(t, p, c)
		admin := desk.Of(in.Account, desk.ViaPortal, "")
		_, token, err := p.Invite(t.Context(), admin, people.NewInvitation{Email: "carla@verdi.it", Role: account.Responsible, Organization: "Studio Verdi"})
		if err != nil {
			t.Fatal(err)
		}
		accept := func() people.Step {
			step, err := p.AcceptInvitation(t.Context(), token, people.NewAccount{Email: "other@evil.it", Name: "Carla", Password: password, Language: "de"})
			if err != nil {
				t.Fatal(err)
			}
			return step
		}
		given := accept() // and closes the browser before the second factor
		if _, err := p.SignIn(t.Context(), people.Credentials{Email: "carla@verdi.it", Password: password}); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an account without its second factor was signed in: %v", err)
		}
		carla := finish(t, p, c, accept())
		if _, err := peopletest.Finish(t.Context(), p, given, c.now); err == nil {
			t.Error("a sign-up that was begun anew goes on")
		}
		if err != nil || carla.Account.Email != "carla@verdi.it" || carla.Account.OrganizationName != "Studio Verdi" || carla.Account.Language != "de" {
			t.Fatalf("%+v %v", carla.Account, err)
		}
		if _, err := p.AcceptInvitation(t.Context(), token, people.NewAccount{Name: "Again", Password: password}); !errors.Is(err, account.ErrUsed) {
			t.Errorf("used twice: %v", err)
		}
		if _, err := p.Invitation(t.Context(), "guessed"); !errors.Is(err, account.ErrExpired) {
			t.Errorf("a guessed token: %v", err)
		}
		boss := desk.Of(carla.Account, desk.ViaPortal, "")
		for _, n := range []struct {
			people.NewInvitation
			ok bool
		}{
			{people.NewInvitation{Email: "lucia@verdi.it", Role: account.Requester}, true},
			{people.NewInvitation{Email: "x@verdi.it", Role: account.Technician}, false},
			{people.NewInvitation{Email: "y@verdi.it", Role: account.Requester, Organization: "Bianchi IT"}, false},
			{people.NewInvitation{Email: "z@verdi.it", Role: account.Requester, Organization: "A new one"}, false},
			{people.NewInvitation{Email: "anna@example.com", Role: account.Requester}, false},
		} {
			if _, _, err := p.Invite(t.Context(), boss, n.NewInvitation); (err == nil) != n.ok {
				t.Errorf("a responsible person invites %+v: %v", n.NewInvitation, err)
			}
		}
		_, late, err := p.Invite(t.Context(), boss, people.NewInvitation{Email: "lucia@verdi.it", Role: account.Requester})
		if err != nil {
			t.Fatal("invited again:", err)
		}
		c.pass(account.InvitationLife)
		if _, err := p.AcceptInvitation(t.Context(), late, people.NewAccount{Name: "Lucia", Password: password}); !errors.Is(err, account.ErrExpired) {
			t.Errorf("too late: %v", err)
		}
	})
}

func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		in := first(t, p, c)
		me := in.Actor()
		k, secret, err := p.CreateNarrowToken(t.Context(), me, people.NewToken{Name: "script", Rights: me.Rights, Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := p.ActorByToken(t.Context(), secret, "::1"); err != nil || a.Account != in.Account.ID || a.Via != desk.ViaAPI {
			t.Errorf("%+v %v", a, err)
		}
		if _, err := p.ActorByToken(t.Context(), secret+"x", ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("a wrong token: %v", err)
		}
		if err := p.DeleteToken(t.Context(), desk.Actor{Account: "other"}, k.ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("somebody else's token: %v", err)
		}
		c.pass(time.Hour)
		if _, err := p.ActorByToken(t.Context(), secret, ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an expired token: %v", err)
		}
		// The command line makes tokens for people who have not accepted their invitation.
		if _, _, err := p.Invite(t.Context(), desk.System(), people.NewInvitation{Email: "robot@example.com", Role: account.Technician}); err != nil {
			t.Fatal(err)
		}
		_, secret, err = p.CreateTokenFor(t.Context(), desk.System(), "robot@example.com", "robot", 0)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := p.ActorByToken(t.Context(), secret, ""); err != nil || a.Role != account.Technician {
			t.Errorf("%+v %v", a, err)
		}
		if _, err := p.SignIn(t.Context(), people.Credentials{Email: "robot@example.com"}); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an account without a password was signed in: %v", err)
		}
		if _, _, err := p.CreateTokenFor(t.Context(), me, "robot@example.com", "x", 0); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an administrator makes tokens for others: %v", err)
		}
	})
}

func TestResetAccount(t *testing.T) {
	p, c := setup(t, storetest.SQLite(t))
	in := first(t, p, c)
	fresh, err := p.ResetAccount(t.Context(), desk.System(), "anna@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := account.CheckPassword(fresh, "anna@example.com"); err != nil {
		t.Errorf("the new password breaks the rule: %v", err)
	}
	if _, _, err := p.Login(t.Context(), in.Token, ""); err == nil {
		t.Error("an old login survived")
	}
	step, err := p.SignIn(t.Context(), people.Credentials{Email: "anna@example.com", Password: fresh})
	if err != nil || step.Login.State != account.LoginSetup {
		t.Errorf("%+v %v", step.Login, err)
	}
	if again := finish(t, p, c, step); len(again.Codes) != 10 {
		t.Errorf("new recovery codes %q", again.Codes)
	}
	if _, err := p.ResetAccount(t.Context(), desk.Of(in.Account, desk.ViaPortal, ""), "anna@example.com"); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("from the portal: %v", err)
	}
}

func BenchmarkPassword(b *testing.B) {
	s := storetest.SQLite(b)
	p := people.New(people.Options{Options: desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler)}})
	if err := p.EnsureProvider(b.Context(), "x"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.SignIn(b.Context(), people.Credentials{Email: "nobody@example.com", Password: password, Address: time.Now().String()}); !errors.Is(err, desk.ErrDenied) && !errors.Is(err, desk.ErrLimited) {
			b.Fatal(err)
		}
	}
}
