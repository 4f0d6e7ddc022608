package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
)

// JobWake is the kind of job that looks after a ticket to which something happens by itself: a pause ends, it
// closes, a promise runs out, an approval expires. Its payload is a desk.TicketJob.
const JobWake = "ticket.wake"

// JobRightEnds is the kind of job that makes the task to take back a right that was given until a day.
const JobRightEnds = "ticket.right_ends"

// rightEnds is the payload of JobRightEnds.
type rightEnds struct {
	Approval string `json:"approval"`
}

// Handle names this package's jobs to a worker.
func (d *Tickets) Handle(w *desk.Worker) {
	w.Handle(JobWake, func(ctx context.Context, payload []byte) error {
		var j desk.TicketJob
		if err := json.Unmarshal(payload, &j); err != nil {
			return desk.ErrDrop
		}
		return d.Wake(ctx, ticket.ID(j.Ticket))
	})
	w.Handle(JobResettle, func(ctx context.Context, _ []byte) error { return d.resettle(ctx) })
	w.Handle(JobRightEnds, func(ctx context.Context, payload []byte) error {
		var j rightEnds
		if err := json.Unmarshal(payload, &j); err != nil {
			return desk.ErrDrop
		}
		return d.takeBack(ctx, j.Approval)
	})
}

// terms are what counts for an organization's tickets.
type terms struct {
	contract sla.Contract
	hours    *sla.Hours // of plain working days: closing, approvals
	promises bool       // there is a contract
}

// termsOf loads them. Without a contract nothing is promised, and working days are Monday to Friday.
func termsOf(tx store.Tx, o account.OrganizationID) (t terms, err error) {
	c, err := tx.ContractOf(o)
	switch {
	case err == nil:
		t.contract, t.promises = c.Contract, true
	case errors.Is(err, store.ErrNotFound):
		org, err := tx.Organization(o)
		if err != nil {
			return t, err
		}
		t.contract.Calendar = sla.Calendar{Name: "-", Zone: org.TimeZone}
		if t.contract.Calendar.Zone == "" {
			t.contract.Calendar.Zone = "UTC"
		}
		for day := time.Monday; day <= time.Friday; day++ {
			t.contract.Calendar.Week = append(t.contract.Calendar.Week, sla.Interval{Day: day, From: 9 * 60, To: 18 * 60})
		}
	default:
		return t, err
	}
	t.hours, err = t.contract.Calendar.Hours()
	return t, err
}

// settle brings what follows from the ticket's log up to date: its promises, and when something will happen to
// it by itself. Every change ends with it.
func settle(c *desk.Change, k *ticket.Ticket) error {
	t, err := termsOf(c.Tx, k.Organization)
	if err != nil {
		return err
	}
	thread, err := c.Messages(k.ID)
	if err != nil {
		return err
	}
	p := ticket.Promise{Missed: k.Promise.Missed}
	wake := func(at time.Time) {
		if !at.IsZero() && (p.WakeAt.IsZero() || at.Before(p.WakeAt)) {
			p.WakeAt = at
		}
	}
	if t.promises {
		s, err := t.contract.At(k.CreatedAt, k.Severity, ticket.Log(thread), c.Now)
		if err != nil {
			return err
		}
		if s.First.Running {
			p.FirstDue = s.First.At
		}
		if s.Solution.Running {
			p.Due = s.Solution.At
		}
		if s.Next.Running {
			p.NextDue = s.Next.At
		}
		p.FirstMet = s.First.Met
		p.Missed = p.Missed || s.First.Missed || s.Solution.Missed
		for _, a := range s.Alarms {
			rang, err := c.AlarmRang(k.ID, a)
			if err != nil {
				return err
			}
			if !rang {
				wake(a.At)
				break
			}
		}
	}
	switch {
	case k.Status == ticket.Paused:
		wake(k.PausedUntil)
	case k.Status == ticket.Resolved:
		wake(t.hours.Days(k.ResolvedAt, ticket.CloseAfter))
	case k.Held():
		list, err := c.Approvals(k.ID)
		if err != nil {
			return err
		}
		for _, a := range list {
			after, remind, next := a.Tick(t.hours, c.Now)
			if remind || after.State != a.State {
				next = c.Now // it is due already
			}
			wake(next)
		}
	}
	before := k.Promise.WakeAt
	k.Promise = p
	if p.WakeAt.IsZero() || p.WakeAt.Equal(before) && before.After(c.Now) {
		return nil
	}
	return c.OweAt(JobWake, desk.TicketJob{Ticket: string(k.ID)}, p.WakeAt)
}

// Promised tells a requester by when the first answer is expected; zero when nothing is promised.
func (d *Tickets) Promised(ctx context.Context, id ticket.ID) (at time.Time, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		k, err := tx.Ticket(id)
		at = k.Promise.FirstDue
		return err
	})
	return at, err
}

// Wake does what is due to happen to a ticket by itself. Too early it does nothing.
func (d *Tickets) Wake(ctx context.Context, id ticket.ID) error {
	var none bool
	err := d.o.Change(ctx, desk.System(), func(c *desk.Change) error {
		k, err := c.Ticket(id)
		if err != nil {
			return err
		}
		if none = k.Promise.WakeAt.IsZero() || k.Promise.WakeAt.After(c.Now); none {
			return nil
		}
		t, err := termsOf(c.Tx, k.Organization)
		if err != nil {
			return err
		}
		if err := tickApproval(c, &k, t); err != nil {
			return err
		}
		closeAt := time.Time{}
		if k.Status == ticket.Resolved {
			closeAt = t.hours.Days(k.ResolvedAt, ticket.CloseAfter)
		}
		from := k.Status
		if next, woke := k.Wake(closeAt, c.Now); woke {
			k = next
			if err := moved(c, k, from); err != nil {
				return err
			}
		}
		if t.promises {
			if err := ring(c, &k, t); err != nil {
				return err
			}
		}
		if err := settle(c, &k); err != nil {
			return err
		}
		c.Hint(desk.TopicTicket, string(id))
		return c.SaveTicket(k)
	})
	switch {
	case errors.Is(err, desk.ErrNotFound), err == nil && none:
		return desk.ErrDrop
	}
	return err
}

// moved writes down that a ticket went into another status, and owes what follows from that.
func moved(c *desk.Change, k ticket.Ticket, from ticket.Status) error {
	if err := event(c, k, ticket.EventStatus+" "+string(k.Status)); err != nil {
		return err
	}
	if err := c.Record("ticket.status_changed", ref(k.ID), name(k), map[string]any{"from": from, "to": k.Status}); err != nil {
		return err
	}
	if k.Status == ticket.Closed {
		if err := c.Owe(desk.JobTicketClosed, desk.TicketJob{Ticket: string(k.ID)}); err != nil {
			return err
		}
	}
	if err := mailMoved(c, k); err != nil {
		return err
	}
	return owe(c, k, "")
}

// ring tells those concerned, once each, that half, three quarters or all of a promised time is over: at 50 % the
// assignee or who is on duty, at 75 % the queue's lead too, at 100 % the administrators too.
func ring(c *desk.Change, k *ticket.Ticket, t terms) error {
	thread, err := c.Messages(k.ID)
	if err != nil {
		return err
	}
	s, err := t.contract.At(k.CreatedAt, k.Severity, ticket.Log(thread), c.Now)
	if err != nil {
		return err
	}
	loudest := map[string]sla.Alarm{}
	for _, a := range s.Alarms {
		if a.At.After(c.Now) {
			break
		}
		first, err := c.RingAlarm(k.ID, a, c.Now)
		if err != nil {
			return err
		}
		if first {
			loudest[a.Clock] = a
		}
	}
	for _, clock := range []string{"first", "solution"} {
		a, ok := loudest[clock]
		if !ok {
			continue
		}
		k.Promise.Missed = k.Promise.Missed || a.Percent >= 100
		if err := event(c, *k, ticket.EventAlarm+" "+clock+" "+strconv.Itoa(a.Percent)); err != nil {
			return err
		}
		who, err := alarmed(c, *k, a.Percent)
		if err != nil {
			return err
		}
		due := s.First.At
		if clock == "solution" {
			due = s.Solution.At
		}
		for _, to := range who {
			if err := c.OweMail(desk.Mail{Kind: desk.MailAlarm, To: to.Email, Name: to.Name, Account: to.ID, Language: to.Language, Ticket: k.ID, Link: path(*k),
				Data: map[string]string{"Number": strconv.FormatInt(k.Number, 10), "Title": k.Title, "Organization": k.OrganizationName, "Clock": clock, "Percent": strconv.Itoa(a.Percent), "Due": due.Format(time.RFC3339), "Severity": string(k.Severity)}}); err != nil {
				return err
			}
		}
		if err := c.Record("ticket.escalated", ref(k.ID), name(*k), map[string]any{"clock": clock, "percent": a.Percent, "told": len(who)}); err != nil {
			return err
		}
	}
	return nil
}

func path(k ticket.Ticket) string { return "/tickets/" + strconv.FormatInt(k.Number, 10) }

// alarmed are those who are told that so much of a promise is used up, each once.
func alarmed(c *desk.Change, k ticket.Ticket, percent int) (list []account.Account, err error) {
	seen := map[account.ID]bool{}
	add := func(id account.ID) error {
		if id == "" || seen[id] {
			return nil
		}
		seen[id] = true
		a, err := c.Account(id)
		if errors.Is(err, store.ErrNotFound) || err == nil && (a.Disabled || !a.Role.Staff()) {
			return nil
		}
		if err == nil {
			list = append(list, a)
		}
		return err
	}
	first := k.Assignee
	if first == "" {
		if first, _, err = onDuty(c.Tx, k, c.Now); err != nil {
			return nil, err
		}
	}
	if err := add(first); err != nil {
		return nil, err
	}
	if percent >= 75 && k.Queue != "" {
		queues, err := c.Queues()
		if err != nil {
			return nil, err
		}
		for _, q := range queues {
			if q.ID == k.Queue {
				if err := add(q.Lead); err != nil {
					return nil, err
				}
			}
		}
	}
	if percent >= 100 || len(list) == 0 {
		staff, err := c.Staff()
		if err != nil {
			return nil, err
		}
		for _, a := range staff {
			if a.Role == account.Administrator {
				if err := add(a.ID); err != nil {
					return nil, err
				}
			}
		}
	}
	return list, nil
}

// onDuty finds who is on duty for a ticket: by its organization's plan, else its queue's, else the one for all.
// planned is false for a fallback, and the id is empty when there is no plan at all.
func onDuty(tx store.Tx, k ticket.Ticket, now time.Time) (who account.ID, planned bool, err error) {
	scopes := []string{"org:" + string(k.Organization)}
	if k.Queue != "" {
		scopes = append(scopes, "que:"+string(k.Queue))
	}
	for _, scope := range append(scopes, "all") {
		p, err := tx.Duty(scope)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", false, err
		}
		id, plan := p.OnDuty(now)
		if id != "" && (who == "" || plan) {
			who, planned = id, plan
		}
		if planned {
			return who, true, nil
		}
	}
	return who, planned, nil
}

// OnDuty tells who is on duty for a ticket now: whom its requester's mail and access go to when nobody has taken
// it. The account is zero when no plan names anybody.
func (d *Tickets) OnDuty(ctx context.Context, id ticket.ID) (a account.Account, err error) {
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		k, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		who, _, err := onDuty(tx, k, now)
		if err != nil || who == "" {
			return err
		}
		a, err = tx.Account(who)
		return err
	})
	return a, err
}

// categorise finds the category that a form named by id or name, and puts the ticket into its queue.
func categorise(tx store.Tx, k *ticket.Ticket) (ticket.Category, error) {
	if strings.TrimSpace(k.Category) == "" {
		return ticket.Category{}, nil
	}
	list, err := tx.Categories()
	if err != nil {
		return ticket.Category{}, err
	}
	for _, c := range list {
		if string(c.ID) == k.Category || !c.Archived && c.Called(k.Category) {
			k.Category = string(c.ID)
			if c.Queue != "" {
				k.Queue = c.Queue
			}
			return c, nil
		}
	}
	return ticket.Category{}, nil
}

// followUp files a new ticket for what a requester wrote to one that was solved too long ago.
func followUp(c *desk.Change, old ticket.Ticket, text string) (ticket.Ticket, error) {
	k := ticket.Ticket{ID: ticket.ID(c.NewID()), Organization: old.Organization, OrganizationName: old.OrganizationName, Title: old.Title, Text: text, Category: old.Category,
		Severity: old.Severity, Requester: old.Requester, Device: old.Device, DeviceName: old.DeviceName, OSUser: old.OSUser, OSUserID: old.OSUserID, Language: old.Language,
		Source: ticket.FromPortal, Follows: old.ID}
	if err := insert(c, &k, hash(string(old.ID), text, c.Now.String())); err != nil {
		return k, err
	}
	return k, event(c, k, fmt.Sprintf("%s %d", ticket.EventFollows, old.Number))
}

// answerBy is the promise of a first answer as devices are told it.
func answerBy(k ticket.Ticket) int64 {
	if k.Promise.FirstDue.IsZero() {
		return 0
	}
	return k.Promise.FirstDue.UnixMicro()
}
