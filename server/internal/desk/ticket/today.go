package ticket

import (
	"context"
	"slices"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// Today is what a technician does first.
type Today struct {
	AnswerFirst []ticket.Ticket   // nobody has answered yet; what is due soonest first
	Replied     []ticket.Ticket   // mine, on which the customer spoke last
	Approved    []ticket.Approval // mine, decided and not begun
	Mine        []ticket.Ticket   // the others of mine that are open, by what is due
	Planned     []ticket.Ticket   // mine, paused, that come back soon
	Nobodys     []ticket.Ticket   // answered already, but nobody's
}

// perSection bounds a section of Today.
const perSection = 25

// Today loads what the actor should look at, in the order in which it should be done.
func (d *Tickets) Today(ctx context.Context, a desk.Actor) (t Today, err error) {
	if !a.May(account.TicketsWork) || a.Account == "" {
		return t, desk.Fail(desk.ErrDenied)
	}
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		t = Today{}
		of := func(f store.TicketFilter) ([]ticket.Ticket, error) {
			f.Live, f.Limit = true, 200
			if err := scope(a, &f); err != nil {
				return nil, err
			}
			return tx.Tickets(f)
		}
		fresh, err := of(store.TicketFilter{Status: ticket.New, Sort: ticket.ByNumber, Ascending: true})
		if err != nil {
			return err
		}
		mine, err := of(store.TicketFilter{Assignee: a.Account})
		if err != nil {
			return err
		}
		nobodys, err := of(store.TicketFilter{Assignee: store.NoAssignee, Status: ticket.Open})
		if err != nil {
			return err
		}
		put := func(list *[]ticket.Ticket, k ticket.Ticket) {
			if len(*list) < perSection {
				*list = append(*list, k)
			}
		}
		for _, k := range append(fresh, mine...) {
			if k.Promise.FirstMet.IsZero() && k.CustomerLast && (k.Status == ticket.New && (k.Assignee == "" || k.Assignee == a.Account) || k.Status == ticket.Open) {
				t.AnswerFirst = append(t.AnswerFirst, k)
			}
		}
		bySoonest(t.AnswerFirst)
		t.AnswerFirst = t.AnswerFirst[:min(len(t.AnswerFirst), perSection)]
		shown := map[ticket.ID]bool{}
		for _, k := range t.AnswerFirst {
			shown[k.ID] = true
		}
		bySoonest(mine)
		for _, k := range mine {
			switch {
			case shown[k.ID]:
			case k.Status == ticket.Open && k.CustomerLast:
				put(&t.Replied, k)
			case k.Status == ticket.Open:
				put(&t.Mine, k)
			case k.Status == ticket.Paused && k.PausedUntil.Before(now.Add(7*24*time.Hour)):
				put(&t.Planned, k)
			}
		}
		bySoonest(nobodys)
		for _, k := range nobodys {
			if !shown[k.ID] {
				put(&t.Nobodys, k)
			}
		}
		decided, err := tx.ReturnedApprovals(now.AddDate(0, 0, -14))
		if err != nil {
			return err
		}
		for _, p := range decided {
			k, err := tx.Ticket(p.Ticket)
			if err != nil {
				return err
			}
			if works(a, k) && (p.AskedBy == a.Account || k.Assignee == a.Account) && len(t.Approved) < perSection {
				t.Approved = append(t.Approved, p)
			}
		}
		return nil
	})
	return t, err
}

// bySoonest sorts tickets by the promise that runs out first; those without come last, the more severe and older
// first.
func bySoonest(list []ticket.Ticket) {
	slices.SortStableFunc(list, func(x, y ticket.Ticket) int {
		a, b := x.Promise.Soonest(), y.Promise.Soonest()
		switch {
		case a.IsZero() != b.IsZero():
			if a.IsZero() {
				return 1
			}
			return -1
		case !a.Equal(b):
			return a.Compare(b)
		}
		if d := slices.Index(api.Severities, x.Severity) - slices.Index(api.Severities, y.Severity); d != 0 {
			return d
		}
		return x.CreatedAt.Compare(y.CreatedAt)
	})
}
