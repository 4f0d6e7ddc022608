// Package api holds the bodies of the REST interface under /api/v1 that cross between
// programs of ours, and the codes of its errors. The server publishes the whole interface as
// OpenAPI at /api/v1/openapi.json; this package is what agent, CLI and server must agree on.
//
// Readers ignore unknown fields. Times are Unix microseconds. Errors are RFC 9457 problems.
package api

import "fmt"

// Problem is an application/problem+json error (RFC 9457). Detail says what happened, what was
// kept and what to do next; Code is stable and machine-readable.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code,omitempty"`
}

// Error implements error.
func (p Problem) Error() string {
	if p.Detail != "" {
		return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
	}
	return fmt.Sprintf("%s (%d %s)", p.Title, p.Status, p.Code)
}

// Codes of problems.
const (
	CodeInvalid      = "invalid"        // 400, 422: the request can't be accepted as it is
	CodeUnauthorized = "unauthorized"   // 401: no or no valid token
	CodeDenied       = "denied"         // 403
	CodeNotFound     = "not_found"      // 404
	CodeConflict     = "conflict"       // 409: same id, other content; or a version that has moved on
	CodeTooLarge     = "too_large"      // 413
	CodeLimited      = "rate_limited"   // 429
	CodeUnavailable  = "unavailable"    // 503, 507: try again later; nothing was stored
	CodeOffline      = "device_offline" // 409: the device has no link now
)

// Severity of a ticket.
type Severity string

// The severities, from the most to the least urgent.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
)

// Severities lists them in that order.
var Severities = []Severity{Critical, High, Medium, Low}

// Answers are the form's two plain questions and its security box.
type Answers struct {
	Working  string `json:"working,omitempty"`  // yes, difficult, no
	Affected string `json:"affected,omitempty"` // me, several, unknown
	Security bool   `json:"security,omitempty"`
}

// Severity proposes a severity: a security problem, or no work for several people, is Critical;
// no work High; difficulty or several people Medium; everything else Low.
func (a Answers) Severity() Severity {
	switch {
	case a.Security, a.Working == "no" && a.Affected == "several":
		return Critical
	case a.Working == "no":
		return High
	case a.Working == "difficult", a.Affected == "several":
		return Medium
	}
	return Low
}

// Bounds of a ticket. Texts are UTF-8; lengths are runes.
const (
	MaxTitle    = 200
	MaxText     = 50_000
	MaxName     = 200
	MaxEmail    = 254
	MaxFiles    = 50
	MaxFileName = 200
	MaxFileSize = 200 << 20 // bytes, from a device
)

// DeviceTicket is the body of POST /api/v1/device/tickets: a ticket filed at a device. The same ID
// with the same body gives the first answer again, another body is a conflict.
type DeviceTicket struct {
	ID       string       `json:"id"` // UUIDv7, made when the form opened
	Title    string       `json:"title"`
	Text     string       `json:"text,omitempty"`
	Category string       `json:"category,omitempty"`
	Severity Severity     `json:"severity,omitempty"`
	Answers  Answers      `json:"answers,omitzero"`
	Email    string       `json:"email"`
	Name     string       `json:"name,omitempty"`
	Phone    string       `json:"phone,omitempty"`
	OSUser   string       `json:"os_user"` // told by the kernel, not by the form
	OSUserID string       `json:"os_user_id"`
	Language string       `json:"language,omitempty"` // en, it, de, ru
	MadeAt   int64        `json:"made_at"`            // device clock
	Facts    []Fact       `json:"facts,omitempty"`    // what was shown as "sent with it"
	Files    []TicketFile `json:"files,omitempty"`
}

// Fact is one line of "What is sent with it".
type Fact struct {
	Name  string `json:"name"` // catalogue key or plain text
	Value string `json:"value"`
}

// TicketFile announces a file that follows by PUT /api/v1/device/tickets/{id}/files/{index}.
type TicketFile struct {
	Index  int    `json:"index"`
	Name   string `json:"name"`
	Type   string `json:"type,omitempty"`
	Size   int64  `json:"size"`
	SHA256 []byte `json:"sha256"`
}

// TicketFiled answers DeviceTicket.
type TicketFiled struct {
	ID      string `json:"id"`
	Number  int64  `json:"number"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Missing []int  `json:"missing,omitempty"` // indices of files that have not arrived yet

	AnswerBy int64 `json:"answer_by,omitempty"` // when the first answer is expected; 0: nothing is promised
}

// SimilarAsked is the body of POST /api/v1/device/tickets/similar: the title that somebody types, and whom the
// form is for.
type SimilarAsked struct {
	Title string `json:"title"`
	Email string `json:"email,omitempty"`
}

// Similar answers SimilarAsked. It names nobody and shows no text of others.
type Similar struct {
	Ticket  string `json:"ticket,omitempty"`  // to which the asker can be added with MeToo
	Own     int64  `json:"own,omitempty"`     // number of the asker's own ticket that is alike
	People  int    `json:"people"`            // others of the organization who reported it today
	Since   int64  `json:"since,omitempty"`   // when the newest of them did
	Working bool   `json:"working,omitempty"` // somebody works on it
}

// MeToo is the body of POST /api/v1/device/tickets/{id}/me-too: who has the same trouble.
type MeToo struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
}
