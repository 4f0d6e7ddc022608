// Package ticket holds the rules about tickets: what may be filed, the six statuses and who moves a
// ticket from one to the other, and what an answer does to it.
//
// It is pure: values and the time go in, a value or a named error comes out. The desk calls it; edges
// use its types. What a contract promises is computed by package sla from Log.
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
	Waiting  Status = "waiting"  // for the requester's answer, or for an approval
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
	ByDue      Sort = "due" // what is due soonest first; live tickets only
	ByNumber   Sort = "number"
	ByStatus   Sort = "status"
	BySubject  Sort = "subject"
	BySeverity Sort = "severity"
)

// Sorts lists them.
var Sorts = []Sort{ByUpdated, ByDue, ByNumber, ByStatus, BySubject, BySeverity}

// Source tells where a ticket was filed.
type Source string

// The sources.
const (
	FromDevice Source = "device"
	FromPortal Source = "portal"
	FromAPI    Source = "api"
	FromMail   Source = "mail"
	FromPhone  Source = "phone" // made by a technician for a caller or for a session
)

// Times of a ticket's life.
const (
	ReopenWithin = 14 * 24 * time.Hour // after Resolved, in which an answer of the requester reopens a ticket
	CloseAfter   = 5                   // working days after Resolved on which a ticket closes by itself
	UndoMerge    = 30 * 24 * time.Hour // in which a merge can be taken back
	PauseAtMost  = 366 * 24 * time.Hour
)

// QueueID is the id of a queue, a UUIDv7.
type QueueID = account.Queue

// WaitsFor tells for whom a ticket in Waiting waits.
type WaitsFor string

// For whom a ticket waits.
const (
	ForRequester WaitsFor = ""
	ForApproval  WaitsFor = "approval" // of the customer's responsible person; nobody works on it meanwhile
)

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
	ErrFollowUp = errors.New("this ticket was solved more than 14 days ago; what is written now makes a new one that follows it")
	ErrHeld     = errors.New("this ticket waits for an approval; until it is decided nobody works on it")
	ErrMerged   = errors.New("this ticket was merged into another one; write there")
	ErrUntil    = errors.New("a date is needed, in the future and within a year, on which the ticket comes back by itself")
	ErrMerge    = errors.New("these tickets can't be merged: both must be of one organization, and neither may be merged already")
	ErrUnmerge  = errors.New("a merge can be taken back within 30 days")
	ErrKind     = errors.New("the kind of a category must be plain, password, security or permission")
	ErrMinutes  = errors.New("time worked is between 1 minute and 24 hours, with a note of at most 2000 characters")
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
	Reason           string    // why it is paused
	PausedUntil      time.Time // zero: not paused
	WaitsFor         WaitsFor
	Queue            QueueID // empty: none
	QueueName        string
	MergedInto       ID // empty: not merged
	Follows          ID // empty: does not follow an older ticket
	Reopened         int
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
	Promise          Promise
	Version          int64
}

// Promise is what the contract has made of the ticket's log when it was last looked at: for lists. The page
// computes it anew.
type Promise struct {
	FirstDue time.Time // the first answer; zero: none is promised, or it was given
	Due      time.Time // the solution; zero: none is promised, or its clock stands
	NextDue  time.Time // a further answer; zero: none is owed
	FirstMet time.Time // when the first answer was given
	Missed   bool      // an answer or the solution came too late, or is late now
	WakeAt   time.Time // when something happens to the ticket by itself; zero: never
}

// Soonest is the promise that runs out first; zero when none runs.
func (p Promise) Soonest() time.Time {
	var soonest time.Time
	for _, t := range []time.Time{p.FirstDue, p.Due, p.NextDue} {
		if !t.IsZero() && (soonest.IsZero() || t.Before(soonest)) {
			soonest = t
		}
	}
	return soonest
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
