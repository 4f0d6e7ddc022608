package ticket_test

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/blob"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
)

// office is a desk with a customer, a contract and a clock that the test sets. Its first day is a Monday.
type office struct {
	*deskticket.Tickets
	t                          testing.TB
	s                          *store.Store
	worker                     *desk.Worker
	now                        time.Time
	tech, admin                desk.Actor
	lucia, marta, carla, dario desk.Actor // two employees, the responsible person, the deputy
}

func newOffice(t testing.TB, s *store.Store) *office {
	t.Helper()
	f := &office{t: t, s: s, now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)} // 9:00 in Rome
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	o := desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.now }, Seal: seal}
	f.Tickets = deskticket.New(deskticket.Options{Options: o, Blobs: blobs})
	f.worker = desk.NewWorker(o)
	f.Handle(f.worker)
	if err := s.Write(t.Context(), func(tx store.Tx) error {
		for _, o := range []account.Organization{{ID: "p", Name: "Rossi IT", Provider: true}, {ID: "v", Name: "Studio Verdi", TimeZone: "Europe/Rome"}, {ID: "w", Name: "Weber Bau"}} {
			if err := tx.InsertOrganization(o); err != nil {
				return err
			}
		}
		for _, a := range []struct {
			id   account.ID
			o    account.OrganizationID
			name string
			role account.Role
			to   *desk.Actor
		}{{"tech", "p", "Anna Bianchi", account.Technician, &f.tech}, {"admin", "p", "Otto", account.Administrator, &f.admin}, {"lucia", "v", "Lucia Rossi", account.Requester, &f.lucia},
			{"marta", "v", "Marta Villa", account.Requester, &f.marta}, {"carla", "v", "Carla Neri", account.Responsible, &f.carla}, {"dario", "v", "Dario Ferri", account.Requester, &f.dario}} {
			who := account.Account{ID: a.id, Organization: a.o, Email: string(a.id) + "@x.it", Name: a.name, Language: "en", Role: a.role, Password: "x"}
			if err := tx.InsertAccount(who); err != nil {
				return err
			}
			*a.to = desk.Of(who, desk.ViaPortal, "192.0.2.1")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *office) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// contract gives everybody 2 hours for the first answer and 8 for the solution, weekdays 9 to 18 in Rome.
func (f *office) contract() {
	f.t.Helper()
	cal := ticket.Calendar{Calendar: sla.Calendar{Name: "office", Zone: "Europe/Rome"}}
	for d := time.Monday; d <= time.Friday; d++ {
		cal.Week = append(cal.Week, sla.Interval{Day: d, From: 9 * 60, To: 18 * 60})
	}
	f.must(f.SaveCalendar(f.t.Context(), f.admin, cal))
	s, err := f.Setup(f.t.Context(), f.admin)
	f.must(err)
	f.must(f.SaveContract(f.t.Context(), f.admin, ticket.Contract{CalendarID: s.Calendars[0].ID, Standard: true, Contract: sla.Contract{Name: "plus", Targets: map[api.Severity]sla.Target{api.Low: {First: 2 * time.Hour, Solution: 8 * time.Hour}}}}))
}

func (f *office) file(a desk.Actor, title string) ticket.Ticket {
	f.t.Helper()
	k, err := f.Create(f.t.Context(), a, deskticket.Draft{Title: title, Severity: api.Low})
	f.must(err)
	return k
}

func (f *office) look(k ticket.Ticket) deskticket.View {
	f.t.Helper()
	v, err := f.Get(f.t.Context(), f.admin, k.ID)
	f.must(err)
	return v
}

// later lets time pass in steps, in which background work is done.
func (f *office) later(d time.Duration) {
	f.t.Helper()
	for end := f.now.Add(d); f.now.Before(end); {
		f.now = f.now.Add(min(10*time.Minute, end.Sub(f.now)))
		for {
			n, err := f.worker.Once(f.t.Context())
			f.must(err)
			if n == 0 {
				break
			}
		}
	}
}

// mails lists the kinds of mail owed since the last call, as "kind to".
func (f *office) mails() map[string]int {
	f.t.Helper()
	m := map[string]int{}
	f.must(f.s.Read(f.t.Context(), func(tx store.Tx) error {
		list, err := tx.Mails(store.MailWaiting, "", 500)
		for _, x := range list {
			m[x.Kind+" "+string(x.Account)]++
		}
		return err
	}))
	return m
}

func TestPromisesFollowTheLog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := newOffice(t, s)
		f.contract()
		k := f.file(f.lucia, "Printer prints blank pages")
		if want := f.now.Add(2 * time.Hour); !k.Promise.FirstDue.Equal(want) || !k.Promise.Due.Equal(f.now.Add(8*time.Hour)) {
			t.Fatalf("promised %+v, want a first answer by %s", k.Promise, want)
		}
		f.later(time.Hour) // half of the first answer's time
		if m := f.mails(); m["alarm admin"] != 1 || m["alarm tech"] != 0 {
			t.Errorf("nobody is on duty: %v", m)
		}
		f.must(f.Take(t.Context(), f.tech, k.ID))
		f.later(30 * time.Minute)
		if m := f.mails(); m["alarm tech"] != 1 {
			t.Errorf("the assignee was not told: %v", m)
		}
		_, err := f.Answer(t.Context(), f.tech, k.ID, "Which printer?")
		f.must(err)
		f.must(f.ChangeStatus(t.Context(), f.tech, k.ID, ticket.Waiting, ""))
		v := f.look(k)
		if !v.Ticket.Promise.FirstDue.IsZero() || v.Ticket.Promise.FirstMet.IsZero() || !v.Ticket.Promise.Due.IsZero() || v.Ticket.Promise.Missed {
			t.Errorf("while it waits: %+v", v.Ticket.Promise)
		}
		f.later(24 * time.Hour)
		_, err = f.Answer(t.Context(), f.lucia, k.ID, "The big one")
		f.must(err)
		v = f.look(k)
		if want := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC).Add(8 * time.Hour); v.Ticket.Status != ticket.Open || !v.Ticket.Promise.Due.Equal(want) {
			t.Errorf("after a day of waiting: %s, due %s, want %s", v.Ticket.Status, v.Ticket.Promise.Due, want)
		}
		before := f.mails()["alarm tech"]
		f.later(48 * time.Hour)
		if m := f.mails(); m["alarm tech"] != before+3 {
			t.Errorf("alarms %d, want %d: %v", m["alarm tech"], before+3, m)
		}
		if v = f.look(k); !v.Ticket.Promise.Missed {
			t.Error("the missed promise is not noted")
		}
		own, err := f.Get(t.Context(), f.lucia, k.ID)
		f.must(err)
		for _, m := range own.Messages {
			if strings.HasPrefix(m.Text, "alarm") {
				t.Errorf("the requester reads %q", m.Text)
			}
		}
	})
}

func TestWhatATicketDoesByItself(t *testing.T) {
	f := newOffice(t, storetest.SQLite(t))
	k := f.file(f.lucia, "Replace the fuser unit")
	f.must(f.Move(t.Context(), f.tech, k.ID, ticket.Move{To: ticket.Paused, Reason: "spare part", Until: f.now.Add(26 * time.Hour)}))
	f.later(25 * time.Hour)
	if v := f.look(k); v.Ticket.Status != ticket.Paused {
		t.Fatalf("woke early: %s", v.Ticket.Status)
	}
	f.later(2 * time.Hour)
	if v := f.look(k); v.Ticket.Status != ticket.Open {
		t.Fatalf("did not wake: %s", v.Ticket.Status)
	}
	f.must(f.ChangeStatus(t.Context(), f.tech, k.ID, ticket.Resolved, ""))
	f.later(6 * 24 * time.Hour)
	if v := f.look(k); v.Ticket.Status != ticket.Resolved {
		t.Fatalf("closed early: %s", v.Ticket.Status)
	}
	f.later(2 * 24 * time.Hour)
	v := f.look(k)
	if v.Ticket.Status != ticket.Closed {
		t.Fatalf("did not close: %s", v.Ticket.Status)
	}
	m, err := f.Answer(t.Context(), f.lucia, k.ID, "It is broken again")
	f.must(err)
	if v = f.look(k); v.Ticket.Status != ticket.Open || v.Ticket.Reopened != 1 || m.Ticket != k.ID {
		t.Errorf("not reopened: %+v", v.Ticket)
	}
	f.must(f.ChangeStatus(t.Context(), f.lucia, k.ID, ticket.Closed, ""))
	f.later(15 * 24 * time.Hour)
	m, err = f.Answer(t.Context(), f.lucia, k.ID, "And once more")
	f.must(err)
	next, err := f.Get(t.Context(), f.lucia, m.Ticket)
	f.must(err)
	if next.Ticket.ID == k.ID || next.Follows != k.Number || next.Ticket.Text != "And once more" || f.look(k).Ticket.Status != ticket.Closed {
		t.Errorf("no follow-up: %+v", next.Ticket)
	}
}

func TestApprovals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := newOffice(t, s)
		f.must(f.SaveCategory(t.Context(), f.admin, ticket.Category{Names: map[string]string{"en": "Shared folders", "it": "Cartelle condivise"}, Kind: ticket.Permission}))
		f.must(f.SetApprovals(t.Context(), f.admin, "v", []ticket.CategoryKind{ticket.Permission}))
		k, err := f.Create(t.Context(), f.lucia, deskticket.Draft{Title: "Access to Accounting", Text: "for me", Category: "cartelle CONDIVISE", Severity: api.Low})
		f.must(err)
		if !k.Held() {
			t.Fatalf("the ticket is not held: %+v", k)
		}
		if m := f.mails(); m["approval carla"] != 1 || m["approval lucia"] != 0 {
			t.Errorf("who was asked: %v", m)
		}
		for _, to := range []ticket.Status{ticket.Open, ticket.Resolved} {
			if err := f.ChangeStatus(t.Context(), f.tech, k.ID, to, ""); !errors.Is(err, ticket.ErrHeld) {
				t.Errorf("staff went on to %s: %v", to, err)
			}
		}
		waiting, _, err := f.Approvals(t.Context(), f.carla)
		f.must(err)
		if len(waiting) != 1 {
			t.Fatalf("%d wait for Carla", len(waiting))
		}
		p := waiting[0]
		if err := f.Decide(t.Context(), f.lucia, p.ID, p.Hash, true, ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the requester approved: %v", err)
		}
		if err := f.Decide(t.Context(), f.tech, p.ID, p.Hash, true, ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("a technician approved: %v", err)
		}
		if err := f.Decide(t.Context(), f.carla, p.ID, "0", true, ""); !errors.Is(err, ticket.ErrChanged) {
			t.Errorf("another text was approved: %v", err)
		}
		if err := f.Decide(t.Context(), f.carla, p.ID, p.Hash, false, " "); !errors.Is(err, ticket.ErrWhy) {
			t.Errorf("declined without a reason: %v", err)
		}
		// A question lets the clock stand.
		f.must(f.AskBack(t.Context(), f.carla, p.ID, p.Hash, "For how long?"))
		f.later(14 * 24 * time.Hour)
		if v := f.look(k); v.Approvals[0].State != ticket.Asking || !v.Ticket.Held() {
			t.Fatalf("%+v", v.Approvals)
		}
		_, err = f.Answer(t.Context(), f.lucia, k.ID, "Until the end of the year")
		f.must(err)
		f.later(25 * time.Hour)
		if m := f.mails(); m["approval_reminder carla"] == 0 {
			t.Errorf("nobody was reminded: %v", m)
		}
		f.must(f.Decide(t.Context(), f.carla, p.ID, p.Hash, true, ""))
		if v := f.look(k); v.Ticket.Status != ticket.Open || v.Approvals[0].State != ticket.Approved || v.Approvals[0].DecidedName != "Carla Neri" {
			t.Errorf("%+v", v.Approvals)
		}
		if m := f.mails(); m["approval_decided carla"] != 1 || m["approval_decided lucia"] != 1 {
			t.Errorf("who was told: %v", m)
		}
		if err := f.Decide(t.Context(), f.carla, p.ID, p.Hash, true, ""); !errors.Is(err, ticket.ErrDecided) {
			t.Errorf("decided twice: %v", err)
		}
		f.must(f.Recall(t.Context(), f.carla, p.ID))
		v := f.look(k)
		if !v.Ticket.Held() || len(v.Approvals) != 2 || v.Approvals[0].State != ticket.Recalled {
			t.Fatalf("recalled: %+v", v.Approvals)
		}
		p = v.Approvals[1]
		f.must(f.Decide(t.Context(), f.carla, p.ID, p.Hash, true, ""))
		_, err = f.Answer(t.Context(), f.tech, k.ID, "Done.")
		f.must(err)
		if err := f.Recall(t.Context(), f.carla, p.ID); !errors.Is(err, ticket.ErrStarted) {
			t.Errorf("recalled after work has started: %v", err)
		}
	})
}

func TestNobodyApprovesForTheirOwnBenefitAndDeputiesStandIn(t *testing.T) {
	f := newOffice(t, storetest.SQLite(t))
	k := f.file(f.marta, "Rights for Carla")
	r := ticket.Requested{What: "Folder Accounting: read → change", For: "Carla Neri", Email: "carla@x.it", EndsOn: "2026-12-01"}
	p, err := f.AskApproval(t.Context(), f.tech, k.ID, ticket.Permission, r)
	f.must(err)
	if v := f.look(k); len(v.Approvers) != 0 {
		t.Errorf("%v may decide about Carla's rights", v.Approvers)
	}
	if err := f.Decide(t.Context(), f.carla, p.ID, p.Hash, true, ""); !errors.Is(err, ticket.ErrOwnBenefit) {
		t.Errorf("Carla approved for herself: %v", err)
	}
	v, err := f.Approval(t.Context(), f.carla, p.ID)
	f.must(err)
	if v.MayDecide || !errors.Is(v.Why, ticket.ErrOwnBenefit) {
		t.Errorf("the page lets Carla decide: %+v", v)
	}
	f.must(f.s.Write(t.Context(), func(tx store.Tx) error {
		return tx.InsertAbsence(account.Absence{ID: "x", Organization: "v", Account: "carla", Deputy: "dario", From: "2026-11-23", To: "2026-11-30"})
	}))
	if v := f.look(k); len(v.Approvers) != 1 || v.Approvers[0] != "Dario Ferri" {
		t.Errorf("who may decide: %v", v.Approvers)
	}
	// The request changes: what was asked before is void.
	r.What = "Folder Accounting: none → read"
	again, err := f.AskApproval(t.Context(), f.tech, k.ID, ticket.Permission, r)
	f.must(err)
	if err := f.Decide(t.Context(), f.dario, p.ID, p.Hash, true, ""); !errors.Is(err, ticket.ErrChanged) {
		t.Errorf("what was changed was approved: %v", err)
	}
	f.must(f.Decide(t.Context(), f.dario, again.ID, again.Hash, true, ""))
	f.later(9 * 24 * time.Hour)
	list, err := f.List(t.Context(), f.admin, deskticket.Filter{Status: ticket.New})
	f.must(err)
	if len(list.Tickets) != 1 || list.Tickets[0].Follows != k.ID || !strings.Contains(list.Tickets[0].Title, "Carla Neri") {
		t.Errorf("no task to take the right back: %+v", list.Tickets)
	}
}

func TestAnApprovalExpires(t *testing.T) {
	f := newOffice(t, storetest.SQLite(t))
	k := f.file(f.lucia, "New password")
	_, err := f.AskApproval(t.Context(), f.tech, k.ID, ticket.Password, ticket.Requested{What: "Reset the password of l.rossi", For: "Lucia Rossi"})
	f.must(err)
	f.later(4 * 24 * time.Hour) // Monday to Friday: three working days are over
	v := f.look(k)
	if v.Ticket.Status != ticket.Open || v.Approvals[0].State != ticket.Expired || v.Approvals[0].Reminded != ticket.RemindTwice {
		t.Errorf("%s, %+v", v.Ticket.Status, v.Approvals)
	}
	k = f.file(f.lucia, "Another")
	p, err := f.AskApproval(t.Context(), f.tech, k.ID, ticket.Password, ticket.Requested{What: "x", For: "Lucia Rossi"})
	f.must(err)
	f.must(f.ChangeStatus(t.Context(), f.lucia, k.ID, ticket.Closed, ""))
	if v, err := f.Approval(t.Context(), f.carla, p.ID); err != nil || v.Approval.State != ticket.Voided {
		t.Errorf("withdrawn: %+v, %v", v.Approval, err)
	}
	k = f.file(f.lucia, "Strange")
	p, err = f.AskApproval(t.Context(), f.tech, k.ID, ticket.Security, ticket.Requested{What: "Switch the firewall off", For: "Lucia Rossi"})
	f.must(err)
	f.must(f.Unexpected(t.Context(), f.carla, p.ID, p.Hash))
	if v := f.look(k); v.Approvals[0].State != ticket.Declined || f.mails()["approval_unexpected admin"] != 1 {
		t.Errorf("%+v, %v", v.Approvals, f.mails())
	}
}

func TestMergeShowsOneThread(t *testing.T) {
	f := newOffice(t, storetest.SQLite(t))
	a, b := f.file(f.lucia, "Printer prints blank pages"), f.file(f.marta, "Blank pages from the printer")
	_, err := f.Answer(t.Context(), f.marta, b.ID, "Since today")
	f.must(err)
	f.must(f.Merge(t.Context(), f.tech, b.ID, a.Number))
	v := f.look(a)
	if v.Merged[b.ID] != b.Number || len(v.Watchers) != 1 || v.Watchers[0].ID != "marta" {
		t.Errorf("%+v %+v", v.Merged, v.Watchers)
	}
	var said []string
	for _, m := range v.Messages {
		if m.Kind == ticket.Public {
			said = append(said, m.Text)
		}
	}
	if strings.Join(said, "|") != "Blank pages from the printer|Since today" {
		t.Errorf("the thread says %q", said)
	}
	own, err := f.Get(t.Context(), f.lucia, a.ID)
	f.must(err)
	for _, m := range own.Messages {
		if m.Text == "Since today" {
			t.Error("Lucia reads what Marta wrote")
		}
	}
	if v := f.look(b); v.Into != a.Number || v.Ticket.Status != ticket.Closed {
		t.Errorf("%+v", v.Ticket)
	}
	if _, err := f.Answer(t.Context(), f.marta, b.ID, "Hello?"); !errors.Is(err, ticket.ErrMerged) {
		t.Errorf("a merged ticket took an answer: %v", err)
	}
	f.must(f.Unmerge(t.Context(), f.tech, b.ID))
	if v := f.look(b); v.Ticket.Status != ticket.Open || v.Into != 0 {
		t.Errorf("%+v", v.Ticket)
	}
}

func TestSimilarTicketsOfColleagues(t *testing.T) {
	f := newOffice(t, storetest.SQLite(t))
	first := f.file(f.lucia, "Printer on the 2nd floor prints blank pages")
	f.later(20 * time.Minute)
	f.file(f.dario, "the printer prints only blank pages!")
	s, err := f.Similar(t.Context(), f.marta, "blank pages from printer", "")
	f.must(err)
	if s.People != 2 || s.Ticket != first.ID || s.Own != 0 || !s.Since.Equal(f.now) {
		t.Errorf("%+v", s)
	}
	for title, who := range map[string]desk.Actor{"Outlook does not start": f.marta, "blank pages from printer ": f.admin} {
		if s, err := f.Similar(t.Context(), who, title, ""); err != nil || s.People != 0 {
			t.Errorf("%q: %+v %v", title, s, err)
		}
	}
	if s, err := f.Similar(t.Context(), f.lucia, "blank pages from printer", ""); err != nil || s.Own != first.Number || s.People != 1 {
		t.Errorf("her own: %+v %v", s, err)
	}
	f.must(f.MeToo(t.Context(), f.marta, first.ID, "", ""))
	f.must(f.MeToo(t.Context(), f.marta, first.ID, "", ""))
	v := f.look(first)
	if len(v.Watchers) != 1 || len(v.Messages) != 1 || v.Messages[0].Text != "metoo Marta Villa" {
		t.Errorf("%+v %+v", v.Watchers, v.Messages)
	}
	if _, err := f.Get(t.Context(), f.marta, first.ID); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("Marta reads Lucia's ticket: %v", err)
	}
	if err := f.MeToo(t.Context(), f.admin, first.ID, "", ""); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("somebody of another organization joined: %v", err)
	}
}

func TestDutyTimeAndToday(t *testing.T) {
	f := newOffice(t, storetest.SQLite(t))
	f.contract()
	f.must(f.SetDuty(t.Context(), f.admin, "org:v", sla.Plan{Zone: "Europe/Rome", Shifts: []sla.Shift{{Interval: sla.Interval{Day: time.Monday, From: 8 * 60, To: 12 * 60}, Who: "tech"}}, Fallback: "admin"}))
	if err := f.SetDuty(t.Context(), f.admin, "org:v", sla.Plan{Zone: "Europe/Rome", Fallback: "lucia"}); !errors.Is(err, desk.ErrInvalid) {
		t.Errorf("an employee is on duty: %v", err)
	}
	k := f.file(f.lucia, "Phone does not ring")
	if a, err := f.OnDuty(t.Context(), k.ID); a.ID != "tech" || err != nil {
		t.Errorf("on duty: %s %v", a.ID, err)
	}
	f.later(4 * time.Hour)
	if a, err := f.OnDuty(t.Context(), k.ID); a.ID != "admin" || err != nil {
		t.Errorf("on duty at 13:00: %s %v", a.ID, err)
	}
	called, err := f.HelpByPhone(t.Context(), f.tech, deskticket.Phone{Name: "Greta", Title: "Mouse is dead", Organization: "w", Answered: true})
	f.must(err)
	v := f.look(called)
	if v.Ticket.Source != ticket.FromPhone || v.Ticket.Assignee != "tech" || v.Ticket.OrganizationName != "Weber Bau" || v.Ticket.Promise.FirstMet.IsZero() {
		t.Errorf("%+v", v.Ticket)
	}
	today, err := f.Today(t.Context(), f.tech)
	f.must(err)
	if len(today.AnswerFirst) != 1 || today.AnswerFirst[0].ID != k.ID || len(today.Mine) != 1 || today.Mine[0].ID != called.ID {
		t.Errorf("%+v", today)
	}
	if _, err := f.Today(t.Context(), f.lucia); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("an employee sees Today: %v", err)
	}
	w, err := f.BookTime(t.Context(), f.tech, called.ID, 15, "changed the battery", true, time.Time{})
	f.must(err)
	if _, err := f.BookTime(t.Context(), f.tech, called.ID, 0, "", true, time.Time{}); !errors.Is(err, ticket.ErrMinutes) {
		t.Errorf("no time was booked: %v", err)
	}
	if _, err := f.BookTime(t.Context(), f.lucia, k.ID, 15, "", true, time.Time{}); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("an employee booked time: %v", err)
	}
	if list, err := f.Worked(t.Context(), f.tech, "w", f.now.Add(-time.Hour), f.now.Add(time.Hour)); len(list) != 1 || list[0].Minutes != 15 || err != nil {
		t.Errorf("%+v %v", list, err)
	}
	if err := f.UnbookTime(t.Context(), f.admin, called.ID, w.ID); !errors.Is(err, desk.ErrConflict) {
		t.Errorf("somebody else's time was taken back: %v", err)
	}
	f.must(f.UnbookTime(t.Context(), f.tech, called.ID, w.ID))
	done, err := f.ForAll(t.Context(), f.tech, deskticket.Bulk{Numbers: []int64{k.Number, called.Number, 99999}, Severity: api.High, Status: ticket.Resolved})
	f.must(err)
	if done.Changed != 2 || len(done.Failed) != 1 {
		t.Errorf("%+v", done)
	}
}
