package content

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/version"
)

// Sheet is a window that lists things.
type Sheet struct {
	Kind     string
	Title    string // of the window
	Intro    string
	Sections []Section
	Empty    string // instead of sections
	Actions  []Action
	Entry    *Entry // something to type, before the sections
	Failed   bool   // Intro says why nothing could be read
}

// Entry is one line to type and the action that takes it as its argument.
type Entry struct {
	Label  string
	Hint   string
	Action Action
}

// Section is a headed part of a sheet.
type Section struct {
	Heading string
	Note    string
	Rows    []Row
}

// Row is one thing. A row with a Label is a pair of term and value.
type Row struct {
	Label   string
	Text    string
	Notes   []string
	Mark    string // a status (new, open, …), or live
	Strong  bool
	Actions []Action
}

// Action is something that a person can do on a sheet.
type Action struct {
	Verb   string // one of the constants
	Arg    string
	Label  string
	Danger bool
}

// The verbs of actions. Do carries out all but four: Open needs a browser, New another window,
// Reload and Close are the window's own.
const (
	EndGrant   = "end-grant"
	EndSession = "end-session"
	EndAll     = "end-all"
	Pause      = "pause"
	Resume     = "resume"
	Open       = "open"
	New        = "new"
	Reload     = "reload"
	Close      = "close"
	LookLink   = "look-link" // Arg is the code that was typed
	ClaimLink  = "claim-link"
	DropLink   = "drop-link"
	EndLink    = "end-link"
)

// Do carries out an action and returns the sentence that tells so, if there is one.
func (s *Service) Do(ctx context.Context, p *catalogue.Printer, a Action) (string, error) {
	c, err := s.Client()
	if err != nil {
		return "", err
	}
	switch a.Verb {
	case EndGrant:
		return "", c.EndGrant(ctx, a.Arg)
	case EndSession:
		return "", c.End(ctx, localapi.End{Session: a.Arg})
	case EndAll:
		if err := c.End(ctx, localapi.End{}); err != nil {
			return "", err
		}
		return p.T("tray.access.ended"), nil
	case Pause:
		return "", c.Pause(ctx, a.Arg)
	case Resume:
		return "", c.Resume(ctx, a.Arg)
	case LookLink, ClaimLink, DropLink, EndLink:
		return s.doLink(ctx, p, c, a)
	}
	return "", fmt.Errorf("no such action: %q", a.Verb)
}

// Sheet reads what a window of this kind lists. It never fails: a sheet that could not be read says
// so and offers to look again.
func (s *Service) Sheet(ctx context.Context, p *catalogue.Printer, kind string) Sheet {
	sh, err := s.read(ctx, p, kind)
	if err != nil {
		return Unread(p, kind, err)
	}
	sh.Kind, sh.Title = kind, Title(p, kind)
	sh.Actions = append(sh.Actions, Action{Verb: Close, Label: p.T("word.close")})
	return sh
}

// Unread is what a window of this kind says when it could not be read.
func Unread(p *catalogue.Printer, kind string, err error) Sheet {
	sh := Sheet{Kind: kind, Title: Title(p, kind), Intro: Trouble(p, err), Failed: true}
	if kind != KindConsent {
		sh.Actions = append(sh.Actions, Action{Verb: Reload, Label: p.T("tray.reload")})
	}
	sh.Actions = append(sh.Actions, Action{Verb: Close, Label: p.T("word.close")})
	return sh
}

// Title is the window title of a kind.
func Title(p *catalogue.Printer, kind string) string {
	switch kind {
	case KindTickets:
		return p.T("tray.tickets")
	case KindAccess:
		return p.T("tray.access.window")
	case KindHistory:
		return p.T("tray.history")
	case KindStatus:
		return p.T("tray.status.window")
	case KindAbout:
		return p.T("tray.about")
	case KindConsent:
		return p.T("consent.window")
	case KindLink:
		return p.T("tray.link.window")
	}
	return p.T("form.window.plain")
}

func (s *Service) read(ctx context.Context, p *catalogue.Printer, kind string) (Sheet, error) {
	c, err := s.Client()
	if err != nil {
		if kind == KindAbout {
			return about(p, localapi.Status{}), nil
		}
		return Sheet{}, err
	}
	st, err := c.Status(ctx)
	if err != nil && kind != KindAbout {
		return Sheet{}, err
	}
	switch kind {
	case KindTickets:
		list, err := c.Tickets(ctx)
		return tickets(p, st, list), err
	case KindAccess:
		grants, err := c.Grants(ctx)
		if err != nil {
			return Sheet{}, err
		}
		sessions, err := c.Sessions(ctx)
		return access(p, st, sessions, grants), err
	case KindHistory:
		visits, err := c.History(ctx)
		return history(p, visits), err
	case KindStatus:
		report, err := c.Report(ctx)
		return status(p, st, report), err
	case KindLink:
		return s.readLink(ctx, p, c, st)
	}
	return about(p, st), nil
}

func tickets(p *catalogue.Printer, st localapi.Status, list []localapi.Filed) Sheet {
	ask := Action{Verb: New, Arg: KindForm, Label: p.T("tray.tickets.new.action")}
	sh := Sheet{Actions: []Action{ask}}
	if len(list) == 0 {
		sh.Empty = p.T("tray.tickets.empty")
		return sh
	}
	var sec Section
	for _, f := range list {
		r := Row{Text: f.Title}
		switch f.State {
		case localapi.FiledSent:
			r.Text = p.T("tray.number", "Number", f.Number) + "  " + f.Title
			r.Mark = f.Status
			if r.Mark == "" {
				r.Mark = "new"
			}
			word := p.T("word.status." + r.Mark)
			if r.Mark != "closed" {
				word += ": " + p.T("tray.tickets.status."+r.Mark)
			}
			r.Notes = append(r.Notes, word)
			if f.FilesPending > 0 {
				r.Notes = append(r.Notes, p.T("tray.tickets.files", "Count", f.FilesPending))
			}
			if st.PortalURL != "" {
				r.Actions = append(r.Actions, Action{Verb: Open, Arg: strings.TrimRight(st.PortalURL, "/") + "/tickets/" + strconv.FormatInt(f.Number, 10), Label: p.T("tray.tickets.open")})
			}
		case localapi.FiledKept:
			r.Mark = "waiting"
			r.Notes = append(r.Notes, p.T("tray.tickets.kept"))
		default:
			r.Mark = "paused"
			r.Notes = append(r.Notes, p.T("tray.tickets.refused", "Reason", f.Reason))
		}
		if f.Answered != "" {
			r.Strong = true
			r.Notes = append(r.Notes, p.T("tray.tickets.answered", "Name", f.Answered))
		}
		if f.MadeAt > 0 {
			r.Notes[0] += " · " + date(p, f.MadeAt)
		}
		sec.Rows = append(sec.Rows, r)
	}
	sh.Sections = []Section{sec}
	return sh
}

func access(p *catalogue.Printer, st localapi.Status, sessions []localapi.Session, grants []localapi.Grant) Sheet {
	if len(sessions) == 0 && len(grants) == 0 {
		return Sheet{Empty: p.T("tray.access.empty")}
	}
	var sh Sheet
	var live, allowed Section
	for _, s := range sessions {
		r := Row{Text: who(s.Name, s.Organization), Mark: "live", Strong: true}
		note := p.T("tray.access.since", "Time", clock(p, s.Since))
		switch {
		case s.Paused:
			note += " · " + p.T("tray.access.paused")
		case s.Controls:
			note += " · " + p.T("tray.access.sees") + ", " + p.T("tray.access.controls")
		case s.Sees:
			note += " · " + p.T("tray.access.sees")
		}
		if s.TicketNumber > 0 {
			note += " · " + p.T("tray.number", "Number", s.TicketNumber)
		}
		r.Notes = []string{note}
		if s.Paused {
			r.Actions = append(r.Actions, Action{Verb: Resume, Arg: s.ID, Label: p.T("tray.access.resume")})
		} else {
			r.Actions = append(r.Actions, Action{Verb: Pause, Arg: s.ID, Label: p.T("tray.access.pause")})
		}
		r.Actions = append(r.Actions, Action{Verb: EndSession, Arg: s.ID, Label: p.T("tray.access.endnow"), Danger: true})
		live.Heading = p.T("tray.access.connected")
		live.Rows = append(live.Rows, r)
	}
	for _, g := range grants {
		holder := who(g.Holder, g.Organization)
		if g.Holder == "" {
			org := g.Organization
			if org == "" {
				org = st.Provider
			}
			holder = p.T("tray.access.anyone", "Organization", org)
		}
		var scopes []string
		for _, s := range g.Scopes {
			scopes = append(scopes, p.T("word.scope."+string(s)))
		}
		r := Row{Text: holder, Notes: []string{strings.Join(scopes, ", "), until(p, g)}}
		r.Actions = []Action{{Verb: EndGrant, Arg: g.ID, Label: p.T("tray.access.end"), Danger: true}}
		allowed.Heading = p.T("tray.access.allowed")
		allowed.Rows = append(allowed.Rows, r)
	}
	for _, sec := range []Section{live, allowed} {
		if len(sec.Rows) > 0 {
			sh.Sections = append(sh.Sections, sec)
		}
	}
	sh.Actions = []Action{{Verb: EndAll, Label: p.T("tray.access.endall"), Danger: true}}
	return sh
}

func who(name, organization string) string {
	if organization == "" || name == "" {
		return name + organization
	}
	return name + " · " + organization
}

// until says how long a permission lasts.
func until(p *catalogue.Printer, g localapi.Grant) string {
	switch {
	case g.Standing:
		return p.T("tray.access.standing")
	case g.TicketNumber > 0 && g.Session == "":
		return p.T("consent.long.ticket", "Number", g.TicketNumber)
	case g.Session != "":
		return p.T("tray.access.session")
	case g.Left < 0:
		return p.T("tray.access.open")
	}
	hours := int((g.Left + 3599) / 3600)
	return "≤ " + Hour(p, hours)
}

func history(p *catalogue.Printer, visits []localapi.Visit) Sheet {
	sh := Sheet{Intro: p.T("tray.history.note")}
	if len(visits) == 0 {
		sh.Empty = p.T("tray.history.empty")
		return sh
	}
	var sec Section
	for _, v := range visits {
		when := date(p, v.From)
		switch {
		case v.Refused != "":
		case v.To == 0 && len(v.Did) > 0:
			when += " – " + p.T("tray.history.now")
		default:
			if v.To > 0 {
				when += "–" + clock(p, v.To)
			}
		}
		if v.TicketNumber > 0 {
			when += " · " + p.T("tray.number", "Number", v.TicketNumber)
		}
		r := Row{Text: who(v.Name, v.Organization), Notes: []string{when}}
		if v.Refused != "" {
			r.Notes = append(r.Notes, known(p, "tray.history.refused.", v.Refused, "other"))
		} else {
			if v.To == 0 && len(v.Did) > 0 {
				r.Mark, r.Strong = "live", true
			}
			var did []string
			for _, d := range v.Did {
				if d == "desktop" { // a desktop channel without a note of what was used
					d = "saw"
				}
				if t := known(p, "tray.history.did.", d, ""); t != "" && !slices.Contains(did, t) {
					did = append(did, t)
				}
			}
			if len(did) == 0 {
				did = []string{p.T("tray.history.did.nothing")}
			}
			line := strings.Join(did, ", ")
			if v.EndedBy != "" {
				line += " · " + known(p, "tray.history.ended.", v.EndedBy, "other")
			}
			r.Notes = append(r.Notes, line)
		}
		sec.Rows = append(sec.Rows, r)
	}
	sh.Sections = []Section{sec}
	return sh
}

// known is the message prefix+id, or prefix+other where a newer service names something that this
// program does not know.
func known(p *catalogue.Printer, prefix, id, other string) string {
	if t := p.T(prefix + id); t != prefix+id {
		return t
	}
	if other == "" {
		return ""
	}
	return p.T(prefix + other)
}

// State is the one line that says how the computer stands.
func State(p *catalogue.Printer, st localapi.Status) string {
	switch st.State {
	case localapi.StateReady:
		return p.T("tray.state.ready", "Organization", name(st))
	case localapi.StateOffline:
		return p.T("tray.state.offline", "Organization", name(st))
	case localapi.StateUnenrolled:
		return p.T("tray.state.unenrolled")
	}
	return p.T("tray.state.noservice")
}

func name(st localapi.Status) string {
	if st.Organization != "" {
		return st.Organization
	}
	return "Traybell"
}

func status(p *catalogue.Printer, st localapi.Status, report localapi.Report) Sheet {
	var facts Section
	pair := func(id, value string) {
		if value != "" {
			facts.Rows = append(facts.Rows, Row{Label: p.T(id), Text: value})
		}
	}
	pair("tray.status.phone", st.SupportPhone)
	pair("tray.status.state", State(p, st))
	pair("tray.status.why", st.Error)
	pair("tray.status.organization", st.Organization)
	pair("tray.status.provider", st.Provider)
	pair("tray.status.device", st.Name)
	pair("tray.status.server", st.Server)
	if n := st.Kept; n > 0 {
		pair("tray.status.kept", strconv.Itoa(n))
	}
	reports := Section{Heading: p.T("tray.status.report"), Note: p.T("tray.status.report.note")}
	for _, f := range report.Fields {
		if f.Value == "" {
			continue
		}
		r := Row{Label: p.T(f.Name), Text: f.Value}
		if f.Seen != "" {
			r.Notes = []string{p.T(f.Seen)}
		}
		reports.Rows = append(reports.Rows, r)
	}
	link := Section{Heading: p.T("tray.link"), Rows: []Row{{Text: p.T("tray.link.text"), Actions: []Action{{Verb: New, Arg: KindLink, Label: p.T("tray.link.start")}}}}}
	help := Section{Heading: p.T("tray.status.help"), Note: p.T("tray.status.help.text")}
	if st.State == localapi.StateUnenrolled {
		return Sheet{Sections: []Section{facts, reports, help}}
	}
	return Sheet{Sections: []Section{facts, link, reports, help}}
}

func about(p *catalogue.Printer, st localapi.Status) Sheet {
	sec := Section{Heading: "Traybell", Note: p.T("tray.about.text"), Rows: []Row{
		{Label: p.T("tray.about.version"), Text: version.Version},
		{Label: p.T("tray.about.licence"), Text: "Apache-2.0"},
	}}
	if st.Provider != "" {
		sec.Rows = append(sec.Rows, Row{Label: p.T("tray.status.provider"), Text: st.Provider})
	}
	if st.SupportPhone != "" {
		sec.Rows = append(sec.Rows, Row{Label: p.T("tray.status.phone"), Text: st.SupportPhone})
	}
	return Sheet{Sections: []Section{sec}}
}
