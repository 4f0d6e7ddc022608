package web

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
)

// coolDown is how long a device takes no question from a technician after a no.
const coolDown = 5 * time.Minute

// sessionRow is one visit in a list.
type sessionRow struct {
	Href, Day, Times   string
	Technician, Device string
	Ticket             string
	Done, Permission   string
	Live               bool
}

func (c *call) sessionRow(s access.Session) sessionRow {
	r := sessionRow{Href: "/sessions/" + string(s.ID), Day: c.day(s.AskedAt), Technician: s.Name, Device: s.DeviceName, Done: c.did(s), Permission: c.permission(s), Live: s.State.Open()}
	if s.TicketNumber > 0 {
		r.Ticket = strconv.FormatInt(s.TicketNumber, 10)
	}
	r.Times = c.times(s)
	return r
}

// times is "12:03–12:19", or when it was asked if it never opened.
func (c *call) times(s access.Session) string {
	clock := func(t time.Time) string { return t.In(c.zone).Format("15:04") }
	switch {
	case s.AllowedAt.IsZero():
		return clock(s.AskedAt)
	case s.EndedAt.IsZero():
		return clock(s.AllowedAt) + "–"
	}
	return clock(s.AllowedAt) + "–" + clock(s.EndedAt)
}

// did says what was done in a session.
func (c *call) did(s access.Session) string {
	if s.AllowedAt.IsZero() {
		return ""
	}
	var did []string
	switch {
	case slices.Contains(s.Used, "control"):
		did = append(did, c.T("web.did.controlled"))
	case slices.Contains(s.Used, string(grant.KindDesktop)):
		did = append(did, c.T("web.did.saw"))
	}
	if slices.Contains(s.Used, string(grant.KindTerminal)) {
		did = append(did, c.T("web.did.terminal"))
	}
	if len(did) == 0 {
		return c.T("web.did.nothing")
	}
	return strings.Join(did, ", ")
}

// permission says how a session came to its permission, or why it had none.
func (c *call) permission(s access.Session) string {
	switch {
	case !s.AllowedAt.IsZero() && s.User != "":
		return c.T("web.perm.allowed", "Name", s.User)
	case !s.AllowedAt.IsZero():
		return c.T("web.perm.standing")
	case s.State == access.Refused && s.User != "":
		return c.T("web.perm.refused.name", "Name", s.User)
	case s.State == access.Refused:
		return c.T("web.perm.refused")
	case s.State == access.Nobody:
		return c.T("web.perm.nobody")
	case s.State == access.Locked:
		return c.T("web.perm.locked")
	case s.State.Over():
		return c.T("web.perm.none")
	}
	return c.T("web.perm.asked")
}

// named puts the full name of a device's signed-in user in the place of their OS user's name.
func named(list []access.Session, d *device.Device) {
	if d == nil {
		return
	}
	for i := range list {
		for _, u := range d.Facts.Users {
			if list[i].Device == d.ID && u.Name == list[i].User {
				list[i].User = userName(u)
			}
		}
	}
}

func sessionsOfTicket(id ticket.ID) deskaccess.Filter {
	return deskaccess.Filter{Ticket: id, Limit: 50}
}

// visits are a ticket's sessions for its right column.
func (c *call) visits(list []access.Session) []visitView {
	var out []visitView
	for _, s := range list {
		v := visitView{Href: "/sessions/" + string(s.ID), When: c.day(s.AskedAt) + " " + c.times(s), Text: s.Name + ", " + c.did(s)}
		if s.State.Open() {
			v.Text = s.Name + ", " + c.T("web.session.live")
		}
		if s.AllowedAt.IsZero() {
			v.Text = s.Name + ", " + c.permission(s)
		}
		out = append(out, v)
	}
	return out
}

// sessionEvents are what a session adds to its ticket's thread.
func (c *call) sessionEvents(s access.Session) []entry {
	at := func(t time.Time, icon, id string, args ...any) entry {
		return entry{Event: true, Icon: icon, Text: c.T(id, args...), At: c.when(t), time: t}
	}
	list := []entry{at(s.AskedAt, "i-screen-share", "web.event.asked", "Name", s.Name)}
	if !s.AllowedAt.IsZero() {
		list = append(list, at(s.AllowedAt, "i-shield-check", "web.event.allowed", "Name", nameOr(s.User, c.T("web.session.thePerson")), "Scopes", c.scopes(s.Granted)))
	}
	switch {
	case s.State == access.Refused:
		list = append(list, at(s.EndedAt, "i-circle-x", "web.event.refused", "Name", nameOr(s.User, c.T("web.session.thePerson"))))
	case s.State.Over() && !s.AllowedAt.IsZero():
		list = append(list, at(s.EndedAt, "i-circle-minus", "web.event.left", "Name", s.Name, "Did", c.did(s)))
	}
	return list
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}

// sessionsView is the list of visits.
type sessionsView struct {
	Results    string
	Live, Past []sessionRow
}

func (s *Server) sessions(c *call) error {
	list, err := s.o.Access.Sessions(c.ctx, c.actor, deskaccess.Filter{Limit: 200})
	if err != nil {
		return err
	}
	devices, err := s.devicesFor(c)
	if err != nil {
		return err
	}
	for i := range devices {
		named(list, &devices[i])
	}
	v := sessionsView{Results: c.T("word.results", "Count", len(list))}
	for _, se := range list {
		if se.State.Over() {
			v.Past = append(v.Past, c.sessionRow(se))
		} else {
			v.Live = append(v.Live, c.sessionRow(se))
		}
	}
	return c.show("sessions", c.page("sessions", c.T("web.sessions"), v))
}

// askView is the form of "Ask to connect", or why it can't be asked.
type askView struct {
	Device, Ticket string
	Main           bool
	Open           string // a session of mine goes on already
	Why            string
	Scopes         []choice
	Tickets        []choice
}

func (c *call) askForm(d device.Device, forTicket string, status ticket.Status, sessions []access.Session) *askView {
	v := &askView{Device: string(d.ID), Ticket: forTicket}
	for _, s := range sessions {
		if s.Account == c.actor.Account && s.Device == d.ID && !s.State.Over() && !s.Unanswered(c.now) {
			v.Open = "/sessions/" + string(s.ID)
			return v
		}
	}
	switch {
	case status == ticket.Closed:
		v.Why = c.T("web.ask.closed")
	case !d.Online:
		v.Why = c.T("web.ask.offline")
	}
	for _, k := range []struct {
		scope grant.Scope
		can   string
		text  string
		on    bool
	}{{grant.View, "desktop", "word.scope.view", true}, {grant.Control, "control", "word.scope.control", true}, {grant.Terminal, "terminal", "web.ask.terminal", false}} {
		can := d.Can(k.can)
		ch := choice{Code: string(k.scope), Word: c.T(k.text), Current: k.on && can, Disabled: !can}
		if !can {
			ch.Why = c.T("web.can.not")
		}
		v.Scopes = append(v.Scopes, ch)
	}
	if !slices.ContainsFunc(v.Scopes, func(k choice) bool { return !k.Disabled }) && v.Why == "" {
		v.Why = c.cannot(d)
	}
	return v
}

// ask asks the person at a device.
func (s *Server) ask(c *call) error {
	var scopes []grant.Scope
	for _, k := range c.r.PostForm["scope"] {
		scopes = append(scopes, grant.Scope(k))
	}
	se, err := s.o.Access.Ask(c.ctx, c.actor, device.ID(c.r.PostFormValue("device")), ticket.ID(c.r.PostFormValue("ticket")), scopes)
	if err != nil {
		return err
	}
	return c.redirect("/sessions/" + string(se.ID))
}

// sessionView is the console.
type sessionView struct {
	ID, Device, DeviceID, Person string
	Number, Back, BackLabel      string
	TicketNumber                 int64
	Title                        string
	State, Heading, Text         string
	AskAgain                     []pair
	Status, Severity             mark
	Requester                    string
	Thread                       []entry
	Write                        bool
	Leave                        string
	Keys                         []choice
	Row                          []keyView
	SolvedText                   string
	Texts                        map[string]string
}

type keyView struct {
	Code, Word, Label string
	Hold              bool
}

// consoleKeys are the combinations that a browser or the technician's own system would keep.
var consoleKeys = []choice{
	{Code: "Control+Alt+Delete", Word: "Ctrl+Alt+Del"}, {Code: "Control+Escape", Word: "Ctrl+Esc"}, {Code: "Alt+Tab", Word: "Alt+Tab"}, {Code: "Alt+F4", Word: "Alt+F4"},
	{Code: "Super", Word: "Win"}, {Code: "F11", Word: "F11"}, {Code: "Print", Word: "Print"}, {Code: "Escape", Word: "Esc"},
}

var consoleRow = []keyView{
	{Code: "Escape", Word: "Esc"}, {Code: "Tab", Word: "Tab"}, {Code: "Control", Word: "Ctrl", Hold: true}, {Code: "Alt", Word: "Alt", Hold: true}, {Code: "Super", Word: "Win"},
	{Code: "Left", Word: "←", Label: "Left"}, {Code: "Up", Word: "↑", Label: "Up"}, {Code: "Down", Word: "↓", Label: "Down"}, {Code: "Right", Word: "→", Label: "Right"},
}

func (s *Server) loadSession(c *call) (access.Session, error) {
	id := c.r.PathValue("id")
	if !api.ValidID(id) {
		return access.Session{}, errNotFound
	}
	return s.o.Access.Session(c.ctx, c.actor, access.SessionID(id))
}

func (s *Server) session(c *call) error {
	se, err := s.loadSession(c)
	if err != nil {
		return err
	}
	if !c.actor.MayIn(account.SessionsStart, se.Organization) {
		return errNotFound // a responsible person reads the history on the device's page
	}
	v, err := s.o.Tickets.Get(c.ctx, c.actor, se.Ticket)
	if err != nil {
		return err
	}
	st, err := s.stateOf(c, se)
	if err != nil {
		return err
	}
	k := v.Ticket
	view := sessionView{
		ID: string(se.ID), Device: se.DeviceName, DeviceID: string(se.Device), Person: st.Person, Number: "#" + strconv.FormatInt(k.Number, 10),
		Back: c.ticketPath(k.Number), BackLabel: c.T("web.session.back", "Number", k.Number), TicketNumber: k.Number, Title: k.Title,
		State: st.State, Heading: st.Heading, Text: st.shown(), Status: c.status(k.Status), Severity: c.severity(k.Severity), Requester: c.requester(k),
		Write: k.Status != ticket.Closed, Keys: consoleKeys, Row: consoleRow, SolvedText: c.T("web.session.solved.text", "Number", k.Number), Texts: c.consoleTexts(), Leave: c.T("web.session.leave." + st.Leave),
	}
	if st.State == "allowed" {
		view.State, view.Heading = "waiting", c.T("web.state.connecting")
	}
	view.AskAgain = []pair{{"device", string(se.Device)}, {"ticket", string(se.Ticket)}}
	for _, sc := range se.Scopes {
		view.AskAgain = append(view.AskAgain, pair{"scope", string(sc)})
	}
	sessions, err := s.o.Access.Sessions(c.ctx, c.actor, sessionsOfTicket(k.ID))
	if err != nil {
		return err
	}
	named(sessions, v.Device)
	view.Thread = c.thread(v, sessions)
	p := c.page("sessions", view.Number+" · "+se.DeviceName, view)
	p.Theme = "dark" // so that the remote screen is the brightest thing
	return c.show("session", p)
}

// refusals are the codes for which a channel may stay closed; the console shows their sentences.
var refusals = []string{
	"no_grant", "grant_expired", "grant_revoked", "grant_forged", "grant_malformed", "grant_of_other_device", "grant_of_other_holder", "grant_of_other_session", "grant_of_other_ticket",
	"scope_not_granted", "target_not_granted", "offer_replayed", "ask_first", "no_desktop", "no_sign", "not_available", "failed", "busy", "no_answer", "session_ended", "session_over", "not_allowed_yet",
	"wayland_not_shown", "os_not_yet", "paused", "frozen", api.CodeOffline,
}

func (c *call) consoleTexts() map[string]string {
	m := map[string]string{}
	for _, code := range refusals {
		m[code] = deskaccess.Text(code, "", c.Language())
	}
	for _, k := range []string{"connecting", "lost", "closed", "noview", "noterminal", "notallowed", "exit"} {
		m[k] = c.T("web.state." + k)
	}
	for _, k := range []string{"leave", "withdraw", "back"} {
		m["leave."+k] = c.T("web.session.leave." + k)
	}
	m["again"] = c.T("web.session.askagain")
	m["lostmore"] = c.T("web.state.lost.text")
	return m
}

// consoleState is what the console shows of a session, in the reader's language.
type consoleState struct {
	State    string `json:"state"` // asking, waiting, allowed, refused, ended
	Heading  string `json:"heading"`
	Text     string `json:"text"`    // {n} stands for the seconds that are left
	Seconds  int    `json:"seconds"` // left to answer
	Retry    int    `json:"retry"`   // seconds until asking again makes sense
	Again    bool   `json:"again"`   // asking again is possible
	Words    string `json:"words"`   // to be read out
	Person   string `json:"person"`
	View     bool   `json:"view"`
	Control  bool   `json:"control"`
	Terminal bool   `json:"terminal"`
	Allowed  string `json:"allowed"`
	Denied   string `json:"denied"`
	Since    int64  `json:"since"` // Unix milliseconds; 0: nothing was opened
	Leave    string `json:"leave"` // what leaving is now: leave, withdraw, back
}

// shown is the text without a script that counts.
func (s consoleState) shown() string {
	return strings.ReplaceAll(s.Text, "{n}", strconv.Itoa(s.Seconds+s.Retry))
}

func (s *Server) sessionState(c *call) error {
	se, err := s.loadSession(c)
	if err != nil {
		return err
	}
	st, err := s.stateOf(c, se)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(c.w).Encode(st)
}

func (s *Server) stateOf(c *call, se access.Session) (consoleState, error) {
	name, known := se.User, se.User != ""
	d, err := s.o.Devices.Get(c.ctx, c.actor, se.Device)
	switch {
	case err == nil:
		for _, u := range d.Facts.Users {
			if u.Name == se.User && u.Display != "" {
				name = u.Display
			}
		}
	case !errors.Is(err, desk.ErrNotFound):
		return consoleState{}, err
	}
	st := consoleState{Words: se.Words, Person: c.T("web.session.unattended"), Leave: "back"}
	who := nameOr(name, c.T("web.session.thePerson"))
	if known {
		st.Person = c.T("web.session.at", "Name", name)
	}
	mine := se.Account == c.actor.Account
	switch {
	case se.State.Waiting() && mine:
		st.Leave = "withdraw"
	case se.State.Open() && (mine || c.actor.MayIn(account.AssistanceDelete, se.Organization)):
		st.Leave = "leave"
	}
	if !mine {
		st.Words = "" // they are for whoever asks
	}
	switch {
	case se.State.Open() && !mine:
		st.State, st.Heading, st.Text = "waiting", c.T("web.state.theirs", "Name", se.Name), c.T("web.state.theirs.text")
		return st, nil
	case se.State == access.Asking && se.Deadline.IsZero():
		st.State, st.Heading, st.Text = "asking", c.T("web.state.sending"), c.T("web.state.sending.text", "Device", se.DeviceName)
	case se.State == access.Asking:
		st.State, st.Heading, st.Text = "asking", c.T("web.state.asking", "Name", who), c.T("web.state.asking.text")
		st.Seconds = max(0, int(se.Deadline.Sub(c.now).Round(time.Second)/time.Second))
	case se.State == access.Locked:
		st.State, st.Heading, st.Text = "waiting", c.T("web.state.locked"), c.T("web.state.locked.text")
		if !se.UserSince.IsZero() {
			st.Heading = c.T("web.state.locked.since", "Time", c.moment(se.UserSince))
		}
	case se.State == access.Nobody:
		st.State, st.Heading, st.Text = "waiting", c.T("web.state.nobody"), c.T("web.state.nobody.text")
	case se.State.Open():
		st.State = "allowed"
		if se.State == access.Paused {
			st.State, st.Heading, st.Text = "waiting", c.T("web.state.paused"), c.T("web.state.paused.text", "Name", who)
		}
		if !se.AllowedAt.IsZero() {
			st.Since = se.AllowedAt.UnixMilli()
		}
	case se.State == access.Refused:
		st.State, st.Heading, st.Again = "refused", c.T("web.state.refused"), mine
		st.Text = c.refusedText(se.Reason, who)
		if se.Reason == "no" || se.Reason == "unknown_person" || se.Reason == "cooldown" {
			st.Retry = max(0, int(se.EndedAt.Add(coolDown).Sub(c.now)/time.Second))
		}
	default:
		st.State, st.Heading, st.Again = "ended", c.T("web.state.ended"), mine
		st.Text = c.endedText(se)
		if !se.AllowedAt.IsZero() {
			summary := []access.Session{se}
			named(summary, &d)
			st.Text += " " + c.T("web.state.summary", "Day", c.day(se.AskedAt), "Times", c.times(se), "Name", se.Name, "Did", c.did(se), "Permission", c.permission(summary[0]))
		}
	}
	if st.Again && err != nil {
		st.Again = false // the device is gone
	}
	if st.Again && d.Online { // and the ticket must not be closed
		k, err := s.o.Tickets.Get(c.ctx, c.actor, se.Ticket)
		if err != nil && !errors.Is(err, desk.ErrNotFound) {
			return st, err
		}
		st.Again = err == nil && k.Ticket.Status != ticket.Closed
	} else {
		st.Again = false
	}
	if !se.State.Over() && err == nil && !d.Online {
		st.State, st.Heading, st.Text = "waiting", c.T("web.state.offline"), c.T("web.state.offline.text")
		if se.State.Open() {
			st.Text = c.T("web.state.lost.text")
		}
	}
	return st, s.allowedLine(c, se, &st)
}

// allowedLine fills in the bottom line: what is allowed, until when, and what is not.
func (s *Server) allowedLine(c *call, se access.Session, st *consoleState) error {
	if se.State.Waiting() {
		st.Allowed = c.T("web.allowed.asked", "Scopes", c.scopes(se.Scopes))
		return nil
	}
	p, err := s.o.Access.Permission(c.ctx, c.actor, se.ID)
	if errors.Is(err, desk.ErrNotFound) || err == nil && se.State.Over() {
		st.Allowed = c.T("web.allowed.none")
		return nil
	}
	if err != nil {
		return err
	}
	has := func(k grant.Scope) bool { return slices.Contains(p.Scopes, k) }
	st.View, st.Control, st.Terminal = has(grant.View), has(grant.Control), has(grant.Terminal)
	scopes := c.scopes(p.Scopes)
	switch {
	case p.Grant.Session != "":
		st.Allowed = c.T("web.allowed.session", "Scopes", scopes)
	case p.Forever:
		st.Allowed = c.T("web.allowed.standing", "Scopes", scopes)
	case p.Grant.Ticket != "" && p.Grant.Budget >= grant.MaxBudget:
		st.Allowed = c.T("web.allowed.ticket", "Number", se.TicketNumber, "Scopes", scopes)
	default:
		st.Allowed = c.T("web.allowed.until", "Until", c.moment(p.Until), "Scopes", scopes)
	}
	var not []grant.Scope
	for _, k := range []grant.Scope{grant.View, grant.Control, grant.Terminal} {
		if !has(k) {
			not = append(not, k)
		}
	}
	if len(not) > 0 {
		st.Denied = c.T("web.denied", "Scopes", c.scopes(not))
	}
	return nil
}

func (c *call) refusedText(reason, who string) string {
	switch reason {
	case "no", "later", "unknown_person", "silence", "cooldown", "busy":
		return c.T("web.state.refused."+reason, "Name", who)
	}
	return deskaccess.Text(reason, "", c.Language())
}

func (c *call) endedText(se access.Session) string {
	switch r := se.Reason; r {
	case access.ByPerson, access.ByTechnician, access.ByBudget, access.ByTicketClosed, access.ByNoAnswer, access.ByDeviceGone, access.ByRemoved, "sign_lost", "signed_out", "revoked":
		return c.T("web.state.ended." + r)
	}
	return c.T("web.state.ended.other")
}

// leave ends the technician's visit: solved with an answer that closes the ticket, or later.
func (s *Server) leave(c *call) error {
	se, err := s.loadSession(c)
	if err != nil {
		return err
	}
	v, err := s.o.Tickets.Get(c.ctx, c.actor, se.Ticket)
	if err != nil {
		return err
	}
	to := c.ticketPath(v.Ticket.Number)
	if c.r.PostFormValue("outcome") != "solved" {
		if err := s.o.Access.Leave(c.ctx, c.actor, se.ID, access.Later); err != nil {
			return err
		}
		if se.State.Waiting() {
			return c.redirect(to + "?done=withdrawn")
		}
		return c.redirect(to + "?done=left")
	}
	if v.Ticket.Status != ticket.Closed {
		if _, err := s.o.Tickets.Answer(c.ctx, c.actor, se.Ticket, c.r.PostFormValue("text")); err != nil {
			return err
		}
	}
	if err := s.o.Access.Leave(c.ctx, c.actor, se.ID, access.Solved); err != nil {
		return err
	}
	if err := s.o.Tickets.ChangeStatus(c.ctx, c.actor, se.Ticket, ticket.Closed, ""); err != nil {
		return err
	}
	return c.redirect(to + "?done=solved")
}
