package ticket

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/catalogue"
)

// AskApproval holds a ticket until the customer's responsible person, or whoever stands for them, has decided. An
// earlier question that is still open is void: it asked for something else.
func (d *Tickets) AskApproval(ctx context.Context, a desk.Actor, id ticket.ID, kind ticket.CategoryKind, r ticket.Requested) (p ticket.Approval, err error) {
	err = d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		if err := void(c, k); err != nil {
			return k, err
		}
		k = k.Released(c.Now)
		k, p, err = hold(c, k, kind, r)
		return k, err
	})
	return p, err
}

// hold asks for an approval and puts the ticket into Waiting for it.
func hold(c *desk.Change, k ticket.Ticket, kind ticket.CategoryKind, r ticket.Requested) (ticket.Ticket, ticket.Approval, error) {
	t, err := termsOf(c.Tx, k.Organization)
	if err != nil {
		return k, ticket.Approval{}, err
	}
	p, err := ticket.NewApproval(k, kind, r, c.Actor.Account, t.hours, c.Now)
	if err != nil {
		return k, p, err
	}
	p.ID = c.NewID()
	from := k.Status
	if k, err = k.AwaitApproval(c.Now); err != nil {
		return k, p, err
	}
	if err := c.SaveApproval(p); err != nil {
		return k, p, err
	}
	if from != ticket.Waiting {
		if err := event(c, k, ticket.EventStatus+" "+string(ticket.Waiting)); err != nil {
			return k, p, err
		}
	}
	if err := event(c, k, ticket.EventHeld); err != nil {
		return k, p, err
	}
	if err := tellApprovers(c, k, p, desk.MailApproval); err != nil {
		return k, p, err
	}
	return k, p, c.Record("approval.asked", "approval:"+p.ID, name(k), map[string]any{"ticket": k.ID, "kind": kind, "hash": p.Hash, "expires_at": p.ExpiresAt})
}

// holdNew holds a ticket that was filed in a category whose kind waits for an approval in its organization. What
// is asked is what the requester wrote.
func holdNew(c *desk.Change, k *ticket.Ticket, category ticket.Category) error {
	if category.Kind == ticket.Plain {
		return nil
	}
	kinds, err := c.ApprovalKinds(k.Organization)
	if err != nil || !slices.Contains(kinds, category.Kind) {
		return err
	}
	who := k.Requester.Name
	if who == "" {
		who = k.Requester.Email
	}
	what := k.Title
	if k.Text != "" {
		what += "\n" + k.Text
	}
	held, _, err := hold(c, *k, category.Kind, ticket.Requested{What: clip(what, 2000), For: clip(who, account.MaxName), Email: k.Requester.Email})
	if err != nil {
		return err
	}
	if err := settle(c, &held); err != nil {
		return err
	}
	if err := c.SaveTicket(held); err != nil {
		return err
	}
	*k = held
	k.Version++
	return nil
}

// approvers are those who stand for the responsible persons of a ticket's organization today and may decide p.
func approvers(tx store.Tx, k ticket.Ticket, p ticket.Approval, now time.Time) (list []account.Account, err error) {
	people, err := tx.Accounts([]account.OrganizationID{k.Organization})
	if err != nil {
		return nil, err
	}
	standing, err := standIns(tx, k.Organization, people, now)
	if err != nil {
		return nil, err
	}
	for _, a := range people {
		if !a.Disabled && p.MayDecide(k, a, standing) == nil {
			list = append(list, a)
		}
	}
	return list, nil
}

// standIns are the accounts that stand for an organization's responsible persons today. Absent ones are named by
// their deputies; where all of those who are there may not decide, the absent ones may still.
func standIns(tx store.Tx, o account.OrganizationID, people []account.Account, now time.Time) ([]account.ID, error) {
	org, err := tx.Organization(o)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(org.TimeZone)
	if err != nil || org.TimeZone == "Local" {
		zone = time.UTC
	}
	var responsible []account.ID
	for _, a := range people {
		if a.Role == account.Responsible && !a.Disabled {
			responsible = append(responsible, a.ID)
		}
	}
	day := account.DayIn(zone, now)
	absences, err := tx.Absences(o, day)
	if err != nil {
		return nil, err
	}
	var list []account.ID
	for _, who := range account.StandIns(responsible, absences, day) {
		list = append(list, who)
	}
	return list, nil
}

// tellApprovers owes a mail about p to everybody who may decide it.
func tellApprovers(c *desk.Change, k ticket.Ticket, p ticket.Approval, kind string) error {
	list, err := approvers(c.Tx, k, p, c.Now)
	if err != nil {
		return err
	}
	for _, a := range list {
		if err := c.OweMail(desk.Mail{Kind: kind, To: a.Email, Name: a.Name, Account: a.ID, Language: a.Language, Organization: k.Organization, Ticket: k.ID,
			Link: "/approvals/" + p.ID + "?v=" + p.Hash, Data: approvalData(k, p), Until: p.ExpiresAt}); err != nil {
			return err
		}
	}
	return nil
}

// approvalData is what a mail about an approval says.
func approvalData(k ticket.Ticket, p ticket.Approval) map[string]string {
	requester := k.Requester.Name
	if requester == "" {
		requester = k.Requester.Email
	}
	return map[string]string{"Number": strconv.FormatInt(k.Number, 10), "Title": k.Title, "Kind": string(p.Kind), "What": p.Requested.What, "For": p.Requested.For, "Reason": p.Requested.Reason,
		"EndsOn": p.Requested.EndsOn, "Requester": requester, "Expires": p.ExpiresAt.Format(time.RFC3339), "State": string(p.State), "By": p.DecidedName, "Why": p.Reason}
}

// ApprovalView is the page of one approval.
type ApprovalView struct {
	Approval  ticket.Approval
	Requester string
	Asked     string   // who asked for it: the technician, or the requester by the form
	Approvers []string // names of who may decide it now
	MayDecide bool
	Why       error // why the actor may not decide: ErrOwnBenefit, ErrApprover, or nil
	MayRecall bool
	Started   bool
}

// Approval loads an approval for whom it concerns: those who may decide, the requester, responsible persons of
// the organization, and staff.
func (d *Tickets) Approval(ctx context.Context, a desk.Actor, id string) (v ApprovalView, err error) {
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		p, k, list, err := approvalOf(tx, a, id, now)
		if err != nil {
			return err
		}
		if p.State == ticket.Awaited && !now.Before(p.ExpiresAt) {
			p.State = ticket.Expired
		}
		v = ApprovalView{Approval: p, Requester: k.Requester.Name, Started: !p.StartedAt.IsZero()}
		if v.Requester == "" {
			v.Requester = k.Requester.Email
		}
		v.Asked = v.Requester
		if p.AskedBy != "" {
			if by, err := tx.Account(p.AskedBy); err == nil {
				v.Asked = by.Name
			}
		}
		for _, who := range list {
			v.Approvers = append(v.Approvers, who.Name)
			v.MayDecide = v.MayDecide || who.ID == a.Account && p.Open()
		}
		if !v.MayDecide && p.Open() {
			me, err := tx.Account(a.Account)
			if err != nil {
				return err
			}
			people, err := tx.Accounts([]account.OrganizationID{k.Organization})
			if err != nil {
				return err
			}
			standing, err := standIns(tx, k.Organization, people, now)
			if err != nil {
				return err
			}
			v.Why = p.MayDecide(k, me, standing)
		}
		_, recall := p.Recall(a.Account, now)
		v.MayRecall = recall == nil
		return nil
	})
	return v, err
}

// approvalOf loads an approval that concerns the actor, with its ticket and those who may decide it.
func approvalOf(tx store.Tx, a desk.Actor, id string, now time.Time) (p ticket.Approval, k ticket.Ticket, list []account.Account, err error) {
	if p, err = tx.Approval(id); err != nil {
		return p, k, nil, err
	}
	if k, err = tx.Ticket(p.Ticket); err != nil {
		return p, k, nil, err
	}
	if list, err = approvers(tx, k, p, now); err != nil {
		return p, k, nil, err
	}
	concerned := sees(tx, a, k) == nil || p.DecidedBy == a.Account && a.Account != ""
	for _, who := range list {
		concerned = concerned || who.ID == a.Account
	}
	if !concerned || a.Account == "" {
		return p, k, nil, store.ErrNotFound
	}
	return p, k, list, nil
}

// Approvals lists what the actor may decide now, and what their organization has decided in the last 30 days.
func (d *Tickets) Approvals(ctx context.Context, a desk.Actor) (waiting, decided []ticket.Approval, err error) {
	if a.Account == "" {
		return nil, nil, desk.Fail(desk.ErrDenied)
	}
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		waiting, decided = nil, nil
		all, err := tx.WaitingApprovals(a.Organization)
		if err != nil {
			return err
		}
		for _, p := range all {
			k, err := tx.Ticket(p.Ticket)
			if err != nil {
				return err
			}
			list, err := approvers(tx, k, p, now)
			if err != nil {
				return err
			}
			for _, who := range list {
				if who.ID == a.Account {
					waiting = append(waiting, p)
				}
			}
		}
		all, err = tx.DecidedApprovals(a.Organization, now.AddDate(0, 0, -30))
		for _, p := range all {
			if p.DecidedBy == a.Account || a.MayIn(account.TicketsAll, p.Organization) {
				decided = append(decided, p)
			}
		}
		return err
	})
	return waiting, decided, err
}

// decide loads an approval that the actor may decide, lets f change it, and saves it with its ticket.
func (d *Tickets) decide(ctx context.Context, a desk.Actor, id string, f func(*desk.Change, ticket.Approval, ticket.Ticket, account.Account) (ticket.Approval, ticket.Ticket, error)) error {
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		p, k, list, err := approvalOf(c.Tx, a, id, c.Now)
		if err != nil {
			return err
		}
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		may := p.DecidedBy == a.Account
		for _, who := range list {
			may = may || who.ID == a.Account
		}
		if !may && p.Open() {
			people, err := c.Accounts([]account.OrganizationID{k.Organization})
			if err != nil {
				return err
			}
			standing, err := standIns(c.Tx, k.Organization, people, c.Now)
			if err != nil {
				return err
			}
			return errors.Join(p.MayDecide(k, me, standing), denied(p.MayDecide(k, me, standing) == nil))
		}
		if p, k, err = f(c, p, k, me); err != nil {
			return err
		}
		if err := c.SaveApproval(p); err != nil {
			return err
		}
		if err := settle(c, &k); err != nil {
			return err
		}
		c.Hint(desk.TopicTicket, string(k.ID))
		return c.SaveTicket(k)
	})
}

// Decide approves or declines what is asked. hash is that of the text which the actor has read. Only an account
// that signed in decides, never a link.
func (d *Tickets) Decide(ctx context.Context, a desk.Actor, id, hash string, yes bool, reason string) error {
	return d.decide(ctx, a, id, func(c *desk.Change, p ticket.Approval, k ticket.Ticket, me account.Account) (ticket.Approval, ticket.Ticket, error) {
		p, err := p.Decide(yes, hash, reason, me, c.Now)
		if err != nil {
			return p, k, err
		}
		what, action := ticket.EventApproved+" "+me.Name, "approval.approved"
		if !yes {
			what, action = ticket.EventDeclined+" "+me.Name+": "+p.Reason, "approval.declined"
		}
		if k, err = release(c, k, what); err != nil {
			return p, k, err
		}
		if err := tellDecision(c, k, p, me); err != nil {
			return p, k, err
		}
		if yes && p.Requested.EndsOn != "" {
			day, err := time.Parse(time.DateOnly, p.Requested.EndsOn)
			if err != nil {
				return p, k, ticket.ErrChange
			}
			if err := c.OweAt(JobRightEnds, rightEnds{Approval: p.ID}, day.Add(7*time.Hour)); err != nil {
				return p, k, err
			}
		}
		return p, k, c.Record(action, "approval:"+p.ID, name(k), map[string]any{"ticket": k.ID, "hash": p.Hash, "login": a.Login})
	})
}

// release opens a held ticket again and says why.
func release(c *desk.Change, k ticket.Ticket, what string) (ticket.Ticket, error) {
	if err := event(c, k, what); err != nil {
		return k, err
	}
	if !k.Held() {
		return k, nil
	}
	k = k.Released(c.Now)
	return k, errors.Join(event(c, k, ticket.EventStatus+" "+string(k.Status)), owe(c, k, ""))
}

// tellDecision owes the same text to requester, technician and approver.
func tellDecision(c *desk.Change, k ticket.Ticket, p ticket.Approval, me account.Account) error {
	type recipient struct {
		email, name, language string
		id                    account.ID
	}
	list := []recipient{{me.Email, me.Name, me.Language, me.ID}, {k.Requester.Email, k.Requester.Name, k.Language, k.Requester.Account}}
	for _, id := range []account.ID{p.AskedBy, k.Assignee} {
		if id == "" {
			continue
		}
		a, err := c.Account(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil && !a.Disabled {
			list = append(list, recipient{a.Email, a.Name, a.Language, a.ID})
		}
	}
	seen := map[string]bool{}
	for _, r := range list {
		if r.email == "" || seen[r.email] {
			continue
		}
		seen[r.email] = true
		if err := c.OweMail(desk.Mail{Kind: desk.MailApprovalDecided, To: r.email, Name: r.name, Account: r.id, Language: r.language, Organization: k.Organization, Ticket: k.ID, Link: path(k), Data: approvalData(k, p)}); err != nil {
			return err
		}
	}
	return nil
}

// AskBack puts a question of the approver's to the ticket; until it is answered the approval's clock stands.
func (d *Tickets) AskBack(ctx context.Context, a desk.Actor, id, hash, text string) error {
	if err := ticket.CheckText(text); err != nil {
		return desk.Fail(err)
	}
	return d.decide(ctx, a, id, func(c *desk.Change, p ticket.Approval, k ticket.Ticket, me account.Account) (ticket.Approval, ticket.Ticket, error) {
		p, err := p.Question(hash, c.Now)
		if err != nil {
			return p, k, err
		}
		m := ticket.Message{ID: c.NewID(), Ticket: k.ID, Kind: ticket.Public, Author: me.ID, AuthorName: me.Name, Text: text, At: c.Now}
		if err := c.InsertMessage(m); err != nil {
			return p, k, err
		}
		k.UpdatedAt = c.Now
		return p, k, c.Record("approval.questioned", "approval:"+p.ID, name(k), map[string]any{"ticket": k.ID, "message": m.ID})
	})
}

// Recall takes the actor's own decision back until work has started; what was asked waits again.
func (d *Tickets) Recall(ctx context.Context, a desk.Actor, id string) error {
	return d.decide(ctx, a, id, func(c *desk.Change, p ticket.Approval, k ticket.Ticket, me account.Account) (ticket.Approval, ticket.Ticket, error) {
		p, err := p.Recall(me.ID, c.Now)
		if err != nil {
			return p, k, err
		}
		if err := event(c, k, ticket.EventRecalled+" "+me.Name); err != nil {
			return p, k, err
		}
		if err := c.Record("approval.recalled", "approval:"+p.ID, name(k), map[string]any{"ticket": k.ID}); err != nil {
			return p, k, err
		}
		asked := c.Actor
		c.Actor.Account = p.AskedBy // it is asked as before
		k, _, err = hold(c, k, p.Kind, p.Requested)
		c.Actor = asked
		return p, k, err
	})
}

// Unexpected declines what the actor did not expect, and tells the provider's administrators.
func (d *Tickets) Unexpected(ctx context.Context, a desk.Actor, id, hash string) error {
	return d.decide(ctx, a, id, func(c *desk.Change, p ticket.Approval, k ticket.Ticket, me account.Account) (ticket.Approval, ticket.Ticket, error) {
		reason := catalogue.For(k.Language).T("tickets.unexpected.reason")
		p, err := p.Decide(false, hash, reason, me, c.Now)
		if err != nil {
			return p, k, err
		}
		if k, err = release(c, k, ticket.EventDeclined+" "+me.Name+": "+reason); err != nil {
			return p, k, err
		}
		staff, err := c.Staff()
		if err != nil {
			return p, k, err
		}
		for _, s := range staff {
			if s.Role != account.Administrator {
				continue
			}
			data := approvalData(k, p)
			if err := c.OweMail(desk.Mail{Kind: desk.MailApprovalUnexpected, To: s.Email, Name: s.Name, Account: s.ID, Language: s.Language, Ticket: k.ID, Link: path(k), Data: data}); err != nil {
				return p, k, err
			}
		}
		return p, k, c.Record("approval.not_expected", "approval:"+p.ID, name(k), map[string]any{"ticket": k.ID, "hash": p.Hash})
	})
}

// void ends what is still open of a ticket's approvals because the request was changed or withdrawn.
func void(c *desk.Change, k ticket.Ticket) error {
	list, err := c.Approvals(k.ID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if !p.Open() {
			continue
		}
		if err := c.SaveApproval(p.Void(c.Now)); err != nil {
			return err
		}
		if err := errors.Join(event(c, k, ticket.EventVoided), c.Record("approval.voided", "approval:"+p.ID, name(k), map[string]any{"ticket": k.ID})); err != nil {
			return err
		}
	}
	return nil
}

// replied lets the clocks of a ticket's approvals go on after an answer to a question.
func replied(c *desk.Change, id ticket.ID) error {
	list, err := c.Approvals(id)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.State == ticket.Asking {
			if err := c.SaveApproval(p.Replied(c.Now)); err != nil {
				return err
			}
		}
	}
	return nil
}

// started notes that staff works on what was decided.
func started(c *desk.Change, id ticket.ID) error {
	list, err := c.Approvals(id)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p, ok := p.Start(c.Now); ok {
			if err := c.SaveApproval(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// tickApproval reminds of a ticket's open approvals, or lets them expire.
func tickApproval(c *desk.Change, k *ticket.Ticket, t terms) error {
	list, err := c.Approvals(k.ID)
	if err != nil {
		return err
	}
	for _, before := range list {
		p, remind, _ := before.Tick(t.hours, c.Now)
		switch {
		case p.State == ticket.Expired && before.State != ticket.Expired:
			if *k, err = release(c, *k, ticket.EventExpired); err != nil {
				return err
			}
			if err := tellDecision(c, *k, p, account.Account{}); err != nil {
				return err
			}
			if err := c.Record("approval.expired", "approval:"+p.ID, name(*k), map[string]any{"ticket": k.ID}); err != nil {
				return err
			}
		case remind:
			if err := tellApprovers(c, *k, p, desk.MailApprovalReminder); err != nil {
				return err
			}
		default:
			continue
		}
		if err := c.SaveApproval(p); err != nil {
			return err
		}
	}
	return nil
}

// takeBack makes the task to take back a right on the day until which it was approved.
func (d *Tickets) takeBack(ctx context.Context, approval string) error {
	return d.o.Change(ctx, desk.System(), func(c *desk.Change) error {
		p, err := c.Approval(approval)
		if err != nil || p.State != ticket.Approved {
			return errors.Join(err, denied(err == nil))
		}
		old, err := c.Ticket(p.Ticket)
		if err != nil {
			return err
		}
		known, err := c.Following(old.ID)
		if err != nil {
			return err
		}
		say := catalogue.For(old.Language)
		k := old
		k.Title = clip(say.T("tickets.takeback", "For", p.Requested.For), 200)
		for _, f := range known {
			if f.Title == k.Title {
				return nil // made before a crash
			}
		}
		k = ticket.Ticket{ID: ticket.ID(c.NewID()), Organization: old.Organization, OrganizationName: old.OrganizationName, Title: k.Title, Text: p.Requested.What, Category: old.Category, Severity: old.Severity,
			Requester: old.Requester, Language: old.Language, Source: ticket.FromAPI, Follows: old.ID, Queue: old.Queue}
		if err := insert(c, &k, hash(approval, "ends")); err != nil {
			return err
		}
		return event(c, k, ticket.EventFollows+" "+strconv.FormatInt(old.Number, 10))
	})
}

func clip(s string, n int) string {
	if r := []rune(strings.TrimSpace(s)); len(r) > n {
		return string(r[:n])
	}
	return strings.TrimSpace(s)
}
