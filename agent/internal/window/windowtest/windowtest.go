// Package windowtest is a device service for the tests and pictures of tray, windows and pages: it
// speaks the local API on a socket of its own, with the state that a test gives it. It decides
// nothing; what it was told is recorded.
package windowtest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// File is a file that was put.
type File struct {
	Name, Type string
	Bytes      []byte
}

// Session is the id of the example's session and question.
const Session = "019a0000-0000-7000-8000-000000000001"

// Call is one request, as method and path.
type Call struct {
	Line string
	Body string
}

// Service is the recorded service. Its fields are changed under Lock.
type Service struct {
	sync.Mutex
	Path     string
	Status   localapi.Status
	Report   localapi.Report
	Filed    localapi.Filed // answers a ticket
	Refuse   *api.Problem   // answers a ticket instead
	Tickets  []localapi.Filed
	Consents map[string]localapi.Consent
	Grants   []localapi.Grant
	Sessions []localapi.Session
	Visits   []localapi.Visit
	Owners   []api.Owner
	Code     string    // that the portal has shown, for Offered
	Offered  api.Owner // whom the code belongs to

	Calls   []Call
	Sent    []localapi.Ticket
	Files   []File
	Allowed []localapi.Allow
	Refused []localapi.Refuse
	Trays   []localapi.Tray

	events map[chan localapi.Event]bool
	l      net.Listener
}

// New serves on a socket in dir until Close.
func New(dir string) (*Service, error) {
	s := &Service{Path: filepath.Join(dir, "agent.sock"), events: map[chan localapi.Event]bool{}, Consents: map[string]localapi.Consent{}}
	l, err := localapi.Listen(s.Path)
	if err != nil {
		return nil, err
	}
	s.l = l
	mux := http.NewServeMux()
	s.routes(mux)
	srv := &http.Server{Handler: s.record(mux), ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(l)
	return s, nil
}

// Start is New for a test.
func Start(t testing.TB) *Service {
	t.Helper()
	s, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close ends it.
func (s *Service) Close() { s.l.Close() }

// Tell sends an event to every tray.
func (s *Service) Tell(e localapi.Event) {
	s.Lock()
	defer s.Unlock()
	for c := range s.events {
		select {
		case c <- e:
		default:
		}
	}
}

// Said returns the recorded lines that begin with prefix.
func (s *Service) Said(prefix string) []Call {
	s.Lock()
	defer s.Unlock()
	var out []Call
	for _, c := range s.Calls {
		if strings.HasPrefix(c.Line, prefix) {
			out = append(out, c)
		}
	}
	return out
}

func (s *Service) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		s.Lock()
		s.Calls = append(s.Calls, Call{r.Method + " " + r.URL.RequestURI(), string(b)})
		s.Unlock()
		next.ServeHTTP(w, r)
	})
}

func give(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func problem(w http.ResponseWriter, p api.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func take[T any](r *http.Request) T {
	var v T
	json.NewDecoder(r.Body).Decode(&v)
	return v
}

func (s *Service) routes(mux *http.ServeMux) {
	get := func(path string, v func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			s.Lock()
			defer s.Unlock()
			give(w, v())
		})
	}
	get("/v1/status", func() any { return s.Status })
	get("/v1/report", func() any { return s.Report })
	get("/v1/tickets", func() any { return s.Tickets })
	get("/v1/grants", func() any { return s.Grants })
	get("/v1/sessions", func() any { return s.Sessions })
	get("/v1/history", func() any { return s.Visits })
	get("/v1/owners", func() any { return s.Owners })
	for path, claim := range map[string]bool{"/v1/owners/look": false, "/v1/owners": true} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			s.Lock()
			defer s.Unlock()
			if take[localapi.Link](r).Code != s.Code || s.Code == "" {
				problem(w, api.Problem{Status: 422, Code: api.CodeInvalid, Detail: "This code is not known here."})
				return
			}
			if claim {
				s.Code = ""
			}
			give(w, s.Offered)
		})
	}
	mux.HandleFunc("DELETE /v1/owners/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		s.Owners = slices.DeleteFunc(s.Owners, func(o api.Owner) bool { return o.ID == r.PathValue("id") })
	})
	mux.HandleFunc("POST /v1/tray", s.tray)
	mux.HandleFunc("POST /v1/guard", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("PUT /v1/tickets/{id}/files/{index}", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		name, _ := url.PathUnescape(r.Header.Get("Traybell-Name"))
		s.Lock()
		s.Files = append(s.Files, File{name, r.Header.Get("Content-Type"), b})
		s.Unlock()
	})
	mux.HandleFunc("POST /v1/tickets", func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		if s.Refuse != nil {
			problem(w, *s.Refuse)
			return
		}
		s.Sent = append(s.Sent, take[localapi.Ticket](r))
		give(w, s.Filed)
	})
	mux.HandleFunc("GET /v1/consents/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		c, ok := s.Consents[r.PathValue("id")]
		if !ok {
			problem(w, api.Problem{Status: 410, Code: localapi.CodeGone, Title: "Gone"})
			return
		}
		give(w, c)
	})
	mux.HandleFunc("POST /v1/consents/{id}/{verb}", func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		id := r.PathValue("id")
		c, ok := s.Consents[id]
		if !ok || c.Over != "" {
			problem(w, api.Problem{Status: 410, Code: localapi.CodeGone, Title: "Gone"})
			return
		}
		switch r.PathValue("verb") {
		case "allow":
			s.Allowed = append(s.Allowed, take[localapi.Allow](r))
			c.Over = "allowed"
		case "refuse":
			s.Refused = append(s.Refused, take[localapi.Refuse](r))
			c.Over = "refused"
		case "more-time":
			c.Seconds += 60
			c.MoreTime--
		}
		s.Consents[id] = c
		give(w, c)
	})
	mux.HandleFunc("DELETE /v1/grants/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		s.Grants = slices.DeleteFunc(s.Grants, func(g localapi.Grant) bool { return g.ID == r.PathValue("id") })
	})
	mux.HandleFunc("POST /v1/sessions/{id}/{verb}", func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		defer s.Unlock()
		for i := range s.Sessions {
			if s.Sessions[i].ID == r.PathValue("id") {
				s.Sessions[i].Paused = r.PathValue("verb") == "pause"
			}
		}
	})
	mux.HandleFunc("POST /v1/end", func(w http.ResponseWriter, r *http.Request) {
		e := take[localapi.End](r)
		s.Lock()
		defer s.Unlock()
		s.Sessions = slices.DeleteFunc(s.Sessions, func(x localapi.Session) bool { return e.Session == "" || x.ID == e.Session })
		if e.Session == "" {
			s.Grants = nil
		}
	})
}

func (s *Service) tray(w http.ResponseWriter, r *http.Request) {
	c := make(chan localapi.Event, 16)
	s.Lock()
	s.Trays = append(s.Trays, take[localapi.Tray](r))
	st := s.Status
	s.events[c] = true
	s.Unlock()
	defer func() {
		s.Lock()
		delete(s.events, c)
		s.Unlock()
	}()
	e := json.NewEncoder(w)
	e.Encode(localapi.Event{Type: "status", Status: &st})
	w.(http.Flusher).Flush()
	for {
		select {
		case ev := <-c:
			e.Encode(ev)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// Example fills the service with the story of the pictures: Studio Verdi's Lucia Rossi, and Anna
// Bianchi of Rossi IT, who helps.
func (s *Service) Example(now time.Time) {
	s.Lock()
	defer s.Unlock()
	at := func(d time.Duration) int64 { return now.Add(d).UnixMicro() }
	s.Status = localapi.Status{State: localapi.StateReady, Version: "0.1.0", Name: "PC-114", Server: "https://help.rossi-it.example:8443",
		Organization: "Studio Verdi", Provider: "Rossi IT", SupportPhone: "051 123 4567", PortalURL: "https://help.rossi-it.example:8443", Since: at(-3 * time.Hour)}
	s.Report = localapi.Report{Facts: link.Facts{Hostname: "PC-114", OSName: "Debian GNU/Linux 12"}, Fields: []localapi.Field{
		{Name: "agent.report.hostname", Seen: "agent.seen.support", Value: "PC-114"}, {Name: "agent.report.os", Seen: "agent.seen.support", Value: "Debian GNU/Linux 12, amd64"}, {Name: "agent.report.memory", Seen: "agent.seen.support", Value: "16 GB"},
		{Name: "agent.report.disk", Seen: "agent.seen.support", Value: "512 GB, 201 GB free"}, {Name: "agent.report.addresses", Seen: "agent.seen.support", Value: "192.168.1.114"}, {Name: "agent.report.agent", Seen: "agent.seen.support", Value: "0.1.0"}}}
	s.Filed = localapi.Filed{State: localapi.FiledSent, Number: 1042}
	s.Tickets = []localapi.Filed{
		{State: localapi.FiledKept, Title: "Scanner does not wake up", MadeAt: at(-10 * time.Minute)},
		{State: localapi.FiledSent, Number: 1042, Title: "Printer on the 2nd floor prints blank pages", Status: "open", Answered: "Anna Bianchi", MadeAt: at(-2 * time.Hour), FilesPending: 1},
		{State: localapi.FiledSent, Number: 1017, Title: "New keyboard", Status: "paused", MadeAt: at(-80 * time.Hour)},
		{State: localapi.FiledSent, Number: 987, Title: "Mail password", Status: "closed", MadeAt: at(-500 * time.Hour)},
	}
	s.Consents[Session] = localapi.Consent{Session: Session, Name: "Anna Bianchi", Organization: "Rossi IT", Ticket: "t1", TicketNumber: 1042,
		TicketTitle: "Printer on the 2nd floor prints blank pages", Scopes: []grant.Scope{grant.View, grant.Control}, Words: "OLIVE TRAIN SILVER MOON",
		Seconds: 58, MoreTime: 10, Deadline: at(58 * time.Second)}
	s.Sessions = []localapi.Session{{ID: Session, Name: "Anna Bianchi", Organization: "Rossi IT", As: "lucia", TicketNumber: 1042, Since: at(-4 * time.Minute), Sees: true, Controls: true}}
	s.Grants = []localapi.Grant{
		{ID: "g1", Holder: "Anna Bianchi", Organization: "Rossi IT", Scopes: []grant.Scope{grant.View, grant.Control}, Ticket: "t1", TicketNumber: 1042, Left: 604000},
		{ID: "g2", Holder: "Marco Neri", Organization: "Rossi IT", Scopes: []grant.Scope{grant.View}, Left: 6000},
	}
	s.Code, s.Offered = "K7QMX-2XFDP", api.Owner{ID: "w2", Name: "Lucia Rossi", Email: "l.rossi@studioverdi.it"}
	s.Visits = []localapi.Visit{
		{Session: Session, Name: "Anna Bianchi", Organization: "Rossi IT", TicketNumber: 1042, From: at(-4 * time.Minute), Did: []string{"saw", "controlled"}},
		{Session: "s0", Name: "Marco Neri", Organization: "Rossi IT", TicketNumber: 1017, From: at(-80 * time.Hour), To: at(-80*time.Hour + 16*time.Minute), Did: []string{"saw"}, EndedBy: "person"},
		{Session: "sx", Name: "Paul Grey", Organization: "Nordkraft", From: at(-90 * time.Hour), Refused: "no"},
	}
}
