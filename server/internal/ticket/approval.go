package ticket

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket/sla"
)

// Errors about approvals. Each is a sentence that a person can be shown.
var (
	ErrChange     = errors.New("an approval needs the exact change and the name of whom it is for")
	ErrDecided    = errors.New("this was decided already")
	ErrChanged    = errors.New("the request was changed since; look at what it says now")
	ErrLate       = errors.New("nobody decided in time; the request has expired")
	ErrApprover   = errors.New("this is not yours to decide")
	ErrOwnBenefit = errors.New("nobody approves for themselves or for their own benefit; a deputy decides")
	ErrWhy        = errors.New("a reason is needed, so that the requester understands")
	ErrStarted    = errors.New("work has started; the decision can't be taken back any more")
)

// ApprovalState is where an approval stands.
type ApprovalState string

// The states of an approval.
const (
	Awaited  ApprovalState = "waiting"  // for the responsible person or a deputy
	Asking   ApprovalState = "question" // for an answer to the approver's question; its clock stands
	Approved ApprovalState = "approved"
	Declined ApprovalState = "declined"
	Expired  ApprovalState = "expired" // nobody decided in time
	Voided   ApprovalState = "voided"  // the request was changed or withdrawn
	Recalled ApprovalState = "recalled"
)

// Requested is what an approval is about, as the approver reads it.
type Requested struct {
	What   string `json:"what"`              // the exact change: resource and right, from and to
	For    string `json:"for"`               // whom it benefits, by name
	Email  string `json:"email,omitempty"`   // their address, by which nobody approves for themselves
	Reason string `json:"reason,omitempty"`  // why it is needed
	EndsOn string `json:"ends_on,omitempty"` // the day on which a right is taken back; empty: never
}

// Check reports why r can't be asked for.
func (r Requested) Check() error {
	if strings.TrimSpace(r.What) == "" || !text(r.What, 2000) || strings.TrimSpace(r.For) == "" || !text(r.For, account.MaxName) || !text(r.Reason, 2000) {
		return ErrChange
	}
	if r.EndsOn != "" {
		if _, err := time.Parse(time.DateOnly, r.EndsOn); err != nil {
			return ErrChange
		}
	}
	if r.Email != "" {
		if _, err := account.NormalizeEmail(r.Email); err != nil {
			return ErrEmail
		}
	}
	return nil
}

// Approval is one question to the customer's responsible person.
type Approval struct {
	ID           string
	Ticket       ID
	Organization account.OrganizationID
	Kind         CategoryKind
	Requested    Requested
	Hash         string // of ticket, kind and Requested: a decision names it
	State        ApprovalState
	AskedBy      account.ID // empty: the form itself
	AskedAt      time.Time
	ClockAt      time.Time // Asking: since when the clock stands
	Reminded     int
	ExpiresAt    time.Time
	DecidedBy    account.ID
	DecidedName  string // of DecidedBy
	DecidedAt    time.Time
	Reason       string
	StartedAt    time.Time // zero: work has not started
	Number       int64     // of its ticket
	Title        string
	Version      int64
}

// Open reports whether the approval is still to be decided.
func (a Approval) Open() bool { return a.State == Awaited || a.State == Asking }

// Days after which an approver is reminded, and after which nobody has decided: working days.
const (
	RemindTwice = 2
	ExpireDays  = 3
)

// NewApproval asks for what is requested. hours are those in which its days count.
func NewApproval(k Ticket, kind CategoryKind, r Requested, by account.ID, hours *sla.Hours, now time.Time) (Approval, error) {
	if !slices.Contains(ApprovalKinds, kind) {
		return Approval{}, ErrKind
	}
	r.What, r.For, r.Reason = strings.TrimSpace(r.What), strings.TrimSpace(r.For), strings.TrimSpace(r.Reason)
	if r.Email != "" {
		var err error
		if r.Email, err = account.NormalizeEmail(r.Email); err != nil {
			return Approval{}, ErrEmail
		}
	}
	if err := r.Check(); err != nil {
		return Approval{}, err
	}
	b, err := json.Marshal(struct {
		Ticket ID
		Kind   CategoryKind
		Requested
	}{k.ID, kind, r})
	if err != nil {
		return Approval{}, err
	}
	sum := sha256.Sum256(b)
	return Approval{Ticket: k.ID, Organization: k.Organization, Kind: kind, Requested: r, Hash: hex.EncodeToString(sum[:16]), State: Awaited, AskedBy: by, AskedAt: now,
		ExpiresAt: hours.Days(now, ExpireDays), Number: k.Number, Title: k.Title}, nil
}

// MayDecide reports why a person may not decide a, or nil. approvers are those who stand for the organization's
// responsible persons today.
func (a Approval) MayDecide(k Ticket, who account.Account, approvers []account.ID) error {
	switch {
	case who.Organization != a.Organization || who.Role.Staff() || !slices.Contains(approvers, who.ID):
		return ErrApprover
	case who.ID == k.Requester.Account || who.ID == a.AskedBy, who.Email == a.Requested.Email, strings.EqualFold(who.Email, k.Requester.Email):
		return ErrOwnBenefit
	}
	return nil
}

// open reports why a can't be decided now.
func (a Approval) open(hash string, now time.Time) error {
	switch {
	case a.State == Voided, a.Open() && hash != a.Hash:
		return ErrChanged
	case a.State == Expired, a.State == Awaited && !now.Before(a.ExpiresAt):
		return ErrLate
	case !a.Open():
		return ErrDecided
	}
	return nil
}

// Decide approves or declines. hash is that of the text which the approver has read; declining needs a reason.
func (a Approval) Decide(yes bool, hash, reason string, by account.Account, now time.Time) (Approval, error) {
	if err := a.open(hash, now); err != nil {
		return a, err
	}
	reason = strings.TrimSpace(reason)
	if !text(reason, 2000) || !yes && reason == "" {
		return a, ErrWhy
	}
	a.State = Declined
	if yes {
		a.State = Approved
	}
	a.DecidedBy, a.DecidedName, a.DecidedAt, a.Reason = by.ID, by.Name, now, reason
	return a, nil
}

// Question lets the clock stand until somebody has answered the approver.
func (a Approval) Question(hash string, now time.Time) (Approval, error) {
	if err := a.open(hash, now); err != nil {
		return a, err
	}
	if a.State == Awaited {
		a.State, a.ClockAt = Asking, now
	}
	return a, nil
}

// Replied lets the clock go on after a question; otherwise a is as it was.
func (a Approval) Replied(now time.Time) Approval {
	if a.State == Asking {
		a.State, a.ExpiresAt, a.ClockAt = Awaited, a.ExpiresAt.Add(now.Sub(a.ClockAt)), time.Time{}
	}
	return a
}

// Void ends an open approval because the request was changed or withdrawn.
func (a Approval) Void(now time.Time) Approval {
	if a.Open() {
		a.State, a.DecidedAt = Voided, now
	}
	return a
}

// Recall takes a decision back until work has started. It must then be decided anew.
func (a Approval) Recall(by account.ID, now time.Time) (Approval, error) {
	switch {
	case a.State != Approved && a.State != Declined || a.DecidedBy != by:
		return a, ErrApprover
	case !a.StartedAt.IsZero():
		return a, ErrStarted
	}
	a.State, a.DecidedAt = Recalled, now
	return a, nil
}

// Start notes that work has started, after which an approval can't be taken back.
func (a Approval) Start(now time.Time) (Approval, bool) {
	if a.State != Approved && a.State != Declined || !a.StartedAt.IsZero() {
		return a, false
	}
	a.StartedAt = now
	return a, true
}

// Tick is what happens to an open approval by itself: after each of two working days the approvers are
// reminded, after three it has expired. next is when to look again; zero: never.
func (a Approval) Tick(hours *sla.Hours, now time.Time) (b Approval, remind bool, next time.Time) {
	if a.State != Awaited {
		return a, false, time.Time{}
	}
	if !now.Before(a.ExpiresAt) {
		a.State, a.DecidedAt = Expired, now
		return a, false, time.Time{}
	}
	for a.Reminded < RemindTwice && !now.Before(hours.Days(a.AskedAt, a.Reminded+1)) {
		a.Reminded++
		remind = true
	}
	next = a.ExpiresAt
	if a.Reminded < RemindTwice {
		if t := hours.Days(a.AskedAt, a.Reminded+1); t.Before(next) {
			next = t
		}
	}
	return a, remind, next
}
