package web

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
)

// perPage is how many tickets stand on one page of the list.
const perPage = 50

// ticketsView is the list of tickets.
type ticketsView struct {
	Scopes    []tab  // whose tickets: the organization\'s or the reader\'s own
	Self      string // the list's own address, for moving by itself
	Heading   string
	Results   string
	Query     string
	Status    string
	Tabs      []tab
	Staff     bool
	Columns   []column
	Rows      []ticketRow
	Empty     string
	Nothing   bool   // there is no ticket at all
	ClearHref string // shows all again
	Hint      string
	Views     []choice
	View      string // name of the current one
	Current   string // its code
	Bulk      []choice
	Changed   string     // what a bulk action has done
	Waits     *waitsView // requester: tickets that stand still until they answer
	Page      string
	Previous  string
	Next      string
}

type waitsView struct{ Text, Link, Href string }

type tab struct {
	Href, Code, Text string
	Count            int
	Current          bool
}

type column struct {
	Text, Href, Sorted, Icon string
	Middle                   bool
}

type ticketRow struct {
	Number              int64
	Title               string
	Status, Severity    mark
	Says                *says
	Requester, Assignee string
	Updated             when
	Takeable            bool
	Due                 dueView
	Answer              bool     // requester: an answer is waited for
	Acts                []choice // requester: still broken, close now
}

// says is a status in words for the requester.
type says struct {
	Text   string
	Strong bool
}

func (s *Server) tickets(c *call) error {
	q := c.r.URL.Query()
	staff := c.actor.May(account.TicketsWork)
	f := deskticket.Filter{Query: clip(q.Get("q"), 200), Limit: perPage, Device: device.ID(q.Get("device"))}
	if st, err := ticket.ParseStatus(q.Get("status")); err == nil {
		f.Status = st
	}
	f.Page, _ = strconv.Atoi(q.Get("page"))
	f.Ascending = q.Get("dir") == "asc"
	sort := q.Get("sort")
	switch sort {
	case "number":
		f.Sort = "number"
	case "status":
		f.Sort = "status"
	case "subject":
		f.Sort = "subject"
	case "severity":
		f.Sort = "severity"
	case "due":
		f.Sort = "due"
	default:
		sort, f.Sort = "updated", "updated"
	}
	f.Mine = !staff && q.Get("of") == "me"
	current := clip(q.Get("view"), 60)
	if staff {
		viewFilter(current, &f)
	}
	list, err := s.o.Tickets.List(c.ctx, c.actor, f)
	if err != nil {
		return err
	}
	// link is the list's address with some of its parameters replaced.
	link := func(change ...string) string {
		v := url.Values{}
		for _, k := range []string{"q", "status", "sort", "dir", "device", "of", "view"} {
			if q.Get(k) != "" {
				v.Set(k, q.Get(k))
			}
		}
		for i := 0; i+1 < len(change); i += 2 {
			if change[i+1] == "" {
				v.Del(change[i])
			} else {
				v.Set(change[i], change[i+1])
			}
		}
		if len(v) == 0 {
			return "/tickets"
		}
		return "/tickets?" + v.Encode()
	}
	view := ticketsView{
		Self: link("page", pageParam(list.Page)), Heading: c.T("web.tickets"), Results: c.T("word.results", "Count", list.Total), Query: f.Query, Status: string(f.Status), Staff: staff,
		Tabs: []tab{{Href: link("status", ""), Text: c.T("web.tickets.all"), Count: list.All, Current: f.Status == ""}},
	}
	if !staff {
		view.Heading = c.T("web.tickets.mine")
		if home, err := c.home(); err != nil {
			return err
		} else if home.MembersSeeAll || c.actor.Role == account.Responsible {
			view.Heading = c.T("web.tickets")
			view.Scopes = []tab{{Href: link("of", ""), Text: c.T("people.tickets.organization"), Current: !f.Mine}, {Href: link("of", "me"), Text: c.T("people.tickets.mine"), Current: f.Mine}}
		}
		if list.All > 0 {
			view.Hint = c.T("web.tickets.hint")
		}
		if n := list.Counts[ticket.Waiting]; n > 0 && f.Status == "" && f.Query == "" {
			view.Waits = &waitsView{Text: c.T("web.waits", "Count", n), Link: c.T("web.waits.show"), Href: link("status", string(ticket.Waiting))}
		}
	}
	if staff {
		if err := s.staffList(c, &view, current, link); err != nil {
			return err
		}
	}
	if list.More {
		view.Results = c.T("tickets.more", "Count", list.Total)
	}
	for _, st := range ticket.Statuses {
		view.Tabs = append(view.Tabs, tab{Href: link("status", string(st)), Code: string(st), Text: c.T("word.status." + string(st)), Count: list.Counts[st], Current: f.Status == st})
	}
	sorted := func(name, text string) column {
		col := column{Text: text}
		switch {
		case sort != name:
			first := "asc"
			if name == "updated" || name == "number" {
				first = ""
			}
			col.Href = link("sort", name, "dir", first)
		case f.Ascending:
			col.Href, col.Sorted, col.Icon = link("sort", name, "dir", ""), "ascending", "i-arrow-up"
		default:
			col.Href, col.Sorted, col.Icon = link("sort", name, "dir", "asc"), "descending", "i-arrow-down"
		}
		return col
	}
	view.Columns = []column{sorted("status", c.T("web.status")), sorted("number", c.T("web.id")), sorted("subject", c.T("web.subject"))}
	if staff {
		view.Columns = append(view.Columns, sorted("severity", c.T("web.severity")), column{Text: c.T("web.requester"), Middle: true}, column{Text: c.T("web.assignee"), Middle: true})
	}
	if staff {
		view.Columns = append(view.Columns, sorted("due", c.T("tickets.due")))
	} else {
		view.Columns = append(view.Columns, sorted("updated", c.T("web.updated")))
	}
	view.Columns = append(view.Columns, column{})
	for _, k := range list.Tickets {
		row := ticketRow{Number: k.Number, Title: k.Title, Status: c.status(k.Status), Severity: c.severity(k.Severity), Updated: c.when(k.UpdatedAt)}
		if staff {
			row.Due = c.soon(k.Promise.Soonest())
			row.Requester, row.Assignee = c.requester(k), k.AssigneeName
			if k.Assignee == "" {
				row.Assignee = c.T("web.nobody")
				row.Takeable = k.Status != ticket.Closed
			}
		} else {
			row.Says = c.says(k)
			mine := c.mine(k)
			row.Answer = mine && k.Status == ticket.Waiting
			if mine && k.Reopenable(c.now) {
				row.Acts = []choice{{Code: string(ticket.Open), Verb: c.T("web.verb.open")}, {Code: string(ticket.Closed), Verb: c.T("web.verb.closed")}}
			}
		}
		view.Rows = append(view.Rows, row)
	}
	if len(view.Rows) == 0 {
		switch {
		case f.Query != "" || f.Status != "" || f.Device != "" || current != "":
			view.Empty, view.ClearHref = c.T("web.tickets.nomatch"), "/tickets"
		case staff:
			view.Empty, view.Nothing = c.T("web.tickets.none.staff"), true
		default:
			view.Empty, view.Nothing = c.T("web.tickets.none"), true
		}
	}
	if list.Pages > 1 {
		view.Page = c.T("web.page", "Page", list.Page, "Pages", list.Pages)
		if list.Page > 1 {
			view.Previous = link("page", pageParam(list.Page-1))
		}
		if list.Page < list.Pages {
			view.Next = link("page", pageParam(list.Page+1))
		}
	}
	p := c.page("tickets", view.Heading, view)
	p.MainCreate = true
	return c.show("tickets", p)
}

// mine reports whether the reader may act on a ticket as its requester or responsible person.
func (c *call) mine(k ticket.Ticket) bool {
	return k.Requester.Account == c.actor.Account || c.actor.Role == account.Responsible && k.Organization == c.actor.Organization
}

func pageParam(n int) string {
	if n <= 1 {
		return ""
	}
	return strconv.Itoa(n)
}

func (c *call) status(s ticket.Status) mark {
	return mark{Code: string(s), Word: c.T("word.status." + string(s))}
}

// says tells a ticket's status in the words for its requester.
func (c *call) says(k ticket.Ticket) *says {
	switch k.Status {
	case ticket.New:
		if !k.Promise.FirstDue.IsZero() && k.Promise.FirstDue.After(c.now) {
			return &says{Text: c.T("tickets.says.new.by", "When", c.due(k.Promise.FirstDue))}
		}
		return &says{Text: c.T("web.says.new")}
	case ticket.Open:
		if k.AssigneeName == "" {
			return &says{Text: c.T("web.says.open.nobody")}
		}
		return &says{Text: c.T("web.says.open", "Name", first(k.AssigneeName))}
	case ticket.Waiting:
		if k.Held() {
			return &says{Text: c.T("tickets.says.held")}
		}
		return &says{Text: c.T("web.says.waiting"), Strong: true}
	case ticket.Paused:
		return &says{Text: c.T("web.says.paused", "Reason", k.Reason, "Day", c.day(k.PausedUntil))}
	case ticket.Resolved:
		if !k.Promise.WakeAt.IsZero() {
			return &says{Text: c.T("tickets.says.resolved", "Day", c.day(k.Promise.WakeAt))}
		}
		return &says{Text: c.T("web.says.resolved")}
	}
	return &says{Text: c.T("web.says.closed", "Day", c.day(k.ClosedAt))}
}

// first is the first word of a name.
func first(name string) string {
	if f := strings.Fields(name); len(f) > 0 {
		return f[0]
	}
	return name
}

// requester is how a ticket's requester is called; somebody who was forgotten has no name.
func (c *call) requester(k ticket.Ticket) string {
	name := contactName(k.Requester)
	if name == "" && k.Requester.Account != "" {
		return c.formerName(name)
	}
	return name
}

// contactName is how a requester is called: by name, else by address.
func contactName(k ticket.Contact) string {
	if k.Name != "" {
		return k.Name
	}
	return k.Email
}

// clip cuts what somebody typed to n characters.
func clip(s string, n int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// take gives the ticket to who asks.
func (s *Server) take(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	if err := s.o.Tickets.Take(c.ctx, c.actor, v.Ticket.ID); err != nil {
		return err
	}
	if back := c.r.PostFormValue("back"); strings.HasPrefix(back, "/tickets?") || back == "/tickets" || back == "/today" {
		return c.redirect(back)
	}
	return c.redirect(c.ticketPath(v.Ticket.Number) + "?done=taken")
}

func (c *call) ticketPath(number int64) string { return "/tickets/" + strconv.FormatInt(number, 10) }

// ticketOf loads the ticket that the address names.
func (s *Server) ticketOf(c *call) (deskticket.View, error) {
	n, err := strconv.ParseInt(c.r.PathValue("number"), 10, 64)
	if err != nil || n < 1 {
		return deskticket.View{}, errNotFound
	}
	return s.o.Tickets.ByNumber(c.ctx, c.actor, n)
}
