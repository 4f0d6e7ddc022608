// Package tray is the icon, menu and notifications in the user's login session. It registers the
// session with the device service, shows what the service tells, and starts a window for each thing
// that a person chooses or is asked.
//
// The menu is data: Menu is a pure function of the service's status, and an adapter of some lines
// puts it on the desktop. Only cmd/traybell-tray calls this package. It stays small because it runs
// all day: windows and browser pages are programs of their own.
package tray

import (
	"strings"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/catalogue"
)

// The ids of the menu's entries.
const (
	EntryEnd      = "end"
	EntryQuestion = "question"
	EntryState    = "state"
	EntryForm     = "form"
	EntryTickets  = "tickets"
	EntryAccess   = "access"
	EntryOpen     = "access-state"
	EntryChange   = "access-change"
	EntryHistory  = "history"
	EntryCall     = "call"
	EntryLink     = "link"
	EntryStatus   = "status"
	EntryAbout    = "about"
)

// Item is one entry of the menu. One without a title is a separator.
type Item struct {
	ID    string
	Title string
	Info  bool // tells something and can't be chosen
	Items []Item
}

// Icon is the icon's state.
type Icon int

// The states of the icon: the server is not reached, ready, a new answer, somebody sees the screen.
const (
	Outline Icon = iota
	Full
	Dot
	Eye
)

// View is all that the tray shows.
type View struct {
	Icon  Icon
	Tip   string
	Items []Item
}

// Menu is what the tray shows for a status; nil means that the service does not answer. An entry
// for something that can't be done now is absent.
func Menu(p *catalogue.Printer, st *localapi.Status, now time.Time) View {
	if st == nil {
		tip := p.T("tray.state.noservice")
		return View{Icon: Outline, Tip: tip, Items: []Item{{ID: EntryState, Title: tip, Info: true}, {}, {ID: EntryForm, Title: p.T("tray.form")}, {},
			{ID: EntryStatus, Title: p.T("tray.status")}, {ID: EntryAbout, Title: p.T("tray.about")}}}
	}
	state := stateLine(p, *st)
	v := View{Icon: icon(*st), Tip: tip(p, *st, state)}
	if names := connected(st.Sessions); names != "" {
		v.Items = append(v.Items, Item{ID: EntryEnd, Title: p.T("tray.end", "Name", names)})
	}
	if len(st.Waiting) > 0 {
		v.Items = append(v.Items, Item{ID: EntryQuestion, Title: p.T("tray.question", "Name", st.Waiting[0].Name)})
	}
	mine := p.T("tray.tickets")
	if st.Answers > 0 {
		mine = p.T("tray.tickets.new", "Count", st.Answers)
	}
	v.Items = append(v.Items,
		Item{ID: EntryState, Title: state, Info: true},
		Item{},
		Item{ID: EntryForm, Title: p.T("tray.form")},
		Item{ID: EntryTickets, Title: mine},
		Item{},
		Item{ID: EntryAccess, Title: p.T("tray.access"), Items: []Item{
			{ID: EntryOpen, Title: open(p, st.Grants, now), Info: true},
			{ID: EntryChange, Title: p.T("tray.access.change")},
			{ID: EntryHistory, Title: p.T("tray.history")},
		}})
	if st.SupportPhone != "" {
		v.Items = append(v.Items, Item{ID: EntryCall, Title: p.T("tray.call", "Phone", st.SupportPhone)})
	}
	if st.State != localapi.StateUnenrolled {
		v.Items = append(v.Items, Item{ID: EntryLink, Title: p.T("tray.link.menu")})
	}
	v.Items = append(v.Items, Item{ID: EntryStatus, Title: p.T("tray.status")}, Item{ID: EntryAbout, Title: p.T("tray.about")})
	return v
}

func stateLine(p *catalogue.Printer, st localapi.Status) string {
	org := st.TrayTitle
	if org == "" {
		org = st.Organization
	}
	if org == "" {
		org = "Traybell"
	}
	switch st.State {
	case localapi.StateReady:
		return p.T("tray.state.ready", "Organization", org)
	case localapi.StateUnenrolled:
		return p.T("tray.state.unenrolled")
	}
	return p.T("tray.state.offline", "Organization", org)
}

func icon(st localapi.Status) Icon {
	for _, s := range st.Sessions {
		if s.Sees && !s.Paused {
			return Eye
		}
	}
	switch {
	case st.State != localapi.StateReady:
		return Outline
	case st.Answers > 0:
		return Dot
	}
	return Full
}

// tip says the icon's state in words.
func tip(p *catalogue.Printer, st localapi.Status, state string) string {
	var seen, in []localapi.Session
	for _, s := range st.Sessions {
		if s.Sees && !s.Paused {
			seen = append(seen, s)
		}
		in = append(in, s)
	}
	switch {
	case len(seen) > 0:
		return p.T("tray.tip.seen", "Name", connected(seen))
	case len(in) > 0:
		return p.T("tray.tip.connected", "Name", connected(in))
	case st.Answers > 0 && st.State == localapi.StateReady:
		return p.T("tray.tip.answers", "Count", st.Answers)
	}
	return state
}

func connected(sessions []localapi.Session) string {
	var names []string
	seen := map[string]bool{}
	for _, s := range sessions {
		if !seen[s.Name] {
			seen[s.Name] = true
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ", ")
}

// open says until when somebody may connect: the permission that lasts longest.
func open(p *catalogue.Printer, grants []localapi.Grant, now time.Time) string {
	if len(grants) == 0 {
		return p.T("tray.access.nobody")
	}
	longest := grants[0]
	for _, g := range grants[1:] {
		if longest.Left >= 0 && (g.Left < 0 || g.Left > longest.Left) {
			longest = g
		}
	}
	if longest.Left < 0 {
		return p.T("tray.access.open")
	}
	end := now.Add(time.Duration(longest.Left) * time.Second)
	layout := p.T("tray.layout.time")
	if end.Sub(now) > 20*time.Hour {
		layout = p.T("tray.layout.date")
	}
	if longest.TicketNumber > 0 {
		return p.T("tray.access.until.ticket", "Time", end.Format(layout), "Number", longest.TicketNumber)
	}
	return p.T("tray.access.until", "Time", end.Format(layout))
}
