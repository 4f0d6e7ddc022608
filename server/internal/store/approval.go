package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket"
)

const approvals = `select a.id, a.ticket_id, a.organization_id, a.kind, a.change, a.hash, a.state, a.asked_by, a.asked_at, a.clock_at, a.reminded, a.expires_at, a.decided_by, coalesce(d.name, ''), a.decided_at,
	a.reason, a.started_at, t.number, t.title, a.version from approvals a join tickets t on t.id = a.ticket_id left join accounts d on d.id = a.decided_by`

func scanApproval(r row) (a ticket.Approval, err error) {
	var change string
	var asked, clock, expires, decided, started int64
	if err := r.Scan(&a.ID, &a.Ticket, &a.Organization, &a.Kind, &change, &a.Hash, &a.State, &a.AskedBy, &asked, &clock, &a.Reminded, &expires, &a.DecidedBy, &a.DecidedName, &decided,
		&a.Reason, &started, &a.Number, &a.Title, &a.Version); err != nil {
		return a, err
	}
	a.AskedAt, a.ClockAt, a.ExpiresAt, a.DecidedAt, a.StartedAt = at(asked), at(clock), at(expires), at(decided), at(started)
	return a, decode("change of approval "+a.ID, change, &a.Requested)
}

const (
	approval          = approvals + ` where a.id = $1`
	approvalsOf       = approvals + ` where a.ticket_id = $1 order by a.asked_at, a.id`
	waitingApprovals  = approvals + ` where a.organization_id = $1 and a.state in ('waiting', 'question') order by a.asked_at, a.id limit 200`
	decidedApprovals  = approvals + ` where a.organization_id = $1 and a.decided_at >= $2 order by a.decided_at desc, a.id limit 50`
	returnedApprovals = approvals + ` where a.decided_at >= $1 and a.decided_at > 0 and a.state in ('approved', 'declined', 'expired') and a.started_at = 0 and t.status <> 'closed' and t.status <> 'resolved' order by a.decided_at desc limit 100`
)

// Approval loads one approval.
func (t Tx) Approval(id string) (ticket.Approval, error) { return one(t, scanApproval, approval, id) }

// Approvals lists the approvals of a ticket, the oldest first.
func (t Tx) Approvals(id ticket.ID) ([]ticket.Approval, error) {
	return all(t, scanApproval, approvalsOf, id)
}

// WaitingApprovals lists what an organization has to decide, the oldest first.
func (t Tx) WaitingApprovals(o account.OrganizationID) ([]ticket.Approval, error) {
	return all(t, scanApproval, waitingApprovals, o)
}

// DecidedApprovals lists what an organization has decided since a time, the newest first.
func (t Tx) DecidedApprovals(o account.OrganizationID, since time.Time) ([]ticket.Approval, error) {
	return all(t, scanApproval, decidedApprovals, o, micros(since))
}

// ReturnedApprovals lists what was decided since a time and is not worked on yet, the newest first.
func (t Tx) ReturnedApprovals(since time.Time) ([]ticket.Approval, error) {
	return all(t, scanApproval, returnedApprovals, micros(since))
}

const (
	insertApproval = `insert into approvals (id, ticket_id, organization_id, kind, change, hash, state, asked_by, asked_at, clock_at, reminded, expires_at, decided_by, decided_at, reason, started_at, version)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1)`
	updateApproval = `update approvals set state = $1, clock_at = $2, reminded = $3, expires_at = $4, decided_by = $5, decided_at = $6, reason = $7, started_at = $8, version = version + 1 where id = $9 and version = $10`
)

// SaveApproval stores a new approval when its Version is 0, else what may change of it, or ErrStale.
func (t Tx) SaveApproval(a ticket.Approval) error {
	if a.Version == 0 {
		_, err := t.exec(insertApproval, a.ID, a.Ticket, a.Organization, a.Kind, jsonText(a.Requested), a.Hash, a.State, a.AskedBy, micros(a.AskedAt), micros(a.ClockAt), a.Reminded, micros(a.ExpiresAt),
			a.DecidedBy, micros(a.DecidedAt), a.Reason, micros(a.StartedAt))
		return err
	}
	return t.change(updateApproval, a.State, micros(a.ClockAt), a.Reminded, micros(a.ExpiresAt), a.DecidedBy, micros(a.DecidedAt), a.Reason, micros(a.StartedAt), a.ID, a.Version)
}

const (
	approvalKinds    = `select kinds from approval_rules where organization_id = $1`
	setApprovalKinds = `insert into approval_rules (organization_id, kinds) values ($1, $2) on conflict (organization_id) do update set kinds = excluded.kinds`
)

// ApprovalKinds lists the kinds of change that wait for an approval in an organization.
func (t Tx) ApprovalKinds(o account.OrganizationID) ([]ticket.CategoryKind, error) {
	list, err := all(t, func(r row) (s string, err error) { return s, r.Scan(&s) }, approvalKinds, o)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var kinds []ticket.CategoryKind
	return kinds, decode("approval rules of organization "+string(o), list[0], &kinds)
}

// SetApprovalKinds sets them.
func (t Tx) SetApprovalKinds(o account.OrganizationID, kinds []ticket.CategoryKind) error {
	_, err := t.exec(setApprovalKinds, o, jsonText(kinds))
	return err
}
