package web_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
)

// rule says who gets through a route. Each letter is somebody:
//
//	q requester of Studio Verdi       r responsible person of Studio Verdi
//	l technician limited to Neri      t technician of the provider
//	a administrator                   d somebody whose account is disabled
//	n nobody: no login
//
// Whoever is not named is turned away: sent to sign in, denied, or told that it does not exist. verdi is who gets
// through to what is Studio Verdi's (the ticket is the requester's own), neri to what is Neri's. A route about no
// organization has the same in both; then only verdi is given.
//
// To add a rule for a new route, add one line to rules. form is what a POST sends; the words {ticket}, {number},
// {device}, {org} and {person} stand for things of the organization, made anew for each call. Getting through means a
// page, a redirect inside, or a complaint about the form (409, 422): so give a form that is accepted, or nothing.
type rule struct {
	verdi, neri string
	form        string
}

const everybody = "qrltadn"

// rules has a line for each route of the portal.
var rules = map[string]rule{
	"GET /assets/":     {verdi: everybody},
	"GET /favicon.ico": {verdi: everybody},
	"GET /first":       {verdi: everybody},
	"POST /first":      {verdi: everybody},
	"GET /sign-in":     {verdi: everybody},
	"POST /sign-in":    {verdi: everybody, form: "email=x@example.com&password=x"},
	"GET /invitation":  {verdi: everybody},
	"POST /invitation": {verdi: everybody, form: "token=x"},
	"POST /language":   {verdi: everybody, form: "language=it"},

	"GET /{$}":      {verdi: "qrlta"},
	"GET /search":   {verdi: "qrlta"},
	"GET /settings": {verdi: "qrlta"},

	"GET /tickets":                           {verdi: "qrlta"},
	"GET /tickets/new":                       {verdi: "qrlta"},
	"POST /tickets/new":                      {verdi: "qrlta", form: "title=Printer"},
	"GET /tickets/{number}":                  {verdi: "qrta", neri: "lta"},
	"POST /tickets/{number}/messages":        {verdi: "qrta", neri: "lta", form: "kind=message&text=Hello"},
	"POST /tickets/{number}/status":          {verdi: "qrta", neri: "lta", form: "status=closed"},
	"POST /tickets/{number}/severity":        {verdi: "ta", neri: "lta", form: "severity=high"},
	"POST /tickets/{number}/take":            {verdi: "ta", neri: "lta"},
	"POST /tickets/{number}/assign":          {verdi: "ta", neri: "lta", form: "to="},
	"POST /tickets/{number}/sort":            {verdi: "ta", neri: "lta", form: "category=&queue="},
	"POST /tickets/{number}/time":            {verdi: "ta", neri: "lta", form: "minutes=5"},
	"POST /tickets/{number}/time/remove":     {verdi: "ta", neri: "lta", form: "entry=x"},
	"POST /tickets/{number}/watch":           {verdi: "qrta", neri: "lta", form: "on=yes"},
	"POST /tickets/{number}/merge":           {verdi: "ta", neri: "lta", form: "into={number}"},
	"POST /tickets/{number}/unmerge":         {verdi: "ta", neri: "lta"},
	"POST /tickets/{number}/approval":        {verdi: "ta", neri: "lta", form: "kind=permission&what=x&for=y"},
	"POST /tickets/bulk":                     {verdi: "lta", form: "do=take&n={number}"},
	"GET /tickets/similar":                   {verdi: "qrlta"},
	"GET /tickets/phone":                     {verdi: "lta"},
	"POST /tickets/phone":                    {verdi: "ta", neri: "lta", form: "name=Greta&title=Mouse&device={device}"},
	"GET /today":                             {verdi: "lta"},
	"GET /approvals":                         {verdi: "qrlta"},
	"GET /tickets/{number}/files/{file}":     {verdi: "qrta", neri: "lta"},
	"GET /devices":                           {verdi: "qrlta"},
	"GET /devices/enrol":                     {verdi: "a"},
	"POST /devices/enrol":                    {verdi: "a", form: "uses=1&hours=24"},
	"POST /devices/enrol/revoke":             {verdi: "a", form: "key={key}"},
	"GET /devices/{id}":                      {verdi: "rta", neri: "lta"},
	"POST /devices/{id}/rename":              {verdi: "ta", neri: "lta", form: "name=PC-9"},
	"POST /devices/{id}/remove":              {verdi: "a", neri: "a", form: "sure=yes"},
	"GET /sessions":                          {verdi: "rlta"},
	"POST /sessions":                         {verdi: "ta", neri: "lta", form: "device={device}"},
	"GET /sessions/{id}":                     {verdi: "ta", neri: "lta"},
	"GET /sessions/{id}/state":               {verdi: "rta", neri: "lta"},
	"POST /sessions/{id}/leave":              {verdi: "ta", neri: "ta"},
	"GET /sessions/{id}/channels/{kind}":     {verdi: "ta", neri: "lta"},
	"GET /events":                            {verdi: "qrlta"},
	"POST /settings/profile":                 {verdi: "qrlta", form: "name=Somebody&language=en"},
	"POST /settings/phone":                   {verdi: "a", form: "phone=0461"},
	"GET /settings/tokens":                   {verdi: "lta"},
	"POST /settings/tokens":                  {verdi: "lta", form: "name=script&days=90&right=tickets.all"},
	"POST /settings/invite":                  {verdi: "ra", form: "email={fresh}&role=requester"},
	"GET /organization":                      {verdi: "ra"},
	"GET /people":                            {verdi: "rlta"},
	"GET /people/invite":                     {verdi: "ra"},
	"POST /people/invite":                    {verdi: "ra", form: "people={fresh}&role=requester"},
	"GET /people/{id}":                       {verdi: "qrta", neri: "lta"},
	"POST /people/{id}":                      {verdi: "ra", neri: "a", form: "do=enable"},
	"GET /people/{id}/data.zip":              {verdi: "qra", neri: "a"},
	"GET /devices/overview":                  {verdi: "rlta"},
	"GET /devices/overview.csv":              {verdi: "rlta"},
	"GET /organizations":                     {verdi: "rlta"},
	"GET /organizations/new":                 {verdi: "a"},
	"POST /organizations/new":                {verdi: "a", form: "name={fresh}"},
	"GET /organizations/{id}":                {verdi: "rta", neri: "lta"},
	"POST /organizations/templates/remove":   {verdi: "a", form: "template={template}"},
	"POST /organizations/{id}/template":      {verdi: "a", neri: "a", form: "template={fresh}"},
	"POST /organizations/{id}":               {verdi: "ra", neri: "a", form: "form=members&all=yes"},
	"GET /organizations/{id}/logo":           {verdi: "qrta", neri: "lta"},
	"POST /organizations/{id}/logo":          {verdi: "a", neri: "a", form: "logo="},
	"POST /organizations/{id}/absences":      {verdi: "ra", neri: "a", form: "who={responsible}&deputy={author}&from=2030-01-01&to=2030-01-02"},
	"POST /organizations/{id}/absences/drop": {verdi: "ra", neri: "a", form: "absence={absence}"},
	"GET /devices/link":                      {verdi: "qrlta"},
	"GET /directories":                       {verdi: "a"},
	"GET /directories/new":                   {verdi: "a"},
	"POST /directories":                      {verdi: "a"},
	"GET /directories/{id}":                  {verdi: "a", neri: "a"},
	"POST /directories/{id}/remove":          {verdi: "a", neri: "a", form: "sure=yes"},
	"GET /settings/sms":                      {verdi: "a"},
	"POST /settings/sms":                     {verdi: "a"},
	"POST /settings/sms/test":                {verdi: "a"},
	"POST /settings/sms/remove":              {verdi: "a"},
	"GET /settings/security":                 {verdi: "qrlta"},
	"GET /settings/lost-factor":              {verdi: "ra"},
	"POST /settings/lost-factor":             {verdi: "ra", form: "email={fresh}"},
	"GET /log":                               {verdi: "ra"},
	"POST /log/export":                       {verdi: "a"},
	"POST /log/keep":                         {verdi: "a", form: "days=400"},
	"GET /integrations":                      {verdi: "a"},
	"POST /integrations":                     {verdi: "a", form: "name={fresh}"},
	"GET /integrations/{id}":                 {verdi: "a", neri: "a"},
	"POST /integrations/{id}/tokens":         {verdi: "a", neri: "a", form: "name=x&days=30&right=tickets.all"},
	"POST /integrations/{id}/tokens/end":     {verdi: "a", neri: "a", form: "token={integrationtoken}"},
	"POST /integrations/{id}/remove":         {verdi: "a", neri: "a", form: "sure=yes"},
	"GET /mail":                              {verdi: "a"},
	"POST /mail":                             {verdi: "a"},
	"POST /mail/remove":                      {verdi: "a"},
	"POST /mail/test":                        {verdi: "a"},
	"POST /mail/banner":                      {verdi: "a"},
	"GET /mail/outbox":                       {verdi: "a"},
	"POST /mail/outbox/link":                 {verdi: "a", form: "mail={mail}"},
	"POST /mail/outbox/retry":                {verdi: "a", form: "mail={mail}"},
	"POST /mail/outbox/discard":              {verdi: "a", form: "mail={mail}"},
	"GET /mail/mailboxes":                    {verdi: "a"},
	"POST /mail/mailboxes":                   {verdi: "a"},
	"POST /mail/mailboxes/remove":            {verdi: "a", form: "mailbox={mailbox}"},
	"GET /mail/held":                         {verdi: "a"},
	"POST /mail/held/accept":                 {verdi: "a", form: "mail={held}"},
	"POST /mail/held/discard":                {verdi: "a", form: "mail={held}"},
	"GET /start":                             {verdi: "a"},
	"POST /start/dismiss":                    {verdi: "a"},
}

// personal are the routes that concern nothing but the own login or account of whoever calls, or that take a
// secret instead of a right; tests of their own show them.
var personal = []string{
	"GET /confirm", "POST /confirm", "GET /decide", "POST /decide", "GET /sign-in/directories/{id}", "GET /sign-in/directories/{id}/back",
	"GET /factors/new/passkey", "POST /factors/new/passkey", "POST /factors/new/passkey/begin", "GET /factors/new/sms", "POST /factors/new/sms", "POST /factors/new/sms/confirm", "POST /passkey",
	"GET /second-factor", "POST /second-factor", "GET /step-up", "POST /step-up",
	"GET /factors/new", "GET /factors/new/app", "GET /factors/new/app.png", "POST /factors/new/app",
	"GET /forgotten", "POST /forgotten", "GET /reset", "POST /reset", "GET /settings/security/new-password", "POST /settings/security/new-password",
	"POST /devices/link", "POST /devices/link/confirm", "POST /devices/link/end",
	"POST /settings/security/password", "POST /settings/security/factors/rename", "POST /settings/security/factors/remove", "POST /settings/security/codes",
	"POST /settings/security/logins/end", "POST /settings/security/logins/others",
	"POST /tickets/me-too", "GET /approvals/{id}", "POST /approvals/{id}", "GET /administration/tickets/{part}", "POST /administration/tickets/{part}",
	"POST /sign-out", "POST /settings/tokens/end", "/",
}

// routes reads the patterns of every route out of the package's source: the calls of open, in and mux.Handle.
func routes(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) < 2 {
				return true
			}
			if lit, ok := c.Args[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, _ := strconv.Unquote(lit.Value); regexp.MustCompile(`^((GET|POST|PUT|PATCH|DELETE|HEAD) )?/`).MatchString(s) && registers(c.Fun) {
					list = append(list, s)
				}
			}
			return true
		})
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// registers reports whether a call is one that registers a route.
func registers(f ast.Expr) bool {
	switch f := f.(type) {
	case *ast.Ident:
		return true // open, in, and whatever else wraps them
	case *ast.SelectorExpr:
		return f.Sel.Name == "Handle" || f.Sel.Name == "HandleFunc"
	}
	return false
}

// TestEveryRouteHasARule fails when a route is added without saying who may use it, and when a rule is left of
// a route that is gone.
func TestEveryRouteHasARule(t *testing.T) {
	list := routes(t)
	if len(list) < 40 {
		t.Fatalf("only %d routes were found in the source: %v", len(list), list)
	}
	for _, r := range list {
		_, ruled := rules[r]
		if own := slices.Contains(personal, r); ruled == own {
			t.Errorf("%s: add a rule for it to rules in walk_test.go (or to personal, if it concerns nobody but the caller); in one of them only", r)
		}
	}
	for r := range rules {
		if !slices.Contains(list, r) {
			t.Errorf("%s has a rule and does not exist", r)
		}
	}
}

// walker makes what the routes are about.
type walker struct {
	*servertest.Server
	t           *testing.T
	admin       *servertest.Person
	who         map[byte]*servertest.Person
	authors     map[string]desk.Actor // of tickets, by organization
	devices     map[string]*servertest.Device
	orgs        map[string]account.OrganizationID
	responsible map[string]account.ID
	token       string // of the integration made last
	n           int
}

func newWalker(t *testing.T) *walker {
	s := servertest.Start(t)
	w := &walker{Server: s, t: t, admin: s.Administrator(t), who: map[byte]*servertest.Person{}, devices: map[string]*servertest.Device{}, orgs: map[string]account.OrganizationID{}}
	w.devices["verdi"], w.devices["neri"] = s.Enrol(t, "PC-1", "Studio Verdi"), s.Enrol(t, "PC-2", "Neri")
	list, err := s.People.Organizations(t.Context(), desk.System())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		w.orgs[map[string]string{"Studio Verdi": "verdi", "Neri": "neri"}[o.Name]] = o.ID
	}
	w.who['a'] = w.admin
	w.who['q'] = s.Person(t, account.Requester, "q@verdi.it", "Studio Verdi")
	w.authors = map[string]desk.Actor{"verdi": w.who['q'].Actor, "neri": s.Person(t, account.Requester, "author@neri.it", "Neri").Actor}
	w.responsible = map[string]account.ID{"neri": s.Person(t, account.Responsible, "head@neri.it", "Neri").Account.ID}
	w.who['r'] = s.Person(t, account.Responsible, "r@verdi.it", "Studio Verdi")
	w.responsible["verdi"] = w.who['r'].Account.ID
	w.who['t'] = s.Person(t, account.Technician, "t@rossi.it", "")
	w.who['l'] = s.Person(t, account.Technician, "l@rossi.it", "")
	w.who['d'] = s.Person(t, account.Technician, "d@rossi.it", "")
	if err := s.Store.Write(t.Context(), func(tx store.Tx) error {
		a, err := tx.Account(w.who['d'].Account.ID)
		if err != nil {
			return err
		}
		a.Disabled = true
		return tx.SaveAccount(a)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.People.Limit(t.Context(), desk.System(), w.who['l'].Account.ID, []account.OrganizationID{w.orgs["neri"]}); err != nil {
		t.Fatal(err)
	}
	for _, o := range w.orgs {
		if err := s.People.SetLogo(t.Context(), desk.System(), o, onePixel); err != nil {
			t.Fatal(err)
		}
	}
	w.things("GET /tickets/{number}", "{number}", "verdi") // so that the requester has filed from the device
	return w
}

// things fills a path or a form with things of an organization, made anew.
func (w *walker) things(pattern, text, org string) string {
	w.t.Helper()
	w.n++
	ctx := w.t.Context()
	fill := func(word string, make func() string) {
		if strings.Contains(text, word) {
			text = strings.ReplaceAll(text, word, make())
		}
	}
	fail := func(err error) {
		if err != nil {
			w.t.Helper()
			w.t.Fatal(err)
		}
	}
	file := ""
	fill("{number}", func() string {
		k, err := w.Tickets.Create(ctx, w.authors[org], deskticket.Draft{Title: "Printer", Device: device.ID(w.devices[org].ID)})
		fail(err)
		if strings.Contains(text, "{file}") {
			f, err := w.Tickets.Attach(ctx, w.admin.Actor, k.ID, "a.txt", "text/plain", strings.NewReader("x"))
			fail(err)
			file = f.ID
		}
		return strconv.FormatInt(k.Number, 10)
	})
	fill("{file}", func() string { return file })
	fill("{key}", func() string {
		_, k, err := w.Devices.CreateEnrolmentKey(ctx, desk.System(), deskdevice.NewKey{})
		fail(err)
		return k.ID
	})
	fill("{responsible}", func() string { return string(w.responsible[org]) })
	fill("{author}", func() string { return string(w.authors[org].Account) })
	fill("{absence}", func() string {
		b := account.Absence{Organization: w.orgs[org], Account: w.responsible[org], Deputy: w.authors[org].Account, From: "2031-01-01", To: "2031-01-02"}
		fail(w.People.AddAbsence(ctx, desk.System(), b))
		id := ""
		fail(w.Store.Read(ctx, func(tx store.Tx) error {
			list, err := tx.Absences(b.Organization, "2031-01-01")
			if err == nil {
				id = list[len(list)-1].ID
			}
			return err
		}))
		return id
	})
	fill("{mailbox}", func() string {
		err := w.Mails.AddMailbox(ctx, desk.System(), deskmail.Mailbox{Host: "imap.invalid", Security: deskmail.TLS, User: "help", Password: "not used"})
		fail(err)
		list, _, err := w.Mails.Mailboxes(ctx, desk.System())
		fail(err)
		return list[len(list)-1].ID
	})
	fill("{held}", func() string {
		w.n++
		raw := fmt.Sprintf("From: eve@elsewhere.example\r\nMessage-ID: <held%d@elsewhere.example>\r\nSubject: Hello\r\n\r\nHello\r\n", w.n)
		got, err := w.Tickets.Receive(w.t.Context(), deskticket.Incoming{Raw: []byte(raw)})
		if err != nil || got.Outcome != "held" {
			w.t.Fatal(got.Outcome, err)
		}
		return got.ID
	})
	fill("{mail}", func() string {
		_, _, err := w.People.Invite(ctx, desk.System(), people.NewInvitation{Email: fmt.Sprintf("mail%d@verdi.it", w.n), Role: account.Requester})
		fail(err)
		list, err := w.Mails.Outbox(ctx, w.admin.Actor)
		fail(err)
		return list.Mails[0].ID
	})
	fill("{template}", func() string {
		m, err := w.People.KeepTemplate(ctx, desk.System(), w.orgs[org], fmt.Sprintf("Template %d", w.n))
		fail(err)
		return m.ID
	})
	fill("{kind}", func() string { return "desktop" })
	fill("{id}", func() string {
		switch {
		case strings.Contains(pattern, "/devices/{id}/remove"):
			return w.Enrol(w.t, fmt.Sprintf("PC-%d", 100+w.n), map[string]string{"verdi": "Studio Verdi", "neri": "Neri"}[org]).ID
		case strings.Contains(pattern, "/devices/"):
			return w.devices[org].ID
		case strings.Contains(pattern, "/sessions/"):
			return w.session(org)
		case strings.Contains(pattern, "/directories/"):
			id := account.DirectoryID(api.NewID(time.Now()))
			fail(w.Store.Write(ctx, func(tx store.Tx) error {
				return tx.InsertDirectory(account.Directory{ID: id, Kind: "ldap", Name: fmt.Sprintf("Directory %d", w.n), Organization: w.orgs[org], CreatedAt: time.Now(), Version: 1})
			}))
			return string(id)
		case strings.Contains(pattern, "/organizations/"):
			return string(w.orgs[org])
		case strings.Contains(pattern, "/integrations/"):
			i, err := w.People.CreateIntegration(ctx, w.admin.Actor, fmt.Sprintf("Program %d", w.n), map[string]string{"verdi": "Studio Verdi", "neri": "Neri"}[org])
			fail(err)
			k, _, err := w.People.CreateIntegrationToken(ctx, w.admin.Actor, i.ID, people.NewToken{Name: "x", Life: time.Hour})
			fail(err)
			w.token = k.ID
			return string(i.ID)
		}
		return string(w.authors[org].Account)
	})
	fill("{fresh}", func() string { return fmt.Sprintf("new%d@verdi.it", w.n) })
	fill("{device}", func() string { return w.devices[org].ID })
	fill("{integrationtoken}", func() string { return w.token })
	return text
}

// session makes a question of the technician's to the organization's device, which is asleep.
func (w *walker) session(org string) string {
	w.t.Helper()
	id := access.SessionID(api.NewID(time.Now()))
	filed := w.devices[org].File(w.t, "Help")
	err := w.Store.Write(w.t.Context(), func(tx store.Tx) error {
		k, err := tx.TicketByNumber(filed.Number)
		if err != nil {
			return err
		}
		d, err := tx.Device(k.Device)
		if err != nil {
			return err
		}
		by := w.who['t'].Account
		s, err := access.Ask(id, account.Technician.Rights(), by.ID, by.Name, d, k, nil, time.Now())
		if err != nil {
			return err
		}
		return tx.InsertSession(s)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(id)
}

// call makes a request as somebody and reports whether they got through.
func (w *walker) call(pattern string, r rule, org string, as byte) (through bool, status int) {
	w.t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	path = w.things(pattern, strings.ReplaceAll(path, "{$}", ""), org)
	var body io.Reader
	contentType := ""
	if method == http.MethodPost {
		form := w.things(pattern, r.form, org)
		body, contentType = strings.NewReader(form), "application/x-www-form-urlencoded"
		if strings.HasSuffix(pattern, "/messages") {
			v, err := url.ParseQuery(form)
			if err != nil {
				w.t.Fatal(err)
			}
			var b bytes.Buffer
			parts := multipart.NewWriter(&b)
			for name := range v {
				if err := parts.WriteField(name, v.Get(name)); err != nil {
					w.t.Fatal(err)
				}
			}
			if err := parts.Close(); err != nil {
				w.t.Fatal(err)
			}
			body, contentType = &b, parts.FormDataContentType()
		}
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if p := w.who[as]; p != nil {
		req.AddCookie(&http.Cookie{Name: "__Host-traybell", Value: p.Cookie})
	}
	res, err := w.Client.Do(req)
	if err != nil {
		w.t.Fatalf("%s as %c: %v", pattern, as, err)
	}
	res.Body.Close() // a stream of events would not end
	if res.StatusCode >= 500 {
		w.t.Errorf("%s of %s as %c: status %d", pattern, org, as, res.StatusCode)
	}
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return false, res.StatusCode
	case http.StatusNotFound:
		return r.verdi == everybody, res.StatusCode
	}
	return r.verdi == everybody || !strings.HasPrefix(res.Header.Get("Location"), "/sign-in"), res.StatusCode
}

// TestTheWalk calls every route as everybody, on what is theirs and on what is another organization's, and
// compares who got through with the rules. In each rule somebody gets through, so that no refusal is one
// that everybody meets.
func TestTheWalk(t *testing.T) {
	w := newWalker(t)
	for _, pattern := range slices.Sorted(maps.Keys(rules)) {
		r := rules[pattern]
		orgs := map[string]string{"verdi": r.verdi}
		if strings.ContainsAny(pattern, "{") && !strings.Contains(pattern, "{$}") || strings.Contains(r.form, "{device}") {
			orgs["neri"] = r.neri
		}
		for org, may := range orgs {
			if may == "" {
				t.Errorf("%s: nobody gets through to what is %s's; then it proves nothing", pattern, org)
			}
			for _, as := range []byte(everybody) {
				through, status := w.call(pattern, r, org, as)
				if want := strings.IndexByte(may, as) >= 0; through != want {
					t.Errorf("%s of %s as %c: through %v (status %d), want %v", pattern, org, as, through, status, want)
				}
				if strings.Contains(pattern, "{") && !through && as != 'n' && as != 'd' && strings.IndexByte(r.verdi+r.neri, as) < 0 && status != http.StatusNotFound && status != http.StatusForbidden {
					t.Errorf("%s of %s as %c is refused with status %d", pattern, org, as, status)
				}
			}
		}
	}
}
