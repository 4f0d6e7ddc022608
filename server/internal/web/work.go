package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
)

// dueView is a time at which something is due, in words and with its weight.
type dueView struct{ Text, Class string }

// due is "today 16:00", "tomorrow 9:20" or "9 Dec 9:20".
func (r reader) due(t time.Time) string {
	clock := t.In(r.zone).Format("15:04")
	switch r.daysAgo(t.In(r.zone)) {
	case 0:
		return r.T("web.date.today", "Time", clock)
	case -1:
		return r.T("tickets.tomorrow", "Time", clock)
	}
	return r.day(t) + " " + clock
}

// soon is a due time as a list shows it: minutes when it is near, coloured when it is late or nearly so.
func (r reader) soon(t time.Time) dueView {
	left := t.Sub(r.now)
	switch {
	case t.IsZero():
		return dueView{}
	case left < 0 && r.daysAgo(t.In(r.zone)) == 0:
		return dueView{r.T("tickets.late", "When", t.In(r.zone).Format("15:04")), "soon"}
	case left < 0:
		return dueView{r.T("tickets.late", "When", r.day(t)), "soon"}
	case left < time.Hour:
		class := "today"
		if left <= 15*time.Minute {
			class = "soon"
		}
		return dueView{r.T("tickets.due.in", "Minutes", int(left.Minutes())), class}
	case r.daysAgo(t.In(r.zone)) == 0:
		return dueView{r.T("tickets.due.at", "When", t.In(r.zone).Format("15:04")), "today"}
	}
	return dueView{r.T("tickets.due.at", "When", r.due(t)), ""}
}

// todayView is what a technician does first.
type todayView struct {
	Day    string
	Groups []todayGroup
	Empty  bool
	Next   *todayRow
	Late   int
}

type todayGroup struct {
	Icon, Text, Why string
	Rows            []todayRow
}

type todayRow struct {
	Number   int64
	Title    string
	Severity mark
	Who      string
	Due      dueView
	Take     bool
	Main     bool // the page's one main action
	Verb     string
	Href     string
}

func (s *Server) today(c *call) error {
	t, err := s.o.Tickets.Today(c.ctx, c.actor)
	if err != nil {
		return err
	}
	view := todayView{Day: c.day(c.now) + " " + c.now.In(c.zone).Format("15:04")}
	row := func(k ticket.Ticket) todayRow {
		return todayRow{Number: k.Number, Title: k.Title, Severity: c.severity(k.Severity), Who: contactName(k.Requester) + ", " + k.OrganizationName, Due: c.soon(k.Promise.Soonest()), Href: c.ticketPath(k.Number), Verb: c.T("tickets.open")}
	}
	group := func(icon, id string, list []ticket.Ticket, change func(*todayRow, ticket.Ticket)) {
		g := todayGroup{Icon: icon, Text: c.T("tickets.today." + id), Why: c.T("tickets.today." + id + ".why")}
		for _, k := range list {
			r := row(k)
			if at := k.Promise.Soonest(); !at.IsZero() && at.Before(c.now) {
				view.Late++
			}
			change(&r, k)
			g.Rows = append(g.Rows, r)
		}
		if len(g.Rows) > 0 {
			view.Groups = append(view.Groups, g)
		}
	}
	group("i-clock-exclamation", "answer", t.AnswerFirst, func(r *todayRow, k ticket.Ticket) {
		r.Take = k.Assignee == ""
		r.Verb = c.T("web.answer.do")
		r.Main = len(view.Groups) == 0 && r.Number == t.AnswerFirst[0].Number
	})
	group("i-message-reply", "replied", t.Replied, func(r *todayRow, k ticket.Ticket) {
		r.Verb = c.T("web.answer.do")
		if r.Due.Text == "" {
			r.Due.Text = c.date(k.UpdatedAt)
		}
	})
	if len(t.Approved) > 0 {
		g := todayGroup{Icon: "i-clipboard-check", Text: c.T("tickets.today.approved"), Why: c.T("tickets.today.approved.why")}
		for _, p := range t.Approved {
			g.Rows = append(g.Rows, todayRow{Number: p.Number, Title: p.Title, Severity: mark{}, Who: p.DecidedName, Due: dueView{Text: c.T("tickets.approval."+string(p.State)) + ", " + c.date(p.DecidedAt)}, Href: c.ticketPath(p.Number), Verb: c.T("tickets.open")})
		}
		view.Groups = append(view.Groups, g)
	}
	group("i-user-check", "mine", t.Mine, func(*todayRow, ticket.Ticket) {})
	group("i-calendar-event", "planned", t.Planned, func(r *todayRow, k ticket.Ticket) { r.Due = dueView{Text: c.due(k.PausedUntil)} })
	group("i-user-question", "nobodys", t.Nobodys, func(r *todayRow, _ ticket.Ticket) { r.Take = true })
	view.Empty = len(view.Groups) == 0
	p := c.page("today", c.T("tickets.today"), view)
	return c.show("today", p)
}

// workView is what stands beside a ticket's thread about contract, approval, time and relatives.
type workView struct {
	Due        []dueLine
	Contract   string
	Category   string
	Queue      string
	Categories []choice
	Queues     []choice
	Approvals  []approvalLine
	MayAsk     bool // staff may ask for an approval
	Kinds      []choice
	ForName    string
	ForEmail   string
	Worked     []workedLine
	Sum        string
	Links      []linkLine
	Into       int64
	Watching   bool
	Watchers   []string
	OnDuty     string
	MayMerge   bool
	MayPart    bool
	MaySort    bool
	Replies    []choice
	Nobody     bool // it is nobody's
}

type dueLine struct{ What, At, Note, Class string }

type approvalLine struct{ Href, Icon, Text, Class string }

type workedLine struct {
	ID, Who, Minutes, Note string
	Mine, Billable         bool
}

type linkLine struct {
	Number int64
	Text   string
}

// work fills in what stands beside the thread.
func (s *Server) work(c *call, v deskticket.View, staff bool) (w workView, err error) {
	k := v.Ticket
	w.Contract, w.Category, w.Queue, w.Watching, w.Into, w.OnDuty = v.Contract, v.Category, k.QueueName, v.Watching, v.Into, v.OnDuty
	w.Nobody = k.Assignee == ""
	if v.Promises {
		w.Due = c.dues(v.State, staff)
	}
	for _, p := range v.Approvals {
		line := approvalLine{Href: "/approvals/" + p.ID, Icon: "i-clock", Text: c.T("tickets.approval." + string(p.State))}
		switch {
		case p.Open() && len(v.Approvers) > 0:
			line.Text = c.T("tickets.waits.for", "Names", strings.Join(v.Approvers, ", "), "When", c.date(p.AskedAt))
		case p.Open():
			line.Icon, line.Text, line.Class = "i-alert-circle", c.T("tickets.waits.nobody"), "tb-warn"
		case p.State == ticket.Approved:
			line.Icon, line.Text, line.Class = "i-circle-check", c.T("tickets.approved.by", "Name", p.DecidedName, "When", c.date(p.DecidedAt)), "tb-good"
		case p.State == ticket.Declined:
			line.Icon, line.Text = "i-circle-x", c.T("tickets.declined.by", "Name", p.DecidedName, "When", c.date(p.DecidedAt))
		}
		w.Approvals = append(w.Approvals, line)
	}
	if v.Follows > 0 {
		w.Links = append(w.Links, linkLine{v.Follows, c.T("tickets.link.follows")})
	}
	for _, f := range v.Following {
		w.Links = append(w.Links, linkLine{f.Number, c.T("tickets.link.followed")})
	}
	for _, n := range v.Merged {
		w.Links = append(w.Links, linkLine{n, c.T("tickets.link.merged")})
	}
	if !staff {
		return w, nil
	}
	p := ticket.Party{Rights: c.actor.RightsIn(k.Organization), Mine: v.Mine}
	w.MayAsk = k.Check(ticket.Hold, p, c.now) == nil || k.Held()
	w.MayMerge = k.Check(ticket.Join, p, c.now) == nil
	w.MayPart = k.Check(ticket.Part, p, c.now) == nil
	w.MaySort = k.Check(ticket.Rate, p, c.now) == nil
	w.ForName, w.ForEmail = contactName(k.Requester), k.Requester.Email
	for _, kind := range ticket.ApprovalKinds {
		w.Kinds = append(w.Kinds, choice{Code: string(kind), Word: c.T("mail.approval.kind." + string(kind))})
	}
	sorting, err := s.o.Tickets.Sorting(c.ctx, c.actor)
	if err != nil {
		return w, err
	}
	for _, g := range sorting.Categories {
		w.Categories = append(w.Categories, choice{Code: string(g.ID), Word: g.Name(c.Language()), Current: string(g.ID) == k.Category})
	}
	for _, q := range sorting.Queues {
		w.Queues = append(w.Queues, choice{Code: string(q.ID), Word: q.Name, Current: q.ID == k.Queue})
	}
	minutes := 0
	for _, e := range v.Worked {
		minutes += e.Minutes
		w.Worked = append(w.Worked, workedLine{ID: e.ID, Who: e.AccountName, Minutes: c.minutes(e.Minutes), Note: e.Note, Mine: e.Account == c.actor.Account, Billable: e.Billable})
	}
	w.Sum = c.minutes(minutes)
	for _, a := range v.Watchers {
		w.Watchers = append(w.Watchers, a.Name)
	}
	if k.Status == ticket.Closed {
		return w, nil
	}
	replies, err := s.o.Tickets.Replies(c.ctx, c.actor, k)
	for _, r := range replies {
		w.Replies = append(w.Replies, choice{Code: r.ID, Word: r.Name})
	}
	return w, err
}

// dues are the promises of the contract as lines.
func (c *call) dues(s sla.State, staff bool) (list []dueLine) {
	add := func(what string, d sla.Due) {
		if d.Budget == 0 {
			return
		}
		l := dueLine{What: c.T("tickets.due." + what), At: c.due(d.At)}
		switch {
		case !d.Met.IsZero() && d.Missed:
			l.Note, l.Class = c.T("tickets.met.late", "When", c.date(d.Met)), "soon"
		case !d.Met.IsZero():
			l.Note = c.T("tickets.met", "When", c.date(d.Met))
		case d.Stands:
			l.At, l.Note = "", c.T("tickets.stands", "Left", c.minutes(int(max(d.Left(), 0).Minutes())))
		case d.Missed:
			l.Note, l.Class = c.T("tickets.overdue"), "soon"
		case staff && d.Running:
			l.Note = c.T("tickets.left", "Left", c.minutes(int(d.Left().Minutes())))
		}
		list = append(list, l)
	}
	add("first", s.First)
	add("solution", s.Solution)
	if s.Next.Running {
		add("next", s.Next)
	}
	return list
}

// minutes is "45 min" or "6 h 48 min".
func (c *call) minutes(n int) string {
	if n < 60 {
		return c.T("tickets.minutes", "Minutes", n)
	}
	return c.T("tickets.hours", "Hours", n/60, "Minutes", n%60)
}

// sortTicket sets category and queue.
func (s *Server) sortTicket(c *call) error {
	return s.onTicket(c, "sorted", func(k ticket.Ticket) error {
		return s.o.Tickets.Sort(c.ctx, c.actor, k.ID, ticket.CategoryID(c.r.PostFormValue("category")), ticket.QueueID(c.r.PostFormValue("queue")))
	})
}

// onTicket runs a form of a ticket's page and returns to it.
func (s *Server) onTicket(c *call, done string, f func(ticket.Ticket) error) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	if err := f(v.Ticket); err != nil {
		return err
	}
	return c.redirect(c.ticketPath(v.Ticket.Number) + "?done=" + done)
}

// bookTime books minutes on a ticket.
func (s *Server) bookTime(c *call) error {
	return s.onTicket(c, "booked", func(k ticket.Ticket) error {
		n, err := strconv.Atoi(strings.TrimSpace(c.r.PostFormValue("minutes")))
		if err != nil {
			return desk.Fail(ticket.ErrMinutes)
		}
		_, err = s.o.Tickets.BookTime(c.ctx, c.actor, k.ID, n, c.r.PostFormValue("note"), c.r.PostFormValue("billable") == "yes", time.Time{})
		return err
	})
}

// unbookTime takes booked time back.
func (s *Server) unbookTime(c *call) error {
	return s.onTicket(c, "unbooked", func(k ticket.Ticket) error {
		return s.o.Tickets.UnbookTime(c.ctx, c.actor, k.ID, c.r.PostFormValue("entry"))
	})
}

// watch lets the reader follow a ticket, or not any more.
func (s *Server) watch(c *call) error {
	on := c.r.PostFormValue("on") == "yes"
	done := "unwatched"
	if on {
		done = "watched"
	}
	return s.onTicket(c, done, func(k ticket.Ticket) error { return s.o.Tickets.Watch(c.ctx, c.actor, k.ID, on) })
}

// merge merges a ticket into another one.
func (s *Server) merge(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(c.r.PostFormValue("into")), "#"), 10, 64)
	if err != nil {
		return errNotFound
	}
	if err := s.o.Tickets.Merge(c.ctx, c.actor, v.Ticket.ID, n); err != nil {
		return err
	}
	return c.redirect(c.ticketPath(n) + "?done=merged")
}

// unmerge takes a merge back.
func (s *Server) unmerge(c *call) error {
	return s.onTicket(c, "unmerged", func(k ticket.Ticket) error { return s.o.Tickets.Unmerge(c.ctx, c.actor, k.ID) })
}

// bulk does one thing to several tickets.
func (s *Server) bulk(c *call) error {
	var b deskticket.Bulk
	for _, n := range c.r.PostForm["n"] {
		if number, err := strconv.ParseInt(n, 10, 64); err == nil {
			b.Numbers = append(b.Numbers, number)
		}
	}
	what, arg, _ := strings.Cut(c.r.PostFormValue("do"), ":")
	switch what {
	case "take":
		b.Assign = &c.actor.Account
	case "status":
		b.Status = ticket.Status(arg)
	case "severity":
		b.Severity = api.Severity(arg)
	case "queue":
		q := ticket.QueueID(arg)
		b.Queue = &q
	default:
		return desk.Fail(desk.ErrInvalid)
	}
	done, err := s.o.Tickets.ForAll(c.ctx, c.actor, b)
	if err != nil {
		return err
	}
	back := local(c.r.PostFormValue("back"), "/tickets")
	u, err := url.Parse(back)
	if err != nil || u.Path != "/tickets" {
		u = &url.URL{Path: "/tickets"}
	}
	q := u.Query()
	q.Set("changed", strconv.Itoa(done.Changed))
	q.Set("failed", strconv.Itoa(len(done.Failed)))
	u.RawQuery = q.Encode()
	return c.redirect(u.String())
}

// phoneView is the form for a caller.
type phoneView struct {
	Name, Title, Email, Phone field
	Devices                   []choice
	Error                     string
}

func (s *Server) phone(c *call) error {
	if !c.actor.Staff() {
		return errNotFound
	}
	return s.showPhone(c, http.StatusOK, deskticket.Phone{}, nil)
}

func (s *Server) showPhone(c *call, status int, p deskticket.Phone, problem error) error {
	view := phoneView{
		Name:  field{Name: "name", Label: c.T("tickets.phone.name") + " *", Type: "text", Value: p.Name, Max: api.MaxName, Required: true, Focus: true, Auto: "off"},
		Title: field{Name: "title", Label: c.T("web.new.title") + " *", Hint: c.T("web.new.title.hint"), Type: "text", Value: p.Title, Max: api.MaxTitle, Required: true, Auto: "off"},
		Email: field{Name: "email", Label: c.T("web.email"), Type: "email", Value: p.Email, Max: api.MaxEmail, Auto: "off"},
		Phone: field{Name: "phone", Label: c.T("web.phone"), Type: "tel", Value: p.Phone, Max: api.MaxName, Auto: "off"},
	}
	if problem != nil {
		view.Error = desk.Text(problem, c.Language())
	}
	list, err := s.devicesFor(c)
	if err != nil {
		return err
	}
	for _, d := range list {
		view.Devices = append(view.Devices, choice{Code: string(d.ID), Word: d.Name + " · " + d.OrganizationName, Current: d.ID == p.Device})
	}
	pg := c.page("today", c.T("tickets.phone"), view)
	return c.showAs(status, "phone", pg)
}

func (s *Server) helpByPhone(c *call) error {
	get := c.r.PostFormValue
	p := deskticket.Phone{Name: get("name"), Title: get("title"), Email: strings.TrimSpace(get("email")), Phone: strings.TrimSpace(get("phone")), Device: device.ID(get("device")), Answered: get("answered") == "yes"}
	k, err := s.o.Tickets.HelpByPhone(c.ctx, c.actor, p)
	if problemOf(err) {
		return s.showPhone(c, http.StatusUnprocessableEntity, p, err)
	}
	if err != nil {
		return err
	}
	return c.redirect(c.ticketPath(k.Number) + "?done=created")
}

// alikeView is the line under the title that says that others have reported the same.
type alikeView struct {
	Text   string
	Ticket string
	Own    int64
}

// similar is the fragment under the title while it is typed.
func (s *Server) similar(c *call) error {
	view, err := s.alike(c, clip(c.r.URL.Query().Get("title"), api.MaxTitle))
	if err != nil {
		return err
	}
	return c.showAs(http.StatusOK, "similar", c.page("new", c.T("web.create"), view))
}

func (s *Server) alike(c *call, title string) (view alikeView, err error) {
	a, err := s.o.Tickets.Similar(c.ctx, c.actor, title, "")
	if err != nil {
		return view, err
	}
	view.Own = a.Own
	if a.People > 0 {
		ago := max(int(c.now.Sub(a.Since).Minutes()), 1)
		when := c.T("tickets.ago.minutes", "Count", ago)
		if ago >= 90 {
			when = c.T("tickets.ago.hours", "Count", (ago+30)/60)
		}
		view.Text, view.Ticket = c.T("tickets.alike", "Count", a.People, "Ago", when), string(a.Ticket)
	}
	return view, nil
}

// meToo adds the reader to a colleague's ticket.
func (s *Server) meToo(c *call) error {
	if err := s.o.Tickets.MeToo(c.ctx, c.actor, ticket.ID(c.r.PostFormValue("ticket")), "", ""); err != nil {
		return err
	}
	return c.redirect("/tickets?done=joined")
}

// problemOf reports whether a form is shown again with the error.
func problemOf(err error) bool {
	return err != nil && (isKind(err, desk.ErrInvalid) || isKind(err, desk.ErrConflict))
}

// queueViews are the ways to look at the list besides its statuses.
func (s *Server) queueViews(c *call, current string, link func(...string) string) ([]choice, string, error) {
	sorting, err := s.o.Tickets.Sorting(c.ctx, c.actor)
	if err != nil {
		return nil, "", err
	}
	list := []choice{{Code: link("view", ""), Word: c.T("tickets.view.all"), Current: current == ""}, {Code: link("view", "mine"), Word: c.T("tickets.view.mine"), Current: current == "mine"},
		{Code: link("view", "nobody"), Word: c.T("tickets.view.nobody"), Current: current == "nobody"}, {Code: link("view", "late"), Word: c.T("tickets.view.late"), Current: current == "late"},
		{Code: link("view", "held"), Word: c.T("tickets.view.held"), Current: current == "held"}}
	for _, q := range sorting.Queues {
		list = append(list, choice{Code: link("view", "queue-"+string(q.ID)), Word: q.Name, Current: current == "queue-"+string(q.ID)})
	}
	name := c.T("tickets.view.all")
	for _, v := range list {
		if v.Current {
			name = v.Word
		}
	}
	return list, name, nil
}

// staffList fills in what only staff sees around the list: its views and what can be done to several tickets.
func (s *Server) staffList(c *call, view *ticketsView, current string, link func(...string) string) (err error) {
	if view.Views, view.View, err = s.queueViews(c, current, link); err != nil {
		return err
	}
	view.Current = current
	view.Bulk = []choice{{Code: "take", Word: c.T("web.take.it")}}
	for _, st := range []ticket.Status{ticket.Open, ticket.Waiting, ticket.Resolved, ticket.Closed} {
		view.Bulk = append(view.Bulk, choice{Code: "status:" + string(st), Word: c.T("tickets.bulk.status", "Status", c.T("word.status."+string(st)))})
	}
	for _, sv := range api.Severities {
		view.Bulk = append(view.Bulk, choice{Code: "severity:" + string(sv), Word: c.T("tickets.bulk.severity", "Severity", c.T("word.severity."+string(sv)))})
	}
	for _, v := range view.Views {
		if _, id, ok := strings.Cut(v.Code, "view=queue-"); ok {
			id, _, _ = strings.Cut(id, "&")
			view.Bulk = append(view.Bulk, choice{Code: "queue:" + id, Word: c.T("tickets.bulk.queue", "Name", v.Word)})
		}
	}
	q := c.r.URL.Query()
	if n, err := strconv.Atoi(q.Get("changed")); err == nil {
		failed, _ := strconv.Atoi(q.Get("failed"))
		view.Changed = c.T("tickets.bulk.done", "Count", n)
		if failed > 0 {
			view.Changed += " " + c.T("tickets.bulk.failed", "Count", failed)
		}
	}
	return nil
}

// viewFilter puts a view's choice into the filter.
func viewFilter(view string, f *deskticket.Filter) {
	switch view {
	case "mine":
		f.Mine, f.Live = true, f.Status == ""
	case "nobody":
		f.Nobodys, f.Live = true, f.Status == ""
	case "late":
		f.Overdue = true
	case "held":
		f.Held = true
	default:
		if q, ok := strings.CutPrefix(view, "queue-"); ok && len(q) <= 36 {
			f.Queue, f.Live = account.Queue(q), f.Status == ""
		}
	}
}

// reply is a standard reply as a draft of the answer.
func (s *Server) reply(c *call, k ticket.Ticket, id string) (string, error) {
	list, err := s.o.Tickets.Replies(c.ctx, c.actor, k)
	if err != nil {
		return "", err
	}
	for _, r := range list {
		if r.ID == id {
			return r.Texts[k.Language], nil
		}
	}
	return "", nil
}

// expected is the notice after filing a ticket for which an answer is promised.
func (c *call) expected() *notice {
	n := &notice{Kind: "good", Icon: "i-circle-check"}
	number, err := strconv.ParseInt(c.r.PathValue("number"), 10, 64)
	if err != nil {
		return nil
	}
	v, err := c.s.o.Tickets.ByNumber(c.ctx, c.actor, number)
	if err != nil {
		return nil // the page itself says what is wrong
	}
	n.Text = c.T("web.done.created", "Number", number)
	if at := v.Ticket.Promise.FirstDue; at.After(c.now) {
		n.Text += " " + c.T("tickets.expected", "When", c.due(at))
	}
	return n
}
