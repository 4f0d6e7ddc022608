package ticket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// Phone is a caller, for whom a ticket is made in one step.
type Phone struct {
	Name, Title  string
	Email, Phone string // may be empty
	Device       device.ID
	Organization account.OrganizationID // empty: the device's, or that of the address
	Answered     bool                   // the caller was answered on the phone: the first answer is given
}

// HelpByPhone makes a ticket for a caller and gives it to the actor.
func (d *Tickets) HelpByPhone(ctx context.Context, a desk.Actor, p Phone) (k ticket.Ticket, err error) {
	name, err := account.CheckName(p.Name)
	if err != nil {
		return k, desk.Fail(err)
	}
	k, err = d.Create(ctx, a, Draft{Title: p.Title, Device: p.Device, Of: p.Organization, Source: ticket.FromPhone, For: &ticket.Contact{Name: name, Email: strings.TrimSpace(p.Email), Phone: strings.TrimSpace(p.Phone)}})
	if err != nil {
		return k, err
	}
	if err := d.Take(ctx, a, k.ID); err != nil {
		return k, err
	}
	if !p.Answered {
		return k, nil
	}
	return k, d.change(ctx, a, k.ID, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		k.CustomerLast = false
		return k, event(c, k, ticket.EventAnswered)
	})
}

// Sort sets a ticket's category and queue. A category that needs an approval in the ticket's organization does
// not ask for it by itself: whoever sorts says what exactly is asked (Ask).
func (d *Tickets) Sort(ctx context.Context, a desk.Actor, id ticket.ID, category ticket.CategoryID, queue ticket.QueueID) error {
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		if err := k.Check(ticket.Rate, party(a, k), c.Now); err != nil {
			return k, err
		}
		before := k
		if queue != "" && queue != before.Queue {
			queues, err := c.Queues()
			if err != nil {
				return k, err
			}
			found := false
			for _, q := range queues {
				found = found || q.ID == queue && !q.Archived
			}
			if !found {
				return k, store.ErrNotFound
			}
		}
		k.Queue, k.UpdatedAt = queue, c.Now
		if category != ticket.CategoryID(before.Category) {
			k.Category = string(category)
			found, err := categorise(c.Tx, &k)
			if err != nil {
				return k, err
			}
			if category != "" && found.ID == "" {
				return k, store.ErrNotFound
			}
			if queue != before.Queue {
				k.Queue = queue // both were chosen
			}
		}
		if k.Category == before.Category && k.Queue == before.Queue {
			return k, nil
		}
		return k, c.Record("ticket.sorted", ref(id), name(k), map[string]any{"category": k.Category, "queue": k.Queue})
	})
}

// party is the actor in the eyes of the ticket's rules.
func party(a desk.Actor, k ticket.Ticket) ticket.Party {
	return ticket.Party{Rights: a.RightsIn(k.Organization), Mine: mine(a, k)}
}

// Watch lets the actor follow what becomes of a ticket that they may see, or stops it.
func (d *Tickets) Watch(ctx context.Context, a desk.Actor, id ticket.ID, on bool) error {
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		k, err := c.Ticket(id)
		if err != nil {
			return err
		}
		if err := sees(c.Tx, a, k); err != nil || a.Account == "" {
			return errors.Join(err, denied(a.Account == ""))
		}
		c.Hint(desk.TopicTicket, string(id))
		if on {
			return c.AddWatcher(id, a.Account)
		}
		return c.RemoveWatcher(id, a.Account)
	})
}

func denied(yes bool) error {
	if yes {
		return desk.ErrDenied
	}
	return nil
}

// BookTime notes time that the actor has worked on a ticket.
func (d *Tickets) BookTime(ctx context.Context, a desk.Actor, id ticket.ID, minutes int, note string, billable bool, at time.Time) (w ticket.Worked, err error) {
	err = d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		if err := k.Check(ticket.BookTime, party(a, k), c.Now); err != nil {
			return k, err
		}
		if at.IsZero() {
			at = c.Now
		}
		w = ticket.Worked{ID: c.NewID(), Ticket: id, Number: k.Number, Title: k.Title, Organization: k.Organization, Account: a.Account, AccountName: a.Name, Minutes: minutes,
			Note: strings.TrimSpace(note), Billable: billable, At: at.UTC().Truncate(time.Microsecond), MadeAt: c.Now}
		if err := w.Check(c.Now); err != nil {
			return k, err
		}
		if err := c.InsertWorked(w); err != nil {
			return k, err
		}
		if err := started(c, k.ID); err != nil {
			return k, err
		}
		return k, c.Record("ticket.time_booked", ref(id), name(k), map[string]any{"minutes": minutes, "billable": billable})
	})
	return w, err
}

// UnbookTime takes back time that the actor has booked.
func (d *Tickets) UnbookTime(ctx context.Context, a desk.Actor, id ticket.ID, entry string) error {
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		if err := c.DeleteWorked(entry, a.Account); err != nil {
			return k, err
		}
		return k, c.Record("ticket.time_unbooked", ref(id), name(k), nil)
	})
}

// Worked lists the time booked for an organization (empty: all that the actor reaches) from a time until before
// another, for invoices.
func (d *Tickets) Worked(ctx context.Context, a desk.Actor, o account.OrganizationID, from, to time.Time) (list []ticket.Worked, err error) {
	if !a.May(account.ReportsView) || o != "" && !a.MayIn(account.ReportsView, o) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		all, err := tx.WorkedBetween(o, from, to)
		list = nil
		for _, w := range all {
			if a.MayIn(account.ReportsView, w.Organization) {
				list = append(list, w)
			}
		}
		return err
	})
	return list, err
}

// Merge closes a ticket and shows its thread in another one, named by its number.
func (d *Tickets) Merge(ctx context.Context, a desk.Actor, id ticket.ID, into int64) error {
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		target, err := c.TicketByNumber(into)
		if err != nil {
			return k, err
		}
		if !works(a, k) || !works(a, target) {
			return k, desk.ErrDenied
		}
		k, target, err = k.Merge(target, c.Now)
		if err != nil {
			return k, err
		}
		if err := void(c, k); err != nil {
			return k, err
		}
		if err := errors.Join(c.UniteWatchers(target.ID, k.ID), event(c, k, fmt.Sprintf("%s %d", ticket.EventMerged, target.Number)), event(c, target, fmt.Sprintf("%s %d", ticket.EventAbsorbed, k.Number))); err != nil {
			return k, err
		}
		if k.Requester.Account != "" && k.Requester.Account != target.Requester.Account {
			if err := c.AddWatcher(target.ID, k.Requester.Account); err != nil {
				return k, err
			}
		}
		if err := settle(c, &target); err != nil {
			return k, err
		}
		if err := c.SaveTicket(target); err != nil {
			return k, err
		}
		c.Hint(desk.TopicTicket, string(target.ID))
		if err := c.Owe(desk.JobTicketClosed, desk.TicketJob{Ticket: string(id)}); err != nil {
			return k, err
		}
		return k, c.Record("ticket.merged", ref(id), name(k), map[string]any{"into": target.ID, "number": target.Number})
	})
}

// Unmerge takes a merge back.
func (d *Tickets) Unmerge(ctx context.Context, a desk.Actor, id ticket.ID) error {
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		k, err := k.Unmerge(c.Now)
		if err != nil {
			return k, err
		}
		if err := event(c, k, ticket.EventStatus+" "+string(k.Status)); err != nil {
			return k, err
		}
		return k, c.Record("ticket.unmerged", ref(id), name(k), nil)
	})
}

// Bulk is what is done to several tickets at once; empty fields change nothing.
type Bulk struct {
	Numbers  []int64
	Assign   *account.ID
	Queue    *ticket.QueueID
	Severity api.Severity
	Status   ticket.Status // not Paused
}

// Done tells what became of a bulk action: each ticket is changed by itself, as if alone.
type Done struct {
	Changed int
	Failed  map[int64]error
}

// ForAll changes several tickets, at most 200.
func (d *Tickets) ForAll(ctx context.Context, a desk.Actor, b Bulk) (done Done, err error) {
	if !a.May(account.TicketsWork) {
		return done, desk.Fail(desk.ErrDenied)
	}
	if len(b.Numbers) > 200 || b.Status == ticket.Paused {
		return done, desk.Fail(desk.ErrInvalid)
	}
	done.Failed = map[int64]error{}
	for _, n := range b.Numbers {
		v, err := d.ByNumber(ctx, a, n)
		if err == nil && b.Assign != nil {
			err = d.Assign(ctx, a, v.Ticket.ID, *b.Assign)
		}
		if err == nil && b.Queue != nil {
			err = d.Sort(ctx, a, v.Ticket.ID, ticket.CategoryID(v.Ticket.Category), *b.Queue)
		}
		if err == nil && b.Severity != "" {
			err = d.ChangeSeverity(ctx, a, v.Ticket.ID, b.Severity)
		}
		if err == nil && b.Status != "" {
			err = d.ChangeStatus(ctx, a, v.Ticket.ID, b.Status, "")
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, desk.ErrUnavailable) {
				return done, err
			}
			done.Failed[n] = err
			continue
		}
		done.Changed++
	}
	return done, nil
}

// Alike tells who types a title that others of their organization have reported the same. It names nobody and
// shows no text of theirs.
type Alike struct {
	Ticket  ticket.ID // the oldest of them, to add oneself to
	Own     int64     // number of the asker's own ticket that is alike; 0: none
	People  int       // other people than the asker
	Since   time.Time // when the newest of them was filed
	Working bool      // somebody works on it
}

// Similar looks for tickets of the last day in the asker's organization whose title is like the typed one. email is
// whom a form is for; empty: the actor.
func (d *Tickets) Similar(ctx context.Context, a desk.Actor, title, email string) (s Alike, err error) {
	if len(title) > 4*api.MaxTitle || strings.TrimSpace(title) == "" {
		return s, nil
	}
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		o := a.Organization
		if a.Device != "" {
			dev, err := tx.Device(a.Device)
			if err != nil {
				return err
			}
			o = dev.Organization
		}
		if o == "" {
			return nil
		}
		list, err := tx.RecentTitles(o)
		if err != nil {
			return err
		}
		s = Alike{}
		people := map[string]bool{}
		for _, k := range list {
			if now.Sub(k.CreatedAt) > 24*time.Hour {
				break
			}
			if k.Status == ticket.Closed || k.Status == ticket.Resolved || ticket.Similar(title, k.Title) < 0.6 {
				continue
			}
			if a.Account != "" && k.Requester == a.Account || email != "" && strings.EqualFold(k.Email, email) {
				if s.Own == 0 {
					s.Own = k.Number
				}
				continue
			}
			if len(people) == 0 {
				s.Since = k.CreatedAt
			}
			people[k.Email] = true
			s.Ticket = k.ID
			s.Working = s.Working || k.Status != ticket.New
		}
		s.People = len(people)
		return nil
	})
	return s, err
}

// MeToo adds somebody to a ticket of their own organization that reports what they would have reported. They
// read nothing of it.
func (d *Tickets) MeToo(ctx context.Context, a desk.Actor, id ticket.ID, caller, email string) error {
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		k, err := c.Ticket(id)
		if err != nil {
			return err
		}
		o := a.Organization
		if a.Device != "" {
			dev, err := c.Device(a.Device)
			if err != nil {
				return err
			}
			o, c.Actor.Name = dev.Organization, dev.Name
		}
		if o == "" || k.Organization != o || k.Status == ticket.Closed {
			return store.ErrNotFound
		}
		who := caller
		if a.Account != "" {
			who, email = a.Name, ""
			if err := c.AddWatcher(id, a.Account); err != nil {
				return err
			}
		} else if email, err = account.NormalizeEmail(email); err != nil {
			return err
		}
		if len(who) > api.MaxName {
			return ticket.ErrContact
		}
		text := strings.TrimSpace(who + " " + email)
		thread, err := c.Messages(id)
		if err != nil {
			return err
		}
		for _, m := range thread {
			if m.Kind == ticket.Event && m.Text == ticket.EventMeToo+" "+text {
				return nil // once is enough
			}
		}
		if err := event(c, k, ticket.EventMeToo+" "+text); err != nil {
			return err
		}
		k.UpdatedAt = c.Now
		c.Hint(desk.TopicTicket, string(id))
		if err := c.Record("ticket.joined", ref(id), name(k), nil); err != nil {
			return err
		}
		return c.SaveTicket(k)
	})
}

// Urgent tells whether an organization calls nearly everything urgent, which the form then says.
func (d *Tickets) Urgent(ctx context.Context, a desk.Actor) (yes bool, err error) {
	since := d.o.Time().AddDate(0, 0, -30)
	err = d.o.Read(ctx, func(tx store.Tx) error {
		counts, err := tx.SeverityCounts(a.Organization, since)
		m := map[api.Severity]int{}
		for s, n := range counts {
			m[api.Severity(s)] = n
		}
		yes = ticket.AllUrgent(m)
		return err
	})
	return yes, err
}
