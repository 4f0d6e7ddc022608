package people_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

// TestIntegration makes a program's account with a token: it does what the token says where it belongs, is no person in
// any list or count, and nobody signs in by it or is made of it.
func TestIntegration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		boss := first(t, p, c).Actor()
		verdi, err := p.CreateOrganization(t.Context(), boss, "Studio Verdi")
		if err != nil {
			t.Fatal(err)
		}
		before, _, err := p.AccountPage(t.Context(), boss, people.AccountFilter{})
		if err != nil {
			t.Fatal(err)
		}
		i, err := p.CreateIntegration(t.Context(), boss, "Monitoring", "Studio Verdi")
		if err != nil {
			t.Fatal(err)
		}
		everywhere, err := p.CreateIntegration(t.Context(), boss, "Backup", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.CreateIntegration(t.Context(), boss, "x", "Nobody's"); !errors.Is(err, desk.ErrInvalid) {
			t.Errorf("for an organization that is not there: %v", err)
		}
		k, secret, err := p.CreateIntegrationToken(t.Context(), boss, i.ID, people.NewToken{Name: "one", Rights: account.RightsOf(account.TicketsAll, account.SettingsManage), Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		_, all, err := p.CreateIntegrationToken(t.Context(), boss, everywhere.ID, people.NewToken{Name: "two", Rights: account.RightsOf(account.AuditView), Life: 2 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.ActorByToken(t.Context(), secret, "::1")
		if err != nil || !slices.Equal(a.Rights.List(), []account.Right{account.TicketsAll}) || !a.MayIn(account.TicketsAll, verdi.ID) || a.MayIn(account.TicketsAll, boss.Organization) {
			t.Errorf("the token of an organization's program: %+v %v", a, err)
		}
		if a, err := p.ActorByToken(t.Context(), all, "::1"); err != nil || !a.Everywhere(account.AuditView) || a.May(account.TicketsAll) {
			t.Errorf("the token of the provider's program: %+v %v", a, err)
		}

		after, _, err := p.AccountPage(t.Context(), boss, people.AccountFilter{})
		if err != nil || len(after) != len(before) {
			t.Errorf("it is listed among people: %v %v", after, err)
		}
		if found, _, err := p.AccountPage(t.Context(), boss, people.AccountFilter{Query: "Monitoring"}); err != nil || len(found) != 0 {
			t.Errorf("it is found among people: %v %v", found, err)
		}
		if v, err := p.OrganizationView(t.Context(), boss, verdi.ID); err != nil || v.Licensed != 0 {
			t.Errorf("it counts as %d licensed users, %v", v.Licensed, err)
		}
		if _, err := p.Member(t.Context(), boss, i.ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("it has a person's page: %v", err)
		}
		if _, err := p.SignIn(t.Context(), people.Credentials{Email: i.Email, Password: "", Address: "::1"}); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("somebody signs in by it: %v", err)
		}
		for _, by := range []desk.Actor{boss, desk.System()} {
			if _, _, err := p.Invite(t.Context(), by, people.NewInvitation{Email: i.Email, Role: account.Technician}); !errors.Is(err, desk.ErrConflict) {
				t.Errorf("a person is made of it: %v", err)
			}
			if err := p.ChangeRole(t.Context(), by, i.ID, account.Administrator); !errors.Is(err, desk.ErrNotFound) {
				t.Errorf("it is given a role: %v", err)
			}
		}
		if _, err := p.CreateIntegration(t.Context(), a, "child", ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("a program makes programs: %v", err)
		}

		tech := desk.Of(account.Account{ID: "t", Organization: boss.Organization, Role: account.Technician}, desk.ViaPortal, "")
		for what, err := range map[string]error{
			"list": func() error { _, err := p.Integrations(t.Context(), tech); return err }(),
			"look": func() error { _, err := p.Integration(t.Context(), tech, i.ID); return err }(),
			"make": func() error { _, err := p.CreateIntegration(t.Context(), tech, "x", ""); return err }(),
			"token": func() error {
				_, _, err := p.CreateIntegrationToken(t.Context(), tech, i.ID, people.NewToken{Name: "x"})
				return err
			}(),
			"end":    p.DeleteIntegrationToken(t.Context(), tech, i.ID, k.ID),
			"remove": p.RemoveIntegration(t.Context(), tech, i.ID),
		} {
			if !errors.Is(err, desk.ErrDenied) {
				t.Errorf("a technician may %s: %v", what, err)
			}
		}
		if _, _, err := p.CreateIntegrationToken(t.Context(), boss, boss.Account, people.NewToken{Name: "x"}); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("a person is taken for a program: %v", err)
		}
		if err := p.DeleteIntegrationToken(t.Context(), boss, everywhere.ID, k.ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("another program's token: %v", err)
		}
		if err := p.RemoveIntegration(t.Context(), boss, everywhere.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := p.ActorByToken(t.Context(), all, "::1"); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("a removed program goes on: %v", err)
		}
		c.pass(time.Hour)
		if _, err := p.ActorByToken(t.Context(), secret, "::1"); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("an expired token goes on: %v", err)
		}
	})
}
