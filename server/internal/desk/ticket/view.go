package ticket

import (
	"slices"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
)

// Beside is what a ticket's page shows beside the thread.
type Beside struct {
	State     sla.State // against the contract
	Promises  bool      // there is a contract
	Contract  string
	Approvals []ticket.Approval
	Approvers []string          // names of who may decide the open one
	Worked    []ticket.Worked   // for staff
	Watchers  []account.Account // for staff
	Watching  bool              // the actor is one of them
	Category  string            // its name, in the actor's language
	Merged    map[ticket.ID]int64
	Into      int64 // number of the ticket into which it was merged; 0: not merged, or not the actor's to see
	Follows   int64
	Following []ticket.Ticket
	OnDuty    string // who is on duty for it while it is nobody's; for staff
}

// beside fills in what stands beside the thread, and puts the threads of merged tickets into it.
func (v *View) beside(tx store.Tx, a desk.Actor, d *Tickets) (err error) {
	k, now, staff := v.Ticket, d.o.Time(), works(a, v.Ticket)
	t, err := termsOf(tx, k.Organization)
	if err != nil {
		return err
	}
	thread, err := tx.Messages(k.ID)
	if err != nil {
		return err
	}
	if t.promises {
		v.Promises, v.Contract = true, t.contract.Name
		if v.State, err = t.contract.At(k.CreatedAt, k.Severity, ticket.Log(thread), now); err != nil {
			return err
		}
	}
	if v.Approvals, err = tx.Approvals(k.ID); err != nil {
		return err
	}
	for _, p := range v.Approvals {
		if p.Open() {
			list, err := approvers(tx, k, p, now)
			if err != nil {
				return err
			}
			v.Approvers = nil
			for _, who := range list {
				v.Approvers = append(v.Approvers, who.Name)
			}
		}
	}
	v.Category = k.Category
	if k.Category != "" {
		list, err := tx.Categories()
		if err != nil {
			return err
		}
		for _, c := range list {
			if string(c.ID) == k.Category {
				v.Category = c.Name(a.Language)
			}
		}
	}
	if err := v.relatives(tx, a); err != nil {
		return err
	}
	watchers, err := tx.Watchers(k.ID)
	if err != nil {
		return err
	}
	v.Watching = slices.ContainsFunc(watchers, func(w account.Account) bool { return w.ID == a.Account })
	if !staff {
		return nil
	}
	v.Watchers = watchers
	if v.Worked, err = tx.WorkedOn(k.ID); err != nil {
		return err
	}
	if k.Assignee == "" && k.Status != ticket.Closed {
		who, _, err := onDuty(tx, k, now)
		if err != nil || who == "" {
			return err
		}
		duty, err := tx.Account(who)
		if err != nil {
			return err
		}
		v.OnDuty = duty.Name
	}
	return nil
}

// relatives loads merged, older and newer tickets that belong to this one.
func (v *View) relatives(tx store.Tx, a desk.Actor) error {
	k := v.Ticket
	if k.MergedInto != "" {
		into, err := tx.Ticket(k.MergedInto)
		if err != nil {
			return err
		}
		if sees(tx, a, into) == nil {
			v.Into = into.Number
		}
	}
	if k.Follows != "" {
		old, err := tx.Ticket(k.Follows)
		if err != nil {
			return err
		}
		if sees(tx, a, old) == nil {
			v.Follows = old.Number
		}
	}
	following, err := tx.Following(k.ID)
	if err != nil {
		return err
	}
	for _, f := range following {
		if sees(tx, a, f) == nil {
			v.Following = append(v.Following, f)
		}
	}
	merged, err := tx.MergedInto(k.ID)
	if err != nil {
		return err
	}
	v.Merged = map[ticket.ID]int64{}
	for _, m := range merged {
		if sees(tx, a, m) != nil {
			continue // another person's words
		}
		v.Merged[m.ID] = m.Number
		who := m.Requester.Name
		if who == "" {
			who = m.Requester.Email
		}
		text := m.Title
		if m.Text != "" {
			text += "\n\n" + m.Text
		}
		v.Messages = append(v.Messages, ticket.Message{ID: string(m.ID), Ticket: m.ID, Kind: ticket.Public, Author: m.Requester.Account, AuthorName: who, Text: text, At: m.CreatedAt})
		thread, err := tx.Messages(m.ID)
		if err != nil {
			return err
		}
		files, err := tx.Files(m.ID)
		if err != nil {
			return err
		}
		for _, e := range thread {
			if e.Kind == ticket.Event || e.Internal() && !works(a, k) {
				continue
			}
			for _, f := range files {
				if f.Message == e.ID {
					e.Files = append(e.Files, f)
				}
			}
			v.Messages = append(v.Messages, e)
		}
		for _, f := range files {
			if f.Message == "" {
				i := slices.IndexFunc(v.Messages, func(e ticket.Message) bool { return e.ID == string(m.ID) })
				v.Messages[i].Files = append(v.Messages[i].Files, f)
			}
		}
	}
	if len(merged) > 0 {
		slices.SortStableFunc(v.Messages, func(x, y ticket.Message) int { return x.At.Compare(y.At) })
	}
	return nil
}
