package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/traybell/traybell/server/internal/mail/mailtest"
)

// virtualKey gives the browser an authenticator of its own, like a telephone's.
func virtualKey(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tab, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return err
	})); err != nil {
		t.Fatal(err)
	}
}

// gateway takes short messages over HTTP as a provider of them does.
type gateway struct {
	*httptest.Server
	texts chan string
}

func smsGateway(t *testing.T) gateway {
	g := gateway{texts: make(chan string, 8)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ To, Text string }
		if err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&m); err != nil || r.Header.Get("Authorization") != "Bearer gateway-secret" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		g.texts <- m.To + " " + m.Text
	}))
	t.Cleanup(g.Close)
	return g
}

// code is the code of the next message.
func (g gateway) code(t *testing.T, number string) string {
	t.Helper()
	select {
	case m := <-g.texts:
		if !strings.HasPrefix(m, number+" ") {
			t.Fatalf("the message went to %s", m)
		}
		return regexp.MustCompile(`\b\d{6}\b`).FindString(strings.TrimPrefix(m, number))
	case <-time.After(patience):
		t.Fatal("no message came")
	}
	return ""
}

// person is somebody in front of a browser.
type person struct {
	t   *testing.T
	ctx context.Context
	s   *site
}

// goes opens a path of the portal and waits for an expression. A link with a secret sends its page at once, which
// aborts the load that Navigate would wait for.
func (p person) goes(path, until string) {
	p.t.Helper()
	act(p.t, p.ctx, "go to "+path, chromedp.Navigate("about:blank"), script(fmt.Sprintf("location.href = %q", p.s.public+path)))
	js(p.t, p.ctx, path+" is there", until)
}

// fills sets fields of the page by name.
func (p person) fills(pairs ...string) {
	p.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		b, _ := json.Marshal(pairs[i+1])
		act(p.t, p.ctx, "fill "+pairs[i], script(fmt.Sprintf(`{ const e = document.querySelector('main [name="%s"]'); e.value = %s; e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true})) }`, pairs[i], b)))
	}
}

// sends presses a button of a form and waits for an expression.
func (p person) sends(button, until string) {
	p.t.Helper()
	act(p.t, p.ctx, "press "+button, chromedp.Click(button))
	js(p.t, p.ctx, "after "+button, until)
}

func (p person) text(expression string) string {
	p.t.Helper()
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// app sets up an authenticator app as second factor and returns its key.
func (p person) app() string {
	p.t.Helper()
	p.sends(`a[href^="/factors/new/app"]`, `document.querySelector('#secret')`)
	key := strings.ReplaceAll(p.text(`document.querySelector('#secret').textContent`), " ", "")
	code, err := totp.GenerateCode(key, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.fills("code", code)
	p.sends(`main form button.btn-primary`, `document.querySelector('#codes')`)
	return key
}

// keeps says that the recovery codes are kept, having checked the address that is to be remembered.
func (p person) keeps() {
	p.t.Helper()
	if got := p.text(`document.querySelector('#address').innerText`); got != p.s.public+"/sign-in" {
		p.t.Errorf("the address to remember is %s", got)
	}
	p.sends(`main a.btn-primary`, `document.querySelector('.tb-side')`)
}

// invited waits for the mail with an invitation and opens its link.
func (p person) invited(m *mailtest.Server, address, name string) {
	p.t.Helper()
	raw := m.Wait(address, 1)[0]
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(raw)))
	if err != nil && len(b) == 0 {
		p.t.Fatal(err)
	}
	link := regexp.MustCompile(regexp.QuoteMeta(p.s.public) + `(/invitation#token=[A-Za-z0-9_-]+)`).FindSubmatch(b)
	if link == nil {
		p.t.Fatalf("no link in the mail:\n%s", b)
	}
	if !strings.Contains(string(b), "Studio Verdi") {
		p.t.Errorf("the mail does not say whose it is:\n%s", b)
	}
	p.goes(string(link[1]), `document.querySelector('#name')`)
	if lang := p.text(`document.documentElement.lang`); lang != "it" {
		p.t.Errorf("the page speaks %s", lang)
	}
	p.fills("name", name, "password", "tuttominuscole")
	p.sends(`button[value=accept]`, `document.querySelector('[role=alert], .tb-error')`)
	picture(p.ctx, "password-"+name)
	p.fills("name", name, "password", "Cavallo-Corretto-7-Pila")
	p.sends(`button[value=accept]`, `location.pathname === '/factors/new'`)
}

// TestPeople makes a new organization from nothing: the administrator sets the mail server, makes the organization
// and invites its responsible person, who names two employees. Each comes by a mail of a real mail server and signs
// up in Italian, with an authenticator app, a passkey and short messages; the employees sign in again.
func TestPeople(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	m := mailtest.Start(t, mailtest.Options{Domains: []string{"studioverdi.example", "rossi.example"}})
	sms := smsGateway(t)
	s := serve(t, filepath.Join(dir, "server"), "")

	admin := person{t, browserOf(t, s, filepath.Join(dir, "administrator"), "it-IT"), s}
	first := strings.TrimPrefix(s.link(), s.public)
	admin.goes(first, `document.querySelector('[name="organization"]')`)
	admin.fills("organization", "Rossi IT", "name", "Anna Bianchi", "email", "anna@rossi.example", "password", "Cavallo-Corretto-7-Pila")
	admin.sends(`button[value="make"]`, `location.pathname === '/factors/new'`)
	admin.app()
	admin.keeps()

	admin.goes("/mail", `document.querySelector('[name="host"]')`)
	admin.fills("host", "localhost", "port", fmt.Sprint(m.SMTP), "security", "plain", "from", "assistenza@rossi.example", "from-name", "Rossi IT")
	admin.sends(`#outgoing button.btn-primary`, `location.search.includes('done=mail')`)
	admin.fills("to", "anna@rossi.example")
	admin.sends(`#test button.btn-primary`, `document.querySelector('#test [role=status].good')`)
	m.Wait("anna@rossi.example", 1)
	picture(admin.ctx, "mail-tested")
	admin.goes("/settings/sms", `document.querySelector('[name="url"]')`)
	admin.fills("url", sms.URL, "header", "Authorization", "secret", "Bearer gateway-secret")
	admin.sends(`main form button.btn-primary`, `document.querySelector('#test')`)

	admin.goes("/organizations/new", `document.querySelector('[name="name"]')`)
	admin.fills("name", "Studio Verdi")
	admin.sends(`main form button.btn-primary`, `location.pathname.startsWith('/organizations/') && location.pathname !== '/organizations/new'`)
	admin.goes("/people/invite", `document.querySelector('[name="people"]')`)
	admin.fills("people", "carla@studioverdi.example, Carla Neri, responsible, it", "role", "responsible", "organization", "Studio Verdi")
	admin.sends(`main form button.btn-primary`, `document.querySelector('#done')`)
	picture(admin.ctx, "invited")

	carla := person{t, browserOf(t, s, filepath.Join(dir, "carla"), "it-IT"), s}
	carla.invited(m, "carla@studioverdi.example", "Carla Neri")
	carla.app()
	carla.keeps()
	carla.goes("/people/invite", `document.querySelector('[name="people"]')`)
	carla.fills("people", "lucia@studioverdi.example\nmarco@studioverdi.example")
	carla.sends(`main form button.btn-primary`, `document.querySelectorAll("section[aria-labelledby=done] code").length === 2`)

	lucia := person{t, browserOf(t, s, filepath.Join(dir, "lucia"), "it-IT"), s}
	virtualKey(t, lucia.ctx)
	lucia.invited(m, "lucia@studioverdi.example", "Lucia Rossi")
	lucia.sends(`a[href^="/factors/new/passkey"]`, `document.querySelector('button[data-passkey=create]')`)
	lucia.sends(`button[data-passkey=create]`, `document.querySelector('#codes')`)
	lucia.keeps()
	lucia.signsOut()
	lucia.password("lucia@studioverdi.example")
	lucia.sends(`button[data-passkey=get]`, `document.querySelector('.tb-side') && document.body.innerText.includes('Lucia Rossi')`)

	marco := person{t, browserOf(t, s, filepath.Join(dir, "marco"), "it-IT"), s}
	marco.invited(m, "marco@studioverdi.example", "Marco Gialli")
	marco.sends(`a[href^="/factors/new/sms"]`, `document.querySelector('#number')`)
	marco.fills("number", "+39 333 765 4321")
	marco.sends(`main form button.btn-primary`, `document.querySelector('#code')`)
	marco.fills("code", sms.code(t, "+393337654321"))
	marco.sends(`main form button.btn-primary`, `document.querySelector('#codes')`)
	marco.keeps()

	// Who is an employee does not see other people; who speaks for the organization does.
	carla.goes("/people", `document.body.innerText.includes('Lucia Rossi') && document.body.innerText.includes('Marco Gialli')`)
	if strings.Contains(carla.text(`document.body.innerText`), "Anna Bianchi") {
		t.Error("the responsible person sees somebody of another organization")
	}
	picture(carla.ctx, "people")
	lucia.goes("/people", `document.querySelector('h1')`)
	if strings.Contains(lucia.text(`document.body.innerText`), "Marco Gialli") {
		t.Error("an employee sees the others")
	}
	picture(lucia.ctx, "people-denied")
}

func (p person) signsOut() {
	p.t.Helper()
	act(p.t, p.ctx, "sign out", script(`document.querySelector('form[action="/sign-out"]').requestSubmit()`))
	js(p.t, p.ctx, "signed out", `location.pathname === '/sign-in' && document.querySelector('[name="email"]')`)
}

func (p person) password(email string) {
	p.t.Helper()
	p.fills("email", email, "password", "Cavallo-Corretto-7-Pila")
	act(p.t, p.ctx, "send the password", script(`document.querySelector('form[action="/sign-in"]').requestSubmit()`))
	js(p.t, p.ctx, "the second factor is asked for", `location.pathname === '/second-factor'`)
}
