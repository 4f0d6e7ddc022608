package ticket

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
)

// Setup is everything that administration sets about tickets.
type Setup struct {
	Queues        []ticket.Queue
	Categories    []ticket.Category
	Replies       []ticket.Reply
	Calendars     []ticket.Calendar
	Contracts     []ticket.Contract
	Organizations []account.Organization
	ContractOf    map[account.OrganizationID]string
	Duties        map[string]sla.Plan
	Approvals     map[account.OrganizationID][]ticket.CategoryKind
	Staff         []account.Account
}

// Setup loads it for whoever works on tickets; only tickets.manage changes it.
func (d *Tickets) Setup(ctx context.Context, a desk.Actor) (s Setup, err error) {
	if !a.May(account.TicketsManage) {
		return s, desk.Fail(desk.ErrDenied)
	}
	err = d.o.Read(ctx, func(tx store.Tx) (err error) {
		s = Setup{Approvals: map[account.OrganizationID][]ticket.CategoryKind{}}
		if s.Queues, err = tx.Queues(); err != nil {
			return err
		}
		if s.Categories, err = tx.Categories(); err != nil {
			return err
		}
		if s.Replies, err = tx.Replies(); err != nil {
			return err
		}
		if s.Calendars, err = tx.Calendars(); err != nil {
			return err
		}
		if s.Contracts, err = tx.Contracts(); err != nil {
			return err
		}
		if s.Organizations, err = tx.Organizations(nil); err != nil {
			return err
		}
		if s.ContractOf, err = tx.OrganizationContracts(); err != nil {
			return err
		}
		if s.Duties, err = tx.Duties(); err != nil {
			return err
		}
		for _, o := range s.Organizations {
			kinds, err := tx.ApprovalKinds(o.ID)
			if err != nil {
				return err
			}
			if len(kinds) > 0 {
				s.Approvals[o.ID] = kinds
			}
		}
		s.Staff, err = tx.Staff()
		return err
	})
	return s, err
}

// Sorting is what a ticket can be sorted into.
type Sorting struct {
	Queues     []ticket.Queue    // not archived
	Categories []ticket.Category // not archived
	Names      map[string]string // of all categories, in the actor's language, by id
}

// Sorting loads the queues and categories for whoever sees tickets.
func (d *Tickets) Sorting(ctx context.Context, a desk.Actor) (s Sorting, err error) {
	if a.Account == "" && !a.System && a.Device == "" {
		return s, desk.Fail(desk.ErrDenied)
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		s = Sorting{Names: map[string]string{}}
		categories, err := tx.Categories()
		if err != nil {
			return err
		}
		for _, c := range categories {
			s.Names[string(c.ID)] = c.Name(a.Language)
			if !c.Archived {
				s.Categories = append(s.Categories, c)
			}
		}
		if !a.Staff() {
			return nil
		}
		queues, err := tx.Queues()
		for _, q := range queues {
			if !q.Archived && a.Reach.HasQueue(q.ID) {
				s.Queues = append(s.Queues, q)
			}
		}
		return err
	})
	return s, err
}

// manage runs a change of the set-up and writes down what was changed.
func (d *Tickets) manage(ctx context.Context, a desk.Actor, action, object, objectName string, f func(*desk.Change) error) error {
	if !a.May(account.TicketsManage) {
		return desk.Fail(desk.ErrDenied)
	}
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		if err := f(c); err != nil {
			return err
		}
		c.Hint(desk.TopicTicket, "")
		return c.Record(action, object, objectName, nil)
	})
}

// SaveQueue makes a queue, or changes the one with q's id.
func (d *Tickets) SaveQueue(ctx context.Context, a desk.Actor, q ticket.Queue) error {
	q.Name = strings.TrimSpace(q.Name)
	if err := q.Check(); err != nil {
		return desk.Fail(err)
	}
	return d.manage(ctx, a, "queue.changed", "queue:"+string(q.ID), q.Name, func(c *desk.Change) error {
		if q.ID == "" {
			q.ID = ticket.QueueID(c.NewID())
		}
		if q.Lead != "" {
			if who, err := c.Account(q.Lead); err != nil || !who.Role.Staff() {
				return errors.Join(err, desk.Refuse(desk.ErrInvalid, "not_staff"))
			}
		}
		return c.SaveQueue(q)
	})
}

// SaveCategory makes a category, or changes the one with its id.
func (d *Tickets) SaveCategory(ctx context.Context, a desk.Actor, k ticket.Category) error {
	for l, n := range k.Names {
		if k.Names[l] = strings.TrimSpace(n); k.Names[l] == "" {
			delete(k.Names, l)
		}
	}
	if err := k.Check(); err != nil {
		return desk.Fail(err)
	}
	return d.manage(ctx, a, "category.changed", "category:"+string(k.ID), k.Name("en"), func(c *desk.Change) error {
		if k.ID == "" {
			k.ID = ticket.CategoryID(c.NewID())
		}
		return c.SaveCategory(k)
	})
}

// SaveReply makes a standard reply, or changes the one with its id.
func (d *Tickets) SaveReply(ctx context.Context, a desk.Actor, r ticket.Reply) error {
	for l, s := range r.Texts {
		if r.Texts[l] = strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")); r.Texts[l] == "" {
			delete(r.Texts, l)
		}
	}
	r.Name = strings.TrimSpace(r.Name)
	if err := r.Check(); err != nil {
		return desk.Fail(err)
	}
	return d.manage(ctx, a, "reply.changed", "reply:"+r.ID, r.Name, func(c *desk.Change) error {
		if r.ID == "" {
			r.ID = c.NewID()
		}
		return c.SaveReply(r)
	})
}

// DeleteReply forgets a standard reply.
func (d *Tickets) DeleteReply(ctx context.Context, a desk.Actor, id string) error {
	return d.manage(ctx, a, "reply.deleted", "reply:"+id, "", func(c *desk.Change) error { return c.DeleteReply(id) })
}

// Replies lists the standard replies as they would be sent on a ticket: in its requester's language, filled in.
// Those of the ticket's category come first.
func (d *Tickets) Replies(ctx context.Context, a desk.Actor, k ticket.Ticket) (list []ticket.Reply, err error) {
	if !works(a, k) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		all, err := tx.Replies()
		list = nil
		for _, r := range all {
			r.Texts = map[string]string{k.Language: r.Text(k, a.Name)}
			list = append(list, r)
		}
		slices.SortStableFunc(list, func(x, y ticket.Reply) int {
			return rank(y, k) - rank(x, k)
		})
		return err
	})
	return list, err
}

func rank(r ticket.Reply, k ticket.Ticket) int {
	if r.Category != "" && string(r.Category) == k.Category {
		return 1
	}
	return 0
}

// SaveCalendar makes a calendar, or changes the one with its id; the promises of open tickets follow.
func (d *Tickets) SaveCalendar(ctx context.Context, a desk.Actor, k ticket.Calendar) error {
	if err := k.Check(); err != nil {
		return desk.Fail(err)
	}
	return d.manage(ctx, a, "calendar.changed", "calendar:"+k.ID, k.Name, func(c *desk.Change) error {
		if k.ID == "" {
			k.ID = c.NewID()
		}
		if err := c.SaveCalendar(k); err != nil {
			return err
		}
		return c.Owe(JobResettle, struct{}{})
	})
}

// SaveContract makes a contract, or changes the one with its id; the promises of open tickets follow.
func (d *Tickets) SaveContract(ctx context.Context, a desk.Actor, k ticket.Contract) error {
	k.Calendar = sla.Always // its own is loaded by CalendarID
	if err := k.Contract.Check(); err != nil {
		return desk.Fail(err)
	}
	return d.manage(ctx, a, "contract.changed", "contract:"+k.ID, k.Name, func(c *desk.Change) error {
		if k.ID == "" {
			k.ID = c.NewID()
		}
		calendars, err := c.Calendars()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(calendars, func(x ticket.Calendar) bool { return x.ID == k.CalendarID }) {
			return store.ErrNotFound
		}
		if err := c.SaveContract(k); err != nil {
			return err
		}
		return c.Owe(JobResettle, struct{}{})
	})
}

// SetContract gives an organization a contract; an empty id returns it to the standard one.
func (d *Tickets) SetContract(ctx context.Context, a desk.Actor, o account.OrganizationID, contract string) error {
	return d.manage(ctx, a, "organization.contract_changed", "organization:"+string(o), "", func(c *desk.Change) error {
		if _, err := c.Organization(o); err != nil {
			return err
		}
		if contract != "" {
			list, err := c.Contracts()
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list, func(x ticket.Contract) bool { return x.ID == contract }) {
				return store.ErrNotFound
			}
		}
		if err := c.SetContract(o, contract); err != nil {
			return err
		}
		return c.Owe(JobResettle, struct{}{})
	})
}

// JobResettle is the kind of job that computes the promises of all open tickets anew, after a contract or
// calendar was changed.
const JobResettle = "ticket.resettle"

// resettle computes the promises of the open tickets anew, a few in each transaction.
func (d *Tickets) resettle(ctx context.Context) error {
	var ids []ticket.ID
	if err := d.o.Read(ctx, func(tx store.Tx) error {
		ids = nil
		list, err := tx.Organizations(nil)
		if err != nil {
			return err
		}
		for _, o := range list {
			more, err := tx.LiveTickets(o.ID)
			if err != nil {
				return err
			}
			ids = append(ids, more...)
		}
		return nil
	}); err != nil {
		return err
	}
	for part := range slices.Chunk(ids, 50) {
		if err := d.o.Change(ctx, desk.System(), func(c *desk.Change) error {
			for _, id := range part {
				k, err := c.Ticket(id)
				if err != nil {
					return err
				}
				if err := settle(c, &k); err != nil {
					return err
				}
				if err := c.SaveTicket(k); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// SetApprovals says which kinds of change wait for an approval in an organization.
func (d *Tickets) SetApprovals(ctx context.Context, a desk.Actor, o account.OrganizationID, kinds []ticket.CategoryKind) error {
	for _, k := range kinds {
		if !slices.Contains(ticket.ApprovalKinds, k) {
			return desk.Fail(ticket.ErrKind)
		}
	}
	return d.manage(ctx, a, "organization.approvals_changed", "organization:"+string(o), "", func(c *desk.Change) error {
		if _, err := c.Organization(o); err != nil {
			return err
		}
		return c.SetApprovalKinds(o, kinds)
	})
}

// SetDuty sets the duty plan of a scope: "all", "org:ID" or "que:ID".
func (d *Tickets) SetDuty(ctx context.Context, a desk.Actor, scope string, p sla.Plan) error {
	if err := p.Check(); err != nil {
		return desk.Fail(err)
	}
	kind, id, _ := strings.Cut(scope, ":")
	if kind != "all" && (kind != "org" && kind != "que" || id == "") || len(scope) > 60 {
		return desk.Fail(desk.ErrInvalid)
	}
	return d.manage(ctx, a, "duty.changed", "duty:"+scope, "", func(c *desk.Change) error {
		staff, err := c.Staff()
		if err != nil {
			return err
		}
		is := func(who account.ID) bool {
			return slices.ContainsFunc(staff, func(s account.Account) bool { return s.ID == who })
		}
		for _, s := range p.Shifts {
			if !is(s.Who) {
				return desk.Refuse(desk.ErrInvalid, "not_staff")
			}
		}
		for _, e := range p.Exceptions {
			if !is(e.Who) {
				return desk.Refuse(desk.ErrInvalid, "not_staff")
			}
		}
		if p.Fallback != "" && !is(p.Fallback) {
			return desk.Refuse(desk.ErrInvalid, "not_staff")
		}
		return c.SaveDuty(scope, p)
	})
}
