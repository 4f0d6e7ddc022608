package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/agent/internal/consent"
	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/outbox"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/version"
)

const (
	maxForm = 1 << 20          // bytes of a ticket's JSON
	maxWait = 30 * time.Second // a client may wait for the server's number
)

// call is one request of the local API: who asks, what, and in which language they read.
type call struct {
	s    *Service
	d    *device // nil where the computer is not enrolled
	peer localapi.Peer
	w    http.ResponseWriter
	r    *http.Request
	say  *catalogue.Printer
}

// user is whose things the caller sees: everybody's for root, else their own.
func (c *call) user() string {
	if c.peer.Trusted() {
		return ""
	}
	return c.peer.ID
}

// handler routes the local API. Who is allowed what stands in the table: open calls are for every
// OS user at the device, own ones need an enrolled computer, kept ones are refused to whatever a
// technician controls.
func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, f func(*call) error) { mux.Handle(pattern, s.serve(f)) }
	own := func(pattern string, f func(*call) error) {
		open(pattern, func(c *call) error {
			if c.d == nil {
				return c.problem(http.StatusConflict, localapi.CodeNotEnrolled)
			}
			return f(c)
		})
	}
	guarded := func(pattern string, widens bool, f func(*call) error) {
		own(pattern, func(c *call) error {
			if err := c.personOnly(widens); err != nil {
				return err
			}
			return f(c)
		})
	}
	kept := func(pattern string, f func(*call) error) { guarded(pattern, true, f) }
	open("GET /v1/status", (*call).status)
	open("GET /v1/report", (*call).report)
	open("POST /v1/tray", (*call).tray)
	own("PUT /v1/tickets/{id}/files/{index}", (*call).putFile)
	own("POST /v1/tickets", (*call).file)
	own("GET /v1/tickets", (*call).tickets)
	own("GET /v1/tickets/{id}", (*call).ticket)
	guarded("GET /v1/consents", false, (*call).consents)
	guarded("GET /v1/consents/{session}", false, (*call).consent)
	kept("POST /v1/consents/{session}/shown", (*call).shown)
	kept("POST /v1/consents/{session}/allow", (*call).allow)
	guarded("POST /v1/consents/{session}/refuse", false, (*call).refuse) // a no is never hard to say
	kept("POST /v1/consents/{session}/more-time", (*call).moreTime)
	own("GET /v1/grants", (*call).grants)
	kept("POST /v1/grants", (*call).addGrant)
	own("DELETE /v1/grants/{id}", (*call).endGrant)
	own("GET /v1/sessions", (*call).sessions)
	own("POST /v1/sessions/{id}/pause", (*call).pause)
	kept("POST /v1/sessions/{id}/resume", (*call).resume)
	own("POST /v1/end", (*call).end)
	own("GET /v1/history", (*call).history)
	kept("POST /v1/owners/look", (*call).lookOwner)
	kept("POST /v1/owners", (*call).claimOwner)
	own("GET /v1/owners", (*call).owners)
	own("DELETE /v1/owners/{id}", (*call).endOwner)
	kept("POST /v1/guard", (*call).guard)
	return mux
}

func (s *Service) serve(f func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := r.Context().Value(peerKey{}).(localapi.Peer)
		if !ok {
			http.Error(w, "unknown peer", http.StatusForbidden)
			return
		}
		select {
		case <-s.known: // just started: "not enrolled" would be untrue, and the person would believe it
		case <-r.Context().Done():
			return
		}
		c := &call{s: s, d: s.dev.Load(), peer: peer, w: w, r: r}
		lang := r.Header.Get("Accept-Language")
		if lang == "" {
			lang = s.language(peer.ID)
		}
		c.say = catalogue.For(catalogue.Match(lang))
		if err := f(c); err != nil {
			c.fail(err)
		}
	})
}

// problem is an error with a code and its sentence.
func (c *call) problem(status int, code string, args ...any) error {
	return api.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: c.say.T("agent.error."+code, args...)}
}

// fail maps errors to problems, once.
func (c *call) fail(err error) {
	var p api.Problem
	var inv outbox.InvalidError
	var known error
	switch {
	case errors.As(err, &p):
	case errors.As(err, &inv):
		known = c.problem(http.StatusUnprocessableEntity, api.CodeInvalid, "Field", c.field(inv.Field))
	case errors.Is(err, outbox.ErrDiskFull), state.Full(err):
		known = c.problem(http.StatusInsufficientStorage, localapi.CodeDiskFull)
	case errors.Is(err, outbox.ErrTooLarge):
		known = c.problem(http.StatusRequestEntityTooLarge, api.CodeTooLarge)
	case errors.Is(err, outbox.ErrTooMany):
		known = c.problem(http.StatusUnprocessableEntity, "too_many_files")
	case errors.Is(err, outbox.ErrMissing):
		known = c.problem(http.StatusUnprocessableEntity, "file_missing")
	case errors.Is(err, outbox.ErrConflict):
		known = c.problem(http.StatusConflict, api.CodeConflict)
	case errors.Is(err, outbox.ErrNotFound), errors.Is(err, grants.ErrNotFound):
		known = c.problem(http.StatusNotFound, api.CodeNotFound)
	case errors.Is(err, consent.ErrGone):
		known = c.problem(http.StatusGone, localapi.CodeGone)
	case errors.Is(err, consent.ErrTooSoon):
		known = c.problem(http.StatusConflict, localapi.CodeTooSoon)
	case errors.Is(err, consent.ErrNoMore):
		known = c.problem(http.StatusConflict, "no_more_time")
	case errors.Is(err, consent.ErrScopes), errors.Is(err, errChoice), errors.Is(err, grant.ErrInvalid):
		known = c.problem(http.StatusUnprocessableEntity, "invalid_permission")
	case errors.Is(err, errNoTicket):
		known = c.problem(http.StatusUnprocessableEntity, "no_ticket")
	default:
		c.s.o.Logger.Error("local call failed", "route", c.r.Pattern, "err", err)
		known = c.problem(http.StatusInternalServerError, "failed")
	}
	if known != nil {
		errors.As(known, &p)
	}
	c.w.Header().Set("Content-Type", "application/problem+json")
	c.w.WriteHeader(p.Status)
	json.NewEncoder(c.w).Encode(p)
}

// field is a form field's name as people read it.
func (c *call) field(name string) string {
	id := "agent.field." + strings.ReplaceAll(name, " ", "_")
	if s := c.say.T(id); s != id {
		return s
	}
	return name
}

func (c *call) answer(v any) error {
	c.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(c.w).Encode(v)
}

// list answers with an array, never null.
func list[T any](c *call, v []T) error {
	if v == nil {
		v = []T{}
	}
	return c.answer(v)
}

func (c *call) done() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) decode(v any) error {
	if err := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxForm)).Decode(v); err != nil {
		return outbox.InvalidError{Field: "request"}
	}
	return nil
}

// personOnly refuses calls by which a technician would help themselves: from a process of a
// session, and, while one of this OS user's sessions can do more than look, from any program but our
// own tray and windows. A call that widens nothing is refused only to a process of a session. It is
// written to the ledger.
func (c *call) personOnly(widens bool) error {
	pids, strong := c.d.programs(c.peer.ID)
	if !c.suspicious(pids, strong && widens) {
		return nil
	}
	c.d.record(c.r.Context(), ledger.Entry{
		Event: ledger.Denied, Code: localapi.CodeFromSession, What: c.r.Pattern, Session: clip(c.r.PathValue("session")),
		By: userName(c.peer.ID), As: userName(c.peer.ID), AsID: c.peer.ID,
	})
	c.d.log.Warn("call of a remote session refused", "route", c.r.Pattern, "user", c.peer.ID)
	return c.problem(http.StatusForbidden, localapi.CodeFromSession)
}

func (c *call) suspicious(pids []int, strong bool) bool {
	// What descends from the service itself was left behind by a session program that died.
	inside, err := spawn.DescendsFrom(c.peer.PID, append(pids, os.Getpid())...)
	if c.peer.PID == os.Getpid() {
		inside = false // the service's own process, in tests
	}
	if inside {
		return true
	}
	if err != nil {
		return len(pids) > 0 // gone meanwhile: believed only while nobody is connected
	}
	return strong && !c.ourWindow()
}

// ourWindow reports whether the caller runs our tray or window program, from beside the service.
func (c *call) ourWindow() bool {
	exe, err := spawn.Executable(c.peer.PID)
	if err != nil {
		return false
	}
	for _, n := range []string{"traybell-tray", "traybell-window"} {
		if st, err := os.Stat(filepath.Join(c.s.o.Folder, n)); err == nil && os.SameFile(st, exe) {
			return true
		}
	}
	return false
}

// statusOf is the status as one OS user sees it, in the caller's language; all see everything.
func (s *Service) statusOf(ctx context.Context, userID string, all bool, say *catalogue.Printer) (localapi.Status, error) {
	st := localapi.Status{State: localapi.StateUnenrolled, Version: version.Version}
	d := s.dev.Load()
	if d == nil {
		return st, nil
	}
	scope := userID
	if all {
		scope = ""
	}
	d.mu.Lock()
	st.State = localapi.StateOffline
	if d.online {
		st.State = localapi.StateReady
	}
	w := d.welcome
	st.Since, st.Error = d.since.UnixMicro(), d.why
	d.mu.Unlock()
	st.Device, st.Name, st.Server, st.Organization = d.id.Device, d.id.Name, d.id.Server.URL, d.id.Organization
	if w.Name != "" {
		st.Name, st.Organization = w.Name, w.Organization
	}
	st.TrayTitle = w.TrayTitle
	st.Provider, st.SupportPhone, st.PortalURL = w.Provider, w.SupportPhone, w.PortalURL
	if st.Error != "" && !strings.Contains(st.Error, " ") {
		st.Error = say.T("agent.offline." + st.Error)
	}
	var err error
	if st.Kept, st.FilesPending, st.Answers, err = d.outbox.Counts(ctx, userID); err != nil {
		return st, err
	}
	st.Sessions, st.Grants = d.sessionViews(scope), d.grantViews(scope)
	for _, q := range d.desk.Waiting(userID) {
		st.Waiting = append(st.Waiting, d.consentView(q))
	}
	return st, nil
}

func (c *call) status() error {
	st, err := c.s.statusOf(c.r.Context(), c.peer.ID, c.peer.Trusted(), c.say)
	if err != nil {
		return err
	}
	if c.d != nil && len(st.Waiting) > 0 {
		// The four words are for the person at the device, not for who is connected to it.
		if pids, strong := c.d.programs(c.peer.ID); c.suspicious(pids, strong) {
			st.Waiting = nil
		}
	}
	return c.answer(st)
}

// report lists what this computer reports. Names and readers are catalogue ids.
func (c *call) report() error {
	f := c.s.collect(c.r.Context())
	r := localapi.Report{Facts: f}
	add := func(name, value, seen string) {
		if value != "" {
			r.Fields = append(r.Fields, localapi.Field{Name: "agent.report." + name, Value: value, Seen: "agent.seen." + seen})
		}
	}
	add("hostname", f.Hostname, "organization")
	add("os", f.OSName+" ("+f.Arch+")", "organization")
	add("os_id", strings.TrimSpace(f.OSID+" "+f.OSVersion), "organization")
	add("build", f.OSBuild, "organization")
	add("restart", f.Restart, "organization")
	if f.BootAt > 0 {
		add("boot", time.UnixMicro(f.BootAt).Format("2006-01-02 15:04"), "organization")
	}
	add("cpu", f.CPU, "organization")
	var disks []string
	for _, d := range f.Disks {
		disks = append(disks, d.Path+" "+strconv.FormatInt(d.FreeMB, 10)+" / "+strconv.FormatInt(d.SizeMB, 10)+" MB")
	}
	add("disks", strings.Join(disks, ", "), "organization")
	add("agent", f.Agent, "organization")
	add("machine", f.MachineID, "server")
	add("processors", strconv.Itoa(f.CPUs), "organization")
	add("memory", strconv.FormatInt(f.MemoryMB, 10)+" MB", "organization")
	add("disk", strconv.FormatInt(f.FreeMB, 10)+" / "+strconv.FormatInt(f.DiskMB, 10)+" MB", "organization")
	add("addresses", strings.Join(f.Addresses, ", "), "support")
	var who []string
	for _, u := range f.Users {
		who = append(who, u.Name+": "+u.State)
	}
	add("users", strings.Join(who, ", "), "support")
	add("can", strings.Join(f.Can, ", "), "support")
	add("cannot", strings.Join(f.Cannot, ", "), "support")
	return c.answer(r)
}

// tray registers a desktop for as long as its stream is read.
func (c *call) tray() error {
	var info localapi.Tray
	if err := c.decode(&info); err != nil {
		return err
	}
	for _, v := range []string{info.Display, info.XAuthority, info.Session, info.Desktop, info.Language} {
		if len(v) > 4096 || strings.ContainsRune(v, 0) {
			return outbox.InvalidError{Field: "request"}
		}
	}
	if c.d != nil {
		if err := c.personOnly(true); err != nil {
			return err
		}
	}
	rc := http.NewResponseController(c.w)
	rc.SetReadDeadline(time.Time{})
	t := c.s.trays.add(c.peer.ID, info)
	if t == nil {
		return c.problem(http.StatusTooManyRequests, api.CodeLimited)
	}
	defer c.s.trays.remove(t)
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(c.w)
	if d := c.s.dev.Load(); d != nil {
		for _, q := range d.desk.Waiting(c.peer.ID) {
			v := d.consentView(q)
			t.push(localapi.Event{Type: "consent", Consent: &v})
		}
	}
	var last []byte
	for {
		for _, e := range t.take() {
			if err := enc.Encode(e); err != nil {
				return nil // the client left
			}
		}
		st, err := c.s.statusOf(c.r.Context(), c.peer.ID, false, c.say)
		if err == nil {
			b, _ := json.Marshal(withoutCountdown(st))
			if string(b) != string(last) {
				last = b
				if err := enc.Encode(localapi.Event{Type: "status", Status: &st}); err != nil {
					return nil
				}
			}
		} else if c.r.Context().Err() == nil {
			c.s.o.Logger.Warn("status can't be read", "err", err)
		}
		if rc.Flush() != nil {
			return nil
		}
		select {
		case <-c.r.Context().Done():
			return nil
		case <-t.wake:
		}
	}
}

// withoutCountdown drops what changes with each second, to see whether anything else has.
func withoutCountdown(st localapi.Status) localapi.Status {
	st.Waiting = slices.Clone(st.Waiting)
	for i := range st.Waiting {
		st.Waiting[i].Seconds = 0
	}
	st.Grants = slices.Clone(st.Grants)
	for i := range st.Grants {
		if st.Grants[i].Left > 0 {
			st.Grants[i].Left = 1
		}
	}
	return st
}

func (c *call) person() outbox.Person {
	return outbox.Person{ID: c.peer.ID, Name: userName(c.peer.ID)}
}

func (c *call) putFile() error {
	index, err := strconv.Atoi(c.r.PathValue("index"))
	if err != nil {
		return outbox.InvalidError{Field: "index"}
	}
	name, err := url.PathUnescape(c.r.Header.Get("Traybell-Name"))
	if err != nil {
		return outbox.InvalidError{Field: "file name"}
	}
	body := http.MaxBytesReader(c.w, c.r.Body, outbox.MaxBytes+1)
	err = c.d.outbox.PutFile(c.r.Context(), c.person(), c.r.PathValue("id"), index, name, c.r.Header.Get("Content-Type"), body)
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return outbox.ErrTooLarge
	}
	if err != nil {
		io.CopyN(io.Discard, c.r.Body, 1<<20) // let a short body end, so that the answer is read
		return err
	}
	return c.done()
}

func (c *call) file() error {
	var t localapi.Ticket
	if err := c.decode(&t); err != nil {
		return err
	}
	wait, err := time.ParseDuration(c.r.URL.Query().Get("wait"))
	if err != nil || wait < 0 {
		wait = 0
	}
	switch t.Help {
	case "", "ask", "ticket", "1", "2", "4", "8", "24", "48":
	default:
		return outbox.InvalidError{Field: "help"}
	}
	if t.Help != "" && t.Help != "ask" { // it allows something
		if err := c.personOnly(true); err != nil {
			return err
		}
	}
	lang := t.Language
	if lang == "" {
		lang = c.say.Language()
	}
	item, err := c.d.outbox.File(c.r.Context(), c.person(), outbox.Form{
		ID: t.ID, Title: t.Title, Text: t.Text, Category: t.Category, Severity: t.Severity, Answers: t.Answers,
		Email: t.Email, Name: t.Name, Phone: t.Phone, Language: catalogue.Match(lang), Facts: t.Facts, Files: t.Files, Help: t.Help,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), min(wait, maxWait))
	defer cancel()
	if i, err := c.d.outbox.Wait(ctx, item.ID); err == nil {
		item = i
	}
	c.s.trays.dirty()
	return c.answer(filed(item))
}

func filed(i outbox.Item) localapi.Filed {
	f := localapi.Filed{
		State: localapi.FiledKept, Number: i.Number, FilesPending: i.Pending, ID: i.ID, Title: i.Title, Email: i.Email,
		Status: i.Status, MadeAt: i.MadeAt, Answered: i.Answered, Code: i.Code, Reason: i.Reason,
	}
	switch i.State {
	case outbox.Sent:
		f.State = localapi.FiledSent
	case outbox.Refused:
		f.State = localapi.FiledRefused
	}
	return f
}

func (c *call) tickets() error {
	items, err := c.d.outbox.List(c.r.Context(), c.peer.ID)
	if err != nil {
		return err
	}
	out := make([]localapi.Filed, len(items))
	for i, t := range items {
		out[i] = filed(t)
	}
	return c.answer(out)
}

func (c *call) ticket() error {
	i, err := c.d.outbox.Get(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	if i.UserID != c.peer.ID {
		return outbox.ErrNotFound
	}
	if err := c.d.outbox.Looked(c.r.Context(), c.peer.ID, i.ID); err != nil {
		return err
	}
	c.s.trays.dirty()
	return c.answer(filed(i))
}

// question finds the session's question that the caller may answer: their own, or anybody's for root.
func (c *call) question() (consent.Question, error) {
	session := c.r.PathValue("session")
	if c.peer.Trusted() {
		for _, q := range c.d.desk.Waiting("") {
			if q.Session == session {
				return q, nil
			}
		}
		return consent.Question{}, consent.ErrGone
	}
	return c.d.desk.Get(session, c.peer.ID)
}

func (c *call) consents() error {
	var out []localapi.Consent
	for _, q := range c.d.desk.Waiting(c.user()) {
		out = append(out, c.d.consentView(q))
	}
	return list(c, out)
}

func (c *call) consent() error {
	q, err := c.question()
	if err != nil {
		return err
	}
	return c.answer(c.d.consentView(q))
}

func (c *call) shown() error {
	q, err := c.question()
	if err != nil {
		return err
	}
	q, first, err := c.d.desk.Shown(q.Session, q.UserID)
	if err != nil {
		return err
	}
	c.d.shown(c.r.Context(), q, first)
	return c.done()
}

func (c *call) allow() error {
	var a localapi.Allow
	if err := c.decode(&a); err != nil {
		return err
	}
	q, err := c.question()
	if err != nil {
		return err
	}
	if err := c.d.allow(c.r.Context(), q, a, userName(c.peer.ID)); err != nil {
		return err
	}
	return c.done()
}

func (c *call) refuse() error {
	var r localapi.Refuse
	if err := c.decode(&r); err != nil {
		return err
	}
	q, err := c.question()
	if err != nil {
		return err
	}
	if err := c.d.desk.Refuse(q.Session, q.UserID, r.Reason); err != nil {
		return err
	}
	return c.done()
}

func (c *call) moreTime() error {
	q, err := c.question()
	if err != nil {
		return err
	}
	if q, err = c.d.desk.MoreTime(q.Session, q.UserID); err != nil {
		return err
	}
	c.d.shown(c.r.Context(), q, false)
	c.s.trays.dirty()
	return c.answer(c.d.consentView(q))
}

func (d *device) grantViews(asID string) []localapi.Grant {
	var out []localapi.Grant
	for _, e := range d.grants.Live(asID) {
		out = append(out, grantView(e))
	}
	return out
}

func grantView(e grants.Entry) localapi.Grant {
	g := localapi.Grant{
		ID: e.Grant.ID, As: e.Grant.As, Scopes: e.Grant.Scopes, Session: e.Grant.Session, Ticket: e.Grant.Ticket,
		TicketNumber: e.TicketNumber, Standing: e.Grant.Standing, MadeAt: e.Grant.MadeAt, Left: e.Left(),
	}
	if h := e.Grant.Holder; h != nil {
		g.Holder, g.Organization = h.Name, h.Organization
	}
	return g
}

func (c *call) grants() error { return list(c, c.d.grantViews(c.user())) }

// addGrant makes a standing permission. Only the administrator of this computer may: nobody is asked.
func (c *call) addGrant() error {
	var n localapi.NewGrant
	if err := c.decode(&n); err != nil {
		return err
	}
	if !c.peer.Trusted() || !n.Standing {
		return c.problem(http.StatusForbidden, localapi.CodeRootOnly)
	}
	as, asID := userName(c.peer.ID), c.peer.ID
	if n.As != "" {
		id, name, err := lookupUser(n.As)
		if err != nil {
			return outbox.InvalidError{Field: "as"}
		}
		as, asID = name, id
	}
	if n.Attended == "" {
		n.Attended = grant.Ask
	}
	g := grant.Grant{
		As: as, AsID: asID, Scopes: n.Scopes, Targets: n.Targets, Standing: true, Attended: n.Attended,
		MadeBy: userName(c.peer.ID), How: "policy",
	}
	e, err := c.d.grants.Make(c.r.Context(), g, 0)
	if err != nil {
		return err
	}
	if err := c.d.record(c.r.Context(), grantEntry(ledger.Allowed, e, ledger.Entry{By: g.MadeBy, Scopes: g.Scopes})); err != nil {
		c.d.grants.End(c.r.Context(), e.Grant.ID, grants.Revoked)
		return err
	}
	c.d.madeGrant(e)
	return c.answer(grantView(e))
}

func (c *call) endGrant() error {
	e, ok := c.d.grants.Get(c.r.PathValue("id"))
	if !ok || c.user() != "" && e.Grant.AsID != c.user() {
		return grants.ErrNotFound
	}
	c.d.endGrant(c.r.Context(), e.Grant.ID, grants.Revoked)
	return c.done()
}

func (d *device) sessionViews(asID string) []localapi.Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []localapi.Session
	for _, s := range d.sessions {
		if s.ended || asID != "" && s.asID != asID {
			continue
		}
		v := localapi.Session{
			ID: s.id, Name: s.name, Organization: s.organization, As: s.as, TicketNumber: s.ticketNumber,
			Since: s.since.UnixMicro(), Controls: s.used["controlled"], Paused: s.paused,
		}
		for _, c := range s.channels {
			if c.open && !slices.Contains(v.Open, string(c.kind)) {
				v.Open = append(v.Open, string(c.kind))
			}
			v.Sees = v.Sees || c.open && c.kind == grant.KindDesktop && !s.paused
		}
		slices.Sort(v.Open)
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b localapi.Session) int { return int(a.Since - b.Since) })
	return out
}

func (c *call) sessions() error { return list(c, c.d.sessionViews(c.user())) }

// mine reports whether the caller may act on a session.
func (c *call) mine(id string) bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	s := c.d.sessions[id]
	return s != nil && (c.user() == "" || s.asID == c.user())
}

func (c *call) pause() error  { return c.setPause(true) }
func (c *call) resume() error { return c.setPause(false) }

func (c *call) setPause(on bool) error {
	id := c.r.PathValue("id")
	if !c.mine(id) || !c.d.pause(c.r.Context(), id, on, userName(c.peer.ID)) {
		return c.problem(http.StatusNotFound, api.CodeNotFound)
	}
	return c.done()
}

// end is "End now": it answers when nothing of it is open any more.
func (c *call) end() error {
	var e localapi.End
	if err := c.decode(&e); err != nil {
		return err
	}
	ctx := context.WithoutCancel(c.r.Context())
	if e.Session != "" {
		if !c.mine(e.Session) {
			return c.problem(http.StatusNotFound, api.CodeNotFound)
		}
		c.d.mu.Lock()
		s := c.d.sessions[e.Session]
		c.d.mu.Unlock()
		if s != nil {
			c.d.endByPerson(ctx, s, userName(c.peer.ID))
		}
		return c.done()
	}
	user := c.user()
	for _, q := range c.d.desk.Waiting(user) {
		c.d.desk.Refuse(q.Session, q.UserID, "no")
	}
	for _, g := range c.d.grants.Live(user) {
		// What root's policy allows for unattended machines is root's to end.
		if !g.Grant.Standing || c.peer.Trusted() {
			c.d.endGrant(ctx, g.Grant.ID, grants.Revoked)
		}
	}
	c.d.endAll(ctx, user, "person")
	return c.done()
}

func (c *call) history() error {
	vs, err := c.d.ledger.Visits(c.r.Context(), c.user())
	if err != nil {
		return err
	}
	out := make([]localapi.Visit, len(vs))
	for i, v := range vs {
		out[i] = localapi.Visit{
			Session: v.Session, Name: v.Name, Organization: v.Organization, As: v.As, TicketNumber: v.TicketNumber,
			From: v.From, To: v.To, Did: v.Did, EndedBy: v.EndedBy, Refused: v.Refused,
		}
		if out[i].Did == nil {
			out[i].Did = []string{}
		}
	}
	return c.answer(out)
}

// guard freezes technicians' hands and pictures while a window of Traybell is open.
func (c *call) guard() error {
	c.d.mu.Lock()
	c.d.guards[c.peer.ID]++
	c.d.mu.Unlock()
	c.d.refreeze()
	defer func() {
		c.d.mu.Lock()
		if c.d.guards[c.peer.ID]--; c.d.guards[c.peer.ID] == 0 {
			delete(c.d.guards, c.peer.ID)
		}
		c.d.mu.Unlock()
		c.d.refreeze()
	}()
	c.w.WriteHeader(http.StatusOK)
	http.NewResponseController(c.w).Flush()
	<-c.r.Context().Done()
	return nil
}
