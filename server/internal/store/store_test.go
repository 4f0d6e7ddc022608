package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var now = time.Date(2026, 11, 22, 9, 30, 0, 123_000, time.UTC)

func write(t testing.TB, s *store.Store, f func(store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, s *store.Store, f func(store.Tx) error) {
	t.Helper()
	if err := s.Read(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

var provider = account.Organization{ID: "o1", Name: "Rossi IT", Provider: true, SupportPhone: "051 123 4567", Plan: account.FullPlan, CreatedAt: now, Version: 1}

func seed(t testing.TB, s *store.Store) {
	write(t, s, func(tx store.Tx) error { return tx.InsertOrganization(provider) })
}

func TestPeople(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		a := account.Account{ID: "a1", Organization: "o1", OrganizationName: "Rossi IT", Email: "anna@rossi.it", Name: "Anna", Language: "it", Role: account.Administrator, Password: "x", RegisteredAt: now, CreatedAt: now, Version: 1}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertAccount(a); err != nil {
				return err
			}
			return tx.SetRecoveryCodes("a1", []string{"h1", "h2"})
		})
		err := s.Write(t.Context(), func(tx store.Tx) error { b := a; b.ID = "a2"; return tx.InsertAccount(b) })
		if !errors.Is(err, store.ErrExists) {
			t.Errorf("the same address again: %v, want ErrExists", err)
		}
		read(t, s, func(tx store.Tx) error {
			got, err := tx.AccountByEmail("anna@rossi.it")
			if err != nil || !reflect.DeepEqual(got, a) {
				t.Errorf("got %+v, %v; want %+v", got, err, a)
			}
			if _, err := tx.Account("nobody"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			if n, err := tx.CountAccounts(account.Administrator); n != 1 || err != nil {
				t.Errorf("%d administrators, %v", n, err)
			}
			if l, err := tx.Accounts([]account.OrganizationID{"o1"}); len(l) != 1 || err != nil {
				t.Errorf("%d accounts, %v", len(l), err)
			}
			if l, err := tx.Staff(); len(l) != 1 || err != nil {
				t.Errorf("%d staff, %v", len(l), err)
			}
			if o, err := tx.Provider(); o != provider || err != nil {
				t.Errorf("got %+v, %v", o, err)
			}
			if o, err := tx.OrganizationByName("Rossi IT"); o != provider || err != nil {
				t.Errorf("got %+v, %v", o, err)
			}
			if l, err := tx.Organizations(nil); len(l) != 1 || err != nil {
				t.Errorf("got %+v, %v", l, err)
			}
			return nil
		})
		stale := a
		a.Name, a.FactorLost = "Anna B", true
		write(t, s, func(tx store.Tx) error { return tx.SaveAccount(a) })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SaveAccount(stale) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("an outrun update: %v, want ErrStale", err)
		}
		write(t, s, func(tx store.Tx) error {
			if ok, err := tx.UseRecoveryCode("a1", "h1"); !ok || err != nil {
				t.Errorf("code: %v %v", ok, err)
			}
			if ok, err := tx.UseRecoveryCode("a1", "h1"); ok || err != nil {
				t.Errorf("the same code twice: %v %v", ok, err)
			}
			if n, err := tx.CountRecoveryCodes("a1"); n != 1 || err != nil {
				t.Errorf("%d codes left, %v", n, err)
			}
			o := provider
			o.SupportPhone = "1"
			return tx.SaveOrganization(o)
		})
		l := account.Login{ID: "l1", Account: "a1", Address: "::1", UserAgent: "Firefox", CreatedAt: now, SeenAt: now, State: account.LoginIn, ConfirmedAt: now}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertLogin(l, "th"); err != nil {
				return err
			}
			if got, err := tx.LoginByToken("th"); got != l || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if err := tx.SeeLogin("l1", now.Add(time.Hour), "::2"); err != nil {
				return err
			}
			if got, err := tx.Logins("a1"); len(got) != 1 || got[0].Address != "::2" || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if err := tx.EndOldLogins(now); err != nil {
				return err
			}
			if err := tx.EndLogins("a1", "l1"); err != nil {
				return err
			}
			return tx.EndLogin("a1", "l1")
		})
		i := account.Invitation{ID: "i1", Organization: "o1", OrganizationName: "Rossi IT", Email: "b@rossi.it", Role: account.Technician, MadeBy: "a1", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertInvitation(i, "ih"); err != nil {
				return err
			}
			if got, err := tx.InvitationByToken("ih"); got != i || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if got, err := tx.Invitations([]account.OrganizationID{"o1"}); len(got) != 1 || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			return tx.UseInvitation("i1", now)
		})
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.UseInvitation("i1", now) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("used twice: %v", err)
		}
		k := account.Token{ID: "k1", Account: "a1", Name: "script", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertToken(k, "kh"); err != nil {
				return err
			}
			if got, err := tx.TokenByHash("kh"); got != k || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if err := tx.SeeToken("k1", now); err != nil {
				return err
			}
			if got, err := tx.Tokens("a1"); len(got) != 1 || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			return tx.DeleteToken("a1", "k1")
		})
		write(t, s, func(tx store.Tx) error {
			for _, v := range []string{"1", "2"} {
				if err := tx.SetSetting("x", v); err != nil {
					return err
				}
			}
			if v, err := tx.Setting("x"); v != "2" || err != nil {
				t.Errorf("setting %q, %v", v, err)
			}
			return tx.SetSetting("x", "")
		})
	})
}

func TestDevices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		k := device.EnrolmentKey{ID: "k", Organization: "o1", TLS: api.TLSPinned, Uses: 1, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
		d := device.Device{ID: "d1", Organization: "o1", OrganizationName: "Rossi IT", Name: "PC-114", LinkKey: []byte{1}, GrantKey: []byte{2},
			Facts: link.Facts{Hostname: "PC-114", MachineID: "m", Users: []link.User{{Name: "lucia"}}}, EnrolmentKey: "k", EnrolledAt: now, SeenAt: now, Address: "::1", Version: 1}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertEnrolmentKey(k, "sh"); err != nil {
				return err
			}
			if got, err := tx.EnrolmentKey("k", "sh"); got != k || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if got, err := tx.EnrolmentKeys(now); len(got) != 1 || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if err := tx.UseEnrolmentKey("k"); err != nil {
				return err
			}
			if err := tx.UseEnrolmentKey("k"); !errors.Is(err, store.ErrStale) {
				t.Errorf("used more often than allowed: %v", err)
			}
			if err := tx.RevokeEnrolmentKey("k", now); err != nil {
				return err
			}
			return tx.InsertDevice(d)
		})
		read(t, s, func(tx store.Tx) error {
			got, err := tx.Device("d1")
			if err != nil || fmt.Sprint(got) != fmt.Sprint(d) {
				t.Errorf("got %+v, %v; want %+v", got, err, d)
			}
			for _, c := range []struct {
				f    store.DeviceFilter
				want int
			}{{store.DeviceFilter{}, 1}, {store.DeviceFilter{Query: "LUCIA"}, 1}, {store.DeviceFilter{Query: "hostname"}, 0}, {store.DeviceFilter{Query: "%"}, 0},
				{store.DeviceFilter{Online: true}, 0}, {store.DeviceFilter{Organization: "o2"}, 0}, {store.DeviceFilter{Account: "a1"}, 0}, {store.DeviceFilter{After: "PC-114", AfterID: "d1"}, 0}, {store.DeviceFilter{After: "PC-113", AfterID: "d1"}, 1}} {
				if l, err := tx.Devices(c.f); len(l) != c.want || err != nil {
					t.Errorf("%+v: %d devices, %v; want %d", c.f, len(l), err, c.want)
				}
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error {
			for want := int64(1); want <= 2; want++ {
				if n, err := tx.LinkUp("d1", d.Facts, "::3", now); n != want || err != nil {
					t.Errorf("epoch %d, %v; want %d", n, err, want)
				}
			}
			if done, err := tx.LinkDown("d1", 1, now); done || err != nil {
				t.Errorf("an old link's end took the newer one down: %v %v", done, err)
			}
			if done, err := tx.LinkDown("d1", 2, now); !done || err != nil {
				t.Errorf("link down: %v %v", done, err)
			}
			if err := tx.SetFacts("d1", d.Facts); err != nil {
				return err
			}
			if err := tx.AllLinksDown(); err != nil {
				return err
			}
			got, err := tx.Device("d1")
			if err != nil {
				return err
			}
			got.RemovedAt = now
			if err := tx.SaveDevice(got); err != nil {
				return err
			}
			if _, err := tx.LinkUp("d1", d.Facts, "", now); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a removed device came up: %v", err)
			}
			return nil
		})
	})
}

func newTicket(n int) ticket.Ticket {
	return ticket.Ticket{ID: ticket.ID(fmt.Sprintf("t%d", n)), Organization: "o1", OrganizationName: "Rossi IT", Subject: "Help request", Title: fmt.Sprintf("Printer %d", n), Text: "La città è bella",
		Severity: api.Medium, Status: ticket.New, Requester: ticket.Contact{Name: "Lucia", Email: "l@v.it"}, Device: "d1", OSUser: "lucia", OSUserID: "1000", Language: "it", Source: ticket.FromDevice,
		Facts: []api.Fact{{Name: "a", Value: "b"}}, CreatedAt: now, UpdatedAt: now.Add(time.Duration(n) * time.Minute), CustomerLast: true, Version: 1}
}

func file(t testing.TB, s *store.Store, k ticket.Ticket) (filed ticket.Ticket) {
	t.Helper()
	write(t, s, func(tx store.Tx) error {
		filed = k
		var err error
		if filed.Number, err = tx.NextTicketNumber(); err != nil {
			return err
		}
		if err := tx.InsertTicket(filed, "body"); err != nil {
			return err
		}
		return tx.IndexTicket(filed, nil)
	})
	return filed
}

func TestTickets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		seed(t, s)
		a, b := file(t, s, newTicket(1)), file(t, s, newTicket(2))
		if a.Number != 1001 || b.Number != 1002 {
			t.Errorf("numbers %d and %d, want 1001 and 1002", a.Number, b.Number)
		}
		write(t, s, func(tx store.Tx) error {
			m := ticket.Message{ID: "m1", Ticket: a.ID, Kind: ticket.Note, Author: "a1", AuthorName: "Anna", FromStaff: true, Text: "geheim", At: now}
			if err := tx.InsertMessage(m); err != nil {
				return err
			}
			list, err := tx.Messages(a.ID)
			if err != nil || len(list) != 1 || fmt.Sprint(list[0]) != fmt.Sprint(m) {
				t.Errorf("got %+v, %v", list, err)
			}
			a.Status = ticket.Open
			if err := tx.SaveTicket(a); err != nil {
				return err
			}
			return tx.IndexTicket(a, list)
		})
		a.Version++
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.TicketByNumber(a.Number); fmt.Sprint(got) != fmt.Sprint(a) || err != nil {
				t.Errorf("got %+v, %v; want %+v", got, err, a)
			}
			if got, err := tx.Ticket(b.ID); got.Title != b.Title || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if h, err := tx.TicketBody(a.ID); h != "body" || err != nil {
				t.Errorf("body %q, %v", h, err)
			}
			for _, c := range []struct {
				name string
				f    store.TicketFilter
				want []int64
			}{
				{"all, last changed first", store.TicketFilter{}, []int64{1002, 1001}},
				{"by number, ascending", store.TicketFilter{Sort: ticket.ByNumber, Ascending: true}, []int64{1001, 1002}},
				{"by status", store.TicketFilter{Sort: ticket.ByStatus, Ascending: true}, []int64{1002, 1001}},
				{"by severity", store.TicketFilter{Sort: ticket.BySeverity}, []int64{1002, 1001}},
				{"by subject", store.TicketFilter{Sort: ticket.BySubject, Ascending: true}, []int64{1001, 1002}},
				{"one status", store.TicketFilter{Status: ticket.Open}, []int64{1001}},
				{"live", store.TicketFilter{Live: true, Offset: 1}, []int64{1001}},
				{"page", store.TicketFilter{Limit: 1}, []int64{1002}},
				{"cursor", store.TicketFilter{Before: 1002}, []int64{1001}},
				{"other organization", store.TicketFilter{Organization: "o2"}, nil},
				{"requester", store.TicketFilter{Requester: "a1"}, nil},
				{"device and user", store.TicketFilter{Device: "d1", OSUserID: "1000"}, []int64{1002, 1001}},
				{"other user of the device", store.TicketFilter{Device: "d1", OSUserID: "1001"}, nil},
				{"assignee", store.TicketFilter{Assignee: "a1"}, nil},
				{"word", store.TicketFilter{Query: "printer"}, []int64{1002, 1001}},
				{"without accent", store.TicketFilter{Query: "CITTA bel"}, []int64{1002, 1001}},
				{"number", store.TicketFilter{Query: "#1001"}, []int64{1001}},
				{"address", store.TicketFilter{Query: "l@v.it"}, []int64{1002, 1001}},
				{"quotes and operators", store.TicketFilter{Query: `"prin* OR (' & |`}, nil},
				{"note, by staff", store.TicketFilter{Query: "geheim", Internal: true}, []int64{1001}},
				{"note, by the customer", store.TicketFilter{Query: "geheim"}, nil},
				{"nothing but signs", store.TicketFilter{Query: `"'`}, nil},
			} {
				list, err := tx.Tickets(c.f)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				var got []int64
				for _, k := range list {
					got = append(got, k.Number)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s: %v, want %v", c.name, got, c.want)
				}
			}
			if m, _, err := tx.TicketCounts(store.TicketFilter{Status: ticket.Closed}); m[ticket.Open] != 1 || m[ticket.New] != 1 || err != nil {
				t.Errorf("counts %v, %v", m, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error {
			return tx.InsertMessage(ticket.Message{ID: "m2", Ticket: b.ID, Kind: ticket.Public, AuthorName: "Anna", FromStaff: true, Text: "x", At: now.Add(90 * time.Second)})
		})
		read(t, s, func(tx store.Tx) error {
			for _, c := range []struct {
				since time.Duration
				want  string
			}{{0, "[{t1 } {t2 Anna}]"}, {time.Minute, "[{t2 Anna}]"}, {100 * time.Second, "[{t2 }]"}, {time.Hour, "[]"}} {
				if got, err := tx.TicketNews("d1", now.Add(c.since)); fmt.Sprint(got) != c.want || err != nil {
					t.Errorf("news since %v: %v, %v; want %s", c.since, got, err, c.want)
				}
			}
			return nil
		})
		f := ticket.File{ID: "f1", Ticket: a.ID, Index: 0, Name: "a.png", Type: "image/png", Size: 3, SHA256: "00", At: now}
		write(t, s, func(tx store.Tx) error {
			if err := tx.InsertFile(f); err != nil {
				return err
			}
			if got, err := tx.FiledFile(a.ID, 0); got != f || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if err := tx.FileArrived("f1", now); err != nil {
				return err
			}
			if got, err := tx.File("f1"); !got.Arrived || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if l, err := tx.Files(a.ID); len(l) != 1 || err != nil {
				t.Errorf("got %+v, %v", l, err)
			}
			if err := tx.SetAnswered("a1", "k", "b", a.ID, now); err != nil {
				return err
			}
			if body, id, err := tx.Answered("a1", "k"); body != "b" || id != a.ID || err != nil {
				t.Errorf("got %q %q %v", body, id, err)
			}
			return tx.ForgetAnswered(now.Add(1))
		})
	})
}

func TestJobsAndLeases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		write(t, s, func(tx store.Tx) error {
			for i, kind := range []string{"a", "a", "b"} {
				if err := tx.AddJob(store.Job{ID: fmt.Sprint(i), Kind: kind, Payload: "{}", CreatedAt: now, RunAt: now.Add(time.Duration(i) * time.Second)}); err != nil {
					return err
				}
			}
			return nil
		})
		claim := func(now time.Time) (ids []string) {
			write(t, s, func(tx store.Tx) error {
				ids = nil
				list, err := tx.ClaimJobs([]string{"a"}, now, now.Add(time.Minute), 10)
				for _, j := range list {
					ids = append(ids, j.ID)
				}
				return err
			})
			return ids
		}
		if got := claim(now); !slices.Equal(got, []string{"0"}) {
			t.Errorf("claimed %v, want what is due", got)
		}
		if got := claim(now); got != nil {
			t.Errorf("claimed %v twice", got)
		}
		if got := claim(now.Add(time.Minute)); len(got) != 2 {
			t.Errorf("claimed %v, want the lost one again too", got)
		}
		write(t, s, func(tx store.Tx) error {
			if err := tx.FinishJob("0"); err != nil {
				return err
			}
			if err := tx.RetryJob("1", now.Add(time.Hour), "no"); err != nil {
				return err
			}
			return tx.FailJob("2", now, "never")
		})
		write(t, s, func(tx store.Tx) error {
			if next, err := tx.NextJob(); !next.Equal(now.Add(time.Hour)) || err != nil {
				t.Errorf("next job at %v, %v", next, err)
			}
			return tx.ForgetFailedJobs(now.Add(1))
		})
		if got := claim(now.Add(2 * time.Hour)); !slices.Equal(got, []string{"1"}) {
			t.Errorf("claimed %v, want the retried one", got)
		}
		lease := func(holder string, now time.Time) (ok bool) {
			write(t, s, func(tx store.Tx) (err error) {
				ok, err = tx.TakeLease("chain", holder, now, now.Add(time.Minute))
				return err
			})
			return ok
		}
		for i, c := range []struct {
			holder string
			now    time.Time
			want   bool
		}{{"x", now, true}, {"x", now, true}, {"y", now, false}, {"y", now.Add(time.Minute), true}} {
			if got := lease(c.holder, c.now); got != c.want {
				t.Errorf("step %d: lease for %s: %v, want %v", i, c.holder, got, c.want)
			}
		}
		read(t, s, func(tx store.Tx) error {
			for holder, want := range map[string]bool{"x": false, "y": true} {
				if free, err := tx.LeaseFree("chain", holder, now.Add(time.Minute)); free != want || err != nil {
					t.Errorf("free for %s: %v %v", holder, free, err)
				}
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error { return tx.DropLease("chain", "y") })
		if !lease("x", now) {
			t.Error("a dropped lease is free")
		}
	})
}

func TestAudit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		e := store.Entry{ID: "e1", At: now, Actor: "account:a1", Via: "portal", Action: "x.y", Object: "ticket:t1", Detail: "{}"}
		write(t, s, func(tx store.Tx) error {
			if err := tx.AddEntry(e); err != nil {
				return err
			}
			if err := tx.SetAuditName("account:a1", "Anna"); err != nil {
				return err
			}
			if err := tx.SetAuditName("account:a1", "Anna B"); err != nil {
				return err
			}
			if _, err := tx.LastEntry(); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got %v", err)
			}
			list, err := tx.UnchainedEntries(10)
			if len(list) != 1 || list[0] != e || err != nil {
				t.Errorf("got %+v, %v", list, err)
			}
			if err := tx.ChainEntry("e1", 1, "hh"); err != nil {
				return err
			}
			if list, err := tx.ChainedEntries(1, 10); len(list) != 1 || list[0].Hash != "hh" || err != nil {
				t.Errorf("got %+v, %v", list, err)
			}
			if list, err := tx.Entries(store.EntryFilter{Objects: []string{"ticket:t1"}, Actors: []string{"account:a1"}, Before: "e2"}); len(list) != 1 || list[0].ActorName != "Anna B" || err != nil {
				t.Errorf("got %+v, %v", list, err)
			}
			return nil
		})
	})
}

func TestNothingOfAFailedWriteRemains(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		bad := errors.New("no")
		err := s.Write(t.Context(), func(tx store.Tx) error {
			if err := tx.SetSetting("x", "1"); err != nil {
				return err
			}
			return bad
		})
		if !errors.Is(err, bad) {
			t.Fatalf("got %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not reach its caller")
				}
			}()
			s.Write(t.Context(), func(tx store.Tx) error {
				if err := tx.SetSetting("x", "2"); err != nil {
					return err
				}
				panic("no")
			})
		}()
		read(t, s, func(tx store.Tx) error {
			if v, err := tx.Setting("x"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it left %q, %v", v, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error { return tx.SetSetting("x", "3") })
	})
}

// TestWritersShareNoErrors lets good and bad writers run side by side: on SQLite they share commits.
func TestWritersShareNoErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		bad := errors.New("no")
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for j := range 10 {
					name := fmt.Sprintf("%d-%d", i, j)
					err := s.Write(context.Background(), func(tx store.Tx) error {
						if err := tx.SetSetting(name, "1"); err != nil {
							return err
						}
						if i%3 == 0 {
							return bad
						}
						return nil
					})
					if (i%3 == 0) != errors.Is(err, bad) {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		wg.Wait()
		read(t, s, func(tx store.Tx) error {
			for i := range 64 {
				for j := range 10 {
					_, err := tx.Setting(fmt.Sprintf("%d-%d", i, j))
					if errors.Is(err, store.ErrNotFound) != (i%3 == 0) {
						t.Errorf("%d-%d: %v", i, j, err)
					}
				}
			}
			return nil
		})
	})
}

func TestDataSurviveARestart(t *testing.T) {
	pg := storetest.PostgresURL(t)
	dir := filepath.Join(t.TempDir(), "odd name?#%")
	for _, o := range []store.Options{{Data: dir}, {DatabaseURL: pg}} {
		makeDir(t, dir)
		for i := range 2 {
			s, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				write(t, s, func(tx store.Tx) error { return tx.SetSetting("x", "1") })
			} else {
				read(t, s, func(tx store.Tx) error {
					if v, err := tx.Setting("x"); v != "1" || err != nil {
						t.Errorf("after a restart %q, %v", v, err)
					}
					return nil
				})
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), func(store.Tx) error { return nil }); err == nil {
				t.Error("a closed store accepted a write")
			}
		}
	}
}

func makeDir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
