package store_test

import (
	"errors"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestTemplates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := account.Template{ID: "m1", Name: "Small office", SupportPhone: "06 1", Plan: account.Plan{OwnDevice: true}, MembersSeeAll: true, ProductName: "P", TrayTitle: "T", TimeZone: "Europe/Rome", CreatedAt: now}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.InsertTemplate(m), tx.InsertTemplate(account.Template{ID: "m2", Name: "Large", CreatedAt: now}))
		})
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Template("m1"); got != m || err != nil {
				t.Errorf("got %+v, %v; want %+v", got, err, m)
			}
			if list, err := tx.Templates(); len(list) != 2 || list[0].ID != "m2" || err != nil {
				t.Errorf("by name %+v, %v", list, err)
			}
			return nil
		})
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.InsertTemplate(account.Template{ID: "m3", Name: "Large"}) }); !errors.Is(err, store.ErrExists) {
			t.Errorf("a name that is taken: %v, want ErrExists", err)
		}
		write(t, s, func(tx store.Tx) error { return tx.DeleteTemplate("m1") })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.DeleteTemplate("m1") }); !errors.Is(err, store.ErrStale) {
			t.Errorf("a template that is gone: %v, want ErrStale", err)
		}
	})
}
