package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestDirectories(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		d := account.Directory{ID: "d1", Kind: account.LDAP, Name: "Studio Verdi", Organization: "o1", Provider: true, Domains: []string{"a.example", "b.example"}, Enabled: true, Button: true, Create: true, DefaultRole: account.Requester,
			Rules: []account.RoleRule{{Group: "it", Role: account.Technician}}, LDAP: account.LDAPSettings{Server: "ldap.a.example", TLS: account.StartTLS}, Secret: "sealed", CreatedAt: now, Version: 1}
		write(t, s, func(tx store.Tx) error { return tx.InsertDirectory(d) })
		for name, f := range map[string]func(*account.Directory){
			"name":   func(d *account.Directory) { d.Domains = []string{"c.example"} },
			"domain": func(d *account.Directory) { d.Name = "Other" },
		} {
			twin := d
			twin.ID = "d2"
			f(&twin)
			if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.InsertDirectory(twin) }); !errors.Is(err, store.ErrExists) {
				t.Errorf("the same %s again: %v, want ErrExists", name, err)
			}
		}
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Directory("d1"); err != nil || !reflect.DeepEqual(got, d) {
				t.Errorf("got %+v, %v; want %+v", got, err, d)
			}
			if got, err := tx.DirectoryByDomain("b.example"); got.ID != "d1" || err != nil {
				t.Errorf("by domain: %v, %v", got.ID, err)
			}
			if _, err := tx.DirectoryByDomain("c.example"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("by a foreign domain: %v", err)
			}
			if l, err := tx.Directories(); len(l) != 1 || err != nil {
				t.Errorf("%d directories, %v", len(l), err)
			}
			return nil
		})
		stale := d
		d.Domains, d.Name = []string{"c.example"}, "Verdi"
		write(t, s, func(tx store.Tx) error { return tx.SaveDirectory(d) })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SaveDirectory(stale) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("an outrun update: %v, want ErrStale", err)
		}
		a := account.Account{ID: "a1", Organization: "o1", Email: "lucia@c.example", Name: "Lucia", Language: "it", Role: account.Requester, CreatedAt: now, Version: 1, Directory: "d1", ExternalID: "x1"}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertAccount(a); err != nil {
				return err
			}
			if err := tx.LinkAccount(a); err != nil {
				return err
			}
			if err := tx.LinkAccount(account.Account{ID: "nobody"}); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("link of nobody: %v", err)
			}
			return tx.InsertLogin(account.Login{ID: "l1", Account: "a1", CreatedAt: now, SeenAt: now}, "th")
		})
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.AccountByIdentity("d1", "x1"); got.ID != "a1" || got.Directory != "d1" || got.ExternalID != "x1" || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			for of, want := range map[account.DirectoryID]int{"": 1, "d1": 1, "d2": 0, account.LocalDirectory: 0} {
				if l, err := tx.AccountPage(store.AccountFilter{Directory: of}); len(l) != want || err != nil {
					t.Errorf("the list of %q has %d accounts, %v", of, len(l), err)
				}
			}
			if l, err := tx.DirectoryAccounts("d1"); len(l) != 1 || err != nil {
				t.Errorf("%d accounts, %v", len(l), err)
			}
			return nil
		})
		live := func() bool {
			var err error
			read(t, s, func(tx store.Tx) error { _, err = tx.LoginByToken("th"); return nil })
			return err == nil
		}
		write(t, s, func(tx store.Tx) error { return tx.EndDirectoryLogins("d1", now) })
		if !live() {
			t.Error("a login that was made later has ended")
		}
		write(t, s, func(tx store.Tx) error {
			if gone, err := tx.DirectoryGone("a1"); gone || err != nil {
				t.Errorf("gone: %v, %v", gone, err)
			}
			if err := tx.LoseAccount("a1"); err != nil {
				return err
			}
			if gone, err := tx.DirectoryGone("a1"); !gone || err != nil {
				t.Errorf("gone: %v, %v", gone, err)
			}
			if err := tx.LoseAccount("a1"); !errors.Is(err, store.ErrStale) {
				t.Errorf("lost twice: %v", err)
			}
			n, err := tx.DeleteDirectory("d1", now.Add(time.Minute))
			if n != 1 || err != nil {
				t.Errorf("%d accounts, %v", n, err)
			}
			return err
		})
		if live() {
			t.Error("a login has outlived its directory")
		}
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Account("a1"); got.Directory != "" || !got.Disabled || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if l, err := tx.Directories(); len(l) != 0 || err != nil {
				t.Errorf("%d directories, %v", len(l), err)
			}
			return nil
		})
	})
}
