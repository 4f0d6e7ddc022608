// Package ticket holds the rules about tickets: what may be filed, the six statuses and who moves a
// ticket from one to the other, and what an answer does to it.
//
// It is pure: values and the time go in, a value or a named error comes out. The desk calls it; edges
// use its types. Working hours, contracts and approvals are not part of it yet.
package ticket

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/api"
)

// ID is the id of a ticket, a UUIDv7 made by whoever files it.
type ID string

// Status is where a ticket stands.
type Status string

// The statuses, in the order in which lists show them.
const (
	New      Status = "new"      // nobody has taken it
	Open     Status = "open"     // somebody works on it
	Waiting  Status = "waiting"  // for the requester's answer
	Paused   Status = "paused"   // planned for later, with a reason
	Resolved Status = "resolved" // done, we think; the requester may say otherwise
	Closed   Status = "closed"   // done; access given for it is over
)

// Statuses lists every status in that order.
var Statuses = []Status{New, Open, Waiting, Paused, Resolved, Closed}

// ParseStatus reads a status's word.
func ParseStatus(s string) (Status, error) {
	if slices.Contains(Statuses, Status(s)) {
		return Status(s), nil
	}
	return "", ErrStatus
}

// Sort is a column by which lists are ordered.
type Sort string

// The columns.
const (
	ByUpdated  Sort = "updated"
	ByNumber   Sort = "number"
	ByStatus   Sort = "status"
	BySubject  Sort = "subject"
	BySeverity Sort = "severity"
)

// Sorts lists them.
var Sorts = []Sort{ByUpdated, ByNumber, ByStatus, BySubject, BySeverity}

// Source tells where a ticket was filed.
type Source string

// The sources.
const (
	FromDevice Source = "device"
	FromPortal Source = "portal"
	FromAPI    Source = "api"
	FromPhone  Source = "phone" // made by a technician for a caller or for a session
)

// ReopenWithin is how long after Resolved an answer of the requester reopens a ticket.
const ReopenWithin = 14 * 24 * time.Hour

// Errors of this package. Each is a sentence that a person can be shown.
var (
	ErrTitle    = errors.New("the title is missing or longer than 200 characters")
	ErrText     = errors.New("the text is missing or longer than 50000 characters")
	ErrEmail    = errors.New("the e-mail address is missing or not an address")
	ErrContact  = errors.New("name or phone is longer than 200 characters")
	ErrSeverity = errors.New("the severity must be critical, high, medium or low")
	ErrStatus   = errors.New("the status must be new, open, waiting, paused, resolved or closed")
	ErrFiles    = errors.New("a ticket takes at most 50 files of at most 200 MB each, numbered without gaps from 0")
	ErrID       = errors.New("the ticket's id must be a UUID")
	ErrFacts    = errors.New("too much was sent with the ticket")
	ErrMove     = errors.New("this ticket can't be put into that status from where it is now")
	ErrReason   = errors.New("a reason is needed, so that the requester can read it")
	ErrNotYours = errors.New("only support can put a ticket into that status")
	ErrClosed   = errors.New("this ticket is closed; file a new one and name this number in it")
)

// Contact is the person a ticket is for.
type Contact struct {
	Account   account.ID // empty: no account belongs to it
	Name      string
	Email     string
	Phone     string
	Confirmed bool // the address belongs to an account or was confirmed by its owner; otherwise it is a claim
}

// Ticket is one request for help.
type Ticket struct {
	ID               ID
	Number           int64
	Organization     account.OrganizationID
	OrganizationName string
	Subject          string // as others read it: "Help request from {organization} / {title}"
	Title            string // as it was typed
	Text             string
	Category         string
	Severity         api.Severity
	Answers          api.Answers
	Status           Status
	Reason           string // why it is paused
	Requester        Contact
	Device           device.ID // empty: not filed from a device
	DeviceName       string
	OSUser           string // who filed it at the device
	OSUserID         string
	Language         string
	Source           Source
	Assignee         account.ID // empty: nobody's
	AssigneeName     string
	Facts            []api.Fact
	CreatedAt        time.Time
	UpdatedAt        time.Time // something happened that a list should move for
	ResolvedAt       time.Time // zero: not resolved
	ClosedAt         time.Time // zero: not closed
	CustomerLast     bool      // the requester spoke last
	Version          int64
}

// MessageKind tells messages from notes.
type MessageKind string

// The kinds of message.
const (
	Public MessageKind = "message" // the requester reads it
	Note   MessageKind = "note"    // internal: never shown or sent to the customer
	Event  MessageKind = "event"   // what happened to the ticket, in the thread's order; Text is a code
)

// Message is one entry of a ticket's thread.
type Message struct {
	ID         string
	Ticket     ID
	Kind       MessageKind
	Author     account.ID // empty: the requester at a device, or the system
	AuthorName string
	FromStaff  bool
	Text       string
	At         time.Time
	Files      []File
}

// File is a file that belongs to a ticket.
type File struct {
	ID      string
	Ticket  ID
	Message string // empty: filed with the ticket
	Index   int    // as announced by a device
	Name    string
	Type    string
	Size    int64
	SHA256  string // hex
	Arrived bool   // its bytes are stored; otherwise they are announced only
	At      time.Time
}

// CheckDeviceTicket checks what a device files.
func CheckDeviceTicket(t api.DeviceTicket) error {
	if !api.ValidID(t.ID) {
		return ErrID
	}
	if err := CheckTitle(t.Title); err != nil {
		return err
	}
	if !text(t.Text, api.MaxText) {
		return ErrText
	}
	if _, err := account.NormalizeEmail(t.Email); err != nil {
		return ErrEmail
	}
	if !text(t.Name, api.MaxName) || !text(t.Phone, api.MaxName) || !text(t.Category, api.MaxName) || !text(t.OSUser, api.MaxName) || !text(t.OSUserID, api.MaxName) {
		return ErrContact
	}
	if t.Severity != "" && !slices.Contains(api.Severities, t.Severity) {
		return ErrSeverity
	}
	if len(t.Facts) > 200 {
		return ErrFacts
	}
	for _, f := range t.Facts {
		if !text(f.Name, api.MaxName) || !text(f.Value, 2000) {
			return ErrFacts
		}
	}
	if len(t.Files) > api.MaxFiles {
		return ErrFiles
	}
	for i, f := range t.Files {
		if f.Index != i || f.Size < 0 || f.Size > api.MaxFileSize || len(f.SHA256) != 32 || f.Name == "" || !text(f.Name, api.MaxFileName) || !text(f.Type, 200) {
			return ErrFiles
		}
	}
	return nil
}

// CheckTitle checks a typed title.
func CheckTitle(s string) error {
	if strings.TrimSpace(s) == "" || !text(s, api.MaxTitle) {
		return ErrTitle
	}
	return nil
}

// CheckText checks a text that must say something.
func CheckText(s string) error {
	if strings.TrimSpace(s) == "" || !text(s, api.MaxText) {
		return ErrText
	}
	return nil
}

// text reports whether s is storable text of at most n characters. PostgreSQL can't store U+0000.
func text(s string, n int) bool {
	return len(s) <= 4*n && utf8.ValidString(s) && utf8.RuneCountInString(s) <= n && !strings.ContainsRune(s, 0)
}

// FileName makes a name that is safe to show and to offer for download out of what a sender typed.
func FileName(s string) string {
	s = strings.ToValidUTF8(s, "")
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > api.MaxFileName {
		s = string(r[len(r)-api.MaxFileName:])
	}
	if s = strings.Trim(s, " ."); s == "" {
		return "file"
	}
	return s
}

// moves are the status changes that staff may make by hand. New is only where a ticket starts.
var moves = map[Status][]Status{
	New:      {Open, Waiting, Paused, Resolved, Closed},
	Open:     {Waiting, Paused, Resolved, Closed},
	Waiting:  {Open, Paused, Resolved, Closed},
	Paused:   {Open, Waiting, Resolved, Closed},
	Resolved: {Open, Closed},
	Closed:   {Open},
}

// Moves lists the statuses into which a person with these rights may put the ticket now. mine says
// that the person is its requester or speaks for its organization.
func (t Ticket) Moves(r account.Rights, mine bool, now time.Time) []Status {
	if r.Has(account.TicketsWork) {
		return moves[t.Status]
	}
	if !mine {
		return nil
	}
	switch t.Status {
	case New, Open, Waiting, Paused:
		return []Status{Closed}
	case Resolved:
		if t.Reopenable(now) {
			return []Status{Open, Closed}
		}
		return []Status{Closed}
	}
	return nil
}

// Reopenable reports whether an answer of the requester still reopens the resolved ticket.
func (t Ticket) Reopenable(now time.Time) bool {
	return t.Status == Resolved && now.Sub(t.ResolvedAt) < ReopenWithin
}

// ChangeStatus puts t into another status. Paused needs a reason. Putting it where it is changes nothing.
func (t Ticket) ChangeStatus(to Status, reason string, r account.Rights, mine bool, now time.Time) (Ticket, error) {
	if !slices.Contains(Statuses, to) {
		return t, ErrStatus
	}
	if to == t.Status {
		return t, nil
	}
	if !slices.Contains(t.Moves(r, mine, now), to) {
		if !r.Has(account.TicketsWork) {
			return t, ErrNotYours
		}
		return t, ErrMove
	}
	if !text(reason, 1000) || to == Paused && strings.TrimSpace(reason) == "" {
		return t, ErrReason
	}
	return t.move(to, strings.TrimSpace(reason), now), nil
}

func (t Ticket) move(to Status, reason string, now time.Time) Ticket {
	t.Status, t.UpdatedAt = to, now
	t.Reason = ""
	if to == Paused {
		t.Reason = reason
	}
	switch to {
	case Resolved:
		t.ResolvedAt = now
	case Closed:
		if t.ResolvedAt.IsZero() {
			t.ResolvedAt = now
		}
		t.ClosedAt = now
	default:
		t.ResolvedAt, t.ClosedAt = time.Time{}, time.Time{}
	}
	return t
}

// Answer applies a public message by staff or requester: staff's first answer opens a new ticket, the
// requester's returns a waiting or recently resolved one to Open. A closed ticket takes none.
func (t Ticket) Answer(staff bool, now time.Time) (Ticket, error) {
	if t.Status == Closed {
		return t, ErrClosed
	}
	t.UpdatedAt = now
	t.CustomerLast = !staff
	switch {
	case staff && t.Status == New:
		t = t.move(Open, "", now)
	case !staff && t.Status == Waiting:
		t = t.move(Open, "", now)
	case !staff && t.Status == Resolved:
		if !t.Reopenable(now) {
			return t, ErrClosed
		}
		t = t.move(Open, "", now)
	}
	return t, nil
}

// Assign gives t to a technician; an empty id gives it to nobody. Taking a new ticket opens it.
func (t Ticket) Assign(to account.ID, name string, now time.Time) (Ticket, error) {
	if t.Status == Closed {
		return t, ErrClosed
	}
	t.Assignee, t.AssigneeName, t.UpdatedAt = to, name, now
	if to != "" && t.Status == New {
		t = t.move(Open, "", now)
	}
	return t, nil
}

// ChangeSeverity sets the severity.
func (t Ticket) ChangeSeverity(s api.Severity, now time.Time) (Ticket, error) {
	if !slices.Contains(api.Severities, s) {
		return t, ErrSeverity
	}
	t.Severity, t.UpdatedAt = s, now
	return t, nil
}
