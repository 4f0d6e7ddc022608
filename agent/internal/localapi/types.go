package localapi

import (
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// The local API is HTTP/1.1 with JSON bodies over the agent's socket. The kernel says which OS user
// speaks; everything is limited to what concerns that user (root sees and does all). Errors are
// api.Problem with one of the codes of api or of this file.
//
//	GET    /v1/status                         Status
//	GET    /v1/report                         Report: what this computer reports, field by field
//	POST   /v1/tray            Tray           stream of Event, one JSON object a line, until the client leaves;
//	                                          its life is the registration of this desktop
//	PUT    /v1/tickets/{id}/files/{index}     body: the file's bytes; header Traybell-Name (URL-escaped), Content-Type
//	POST   /v1/tickets?wait=5s Ticket         Filed; files must have been put before
//	GET    /v1/tickets                        []Filed, newest first, of this OS user only
//	GET    /v1/tickets/{id}                   Filed
//	GET    /v1/consents                       []Consent waiting for this OS user
//	GET    /v1/consents/{session}             Consent
//	POST   /v1/consents/{session}/shown       (empty) the window is drawn
//	POST   /v1/consents/{session}/allow       Allow
//	POST   /v1/consents/{session}/refuse      Refuse
//	POST   /v1/consents/{session}/more-time   Consent
//	GET    /v1/grants                         []Grant live, of this OS user
//	POST   /v1/grants          NewGrant       Grant; standing only for root
//	DELETE /v1/grants/{id}                    (empty)
//	GET    /v1/sessions                       []Session live, of this OS user
//	POST   /v1/sessions/{id}/pause            (empty)
//	POST   /v1/sessions/{id}/resume           (empty)
//	POST   /v1/end             End            ends everything of this OS user at once, offline too
//	POST   /v1/owners/look     Link           api.Owner: whose account a code of the portal belongs to
//	POST   /v1/owners          Link           api.Owner: this OS user's yes; the account's follows in the portal
//	GET    /v1/owners                         []api.Owner of this OS user
//	DELETE /v1/owners/{id}                    (empty)
//	GET    /v1/history                        []Visit, newest first, of this OS user

// Codes of the local API beside those of package api.
const (
	CodeNotEnrolled = "not_enrolled" // this computer belongs to no server yet
	CodeDiskFull    = "disk_full"    // neither sent nor kept
	CodeGone        = "gone"         // the question is over
	CodeFromSession = "from_session" // the caller descends from a remote session; on the ledger
	CodeTooSoon     = "too_soon"     // Allow within a second of being drawn
	CodeOffline     = "offline"      // only with the server
	CodeRootOnly    = "root_only"    // only the administrator of this computer
)

// The states of the link as people see it.
const (
	StateReady      = "ready"
	StateOffline    = "offline" // tickets are kept
	StateUnenrolled = "not_enrolled"
)

// Status is what tray and command line show first.
type Status struct {
	State        string    `json:"state"`
	Version      string    `json:"version"`
	Device       string    `json:"device,omitempty"`
	Name         string    `json:"name,omitempty"`   // of this device at the server
	Server       string    `json:"server,omitempty"` // URL
	Organization string    `json:"organization,omitempty"`
	Provider     string    `json:"provider,omitempty"`
	TrayTitle    string    `json:"tray_title,omitempty"` // what the tray calls itself; empty: the organization
	SupportPhone string    `json:"support_phone,omitempty"`
	PortalURL    string    `json:"portal_url,omitempty"`
	Kept         int       `json:"kept"`               // this user's tickets not sent yet
	FilesPending int       `json:"files_pending"`      // this user's files not sent yet
	Since        int64     `json:"since"`              // of State, Unix microseconds
	Error        string    `json:"error,omitempty"`    // why offline, in plain words
	Sessions     []Session `json:"sessions,omitempty"` // live, of this OS user
	Grants       []Grant   `json:"grants,omitempty"`   // live, of this OS user
	Waiting      []Consent `json:"waiting,omitempty"`  // questions for this OS user
	Answers      int       `json:"answers,omitempty"`  // this user's tickets with an answer not yet looked at
}

// Report lists each field that this computer reports, with its value and who sees it.
type Report struct {
	Facts  link.Facts `json:"facts"`
	Fields []Field    `json:"fields"`
}

// Field is one reported value. Name and Seen are catalogue ids.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Seen  string `json:"seen"`
}

// Tray registers a desktop session: where windows of this OS user can be shown.
type Tray struct {
	Display    string `json:"display,omitempty"`
	XAuthority string `json:"xauthority,omitempty"` // opened only by a process of that user, never by the service
	Session    string `json:"session,omitempty"`    // XDG_SESSION_ID or the like
	Desktop    string `json:"desktop"`              // x11, wayland, windows, macos
	Language   string `json:"language"`             // en, it, de, ru
}

// Event is one line of the tray's stream. Status comes first and after every change.
type Event struct {
	Type    string   `json:"type"` // status, consent, consent_over, notice
	Status  *Status  `json:"status,omitempty"`
	Consent *Consent `json:"consent,omitempty"` // consent, consent_over
	Notice  *Notice  `json:"notice,omitempty"`
}

// Notice is a one-line message for the person. ID is a catalogue id (notice.sent, notice.answered, …).
type Notice struct {
	ID     string `json:"id"`
	Ticket string `json:"ticket,omitempty"`
	Number int64  `json:"number,omitempty"`
	Name   string `json:"name,omitempty"`
}

// Ticket is the form as filled in. OS user and language of the record come from the kernel and Language.
type Ticket struct {
	ID       string       `json:"id"` // UUIDv7 made when the form opened
	Title    string       `json:"title"`
	Text     string       `json:"text,omitempty"`
	Category string       `json:"category,omitempty"`
	Severity api.Severity `json:"severity,omitempty"` // empty: proposed from Answers
	Answers  api.Answers  `json:"answers,omitzero"`
	Email    string       `json:"email"`
	Name     string       `json:"name,omitempty"`
	Phone    string       `json:"phone,omitempty"`
	Language string       `json:"language,omitempty"`
	Facts    []api.Fact   `json:"facts,omitempty"`
	Files    int          `json:"files,omitempty"` // how many were put; indices 0…Files-1
	Help     string       `json:"help,omitempty"`  // ask (or empty), ticket, or hours as 1, 2, 4, 8, 24, 48
}

// The states of a filed ticket, the three truths.
const (
	FiledSent    = "sent"
	FiledKept    = "kept"
	FiledRefused = "refused" // with Reason; nothing is kept
)

// Filed tells what became of a ticket. It is also the JSON that `traybell-agent ticket --json` prints.
type Filed struct {
	State        string `json:"state"`
	Number       int64  `json:"number,omitempty"`
	FilesPending int    `json:"files_pending"`
	Reason       string `json:"reason,omitempty"`
	Code         string `json:"code,omitempty"`
	ID           string `json:"id,omitempty"`
	Title        string `json:"title,omitempty"`
	Email        string `json:"email,omitempty"`
	Status       string `json:"status,omitempty"` // at the server, as last told
	MadeAt       int64  `json:"made_at,omitempty"`
	Answered     string `json:"answered,omitempty"` // who answered last, not yet looked at
}

// Consent is a question on the screen. Texts are cleaned and shortened by the service.
type Consent struct {
	Session      string        `json:"session"`
	Name         string        `json:"name"`
	Organization string        `json:"organization"`
	Ticket       string        `json:"ticket,omitempty"`
	TicketNumber int64         `json:"ticket_number,omitempty"`
	TicketTitle  string        `json:"ticket_title,omitempty"`
	Scopes       []grant.Scope `json:"scopes"`
	Words        string        `json:"words"`
	Deadline     int64         `json:"deadline"`           // Unix microseconds
	Seconds      int           `json:"seconds"`            // left
	MoreTime     int           `json:"more_time"`          // how many times it can still be prolonged
	Standing     bool          `json:"standing,omitempty"` // a standing grant exists; the person is asked first
	Over         string        `json:"over,omitempty"`     // consent_over: allowed, refused, silence, withdrawn
}

// Allow is the person's yes.
type Allow struct {
	Scopes []grant.Scope `json:"scopes"` // a subset of what was asked
	For    string        `json:"for"`    // session, ticket, or hours as 1, 2, 4, 8, 24, 48
	How    string        `json:"how"`    // window, page, command
}

// Refuse is the person's no.
type Refuse struct {
	Reason string `json:"reason"` // no, later, unknown_person
}

// Grant is a live permission as people see it.
type Grant struct {
	ID           string        `json:"id"`
	As           string        `json:"as"`
	Holder       string        `json:"holder,omitempty"` // shown name; empty: any technician of the organization
	Organization string        `json:"organization,omitempty"`
	Scopes       []grant.Scope `json:"scopes"`
	Session      string        `json:"session,omitempty"`
	Ticket       string        `json:"ticket,omitempty"`
	TicketNumber int64         `json:"ticket_number,omitempty"`
	Standing     bool          `json:"standing,omitempty"`
	MadeAt       int64         `json:"made_at"`
	Left         int64         `json:"left"` // seconds of the budget; -1: until it is ended
}

// NewGrant is a permission made without a question: standing, by root.
type NewGrant struct {
	Standing bool           `json:"standing"`
	As       string         `json:"as,omitempty"` // OS user whose rights are lent; default root's policy: the caller
	Scopes   []grant.Scope  `json:"scopes"`
	Targets  []string       `json:"targets,omitempty"`
	Attended grant.Attended `json:"attended,omitempty"` // default ask
}

// Session is a visit that goes on.
type Session struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Organization string   `json:"organization"`
	As           string   `json:"as"`
	TicketNumber int64    `json:"ticket_number,omitempty"`
	Since        int64    `json:"since"`
	Open         []string `json:"open,omitempty"` // channel kinds open now
	Sees         bool     `json:"sees"`
	Controls     bool     `json:"controls"`
	Paused       bool     `json:"paused"`
}

// Link is the code by which this OS user links this computer to an account.
type Link struct {
	Code string `json:"code"`
}

// End ends sessions and grants: one session, or everything of this OS user if Session is empty.
type End struct {
	Session string `json:"session,omitempty"`
}

// Visit is one line of "Who was on this computer", from the device's own ledger.
type Visit struct {
	Session      string   `json:"session"`
	Name         string   `json:"name"`
	Organization string   `json:"organization"`
	As           string   `json:"as"`
	TicketNumber int64    `json:"ticket_number,omitempty"`
	From         int64    `json:"from"`
	To           int64    `json:"to,omitempty"` // 0: goes on
	Did          []string `json:"did"`          // saw, controlled, terminal, files …: ids of what was used
	EndedBy      string   `json:"ended_by,omitempty"`
	Refused      string   `json:"refused,omitempty"` // nothing was opened, and why
}
