package web_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/web/pictures/sample"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/link"
)

var (
	portal *sample.Portal
	filled sample.Filled
)

func TestMain(m *testing.M) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	var err error
	if portal, err = sample.New(context.Background(), log); err == nil {
		filled, err = portal.Fill(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fill the sample:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := portal.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// browser is a person's browser without scripts.
type browser struct {
	t       *testing.T
	on      *sample.Portal
	client  *http.Client
	cookies map[string]string
	header  http.Header
}

func open(t *testing.T, on *sample.Portal, email string) *browser {
	t.Helper()
	b := &browser{t: t, on: on, client: on.Client(), cookies: map[string]string{}, header: http.Header{}}
	if email != "" {
		token, err := on.Token(t.Context(), email)
		if err != nil {
			t.Fatalf("sign in %s: %v", email, err)
		}
		b.cookies["__Host-traybell"] = token
	}
	return b
}

type answer struct {
	*http.Response
	body string
}

func (b *browser) do(method, path, contentType string, body io.Reader) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.on.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range b.header {
		r.Header[k] = v
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
		if r.Header.Get("Sec-Fetch-Site") == "" {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
	}
	for k, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return answer{res, string(text)}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do("GET", path, "", nil) }

func (b *browser) post(path string, form ...string) answer {
	b.t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		v.Add(form[i], form[i+1])
	}
	return b.do("POST", path, "application/x-www-form-urlencoded", strings.NewReader(v.Encode()))
}

func (a answer) want(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: got status %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body[:min(len(a.body), 600)])
	}
	for _, s := range texts {
		if !strings.Contains(a.body, s) {
			t.Errorf("%s %s: %q is not on the page", a.Request.Method, a.Request.URL.Path, s)
		}
	}
	return a
}

func (a answer) to(t *testing.T, prefix string) string {
	t.Helper()
	a.want(t, http.StatusSeeOther)
	l := a.Header.Get("Location")
	if !strings.HasPrefix(l, prefix) {
		t.Fatalf("%s leads to %q, want %q", a.Request.URL.Path, l, prefix)
	}
	return l
}

func ticketPath(n int64) string { return "/tickets/" + strconv.FormatInt(n, 10) }

// pages are all pages that staff may read.
func pages() []string {
	return []string{
		"/tickets", "/tickets?status=waiting&sort=severity&dir=asc&q=signature", "/tickets?q=unicorn", "/tickets/new", ticketPath(filled.Ticket), ticketPath(filled.FromDevice), "/devices", "/devices?q=PC", "/devices/enrol",
		"/devices/" + filled.Device, "/devices/" + filled.Offline, "/devices/overview", "/devices/overview?support=ending&sort=disk&low=1&offline=7&restart=1&q=pc", "/sessions", "/sessions/" + filled.Asking, "/sessions/" + filled.Locked, "/sessions/" + filled.Nobody, "/sessions/" + filled.Refused, "/sessions/" + filled.Ended,
		"/sessions/" + filled.Connected, "/search", "/search?q=printer", "/settings",
	}
}

var (
	unresolved = regexp.MustCompile(`\b(web|word|desk|access|devices)\.[a-z]+[a-z.]*\b|<no value>|%!|\{\{`)
	inline     = regexp.MustCompile(`(?i)<script(>| (?:[^>]*)>)|<style|\sstyle=|\son[a-z]+=|=\"javascript:`)
)

// checkPage looks for what must not be on any page.
func checkPage(t *testing.T, a answer, language string) {
	t.Helper()
	if !strings.Contains(a.body, `<html lang="`+language+`"`) {
		t.Errorf("%s is not in %q", a.Request.URL, language)
	}
	if m := unresolved.FindString(a.body); m != "" {
		t.Errorf("%s shows %q", a.Request.URL, m)
	}
	for _, m := range inline.FindAllString(a.body, -1) {
		if !strings.Contains(m, `src="/assets/`) && m != `<script type="application/json" id="console-texts">` {
			t.Errorf("%s holds %q, which its policy forbids", a.Request.URL, m)
		}
	}
}

func TestEveryPageReadsInEveryLanguage(t *testing.T) {
	ctx := context.Background()
	defer portal.Speak(ctx, "en")
	for _, language := range catalogue.Languages {
		if err := portal.Speak(ctx, language); err != nil {
			t.Fatal(err)
		}
		anna := open(t, portal, sample.Anna)
		for _, path := range pages() {
			checkPage(t, anna.get(path).want(t, http.StatusOK), language)
		}
		for _, who := range []string{sample.Lucia, sample.Carla, sample.Marco} {
			b := open(t, portal, who)
			for _, path := range []string{"/tickets", "/tickets/new", "/devices", "/devices/link", "/devices/" + filled.Device, ticketPath(filled.Ticket), "/search?q=mouse", "/settings"} {
				checkPage(t, b.get(path).want(t, http.StatusOK), language)
			}
		}
		checkPage(t, open(t, portal, sample.Carla).get("/devices/overview").want(t, http.StatusOK), language)
		out := open(t, portal, "")
		out.cookies["language"] = language
		for _, path := range []string{"/sign-in", "/invitation"} {
			checkPage(t, out.get(path).want(t, http.StatusOK), language)
		}
		checkPage(t, anna.get("/tickets/999999").want(t, http.StatusNotFound), language)
	}
}

func TestOverviewTellsWhatThereIs(t *testing.T) {
	anna, carla := open(t, portal, sample.Anna), open(t, portal, sample.Carla)
	anna.get("/devices/overview").want(t, http.StatusOK, "SRV-DOCS", "WS-CAD-1", "Ends soon", "Restart due")
	anna.get("/devices/overview?low=1").want(t, http.StatusOK, "SRV-DOCS")
	if a := anna.get("/devices/overview?low=1"); strings.Contains(a.body, "WS-CAD-1") {
		t.Error("the filter lets a device through")
	}
	if a := carla.get("/devices/overview"); !strings.Contains(a.body, "SRV-DOCS") || strings.Contains(a.body, "WS-CAD-1") {
		t.Error("the responsible person sees other than their own organization's devices")
	}
	minute := regexp.MustCompile(`\d\d:\d\dZ`)
	file := anna.get("/devices/overview.csv").want(t, http.StatusOK, "name,organization,system", "SRV-DOCS,Studio Verdi,Debian GNU/Linux 12,12,6.1.0-40-amd64,supported,2028-06-30")
	if !minute.MatchString(file.body) {
		t.Error("technicians are not told the minute")
	}
	file = carla.get("/devices/overview.csv").want(t, http.StatusOK, "SRV-DOCS")
	if minute.MatchString(file.body) || strings.Contains(file.body, "WS-CAD-1") {
		t.Errorf("the responsible person reads\n%s", file.body)
	}
	open(t, portal, sample.Lucia).get("/devices/overview").want(t, http.StatusForbidden)
}

func TestTheBrowsersLanguageIsSpokenAtTheDoor(t *testing.T) {
	b := open(t, portal, "")
	b.header.Set("Accept-Language", "de-AT,de;q=0.9,en;q=0.5")
	b.get("/sign-in").want(t, http.StatusOK, `<html lang="de"`, "Anmelden")
	b.post("/language", "language", "ru", "back", "/sign-in").to(t, "/sign-in")
	b.get("/sign-in").want(t, http.StatusOK, `<html lang="ru"`)
	b.post("/language", "language", "ru", "back", "//evil.example/").to(t, "/sign-in")
}

func TestNobodyReadsWithoutSigningIn(t *testing.T) {
	b := open(t, portal, "")
	for _, path := range append(pages(), "/sessions/"+filled.Connected+"/state", "/events", "/sessions/"+filled.Connected+"/channels/desktop", "/nowhere") {
		a := b.get(path)
		switch a.StatusCode {
		case http.StatusSeeOther:
			if l := a.Header.Get("Location"); !strings.HasPrefix(l, "/sign-in") {
				t.Errorf("%s leads to %s", path, l)
			}
		case http.StatusUnauthorized:
		default:
			t.Errorf("%s: got %d", path, a.StatusCode)
		}
		if strings.Contains(a.body, "Printer") {
			t.Errorf("%s tells something", path)
		}
	}
	for _, path := range []string{ticketPath(filled.Ticket) + "/messages", "/tickets/new", "/sessions", "/devices/enrol", "/settings/security/password", "/sign-out", "/devices/" + filled.Device + "/remove"} {
		b.post(path, "text", "x").want(t, http.StatusUnauthorized)
	}
	b.get("/sign-in?next=https://evil.example/").want(t, http.StatusOK, `name="next" value="/"`)
}

func TestForeignThingsDoNotExist(t *testing.T) {
	lucia, otto := open(t, portal, sample.Lucia), open(t, portal, sample.Otto)
	for _, path := range []string{ticketPath(filled.Foreign), "/devices/" + filled.Offline, "/sessions/" + filled.Connected, "/sessions/" + filled.Connected + "/state", "/tickets/0", "/tickets/x", "/sessions/x", "/devices/x"} {
		lucia.get(path).want(t, http.StatusNotFound)
	}
	for _, path := range []string{ticketPath(filled.Ticket), "/devices/" + filled.Device} {
		otto.get(path).want(t, http.StatusNotFound)
	}
	otto.post(ticketPath(filled.Ticket)+"/messages", "kind", "answer", "text", "hello").want(t, http.StatusNotFound)
	otto.post(ticketPath(filled.Ticket)+"/status", "status", "closed").want(t, http.StatusNotFound)
	lucia.get("/sessions").want(t, http.StatusForbidden)
	lucia.get("/devices/enrol").want(t, http.StatusForbidden)
	lucia.post("/devices/enrol", "uses", "1", "hours", "24").want(t, http.StatusForbidden)
	lucia.post("/sessions", "device", filled.Device, "scope", "view").want(t, http.StatusForbidden)
	lucia.post(ticketPath(filled.Ticket)+"/take").want(t, http.StatusForbidden)
	lucia.post(ticketPath(filled.Ticket)+"/severity", "severity", "low").want(t, http.StatusForbidden)
	lucia.post("/settings/tokens", "name", "x").want(t, http.StatusForbidden)
	lucia.post("/settings/invite", "email", "x@y.example", "role", "administrator").want(t, http.StatusForbidden)
	open(t, portal, sample.Marco).post("/devices/"+filled.Device+"/remove", "sure", "yes").want(t, http.StatusForbidden)
}

func TestNotesStayInside(t *testing.T) {
	const note = "the fuser was near its end"
	open(t, portal, sample.Marco).get(ticketPath(filled.Ticket)).want(t, http.StatusOK, note)
	for _, who := range []string{sample.Lucia, sample.Carla} {
		if a := open(t, portal, who).get(ticketPath(filled.Ticket)).want(t, http.StatusOK); strings.Contains(a.body, note) {
			t.Errorf("%s reads an internal note", who)
		}
	}
	open(t, portal, sample.Lucia).post(ticketPath(filled.Ticket)+"/messages", "kind", "note", "text", "I am inside").want(t, http.StatusForbidden)
}

func TestHeaders(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	for _, path := range []string{"/tickets", "/sessions/" + filled.Connected, "/tickets/999999"} {
		a := anna.get(path)
		for k, v := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
			if got := a.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", path, k, got, v)
			}
		}
		csp := a.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy lacks %q: %s", path, part, csp)
			}
		}
		console := strings.HasPrefix(path, "/sessions/")
		if got := strings.Contains(csp, "unsafe") || strings.Contains(csp, "data:"); got != console {
			t.Errorf("%s: the policy is %s", path, csp)
		}
		if strings.Contains(csp, "unsafe-eval") || strings.Contains(csp, "script-src 'self' ") {
			t.Errorf("%s: scripts are too free: %s", path, csp)
		}
	}
}

func TestAnotherSiteCanPostNothing(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	for _, h := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}} {
		anna.header = h
		anna.post(ticketPath(filled.Ticket)+"/status", "status", "closed").want(t, http.StatusForbidden)
	}
	anna.header = http.Header{}
	anna.get(ticketPath(filled.Ticket)).want(t, http.StatusOK, "st-open")
}

func TestSignInAndOut(t *testing.T) {
	b := open(t, portal, "")
	b.get("/tickets?q=mouse").to(t, "/sign-in?next=%2Ftickets%3Fq%3Dmouse")
	b.post("/sign-in", "email", sample.Carla, "password", "Wrong-Password-1").want(t, http.StatusUnprocessableEntity, sample.Carla, `role="alert"`)
	b.post("/sign-in", "email", sample.Carla, "password", sample.Password, "next", "/tickets?q=mouse").to(t, "/second-factor?next=%2Ftickets%3Fq%3Dmouse")
	b.get("/tickets").to(t, "/sign-in") // half-way is not in
	b.get("/settings/security").to(t, "/sign-in")
	b.get("/factors/new/app").to(t, "/sign-in")
	b.get("/second-factor?next=%2Ftickets%3Fq%3Dmouse").want(t, http.StatusOK, sample.Carla, `value="/tickets?q=mouse"`, "authenticator app")
	b.post("/second-factor", "step", "choose", "kind", "recovery").want(t, http.StatusOK, "Recovery code")
	b.post("/second-factor", "kind", "recovery", "code", "AAAA-AAAA-AAAA-AAAA", "next", "/tickets?q=mouse").want(t, http.StatusUnprocessableEntity, `role="alert"`)
	code, err := portal.Code(t.Context(), sample.Carla)
	if err != nil {
		t.Fatal(err)
	}
	b.post("/second-factor", "kind", "recovery", "code", code, "next", "/tickets?q=mouse").to(t, "/tickets?q=mouse")
	b.get("/tickets").want(t, http.StatusOK, "Carla Neri")
	token := b.cookies["__Host-traybell"]
	b.post("/sign-out").to(t, "/sign-in")
	if b.cookies["__Host-traybell"] != "" {
		t.Error("the cookie stays after signing out")
	}
	b.cookies["__Host-traybell"] = token
	b.get("/tickets").to(t, "/sign-in")
}

func TestLoginCookie(t *testing.T) {
	b := open(t, portal, "")
	a := b.post("/sign-in", "email", sample.Otto, "password", sample.Password)
	code, err := portal.Code(t.Context(), sample.Otto)
	if err != nil {
		t.Fatal(err)
	}
	cookies := append(a.Cookies(), b.post("/second-factor", "kind", "recovery", "code", code).Cookies()...)
	if len(cookies) != 4 { // half-way, its end, the login, and the browser that is known from now on
		t.Errorf("%d cookies: %v", len(cookies), cookies)
	}
	for _, c := range cookies {
		if strings.HasPrefix(c.Name, "__Host-traybell") && (!c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "") {
			t.Errorf("the login's cookie is %s", c)
		}
	}
}

func TestFirstAdministratorAndInvitation(t *testing.T) {
	p, err := sample.New(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b := open(t, p, "")
	b.get("/sign-in").to(t, "/first")
	b.get("/first").want(t, http.StatusOK, `data-fragment="submit"`)
	b.post("/first", "step", "check", "token", "wrong").want(t, http.StatusUnprocessableEntity, `role="alert"`)
	b.get("/first?token="+p.FirstToken).want(t, http.StatusOK, `name="password"`)
	b.post("/first", "step", "check", "token", p.FirstToken).want(t, http.StatusOK, `name="password"`)
	b.post("/first", "step", "make", "token", p.FirstToken, "organization", "Müller & Söhne", "name", "Ada", "email", "ada@example.com", "password", "short").want(t, http.StatusUnprocessableEntity, "Ada", "ada@example.com", "8 characters")
	b.post("/first", "step", "make", "token", p.FirstToken, "organization", "Müller & Söhne", "name", "Ada", "email", "ada@example.com", "password", sample.Password).to(t, "/factors/new")
	b.get("/tickets").to(t, "/sign-in")
	app(b)
	b.get("/tickets").want(t, http.StatusOK, "Müller &amp; Söhne", "No tickets yet")
	open(t, p, "").post("/first", "step", "check", "token", p.FirstToken).want(t, http.StatusUnprocessableEntity)

	b.post("/settings/invite", "email", "not an address", "role", "technician").want(t, http.StatusUnprocessableEntity, `role="alert"`)
	a := b.post("/settings/invite", "email", "ben@example.com", "role", "technician").want(t, http.StatusOK, "/invitation#token=")
	token := regexp.MustCompile(`/invitation#token=([\w-]+)`).FindStringSubmatch(a.body)[1]
	ben := open(t, p, "")
	ben.post("/invitation", "step", "check", "token", "no").want(t, http.StatusUnprocessableEntity)
	ben.post("/invitation", "step", "check", "token", token).want(t, http.StatusOK, "ben@example.com", "Technician")
	ben.post("/invitation", "step", "accept", "token", token, "name", "Ben", "password", "12345678").want(t, http.StatusUnprocessableEntity, `value="Ben"`)
	for range 2 { // until the second factor is set up, the link works
		ben.post("/invitation", "step", "accept", "token", token, "name", "Ben", "password", sample.Password).to(t, "/factors/new")
	}
	ben.get("/tickets").to(t, "/sign-in")
	app(ben)
	ben.get("/settings").want(t, http.StatusOK, "ben@example.com")
	ben.post("/invitation", "step", "accept", "token", token, "name", "Ben", "password", sample.Password).want(t, http.StatusUnprocessableEntity)
}

// app sets up an authenticator app in the browser and returns its secret and the recovery codes.
func app(b *browser) (secret string, codes []string) {
	b.t.Helper()
	page := b.get("/factors/new/app").want(b.t, http.StatusOK, `src="/factors/new/app.png"`)
	picture := b.get("/factors/new/app.png").want(b.t, http.StatusOK)
	if !strings.HasPrefix(picture.body, "\x89PNG") || picture.Header.Get("Content-Type") != "image/png" || picture.Header.Get("Cache-Control") != "no-store" {
		b.t.Errorf("the QR code comes with %v", picture.Header)
	}
	secret = strings.ReplaceAll(regexp.MustCompile(`id="secret">([A-Z2-7 ]+)<`).FindStringSubmatch(page.body)[1], " ", "")
	b.post("/factors/new/app", "code", "000000").want(b.t, http.StatusUnprocessableEntity, `id="secret"`)
	done := b.post("/factors/new/app", "code", peopletest.Code(secret, time.Now()))
	return secret, regexp.MustCompile(`[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}`).FindAllString(done.body, -1)
}

func TestAuthenticatorApp(t *testing.T) {
	admin, err := portal.Actor(t.Context(), sample.Anna)
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := portal.People.Invite(t.Context(), admin, people.NewInvitation{Email: "totp@example.com", Role: account.Technician})
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, portal, "")
	b.get("/factors/new").to(t, "/sign-in")
	b.post("/invitation", "step", "accept", "token", token, "name", "Tina", "password", sample.Password).to(t, "/factors/new")
	secret, codes := app(b)
	if len(codes) != 10 {
		t.Fatalf("recovery codes %q", codes)
	}
	b.get("/settings/security").want(t, http.StatusOK, "10 recovery codes are left", "It can’t be removed")

	in := open(t, portal, "")
	in.post("/sign-in", "email", "totp@example.com", "password", sample.Password).to(t, "/second-factor")
	in.post("/second-factor", "kind", "app", "code", "123").want(t, http.StatusUnprocessableEntity, `role="alert"`)
	in.post("/second-factor", "kind", "app", "code", peopletest.Code(secret, time.Now().Add(30*time.Second))).to(t, "/")
	in.get("/tickets").want(t, http.StatusOK, "Tina")

	other := open(t, portal, "")
	other.post("/second-factor", "kind", "recovery", "code", codes[0]).want(t, http.StatusUnprocessableEntity) // without the password
	other.post("/sign-in", "email", "totp@example.com", "password", sample.Password).to(t, "/second-factor")
	other.post("/second-factor", "kind", "recovery", "code", codes[0]).to(t, "/")

	// A second app, then the first one goes.
	_, none := app(in)
	if len(none) != 0 {
		t.Error("another factor brings other recovery codes")
	}
	page := in.get("/settings/security")
	factor := regexp.MustCompile(`name="factor" value="([\w-]+)"`).FindStringSubmatch(page.body)[1]
	in.post("/settings/security/factors/rename", "factor", factor, "name", "Old phone").to(t, "/settings/security?done=saved")
	in.get("/settings/security").want(t, http.StatusOK, "Old phone")
	in.post("/settings/security/factors/remove", "factor", factor).to(t, "/settings/security?done=factor.off")
	page = in.get("/settings/security").want(t, http.StatusOK, "It can’t be removed")
	factor = regexp.MustCompile(`name="factor" value="([\w-]+)"`).FindStringSubmatch(page.body)[1]
	in.post("/settings/security/factors/remove", "factor", factor).want(t, http.StatusUnprocessableEntity, "the only second factor")
	fresh := in.post("/settings/security/codes").want(t, http.StatusOK, `id="codes"`)
	if strings.Contains(fresh.body, codes[1]) {
		t.Error("the old codes go on")
	}
	in.post("/settings/security/logins/others").to(t, "/settings/security?done=others")
	other.get("/tickets").to(t, "/sign-in")
}

func TestATicketsLife(t *testing.T) {
	marco, lucia := open(t, portal, sample.Marco), open(t, portal, sample.Lucia)
	lucia.post("/tickets/new", "title", " ", "text", "kept", "severity", "medium").want(t, http.StatusUnprocessableEntity, "kept", `role="alert"`)
	path, _, _ := strings.Cut(lucia.post("/tickets/new", "title", "The <b>scanner</b> hums", "text", "since\ntoday", "severity", "medium").to(t, "/tickets/"), "?")
	lucia.get(path+"?done=created").want(t, http.StatusOK, "The &lt;b&gt;scanner&lt;/b&gt; hums", "is created", "nobody has taken it yet")
	lucia.get("/tickets").want(t, http.StatusOK, "The &lt;b&gt;scanner")

	marco.post(path+"/take").to(t, path)
	marco.post(path+"/severity", "severity", "high").to(t, path)
	marco.post(path+"/severity", "severity", "huge").want(t, http.StatusUnprocessableEntity)
	marco.post(path+"/messages", "kind", "answer", "text", "Which one?", "then", "waiting").to(t, path)
	lucia.get(path).want(t, http.StatusOK, "Which one?", "we need your answer")
	lucia.post(path+"/messages", "kind", "answer", "text", "  ").want(t, http.StatusUnprocessableEntity)
	lucia.post(path+"/messages", "kind", "answer", "text", "The red one").to(t, path)
	marco.get(path).want(t, http.StatusOK, "The red one", "st-open", "Marco Conti has taken the ticket", "severity High")
	marco.post(path+"/status", "status", "paused").want(t, http.StatusUnprocessableEntity)
	marco.post(path+"/status", "status", "paused", "reason", "spare part").want(t, http.StatusUnprocessableEntity)
	marco.post(path+"/status", "status", "paused", "reason", "spare part", "until", time.Now().AddDate(0, 0, 3).Format(time.DateOnly)).to(t, path)
	lucia.get(path).want(t, http.StatusOK, "planned for ", ": spare part")
	marco.post(path+"/status", "status", "resolved").to(t, path)
	lucia.get(path).want(t, http.StatusOK, "we think it is solved", "Still broken", "Close now")
	lucia.post(path+"/status", "status", "open").to(t, path)
	lucia.post(path+"/status", "status", "closed").to(t, path)
	marco.get(path).want(t, http.StatusOK, "Put it back to Open")
	marco.post(path+"/messages", "kind", "answer", "text", "one more").want(t, http.StatusUnprocessableEntity)
	lucia.post(path+"/messages", "kind", "answer", "text", "It broke again").to(t, path)
	lucia.get(path).want(t, http.StatusOK, "Marco is working on it", "It broke again")
}

func TestFilesOfStrangersRunNothing(t *testing.T) {
	lucia, otto := open(t, portal, sample.Lucia), open(t, portal, sample.Otto)
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	m.WriteField("kind", "answer")
	m.WriteField("text", "See the page")
	f, _ := m.CreateFormFile("file", "../../page.html")
	io.WriteString(f, "<script>alert(1)</script>")
	m.Close()
	path := ticketPath(filled.Ticket)
	lucia.do("POST", path+"/messages", m.FormDataContentType(), &body).to(t, path)
	page := lucia.get(path).want(t, http.StatusOK, "page.html")
	links := regexp.MustCompile(path+`/files/[\w-]+`).FindAllString(page.body, -1)
	if len(links) != 2 {
		t.Fatalf("got %v, want a picture and a page", links)
	}
	a := lucia.get(links[1]).want(t, http.StatusOK, "<script>alert(1)</script>")
	if got := a.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment") || !strings.Contains(got, "page.html") || strings.Contains(got, "..") {
		t.Errorf("Content-Disposition is %q", got)
	}
	if got := a.Header.Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("Content-Type is %q", got)
	}
	for _, l := range links {
		if csp := lucia.get(l).Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "sandbox") {
			t.Errorf("%s comes with the policy %q", l, csp)
		}
		otto.get(l).want(t, http.StatusNotFound)
	}
}

func TestEnrolmentKeyIsShownOnceAndNeverInArguments(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	anna.post("/devices/enrol", "uses", "0", "hours", "24").want(t, http.StatusUnprocessableEntity)
	anna.post("/devices/enrol", "uses", "1", "hours", "999999").want(t, http.StatusUnprocessableEntity)
	a := anna.post("/devices/enrol", "uses", "3", "hours", "168", "organization", "Studio Verdi").want(t, http.StatusOK, "tb1_", "3 computers", "traybell-agent enrol -")
	if regexp.MustCompile(`enrol tb1_`).MatchString(a.body) {
		t.Error("the key is an argument, which every user of the machine can read")
	}
	if strings.Contains(anna.get("/devices/enrol").body, "tb1_") {
		t.Error("the key is shown again")
	}
	key := regexp.MustCompile(`name="key" value="([\w-]+)"`).FindStringSubmatch(anna.get("/devices/enrol").want(t, http.StatusOK, "3 of 3 left").body)
	open(t, portal, sample.Marco).post("/devices/enrol/revoke", "key", key[1]).want(t, http.StatusForbidden)
	anna.post("/devices/enrol/revoke", "key", key[1]).to(t, "/devices/enrol")
	if strings.Contains(anna.get("/devices/enrol").body, key[1]) {
		t.Error("the key is still listed")
	}
}

func TestSettings(t *testing.T) {
	b := open(t, portal, sample.Otto)
	b.post("/settings/profile", "name", "", "language", "de").want(t, http.StatusUnprocessableEntity, `role="alert"`)
	b.post("/settings/profile", "name", "Otto W.", "language", "de", "theme", "dark").to(t, "/settings?done=saved")
	b.get("/settings").want(t, http.StatusOK, `<html lang="de" data-bs-theme="dark"`, "Otto W.")
	b.post("/settings/profile", "name", "Otto Weber-Hoffmannstein", "language", "en", "theme", "auto").to(t, "/settings")
	b.post("/settings/security/password", "old", "wrong", "new", sample.Password+"1").want(t, http.StatusUnprocessableEntity)
	b.post("/settings/security/password", "old", sample.Password, "new", "Short-1").want(t, http.StatusUnprocessableEntity)
	second := open(t, portal, sample.Otto)
	b.post("/settings/security/password", "old", sample.Password, "new", sample.Password+"1").to(t, "/settings/security?done=password")
	second.get("/tickets").to(t, "/sign-in") // ended with the old password
	b.post("/settings/security/password", "old", sample.Password+"1", "new", sample.Password).to(t, "/settings/security")

	other := open(t, portal, sample.Otto)
	page := b.get("/settings/security").want(t, http.StatusOK)
	login := regexp.MustCompile(`name="login" value="([\w-]+)"`).FindStringSubmatch(page.body)
	if login == nil {
		t.Fatal("the other browser is not listed")
	}
	b.post("/settings/security/logins/end", "login", login[1]).to(t, "/settings/security")
	other.get("/tickets").to(t, "/sign-in")

	b.post("/settings/phone", "phone", "1").want(t, http.StatusForbidden)
	anna := open(t, portal, sample.Anna)
	anna.post("/settings/phone", "phone", "051 123\n4567").want(t, http.StatusUnprocessableEntity)
	anna.post("/settings/phone", "phone", "051 123 4567").to(t, "/settings?done=phone")
	anna.get("/settings").want(t, http.StatusOK, "051 123 4567")
	anna.post("/settings/tokens", "name", " ", "days", "30", "right", "audit.view").want(t, http.StatusUnprocessableEntity, `value="audit.view" checked`, `value="30" selected`)
	anna.post("/settings/tokens", "name", "x", "days", "4000").want(t, http.StatusUnprocessableEntity)
	anna.post("/settings/tokens", "name", "x", "days", "30", "right", "everything").want(t, http.StatusUnprocessableEntity)
	fresh := anna.post("/settings/tokens", "name", "nightly report", "days", "90", "right", "tickets.all").want(t, http.StatusOK, "tbt_", "nightly report")
	secret := regexp.MustCompile(`tbt_[\w-]+`).FindString(fresh.body)
	who, err := portal.People.ActorByToken(t.Context(), secret, "::1")
	if err != nil || !slices.Equal(who.Rights.List(), []account.Right{account.TicketsAll}) {
		t.Errorf("the token has the rights %v, %v", who.Rights.List(), err)
	}
	page = anna.get("/settings/tokens")
	if strings.Contains(page.body, "tbt_") {
		t.Error("the token is shown again")
	}
	token := regexp.MustCompile(`name="token" value="([\w-]+)"`).FindStringSubmatch(page.body)[1]
	open(t, portal, sample.Marco).post("/settings/tokens/end", "token", token).want(t, http.StatusNotFound)
	anna.post("/settings/tokens/end", "token", token).to(t, "/settings/tokens?done=token")
}

func TestConsoleSaysWhatIsTrue(t *testing.T) {
	anna, marco := open(t, portal, sample.Anna), open(t, portal, sample.Marco)
	if err := portal.Remind(filled.Asking); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, session string
		as            *browser
		want          []string
	}{
		{"asking", filled.Asking, anna, []string{`"state":"asking"`, "Greta Weber has the question on the screen", "{n} s left", "olive train silver moon"}},
		{"locked", filled.Locked, anna, []string{`"state":"waiting"`, "locked since"}},
		{"nobody", filled.Nobody, anna, []string{`"state":"waiting"`, "Nobody is signed in"}},
		{"refused", filled.Refused, marco, []string{`"state":"refused"`, "Lucia Rossi said no", `"again":true`}},
		{"ended", filled.Ended, marco, []string{`"state":"ended"`, "You have left it", "Nothing is allowed", `"again":false`}},
		{"allowed", filled.Connected, anna, []string{`"state":"allowed"`, `"view":true,"control":true,"terminal":true`, "Allowed until you leave: see, control, commands"}},
		{"somebody else's", filled.Connected, marco, []string{`"state":"waiting"`, "Anna Bianchi is connected", `"words":""`, `"view":false`, `"leave":"back"`}},
		{"view only", filled.ViewOnly, marco, []string{`"state":"allowed"`, `"view":true,"control":false,"terminal":false`, "Not allowed: control, commands"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.as.t = t
			c.as.get("/sessions/"+c.session+"/state").want(t, http.StatusOK, c.want...)
		})
	}
}

// dial opens a channel as a browser does.
func dial(t *testing.T, b *browser, session, kind, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	h := http.Header{"Origin": {origin}}
	var cookies []string
	for k, v := range b.cookies {
		cookies = append(cookies, k+"="+v)
	}
	h.Set("Cookie", strings.Join(cookies, "; "))
	return websocket.Dial(t.Context(), strings.Replace(b.on.URL, "https", "wss", 1)+"/sessions/"+session+"/channels/"+kind, &websocket.DialOptions{HTTPClient: b.client, HTTPHeader: h})
}

func TestChannels(t *testing.T) {
	anna, marco := open(t, portal, sample.Anna), open(t, portal, sample.Marco)
	ws, _, err := dial(t, anna, filled.Connected, "desktop?control=1", portal.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, hello, err := ws.Read(t.Context())
	if err != nil || string(hello) != "RFB 003.008\n" {
		t.Errorf("got %q, %v; want the greeting of the desktop", hello, err)
	}
	ws.CloseNow()

	ws, _, err = dial(t, anna, filled.Connected, "terminal", portal.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := websocket.NetConn(t.Context(), ws, websocket.MessageBinary)
	buf := make([]byte, link.MaxTerminalFrame)
	if _, b, err := link.ReadTerminal(c, buf); err != nil || !strings.Contains(string(b), "lpstat") {
		t.Errorf("got %q, %v; want the terminal's text", b, err)
	}
	if err := link.WriteTerminal(c, link.TerminalData, []byte{4}); err != nil {
		t.Fatal(err)
	}
	for {
		typ, _, err := link.ReadTerminal(c, buf)
		if err != nil {
			t.Fatalf("the terminal's end did not arrive: %v", err)
		}
		if typ == link.TerminalExit {
			break
		}
	}
	ws.CloseNow()

	for _, k := range []struct {
		name, session, kind, code string
		as                        *browser
	}{
		{"not granted", filled.ViewOnly, "terminal", "scope_not_granted", marco},
		{"control not granted", filled.ViewOnly, "desktop?control=1", "scope_not_granted", marco},
		{"refused", filled.Refused, "desktop", "session_over", marco},
		{"not answered", filled.Asking, "desktop", "not_allowed_yet", anna},
		{"somebody else's", filled.Connected, "desktop", "", marco},
	} {
		t.Run(k.name, func(t *testing.T) {
			ws, _, err := dial(t, k.as, k.session, k.kind, portal.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = ws.Read(t.Context())
			var closed websocket.CloseError
			if websocket.CloseStatus(err) != 4000 {
				t.Fatalf("got %v, want a refusal", err)
			}
			if ok := asClose(err, &closed); !ok || closed.Reason == "" || k.code != "" && closed.Reason != k.code {
				t.Errorf("got the reason %q, want %q", closed.Reason, k.code)
			}
		})
	}
	if _, res, err := dial(t, open(t, portal, sample.Lucia), filled.Connected, "desktop", portal.URL); err == nil || res == nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("the person who is seen gets %v", res)
	}
	if _, res, err := dial(t, anna, filled.Connected, "desktop", "https://evil.example"); err == nil || res == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("another site's script gets %v", res)
	}
	if _, res, err := dial(t, anna, filled.Connected, "files", portal.URL); err == nil || res.StatusCode != http.StatusNotFound {
		t.Error("a kind of channel that the portal does not have is opened")
	}
}

func TestSigningOutEndsWhatIsOpen(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	ws, _, err := dial(t, anna, filled.Connected, "desktop", portal.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if _, _, err := ws.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", portal.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "__Host-traybell", Value: anna.cookies["__Host-traybell"]})
	stream, err := anna.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	anna.post("/sign-out").to(t, "/sign-in")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := ws.Read(ctx); websocket.CloseStatus(err) != 4000 {
		t.Errorf("the screen stays open: %v", err)
	}
	ended := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, stream.Body); ended <- err }()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the stream of events stays open")
	}
}

func asClose(err error, to *websocket.CloseError) bool {
	for err != nil {
		if e, ok := err.(websocket.CloseError); ok {
			*to = e
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

func TestHintsTellRequestersNoIDs(t *testing.T) {
	for _, k := range []struct {
		who  string
		data bool
	}{{sample.Marco, true}, {sample.Lucia, false}} {
		b := open(t, portal, k.who)
		r, err := http.NewRequestWithContext(t.Context(), "GET", portal.URL+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: "__Host-traybell", Value: b.cookies["__Host-traybell"]})
		res, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("got %q", got)
		}
		first := make([]byte, 64)
		if _, err := res.Body.Read(first); err != nil { // the stream is subscribed soon after its head
			t.Fatal(err)
		}
		var got strings.Builder
		buf := make([]byte, 512)
		deadline := time.AfterFunc(10*time.Second, func() { res.Body.Close() })
		tick := time.NewTicker(20 * time.Millisecond)
		done := make(chan struct{})
		go func() {
			for {
				select {
				case <-tick.C:
					portal.Bus.Publish("ticket", []byte("some-ticket"))
				case <-done:
					return
				}
			}
		}()
		for !strings.Contains(got.String(), "event: ticket\ndata:") || !strings.HasSuffix(got.String(), "\n\n") {
			n, err := res.Body.Read(buf)
			if err != nil {
				t.Fatalf("%s: no hint: %v", k.who, err)
			}
			got.Write(buf[:n])
		}
		close(done)
		tick.Stop()
		deadline.Stop()
		res.Body.Close()
		if strings.Contains(got.String(), "some-ticket") != k.data {
			t.Errorf("%s is told %q", k.who, got.String())
		}
	}
}

func TestLeavingSolvedAnswersAndCloses(t *testing.T) {
	marco := open(t, portal, sample.Marco)
	marco.post("/sessions/"+filled.ViewOnly+"/leave", "outcome", "solved", "text", " ").want(t, http.StatusUnprocessableEntity)
	marco.post("/sessions/"+filled.ViewOnly+"/leave", "outcome", "solved", "text", "A new certificate is installed.").to(t, "/tickets/")
	marco.get("/sessions/"+filled.ViewOnly+"/state").want(t, http.StatusOK, `"state":"ended"`)
	marco.get("/tickets?status=closed&q=signature").want(t, http.StatusOK, "Digital signature")
}

func TestAssetsAreServedForEver(t *testing.T) {
	b := open(t, portal, "")
	page := b.get("/sign-in").want(t, http.StatusOK)
	urls := regexp.MustCompile(`"(/assets/[^"#]+)`).FindAllStringSubmatch(page.body, -1)
	if len(urls) < 3 {
		t.Fatalf("only %v", urls)
	}
	if _, err := os.Stat("dist/manifest.json"); err != nil {
		t.Fatal("the assets are not built; run ./task assets")
	}
	for _, u := range urls {
		a := b.get(u[1]).want(t, http.StatusOK)
		if !strings.Contains(a.Header.Get("Cache-Control"), "immutable") || a.Header.Get("Content-Type") == "" || a.body == "" {
			t.Errorf("%s comes with %v", u[1], a.Header)
		}
	}
	b.get("/assets/nothing.js").want(t, http.StatusNotFound)
	b.get("/assets/manifest.json").want(t, http.StatusNotFound)
}

// Every message that the portal names is in the catalogue, and every one of the catalogue is used.
func TestMessages(t *testing.T) {
	source := ""
	for _, pattern := range []string{"*.go", "templates/*.html"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if strings.HasSuffix(n, "_test.go") {
				continue
			}
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			source += string(b)
		}
	}
	p := catalogue.For("en")
	for _, m := range regexp.MustCompile(`"((?:web|word)\.[a-z0-9_.]*[a-z0-9_])"`).FindAllStringSubmatch(source, -1) {
		if p.T(m[1], "Count", 2) == m[1] {
			t.Errorf("%q is not in the catalogue", m[1])
		}
	}
	b, err := os.ReadFile("../../../shared/catalogue/messages/web.en.toml")
	if err != nil {
		t.Fatal(err)
	}
	prefixes := regexp.MustCompile(`"((?:web|word)\.[a-z0-9_.]*\.)"`).FindAllStringSubmatch(source, -1)
	for _, m := range regexp.MustCompile(`(?m)^\[?"(web\.[^"]+)"`).FindAllStringSubmatch(string(b), -1) {
		used := strings.Contains(source, `"`+m[1]+`"`)
		for _, pre := range prefixes {
			used = used || strings.HasPrefix(m[1], pre[1])
		}
		if strings.HasPrefix(m[1], "web.problem.") && strings.HasSuffix(m[1], ".text") {
			used = true // say adds the ending
		}
		if !used {
			t.Errorf("%q is in the catalogue, but nothing shows it", m[1])
		}
	}
}
