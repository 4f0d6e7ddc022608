package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

// where says which service is meant.
type where struct {
	State string `help:"State folder of the service; without it the installed service." placeholder:"DIR"`
}

// dial connects to the running service.
func (w where) dial(a *app) (*localapi.Client, error) {
	path := ""
	if w.State != "" {
		path = localapi.Path(w.State)
	}
	c, err := localapi.Dial(path)
	if err != nil {
		return nil, err
	}
	c.SetLanguage(a.say.Language())
	return c, nil
}

// asJSON prints v as one line of JSON.
func (a *app) asJSON(v any) error { return json.NewEncoder(a.out).Encode(v) }

// table writes aligned columns.
func (a *app) table(rows [][]string) {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
}

func clock(us int64) string {
	if us == 0 {
		return ""
	}
	return time.UnixMicro(us).Format("2006-01-02 15:04")
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("#%d", n)
}

func scopeWords(say *catalogue.Printer, scopes []grant.Scope) string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = say.T("word.scope." + string(s))
	}
	return strings.Join(out, ", ")
}

type statusCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *statusCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		if c.JSON {
			a.asJSON(map[string]string{"state": "not_running", "error": a.sentence(err)})
			return silent{exitNotRunning}
		}
		return err
	}
	st, err := cl.Status(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(st)
	}
	a.print("agent.status."+st.State, "Organization", st.Organization, "Name", st.Name, "Server", st.Server)
	if st.Error != "" {
		a.print("agent.status.why", "Reason", st.Error)
	}
	if st.Kept > 0 {
		a.print("agent.status.kept", "Count", st.Kept)
	}
	for _, s := range st.Sessions {
		a.print("agent.status.session", "Name", s.Name, "Organization", s.Organization, "User", s.As)
	}
	if len(st.Grants) == 0 && st.State != localapi.StateUnenrolled {
		a.print("agent.grants.none")
	}
	if len(st.Waiting) > 0 {
		a.print("agent.status.waiting", "Count", len(st.Waiting))
	}
	return nil
}

type reportCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *reportCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	r, err := cl.Report(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(r)
	}
	var rows [][]string
	for _, f := range r.Fields {
		rows = append(rows, []string{a.say.T(f.Name), f.Value, a.say.T(f.Seen)})
	}
	a.table(rows)
	return nil
}

type watchCmd struct{ where }

// Run registers the caller as present without a desktop and prints each question with its words.
func (c *watchCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	events, err := cl.Tray(a.ctx, localapi.Tray{Desktop: "text", Language: a.say.Language()})
	if err != nil {
		return err
	}
	a.print("agent.watch.on")
	for e := range events {
		switch e.Type {
		case "consent":
			a.question(*e.Consent)
			if err := cl.Shown(a.ctx, e.Consent.Session); err != nil {
				fmt.Fprintln(a.out, a.sentence(err))
			}
		case "consent_over":
			a.print("agent.consent.over."+e.Consent.Over, "Name", e.Consent.Name)
		case "notice":
			a.print("agent."+e.Notice.ID, "Number", e.Notice.Number, "Name", e.Notice.Name)
		}
	}
	if a.ctx.Err() == nil {
		return localapi.ErrNotRunning
	}
	return nil
}

// question prints a question as a window would show it.
func (a *app) question(q localapi.Consent) {
	a.print("agent.consent.heading", "Name", q.Name)
	if q.Organization != "" || q.TicketNumber != 0 {
		fmt.Fprintln(a.out, strings.TrimSpace(q.Organization+"  "+strings.TrimSpace(number(q.TicketNumber)+" "+q.TicketTitle)))
	}
	a.print("agent.consent.scopes", "Scopes", scopeWords(a.say, q.Scopes))
	a.print("agent.consent.words", "Words", q.Words, "Name", q.Name)
	a.print("agent.consent.countdown", "Count", q.Seconds)
	a.print("agent.consent.how", "Session", q.Session)
}

type consentsCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *consentsCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	qs, err := cl.Consents(a.ctx)
	if err != nil {
		return err
	}
	for _, q := range qs { // listing them is showing them
		if err := cl.Shown(a.ctx, q.Session); err != nil {
			return err
		}
	}
	if c.JSON {
		return a.asJSON(qs)
	}
	if len(qs) == 0 {
		a.print("agent.consent.none")
	}
	for _, q := range qs {
		a.question(q)
	}
	return nil
}

// one returns the named question, or the only one there is.
func one(a *app, cl *localapi.Client, session string) (localapi.Consent, error) {
	if session != "" {
		return cl.Consent(a.ctx, session)
	}
	qs, err := cl.Consents(a.ctx)
	if err != nil {
		return localapi.Consent{}, err
	}
	switch len(qs) {
	case 0:
		a.print("agent.consent.none")
		return localapi.Consent{}, silent{exitFailed}
	case 1:
		return qs[0], nil
	}
	a.print("agent.consent.several")
	for _, q := range qs {
		fmt.Fprintln(a.out, q.Session, q.Name)
	}
	return localapi.Consent{}, silent{exitUsage}
}

type allowCmd struct {
	where
	Session string   `arg:"" optional:"" help:"The question, if several wait."`
	Scopes  []string `help:"Allow only these of what is asked: view, control, terminal, …"`
	For     string   `help:"How long: session, ticket, or 1, 2, 4, 8, 24, 48 hours." default:"session"`
}

func (c *allowCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	q, err := one(a, cl, c.Session)
	if err != nil {
		return err
	}
	a.question(q)
	if err := cl.Shown(a.ctx, q.Session); err != nil {
		return err
	}
	scopes := q.Scopes
	if len(c.Scopes) > 0 {
		scopes = nil
		for _, s := range c.Scopes {
			scopes = append(scopes, grant.Scope(s))
		}
	}
	// A yes counts a second after the question is on the screen.
	t := time.NewTimer(1100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
	if err := cl.Allow(a.ctx, q.Session, localapi.Allow{Scopes: scopes, For: c.For, How: "command"}); err != nil {
		return err
	}
	a.print("agent.consent.allowed", "Name", q.Name, "Scopes", scopeWords(a.say, scopes))
	return nil
}

type refuseCmd struct {
	where
	Session string `arg:"" optional:"" help:"The question, if several wait."`
	Reason  string `help:"no, later (in 10 minutes) or unknown_person." enum:"no,later,unknown_person" default:"no"`
}

func (c *refuseCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	q, err := one(a, cl, c.Session)
	if err != nil {
		return err
	}
	if err := cl.Refuse(a.ctx, q.Session, localapi.Refuse{Reason: c.Reason}); err != nil {
		return err
	}
	a.print("agent.consent.refused", "Name", q.Name)
	return nil
}

type grantsCmd struct {
	List grantsListCmd `cmd:"" default:"withargs" help:"List the permissions that are open."`
	Add  grantsAddCmd  `cmd:"" help:"Allow access without a question while nobody is there (administrator only)."`
	End  grantsEndCmd  `cmd:"" help:"End a permission."`
}

type grantsListCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *grantsListCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	gs, err := cl.Grants(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(gs)
	}
	if len(gs) == 0 {
		a.print("agent.grants.none")
		return nil
	}
	var rows [][]string
	for _, g := range gs {
		rows = append(rows, a.grantRow(g))
	}
	a.table(rows)
	return nil
}

func (a *app) grantRow(g localapi.Grant) []string {
	holder := g.Holder
	if holder == "" {
		holder = a.say.T("agent.grants.anybody")
	}
	bound := a.say.T("agent.grants.session")
	switch {
	case g.Standing:
		bound = a.say.T("agent.grants.standing")
	case g.Ticket != "":
		bound = a.say.T("agent.grants.ticket", "Number", g.TicketNumber)
	}
	left := ""
	if g.Left >= 0 {
		left = (time.Duration(g.Left) * time.Second).String()
	}
	return []string{g.ID, holder, g.As, scopeWords(a.say, g.Scopes), bound, left}
}

type grantsAddCmd struct {
	where
	Standing bool     `help:"Until it is ended; needed."`
	Scopes   []string `required:"" help:"view, control, clipboard, files, terminal, forward, admin."`
	As       string   `help:"OS user whose rights are lent; without it, the caller's." placeholder:"USER"`
	Target   []string `help:"host:port that forward may reach beyond this computer."`
	Attended string   `help:"What happens while a person is there: ask, or tell." enum:"ask,tell" default:"ask"`
	JSON     bool     `help:"Print JSON."`
}

func (c *grantsAddCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	n := localapi.NewGrant{Standing: c.Standing, As: c.As, Targets: c.Target, Attended: grant.Attended(c.Attended)}
	for _, s := range c.Scopes {
		n.Scopes = append(n.Scopes, grant.Scope(s))
	}
	g, err := cl.AddGrant(a.ctx, n)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(g)
	}
	a.print("agent.grants.added", "ID", g.ID, "User", g.As, "Scopes", scopeWords(a.say, g.Scopes))
	if g.As == "root" && !contains(g.Scopes, grant.Admin) && (contains(g.Scopes, grant.Terminal) || contains(g.Scopes, grant.Files)) {
		a.print("agent.grants.root_needs_admin")
	}
	if c.Attended == "tell" {
		a.print("agent.grants.tell_asks")
	}
	return nil
}

func contains(in []grant.Scope, s grant.Scope) bool {
	for _, x := range in {
		if x == s {
			return true
		}
	}
	return false
}

type grantsEndCmd struct {
	where
	ID string `arg:"" help:"The permission."`
}

func (c *grantsEndCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	if err := cl.EndGrant(a.ctx, c.ID); err != nil {
		return err
	}
	a.print("agent.grants.ended")
	return nil
}

type sessionsCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *sessionsCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	ss, err := cl.Sessions(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(ss)
	}
	if len(ss) == 0 {
		a.print("agent.sessions.none")
		return nil
	}
	var rows [][]string
	for _, s := range ss {
		paused := ""
		if s.Paused {
			paused = a.say.T("agent.sessions.paused")
		}
		rows = append(rows, []string{s.ID, s.Name, s.Organization, number(s.TicketNumber), clock(s.Since), strings.Join(s.Open, ", "), paused})
	}
	a.table(rows)
	return nil
}

// session returns the named session, or the only one.
func session(a *app, cl *localapi.Client, id string) (string, error) {
	if id != "" {
		return id, nil
	}
	ss, err := cl.Sessions(a.ctx)
	if err != nil {
		return "", err
	}
	if len(ss) == 1 {
		return ss[0].ID, nil
	}
	if len(ss) == 0 {
		a.print("agent.sessions.none")
		return "", silent{exitFailed}
	}
	a.print("agent.sessions.several")
	for _, s := range ss {
		fmt.Fprintln(a.out, s.ID, s.Name)
	}
	return "", silent{exitUsage}
}

type pauseCmd struct {
	where
	Session string `arg:"" optional:"" help:"The session, if there are several."`
}

func (c *pauseCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	id, err := session(a, cl, c.Session)
	if err != nil {
		return err
	}
	if err := cl.Pause(a.ctx, id); err != nil {
		return err
	}
	a.print("agent.sessions.pause_on")
	return nil
}

type resumeCmd struct {
	where
	Session string `arg:"" optional:"" help:"The session, if there are several."`
}

func (c *resumeCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	id, err := session(a, cl, c.Session)
	if err != nil {
		return err
	}
	if err := cl.Resume(a.ctx, id); err != nil {
		return err
	}
	a.print("agent.sessions.pause_off")
	return nil
}

type endCmd struct {
	where
	Session string `arg:"" optional:"" help:"End this session only; without it everything ends."`
}

func (c *endCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	if err := cl.End(a.ctx, localapi.End{Session: c.Session}); err != nil {
		return err
	}
	if c.Session != "" {
		a.print("agent.end.session")
		return nil
	}
	a.print("agent.end.all")
	return nil
}

type historyCmd struct {
	where
	JSON bool `help:"Print JSON."`
}

func (c *historyCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	vs, err := cl.History(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(vs)
	}
	if len(vs) == 0 {
		a.print("agent.history.none")
		return nil
	}
	var rows [][]string
	for _, v := range vs {
		what := make([]string, 0, len(v.Did)+1)
		for _, d := range v.Did {
			what = append(what, a.say.T("agent.did."+d))
		}
		if v.Refused != "" {
			what = append(what, a.say.T("agent.history.refused", "Reason", a.reason(v.Refused)))
		}
		end := clock(v.To)
		if end == "" {
			end = "…"
		}
		rows = append(rows, []string{clock(v.From) + " – " + end, v.Name, v.Organization, number(v.TicketNumber), strings.Join(what, ", ")})
	}
	a.table(rows)
	return nil
}

// reason says a code of a refusal in words, or the code where there are none.
func (a *app) reason(code string) string {
	id := "agent.reason." + code
	if s := a.say.T(id); s != id {
		return s
	}
	return code
}
