package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/audit"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/catalogue"
)

// The portal's cookies.
const (
	loginCookie    = "__Host-traybell"         // the login's token
	stepCookie     = "__Host-traybell-step"    // between password and code
	browserCookie  = "__Host-traybell-browser" // who has signed in here before
	themeCookie    = "theme"
	languageCookie = "language" // before signing in
)

// policy is a Content-Security-Policy.
type policy string

const (
	policyPage policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// noVNC shows JPEG rectangles as data: and blob: pictures; it and xterm set styles on elements.
	policyConsole policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

func headers(h http.Header) {
	h.Set("Content-Security-Policy", string(policyPage))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
}

// languageOf is the language of somebody who is not signed in: chosen at the door, else the browser's.
func languageOf(r *http.Request) string {
	if k, err := r.Cookie(languageCookie); err == nil {
		if _, ok := catalogue.Names[k.Value]; ok {
			return k.Value
		}
	}
	accept := r.Header.Get("Accept-Language")
	if len(accept) > 200 {
		accept = ""
	}
	return catalogue.Match(accept)
}

func themeOf(r *http.Request) string {
	if k, err := r.Cookie(themeCookie); err == nil && (k.Value == "light" || k.Value == "dark") {
		return k.Value
	}
	return "auto"
}

func (c *call) setCookie(name, value string, life time.Duration, script bool) {
	k := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: !script, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if value == "" {
		k.MaxAge = -1
	}
	http.SetCookie(c.w, k)
}

// page fills in what every frame needs.
func (c *call) page(place, title string, body any) page {
	p := page{Lang: c.Language(), Theme: c.theme, Title: title, Place: place, Path: c.r.URL.Path, Body: body}
	p.Brand = c.s.brand.name(c)
	p.BrandLine = "Traybell"
	for _, l := range catalogue.Languages {
		p.Languages = append(p.Languages, languageChoice{Code: l, Name: catalogue.Names[l], Current: l == c.Language()})
	}
	if done := c.r.URL.Query().Get("done"); done != "" {
		p.Notice = c.done(done)
	}
	if c.me.ID == "" {
		return p
	}
	p.Who = who{Name: c.me.Name, Role: c.T("web.role." + string(c.me.Role)), Initials: initials(c.me.Name)}
	add := func(name, icon, text, short string, count int) {
		p.Menu = append(p.Menu, menuEntry{Href: "/" + name, Icon: icon, Text: text, Short: short, Count: count, Current: name == place})
	}
	home, err := c.home()
	if err != nil {
		home.Plan = account.FullPlan // the page itself says what is wrong
	}
	p.Create = home.Has().Tickets
	if home.ProductName != "" {
		p.Brand = home.ProductName
	}
	p.Logo = logoOf(home)
	if c.actor.Staff() {
		add("today", "i-calendar-check", c.T("tickets.today"), c.T("tickets.today"), 0)
	} else if n := c.approvalCount(); n >= 0 {
		add("approvals", "i-clipboard-check", c.T("tickets.approvals"), c.T("tickets.approvals"), n)
	}
	if home.Has().Tickets {
		add("tickets", "i-ticket", c.T("web.tickets"), c.T("web.tickets"), c.openTickets())
	}
	if home.Has().Devices(c.actor.Role) {
		add("devices", "i-device-desktop", c.T("web.devices"), c.T("web.devices"), 0)
	}
	if c.actor.May(account.SessionsStart) {
		add("sessions", "i-screen-share", c.T("web.sessions"), c.T("web.sessions.short"), 0)
		add("organizations", "i-building", c.T("people.organizations"), c.T("people.organizations"), 0)
		if c.actor.May(account.PeopleManage) {
			add("people", "i-users", c.T("people.people"), c.T("people.people"), 0)
		}
	} else if c.actor.MayIn(account.OrganizationsManage, c.actor.Organization) {
		add("organization", "i-building", c.T("people.organization"), c.T("people.organization"), 0)
	}
	if c.actor.May(account.DirectoriesManage) {
		add("directories", "i-address-book", c.T("directory.directories"), c.T("directory.directories"), 0)
	}
	if c.actor.May(account.TicketsManage) {
		add("administration/tickets/categories", "i-adjustments", c.T("tickets.setup.menu"), c.T("tickets.setup.menu"), 0)
		p.Menu[len(p.Menu)-1].Current = place == "administration"
	}
	if people.ManagesIntegrations(c.actor) {
		add("integrations", "i-api", c.T("rights.api"), c.T("rights.api"), 0)
	}
	if deskmail.Manages(c.actor) {
		add("mail", "i-mail", c.T("mail.page"), c.T("mail.page"), 0)
	}
	if audit.Views(c.actor) {
		add("log", "i-list-details", c.T("log.page.title"), c.T("log.page.title"), 0)
	}
	if c.starting() {
		add("start", "i-flag", c.T("start.title"), c.T("start.title"), 0)
	}
	p.Banner = c.banner(place)
	return p
}

// home is the organization whose plan and brand the reader's pages follow, loaded once a request.
func (c *call) home() (account.Organization, error) {
	if c.homeOf == nil {
		o, err := c.s.o.People.Home(c.ctx, c.actor)
		if err != nil {
			return o, err
		}
		c.homeOf = &o
	}
	return *c.homeOf, nil
}

// start is the first page that the reader's plan has.
func (c *call) start() string {
	home, err := c.home()
	switch plan := home.Has(); {
	case err != nil || plan.Tickets:
		return "/tickets"
	case plan.Devices(c.actor.Role):
		return "/devices"
	case c.actor.MayIn(account.OrganizationsManage, c.actor.Organization):
		return "/organization"
	}
	return "/settings"
}

// openTickets counts the tickets that are not closed, for the menu.
func (c *call) openTickets() int {
	l, err := c.s.o.Tickets.List(c.ctx, c.actor, deskticket.Filter{Live: true, Limit: 1})
	if err != nil {
		return 0 // the page itself says what is wrong
	}
	return l.All - l.Counts[ticket.Resolved]
}

// done is the notice after a form, by the word that its redirect carries.
func (c *call) done(what string) *notice {
	prefix, ok := doneWords[what]
	if !ok {
		return nil
	}
	if what == "expected" {
		return c.expected()
	}
	return &notice{Kind: "good", Icon: "i-circle-check", Text: c.T(prefix+what, "Number", c.r.PathValue("number"))}
}

// doneWords are the words that a redirect may carry, with what their sentence's id begins with.
var doneWords = func() map[string]string {
	m := map[string]string{}
	for prefix, words := range map[string]string{
		"web.done.":       "answered sent noted taken assigned created moved severity left withdrawn solved saved password login token key phone renamed removed signedout mail mail.off mail.again mail.gone",
		"account.done.":   "others factor factor.off factor.reset sms sms.off",
		"people.done.":    "organization template template.removed deputy deputy.back role enabled disabled revoked forgotten",
		"devices.done.":   "linked unlinked",
		"tickets.done.":   "sorted booked unbooked watched unwatched merged unmerged joined held set followed expected",
		"directory.done.": "directory directory.removed",
		"rights.done.":    "limited integration",
	} {
		for _, w := range strings.Fields(words) {
			m[w] = prefix
		}
	}
	return m
}()

func (c *call) show(name string, p page) error { return c.showAs(http.StatusOK, name, p) }

func (c *call) showAs(status int, name string, p page) error {
	in := inFrame
	switch {
	case name == "session":
		in = alone
		c.policy = policyConsole
	case c.me.ID == "":
		in = inDoor
	}
	c.w.Header().Set("Content-Security-Policy", string(c.policy))
	return c.s.render.write(c.w, status, in, name, p)
}

func escape(s string) string { return url.QueryEscape(s) }

// local is a path of this portal that a form or link named, or fallback.
func local(to, fallback string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") || len(to) > 1000 {
		return fallback
	}
	return to
}

// brand remembers the name of the organization that runs the server, which every page shows.
type brand struct {
	mu   sync.Mutex
	text string
	at   time.Time
}

func (b *brand) name(c *call) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text != "" && c.now.Sub(b.at) < 10*time.Second {
		return b.text
	}
	if o, err := c.s.o.People.Provider(c.ctx); err == nil {
		b.text, b.at = o.Name, c.now
	}
	if b.text == "" {
		return "Traybell"
	}
	return b.text
}

func (b *brand) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = ""
}

// organizations lists the names that somebody who brings in devices may choose among; nil for everybody else.
func (s *Server) organizations(ctx context.Context, a desk.Actor) ([]string, error) {
	if !a.May(account.EnrolmentManage) {
		return nil, nil
	}
	list, err := s.o.People.Organizations(ctx, a)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names, nil
}

func (s *Server) organizationNames(c *call) (map[account.OrganizationID]string, error) {
	list, err := s.o.People.Organizations(c.ctx, c.actor)
	if err != nil {
		return nil, err
	}
	names := map[account.OrganizationID]string{}
	for _, o := range list {
		names[o.ID] = o.Name
	}
	return names, nil
}

func atoi(s string, fallback int) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return fallback
	}
	return n
}

// browserText is what the browser's cookie says about who has signed in there before.
func (c *call) browserText() string {
	k, err := c.r.Cookie(browserCookie)
	if err != nil || len(k.Value) > 500 {
		return ""
	}
	return k.Value
}
