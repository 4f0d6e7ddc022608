package store_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
)

// office fills a store with an organization and two people.
func office(t *testing.T, s *store.Store) {
	t.Helper()
	write(t, s, func(tx store.Tx) error {
		if err := tx.InsertOrganization(account.Organization{ID: "o1", Name: "Verdi", CreatedAt: now}); err != nil {
			return err
		}
		for _, a := range []account.Account{{ID: "a1", Name: "Anna", Email: "anna@rossi.it", Role: account.Technician}, {ID: "a2", Name: "Lucia", Email: "l@v.it", Role: account.Requester}} {
			a.Organization, a.Language, a.CreatedAt = "o1", "it", now
			if err := tx.InsertAccount(a); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestQueuesCategoriesAndReplies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		q := ticket.Queue{ID: "q1", Name: "Network", Lead: "a1"}
		c := ticket.Category{ID: "c1", Names: map[string]string{"en": "Printing", "it": "Stampa"}, Kind: ticket.Password, Queue: "q1", Position: 2}
		r := ticket.Reply{ID: "r1", Name: "Restart", Category: "c1", Texts: map[string]string{"de": "Bitte neu starten."}}
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.SaveQueue(q), tx.SaveQueue(ticket.Queue{ID: "q2", Name: "archive", Archived: true}), tx.SaveCategory(c), tx.SaveReply(r))
		})
		q.Version, c.Version, r.Version = 1, 1, 1
		q.Name, c.Archived, r.Name = "Networks", true, "Restart it"
		write(t, s, func(tx store.Tx) error { return errors.Join(tx.SaveQueue(q), tx.SaveCategory(c), tx.SaveReply(r)) })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SaveQueue(q) }); !errors.Is(err, store.ErrStale) {
			t.Errorf("an old version was stored: %v", err)
		}
		q.Version, c.Version, r.Version = 2, 2, 2
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Queues(); len(got) != 2 || got[0] != q || !got[1].Archived || err != nil {
				t.Errorf("queues %+v, %v", got, err)
			}
			if got, err := tx.Categories(); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(c) || err != nil {
				t.Errorf("categories %+v, %v", got, err)
			}
			if got, err := tx.Replies(); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(r) || err != nil {
				t.Errorf("replies %+v, %v", got, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error { return tx.DeleteReply("r1") })
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.Replies(); len(got) != 0 || err != nil {
				t.Errorf("replies %+v, %v", got, err)
			}
			return nil
		})
	})
}

func TestContractsAndDuty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		office(t, s)
		cal := ticket.Calendar{ID: "k1", Calendar: sla.Calendar{Name: "office", Zone: "Europe/Rome", Week: []sla.Interval{{Day: 1, From: 480, To: 1080}}, Holidays: []sla.Holiday{{Month: 12, Day: 25, Name: "Natale"}}}}
		con := ticket.Contract{ID: "s1", CalendarID: "k1", Standard: true, Contract: sla.Contract{Name: "basic", Targets: map[api.Severity]sla.Target{api.High: {First: time.Hour, Solution: 8 * time.Hour}}, AlwaysCritical: true}}
		gold := con
		gold.ID, gold.Name, gold.Standard = "s2", "gold", true
		plan := sla.Plan{Zone: "Europe/Rome", Shifts: []sla.Shift{{Interval: sla.Interval{Day: 1, From: 480, To: 1080}, Who: "a1"}}, Exceptions: []sla.Exception{{From: now, To: now.Add(time.Hour), Who: "a1"}}, Fallback: "a1"}
		write(t, s, func(tx store.Tx) error {
			if _, err := tx.ContractOf("o1"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a contract before there is one: %v", err)
			}
			return errors.Join(tx.SaveCalendar(cal), tx.SaveContract(con), tx.SaveContract(gold), tx.SetContract("o1", "s1"), tx.SaveDuty("org:o1", plan))
		})
		cal.Version = 1
		cal.Zone = "Europe/Berlin"
		write(t, s, func(tx store.Tx) error { return tx.SaveCalendar(cal) })
		read(t, s, func(tx store.Tx) error {
			list, err := tx.Contracts()
			if len(list) != 2 || list[0].Standard || !list[1].Standard || err != nil {
				t.Errorf("contracts %+v, %v", list, err)
			}
			if got, err := tx.ContractOf("o1"); got.ID != "s1" || got.Calendar.Zone != "Europe/Berlin" || got.Targets[api.High].Solution != 8*time.Hour || !got.AlwaysCritical || err != nil {
				t.Errorf("contract %+v, %v", got, err)
			}
			if got, err := tx.ContractOf("o2"); got.ID != "s2" || err != nil {
				t.Errorf("standard contract %+v, %v", got, err)
			}
			if got, err := tx.OrganizationContracts(); !maps.Equal(got, map[account.OrganizationID]string{"o1": "s1"}) || err != nil {
				t.Errorf("%v, %v", got, err)
			}
			if got, err := tx.Duty("org:o1"); fmt.Sprint(got) != fmt.Sprint(plan) || err != nil {
				t.Errorf("duty %+v, %v", got, err)
			}
			if got, err := tx.Duties(); len(got) != 1 || err != nil {
				t.Errorf("duties %+v, %v", got, err)
			}
			if got, err := tx.Calendars(); len(got) != 1 || got[0].Version != 2 || err != nil {
				t.Errorf("calendars %+v, %v", got, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error {
			return errors.Join(tx.SetContract("o1", ""), tx.SaveDuty("org:o1", sla.Plan{Zone: "UTC"}))
		})
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.ContractOf("o1"); got.ID != "s2" || err != nil {
				t.Errorf("back to the standard: %+v, %v", got, err)
			}
			if got, err := tx.Duty("org:o1"); got.Zone != "UTC" || err != nil {
				t.Errorf("duty %+v, %v", got, err)
			}
			return nil
		})
	})
}

// TestCountsNeedNoScan compares the counters with the tickets through a life of changes.
func TestCountsNeedNoScan(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		office(t, s)
		var list []ticket.Ticket
		write(t, s, func(tx store.Tx) error {
			list = nil
			for i := range 12 {
				n, err := tx.NextTicketNumber()
				if err != nil {
					return err
				}
				k := ticket.Ticket{ID: ticket.ID(fmt.Sprintf("t%02d", i)), Number: n, Organization: "o1", Title: "x", Status: ticket.New, Severity: api.Low, CreatedAt: now, UpdatedAt: now, Version: 1}
				if i%2 == 0 {
					k.Requester.Account = "a2"
				}
				if err := tx.InsertTicket(k, "h"); err != nil {
					return err
				}
				list = append(list, k)
			}
			return nil
		})
		for step := range 40 {
			k := &list[step*7%len(list)]
			k.Status = ticket.Statuses[(step*5+1)%len(ticket.Statuses)]
			k.Assignee = []account.ID{"", "a1"}[step%2]
			k.Queue = []ticket.QueueID{"", "q1", "q2"}[step%3]
			write(t, s, func(tx store.Tx) error { return tx.SaveTicket(*k) })
			k.Version++
		}
		for name, c := range map[string]struct {
			f     store.TicketFilter
			holds func(ticket.Ticket) bool
		}{
			"all":          {store.TicketFilter{}, func(ticket.Ticket) bool { return true }},
			"live":         {store.TicketFilter{Live: true}, func(k ticket.Ticket) bool { return k.Status != ticket.Closed }},
			"organization": {store.TicketFilter{Organization: "o1"}, func(ticket.Ticket) bool { return true }},
			"another":      {store.TicketFilter{Organization: "o2"}, func(ticket.Ticket) bool { return false }},
			"requester":    {store.TicketFilter{Requester: "a2"}, func(k ticket.Ticket) bool { return k.Requester.Account == "a2" }},
			"assignee":     {store.TicketFilter{Assignee: "a1"}, func(k ticket.Ticket) bool { return k.Assignee == "a1" }},
			"nobody's":     {store.TicketFilter{Assignee: store.NoAssignee}, func(k ticket.Ticket) bool { return k.Assignee == "" }},
			"queue":        {store.TicketFilter{Queue: "q1"}, func(k ticket.Ticket) bool { return k.Queue == "q1" }},
			"no queue":     {store.TicketFilter{Queue: store.NoQueue}, func(k ticket.Ticket) bool { return k.Queue == "" }},
			"own":          {store.TicketFilter{Sight: &store.Sight{Account: "a2"}}, func(k ticket.Ticket) bool { return k.Requester.Account == "a2" }},
			"own, open":    {store.TicketFilter{Sight: &store.Sight{Account: "a2"}, Live: true}, func(k ticket.Ticket) bool { return k.Requester.Account == "a2" && k.Status != ticket.Closed }},
			"every one":    {store.TicketFilter{Sight: &store.Sight{Account: "a1", All: true}}, func(ticket.Ticket) bool { return true }},
			"limited":      {store.TicketFilter{Sight: &store.Sight{Account: "a1", All: true, Within: []account.OrganizationID{"o1"}}}, func(ticket.Ticket) bool { return true }},
			"two queues":   {store.TicketFilter{Sight: &store.Sight{Account: "a1", All: true, Queues: []ticket.QueueID{"q1", "q2"}}}, func(k ticket.Ticket) bool { return k.Queue != "" }},
			"queue in one": {store.TicketFilter{Sight: &store.Sight{Account: "a1", All: true, Within: []account.OrganizationID{"o1"}, Queues: []ticket.QueueID{"q1"}}, Queue: "q1"}, func(k ticket.Ticket) bool { return k.Queue == "q1" }},
			"no reach":     {store.TicketFilter{Sight: &store.Sight{All: true, Within: []account.OrganizationID{}}}, func(ticket.Ticket) bool { return false }},
		} {
			want := map[ticket.Status]int{}
			n := 0
			for _, k := range list {
				if c.holds(k) {
					want[k.Status]++
					n++
				}
			}
			read(t, s, func(tx store.Tx) error {
				got, more, err := tx.TicketCounts(c.f)
				if !maps.Equal(got, want) || more || err != nil {
					t.Errorf("%s: %v (more %v), %v; want %v", name, got, more, err, want)
				}
				rows, err := tx.Tickets(c.f)
				if len(rows) != n || err != nil {
					t.Errorf("%s: %d rows, %v; want %d", name, len(rows), err, n)
				}
				return nil
			})
		}
	})
}

func TestWorkWatchersAndAlarms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		office(t, s)
		k := ticket.Ticket{ID: "t1", Number: 1, Organization: "o1", Title: "Printer", Status: ticket.Open, CreatedAt: now, UpdatedAt: now, Version: 1}
		dup, follow := k, k
		dup.ID, dup.Number = "t2", 2
		follow.ID, follow.Number, follow.Follows = "t3", 3, "t1"
		w := ticket.Worked{ID: "w1", Ticket: "t1", Number: 1, Title: "Printer", Organization: "o1", Account: "a1", AccountName: "Anna", Minutes: 15, Note: "x", Billable: true, At: now, MadeAt: now}
		alarm := sla.Alarm{At: now, Clock: "first", Percent: 50, Arm: "1h/a"}
		write(t, s, func(tx store.Tx) error {
			if err := errors.Join(tx.InsertTicket(k, "h"), tx.InsertTicket(dup, "h"), tx.InsertTicket(follow, "h")); err != nil {
				return err
			}
			dup.Status, dup.MergedInto = ticket.Closed, "t1"
			if err := errors.Join(tx.SaveTicket(dup), tx.InsertWorked(w), tx.AddWatcher("t2", "a2"), tx.AddWatcher("t2", "a2"), tx.UniteWatchers("t1", "t2")); err != nil {
				return err
			}
			for _, want := range []bool{true, false} {
				if got, err := tx.RingAlarm("t1", alarm, now); got != want || err != nil {
					t.Errorf("rang %v, %v; want %v", got, err, want)
				}
			}
			return nil
		})
		read(t, s, func(tx store.Tx) error {
			if got, err := tx.WorkedOn("t1"); len(got) != 1 || got[0] != w || err != nil {
				t.Errorf("worked %+v, %v", got, err)
			}
			if got, err := tx.WorkedBetween("o1", now, now.Add(1)); len(got) != 0 || err != nil {
				// a nanosecond is less than what is stored
				t.Errorf("worked %+v, %v", got, err)
			}
			if got, err := tx.WorkedBetween("", now, now.Add(time.Second)); len(got) != 1 || err != nil {
				t.Errorf("worked %+v, %v", got, err)
			}
			if got, err := tx.Watchers("t1"); len(got) != 1 || got[0].Name != "Lucia" || err != nil {
				t.Errorf("watchers %+v, %v", got, err)
			}
			if got, err := tx.MergedInto("t1"); len(got) != 1 || got[0].ID != "t2" || err != nil {
				t.Errorf("merged %+v, %v", got, err)
			}
			if got, err := tx.Following("t1"); len(got) != 1 || got[0].ID != "t3" || err != nil {
				t.Errorf("following %+v, %v", got, err)
			}
			if got, err := tx.AlarmRang("t1", alarm); !got || err != nil {
				t.Errorf("rang %v, %v", got, err)
			}
			if got, err := tx.RecentTitles("o1"); len(got) != 2 || got[0].Number != 3 || err != nil {
				t.Errorf("titles %+v, %v", got, err)
			}
			if got, err := tx.SeverityCounts("o1", now); got[""] != 3 || err != nil {
				t.Errorf("severities %v, %v", got, err)
			}
			if got, err := tx.LiveTickets("o1"); len(got) != 2 || err != nil {
				t.Errorf("live %v, %v", got, err)
			}
			return nil
		})
		write(t, s, func(tx store.Tx) error { return errors.Join(tx.DeleteWorked("w1", "a1"), tx.RemoveWatcher("t1", "a2")) })
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.DeleteWorked("w1", "a1") }); !errors.Is(err, store.ErrStale) {
			t.Errorf("booked time was taken back twice: %v", err)
		}
	})
}
