package service

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/agent/internal/consent"
	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// sessionBudget bounds a grant for one session.
const sessionBudget = 8 * 60 * 60

// ask puts a technician's question to the one person whom it concerns, or tells why it can't.
func (d *device) ask(ctx context.Context, a link.Ask) {
	if a.Session == "" || len(a.Session) > 100 || a.Account == "" || len(a.Account) > 200 || len(a.Ticket) > 100 {
		return
	}
	q := consent.Question{
		Session: a.Session, Account: a.Account, Name: a.Name, Organization: a.Organization,
		Ticket: a.Ticket, TicketNumber: a.TicketNumber, TicketTitle: a.TicketTitle,
	}
	row := func(ev ledger.Event, code string) {
		d.recordRefusal(ctx, questionRow(ev, q, ledger.Entry{Code: code}))
	}
	state := func(s link.AskState) {
		s.Session = a.Session
		d.send(link.TypeAskState, s)
	}
	seat, found := d.whom(ctx, a)
	if found {
		q.UserID, q.User = seat.UserID, seat.User
	}
	q.Scopes = askable(a.Scopes, q.UserID)
	q.Name, q.Organization, q.TicketTitle = consent.Clean(q.Name), consent.Clean(q.Organization), consent.Clean(q.TicketTitle)
	if spawn.Available() != nil { // nobody is asked for what can't be done
		row(ledger.Refused, codeNotAvailable)
		state(link.AskState{State: link.AskRefused, Reason: codeNotAvailable, User: q.User})
		return
	}
	if len(q.Scopes) == 0 {
		row(ledger.Refused, "scope_not_granted")
		state(link.AskState{State: link.AskRefused, Reason: "scope_not_granted", User: q.User})
		return
	}
	if st, ok := d.lastAnswer(q); ok { // asked again after the link was cut: the answer stands
		state(st)
		return
	}
	if e, ok := d.preapproved(ctx, q); ok {
		row(ledger.Asked, "")
		d.record(ctx, grantEntry(ledger.Allowed, e, ledger.Entry{Session: q.Session, Scopes: e.Grant.Scopes, By: q.User}))
		d.madeGrant(e)
		state(link.AskState{State: link.AskAllowed, User: q.User, Grant: &e.Signed})
		return
	}
	standing, stands := d.standing(a)
	absent := !found || seat.State == inventory.Locked || seat.State == inventory.Away
	if absent && stands && !d.attended(ctx) {
		row(ledger.Asked, "standing")
		state(link.AskState{State: link.AskOpen, User: standing.Grant.As, Grant: &standing.Signed})
		return
	}
	switch {
	case !found:
		row(ledger.Refused, link.AskNobody)
		state(link.AskState{State: link.AskNobody})
		return
	case absent:
		row(ledger.Refused, link.AskLocked)
		state(link.AskState{State: link.AskLocked, User: seat.User, Since: seat.Since})
		return
	}
	if d.askedBefore(q) {
		return
	}
	q.Standing = stands
	q.Words = consent.Words(d.s.language(q.UserID))
	q, reason := d.desk.Ask(q)
	if reason != "" {
		row(ledger.Refused, reason)
		state(link.AskState{State: link.AskRefused, Reason: reason, User: q.User})
		return
	}
	d.refreeze()
	row(ledger.Asked, "")
	d.log.Info("question put", "session", q.Session, "actor", q.Account)
	c := d.consentView(q)
	d.s.trays.tell(q.UserID, localapi.Event{Type: "consent", Consent: &c})
	d.s.trays.dirty()
	if !d.s.trays.graphical(q.UserID) {
		notifyText(seat.TTY, catalogue.For(d.s.language(q.UserID)).T("agent.tty.question", "Name", q.Name, "Organization", q.Organization))
	}
}

// askedBefore tells the server again what became of a question that is still open.
func (d *device) askedBefore(q consent.Question) bool {
	open, err := d.desk.Get(q.Session, q.UserID)
	if err != nil || open.Account != q.Account {
		return false
	}
	if !open.ShownAt.IsZero() {
		d.shown(context.Background(), open, false)
	}
	return true
}

// maxAnswers bounds how many answers are remembered for a server that asks again.
const maxAnswers = 200

// remember keeps a question's answer, for a server that did not hear it.
func (d *device) remember(q consent.Question, grantID string, st link.AskState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.answers) >= maxAnswers {
		clear(d.answers)
	}
	d.answers[q.Session] = answer{q.Account, grantID, st}
}

// answer is what became of a question.
type answer struct {
	account string
	grant   string // of a yes
	state   link.AskState
}

// lastAnswer returns what was answered to this very question. A yes counts only while its grant lives.
func (d *device) lastAnswer(q consent.Question) (link.AskState, bool) {
	d.mu.Lock()
	a, ok := d.answers[q.Session]
	d.mu.Unlock()
	ok = ok && a.account == q.Account
	if ok && a.state.State == link.AskRefused {
		return a.state, true
	}
	for _, e := range d.grants.Live(q.UserID) {
		mine := e.Grant.Holder != nil && e.Grant.Holder.Account == q.Account
		if mine && (e.Grant.Session == q.Session || ok && a.grant == e.Grant.ID) {
			return link.AskState{State: link.AskAllowed, User: q.User, Grant: &e.Signed}, true
		}
	}
	return link.AskState{}, false
}

// askable keeps the known scopes, once each, in the order people read them. Administrator rights can
// be lent by root only.
func askable(in []grant.Scope, userID string) []grant.Scope {
	var out []grant.Scope
	for _, s := range grant.Scopes {
		if slices.Contains(in, s) && (s != grant.Admin || grants.RootID(userID)) {
			out = append(out, s)
		}
	}
	return out
}

// whom finds the person whom a question concerns: the one it names, else the one who filed the
// ticket, else the one at the screen.
func (d *device) whom(ctx context.Context, a link.Ask) (inventory.Seat, bool) {
	seats := d.seats(ctx)
	pick := func(match func(inventory.Seat) bool) (inventory.Seat, bool) {
		rank := []string{inventory.Active, inventory.Text, inventory.Locked, inventory.Away}
		for _, state := range rank {
			for _, s := range slices.Backward(seats) {
				if s.State == state && match(s) {
					return s, true
				}
			}
		}
		return inventory.Seat{}, false
	}
	if a.User != "" {
		return pick(func(s inventory.Seat) bool { return s.User == a.User || s.UserID == a.User })
	}
	if a.Ticket != "" {
		if i, err := d.outbox.Get(ctx, a.Ticket); err == nil {
			if s, ok := pick(func(s inventory.Seat) bool { return s.UserID == i.UserID }); ok {
				return s, ok
			}
		}
	}
	return pick(func(inventory.Seat) bool { return true })
}

// standing finds a standing grant that covers what is asked.
func (d *device) standing(a link.Ask) (grants.Entry, bool) {
	for _, e := range d.grants.Live("") {
		if !e.Grant.Standing || e.Grant.Holder != nil && e.Grant.Holder.Account != a.Account {
			continue
		}
		if !slices.ContainsFunc(a.Scopes, func(s grant.Scope) bool { return !e.Grant.Has(s) }) {
			return e, true
		}
	}
	return grants.Entry{}, false
}

// preapproved makes the grant that the filer of a ticket has allowed in the form, for looking and
// helping only. Its time runs from the filing.
func (d *device) preapproved(ctx context.Context, q consent.Question) (grants.Entry, bool) {
	if q.Ticket == "" || q.UserID == "" || slices.ContainsFunc(q.Scopes, func(s grant.Scope) bool { return s != grant.View && s != grant.Control }) {
		return grants.Entry{}, false
	}
	i, err := d.outbox.Get(ctx, q.Ticket)
	if err != nil || i.UserID != q.UserID || i.Status == "closed" {
		return grants.Entry{}, false
	}
	budget := int64(grant.MaxBudget)
	if i.Help != "ticket" {
		h, err := strconv.Atoi(i.Help)
		if err != nil {
			return grants.Entry{}, false
		}
		budget = int64(h) * 3600
	}
	if spent := (d.s.o.Clock.Now().UnixMicro() - i.MadeAt) / 1e6; spent < 0 || spent >= budget {
		return grants.Entry{}, false
	} else {
		budget -= spent
	}
	if d.withdrawn(ctx, q) {
		return grants.Entry{}, false
	}
	e, err := d.grants.Make(ctx, grant.Grant{
		As: q.User, AsID: q.UserID, Scopes: q.Scopes, Ticket: q.Ticket, Budget: budget, MadeBy: i.User, How: "form",
		Holder: &grant.Holder{Account: q.Account, Name: q.Name, Organization: q.Organization},
	}, q.TicketNumber)
	if err != nil {
		d.log.Error("grant of the form can't be kept", "ticket", q.Ticket, "err", err)
		return grants.Entry{}, false
	}
	return e, true
}

// withdrawn reports whether the person has ended a permission for this ticket since: then the form's
// word no longer holds and they are asked.
func (d *device) withdrawn(ctx context.Context, q consent.Question) bool {
	es, err := d.ledger.Entries(ctx, q.UserID, "")
	return err != nil || slices.ContainsFunc(es, func(e ledger.Entry) bool {
		return e.Event == ledger.GrantEnded && e.Ticket == q.Ticket && e.Code != grants.Budget
	})
}

// questionRow fills a ledger row with what a question says.
func questionRow(ev ledger.Event, q consent.Question, row ledger.Entry) ledger.Entry {
	row.Event, row.Session, row.Account, row.Name, row.Organization = ev, clip(q.Session), clip(q.Account), q.Name, q.Organization
	row.Ticket, row.TicketNumber, row.As, row.AsID = clip(q.Ticket), q.TicketNumber, q.User, q.UserID
	if row.Scopes == nil {
		row.Scopes = q.Scopes
	}
	return row
}

// shown tells the server that the person has the question on the screen.
func (d *device) shown(ctx context.Context, q consent.Question, first bool) {
	if first {
		d.record(ctx, questionRow(ledger.Shown, q, ledger.Entry{}))
	}
	d.send(link.TypeAskState, link.AskState{
		Session: q.Session, State: link.AskShown, User: q.User, Words: q.Words,
		Seconds: int(q.Deadline.Sub(d.s.o.Clock.Now()).Seconds()), Since: q.ShownAt.UnixMicro(),
	})
}

// errNoTicket is returned where a permission should last as long as a ticket that there is not.
var errNoTicket = errors.New("there is no ticket to bind the permission to")

// bound makes of the person's choice what the grant is bound to.
func bound(q consent.Question, choice string) (g grant.Grant, err error) {
	g = grant.Grant{As: q.User, AsID: q.UserID, Holder: &grant.Holder{Account: q.Account, Name: q.Name, Organization: q.Organization}}
	switch choice {
	case "", "session":
		g.Session, g.Budget = q.Session, sessionBudget
		return g, nil
	case "ticket":
		if q.Ticket == "" {
			return g, errNoTicket
		}
		g.Ticket, g.Budget = q.Ticket, grant.MaxBudget
		return g, nil
	case "1", "2", "4", "8", "24", "48":
		h, err := strconv.Atoi(choice)
		if err != nil {
			return g, err
		}
		g.Budget = int64(h) * 3600
		if q.Ticket != "" {
			g.Ticket = q.Ticket
		} else {
			g.Session = q.Session
		}
		return g, nil
	}
	return g, errChoice
}

var errChoice = errors.New("a permission lasts for session, ticket or 1, 2, 4, 8, 24 or 48 hours")

// allow is a person's yes: the only way from a question to a grant.
func (d *device) allow(ctx context.Context, q consent.Question, a localapi.Allow, by string) error {
	how := a.How
	if how != "window" && how != "page" {
		how = "command"
	}
	g, err := bound(q, a.For)
	if err != nil {
		return err
	}
	g.Scopes, g.MadeBy, g.How = a.Scopes, by, how
	var made grants.Entry
	err = d.desk.Allow(q.Session, q.UserID, a.Scopes, func(q consent.Question) error {
		var err error
		if made, err = d.grants.Make(ctx, g, q.TicketNumber); err != nil {
			return err
		}
		// What can't be recorded is not allowed.
		err = d.record(ctx, grantEntry(ledger.Allowed, made, ledger.Entry{
			Session: q.Session, Ticket: q.Ticket, TicketNumber: q.TicketNumber, Scopes: a.Scopes, By: by}))
		if err != nil {
			d.grants.End(ctx, made.Grant.ID, grants.Revoked)
		}
		return err
	})
	if err != nil {
		return err
	}
	d.log.Info("permission given", "session", q.Session, "grant", made.Grant.ID, "actor", q.Account)
	d.madeGrant(made)
	st := link.AskState{Session: q.Session, State: link.AskAllowed, User: q.User, Words: q.Words, Grant: &made.Signed}
	d.remember(q, made.Grant.ID, st)
	d.send(link.TypeAskState, st)
	return nil
}

// madeGrant tells everybody of a new grant.
func (d *device) madeGrant(e grants.Entry) {
	d.send(link.TypeGrant, link.GrantMade{Grant: e.Signed})
	d.budgetsChanged()
	d.s.trays.dirty()
}

// answered carries on when a question is over. A yes was carried out by allow already.
func (d *device) answered(o consent.Outcome) {
	ctx := context.Background()
	q := o.Question
	switch o.Result {
	case consent.Refused, consent.Silence:
		d.record(ctx, questionRow(ledger.Refused, q, ledger.Entry{Code: o.Reason}))
		st := link.AskState{Session: q.Session, State: link.AskRefused, Reason: o.Reason, User: q.User}
		d.remember(q, "", st)
		d.send(link.TypeAskState, st)
		d.log.Info("question refused", "session", q.Session, "actor", q.Account, "code", o.Reason)
	case consent.Withdrawn:
		d.record(ctx, questionRow(ledger.Refused, q, ledger.Entry{Code: "withdrawn"}))
	}
	c := d.consentView(q)
	c.Over = o.Result
	d.s.trays.tell(q.UserID, localapi.Event{Type: "consent_over", Consent: &c})
	d.refreeze()
	d.s.trays.dirty()
}

// consentView is a question as windows and commands show it.
func (d *device) consentView(q consent.Question) localapi.Consent {
	left := q.Deadline.Sub(d.s.o.Clock.Now())
	return localapi.Consent{
		Session: q.Session, Name: q.Name, Organization: q.Organization,
		Ticket: q.Ticket, TicketNumber: q.TicketNumber, TicketTitle: q.TicketTitle,
		Scopes: q.Scopes, Words: q.Words, Deadline: q.Deadline.UnixMicro(), Seconds: max(0, int(left.Round(time.Second).Seconds())),
		MoreTime: consent.Prolongs - q.Prolonged, Standing: q.Standing,
	}
}

// language is a user's: of the newest desktop, else of the system.
func (s *Service) language(userID string) string {
	if l := s.trays.language(userID); l != "" {
		return catalogue.Match(l)
	}
	return catalogue.Match(systemLocale())
}

// systemLocale is the language that the computer was set up in.
func systemLocale() string {
	for _, v := range []string{"LC_ALL", "LANG"} {
		if l := os.Getenv(v); l != "" {
			return l
		}
	}
	for _, p := range []string{"/etc/default/locale", "/etc/locale.conf"} {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			if v, ok := strings.CutPrefix(line, "LANG="); ok {
				return strings.Trim(v, `"' `)
			}
		}
	}
	return ""
}
