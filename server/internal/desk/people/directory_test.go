package people_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/directory/directorytest"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/shared/api"
)

// studio is a customer's LDAP directory, as its administrator would set it up.
func studio(t *testing.T, s *servertest.Server, l *directorytest.Slapd) account.Directory {
	t.Helper()
	carla := s.Person(t, account.Responsible, "boss@studioverdi.example", "Studio Verdi")
	secret := directorytest.Secret
	d, err := s.People.SaveDirectory(t.Context(), desk.System(), account.Directory{
		ID: account.DirectoryID(api.NewID(time.Now())), Kind: account.LDAP, Name: "Studio Verdi", Organization: carla.Account.Organization, Domains: []string{"studioverdi.example"}, Enabled: true, Create: true,
		DefaultRole: account.Requester, Rules: []account.RoleRule{{Group: "board", Role: account.Responsible}}, LDAP: l.Settings(),
	}, &secret)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// enter signs in through both factors: the directory's password and an authenticator app, set up at the first
// time, or a recovery code of it.
func enter(t *testing.T, s *servertest.Server, email, password string) (people.SignedIn, error) {
	t.Helper()
	step, err := s.People.SignIn(t.Context(), people.Credentials{Email: email, Password: password, Language: "it", Address: "192.0.2.1"})
	if err != nil {
		return people.SignedIn{}, err
	}
	codes, _ := recovery.LoadOrStore(step.Account.ID, &[]string{})
	left := codes.(*[]string)
	switch {
	case step.Login.State == account.LoginSetup:
		f, err := peopletest.Finish(t.Context(), s.People, step, time.Now())
		*left = f.Codes
		return f.SignedIn, err
	case len(*left) == 0: // who signed up elsewhere
		return people.SignedIn{Account: step.Account}, nil
	}
	code := (*left)[0]
	*left = (*left)[1:]
	return peopletest.Recover(t.Context(), s.People, step, code)
}

var recovery sync.Map // account -> *[]string

func TestPeopleOfALDAPDirectory(t *testing.T) {
	s := servertest.Start(t)
	l := directorytest.Start(t)
	admin := s.Administrator(t)
	d := studio(t, s, l)

	t.Run("come in with its password and get an account with the role of their groups", func(t *testing.T) {
		for email, role := range map[string]account.Role{"l.rossi@studioverdi.example": account.Requester, "C.Neri@studioverdi.example": account.Responsible} {
			in, err := enter(t, s, email, directorytest.Password)
			if err != nil {
				t.Fatalf("%s: %v", email, err)
			}
			if a := in.Account; a.Role != role || a.Directory != d.ID || a.Organization != d.Organization || a.Language != "it" {
				t.Errorf("%s: got %+v", email, a)
			}
			again, err := enter(t, s, email, directorytest.Password)
			if err != nil || again.Account.ID != in.Account.ID {
				t.Errorf("%s again: %v %v", email, again.Account.ID, err)
			}
		}
	})
	t.Run("stay outside otherwise", func(t *testing.T) {
		for name, tt := range map[string]struct{ email, password string }{
			"wrong password": {"l.rossi@studioverdi.example", "wrong"}, "empty password": {"l.rossi@studioverdi.example", ""}, "unknown": {"nobody@studioverdi.example", directorytest.Password},
			"foreign domain": {"l.rossi@other.example", directorytest.Password},
		} {
			var e *desk.Error
			if _, err := enter(t, s, tt.email, tt.password); !errors.As(err, &e) || e.Code != "sign_in_wrong" {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
	t.Run("can't take over accounts that are not theirs", func(t *testing.T) {
		l.Person(t, "mallory", "boss@studioverdi.example", "Mallory")
		l.Person(t, "eve", "admin@example.com", "Eve")
		if _, err := enter(t, s, "boss@studioverdi.example", directorytest.Password); err == nil {
			t.Error("the directory's password opens a local account")
		}
		if in, err := enter(t, s, "boss@studioverdi.example", servertest.Password); err != nil || in.Account.Directory != "" {
			t.Errorf("the local account: %v", err)
		}
		// by her user name's address the filter finds nobody; by the directory's own name it is refused
		if _, err := enter(t, s, "admin@example.com", directorytest.Password); err == nil {
			t.Error("a customer's directory opens the administrator's account")
		}
	})
	t.Run("keep no password here", func(t *testing.T) {
		in, err := enter(t, s, "l.rossi@studioverdi.example", directorytest.Password)
		if err != nil {
			t.Fatal(err)
		}
		actor, _, err := s.People.Login(t.Context(), in.Token, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.People.ChangePassword(t.Context(), actor, directorytest.Password, "Another-One-9"); !errors.Is(err, account.ErrPasswordElsewhere) {
			t.Errorf("got %v", err)
		}
		if _, _, err := s.People.Invite(t.Context(), desk.System(), people.NewInvitation{Email: in.Account.Email, Role: account.Requester, Organization: "Studio Verdi"}); !errors.Is(err, desk.ErrConflict) {
			t.Errorf("an invitation to get one: %v", err)
		}
	})
	t.Run("lose their account with their entry, and get it back", func(t *testing.T) {
		in, err := enter(t, s, "o.weber@studioverdi.example", directorytest.Password)
		if err != nil {
			t.Fatal(err)
		}
		live := func() bool { _, _, err := s.People.Login(t.Context(), in.Token, ""); return err == nil }
		check := func() {
			t.Helper()
			if err := s.People.CheckDirectories(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if check(); !live() {
			t.Fatal("somebody who is there was signed out")
		}
		l.Disable(t, "otto")
		if check(); live() {
			t.Error("a disabled person is still signed in")
		}
		if _, err := enter(t, s, "o.weber@studioverdi.example", directorytest.Password); err == nil {
			t.Error("a disabled person comes in")
		}
		l.Enable(t, "otto")
		if in, err = enter(t, s, "o.weber@studioverdi.example", directorytest.Password); err != nil || !live() {
			t.Fatalf("enabled again: %v", err)
		}
		l.Remove(t, "otto")
		if check(); live() {
			t.Error("a removed person is still signed in")
		}
	})
	t.Run("lose a role with its group", func(t *testing.T) {
		in, err := enter(t, s, "c.neri@studioverdi.example", directorytest.Password)
		if err != nil || in.Account.Role != account.Responsible {
			t.Fatalf("%v %v", in.Account.Role, err)
		}
		l.Change(t, "dn: cn=leads,"+directorytest.Groups+"\nchangetype: modify\ndelete: member\nmember: uid=carla,"+directorytest.People+"\n")
		if err := s.People.CheckDirectories(t.Context()); err != nil {
			t.Fatal(err)
		}
		if actor, _, err := s.People.Login(t.Context(), in.Token, ""); err != nil || actor.Role != account.Requester {
			t.Errorf("got %v, %v", actor.Role, err)
		}
	})
	t.Run("are tested before they are let in", func(t *testing.T) {
		got, err := s.People.TestDirectory(t.Context(), admin.Actor, d, nil, "lucia")
		if err != nil || got.Role != account.Requester || len(got.Identity.Groups) != 1 || got.Refused != nil {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err = s.People.TestDirectory(t.Context(), admin.Actor, d, nil, "eve"); err != nil || !errors.Is(got.Refused, account.ErrDirectoryForeign) {
			t.Errorf("somebody of a foreign domain: %+v, %v", got, err)
		}
		moved := d
		moved.LDAP.Server = "attacker.example:636"
		if _, err := s.People.TestDirectory(t.Context(), admin.Actor, moved, nil, "lucia"); !errors.Is(err, account.ErrDirectorySecret) {
			t.Errorf("the stored password would go to another server: %v", err)
		}
	})
	t.Run("stay as disabled accounts when it is removed", func(t *testing.T) {
		in, err := enter(t, s, "l.rossi@studioverdi.example", directorytest.Password)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.People.DeleteDirectory(t.Context(), admin.Actor, d.ID); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.People.Login(t.Context(), in.Token, ""); err == nil {
			t.Error("still signed in")
		}
		if _, err := enter(t, s, "l.rossi@studioverdi.example", directorytest.Password); err == nil {
			t.Error("comes in")
		}
	})
}

func TestDirectoriesAreForAdministrators(t *testing.T) {
	s := servertest.Start(t)
	tech := s.Person(t, account.Technician, "tech@example.com", "").Actor
	for name, f := range map[string]func() error{
		"list": func() error { _, err := s.People.Directories(t.Context(), tech); return err },
		"read": func() error { _, err := s.People.Directory(t.Context(), tech, "x"); return err },
		"save": func() error {
			_, err := s.People.SaveDirectory(t.Context(), tech, account.Directory{}, nil)
			return err
		},
		"test": func() error {
			_, err := s.People.TestDirectory(t.Context(), tech, account.Directory{}, nil, "")
			return err
		},
		"delete": func() error { return s.People.DeleteDirectory(t.Context(), tech, "x") },
	} {
		if err := f(); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
