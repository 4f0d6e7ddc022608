package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/web/pictures/sample"
	"github.com/traybell/traybell/shared/api"
)

type step = chromedp.Action[chromedp.Void]

// chromium opens a real browser in which somebody is signed in.
func chromium(t *testing.T, on *sample.Portal, email string) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("Chromium is missing; tools/setup/setup test installs it")
	}
	if _, err := os.Stat("dist/manifest.json"); err != nil {
		t.Fatal("the assets are not built; run ./task assets")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("ignore-certificate-errors-spki-list", on.SPKI), chromedp.WindowSize(1440, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, done := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(done)
	token, err := on.Token(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	cookie := &network.CookieParam{Name: "__Host-traybell", Value: token, URL: on.URL, Path: "/", Secure: true, HTTPOnly: true, SameSite: network.CookieSameSiteLax}
	if err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, network.SetCookies, network.SetCookiesParams{Cookies: []*network.CookieParam{cookie}})
		return err
	})); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func steps(t *testing.T, ctx context.Context, what string, list ...step) {
	t.Helper()
	c, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := chromedp.Do(c, list...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 800)`))
		t.Fatalf("%s: %v\n%s", what, err, text)
	}
}

// until waits for an expression to be true.
func until(expression string) step {
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[bool](`!!(`+expression+`)`)(ctx, tab)
		return chromedp.Void{}, err
	}
}

func js(code string) step { return chromedp.Evaluate[chromedp.Void](code + "; undefined") }

func TestListsAndThreadsMoveByThemselves(t *testing.T) {
	ctx := chromium(t, portal, sample.Marco)
	lucia, err := portal.Actor(t.Context(), sample.Lucia)
	if err != nil {
		t.Fatal(err)
	}
	steps(t, ctx, "open the list", chromedp.Navigate(portal.URL+"/tickets"), chromedp.WaitVisible(`#list table`), js(`window.stays = true`))
	k, err := portal.Tickets.Create(t.Context(), lucia, deskticket.Draft{Title: "The door bell rings by itself", Severity: api.Low})
	if err != nil {
		t.Fatal(err)
	}
	steps(t, ctx, "the new ticket appears", until(fmt.Sprintf(`window.stays && document.querySelector('a[href="/tickets/%d"]')`, k.Number)))
	steps(t, ctx, "keys walk and open", js(`document.activeElement.blur()`), chromedp.KeyEvent("j"), until(fmt.Sprintf(`document.activeElement.getAttribute('href') === "/tickets/%d"`, k.Number)), chromedp.KeyEvent("\r"), chromedp.WaitVisible(`#thread`))
	steps(t, ctx, "write an answer", js(`window.stays = true`), js(`document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'r', bubbles: true}))`), until(`document.activeElement.id === "text"`), chromedp.SendKeys(`#text`, "half an answer"))
	if _, err := portal.Tickets.Answer(t.Context(), lucia, k.ID, "Now it has stopped."); err != nil {
		t.Fatal(err)
	}
	steps(t, ctx, "the thread moves and the typed text stays", until(`window.stays && document.querySelector('#thread').innerText.includes("Now it has stopped.") && document.querySelector('#text').value === "half an answer"`))
	steps(t, ctx, "an open menu stays", chromedp.Click(`#head details:nth-of-type(1) summary`), until(`document.querySelector('#head details[open]')`))
	if _, err := portal.Tickets.Answer(t.Context(), lucia, k.ID, "It rings again."); err != nil {
		t.Fatal(err)
	}
	steps(t, ctx, "and the news waits for it", until(`document.querySelector('#head details[open]') && !document.querySelector('#thread').innerText.includes("It rings again.")`),
		chromedp.KeyEvent("\x1b"), until(`document.querySelector('#thread').innerText.includes("It rings again.")`))
}

func TestConsoleInABrowser(t *testing.T) {
	own, err := sample.New(t.Context(), slog.New(slog.DiscardHandler)) // what is ended here, others still need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	here, err := own.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx := chromium(t, own, sample.Anna)
	corner := `(() => { const c = document.querySelector('#screen canvas'); return c ? [...c.getContext('2d').getImageData(4, 4, 1, 1).data.slice(0, 3)].join() : "" })()`
	state := func(s string) step { return until(`document.querySelector('#console').dataset.state === "` + s + `"`) }
	steps(t, ctx, "open the console", chromedp.Navigate(own.URL+"/sessions/"+here.Connected), state("connected"), until(corner+` === "75,116,136"`))
	steps(t, ctx, "a key reaches the screen", js(`document.querySelector('#screen canvas').focus()`), chromedp.KeyEvent("a"), until(corner+` === "97,0,85"`))
	steps(t, ctx, "view only sends no key", chromedp.Click(`#viewonly`), until(`document.querySelector('#viewonly').getAttribute('aria-pressed') === "true"`), js(`document.querySelector('#screen canvas').focus()`), chromedp.KeyEvent("b"),
		chromedp.Click(`#control`), js(`document.querySelector('#screen canvas').focus()`), chromedp.KeyEvent("c"), until(corner+` === "99,0,85"`))
	steps(t, ctx, "special keys", chromedp.Click(`.tools details summary`), chromedp.Click(`[data-press="Control+Alt+Delete"]`), until(corner+` === "255,255,85"`))
	steps(t, ctx, "the keyboard gets out of the screen", js(`document.querySelector('#screen canvas').focus(); document.querySelector('#screen canvas').dispatchEvent(new KeyboardEvent('keydown', {code: 'KeyL', ctrlKey: true, altKey: true, shiftKey: true, bubbles: true}))`), until(`document.activeElement.id === "leave"`))
	steps(t, ctx, "the terminal", chromedp.Click(`#tab-terminal`), until(`document.querySelector('#terminal .xterm-rows')?.innerText.includes("scheduler")`),
		js(`document.querySelector('#terminal textarea').focus()`), chromedp.KeyEvent("echo"), until(`document.querySelector('#terminal .xterm-rows').innerText.includes("$ echo")`))
	steps(t, ctx, "an answer from beside the screen", chromedp.SendKeys(`#text`, "I look at the driver."), chromedp.Click(`#write .btn`), until(`document.querySelector('#talk').innerText.includes("I look at the driver.") && document.querySelector('#text').value === ""`))
	if err := own.End(here.Device); err != nil {
		t.Fatal(err)
	}
	steps(t, ctx, "the person ends it", state("ended"), until(`document.querySelector('#notice').innerText.includes("The person at the computer has ended it")`), until(`!document.querySelector('#screen canvas')`))
}
