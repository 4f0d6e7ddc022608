package ticket_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
)

// TestMembersSeeAll: where an organization lets its members see all tickets, a colleague's ticket is in the list, the
// counts, the search and on its page with its files, to be read only; notes and other organizations stay unseen. The
// twin is the same organization without it.
func TestMembersSeeAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := newOffice(t, s)
		k, err := f.Create(t.Context(), f.marta, deskticket.Draft{Title: "Toner for the plotter", Text: "It is empty."})
		if err != nil {
			t.Fatal(err)
		}
		file, err := f.Attach(t.Context(), f.marta, k.ID, "plotter.txt", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Answer(t.Context(), f.marta, k.ID, "A picture.", file.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Note(t.Context(), f.tech, k.ID, "zebrafish"); err != nil {
			t.Fatal(err)
		}
		foreign, err := f.Create(t.Context(), f.tech, deskticket.Draft{Title: "Plotter of Weber", For: &ticket.Contact{Name: "Weber", Email: "w@weber.example"}, Of: "w"})
		if err != nil {
			t.Fatal(err)
		}
		check := func(all bool) {
			t.Helper()
			want := 0
			if all {
				want = 1
			}
			for query, n := range map[string]int{"": want, "plotter": want, "zebrafish": 0} {
				l, err := f.List(t.Context(), f.lucia, deskticket.Filter{Query: query})
				if err != nil || len(l.Tickets) != n || l.All != n || l.Total != n || l.Counts[ticket.Open]+l.Counts[ticket.New]+l.Counts[ticket.Waiting] != n {
					t.Errorf("all %v, search %q: %d tickets, %+v, %v", all, query, len(l.Tickets), l, err)
				}
			}
			v, err := f.ByNumber(t.Context(), f.lucia, k.Number)
			if all != (err == nil) || !all && !errors.Is(err, desk.ErrNotFound) {
				t.Errorf("all %v: the page says %v", all, err)
			}
			for _, m := range v.Messages {
				if m.Kind == ticket.Note {
					t.Error("a note is shown")
				}
			}
			if _, r, err := f.OpenFile(t.Context(), f.lucia, file.ID); all != (err == nil) || !all && !errors.Is(err, desk.ErrNotFound) {
				t.Errorf("all %v: the file says %v", all, err)
			} else if err == nil {
				r.Close()
			}
			if _, err := f.Answer(t.Context(), f.lucia, k.ID, "Mine too"); err == nil {
				t.Errorf("all %v: a colleague answers", all)
			}
			if _, err := f.Get(t.Context(), f.lucia, foreign.ID); !errors.Is(err, desk.ErrNotFound) {
				t.Errorf("all %v: another organization's ticket: %v", all, err)
			}
		}
		check(false)
		if err := s.Write(t.Context(), func(tx store.Tx) error {
			o, err := tx.Organization(account.OrganizationID("v"))
			if err != nil {
				return err
			}
			o.MembersSeeAll = true
			return tx.SaveOrganization(o)
		}); err != nil {
			t.Fatal(err)
		}
		check(true)
	})
}
