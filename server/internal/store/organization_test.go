package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestOrganizations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		write(t, s, func(tx store.Tx) error {
			for i, name := range []string{"Zeta", "Ätna", "beta"} {
				if err := tx.InsertOrganization(account.Organization{ID: account.OrganizationID(fmt.Sprintf("o%d", i+2)), Name: name, CreatedAt: now}); err != nil {
					return err
				}
			}
			if err := tx.SetDomains("o2", []string{"zeta.it", "zeta.de"}); err != nil {
				return err
			}
			o, err := tx.Organization("o3")
			if err != nil {
				return err
			}
			o.Plan, o.MembersSeeAll, o.ProductName, o.TrayTitle, o.Logo, o.TimeZone = account.Plan{OwnDevice: true}, true, "P", "T", "L", "Europe/Rome"
			if err := tx.SaveOrganization(o); err != nil {
				return err
			}
			o.Version++
			if got, err := tx.Organization("o3"); got != o || err != nil {
				t.Errorf("got %+v, %v; want %+v", got, err, o)
			}
			return tx.AddLogo("L", []byte("png"))
		})
		read(t, s, func(tx store.Tx) error {
			names := func(f store.OrganizationFilter) (out []string) {
				list, err := tx.OrganizationPage(f)
				if err != nil {
					t.Error(err)
				}
				for _, o := range list {
					out = append(out, o.Name)
				}
				return out
			}
			for _, c := range []struct {
				name   string
				filter store.OrganizationFilter
				want   []string
			}{
				{"all", store.OrganizationFilter{}, []string{"Ätna", "beta", "Rossi IT", "Zeta"}},
				{"a page", store.OrganizationFilter{Limit: 1, After: store.SortKey("Ätna"), AfterID: "o3"}, []string{"beta"}},
				{"by name", store.OrganizationFilter{Query: "ÄT"}, []string{"Ätna"}},
				{"by domain", store.OrganizationFilter{Query: "zeta.de"}, []string{"Zeta"}},
				{"within", store.OrganizationFilter{Within: []account.OrganizationID{"o1", "o2"}}, []string{"Rossi IT", "Zeta"}},
				{"within none", store.OrganizationFilter{Within: []account.OrganizationID{}}, nil},
			} {
				if got := names(c.filter); !slices.Equal(got, c.want) {
					t.Errorf("%s: %v, want %v", c.name, got, c.want)
				}
			}
			if d, err := tx.Domains("o2"); !slices.Equal(d, []string{"zeta.de", "zeta.it"}) || err != nil {
				t.Errorf("domains %v, %v", d, err)
			}
			if o, err := tx.OrganizationByDomain("zeta.it"); o.ID != "o2" || err != nil {
				t.Errorf("zeta.it belongs to %q, %v", o.ID, err)
			}
			if _, err := tx.OrganizationByDomain("none.it"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			if b, err := tx.Logo("L"); string(b) != "png" || err != nil {
				t.Errorf("logo %q, %v", b, err)
			}
			return nil
		})
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SetDomains("o3", []string{"zeta.it"}) }); !errors.Is(err, store.ErrExists) {
			t.Errorf("another's domain: %v, want ErrExists", err)
		}
		write(t, s, func(tx store.Tx) error {
			if err := tx.DropLogo("L"); err != nil {
				return err
			}
			if _, err := tx.Logo("L"); err != nil {
				t.Errorf("a logo that is shown was forgotten: %v", err)
			}
			o, err := tx.Organization("o3")
			if err != nil {
				return err
			}
			o.Logo = ""
			if err := tx.SaveOrganization(o); err != nil {
				return err
			}
			if err := tx.DropLogo("L"); err != nil {
				return err
			}
			if _, err := tx.Logo("L"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a logo that nobody shows: %v, want ErrNotFound", err)
			}
			return nil
		})
	})
}

func TestAccountsAreFoundByWords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		add := func(tx store.Tx, id, o, email, name string, r account.Role, disabled bool) error {
			return tx.InsertAccount(account.Account{ID: account.ID(id), Organization: account.OrganizationID(o), Email: email, Name: name, Role: r, Language: "it", Disabled: disabled, CreatedAt: now})
		}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(
				tx.InsertOrganization(account.Organization{ID: "o2", Name: "Verdi", CreatedAt: now}),
				add(tx, "a1", "o1", "anna@rossi.it", "Anna Bianchi", account.Administrator, false),
				add(tx, "a2", "o2", "l.rossi@verdi.it", "Lucia Rossi", account.Requester, false),
				add(tx, "a3", "o2", "c.neri@verdi.it", "carla Néri", account.Responsible, false),
				add(tx, "a4", "o2", "x@verdi.it", "Luca Verdi", account.Requester, true))
		})
		ids := func(f store.AccountFilter) (out []string) {
			read(t, s, func(tx store.Tx) error {
				list, err := tx.AccountPage(f)
				out = nil
				for _, a := range list {
					out = append(out, string(a.ID))
				}
				return err
			})
			return out
		}
		for _, c := range []struct {
			name   string
			filter store.AccountFilter
			want   []string
		}{
			{"all, by name", store.AccountFilter{}, []string{"a1", "a3", "a4", "a2"}},
			{"the page after", store.AccountFilter{After: store.SortKey("carla Néri"), AfterID: "a3", Limit: 1}, []string{"a4"}},
			{"the beginning of a word", store.AccountFilter{Query: "LUC"}, []string{"a4", "a2"}},
			{"two words", store.AccountFilter{Query: "ros luc"}, []string{"a2"}},
			{"an accent", store.AccountFilter{Query: "neri"}, []string{"a3"}},
			{"an address", store.AccountFilter{Query: "l.rossi@ver"}, []string{"a2"}},
			{"a domain's word", store.AccountFilter{Query: "rossi"}, []string{"a1", "a2"}},
			{"in an organization", store.AccountFilter{Organization: "o2", Query: "rossi"}, []string{"a2"}},
			{"of a role", store.AccountFilter{Role: account.Requester}, []string{"a4", "a2"}},
			{"within none", store.AccountFilter{Within: []account.OrganizationID{}}, nil},
			{"within one", store.AccountFilter{Within: []account.OrganizationID{"o1"}}, []string{"a1"}},
			{"not the middle of a word", store.AccountFilter{Query: "ucia"}, nil},
			{"no letter", store.AccountFilter{Query: "%"}, nil},
		} {
			if got := ids(c.filter); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
		write(t, s, func(tx store.Tx) error {
			a, err := tx.Account("a2")
			if err != nil {
				return err
			}
			a.Name = "Lucia Gialli"
			return tx.SaveAccount(a)
		})
		if got := ids(store.AccountFilter{Query: "gialli"}); !slices.Equal(got, []string{"a2"}) {
			t.Errorf("by the new name: %v", got)
		}
		read(t, s, func(tx store.Tx) error {
			if m, err := tx.CountLicensed("o1", "o2"); m["o1"] != 0 || m["o2"] != 2 || err != nil {
				t.Errorf("licensed %v, %v", m, err)
			}
			if m, err := tx.CountLicensed(); len(m) != 0 || err != nil {
				t.Errorf("licensed of none: %v, %v", m, err)
			}
			if m, err := tx.CountDevices("o1"); m["o1"] != 0 || err != nil {
				t.Errorf("devices %v, %v", m, err)
			}
			if l, err := tx.Responsible("o2"); len(l) != 1 || l[0].ID != "a3" || err != nil {
				t.Errorf("responsible %v, %v", l, err)
			}
			return nil
		})
		b := account.Absence{ID: "b1", Organization: "o2", Account: "a3", Deputy: "a2", From: "2026-11-22", To: "2026-11-30"}
		write(t, s, func(tx store.Tx) error { return tx.InsertAbsence(b) })
		read(t, s, func(tx store.Tx) error {
			if l, err := tx.Absences("o2", "2026-11-30"); len(l) != 1 || l[0] != b || err != nil {
				t.Errorf("absences %v, %v", l, err)
			}
			if l, err := tx.Absences("o2", "2026-12-01"); len(l) != 0 || err != nil {
				t.Errorf("absences that are over: %v, %v", l, err)
			}
			if ok, err := tx.Deputises("a2", "2026-11-30"); !ok || err != nil {
				t.Error(ok, err)
			}
			if ok, err := tx.Deputises("a3", "2026-11-30"); ok || err != nil {
				t.Error(ok, err)
			}
			return nil
		})
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.DeleteAbsence("o1", "b1") }); !errors.Is(err, store.ErrStale) {
			t.Errorf("another organization's absence: %v, want ErrStale", err)
		}
		write(t, s, func(tx store.Tx) error {
			if err := tx.DeleteAbsence("o2", "b1"); err != nil {
				return err
			}
			if err := tx.InsertAbsence(b); err != nil {
				return err
			}
			return tx.DropAbsences("a2")
		})
	})
}

func TestForgottenPersonLeavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		a := account.Account{ID: "a1", Organization: "o1", Email: "l@rossi.it", Name: "Lucia", Role: account.Requester, Language: "it", CreatedAt: now}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.InsertAccount(a), tx.SetAuditName("account:a1", "Lucia"), tx.SetAuditName("invitation:i1", a.Email),
				tx.InsertLogin(account.Login{ID: "l1", Account: "a1", CreatedAt: now}, "t"),
				tx.InsertInvitation(account.Invitation{ID: "i1", Organization: "o1", Email: a.Email, Role: account.Requester, CreatedAt: now, ExpiresAt: now}, "h"))
		})
		read(t, s, func(tx store.Tx) error {
			if l, err := tx.OpenInvitations(a.Email); len(l) != 1 || err != nil {
				t.Errorf("invitations %v, %v", l, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error {
			if err := tx.OneAdministratorAtATime(); err != nil {
				return err
			}
			return tx.ForgetAccount(a, a.Email, now)
		})
		read(t, s, func(tx store.Tx) error {
			if l, err := tx.AccountPage(store.AccountFilter{}); len(l) != 0 || err != nil {
				t.Errorf("accounts %v, %v", l, err)
			}
			if l, err := tx.Logins("a1"); len(l) != 0 || err != nil {
				t.Errorf("logins %v, %v", l, err)
			}
			if l, err := tx.OpenInvitations(a.Email); len(l) != 0 || err != nil {
				t.Errorf("invitations %v, %v", l, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error { return tx.DropInvitations(a.Email) })
	})
}
