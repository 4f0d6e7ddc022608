package api

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// Ticket is a ticket as lists show it.
type Ticket struct {
	ID           string        `json:"id"`
	Number       int64         `json:"number"`
	Title        string        `json:"title"`
	Subject      string        `json:"subject"`
	Status       ticket.Status `json:"status" enum:"new,open,waiting,paused,resolved,closed"`
	Reason       string        `json:"reason,omitempty"`
	Severity     api.Severity  `json:"severity" enum:"critical,high,medium,low"`
	Category     string        `json:"category,omitempty"`
	Organization string        `json:"organization"`
	Email        string        `json:"email"`
	Name         string        `json:"name,omitempty"`
	Phone        string        `json:"phone,omitempty"`
	Confirmed    bool          `json:"address_confirmed"`
	Device       string        `json:"device,omitempty"`
	DeviceName   string        `json:"device_name,omitempty"`
	OSUser       string        `json:"os_user,omitempty"`
	Language     string        `json:"language"`
	Source       ticket.Source `json:"source"`
	Assignee     string        `json:"assignee,omitempty"`
	AssigneeName string        `json:"assignee_name,omitempty"`
	CreatedAt    int64         `json:"created_at"`
	UpdatedAt    int64         `json:"updated_at"`
	ResolvedAt   int64         `json:"resolved_at,omitempty"`
	ClosedAt     int64         `json:"closed_at,omitempty"`
	PausedUntil  int64         `json:"paused_until,omitempty"`
	Held         bool          `json:"held,omitempty" doc:"waits for an approval"`
	Queue        string        `json:"queue,omitempty"`
	AnswerBy     int64         `json:"answer_by,omitempty" doc:"when the first answer is expected"`
	SolutionBy   int64         `json:"solution_by,omitempty" doc:"when the solution is expected; missing while the ticket waits"`
	Missed       bool          `json:"missed,omitempty" doc:"an answer or the solution came too late, or is late now"`
}

func ticketOf(k ticket.Ticket) Ticket {
	return Ticket{ID: string(k.ID), Number: k.Number, Title: k.Title, Subject: k.Subject, Status: k.Status, Reason: k.Reason, Severity: k.Severity, Category: k.Category,
		Organization: k.OrganizationName, Email: k.Requester.Email, Name: k.Requester.Name, Phone: k.Requester.Phone, Confirmed: k.Requester.Confirmed,
		Device: string(k.Device), DeviceName: k.DeviceName, OSUser: k.OSUser, Language: k.Language, Source: k.Source, Assignee: string(k.Assignee), AssigneeName: k.AssigneeName,
		CreatedAt: micros(k.CreatedAt), UpdatedAt: micros(k.UpdatedAt), ResolvedAt: micros(k.ResolvedAt), ClosedAt: micros(k.ClosedAt),
		PausedUntil: micros(k.PausedUntil), Held: k.Held(), Queue: string(k.Queue), AnswerBy: micros(k.Promise.FirstDue), SolutionBy: micros(k.Promise.Due), Missed: k.Promise.Missed}
}

// TicketPage is one ticket with all that belongs to it.
type TicketPage struct {
	Ticket
	Text     string          `json:"text"`
	Answers  api.Answers     `json:"answers"`
	Facts    []api.Fact      `json:"facts"`
	Files    []File          `json:"files"`
	Messages []Message       `json:"messages"`
	Moves    []ticket.Status `json:"moves"` // into which the caller may put it now
}

// File is a file of a ticket.
type File struct {
	ID      string `json:"id"`
	Index   int    `json:"index"` // as a device announced it; -1 for others
	Name    string `json:"name"`
	Type    string `json:"type,omitempty"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"` // hex
	Arrived bool   `json:"arrived"`
}

// Message is an entry of a ticket's thread.
type Message struct {
	ID        string             `json:"id"`
	Kind      ticket.MessageKind `json:"kind" enum:"message,note,event"`
	Author    string             `json:"author,omitempty"`
	Name      string             `json:"name"`
	FromStaff bool               `json:"from_staff"`
	Text      string             `json:"text"`
	At        int64              `json:"at"`
	Files     []File             `json:"files,omitempty"`
}

func filesOf(list []ticket.File) []File {
	out := make([]File, 0, len(list))
	for _, f := range list {
		out = append(out, File{ID: f.ID, Index: f.Index, Name: f.Name, Type: f.Type, Size: f.Size, SHA256: f.SHA256, Arrived: f.Arrived})
	}
	return out
}

func messageOf(m ticket.Message) Message {
	return Message{ID: m.ID, Kind: m.Kind, Author: string(m.Author), Name: m.AuthorName, FromStaff: m.FromStaff, Text: m.Text, At: micros(m.At), Files: filesOf(m.Files)}
}

func pageOf(v deskticket.View) TicketPage {
	p := TicketPage{Ticket: ticketOf(v.Ticket), Text: v.Ticket.Text, Answers: v.Ticket.Answers, Facts: v.Ticket.Facts, Files: filesOf(v.Files), Messages: []Message{}, Moves: v.Moves}
	for _, m := range v.Messages {
		p.Messages = append(p.Messages, messageOf(m))
	}
	return p
}

// NewTicket is the body of POST /tickets.
type NewTicket struct {
	Title    string       `json:"title"`
	Text     string       `json:"text,omitempty"`
	Category string       `json:"category,omitempty"`
	Severity api.Severity `json:"severity,omitempty" doc:"critical, high, medium or low; without it the answers decide"`
	Answers  api.Answers  `json:"answers,omitzero"`
	Device   string       `json:"device,omitempty"`
	Language string       `json:"language,omitempty"`
	Email    string       `json:"email,omitempty" doc:"Staff only: of the person it is for"`
	Name     string       `json:"name,omitempty" doc:"Staff only"`
	Phone    string       `json:"phone,omitempty" doc:"Staff only"`
}

// TicketPath names a ticket.
type TicketPath struct {
	ID string `path:"id" maxLength:"36" doc:"The ticket's id or number"`
}

// load finds a ticket by its id or number.
func (s *server) load(ctx context.Context, a desk.Actor, id string) (deskticket.View, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		return s.Tickets.ByNumber(ctx, a, n)
	}
	return s.Tickets.Get(ctx, a, ticket.ID(id))
}

// find is load for operations that need the id only.
func (s *server) find(ctx context.Context, a desk.Actor, id string) (ticket.ID, error) {
	if api.ValidID(id) {
		return ticket.ID(id), nil
	}
	v, err := s.load(ctx, a, id)
	return v.Ticket.ID, err
}

// tickets registers what accounts do with tickets.
func (s *server) tickets() {
	type listInput struct {
		Limit        int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
		Cursor       string `query:"cursor" maxLength:"20" doc:"next of the page before"`
		Status       string `query:"status" enum:"new,open,waiting,paused,resolved,closed"`
		Query        string `query:"query" maxLength:"200" doc:"words, or #number"`
		Mine         bool   `query:"mine" doc:"staff: assigned to me; others: filed by me"`
		Organization string `query:"organization" maxLength:"36"`
		Device       string `query:"device" maxLength:"36"`
	}
	type ticketList struct {
		Tickets []Ticket       `json:"tickets"`
		Counts  map[string]int `json:"counts" doc:"by status, of the same filter without status"`
		Next    string         `json:"next" doc:"cursor of the next page; empty after the last"`
	}
	register(s, operation("list-tickets", http.MethodGet, "/tickets", "List tickets, the newest first", http.StatusOK), func(ctx context.Context, in *listInput) (*body[ticketList], error) {
		f := deskticket.Filter{Status: ticket.Status(in.Status), Query: in.Query, Mine: in.Mine, Organization: account.OrganizationID(in.Organization), Device: device.ID(in.Device),
			Sort: ticket.ByNumber, Limit: in.Limit + 1}
		if in.Cursor != "" {
			n, err := strconv.ParseInt(in.Cursor, 10, 64)
			if err != nil || n < 1 {
				return nil, desk.Fail(desk.ErrInvalid)
			}
			f.Before = n
		}
		l, err := s.Tickets.List(ctx, actorOf(ctx), f)
		if err != nil {
			return nil, err
		}
		out := ticketList{Tickets: []Ticket{}, Counts: map[string]int{}}
		for status, n := range l.Counts {
			out.Counts[string(status)] = n
		}
		for i, k := range l.Tickets {
			if i == in.Limit {
				out.Next = strconv.FormatInt(l.Tickets[i-1].Number, 10)
				break
			}
			out.Tickets = append(out.Tickets, ticketOf(k))
		}
		return &body[ticketList]{out}, nil
	})

	type createInput struct {
		Key  string `header:"Idempotency-Key" maxLength:"200" doc:"The same key with the same body makes one ticket and gives the same answer"`
		Body NewTicket
	}
	register(s, operation("create-ticket", http.MethodPost, "/tickets", "File a ticket", http.StatusCreated), func(ctx context.Context, in *createInput) (*body[Ticket], error) {
		b := in.Body
		d := deskticket.Draft{Title: b.Title, Text: b.Text, Category: b.Category, Severity: b.Severity, Answers: b.Answers, Device: device.ID(b.Device), Language: b.Language, Key: in.Key}
		if b.Email != "" || b.Name != "" || b.Phone != "" {
			d.For = &ticket.Contact{Email: b.Email, Name: b.Name, Phone: b.Phone}
		}
		k, err := s.Tickets.Create(ctx, actorOf(ctx), d)
		return &body[Ticket]{ticketOf(k)}, err
	})

	register(s, operation("get-ticket", http.MethodGet, "/tickets/{id}", "One ticket with its thread and files", http.StatusOK), func(ctx context.Context, in *TicketPath) (*body[TicketPage], error) {
		v, err := s.load(ctx, actorOf(ctx), in.ID)
		return &body[TicketPage]{pageOf(v)}, err
	})

	type sayInput struct {
		TicketPath
		Body struct {
			Text  string   `json:"text"`
			Files []string `json:"files,omitempty" maxItems:"50" doc:"ids of files that were attached before"`
		}
	}
	say := func(f func(context.Context, desk.Actor, ticket.ID, string, ...string) (ticket.Message, error)) func(context.Context, *sayInput) (*body[Message], error) {
		return func(ctx context.Context, in *sayInput) (*body[Message], error) {
			id, err := s.find(ctx, actorOf(ctx), in.ID)
			if err != nil {
				return nil, err
			}
			m, err := f(ctx, actorOf(ctx), id, in.Body.Text, in.Body.Files...)
			return &body[Message]{messageOf(m)}, err
		}
	}
	register(s, operation("answer-ticket", http.MethodPost, "/tickets/{id}/messages", "Add a public message", http.StatusCreated), say(s.Tickets.Answer))
	register(s, operation("note-ticket", http.MethodPost, "/tickets/{id}/notes", "Add an internal note; staff only", http.StatusCreated), say(s.Tickets.Note))

	type statusInput struct {
		TicketPath
		Body struct {
			Status ticket.Status `json:"status" enum:"new,open,waiting,paused,resolved,closed"`
			Reason string        `json:"reason,omitempty" doc:"needed for paused"`
			Until  int64         `json:"until,omitempty" doc:"needed for paused: when it comes back by itself"`
		}
	}
	changeTicket(s, "set-ticket-status", "/tickets/{id}/status", "Move a ticket", func(in *statusInput) string { return in.ID }, func(ctx context.Context, a desk.Actor, id ticket.ID, in *statusInput) error {
		m := ticket.Move{To: in.Body.Status, Reason: in.Body.Reason}
		if in.Body.Until != 0 {
			m.Until = time.UnixMicro(in.Body.Until).UTC()
		}
		return s.Tickets.Move(ctx, a, id, m)
	})

	type severityInput struct {
		TicketPath
		Body struct {
			Severity api.Severity `json:"severity" enum:"critical,high,medium,low"`
		}
	}
	changeTicket(s, "set-ticket-severity", "/tickets/{id}/severity", "Set a ticket's severity; staff only", func(in *severityInput) string { return in.ID }, func(ctx context.Context, a desk.Actor, id ticket.ID, in *severityInput) error {
		return s.Tickets.ChangeSeverity(ctx, a, id, in.Body.Severity)
	})

	type assigneeInput struct {
		TicketPath
		Body struct {
			Account string `json:"account" doc:"id; empty: nobody"`
		}
	}
	changeTicket(s, "set-ticket-assignee", "/tickets/{id}/assignee", "Give a ticket to a technician; staff only", func(in *assigneeInput) string { return in.ID }, func(ctx context.Context, a desk.Actor, id ticket.ID, in *assigneeInput) error {
		return s.Tickets.Assign(ctx, a, id, account.ID(in.Body.Account))
	})

	attach := operation("attach-file", http.MethodPost, "/tickets/{id}/files", "Attach a file: its bytes as the body, its name in Content-Disposition or ?name=", http.StatusCreated)
	s.stream(attach, false, func(w http.ResponseWriter, r *http.Request, a desk.Actor) error {
		id, err := s.find(r.Context(), a, r.PathValue("id"))
		if err != nil {
			return err
		}
		name := r.URL.Query().Get("name")
		if _, p, err := mime.ParseMediaType(r.Header.Get("Content-Disposition")); err == nil && p["filename"] != "" {
			name = p["filename"]
		}
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxFileSize)
		f, err := s.Tickets.Attach(r.Context(), a, id, name, r.Header.Get("Content-Type"), r.Body)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusCreated, filesOf([]ticket.File{f})[0])
	})

	s.stream(operation("get-file", http.MethodGet, "/tickets/{id}/files/{file}", "The bytes of a file", http.StatusOK), false, func(w http.ResponseWriter, r *http.Request, a desk.Actor) error {
		f, bytes, err := s.Tickets.OpenFile(r.Context(), a, r.PathValue("file"))
		if err != nil {
			return err
		}
		defer bytes.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
		w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
		http.ServeContent(w, r, "", f.At, bytes)
		return nil
	})
}

// changeTicket registers a PUT that changes one property of a ticket and answers with the ticket.
func changeTicket[I any](s *server, id, path, summary string, which func(*I) string, f func(context.Context, desk.Actor, ticket.ID, *I) error) {
	register(s, operation(id, http.MethodPut, path, summary, http.StatusOK), func(ctx context.Context, in *I) (*body[TicketPage], error) {
		a := actorOf(ctx)
		id, err := s.find(ctx, a, which(in))
		if err != nil {
			return nil, err
		}
		if err := f(ctx, a, id, in); err != nil {
			return nil, err
		}
		v, err := s.Tickets.Get(ctx, a, id)
		return &body[TicketPage]{pageOf(v)}, err
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
	return nil
}
