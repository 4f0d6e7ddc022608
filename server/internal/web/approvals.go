package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/ticket"
)

func isKind(err, kind error) bool { return errors.Is(err, kind) }

// approvalsView lists what waits for the reader's decision, and what was decided.
type approvalsView struct {
	Waiting, Decided []approvalRow
}

type approvalRow struct {
	Href, What, For, Kind string
	State                 string
	When                  when
	Until                 string
}

func (s *Server) approvals(c *call) error {
	waiting, decided, err := s.o.Tickets.Approvals(c.ctx, c.actor)
	if err != nil {
		return err
	}
	var view approvalsView
	row := func(p ticket.Approval) approvalRow {
		what, _, _ := strings.Cut(p.Requested.What, "\n")
		r := approvalRow{Href: "/approvals/" + p.ID, What: what, For: p.Requested.For, Kind: c.T("mail.approval.kind." + string(p.Kind)), State: c.T("tickets.approval." + string(p.State)), When: c.when(p.AskedAt), Until: c.due(p.ExpiresAt)}
		if p.DecidedName != "" {
			r.State = c.T("tickets."+string(p.State)+".by", "Name", p.DecidedName, "When", c.date(p.DecidedAt))
		}
		return r
	}
	for _, p := range waiting {
		view.Waiting = append(view.Waiting, row(p))
	}
	for _, p := range decided {
		view.Decided = append(view.Decided, row(p))
	}
	return c.show("approvals", c.page("approvals", c.T("tickets.approvals"), view))
}

// approvalView is the page on which a responsible person decides. Reading it decides nothing.
type approvalView struct {
	ID, Hash   string
	Facts      []pair
	What       string
	Decide     bool
	Recall     bool
	State      string // what has become of it, when there is nothing to decide
	StateKind  string // of the notice
	StateIcon  string
	Next       string // what can be done now
	Ticket     string // address of the ticket, when the reader may see it
	Number     int64
	Changed    bool // the mail's link was for an earlier text
	Reason     string
	Error      string
	Lead       string
	Unexpected bool
}

func (s *Server) approval(c *call) error { return s.showApproval(c, http.StatusOK, "", nil) }

func (s *Server) showApproval(c *call, status int, reason string, problem error) error {
	v, err := s.o.Tickets.Approval(c.ctx, c.actor, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	p := v.Approval
	view := approvalView{ID: p.ID, Hash: p.Hash, What: p.Requested.What, Decide: v.MayDecide && p.State != ticket.Expired, Recall: v.MayRecall, Number: p.Number, Reason: reason, Lead: c.T("tickets.approval.lead", "Name", v.Asked)}
	view.Facts = []pair{{c.T("mail.approval.for"), p.Requested.For}, {c.T("mail.approval.kind"), c.T("mail.approval.kind." + string(p.Kind))}}
	if p.Requested.EndsOn != "" {
		view.Facts = append(view.Facts, pair{c.T("mail.approval.ends"), c.dayOf(account.Day(p.Requested.EndsOn))})
	}
	if p.Requested.Reason != "" {
		view.Facts = append(view.Facts, pair{c.T("mail.approval.reason"), p.Requested.Reason})
	}
	view.Facts = append(view.Facts, pair{c.T("mail.approval.requester"), v.Requester}, pair{c.T("mail.ticket"), c.T("tickets.numbered", "Number", p.Number, "Title", p.Title)}, pair{c.T("tickets.asked"), c.date(p.AskedAt)})
	if p.Open() {
		view.Facts = append(view.Facts, pair{c.T("tickets.expires"), c.due(p.ExpiresAt)})
	}
	if _, err := s.o.Tickets.ByNumber(c.ctx, c.actor, p.Number); err == nil {
		view.Ticket = c.ticketPath(p.Number)
	}
	old := c.r.URL.Query().Get("v")
	view.Changed = old != "" && old != p.Hash
	view.StateKind, view.StateIcon = "info", "i-info-circle"
	switch {
	case p.State == ticket.Asking:
		view.State = c.T("tickets.approval.question")
	case p.Open() && !view.Decide && errors.Is(v.Why, ticket.ErrOwnBenefit):
		view.State, view.Next, view.StateKind = desk.Text(v.Why, c.Language()), c.T("tickets.approval.deputy"), "warn"
		if v.Why != nil {
			view.State = desk.Text(desk.Fail(v.Why), c.Language())
		}
	case p.Open() && !view.Decide:
		names := strings.Join(v.Approvers, ", ")
		if names == "" {
			view.State, view.Next, view.StateKind = c.T("tickets.waits.nobody"), c.T("tickets.approval.deputy"), "warn"
		} else {
			view.State = c.T("tickets.waits.for", "Names", names, "When", c.date(p.AskedAt))
		}
	case p.State == ticket.Approved:
		view.State, view.StateKind, view.StateIcon = c.T("tickets.approved.by", "Name", p.DecidedName, "When", c.date(p.DecidedAt)), "good", "i-circle-check"
		view.Next = c.T("tickets.approval.told", "Name", v.Asked)
		if v.Started {
			view.Next = c.T("tickets.approval.started")
		}
	case p.State == ticket.Declined:
		view.State = c.T("tickets.declined.by", "Name", p.DecidedName, "When", c.date(p.DecidedAt))
		view.Next = c.T("tickets.approval.told", "Name", v.Asked)
	case p.State == ticket.Expired:
		view.State, view.Next = c.T("tickets.approval.expired"), c.T("tickets.approval.again")
	case p.State == ticket.Voided:
		view.State, view.Next = c.T("tickets.approval.voided"), c.T("tickets.approval.newer")
	case p.State == ticket.Recalled:
		view.State = c.T("tickets.recalled.by", "Name", p.DecidedName)
	}
	if (p.State == ticket.Declined || p.State == ticket.Approved) && p.Reason != "" {
		view.Facts = append(view.Facts, pair{c.T("mail.decided.why"), p.Reason})
	}
	if problem != nil {
		view.Error = desk.Text(problem, c.Language())
	}
	return c.showAs(status, "approval", c.page("approvals", c.T("tickets.approval.title"), view))
}

// decide takes the decision: approve, decline, ask a question, or say that it was not expected. Only a form that a
// signed-in person sends from this portal gets here.
func (s *Server) decide(c *call) error {
	id, get := c.r.PathValue("id"), c.r.PostFormValue
	var err error
	done := get("do")
	switch done {
	case "approve", "decline":
		err = s.o.Tickets.Decide(c.ctx, c.actor, id, get("hash"), done == "approve", get("reason"))
	case "ask":
		err = s.o.Tickets.AskBack(c.ctx, c.actor, id, get("hash"), get("reason"))
	case "unexpected":
		err = s.o.Tickets.Unexpected(c.ctx, c.actor, id, get("hash"))
	case "recall":
		err = s.o.Tickets.Recall(c.ctx, c.actor, id)
	default:
		return desk.Fail(desk.ErrInvalid)
	}
	if problemOf(err) {
		return s.showApproval(c, http.StatusUnprocessableEntity, get("reason"), err)
	}
	if err != nil {
		return err
	}
	return c.redirect("/approvals/" + id)
}

// askApproval holds a ticket until the change was approved.
func (s *Server) askApproval(c *call) error {
	get := c.r.PostFormValue
	return s.onTicket(c, "held", func(k ticket.Ticket) error {
		_, err := s.o.Tickets.AskApproval(c.ctx, c.actor, k.ID, ticket.CategoryKind(get("kind")), ticket.Requested{What: get("what"), For: get("for"), Email: strings.TrimSpace(get("email")), Reason: get("why"), EndsOn: get("ends")})
		return err
	})
}

// approvalCount is how many approvals wait for the reader, for the menu; -1 when they have none to decide ever.
func (c *call) approvalCount() int {
	if c.actor.Staff() {
		return -1
	}
	waiting, decided, err := c.s.o.Tickets.Approvals(c.ctx, c.actor)
	if err != nil || c.actor.Role != account.Responsible && len(waiting) == 0 && len(decided) == 0 {
		return -1
	}
	return len(waiting)
}
