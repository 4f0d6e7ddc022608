package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// setupParts are the pages of Administration > Tickets, in their order.
var setupParts = []string{"categories", "queues", "contracts", "calendars", "organizations", "replies", "duty"}

// setupView is one page of Administration > Tickets.
type setupView struct {
	Part          string
	Tabs          []tab
	Error         string
	Categories    []categoryForm
	Queues        []queueForm
	Contracts     []contractForm
	Calendars     []calendarForm
	Organizations []organizationForm
	Replies       []replyForm
	Duties        []dutyForm
	Calendarless  bool // a contract needs a calendar first
	Languages     []languageChoice
}

type wording struct{ Language, Name, Value string }

type categoryForm struct {
	ID, Name, About string
	Names           []wording
	Kinds, Queues   []choice
	Archived        bool
	Version         int64
	Position        int
}

type queueForm struct {
	ID, Name string
	Leads    []choice
	Archived bool
	Version  int64
}

type contractForm struct {
	ID, Name, About string
	Calendars       []choice
	Targets         []targetForm
	Always          bool
	Standard        bool
	Version         int64
}

type targetForm struct {
	Severity              mark
	First, Solution, Next string
}

type calendarForm struct {
	ID, Name, Zone, About string
	Always                bool
	Days                  []wording
	Holidays              string
	Version               int64
}

type organizationForm struct {
	ID, Name  string
	Contracts []choice
	Kinds     []choice
}

type replyForm struct {
	ID, Name   string
	Categories []choice
	Texts      []wording
	Version    int64
}

type dutyForm struct {
	Scope, Name, Now string
	Zone             string
	Shifts           []shiftForm
	Exceptions       []exceptionForm
	Fallback         []choice
}

type shiftForm struct {
	N        int
	Days     []choice
	From, To string
	Who      []choice
}

type exceptionForm struct {
	N        int
	From, To string
	Who      []choice
}

func (s *Server) setup(c *call) error { return s.showSetup(c, http.StatusOK, nil) }

func (s *Server) showSetup(c *call, status int, problem error) error {
	set, err := s.o.Tickets.Setup(c.ctx, c.actor)
	if err != nil {
		return err
	}
	part := c.r.PathValue("part")
	view := setupView{Part: part}
	known := false
	for _, p := range setupParts {
		known = known || p == part
		view.Tabs = append(view.Tabs, tab{Href: "/administration/tickets/" + p, Text: c.T("tickets.setup." + p), Current: p == part})
	}
	if !known {
		return errNotFound
	}
	if problem != nil {
		view.Error = desk.Text(problem, c.Language())
	}
	switch part {
	case "categories":
		c.categoryForms(set, &view)
	case "queues":
		for _, q := range append(set.Queues, ticket.Queue{}) {
			view.Queues = append(view.Queues, queueForm{ID: string(q.ID), Name: q.Name, Leads: persons(set.Staff, q.Lead), Archived: q.Archived, Version: q.Version})
		}
	case "contracts":
		c.contractForms(set, &view)
	case "calendars":
		c.calendarForms(set, &view)
	case "organizations":
		c.organizationForms(set, &view)
	case "replies":
		c.replyForms(set, &view)
	case "duty":
		c.dutyForms(set, &view)
	}
	return c.showAs(status, "setup", c.page("administration", c.T("tickets.setup"), view))
}

func persons(staff []account.Account, current account.ID) (list []choice) {
	for _, a := range staff {
		list = append(list, choice{Code: string(a.ID), Word: a.Name, Current: a.ID == current})
	}
	return list
}

func (c *call) categoryForms(set deskticket.Setup, view *setupView) {
	for _, k := range append(set.Categories, ticket.Category{Position: len(set.Categories)}) {
		f := categoryForm{ID: string(k.ID), Name: k.Name(c.Language()), Archived: k.Archived, Version: k.Version, Position: k.Position}
		for _, l := range catalogue.Languages {
			f.Names = append(f.Names, wording{l, catalogue.Names[l], k.Names[l]})
		}
		f.Kinds = []choice{{Code: "", Word: c.T("tickets.kind.plain"), Current: k.Kind == ticket.Plain}}
		for _, kind := range ticket.ApprovalKinds {
			f.Kinds = append(f.Kinds, choice{Code: string(kind), Word: c.T("mail.approval.kind." + string(kind)), Current: k.Kind == kind})
		}
		var about []string
		if k.Kind != ticket.Plain {
			about = append(about, c.T("mail.approval.kind."+string(k.Kind)))
		}
		for _, q := range set.Queues {
			if q.Archived && q.ID != k.Queue {
				continue
			}
			f.Queues = append(f.Queues, choice{Code: string(q.ID), Word: q.Name, Current: q.ID == k.Queue})
			if q.ID == k.Queue {
				about = append(about, q.Name)
			}
		}
		f.About = strings.Join(about, " · ")
		view.Categories = append(view.Categories, f)
	}
}

func (c *call) contractForms(set deskticket.Setup, view *setupView) {
	view.Calendarless = len(set.Calendars) == 0
	hours := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return strconv.FormatFloat(d.Hours(), 'f', -1, 64)
	}
	for _, k := range append(set.Contracts, ticket.Contract{Standard: len(set.Contracts) == 0}) {
		f := contractForm{ID: k.ID, Name: k.Name, Always: k.AlwaysCritical, Standard: k.Standard, Version: k.Version, About: k.Calendar.Name}
		for _, cal := range set.Calendars {
			f.Calendars = append(f.Calendars, choice{Code: cal.ID, Word: cal.Name, Current: cal.ID == k.CalendarID})
		}
		for _, sv := range api.Severities {
			t := k.Targets[sv]
			f.Targets = append(f.Targets, targetForm{c.severity(sv), hours(t.First), hours(t.Solution), hours(t.Next)})
		}
		if k.Standard && k.ID != "" {
			f.About += " · " + c.T("tickets.contract.standard.short")
		}
		view.Contracts = append(view.Contracts, f)
	}
}

// week are the days in the order in which people here read them.
var week = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

func (c *call) calendarForms(set deskticket.Setup, view *setupView) {
	fresh := ticket.Calendar{Calendar: sla.Calendar{Zone: c.zone.String()}}
	for _, d := range week[:5] {
		fresh.Week = append(fresh.Week, sla.Interval{Day: d, From: 9 * 60, To: 18 * 60})
	}
	if fresh.Zone == "Local" {
		fresh.Zone = "Europe/Rome"
	}
	for _, k := range append(set.Calendars, fresh) {
		f := calendarForm{ID: k.ID, Name: k.Name, Zone: k.Zone, Always: k.Always, Version: k.Version, About: k.Zone}
		for _, d := range week {
			var parts []string
			for _, i := range k.Week {
				if i.Day == d {
					parts = append(parts, sla.Clock(i.From)+"-"+sla.Clock(i.To))
				}
			}
			f.Days = append(f.Days, wording{strconv.Itoa(int(d)), c.T("tickets.day." + strconv.Itoa(int(d))), strings.Join(parts, ", ")})
		}
		var lines []string
		for _, h := range k.Holidays {
			line := twoDigits(h.Day) + "." + twoDigits(int(h.Month)) + "."
			if h.Year > 0 {
				line += strconv.Itoa(h.Year)
			}
			lines = append(lines, strings.TrimSpace(line+" "+h.Name))
		}
		f.Holidays = strings.Join(lines, "\n")
		view.Calendars = append(view.Calendars, f)
	}
}

func twoDigits(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func (c *call) organizationForms(set deskticket.Setup, view *setupView) {
	for _, o := range set.Organizations {
		f := organizationForm{ID: string(o.ID), Name: o.Name}
		for _, k := range set.Contracts {
			f.Contracts = append(f.Contracts, choice{Code: k.ID, Word: k.Name, Current: set.ContractOf[o.ID] == k.ID})
		}
		for _, kind := range ticket.ApprovalKinds {
			on := false
			for _, has := range set.Approvals[o.ID] {
				on = on || has == kind
			}
			f.Kinds = append(f.Kinds, choice{Code: string(kind), Word: c.T("mail.approval.kind." + string(kind)), Current: on})
		}
		view.Organizations = append(view.Organizations, f)
	}
}

func (c *call) replyForms(set deskticket.Setup, view *setupView) {
	for _, r := range append(set.Replies, ticket.Reply{}) {
		f := replyForm{ID: r.ID, Name: r.Name, Version: r.Version}
		for _, k := range set.Categories {
			f.Categories = append(f.Categories, choice{Code: string(k.ID), Word: k.Name(c.Language()), Current: k.ID == r.Category})
		}
		for _, l := range catalogue.Languages {
			f.Texts = append(f.Texts, wording{l, catalogue.Names[l], r.Texts[l]})
		}
		view.Replies = append(view.Replies, f)
	}
}

func (c *call) dutyForms(set deskticket.Setup, view *setupView) {
	names := map[account.ID]string{}
	for _, a := range set.Staff {
		names[a.ID] = a.Name
	}
	add := func(scope, name string) {
		p, ok := set.Duties[scope]
		if !ok {
			p.Zone = c.zone.String()
			if p.Zone == "Local" {
				p.Zone = "Europe/Rome"
			}
		}
		f := dutyForm{Scope: scope, Name: name, Zone: p.Zone, Fallback: persons(set.Staff, p.Fallback), Now: c.T("tickets.duty.none")}
		if who, planned := p.OnDuty(c.now); who != "" {
			f.Now = c.T("tickets.duty.now", "Name", names[who])
			if !planned {
				f.Now = c.T("tickets.duty.fallback.now", "Name", names[who])
			}
		} else if !ok {
			f.Now = c.T("tickets.duty.unset")
		}
		for i := range len(p.Shifts) + 3 {
			sh := sla.Shift{Interval: sla.Interval{Day: time.Monday}}
			row := shiftForm{N: i}
			if i < len(p.Shifts) {
				sh = p.Shifts[i]
				row.From, row.To = sla.Clock(sh.From), sla.Clock(sh.To)
			}
			for _, d := range week {
				row.Days = append(row.Days, choice{Code: strconv.Itoa(int(d)), Word: c.T("tickets.day." + strconv.Itoa(int(d))), Current: d == sh.Day})
			}
			row.Who = persons(set.Staff, sh.Who)
			f.Shifts = append(f.Shifts, row)
		}
		zone, err := time.LoadLocation(p.Zone)
		if err != nil {
			zone = time.UTC
		}
		for i := range len(p.Exceptions) + 1 {
			row := exceptionForm{N: i}
			var who account.ID
			if i < len(p.Exceptions) {
				e := p.Exceptions[i]
				who, row.From, row.To = e.Who, e.From.In(zone).Format("2006-01-02T15:04"), e.To.In(zone).Format("2006-01-02T15:04")
			}
			row.Who = persons(set.Staff, who)
			f.Exceptions = append(f.Exceptions, row)
		}
		view.Duties = append(view.Duties, f)
	}
	add("all", c.T("tickets.duty.all"))
	for _, q := range set.Queues {
		if !q.Archived {
			add("que:"+string(q.ID), c.T("tickets.duty.queue", "Name", q.Name))
		}
	}
	for _, o := range set.Organizations {
		if !o.Provider {
			add("org:"+string(o.ID), o.Name)
		}
	}
}

// saveSetup takes one form of a page of Administration > Tickets.
func (s *Server) saveSetup(c *call) error {
	err := s.setupForm(c)
	if problemOf(err) {
		return s.showSetup(c, http.StatusUnprocessableEntity, err)
	}
	if err != nil {
		return err
	}
	return c.redirect("/administration/tickets/" + c.r.PathValue("part") + "?done=set")
}

func (s *Server) setupForm(c *call) error {
	get, t := c.r.PostFormValue, s.o.Tickets
	version, _ := strconv.ParseInt(get("version"), 10, 64)
	texts := map[string]string{}
	for _, l := range catalogue.Languages {
		texts[l] = get("text-" + l)
	}
	switch c.r.PathValue("part") {
	case "categories":
		position, _ := strconv.Atoi(get("position"))
		return t.SaveCategory(c.ctx, c.actor, ticket.Category{ID: ticket.CategoryID(get("id")), Names: texts, Kind: ticket.CategoryKind(get("kind")), Queue: ticket.QueueID(get("queue")), Position: position, Archived: get("archived") == "yes", Version: version})
	case "queues":
		return t.SaveQueue(c.ctx, c.actor, ticket.Queue{ID: ticket.QueueID(get("id")), Name: get("name"), Lead: account.ID(get("lead")), Archived: get("archived") == "yes", Version: version})
	case "contracts":
		k, err := contractOf(c)
		if err != nil {
			return desk.Fail(err)
		}
		k.Version = version
		return t.SaveContract(c.ctx, c.actor, k)
	case "calendars":
		k, err := calendarOf(c)
		if err != nil {
			return desk.Fail(err)
		}
		k.Version = version
		return t.SaveCalendar(c.ctx, c.actor, k)
	case "organizations":
		o := account.OrganizationID(get("id"))
		if err := t.SetContract(c.ctx, c.actor, o, get("contract")); err != nil {
			return err
		}
		var kinds []ticket.CategoryKind
		for _, k := range c.r.PostForm["kind"] {
			kinds = append(kinds, ticket.CategoryKind(k))
		}
		return t.SetApprovals(c.ctx, c.actor, o, kinds)
	case "replies":
		if get("do") == "delete" {
			return t.DeleteReply(c.ctx, c.actor, get("id"))
		}
		return t.SaveReply(c.ctx, c.actor, ticket.Reply{ID: get("id"), Name: get("name"), Category: ticket.CategoryID(get("category")), Texts: texts, Version: version})
	case "duty":
		p, err := dutyOf(c)
		if err != nil {
			return desk.Fail(err)
		}
		return t.SetDuty(c.ctx, c.actor, get("scope"), p)
	}
	return errNotFound
}

// contractOf reads a contract's form; times are hours.
func contractOf(c *call) (k ticket.Contract, err error) {
	get := c.r.PostFormValue
	k = ticket.Contract{ID: get("id"), CalendarID: get("calendar"), Standard: get("standard") == "yes", Contract: sla.Contract{Name: strings.TrimSpace(get("name")), AlwaysCritical: get("always") == "yes", Targets: map[api.Severity]sla.Target{}}}
	read := func(name string) time.Duration {
		s := strings.ReplaceAll(strings.TrimSpace(get(name)), ",", ".")
		if s == "" {
			return 0
		}
		f, e := strconv.ParseFloat(s, 64)
		if e != nil || f <= 0 || f > 9000 {
			err = sla.ErrTargets
		}
		return (time.Duration(f*3600) * time.Second).Truncate(time.Minute)
	}
	for _, sv := range api.Severities {
		t := sla.Target{First: read("first-" + string(sv)), Solution: read("solution-" + string(sv)), Next: read("next-" + string(sv))}
		if t != (sla.Target{}) {
			k.Targets[sv] = t
		}
	}
	return k, err
}

// calendarOf reads a calendar's form: hours like "08:00-13:00, 14:00-18:00", holidays like "25.12." in lines.
func calendarOf(c *call) (k ticket.Calendar, err error) {
	get := c.r.PostFormValue
	k = ticket.Calendar{ID: get("id"), Calendar: sla.Calendar{Name: strings.TrimSpace(get("name")), Zone: strings.TrimSpace(get("zone")), Always: get("always") == "yes"}}
	for _, d := range week {
		for _, part := range strings.FieldsFunc(get("day-"+strconv.Itoa(int(d))), func(r rune) bool { return r == ',' || r == ';' }) {
			part = strings.ReplaceAll(strings.TrimSpace(part), "–", "-")
			if part == "" {
				continue
			}
			a, b, ok := strings.Cut(part, "-")
			from, err1 := sla.ParseClock(strings.TrimSpace(a))
			to, err2 := sla.ParseClock(strings.TrimSpace(b))
			if !ok || err1 != nil || err2 != nil {
				return k, sla.ErrHours
			}
			k.Week = append(k.Week, sla.Interval{Day: d, From: from, To: to})
		}
	}
	for _, line := range strings.Split(get("holidays"), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		date, name, _ := strings.Cut(line, " ")
		f := strings.Split(strings.TrimSuffix(date, "."), ".")
		if len(f) < 2 || len(f) > 3 {
			return k, sla.ErrHolidays
		}
		var n [3]int
		for i := range f {
			if n[i], err = strconv.Atoi(f[i]); err != nil {
				return k, sla.ErrHolidays
			}
		}
		k.Holidays = append(k.Holidays, sla.Holiday{Day: n[0], Month: time.Month(n[1]), Year: n[2], Name: strings.TrimSpace(name)})
	}
	return k, nil
}

// dutyOf reads a duty plan's form. Rows without a person are left out.
func dutyOf(c *call) (p sla.Plan, err error) {
	get := c.r.PostFormValue
	p = sla.Plan{Zone: strings.TrimSpace(get("zone")), Fallback: account.ID(get("fallback"))}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return p, sla.ErrZone
	}
	for i := range 200 {
		n := strconv.Itoa(i)
		if who := account.ID(get("who-" + n)); who != "" {
			day, err := strconv.Atoi(get("day-" + n))
			from, err1 := sla.ParseClock(strings.TrimSpace(get("from-" + n)))
			to, err2 := sla.ParseClock(strings.TrimSpace(get("to-" + n)))
			if err != nil || err1 != nil || err2 != nil {
				return p, sla.ErrHours
			}
			p.Shifts = append(p.Shifts, sla.Shift{Interval: sla.Interval{Day: time.Weekday(day), From: from, To: to}, Who: who})
		}
		if who := account.ID(get("xwho-" + n)); who != "" {
			from, err1 := time.ParseInLocation("2006-01-02T15:04", get("xfrom-"+n), zone)
			to, err2 := time.ParseInLocation("2006-01-02T15:04", get("xto-"+n), zone)
			if err1 != nil || err2 != nil {
				return p, sla.ErrDuty
			}
			p.Exceptions = append(p.Exceptions, sla.Exception{From: from.UTC(), To: to.UTC(), Who: who})
		}
	}
	return p, nil
}
