package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
)

// Session is a technician's use of one device, from the question to the end.
type Session struct {
	ID           string        `json:"id"`
	Device       string        `json:"device"`
	DeviceName   string        `json:"device_name"`
	Ticket       string        `json:"ticket"`
	TicketNumber int64         `json:"ticket_number"`
	TicketTitle  string        `json:"ticket_title"`
	Account      string        `json:"account"`
	Name         string        `json:"name" doc:"of the technician"`
	Scopes       []grant.Scope `json:"scopes" doc:"what was asked for"`
	Granted      []grant.Scope `json:"granted,omitempty" doc:"what was allowed"`
	State        access.State  `json:"state" enum:"asking,nobody,locked,allowed,active,paused,ended,refused,withdrawn"`
	User         string        `json:"user,omitempty" doc:"OS user who has the question, or whose rights are lent"`
	UserSince    int64         `json:"user_since,omitempty" doc:"locked or away since"`
	Words        string        `json:"words,omitempty" doc:"to be read out on the telephone"`
	Deadline     int64         `json:"deadline,omitempty" doc:"of the answer"`
	Reason       string        `json:"reason,omitempty" doc:"of a refusal, or who or what ended it"`
	Outcome      string        `json:"outcome,omitempty"`
	Used         []string      `json:"used" doc:"kinds of channel that were opened, and control"`
	AskedAt      int64         `json:"asked_at"`
	AllowedAt    int64         `json:"allowed_at,omitempty"`
	EndedAt      int64         `json:"ended_at,omitempty"`
	Until        int64         `json:"until,omitempty" doc:"end of the permission; only of one session that is open"`
}

func sessionOf(s access.Session) Session {
	used := s.Used
	if used == nil {
		used = []string{}
	}
	return Session{
		ID: string(s.ID), Device: string(s.Device), DeviceName: s.DeviceName, Ticket: string(s.Ticket), TicketNumber: s.TicketNumber, TicketTitle: s.TicketTitle,
		Account: string(s.Account), Name: s.Name, Scopes: s.Scopes, Granted: s.Granted, State: s.State, User: s.User, UserSince: micros(s.UserSince), Words: s.Words,
		Deadline: micros(s.Deadline), Reason: s.Reason, Outcome: s.Outcome, Used: used, AskedAt: micros(s.AskedAt), AllowedAt: micros(s.AllowedAt), EndedAt: micros(s.EndedAt),
	}
}

// Grant is the server's copy of a permission that lives on a device.
type Grant struct {
	ID           string         `json:"id"`
	Device       string         `json:"device"`
	As           string         `json:"as" doc:"OS user whose rights it lends"`
	Scopes       []grant.Scope  `json:"scopes"`
	Targets      []string       `json:"targets,omitempty"`
	Account      string         `json:"account,omitempty" doc:"the holder; empty: any technician"`
	Name         string         `json:"name,omitempty"`
	Organization string         `json:"organization,omitempty"`
	Session      string         `json:"session,omitempty"`
	Ticket       string         `json:"ticket,omitempty"`
	Standing     bool           `json:"standing,omitempty"`
	Attended     grant.Attended `json:"attended,omitempty"`
	MadeAt       int64          `json:"made_at" doc:"device clock"`
	MadeBy       string         `json:"made_by"`
	How          string         `json:"how"`
	Left         int64          `json:"left" doc:"seconds of the budget; -1: until somebody ends it"`
	Signed       grant.Signed   `json:"signed" doc:"the exact bytes and the device's signature over them"`
}

func grantOf(g access.Grant, now time.Time) Grant {
	left, forever := g.Left(now)
	out := Grant{
		ID: g.ID, Device: g.Device, As: g.As, Scopes: g.Scopes, Targets: g.Targets, Session: g.Session, Ticket: g.Ticket, Standing: g.Standing, Attended: g.Attended,
		MadeAt: g.MadeAt, MadeBy: g.MadeBy, How: g.How, Left: int64(left / time.Second), Signed: g.Signed,
	}
	if forever {
		out.Left = -1
	}
	if h := g.Holder; h != nil {
		out.Account, out.Name, out.Organization = h.Account, h.Name, h.Organization
	}
	return out
}

// reach makes a problem out of an error about reaching a device. Its code is the refusal itself, because
// programs act on it: grant_expired is another thing than scope_not_granted.
func (s *server) reach(err error, language string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, relay.ErrOffline) {
		return newProblem(http.StatusConflict, api.CodeOffline, deskaccess.Text(api.CodeOffline, "", language))
	}
	if r, ok := errors.AsType[*relay.RefusedError](err); ok {
		return newProblem(http.StatusConflict, r.Code, deskaccess.Text(r.Code, r.Text, language))
	}
	p := s.fail(err, language)
	if e, ok := errors.AsType[*desk.Error](err); ok && (p.Status == http.StatusForbidden || p.Status == http.StatusConflict) && e.Code != "" {
		p.Code = e.Code
	}
	return p
}

// sessions registers what accounts do with sessions and grants.
func (s *server) sessions() {
	type createInput struct {
		Body struct {
			Device string        `json:"device" maxLength:"36"`
			Ticket string        `json:"ticket,omitempty" maxLength:"36" doc:"id or number; without it a ticket is made"`
			Scopes []grant.Scope `json:"scopes,omitempty" maxItems:"7" doc:"default view and control"`
		}
	}
	register(s, operation("ask", http.MethodPost, "/sessions", "Ask the person at a device; staff only", http.StatusCreated), func(ctx context.Context, in *createInput) (*body[Session], error) {
		var id ticket.ID
		if in.Body.Ticket != "" {
			var err error
			if id, err = s.find(ctx, actorOf(ctx), in.Body.Ticket); err != nil {
				return nil, err
			}
		}
		se, err := s.Access.Ask(ctx, actorOf(ctx), device.ID(in.Body.Device), id, in.Body.Scopes)
		if err != nil {
			return nil, s.reach(err, languageOf(ctx))
		}
		return &body[Session]{sessionOf(se)}, nil
	})

	type listInput struct {
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
		Cursor string `query:"cursor" maxLength:"36" doc:"next of the page before"`
		Device string `query:"device" maxLength:"36"`
		Ticket string `query:"ticket" maxLength:"36" doc:"id or number"`
		Mine   bool   `query:"mine" doc:"my own"`
		Live   bool   `query:"live" doc:"not over"`
	}
	type list struct {
		Sessions []Session `json:"sessions"`
		Next     string    `json:"next" doc:"cursor of the next page; empty after the last"`
	}
	register(s, operation("list-sessions", http.MethodGet, "/sessions", "List sessions, the newest first", http.StatusOK), func(ctx context.Context, in *listInput) (*body[list], error) {
		f := deskaccess.Filter{Device: device.ID(in.Device), Mine: in.Mine, Live: in.Live, Before: access.SessionID(in.Cursor), Limit: in.Limit}
		if in.Ticket != "" {
			var err error
			if f.Ticket, err = s.find(ctx, actorOf(ctx), in.Ticket); err != nil {
				return nil, err
			}
		}
		sessions, err := s.Access.Sessions(ctx, actorOf(ctx), f)
		if err != nil {
			return nil, err
		}
		out := list{Sessions: []Session{}}
		for _, se := range sessions {
			out.Sessions = append(out.Sessions, sessionOf(se))
		}
		if len(sessions) == in.Limit {
			out.Next = out.Sessions[in.Limit-1].ID
		}
		return &body[list]{out}, nil
	})

	type sessionInput struct {
		ID string `path:"id" maxLength:"36"`
	}
	register(s, operation("get-session", http.MethodGet, "/sessions/{id}", "One session", http.StatusOK), func(ctx context.Context, in *sessionInput) (*body[Session], error) {
		se, err := s.Access.Session(ctx, actorOf(ctx), access.SessionID(in.ID))
		if err != nil {
			return nil, err
		}
		out := sessionOf(se)
		if se.State.Open() {
			p, err := s.Access.Permission(ctx, actorOf(ctx), se.ID)
			if err != nil && !errors.Is(err, desk.ErrNotFound) {
				return nil, err
			}
			out.Until = micros(p.Until)
		}
		return &body[Session]{out}, nil
	})

	type leaveInput struct {
		ID   string `path:"id" maxLength:"36"`
		Body struct {
			Outcome string `json:"outcome,omitempty" doc:"solved, later or nothing; the ticket is not changed by it"`
		}
	}
	register(s, operation("leave", http.MethodPost, "/sessions/{id}/leave", "Take a question back, or leave a session", http.StatusNoContent), func(ctx context.Context, in *leaveInput) (*none, error) {
		return nil, s.Access.Leave(ctx, actorOf(ctx), access.SessionID(in.ID), in.Body.Outcome)
	})

	type grantsInput struct {
		Device string `query:"device" maxLength:"36"`
	}
	type grants struct {
		Grants []Grant `json:"grants"`
	}
	register(s, operation("list-grants", http.MethodGet, "/grants", "The server's copies of live permissions; staff only", http.StatusOK), func(ctx context.Context, in *grantsInput) (*body[grants], error) {
		copies, err := s.Access.Grants(ctx, actorOf(ctx), device.ID(in.Device))
		if err != nil {
			return nil, err
		}
		out := grants{Grants: []Grant{}}
		now := time.Now()
		for _, g := range copies {
			out.Grants = append(out.Grants, grantOf(g, now))
		}
		return &body[grants]{out}, nil
	})

	s.mux.HandleFunc("GET "+Prefix+"/sessions/{id}/channels/{kind}", s.channel)
}

// channel joins a program's connection with a channel of a session: after the answer 101 the bytes are
// the channel's own. Query: control=1 asks for input too, target=HOST:PORT is for forward. A refusal is a problem
// with the refusal's code, before the upgrade.
func (s *server) channel(w http.ResponseWriter, r *http.Request) {
	lang := language(r.Header.Get("Accept-Language"))
	refuse := func(err error) {
		p := s.reach(err, lang).(*problem)
		w.Header().Set("Content-Type", p.ContentType(""))
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p)
	}
	a, err := s.caller(r)
	if err != nil {
		p := s.fail(err, lang)
		if p.Status == http.StatusForbidden {
			p = newProblem(http.StatusUnauthorized, api.CodeUnauthorized, p.Detail)
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		refuse(p)
		return
	}
	if !relay.Upgrading(r) {
		relay.Upgrade(w, r) // which says what is missing
		return
	}
	ctx := r.Context()
	q := r.URL.Query()
	id := access.SessionID(r.PathValue("id"))
	offer, err := s.Access.AuthoriseTarget(ctx, a, id, grant.Kind(r.PathValue("kind")), q.Get("control") == "1", q.Get("target"))
	if err != nil {
		refuse(err)
		return
	}
	se, err := s.Access.Session(ctx, a, id)
	if err != nil {
		refuse(err)
		return
	}
	far, err := s.Relay.Open(ctx, string(se.Device), offer)
	if err != nil {
		refuse(err)
		return
	}
	near, err := relay.Upgrade(w, r)
	if err != nil {
		far.Close()
		return
	}
	// The request's context ends with this function; the splice ends with either side, or with the relay.
	up, down, err := relay.Splice(context.WithoutCancel(ctx), near, far)
	s.Logger.Debug("channel ended", "session", id, "up", up, "down", down, "err", err)
}
