package store_test

import (
	"crypto/ed25519"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
)

// seedAccess stores a device and a ticket for sessions and grants.
func seedAccess(t *testing.T, s *store.Store) {
	seed(t, s)
	write(t, s, func(tx store.Tx) error {
		for _, id := range []device.ID{"d1", "d2"} {
			if err := tx.InsertDevice(device.Device{ID: id, Organization: "o1", Name: "PC-" + string(id), LinkKey: []byte{1}, GrantKey: []byte{2}, EnrolledAt: now}); err != nil {
				return err
			}
		}
		return tx.InsertTicket(ticket.Ticket{ID: "t1", Number: 1042, Organization: "o1", Title: "Printer", Severity: api.Low, Status: ticket.New, CreatedAt: now}, "h")
	})
}

func TestSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seedAccess(t, s)
		a := access.Session{
			ID: "s1", Device: "d1", DeviceName: "PC-d1", Organization: "o1", Ticket: "t1", TicketNumber: 1042, TicketTitle: "Printer", Account: "anna", Name: "Anna Bianchi",
			Scopes: []grant.Scope{grant.View}, State: access.Asking, AskedAt: now, MovedAt: now, Version: 1,
		}
		b := a
		b.ID, b.Device, b.DeviceName, b.Account, b.State, b.EndedAt = "s2", "d2", "PC-d2", "bert", access.Refused, now
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertSession(a); err != nil {
				return err
			}
			return tx.InsertSession(b)
		})
		read(t, s, func(tx store.Tx) error {
			got, err := tx.Session("s1")
			if err != nil || !reflect.DeepEqual(got, a) {
				t.Errorf("got %+v, %v; want %+v", got, err, a)
			}
			if _, err := tx.Session("s3"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			for _, c := range []struct {
				name string
				f    store.SessionFilter
				want []access.SessionID
			}{
				{"all, newest first", store.SessionFilter{}, []access.SessionID{"s2", "s1"}},
				{"device", store.SessionFilter{Device: "d1"}, []access.SessionID{"s1"}},
				{"ticket", store.SessionFilter{Ticket: "t1"}, []access.SessionID{"s2", "s1"}},
				{"account", store.SessionFilter{Account: "bert"}, []access.SessionID{"s2"}},
				{"organization", store.SessionFilter{Organization: "o2"}, nil},
				{"live", store.SessionFilter{Live: true}, []access.SessionID{"s1"}},
				{"second page", store.SessionFilter{Before: "s2", Limit: 1}, []access.SessionID{"s1"}},
				{"first page", store.SessionFilter{Limit: 1}, []access.SessionID{"s2"}},
			} {
				list, err := tx.Sessions(c.f)
				var got []access.SessionID
				for _, s := range list {
					got = append(got, s.ID)
				}
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
				}
			}
			return nil
		})
		stale := a
		a.State, a.User, a.UserSince, a.Words, a.Deadline, a.Granted, a.Grant, a.Reason, a.Outcome, a.Used = access.Ended, "lucia", now, "OLIVE", now, a.Scopes, "g1", "person", access.Solved, []string{"desktop"}
		a.MovedAt, a.AllowedAt, a.EndedAt = now.Add(time.Hour), now, now.Add(time.Hour)
		write(t, s, func(tx store.Tx) error { return tx.SaveSession(a) })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SaveSession(stale) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("an outrun update: %v, want ErrStale", err)
		}
		a.Version = 2
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Session("s1"); err != nil || !reflect.DeepEqual(got, a) {
				t.Errorf("got %+v, %v; want %+v", got, err, a)
			}
			return nil
		})
	})
}

func TestChannels(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seedAccess(t, s)
		c := store.Channel{ID: "c1", Session: "s1", Device: "d1", Kind: grant.KindDesktop, Control: true, Grant: "g1", OfferedAt: now}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertSession(access.Session{ID: "s1", Device: "d1", Organization: "o1", Ticket: "t1", Account: "anna", State: access.Allowed}); err != nil {
				return err
			}
			for _, id := range []string{"c1", "c2"} {
				c := c
				c.ID = id
				if err := tx.InsertChannel(c); err != nil {
					return err
				}
			}
			if err := tx.OpenChannel("c1", now); err != nil {
				return err
			}
			return tx.RefuseChannel("c2", "grant_expired")
		})
		for _, err := range []error{
			s.Write(t.Context(), func(tx store.Tx) error { return tx.RefuseChannel("c1", "x") }),
			s.Write(t.Context(), func(tx store.Tx) error { return tx.OpenChannel("c2", now) }),
		} {
			if !errors.Is(err, store.ErrStale) {
				t.Errorf("a channel's fate changed: %v", err)
			}
		}
		c.OpenedAt = now
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Channel("c1"); err != nil || got != c {
				t.Errorf("got %+v, %v; want %+v", got, err, c)
			}
			if got, err := tx.Channels("s1"); err != nil || len(got) != 2 || got[0] != c || got[1].Refused != "grant_expired" {
				t.Errorf("got %+v, %v", got, err)
			}
			return nil
		})
	})
}

func TestGrants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seedAccess(t, s)
		_, key, _ := ed25519.GenerateKey(nil)
		made := func(device, id string, change func(*grant.Grant)) access.Grant {
			g := grant.Grant{
				Version: 1, ID: id, Device: device, As: "lucia", AsID: "1000", Scopes: []grant.Scope{grant.View}, Holder: &grant.Holder{Account: "anna", Name: "Anna", Organization: "Rossi IT"},
				Ticket: "t1", MadeAt: now.UnixMicro(), Budget: 3600, MadeBy: "lucia", How: "window",
			}
			if change != nil {
				change(&g)
			}
			signed, err := grant.Sign(g, key)
			if err != nil {
				t.Fatal(err)
			}
			return access.Grant{Grant: g, Signed: signed, Spent: 7, SpentAt: now}
		}
		g1, other := made("d1", "g1", nil), made("d2", "g1", nil)
		bySession := made("d1", "g2", func(g *grant.Grant) { g.Ticket, g.Session = "", "s1" })
		standing := made("d1", "g3", func(g *grant.Grant) {
			g.Ticket, g.Holder, g.Standing, g.Attended, g.Budget = "", nil, true, grant.Ask, 0
		})
		write(t, s, func(tx store.Tx) error {
			for _, g := range []access.Grant{g1, other, bySession, standing} {
				if err := tx.InsertGrant(g); err != nil {
					return err
				}
			}
			return nil
		})
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.InsertGrant(g1) }); !errors.Is(err, store.ErrExists) {
			t.Errorf("the same id again: %v, want ErrExists", err)
		}
		g1 = g1.End("revoked", false, now)
		write(t, s, func(tx store.Tx) error { return tx.SaveGrant(g1) })
		open := func(id device.ID, want bool) {
			t.Helper()
			read(t, s, func(tx store.Tx) error {
				if got, err := tx.AccessOpen(id); err != nil || got != want {
					t.Errorf("%s open: %v, %v; want %v", id, got, err, want)
				}
				return nil
			})
		}
		open("d2", true)
		open("d9", false)
		write(t, s, func(tx store.Tx) error { return tx.SaveGrant(other.End("revoked", false, now)) })
		open("d2", true) // the device has not confirmed it
		write(t, s, func(tx store.Tx) error { return tx.SaveGrant(other.End("revoked", true, now)) })
		open("d2", false)
		write(t, s, func(tx store.Tx) error {
			return tx.InsertSession(access.Session{ID: "s2", Device: "d2", Organization: "o1", Ticket: "t1", Account: "anna", State: access.Asking})
		})
		open("d2", true)
		write(t, s, func(tx store.Tx) error { other.EndedAt = time.Time{}; return tx.SaveGrant(other) })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SaveGrant(made("d1", "g9", nil)) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("saved what is not there: %v", err)
		}
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Grant("d1", "g1"); err != nil || !reflect.DeepEqual(got, g1) {
				t.Errorf("got %+v, %v; want %+v", got, err, g1)
			}
			if _, err := tx.Grant("d2", "g2"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			for _, c := range []struct {
				name string
				f    store.GrantFilter
				want []string
			}{
				{"device", store.GrantFilter{Device: "d1"}, []string{"g3", "g2", "g1"}},
				{"live", store.GrantFilter{Device: "d1", Live: true}, []string{"g3", "g2"}},
				{"untold", store.GrantFilter{Device: "d1", Untold: true}, []string{"g1"}},
				{"ticket", store.GrantFilter{Ticket: "t1", Live: true}, []string{"g1"}}, // of d2
				{"session", store.GrantFilter{Session: "s1"}, []string{"g2"}},
				{"holder", store.GrantFilter{Account: "anna", Device: "d1"}, []string{"g2", "g1"}},
				{"limit", store.GrantFilter{Limit: 1}, []string{"g3"}},
			} {
				list, err := tx.Grants(c.f)
				var got []string
				for _, g := range list {
					got = append(got, g.ID)
				}
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
				}
			}
			return nil
		})
	})
}
