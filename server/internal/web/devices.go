package web

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// devicesView is the list of devices.
type devicesView struct {
	Self, Results, Query string
	Enrol, Link          bool
	LinkFirst            bool // nothing is linked yet
	Overview             bool
	Rows                 []deviceRow
	Empty, ClearHref     string
}

type deviceRow struct {
	ID, Name, Presence, Users, OS, Organization string
	Online                                      bool
	Seen                                        when
}

func (s *Server) devices(c *call) error {
	query := clip(c.r.URL.Query().Get("q"), 200)
	list, _, err := s.o.Devices.List(c.ctx, c.actor, deskdevice.Filter{Query: query, Limit: 1000})
	if err != nil {
		return err
	}
	v := devicesView{Self: "/devices", Results: c.T("word.results", "Count", len(list)), Query: query, Enrol: c.actor.May(account.EnrolmentManage)}
	v.Link, v.Overview = !c.actor.May(account.TicketsWork) && s.o.Devices.MayOwn(c.ctx, c.actor), s.o.Devices.MaySeeAll(c.ctx, c.actor)
	if query != "" {
		v.Self += "?q=" + escape(query)
	}
	for _, d := range list {
		v.Rows = append(v.Rows, c.deviceRow(d))
	}
	switch {
	case len(list) > 0:
	case query != "":
		v.Empty, v.ClearHref = c.T("web.devices.nomatch"), "/devices"
	case c.actor.May(account.TicketsWork):
		v.Empty = c.T("web.devices.none")
	default:
		v.Empty, v.LinkFirst = c.T("devices.link.first"), v.Link
	}
	return c.show("devices", c.page("devices", c.T("web.devices"), v))
}

func (c *call) deviceRow(d device.Device) deviceRow {
	row := deviceRow{ID: string(d.ID), Name: d.Name, Online: d.Online, Presence: c.presence(d), Users: c.users(d), OS: d.Facts.OSName, Organization: d.OrganizationName, Seen: c.when(d.SeenAt)}
	if !c.actor.May(account.TicketsWork) { // to the day
		row.Seen = when{ISO: d.SeenAt.UTC().Format(time.DateOnly), Text: c.day(d.SeenAt)}
	}
	if d.Online {
		row.Seen = when{ISO: c.now.UTC().Format(time.RFC3339), Text: c.T("web.session.live")}
	}
	return row
}

func (c *call) presence(d device.Device) string {
	if d.Online {
		return c.T("web.online")
	}
	return c.T("web.offline")
}

// users says who is signed in, the one at the screen first. Nobody is named for a device that is away.
func (c *call) users(d device.Device) string {
	if !d.Online {
		return ""
	}
	users := slices.Clone(d.Facts.Users)
	rank := map[string]int{"active": 0, "locked": 1, "away": 2, "text": 3}
	slices.SortStableFunc(users, func(a, b link.User) int { return cmp.Compare(rank[a.State], rank[b.State]) })
	var out []string
	for _, u := range users {
		id := "web.user." + u.State
		if _, ok := rank[u.State]; !ok {
			id = "web.user.away"
		}
		out = append(out, c.T(id, "Name", userName(u)))
	}
	if len(out) == 0 {
		return c.T("web.user.none")
	}
	return strings.Join(out, "; ")
}

func userName(u link.User) string {
	if u.Display != "" {
		return u.Display
	}
	return u.Name
}

// atScreen is the person who would be asked: the one whose desktop is in front, else one at a text console.
func atScreen(d device.Device) (link.User, bool) {
	for _, state := range []string{"active", "text"} {
		for _, u := range d.Facts.Users {
			if u.State == state {
				return u, true
			}
		}
	}
	return link.User{}, false
}

// deviceSays is what a technician wants to know before asking: presence, people, what can be shown.
func (c *call) deviceSays(d device.Device) []line {
	if !d.Online {
		return []line{{Kind: "no", Icon: "i-circle-minus", Text: c.T("web.offline") + ", " + c.T("web.seen") + " " + c.deviceRow(d).Seen.Text}}
	}
	says := []line{{Kind: "yes", Icon: "i-circle-check", Text: c.T("web.online") + ", " + c.users(d)}}
	what := line{Kind: "yes", Icon: "i-device-desktop", Text: d.Facts.OSName}
	var can []string
	for _, k := range []struct{ can, text string }{{"desktop", "web.scope.view"}, {"control", "web.scope.control"}, {"terminal", "web.scope.terminal"}} {
		if d.Can(k.can) {
			can = append(can, c.T(k.text))
		}
	}
	if len(can) > 0 {
		what.Text += ": " + strings.Join(can, ", ")
	}
	says = append(says, what)
	if !d.Can("desktop") {
		says = append(says, line{Kind: "no", Icon: "i-circle-x", Text: c.cannot(d)})
	}
	return says
}

// cannot says why a device shows no desktop now.
func (c *call) cannot(d device.Device) string {
	for _, code := range d.Facts.Cannot {
		switch code {
		case "wayland_not_shown", "no_desktop", "os_not_yet":
			return c.T("web.cannot." + code)
		}
	}
	return c.T("web.cannot.other")
}

// deviceView is the page of one device.
type deviceView struct {
	deviceRow
	Staff      bool
	Manage     bool
	Told       bool // the reader may know who was here
	TicketHref string
	Can        []canRow
	History    []sessionRow
	Ask        *askView
	Grants     []grantView
	Tickets    []ticketRow
	Facts      []pair
	Agent      []pair
}

type canRow struct{ Name, Kind, Icon, State, Why string }

type grantView struct{ Text, By string }

func (s *Server) device(c *call) error {
	d, err := s.o.Devices.Get(c.ctx, c.actor, device.ID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	v := deviceView{deviceRow: c.deviceRow(d), Staff: c.actor.MayIn(account.SessionsStart, d.Organization), Manage: c.actor.MayIn(account.EnrolmentManage, d.Organization)}
	tickets, err := s.o.Tickets.List(c.ctx, c.actor, deskticket.Filter{Device: d.ID, Live: true, Limit: 10})
	if err != nil && !errors.Is(err, desk.ErrNotFound) { // their plan may have no tickets
		return err
	}
	for _, k := range tickets.Tickets {
		v.Tickets = append(v.Tickets, ticketRow{Number: k.Number, Title: k.Title, Status: c.status(k.Status)})
	}
	sessions, err := s.o.Access.Sessions(c.ctx, c.actor, deskaccess.Filter{Device: d.ID, Limit: 25})
	if err != nil && !errors.Is(err, desk.ErrDenied) {
		return err
	}
	v.Told = err == nil
	named(sessions, &d)
	for _, se := range sessions {
		row := c.sessionRow(se)
		if !v.Staff {
			row.Href = "" // the console is not theirs
		}
		v.History = append(v.History, row)
	}
	var grants []access.Grant
	if v.Staff {
		v.TicketHref = "/tickets/new?device=" + string(d.ID)
		if grants, err = s.o.Access.Grants(c.ctx, c.actor, d.ID); err != nil {
			return err
		}
		v.Grants = c.grants(grants, ticket.Ticket{})
		v.Can = c.canDo(d, grants)
		v.Ask = c.askForm(d, "", ticket.Open, sessions)
		for _, k := range tickets.Tickets {
			v.Ask.Tickets = append(v.Ask.Tickets, choice{Code: string(k.ID), Word: "#" + strconv.FormatInt(k.Number, 10) + " " + k.Title})
		}
	}
	fact := func(id, value string) {
		if value != "" {
			v.Facts = append(v.Facts, pair{c.T("web.fact." + id), value})
		}
	}
	f := d.Facts
	fact("hostname", f.Hostname)
	fact("build", f.OSBuild)
	support, ends := device.SupportOf(f, c.now)
	if word := c.T("devices.support." + string(support)); !ends.IsZero() {
		v.Facts = append(v.Facts, pair{c.T("devices.support"), word + ", " + c.day(ends.Add(12*time.Hour))})
	}
	v.Facts = append(v.Facts, c.more(f)...)
	fact("arch", strings.TrimSpace(f.Arch+" "+times(f.CPUs)))
	if f.MemoryMB > 0 {
		fact("memory", c.gigabytes(f.MemoryMB))
	}
	for _, k := range f.Disks {
		fact("disk", k.Path+": "+c.T("web.fact.free", "Size", c.gigabytes(k.SizeMB), "Free", c.gigabytes(k.FreeMB)))
	}
	if len(f.Disks) == 0 && f.DiskMB > 0 {
		fact("disk", c.T("web.fact.free", "Size", c.gigabytes(f.DiskMB), "Free", c.gigabytes(f.FreeMB)))
	}
	fact("network", strings.Join(f.Addresses, ", "))
	v.Agent = []pair{{c.T("web.fact.version"), f.Agent}, {c.T("web.fact.enrolled"), c.date(d.EnrolledAt)}, {c.T("web.seen"), v.Seen.Text}}
	if v.Staff && d.Address != "" {
		v.Agent = append(v.Agent, pair{c.T("web.fact.address"), d.Address})
	}
	return c.show("device", c.page("devices", d.Name, v))
}

func times(n int) string {
	if n < 2 {
		return ""
	}
	return "× " + strconv.Itoa(n)
}

// canDo is the table of what can be done at a device now, and why not.
func (c *call) canDo(d device.Device, grants []access.Grant) []canRow {
	who, there := atScreen(d)
	var rows []canRow
	for _, k := range []struct {
		id, can string
		scope   grant.Scope
	}{{"view", "desktop", grant.View}, {"control", "control", grant.Control}, {"terminal", "terminal", grant.Terminal}} {
		r := canRow{Name: c.T("web.can." + k.id), Why: c.T("web.can.why." + k.id)}
		var by *access.Grant
		for i := range grants {
			if grants[i].Has(k.scope) && (grants[i].Holder == nil || grants[i].Holder.Account == string(c.actor.Account)) {
				by = &grants[i]
			}
		}
		switch {
		case !d.Online:
			r.Kind, r.Icon, r.State, r.Why = "tb-off", "i-circle-minus", c.T("web.can.not"), c.T("web.can.offline")
		case !d.Can(k.can):
			r.Kind, r.Icon, r.State, r.Why = "tb-off", "i-circle-x", c.T("web.can.not"), c.cannot(d)
		case by != nil:
			r.Kind, r.Icon, r.State = "tb-good", "i-circle-check", c.T("web.can.allowed.standing")
			if left, forever := by.Left(c.now); !forever {
				r.State = c.T("web.can.allowed", "Until", c.moment(c.now.Add(left)))
			}
		case there:
			r.Kind, r.Icon, r.State = "tb-warn", "i-circle-dashed", c.T("web.can.asks.name", "Name", first(userName(who)))
		default:
			r.Kind, r.Icon, r.State = "tb-off", "i-circle-minus", c.T("web.can.nobody")
		}
		rows = append(rows, r)
	}
	return rows
}

// grants puts the live permissions of a device into words. of is the ticket whose page it is, if any:
// then only what may be used for it.
func (c *call) grants(list []access.Grant, of ticket.Ticket) []grantView {
	var out []grantView
	for _, g := range list {
		if of.ID != "" && g.Ticket != string(of.ID) && !g.Standing {
			continue
		}
		left, forever := g.Left(c.now)
		if left == 0 && !forever {
			continue
		}
		scopes := c.scopes(g.Scopes)
		v := grantView{By: c.T("web.grant.by", "Name", g.MadeBy, "When", c.date(time.UnixMicro(g.MadeAt)))}
		switch {
		case g.Session != "":
			v.Text = c.T("web.grant.session", "Scopes", scopes)
		case forever:
			v.Text = c.T("web.grant.standing", "Scopes", scopes)
		default:
			v.Text = c.T("web.grant.until", "Until", c.moment(c.now.Add(left)), "Scopes", scopes)
		}
		out = append(out, v)
	}
	return out
}

func (c *call) scopes(list []grant.Scope) string {
	var out []string
	for _, s := range list {
		out = append(out, c.T("web.scope."+string(s)))
	}
	return strings.Join(out, ", ")
}

// devicesFor are the devices that staff may choose among for a ticket.
func (s *Server) devicesFor(c *call) ([]device.Device, error) {
	list, _, err := s.o.Devices.List(c.ctx, c.actor, deskdevice.Filter{Limit: 500})
	return list, err
}

func (s *Server) renameDevice(c *call) error {
	id := device.ID(c.r.PathValue("id"))
	if err := s.o.Devices.Rename(c.ctx, c.actor, id, c.r.PostFormValue("name")); err != nil {
		return err
	}
	return c.redirect("/devices/" + string(id) + "?done=renamed")
}

func (s *Server) removeDevice(c *call) error {
	id := device.ID(c.r.PathValue("id"))
	if c.r.PostFormValue("sure") != "yes" {
		return c.redirect("/devices/" + string(id))
	}
	if err := s.o.Devices.Remove(c.ctx, c.actor, id); err != nil {
		return err
	}
	if err := s.o.Access.DeviceRemoved(c.ctx, id); err != nil {
		return err
	}
	s.o.Relay.Drop(string(id), "unknown_device", "this device was removed")
	return c.redirect("/devices?done=removed")
}

// enrolView is how a computer is brought in.
type enrolView struct {
	Key           bool
	Line, Service string
	Bounds, Error string
	Organizations []string
	Organization  string
	Hours         []choice
	Keys          []keyRow // that still bring in computers
}

type keyRow struct{ ID, Name, Text string }

var keyHours = []int{1, 24, 7 * 24, 30 * 24}

func (s *Server) enrol(c *call) error {
	if !c.actor.May(account.EnrolmentManage) {
		return desk.Fail(desk.ErrDenied)
	}
	return s.showEnrol(c, http.StatusOK, enrolView{Organization: clip(c.r.URL.Query().Get("organization"), 200)})
}

func (s *Server) showEnrol(c *call, status int, v enrolView) error {
	var err error
	if v.Organizations, err = s.organizations(c.ctx, c.actor); err != nil {
		return err
	}
	for _, h := range keyHours {
		word := c.T("web.enrol.hours", "Count", h)
		if h > 24 {
			word = c.T("web.enrol.days", "Count", h/24)
		}
		v.Hours = append(v.Hours, choice{Code: strconv.Itoa(h), Word: word, Current: h == 24})
	}
	keys, err := s.o.Devices.EnrolmentKeys(c.ctx, c.actor)
	if err != nil {
		return err
	}
	names, err := s.organizationNames(c)
	if err != nil {
		return err
	}
	for _, k := range keys {
		v.Keys = append(v.Keys, keyRow{ID: k.ID, Name: names[k.Organization], Text: c.T("web.keys.text", "Made", c.date(k.CreatedAt), "Left", k.Uses-k.Used, "Uses", k.Uses, "Until", c.moment(k.ExpiresAt))})
	}
	return c.showAs(status, "enrol", c.page("devices", c.T("web.enrol"), v))
}

func (s *Server) makeEnrolmentKey(c *call) error {
	uses, hours := atoi(c.r.PostFormValue("uses"), 0), atoi(c.r.PostFormValue("hours"), 0)
	v := enrolView{Organization: clip(c.r.PostFormValue("organization"), 200)}
	if uses < 1 || uses > 10_000 || !slices.Contains(keyHours, hours) {
		v.Error = c.T("web.error.bounds")
		return s.showEnrol(c, http.StatusUnprocessableEntity, v)
	}
	key, k, err := s.o.Devices.CreateEnrolmentKey(c.ctx, c.actor, deskdevice.NewKey{Organization: v.Organization, Uses: uses, Life: time.Duration(hours) * time.Hour})
	if errors.Is(err, desk.ErrInvalid) {
		v.Error = desk.Text(err, c.Language())
		return s.showEnrol(c, http.StatusUnprocessableEntity, v)
	}
	if err != nil {
		return err
	}
	v.Key = true
	// The key goes in by standard input: an argument could be read by every user of the machine.
	v.Line = "echo '" + key.String() + "' | sudo traybell-agent enrol - --state /var/lib/traybell"
	v.Service = "sudo traybell-agent service install && sudo traybell-agent service start"
	v.Bounds = c.T("web.enrol.bounds", "Count", uses, "Until", c.moment(k.ExpiresAt))
	return s.showEnrol(c, http.StatusOK, v)
}

// revokeEnrolmentKey withdraws a key; the computers that it brought in stay.
func (s *Server) revokeEnrolmentKey(c *call) error {
	if err := s.o.Devices.RevokeEnrolmentKey(c.ctx, c.actor, c.r.PostFormValue("key")); err != nil {
		return err
	}
	return c.redirect("/devices/enrol?done=key")
}
