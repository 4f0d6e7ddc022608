// Package web is the portal: pages that people read and forms that they send, the session console,
// and the event stream that moves both.
//
// It renders html/template on the server in the reader's language; every form works without JavaScript, the
// session console excepted. It calls the desk's use cases and never the store, promises no inline script
// under a strict Content-Security-Policy, and refuses what comes from another origin. Scripts and styles are
// built by build.mjs and embedded; httpd mounts Handler at "/".
package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/desk/audit"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/start"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/link"
)

// Options are what the portal works with.
type Options struct {
	People    *people.People
	Devices   *deskdevice.Devices
	Tickets   *deskticket.Tickets
	Access    *deskaccess.Sessions
	Audit     *audit.Log
	Mails     *deskmail.Mails
	Start     *start.Start
	Relay     Channels
	Bus       *bus.Bus
	Logger    *slog.Logger
	PublicURL string           // https://host[:port], for links that are copied
	Now       func() time.Time // nil: the wall clock
	Trusted   bool             // browsers get a certificate that was configured, or a proxy's, instead of the server's own
	Recheck   time.Duration    // how soon a stream or channel notices that its login was ended; 0: 15 s
}

// Channels opens channels to devices and drops their links; package relay is it.
type Channels interface {
	Open(ctx context.Context, device string, o link.Offer) (net.Conn, error)
	Drop(device, code, text string)
}

// Bounds of what a browser may send.
const (
	maxForm   = 1 << 20
	maxUpload = 2*api.MaxFileSize + maxForm
)

// Server is the portal.
type Server struct {
	o       Options
	assets  *assets
	render  *renderer
	brand   brand
	closing chan struct{}
	close   sync.Once
	handler http.Handler
}

// New makes the portal. Its error is a broken template or asset, which the tests find.
func New(o Options) (*Server, error) {
	a, err := loadAssets()
	if err != nil {
		return nil, err
	}
	r, err := newRenderer(a)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Recheck == 0 {
		o.Recheck = 15 * time.Second
	}
	s := &Server{o: o, assets: a, render: r, closing: make(chan struct{})}
	s.handler = s.routes()
	if !AssetsBuilt() {
		o.Logger.Warn("the portal's scripts and styles are not built; run ./task assets and build again")
	}
	return s, nil
}

// Handler serves the whole portal.
func (s *Server) Handler() http.Handler { return s.handler }

// Close ends the streams of events, which would otherwise hold up the server's own end.
func (s *Server) Close() { s.close.Do(func() { close(s.closing) }) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, f func(*call) error) { mux.HandleFunc(pattern, s.serve(f, false)) }
	in := func(pattern string, f func(*call) error) { mux.HandleFunc(pattern, s.serve(f, true)) }

	mux.Handle("GET /assets/", s.assets)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.assets.url("favicon.svg"), http.StatusFound)
	})
	open("GET /first", s.first)
	open("POST /first", s.makeFirst)
	open("GET /sign-in", s.signIn)
	open("POST /sign-in", s.doSignIn)
	open("GET /sign-in/directories/{id}", s.leaveForProvider)
	open("GET /sign-in/directories/{id}/back", s.backFromProvider)
	open("GET /invitation", s.invitation)
	open("POST /invitation", s.acceptInvitation)
	open("GET /confirm", s.mailed(desk.TokenConfirm))
	open("POST /confirm", s.mailed(desk.TokenConfirm))
	open("GET /decide", s.mailed(desk.TokenDecide))
	open("POST /decide", s.mailed(desk.TokenDecide))
	open("POST /language", s.language)
	open("GET /second-factor", s.secondFactor)
	open("POST /second-factor", s.proveFactor)
	in("GET /step-up", s.stepUp)
	in("POST /step-up", s.proveAgain)
	open("GET /factors/new", s.chooseFactor)
	open("GET /factors/new/app", s.newApp)
	open("GET /factors/new/app.png", s.appPicture)
	open("POST /factors/new/app", s.confirmApp)
	open("GET /factors/new/passkey", s.newPasskey)
	open("POST /factors/new/passkey", s.confirmPasskey)
	open("POST /factors/new/passkey/begin", s.beginPasskey)
	open("GET /factors/new/sms", s.newSMS)
	open("POST /factors/new/sms", s.sendSMS)
	open("POST /factors/new/sms/confirm", s.confirmSMS)
	open("POST /passkey", s.askPasskey)
	open("GET /forgotten", s.forgotten)
	open("POST /forgotten", s.askReset)
	open("GET /reset", s.reset)
	open("POST /reset", s.followReset)
	in("POST /sign-out", s.signOut)

	in("GET /{$}", func(c *call) error { return c.redirect(c.start()) })
	in("GET /tickets", s.tickets)
	in("GET /tickets/new", s.newTicket)
	in("POST /tickets/new", s.createTicket)
	in("GET /today", s.today)
	in("GET /tickets/similar", s.similar)
	in("POST /tickets/me-too", s.meToo)
	in("GET /tickets/phone", s.phone)
	in("POST /tickets/phone", s.helpByPhone)
	in("POST /tickets/bulk", s.bulk)
	in("GET /tickets/{number}", s.ticket)
	in("POST /tickets/{number}/sort", s.sortTicket)
	in("POST /tickets/{number}/time", s.bookTime)
	in("POST /tickets/{number}/time/remove", s.unbookTime)
	in("POST /tickets/{number}/watch", s.watch)
	in("POST /tickets/{number}/merge", s.merge)
	in("POST /tickets/{number}/unmerge", s.unmerge)
	in("POST /tickets/{number}/approval", s.askApproval)
	in("GET /approvals", s.approvals)
	in("GET /approvals/{id}", s.approval)
	in("POST /approvals/{id}", s.decide)
	in("GET /administration/tickets/{part}", s.setup)
	in("POST /administration/tickets/{part}", s.saveSetup)
	in("POST /tickets/{number}/messages", s.message)
	in("POST /tickets/{number}/status", s.changeStatus)
	in("POST /tickets/{number}/severity", s.changeSeverity)
	in("POST /tickets/{number}/take", s.take)
	in("POST /tickets/{number}/assign", s.assign)
	in("GET /tickets/{number}/files/{file}", s.file)
	in("GET /devices", s.devices)
	in("GET /devices/enrol", s.enrol)
	in("POST /devices/enrol", s.makeEnrolmentKey)
	in("POST /devices/enrol/revoke", s.revokeEnrolmentKey)
	in("GET /devices/overview", s.overview)
	in("GET /devices/overview.csv", s.overviewCSV)
	in("GET /devices/link", s.linkDevice)
	in("POST /devices/link", s.startLink)
	in("POST /devices/link/confirm", s.confirmLink)
	in("POST /devices/link/end", s.endLink)
	in("GET /devices/{id}", s.device)
	in("POST /devices/{id}/rename", s.renameDevice)
	in("POST /devices/{id}/remove", s.removeDevice)
	in("GET /sessions", s.sessions)
	in("POST /sessions", s.ask)
	in("GET /sessions/{id}", s.session)
	in("GET /sessions/{id}/state", s.sessionState)
	in("POST /sessions/{id}/leave", s.leave)
	in("GET /sessions/{id}/channels/{kind}", s.channel)
	in("GET /people", s.people)
	in("GET /people/invite", s.inviteForm)
	in("POST /people/invite", s.invitePeople)
	in("GET /people/{id}", s.person)
	in("POST /people/{id}", s.changePerson)
	in("GET /people/{id}/data.zip", s.personData)
	in("GET /organization", s.ownOrganization)
	in("GET /organizations", s.organizationList)
	in("GET /organizations/new", s.newOrganization)
	in("POST /organizations/new", s.makeOrganization)
	in("GET /organizations/{id}", s.organization)
	in("POST /organizations/templates/remove", s.dropTemplate)
	in("POST /organizations/{id}", s.changeOrganization)
	in("POST /organizations/{id}/template", s.keepTemplate)
	in("GET /organizations/{id}/logo", s.logo)
	in("POST /organizations/{id}/logo", s.changeLogo)
	in("POST /organizations/{id}/absences", s.addAbsence)
	in("POST /organizations/{id}/absences/drop", s.dropAbsence)
	in("GET /directories", s.directories)
	in("POST /directories", s.saveDirectory)
	in("GET /directories/new", s.newDirectory)
	in("GET /directories/{id}", s.directory)
	in("POST /directories/{id}/remove", s.removeDirectory)
	in("GET /search", s.search)
	in("GET /events", s.events)
	in("GET /log", s.log)
	in("POST /log/export", s.exportLog)
	in("POST /log/keep", s.keepLog)
	in("GET /settings", s.settings)
	in("POST /settings/profile", s.saveProfile)
	in("GET /settings/sms", s.sms)
	in("POST /settings/sms", s.saveSMS)
	in("POST /settings/sms/test", s.testSMS)
	in("POST /settings/sms/remove", s.removeSMS)
	in("GET /settings/security", s.security)
	in("GET /settings/security/new-password", s.newPassword)
	in("POST /settings/security/new-password", s.saveNewPassword)
	in("GET /settings/lost-factor", s.lostFactor)
	in("POST /settings/lost-factor", s.resetFactor)
	in("POST /settings/security/password", s.savePassword)
	in("POST /settings/security/factors/rename", s.renameFactor)
	in("POST /settings/security/factors/remove", s.removeFactor)
	in("POST /settings/security/codes", s.makeCodes)
	in("POST /settings/security/logins/end", s.endLogin)
	in("POST /settings/security/logins/others", s.endOtherLogins)
	in("POST /settings/phone", s.savePhone)
	in("GET /settings/tokens", s.tokens)
	in("POST /settings/tokens", s.makeToken)
	in("POST /settings/tokens/end", s.endToken)
	in("POST /settings/invite", s.invite)
	in("GET /integrations", s.integrations)
	in("POST /integrations", s.makeIntegration)
	in("GET /integrations/{id}", s.integration)
	in("POST /integrations/{id}/tokens", s.makeIntegrationToken)
	in("POST /integrations/{id}/tokens/end", s.endIntegrationToken)
	in("POST /integrations/{id}/remove", s.removeIntegration)
	in("GET /mail", s.mail)
	in("POST /mail", s.saveMail)
	in("POST /mail/remove", s.forgetMail)
	in("POST /mail/test", s.testMail)
	in("POST /mail/banner", s.hideBanner)
	in("GET /mail/outbox", s.outbox)
	in("POST /mail/outbox/link", s.outboxLink)
	in("POST /mail/outbox/retry", s.outboxRetry)
	in("POST /mail/outbox/discard", s.outboxDiscard)
	in("GET /mail/mailboxes", s.mailboxes)
	in("POST /mail/mailboxes", s.addMailbox)
	in("POST /mail/mailboxes/remove", s.removeMailbox)
	in("GET /mail/held", s.held)
	in("POST /mail/held/accept", s.acceptHeld)
	in("POST /mail/held/discard", s.discardHeld)
	in("GET /start", s.start)
	in("POST /start/dismiss", s.dismissStart)
	in("/", func(*call) error { return errNotFound })

	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(s.serve(func(*call) error { return errOrigin }, false))
	return guard.Handler(mux)
}

// errors of the portal's own
var (
	errNotFound = desk.Fail(desk.ErrNotFound)
	errOrigin   = errors.New("the request comes from another site")
	errForm     = errors.New("the form could not be read")
	errEmail    = account.ErrEmail
	errLink     = errors.New("the link does not work")
)

func badForm(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return desk.Fail(desk.ErrTooLarge)
	}
	return errors.Join(errForm, err)
}

// call is one request, with who makes it and how they read.
type call struct {
	reader
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	actor  desk.Actor
	me     account.Account // zero when nobody is signed in
	theme  string
	policy policy
	homeOf *account.Organization // once home has loaded it
}

// serve wraps a page: headers, language, login, form, errors. Pages with login send others to sign in.
func (s *Server) serve(f func(*call) error, login bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{s: s, w: w, r: r, ctx: r.Context(), policy: policyPage}
		c.reader = reader{Printer: catalogue.For(languageOf(r)), zone: zoneOf(r), now: s.o.Now()}
		c.theme = themeOf(r)
		headers(w.Header())
		err := s.identify(c)
		switch {
		case err == nil && login && c.me.ID == "":
			err = c.turnAway()
		case err == nil:
			if err = c.readForm(); err == nil {
				err = f(c)
			}
		}
		if err != nil {
			s.problem(c, err)
		}
	}
}

// identify finds out who is signed in.
func (s *Server) identify(c *call) error {
	cookie, err := c.r.Cookie(loginCookie)
	if err != nil || cookie.Value == "" || len(cookie.Value) > 200 {
		return nil
	}
	actor, me, err := s.o.People.Login(c.ctx, cookie.Value, c.address())
	switch {
	case errors.Is(err, desk.ErrDenied):
		return nil
	case err != nil:
		return err
	}
	c.actor, c.me = actor, me
	c.Printer = catalogue.For(me.Language)
	return nil
}

// signedIn reports whether the login of a request that goes on for long still lives, and brings its rights up to
// date: they may have been narrowed meanwhile.
func (c *call) signedIn() bool {
	cookie, err := c.r.Cookie(loginCookie)
	if err != nil {
		return false
	}
	actor, _, err := c.s.o.People.Login(c.ctx, cookie.Value, c.address())
	if err == nil {
		c.actor = actor
	}
	return !errors.Is(err, desk.ErrDenied)
}

// turnAway sends somebody who is not signed in to the door, and back afterwards.
func (c *call) turnAway() error {
	if c.r.Method != http.MethodGet || c.r.Header.Get("Upgrade") != "" || c.r.Header.Get("HX-Request") != "" || strings.Contains(c.r.Header.Get("Accept"), "application/json") || strings.HasPrefix(c.r.URL.Path, "/events") {
		c.w.Header().Set("HX-Redirect", "/sign-in")
		http.Error(c.w, c.T("web.signin"), http.StatusUnauthorized)
		return nil
	}
	to := "/sign-in"
	if c.r.URL.Path != "/" {
		to += "?next=" + escape(c.r.URL.RequestURI())
	}
	return c.redirect(to)
}

// readForm reads a form of modest size. Uploads are streamed by their own handler.
func (c *call) readForm() error {
	if c.r.Method != http.MethodPost || strings.HasSuffix(c.r.URL.Path, "/messages") || strings.HasSuffix(c.r.URL.Path, "/logo") {
		return nil
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseForm(); err != nil {
		return badForm(err)
	}
	return nil
}

func (c *call) address() string {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		return c.r.RemoteAddr
	}
	return host
}

func (c *call) redirect(to string) error {
	http.Redirect(c.w, c.r, to, http.StatusSeeOther)
	return nil
}

// problem shows an error as a page that says what happened, what was kept and what comes next.
func (s *Server) problem(c *call, err error) {
	v := problemView{Href: "/", Link: c.T("web.problem.home")}
	say := func(status int, id string) int {
		v.Heading, v.Text = c.T("web.problem."+id), c.T("web.problem."+id+".text")
		return status
	}
	var e *desk.Error
	own := errors.As(err, &e)
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, context.Canceled):
		return
	case errors.Is(err, desk.ErrStepUp):
		s.askStepUp(c)
		return
	case errors.Is(err, errOrigin):
		status = say(http.StatusForbidden, "origin")
	case errors.Is(err, desk.ErrNotFound):
		status = say(http.StatusNotFound, "notfound")
	case errors.Is(err, desk.ErrDenied):
		status = say(http.StatusForbidden, "denied")
	case errors.Is(err, desk.ErrUnavailable):
		status = say(http.StatusServiceUnavailable, "busy")
	case errors.Is(err, desk.ErrLimited):
		status, v.Heading, v.Text = http.StatusTooManyRequests, c.T("web.problem.busy"), desk.Text(err, c.Language())
	case errors.Is(err, desk.ErrTooLarge):
		status, v.Heading, v.Text = http.StatusRequestEntityTooLarge, c.T("web.problem.invalid"), desk.Text(err, c.Language())
	case errors.Is(err, desk.ErrConflict):
		status, v.Heading, v.Text = http.StatusConflict, c.T("web.problem.invalid"), desk.Text(err, c.Language())
	case errors.Is(err, errForm), errors.Is(err, desk.ErrInvalid):
		status, v.Heading, v.Text = http.StatusUnprocessableEntity, c.T("web.problem.invalid"), c.T("web.problem.busy.text")
		if own {
			v.Text = desk.Text(err, c.Language())
		}
	default:
		status = say(status, "failed")
	}
	if status >= 500 {
		s.o.Logger.Error("a page failed", "path", c.r.URL.Path, "err", err)
	}
	if strings.Contains(c.r.Header.Get("Accept"), "application/json") || c.r.Header.Get("Upgrade") != "" {
		http.Error(c.w, v.Heading, status)
		return
	}
	p := c.page("", v.Heading, v)
	in := inFrame
	if c.me.ID == "" {
		in = inDoor
		v.Href, v.Link = "/sign-in", c.T("web.signin")
		p.Body = v
	}
	if err := s.render.write(c.w, status, in, "problem", p); err != nil {
		s.o.Logger.Error("the page of a problem failed", "err", err)
	}
}

type problemView struct{ Heading, Text, Href, Link string }
