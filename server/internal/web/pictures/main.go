// Pictures renders every page of the portal to PNG, at desktop and phone width, light and dark, in four
// languages, and runs axe-core on each page, width and theme. It starts a sample portal of its own and needs Chromium and built
// assets (./task pictures does it all). It exits with 1 when axe has a finding or a page logs an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/web"
	"github.com/traybell/traybell/server/internal/web/pictures/sample"
	"github.com/traybell/traybell/shared/catalogue"
)

type action = chromedp.Action[chromedp.Void]

// shot is one page as somebody sees it.
type shot struct {
	name   string
	path   string
	as     string                                                     // address; empty: nobody is signed in
	stale  bool                                                       // the second factor was proven some time ago
	half   func(ctx context.Context, language string) (string, error) // cookie of somebody between password and second factor
	door   func(ctx context.Context) (string, error)                  // token of a link, which path takes behind its #
	do     []action
	before func() error
	on     *sample.Portal // empty: the filled one
}

type sizes struct {
	name          string
	width, height int64
	scale         float64
	mobile        bool
}

var screens = []sizes{{"desktop", 1440, 900, 1, false}, {"phone", 390, 844, 2, true}}

func main() {
	out := flag.String("out", "pictures/portal", "folder for the pictures")
	only := flag.String("only", "", "regular expression of the names of pages")
	languages := flag.String("languages", strings.Join(catalogue.Languages, ","), "languages")
	themes := flag.String("themes", "light,dark", "themes")
	axe := flag.String("axe", "", "axe.min.js; default: the one in node_modules; - for none")
	axeLanguages := flag.String("axe-languages", strings.Join(catalogue.Languages, ","), "languages in which axe runs")
	verbose := flag.Bool("v", false, "say each picture")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Minute)
	defer cancel()
	found, err := run(ctx, *out, regexp.MustCompile(*only), strings.Split(*languages, ","), strings.Split(*themes, ","), *axe, strings.Split(*axeLanguages, ","), *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
	if found > 0 {
		fmt.Fprintf(os.Stderr, "pictures: %d findings\n", found)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, only *regexp.Regexp, languages, themes []string, axePath string, axeLanguages []string, verbose bool) (found int, err error) {
	if !web.AssetsBuilt() {
		return 0, errors.New("the portal's assets are not built; run ./task assets")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return 0, err
	}
	axe := ""
	if axePath != "-" {
		b, err := readAxe(axePath)
		if err != nil {
			return 0, err
		}
		axe = string(b)
	}
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	full, err := sample.New(ctx, quiet)
	if err != nil {
		return 0, err
	}
	defer full.Close()
	f, err := full.Fill(ctx)
	if err != nil {
		return 0, fmt.Errorf("fill the sample: %w", err)
	}
	empty, err := sample.New(ctx, quiet)
	if err != nil {
		return 0, err
	}
	defer empty.Close()

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("ignore-certificate-errors-spki-list", full.SPKI+","+empty.SPKI), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("font-render-hinting", "none"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(ctx, options...)
	defer stop()

	p := &painter{full: full, out: out, axe: axe, axeIn: axeLanguages, tokens: map[string]login{}, verbose: verbose}
	customer, err := full.Brand(ctx)
	if err != nil {
		return 0, err
	}
	for _, language := range languages {
		if err := full.Speak(ctx, language); err != nil {
			return 0, err
		}
		tab, close := chromedp.NewContext(allocator)
		for _, s := range shots(full, empty, f, customer) {
			if !only.MatchString(s.name) {
				continue
			}
			if err := p.paint(tab, s, language, themes); err != nil {
				close()
				return 0, fmt.Errorf("%s in %s: %w", s.name, language, err)
			}
		}
		close()
	}
	fmt.Printf("%d pictures in %s\n", p.pictures, out)
	return p.findings, nil
}

func readAxe(path string) ([]byte, error) {
	if path != "" {
		return os.ReadFile(path)
	}
	for _, dir := range []string{".", "server/internal/web", "internal/web", ".."} {
		if b, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js")); err == nil {
			return b, nil
		}
	}
	return nil, errors.New("no axe-core found; run npm ci in server/internal/web")
}

func shots(full, empty *sample.Portal, f sample.Filled, customer sample.Customer) []shot {
	ticket := fmt.Sprintf("/tickets/%d", f.Ticket)
	session := func(id string) string { return "/sessions/" + id }
	state := func(s string) action {
		return chromedp.WaitVisible(`#console[data-state="` + s + `"]`)
	}
	n := 0
	newcomer := func() string { n++; return fmt.Sprintf("giulia.moretti.%d@studioverdi.example", n) }
	telephone := func() string { n++; return fmt.Sprintf("+39 333 765 %04d", n) }
	signingUp := func(ctx context.Context, language string) (string, error) {
		return full.Newcomer(ctx, newcomer(), language)
	}
	halfway := func(ctx context.Context, _ string) (string, error) { return full.Halfway(ctx, sample.Lucia) }
	painted := until(`(() => { const c = document.querySelector('#screen canvas'); return !!c && c.width > 1000 && c.getContext('2d').getImageData(5, 5, 1, 1).data[2] > 100 })()`)
	return []shot{
		{name: "first-link", path: "/first", on: empty},
		{name: "first", path: "/first#token=" + empty.FirstToken, on: empty, do: []action{chromedp.WaitVisible(`#organization`)}},
		{name: "sign-in", path: "/sign-in"},
		{name: "sign-in-wrong", path: "/sign-in", do: []action{chromedp.SendKeys(`#email`, sample.Lucia), chromedp.SendKeys(`#password`, "Wrong-2026\r"), chromedp.WaitVisible(`.tb-error`)}},
		{name: "invitation-link", path: "/invitation"},
		{name: "invitation", path: "/invitation#token=", door: func(ctx context.Context) (string, error) { return full.Invited(ctx, newcomer()) }, do: []action{chromedp.WaitVisible(`#name`)}},
		{name: "invitation-wrong", path: "/invitation#token=", door: func(ctx context.Context) (string, error) { return full.Invited(ctx, newcomer()) }, do: []action{chromedp.WaitVisible(`#name`), chromedp.SendKeys(`#name`, "Giulia Moretti"), chromedp.SendKeys(`#password`, "password\r"), chromedp.WaitVisible(`.tb-error`)}},
		{name: "factor-choose-unset", path: "/factors/new", half: signingUp, before: func() error { return full.Gateway(context.Background(), false) }},
		{name: "factor-choose", path: "/factors/new", half: signingUp, before: func() error { return full.Gateway(context.Background(), true) }},
		{name: "factor-app", path: "/factors/new/app", half: signingUp},
		{name: "factor-app-wrong", path: "/factors/new/app", half: signingUp, do: []action{chromedp.SendKeys(`#code`, "12345\r"), chromedp.WaitVisible(`.tb-error`)}},
		{name: "factor-passkey", path: "/factors/new/passkey", half: signingUp, do: []action{chromedp.WaitVisible(`[data-passkey]`)}},
		{name: "factor-sms", path: "/factors/new/sms", half: signingUp},
		{name: "factor-sms-code", path: "/factors/new/sms", half: signingUp, do: []action{func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			return chromedp.SendKeys(`#number`, telephone()+"\r")(ctx, t)
		}, chromedp.WaitVisible(`#code`)}},
		{name: "second", path: "/second-factor", half: halfway},
		{name: "second-wrong", path: "/second-factor", half: halfway, do: []action{chromedp.SendKeys(`#code`, "12345\r"), chromedp.WaitVisible(`.tb-error`)}},
		{name: "second-recovery", path: "/second-factor", half: halfway, do: []action{chromedp.Click(`button[value=recovery]`), chromedp.WaitVisible(`#code:not([inputmode])`)}},
		{name: "step-up", path: "/step-up", as: sample.Carla, stale: true},
		{name: "forgotten", path: "/forgotten"},
		{name: "forgotten-sent", path: "/forgotten", do: []action{func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			return chromedp.SendKeys(`#email`, newcomer()+"\r")(ctx, t)
		}, chromedp.WaitVisible(`.tb-say`)}},
		{name: "reset-link", path: "/reset"},
		{name: "reset", path: "/reset#token=", door: func(ctx context.Context) (string, error) { return full.Reset(ctx, sample.Otto) }, do: []action{chromedp.WaitVisible(`button[value=follow]`)}},
		{name: "mailed-link", path: "/decide"},
		{name: "mailed-decide", path: "/decide#token=", door: func(ctx context.Context) (string, error) { return full.AboutTicket(ctx, desk.TokenDecide) }, do: []action{chromedp.WaitVisible(`button[value=broken]`)}},
		{name: "mailed-confirm", path: "/confirm#token=", door: func(ctx context.Context) (string, error) { return full.AboutTicket(ctx, desk.TokenConfirm) }, do: []action{chromedp.WaitVisible(`.tb-panel button, .tb-say`)}},
		{name: "tickets", path: "/tickets", as: sample.Anna},
		{name: "tickets-by-severity", path: "/tickets?sort=severity&dir=asc&status=waiting", as: sample.Anna},
		{name: "tickets-nothing", path: "/tickets?q=unicorn", as: sample.Anna},
		{name: "ticket", path: ticket, as: sample.Anna},
		{name: "ticket-note", path: ticket, as: sample.Marco, do: []action{chromedp.Click(`#kind-note`), chromedp.SendKeys(`#text`, "Driver 7.9 on three PCs since last night.")}},
		{name: "ticket-status", path: ticket, as: sample.Anna, do: []action{chromedp.Click(`.acts details summary`)}},
		{name: "ticket-from-device", path: fmt.Sprintf("/tickets/%d", f.FromDevice), as: sample.Marco, do: []action{chromedp.Click(`.tb-sent summary`)}},
		{name: "new-ticket", path: "/tickets/new", as: sample.Anna},
		{name: "new-ticket-own", path: "/tickets/new", as: sample.Lucia, do: []action{chromedp.SendKeys(`#title`, "printer prints blank pages"), chromedp.WaitVisible(`.tb-alike`)}},
		{name: "today", path: "/today", as: sample.Anna},
		{name: "phone", path: "/tickets/phone", as: sample.Anna},
		{name: "approvals", path: "/approvals", as: sample.Carla},
		{name: "approval", path: "/approvals/" + f.Approval, as: sample.Carla},
		{name: "setup-categories", path: "/administration/tickets/categories", as: sample.Anna, do: []action{chromedp.Click(`.tb-edit summary`)}},
		{name: "setup-contracts", path: "/administration/tickets/contracts", as: sample.Anna, do: []action{chromedp.Click(`.tb-edit summary`)}},
		{name: "setup-calendars", path: "/administration/tickets/calendars", as: sample.Anna, do: []action{chromedp.Click(`.tb-edit summary`)}},
		{name: "setup-organizations", path: "/administration/tickets/organizations", as: sample.Anna},
		{name: "setup-replies", path: "/administration/tickets/replies", as: sample.Anna, do: []action{chromedp.Click(`.tb-edit summary`)}},
		{name: "setup-duty", path: "/administration/tickets/duty", as: sample.Anna},
		{name: "devices", path: "/devices", as: sample.Anna},
		{name: "organizations", path: "/organizations", as: sample.Anna},
		{name: "organization", path: "/organization", as: sample.Carla},
		{name: "organization-customer", path: "/organizations/" + customer.Organization, as: sample.Anna},
		{name: "organization-new", path: "/organizations/new", as: sample.Anna},
		{name: "person", path: "/people/" + customer.Person, as: sample.Anna},
		{name: "people", path: "/people", as: sample.Anna},
		{name: "person-technician", path: "/people?role=technician", as: sample.Anna, do: []action{chromedp.Click(`main a[data-row]`), chromedp.WaitVisible(`#limit`)}},
		{name: "people-invite", path: "/people/invite", as: sample.Carla},
		{name: "device", path: "/devices/" + f.Device, as: sample.Marco},
		{name: "device-own", path: "/devices/" + f.Device, as: sample.Lucia},
		{name: "overview", path: "/devices/overview", as: sample.Anna},
		{name: "overview-own", path: "/devices/overview", as: sample.Carla},
		{name: "link", path: "/devices/link", as: sample.Lucia},
		{name: "link-code", path: "/devices/link", as: sample.Lucia, do: []action{chromedp.Click(`main form .btn-primary`), chromedp.WaitVisible(`#code`)}},
		{name: "link-claim", path: "/devices/link", as: sample.Lucia, before: func() error { return full.Claim(f.Colleague, sample.Lucia) }},
		{name: "device-offline", path: "/devices/" + f.Offline, as: sample.Anna},
		{name: "enrol", path: "/devices/enrol", as: sample.Anna},
		{name: "enrol-key", path: "/devices/enrol", as: sample.Anna, do: []action{chromedp.Click(`main form .btn-primary`), chromedp.WaitVisible(`#line`)}},
		{name: "sessions", path: "/sessions", as: sample.Anna},
		{name: "session-asking", path: session(f.Asking), as: sample.Anna, before: func() error { return full.Remind(f.Asking) }, do: []action{state("asking"), chromedp.WaitVisible(`#notice-words`)}},
		{name: "session-locked", path: session(f.Locked), as: sample.Anna, do: []action{state("waiting")}},
		{name: "session-refused", path: session(f.Refused), as: sample.Marco, do: []action{state("refused")}},
		{name: "session-ended", path: session(f.Ended), as: sample.Marco, do: []action{state("ended")}},
		{name: "session-desktop", path: session(f.Connected), as: sample.Anna, do: []action{state("connected"), painted}},
		{name: "session-terminal", path: session(f.Connected), as: sample.Anna, do: []action{state("connected"), chromedp.Click(`#tab-terminal`), until(`!!document.querySelector('#terminal .xterm-rows')?.innerText.includes('scheduler')`)}},
		{name: "session-not-allowed", path: session(f.ViewOnly), as: sample.Marco, do: []action{state("connected"), chromedp.Click(`#tab-terminal`), state("waiting")}},
		{name: "session-leave", path: session(f.Connected), as: sample.Anna, do: []action{state("connected"), painted, chromedp.Click(`#leave`), chromedp.WaitVisible(`#leaving`)}},
		{name: "directories", path: "/directories", as: sample.Anna},
		{name: "directory", path: "/directories/" + f.Directory, as: sample.Anna},
		{name: "directory-new", path: "/directories/new?kind=oidc", as: sample.Anna},
		{name: "directory-untested", path: "/directories/new?kind=ad", as: sample.Anna, do: []action{chromedp.SendKeys(`#name`, "Contoso"), chromedp.SendKeys(`#domains`, "contoso.example"), chromedp.SendKeys(`#server`, "dc1.contoso.invalid"),
			chromedp.SendKeys(`#bind_dn`, "traybell@contoso.example"), chromedp.SendKeys(`#secret`, "x"), chromedp.SendKeys(`#base`, "dc=contoso,dc=example"), chromedp.SendKeys(`#user`, "lucia"), chromedp.Click(`button[value=test]`), chromedp.WaitVisible(`.tb-error`)}},
		{name: "search", path: "/search?q=printer", as: sample.Anna},
		{name: "search-empty", path: "/search", as: sample.Anna},
		{name: "log", path: "/log", as: sample.Anna, do: []action{chromedp.Click(`.tb-log details summary`)}},
		{name: "log-nothing", path: "/log?who=nobody", as: sample.Anna},
		{name: "log-organization", path: "/log", as: sample.Carla},
		{name: "settings", path: "/settings", as: sample.Anna},
		{name: "tokens", path: "/settings/tokens", as: sample.Anna, do: []action{chromedp.SendKeys(`#name`, "Monitoring"), chromedp.Click(`#new .btn-primary`), chromedp.WaitVisible(`#token`)}},
		{name: "security", path: "/settings/security", as: sample.Marco},
		{name: "security-change", path: "/settings/security", as: sample.Marco, do: []action{chromedp.Click(`#factors details summary`), chromedp.WaitVisible(`#factors .sheet`)}},
		{name: "security-wrong", path: "/settings/security", as: sample.Lucia, do: []action{chromedp.SendKeys(`#old`, "Wrong-2026"), chromedp.SendKeys(`#new`, "Another-Horse-7\r"), chromedp.WaitVisible(`.tb-error`)}},
		{name: "recovery", path: "/settings/security", as: sample.Otto, do: []action{chromedp.Click(`#codes button`), chromedp.WaitVisible(`pre#codes`)}},
		{name: "factor-another", path: "/factors/new", as: sample.Marco},
		{name: "authenticator", path: "/factors/new/app", as: sample.Marco, do: []action{chromedp.WaitVisible(`.tb-qr`)}},
		{name: "new-password", path: "/reset#token=", door: func(ctx context.Context) (string, error) { return full.Reset(ctx, sample.Carla) }, do: []action{chromedp.Click(`button[value=follow]`), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			code, err := full.Code(ctx, sample.Carla)
			if err != nil {
				return chromedp.Void{}, err
			}
			return chromedp.Void{}, chromedp.Do(ctx, chromedp.Click(`button[value=recovery]`), chromedp.WaitVisible(`#code:not([inputmode])`), chromedp.SendKeys(`#code`, code+"\r"), chromedp.WaitVisible(`input[name=password]`))
		}}},
		{name: "sms-gateway", path: "/settings/sms", as: sample.Anna},
		{name: "sms-gateway-tested", path: "/settings/sms", as: sample.Anna, do: []action{func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			return chromedp.SendKeys(`#number`, telephone()+"\r")(ctx, t)
		}, chromedp.WaitVisible(`#test .tb-say`)}},
		{name: "lost-factor", path: "/settings/lost-factor", as: sample.Anna},
		{name: "person", path: "/people/" + f.Person, as: sample.Anna},
		{name: "person-own-people", path: "/people/" + f.Person, as: sample.Carla},
		{name: "organization-new", path: "/organizations/new", as: sample.Anna},
		{name: "organization-customer", path: "/organizations/" + f.Customer, as: sample.Anna},
		{name: "start", path: "/start", as: sample.Anna},
		{name: "mail-unset", path: "/mail", as: sample.Anna},
		{name: "mail", path: "/mail", as: sample.Anna, before: func() error { return full.MailServer(context.Background(), true) }, do: []action{chromedp.Click(`#test .btn-primary`), chromedp.WaitVisible(`#test .tb-say`)}},
		{name: "outbox", path: "/mail/outbox", as: sample.Anna, before: func() error { return full.MailServer(context.Background(), false) }},
		{name: "held", path: "/mail/held", as: sample.Anna, before: func() error { return full.Stranger(context.Background()) }},
		{name: "mailed-decide", path: "/decide#token=" + full.SignMail(desk.TokenDecide, f.FromDevice, sample.Lucia), do: []action{chromedp.WaitVisible(`#text`)}},
		{name: "mailed-confirm", path: "/confirm#token=" + full.SignMail(desk.TokenConfirm, f.FromDevice, sample.Lucia), do: []action{chromedp.WaitVisible(`button[value=confirm]`)}},
		{name: "outbox-link", path: "/mail/outbox", as: sample.Anna, do: []action{chromedp.Click(`.tb-outbox .acts .btn`), chromedp.WaitVisible(`#link`)}},
		{name: "not-found", path: "/tickets/999999", as: sample.Anna},
		{name: "requester-tickets", path: "/tickets", as: sample.Lucia},
		{name: "requester-ticket", path: ticket, as: sample.Lucia},
		{name: "requester-new", path: "/tickets/new", as: sample.Lucia},
		{name: "requester-devices", path: "/devices", as: sample.Lucia},
		{name: "requester-device", path: "/devices/" + f.Device, as: sample.Lucia},
		{name: "requester-none", path: "/tickets?q=unicorn", as: sample.Otto},
		{name: "requester-settings", path: "/settings", as: sample.Carla},
	}
}

type painter struct {
	full     *sample.Portal
	out, axe string
	axeIn    []string
	tokens   map[string]login
	verbose  bool
	pictures int
	findings int
}

// login is a sign-in that was made for pictures.
type login struct {
	token string
	at    time.Time
}

// token signs somebody in, again when pages would ask for the second factor once more.
func (p *painter) token(ctx context.Context, on *sample.Portal, s shot) (string, error) {
	if s.stale {
		return on.Stale(ctx, s.as)
	}
	if l := p.tokens[s.as]; time.Since(l.at) < 8*time.Minute {
		return l.token, nil
	}
	token, err := on.Token(ctx, s.as)
	if err == nil {
		p.tokens[s.as] = login{token, time.Now()}
	}
	return token, err
}

// paint opens a page once and takes it in each theme and at each width.
func (p *painter) paint(tab context.Context, s shot, language string, themes []string) error {
	on := s.on
	if on == nil {
		on = p.full
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	cookies := []*network.CookieParam{{Name: "tz", Value: "Europe/Rome", URL: on.URL}, {Name: "language", Value: language, URL: on.URL, Secure: true}}
	hold := func(name, value string) {
		cookies = append(cookies, &network.CookieParam{Name: name, Value: value, URL: on.URL, Path: "/", Secure: true, HTTPOnly: true, SameSite: network.CookieSameSiteLax})
	}
	if s.as != "" {
		token, err := p.token(tab, on, s)
		if err != nil {
			return fmt.Errorf("sign in %s: %w", s.as, err)
		}
		hold("__Host-traybell", token)
	}
	if s.half != nil {
		token, err := s.half(tab, language)
		if err != nil {
			return fmt.Errorf("half sign in: %w", err)
		}
		hold("__Host-traybell-step", token)
	}
	path := s.path
	if s.door != nil {
		token, err := s.door(tab)
		if err != nil {
			return fmt.Errorf("make the link: %w", err)
		}
		path += token
	}
	ctx, cancel := chromedp.NewContext(tab)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	var mu sync.Mutex
	var said []string
	err := chromedp.Listen(ctx, func(e any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case *log.EventEntryAdded:
			// what the page asked for and was refused shows as an error here, the refusals we provoke too
			if e.Entry.Level == "error" && !strings.Contains(e.Entry.Text, "404") && !strings.Contains(e.Entry.Text, "422") {
				said = append(said, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			said = append(said, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL, ":", e.ExceptionDetails.LineNumber))
		}
	})
	if err != nil {
		return err
	}
	actions := []action{
		call(log.Enable, cdp.Empty{}), theme(themes[0]), call(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Rome"}),
		call(network.ClearBrowserCookies, cdp.Empty{}), call(network.SetCookies, network.SetCookiesParams{Cookies: cookies}),
		metrics(screens[0], screens[0].height), chromedp.Navigate(on.URL + path),
	}
	if err := chromedp.Do(ctx, append(actions, s.do...)...); err != nil {
		return fmt.Errorf("%w %v", err, said)
	}
	for _, th := range themes {
		for _, size := range screens {
			if err := chromedp.Do(ctx, theme(th), metrics(size, size.height)); err != nil {
				return err
			}
			if err := p.take(ctx, s, language, th, size); err != nil {
				return err
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, t := range said {
		p.findings++
		fmt.Printf("%s-%s: the browser says: %s\n", s.name, language, t)
	}
	return nil
}

// theme is what the system prefers; pages follow it.
func theme(name string) action {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

func metrics(s sizes, height int64) action {
	return call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: height, DeviceScaleFactor: s.scale, Mobile: s.mobile})
}

// call is a command of the browser's protocol as a step.
func call[P any](cmd cdp.Command[P, cdp.Empty], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// until waits for an expression to be true.
func until(expression string) action {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[bool](expression)(ctx, t)
		return chromedp.Void{}, err
	}
}

// take makes the picture as high as the page, up to a bound, and looks for what axe finds and for text that
// runs out of the page.
func (p *painter) take(ctx context.Context, s shot, language, theme string, size sizes) error {
	settle := chromedp.Evaluate[bool](`document.fonts.ready.then(() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true)))))`, chromedp.EvalAwaitPromise)
	if _, err := chromedp.Run(ctx, settle); err != nil {
		return err
	}
	extent, err := chromedp.Run(ctx, chromedp.Evaluate[[]int64](`[document.documentElement.scrollWidth, document.documentElement.scrollHeight]`))
	if err != nil {
		return err
	}
	if extent[0] > size.width {
		p.findings++
		fmt.Printf("%s-%s-%s-%s: the page is %d wide\n", s.name, language, theme, size.name, extent[0])
	}
	if high := min(max(extent[1], size.height), 2600); high != size.height {
		if err := chromedp.Do(ctx, metrics(size, high)); err != nil {
			return err
		}
		if _, err := chromedp.Run(ctx, settle); err != nil {
			return err
		}
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%s-%s.png", s.name, size.name, theme, language)
	if err := os.WriteFile(filepath.Join(p.out, name), png, 0o644); err != nil {
		return err
	}
	p.pictures++
	if p.verbose {
		fmt.Println(name)
	}
	if p.axe == "" || !slices.Contains(p.axeIn, language) {
		return nil
	}
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](p.axe+"; undefined")); err != nil {
		return fmt.Errorf("load axe: %w", err)
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[string](`axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)}))))`, chromedp.EvalAwaitPromise))
	if err != nil {
		return fmt.Errorf("axe: %w", err)
	}
	var list []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal([]byte(found), &list); err != nil {
		return err
	}
	for _, v := range list {
		p.findings++
		fmt.Printf("%s: %s (%s)\n", name, v.Help, v.ID)
		for _, n := range v.Nodes[:min(3, len(v.Nodes))] {
			fmt.Println("    ", strings.Join(strings.Fields(n), " "))
		}
	}
	return nil
}
