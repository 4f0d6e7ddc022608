package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/web/pictures/sample"
)

// gateway is an SMS gateway: what it was asked to send.
type gateway struct {
	*httptest.Server
	sent chan map[string]string
}

// gatewayOf sets up an SMS gateway through its page, by an administrator.
func gatewayOf(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{sent: make(chan map[string]string, 10)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m map[string]string
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.Header.Get("Authorization") != "Bearer s3cret" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		g.sent <- m
	}))
	t.Cleanup(g.Close)
	anna := open(t, portal, sample.Anna)
	form := []string{"url", g.URL + "/send", "method", "POST", "header", "Authorization", "type", "application/json", "body", `{"to":"{number}","text":"{text}"}`}
	anna.post("/settings/sms", append(form, "secret", "Bearer wrong")...).to(t, "/settings/sms?done=sms")
	anna.post("/settings/sms/test", "number", "+39 333 1234567").want(t, http.StatusOK, "403 Forbidden")
	anna.post("/settings/sms", append(form, "secret", "Bearer s3cret")...).to(t, "/settings/sms?done=sms")
	anna.post("/settings/sms", form...).to(t, "/settings/sms?done=sms") // the secret is kept
	page := anna.get("/settings/sms")
	if strings.Contains(page.body, "s3cret") {
		t.Error("the secret is shown")
	}
	anna.post("/settings/sms/test", "number", "+39 333 1234567").want(t, http.StatusOK, "has taken the message")
	<-g.sent
	t.Cleanup(func() {
		if err := portal.People.SetSMSGateway(context.Background(), desk.System(), people.Gateway{}); err != nil {
			t.Error(err)
		}
	})
	return g
}

// code is that of the next message, which must go to a number.
func (g *gateway) code(t *testing.T, number string) string {
	t.Helper()
	select {
	case m := <-g.sent:
		code := regexp.MustCompile(`\b\d{6}\b`).FindString(m["text"])
		if m["to"] != number || code == "" {
			t.Fatalf("sent %v", m)
		}
		return code
	case <-time.After(10 * time.Second):
		t.Fatal("no message was sent")
	}
	return ""
}

func TestSMSGatewayIsTheAdministrators(t *testing.T) {
	for _, who := range []string{sample.Lucia, sample.Carla, sample.Marco} {
		b := open(t, portal, who)
		b.get("/settings/sms").want(t, http.StatusForbidden)
		b.post("/settings/sms", "url", "https://evil.example").want(t, http.StatusForbidden)
		b.post("/settings/sms/test", "number", "+393331234567").want(t, http.StatusForbidden)
	}
	anna := open(t, portal, sample.Anna)
	for _, wrong := range [][]string{
		{"url", "ftp://sms.example/{number}/{text}", "method", "POST"}, {"url", "https://sms.example/", "method", "POST", "body", "no places"},
		{"url", "https://sms.example/{number}/{text}", "method", "DELETE"}, {"url", "https://sms.example/{number}/{text}", "method", "GET", "header", "X: y\r\n"},
	} {
		anna.post("/settings/sms", wrong...).want(t, http.StatusUnprocessableEntity, `role="alert"`)
	}
}

// virtual gives the browser an authenticator of its own, like a telephone's.
func virtual(t *testing.T, ctx context.Context) {
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

// lands waits for an expression to be true on whatever page the browser comes to.
func lands(expression string) step {
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for {
			if ok, err := chromedp.Evaluate[bool](`!!(`+expression+`)`)(ctx, tab); ok && err == nil {
				return chromedp.Void{}, nil
			}
			select {
			case <-ctx.Done():
				return chromedp.Void{}, ctx.Err()
			case <-look.C:
			}
		}
	}
}

func textOf(t *testing.T, ctx context.Context, expression string) string {
	t.Helper()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSigningUpInItalian walks from the invitation's link to a signed-in employee, by each kind of second factor.
func TestSigningUpInItalian(t *testing.T) {
	g := gatewayOf(t)
	ctx := chromium(t, portal, sample.Otto)
	virtual(t, ctx)
	out := []step{chromedp.Navigate(portal.URL + "/settings"), lands(`document.querySelector('.tb-side')`), js(`document.querySelector('form[action="/sign-out"]').requestSubmit()`), lands(`location.pathname === "/sign-in"`)}
	steps(t, ctx, "sign out", out...)
	invite := func(email string, role account.Role) string {
		_, token, err := portal.People.Invite(t.Context(), desk.System(), people.NewInvitation{Email: email, Role: role, Organization: "Studio Verdi"})
		if err != nil {
			t.Fatal(err)
		}
		return portal.URL + "/invitation#token=" + token
	}
	signUp := func(email, name string, role account.Role) {
		t.Helper()
		steps(t, ctx, name+" opens the link", chromedp.Navigate("about:blank"), js(`location.href = "`+invite(email, role)+`"`), lands(`document.querySelector('#name')`), js(`[...document.querySelectorAll('button[name=language]')].find((b) => b.value === 'it').click()`), lands(`document.documentElement.lang === 'it'`))
		steps(t, ctx, name+" opens it again", chromedp.Navigate("about:blank"), js(`location.href = "`+invite(email, role)+`"`), lands(`document.querySelector('#name') && document.querySelector('h1').innerText`),
			chromedp.SendKeys(`#name`, name), chromedp.SendKeys(`#password`, "corta"), js(`document.querySelector('button[value=accept]').click()`), lands(`document.querySelector('[role=alert]')?.innerText.includes('8 caratteri')`),
			js(`document.querySelector('#password').value = ''`), chromedp.SendKeys(`#password`, sample.Password), js(`document.querySelector('button[value=accept]').click()`), lands(`location.pathname === '/factors/new' && document.body.innerText.includes('secondo fattore')`))
	}
	kept := func(what string) {
		t.Helper()
		steps(t, ctx, what, lands(`document.querySelector('#codes')?.innerText.trim().split('\n').length === 10 && document.querySelector('#address').innerText === '`+portal.URL+`/sign-in' && document.body.innerText.includes('preferiti')`),
			js(`document.querySelector('main a.btn-primary').click()`), lands(`location.pathname === '/tickets' && document.querySelector('.tb-side')`))
	}
	leave := func() {
		t.Helper()
		steps(t, ctx, "sign out", js(`document.querySelector('form[action="/sign-out"]').requestSubmit()`), lands(`location.pathname === "/sign-in" && document.querySelector('#email')`))
	}
	password := func(email string) {
		t.Helper()
		steps(t, ctx, email+"'s password", chromedp.SendKeys(`#email`, email), chromedp.SendKeys(`#password`, sample.Password), js(`document.querySelector('form[action="/sign-in"]').requestSubmit()`), lands(`location.pathname === '/second-factor'`))
	}

	signUp("app@studioverdi.it", "Ada App", account.Responsible)
	steps(t, ctx, "the app", js(`document.querySelector('a[href^="/factors/new/app"]').click()`), lands(`document.querySelector('.tb-qr')?.naturalWidth === 240`))
	secret := strings.ReplaceAll(textOf(t, ctx, `document.querySelector('#secret').textContent`), " ", "")
	steps(t, ctx, "its code", chromedp.SendKeys(`#code`, peopletest.Code(secret, time.Now())), js(`document.querySelector('form[action="/factors/new/app"]').requestSubmit()`))
	kept("recovery codes of the app")
	leave()
	password("app@studioverdi.it")
	steps(t, ctx, "the app's next code", chromedp.SendKeys(`#code`, peopletest.Code(secret, time.Now().Add(30*time.Second))), js(`document.querySelector('button[value=prove]').click()`), lands(`location.pathname === '/tickets'`))
	leave()

	signUp("chiave@studioverdi.it", "Carlo Chiave", account.Requester)
	steps(t, ctx, "the passkey", js(`document.querySelector('a[href^="/factors/new/passkey"]').click()`), lands(`document.querySelector('button[data-passkey=create]')`), chromedp.Click(`button[data-passkey=create]`))
	kept("recovery codes of the passkey")
	leave()
	password("chiave@studioverdi.it")
	steps(t, ctx, "sign in by passkey", lands(`document.querySelector('button[data-passkey=get]')`), chromedp.Click(`button[data-passkey=get]`), lands(`location.pathname === '/tickets' && document.body.innerText.includes('Carlo Chiave')`))
	leave()

	signUp("sms@studioverdi.it", "Sara Messaggi", account.Requester)
	steps(t, ctx, "the telephone", js(`document.querySelector('a[href^="/factors/new/sms"]').click()`), lands(`document.querySelector('#number')`), chromedp.SendKeys(`#number`, "0039 333 765-4321"), js(`document.querySelector('form[action="/factors/new/sms"]').requestSubmit()`), lands(`document.querySelector('#code')`))
	steps(t, ctx, "a wrong code", chromedp.SendKeys(`#code`, "12345"), js(`document.querySelector('form[action="/factors/new/sms/confirm"]').requestSubmit()`), lands(`document.querySelector('[role=alert]') && document.querySelector('#code').value === ''`))
	steps(t, ctx, "the code", chromedp.SendKeys(`#code`, g.code(t, "+393337654321")), js(`document.querySelector('form[action="/factors/new/sms/confirm"]').requestSubmit()`))
	kept("recovery codes of the telephone")
	leave()
	password("sms@studioverdi.it")
	steps(t, ctx, "ask for a code", lands(`document.body.innerText.includes('+39 … 321')`), js(`document.querySelector('button[value=send]').click()`), lands(`document.querySelector('#code')`))
	steps(t, ctx, "sign in by SMS", chromedp.SendKeys(`#code`, g.code(t, "+393337654321")), js(`document.querySelector('button[value=prove]').click()`), lands(`location.pathname === '/tickets' && document.body.innerText.includes('Sara Messaggi')`))
}
