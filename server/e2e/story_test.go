package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
)

// browser is a headless Chromium that trusts the server's CA by the command of the README.
func browser(t *testing.T, s *site, dir string) context.Context {
	return browserOf(t, s, filepath.Join(dir, "technician"), "en-US")
}

// browserOf is the browser of a person with a home and a language.
func browserOf(t *testing.T, s *site, home, language string) context.Context {
	t.Helper()
	need(t, "chromium", "certutil")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	// as root, trust --install would also change this machine's store: only the browser's is wanted here
	call(t, "certutil", []string{"-N", "-d", "sql:" + nssdb(t, home), "--empty-password"})
	call(t, "certutil", []string{"-A", "-d", "sql:" + nssdb(t, home), "-n", "traybell", "-t", "C,,", "-i", filepath.Join(s.data, "keys", "ca.pem")})
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.UserDataDir(filepath.Join(home, "profile")), chromedp.WindowSize(1440, 900),
		chromedp.Env("HOME="+home, "LANG="+strings.ReplaceAll(language, "-", "_")+".UTF-8"), chromedp.Flag("lang", language),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("accept-lang", language))
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel2 := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel2)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the context of the first call
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

func nssdb(t *testing.T, home string) string {
	t.Helper()
	d := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(d, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// act runs actions in the browser, each set within 30 s.
func act(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	began := time.Now()
	c, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Do(c, actions...); err != nil {
		d, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		where, _ := chromedp.Run(d, chromedp.Location())
		text, _ := chromedp.Run(d, chromedp.Evaluate[string](`document.body.innerText`))
		picture(ctx, "failed")
		t.Fatalf("%s: %v\nat %s:\n%s", what, err, where, text)
	}
	t.Logf("%s: %d ms", what, time.Since(began).Milliseconds())
}

// german types as a German keyboard does: ü and ß sit on keys that carry [ and - on the device's layout.
func german(text string) chromedp.Action[chromedp.Void] {
	codes := map[rune]string{'ü': "BracketLeft", 'ß': "Minus"}
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, r := range text {
			if codes[r] == "" {
				if _, err := chromedp.KeyEvent(string(r))(ctx, t); err != nil {
					return err
				}
				continue
			}
			for _, typ := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
				k := input.DispatchKeyEventParams{Type: typ, Key: string(r), Code: codes[r]}
				if typ == input.DispatchKeyEventTypeKeyDown {
					k.Text = string(r)
				}
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, k); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// script runs JavaScript in the page.
func script(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](js + "; undefined")
}

// picture keeps what the browser shows, if pictures are wanted.
func picture(ctx context.Context, name string) {
	keep := os.Getenv("TRAYBELL_TEST_PICTURES")
	if keep == "" {
		return
	}
	c, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if b, err := chromedp.Run(c, chromedp.CaptureScreenshot()); err == nil {
		os.MkdirAll(keep, 0o755)
		os.WriteFile(filepath.Join(keep, "portal-"+name+".png"), b, 0o644)
	}
}

// js waits until an expression is true in the page.
func js(t *testing.T, ctx context.Context, what, expression string) {
	t.Helper()
	eventually(t, what, func() bool {
		c, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		ok, err := chromedp.Run(c, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && ok
	})
}

// petrol is the accent of the tray's icon and windows, plum that of the sign.
var (
	petrol = color.RGBA{0x0b, 0x63, 0x6e, 255}
	plum   = color.RGBA{0x8f, 0x25, 0x6b, 255}
)

// trayIcon finds Traybell's icon in the panel.
func (s *desktop) trayIcon() image.Point {
	s.t.Helper()
	var at image.Point
	eventually(s.t, "the icon in the panel of "+s.user.Username, func() bool {
		img := s.screenshot("panel")
		p, n := find(img, image.Rect(img.Bounds().Dx()*7/10, 0, img.Bounds().Dx(), 40), petrol, 24)
		at = p
		return n > 20
	})
	return at
}

// TestStory is the main job: an employee files a ticket from the tray, a technician asks to help, the
// employee allows it, the technician sees, controls and opens a terminal, the employee ends it and reads who was
// there. A second employee signed in at the same computer is neither asked nor shown.
func TestStory(t *testing.T) {
	needRoot(t)
	dir := folder(t)
	s := serve(t, filepath.Join(dir, "server"), "")
	first := s.link()

	// The administrator signs up in a real browser.
	ctx := browser(t, s, dir)
	act(t, ctx, "open the first administrator's link", chromedp.Navigate("about:blank"), script("location.href = "+strconv.Quote(first)), chromedp.WaitVisible(`input[name="password"]`))
	picture(ctx, "first")
	act(t, ctx, "become administrator",
		chromedp.SetValue(`input[name="organization"]`, "Rossi IT"), chromedp.SetValue(`input[name="name"]`, "Anna Bianchi"),
		chromedp.SetValue(`input[name="email"]`, "anna@rossi.example"), chromedp.SetValue(`input[name="password"]`, "Correct-Horse-7-Battery"),
		chromedp.Click(`button[value="make"]`), chromedp.WaitVisible(`a[href^="/factors/new/app"]`), chromedp.Click(`a[href^="/factors/new/app"]`), chromedp.WaitVisible(`#secret`))
	key, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector('#secret').textContent`))
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	act(t, ctx, "set up the second factor", chromedp.SendKeys(`#code`, code), chromedp.Click(`main form button.btn-primary`), chromedp.WaitVisible(`#codes`),
		chromedp.Click(`main a.btn-primary`), chromedp.WaitVisible(`.tb-side`))

	// The computer enrols; two employees are signed in.
	d := enrol(t, s, filepath.Join(dir, "agent"), "--organization", "Studio Verdi")
	lucia := signIn(t, osUser(t, "tb-e2e-lucia"), d, dir)
	marco := signIn(t, osUser(t, "tb-e2e-marco"), d, dir)
	secret := filepath.Join(dir, "only-root-may-read")
	if err := os.WriteFile(secret, []byte("salary list"), 0o600); err != nil {
		t.Fatal(err)
	}

	// Lucia files a ticket from the tray.
	icon := lucia.trayIcon()
	marco.trayIcon()
	clicked := time.Now()
	lucia.click(icon.X, icon.Y, 3)
	lucia.chooseFirst("Assistance request form")
	form := lucia.waitWindow("Assistance request form")
	t.Logf("from the right click to the form's window: %d ms", time.Since(clicked).Milliseconds())
	lucia.fill(form, "Printer prints blank pages", "lucia@verdi.example")
	number := int64(0)
	eventually(t, "the ticket is sent", func() bool {
		out, err := lucia.try(program(t, "traybell-agent"), "tickets", "--json")
		var list []struct {
			State  string `json:"state"`
			Number int64  `json:"number"`
			Title  string `json:"title"`
		}
		if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 || list[0].State != "sent" {
			return false
		}
		if list[0].Title != "Printer prints blank pages" {
			t.Fatalf("the ticket's title is %q", list[0].Title)
		}
		number = list[0].Number
		return true
	})
	lucia.screenshot("sent")
	if out := marco.call(program(t, "traybell-agent"), "tickets", "--json"); strings.Contains(out, "Printer") {
		t.Errorf("the second employee sees the first one's ticket: %s", out)
	}

	// The technician finds it and asks to help.
	act(t, ctx, "the list of tickets", chromedp.Navigate(s.public+"/tickets"), chromedp.WaitVisible(`.tb-brand`))
	link := fmt.Sprintf(`document.querySelector('main a[href="/tickets/%d"]')`, number)
	js(t, ctx, "the ticket is in the list", link)
	picture(ctx, "tickets")
	act(t, ctx, "the ticket's page", script(link+".click()"), chromedp.WaitVisible(`form.tb-ask button`))
	picture(ctx, "ticket")
	act(t, ctx, "ask to connect",
		script(`for (const v of ["view", "control", "terminal"]) { const c = document.querySelector('form.tb-ask input[name="scope"][value="' + v + '"]'); if (c && !c.checked) c.click() }`),
		chromedp.Click(`form.tb-ask button`), chromedp.WaitVisible(`#console`))
	consent := lucia.waitWindow("Permission for remote help")
	js(t, ctx, "the console says that Lucia has the question", `document.querySelector('#console').dataset.state === "asking" && /\d/.test(document.querySelector('#notice-text').innerText + document.querySelector('#notice-heading').innerText)`)
	picture(ctx, "asking")
	if marco.window("Permission for remote help") != "" {
		t.Error("the second employee is asked for the first one's screen")
	}
	if out := marco.call(program(t, "traybell-agent"), "consents", "--json"); strings.Contains(out, "Anna") {
		t.Errorf("the second employee is shown the question: %s", out)
	}
	img := lucia.screenshot("consent")

	// She allows it: the button at the lower right, which works a second after it was drawn.
	g := lucia.geometry(consent)
	_ = img
	eventually(t, "Lucia allows", func() bool {
		if lucia.window("Permission for remote help") == "" {
			return true
		}
		lucia.click(g.Max.X-80, g.Max.Y-36, 1)
		return false
	})
	js(t, ctx, "the technician sees the desktop", `document.querySelector('#console').dataset.state === "connected" && document.querySelector('#screen canvas') && document.querySelector('#screen canvas').width > 1000`)

	// Real pixels: a colour painted on the X display arrives in the canvas.
	pixel := `(() => { const c = document.querySelector('#screen canvas'); const p = c.getContext('2d').getImageData(c.width / 2, c.height - 60, 1, 1).data; return p[0] + "," + p[1] + "," + p[2] })()`
	for _, c := range []string{"#c81e5a", "#1ec85a"} {
		lucia.call("xsetroot", "-solid", c)
		r, _ := strconv.ParseUint(c[1:3], 16, 8)
		gr, _ := strconv.ParseUint(c[3:5], 16, 8)
		b, _ := strconv.ParseUint(c[5:7], 16, 8)
		js(t, ctx, "the colour "+c+" arrives in the canvas", fmt.Sprintf(`(%s) === "%d,%d,%d"`, pixel, r, gr, b))
	}
	picture(ctx, "desktop")
	shot := lucia.screenshot("sign")
	if _, n := find(shot, shot.Bounds(), plum, 16); n < 200 {
		t.Errorf("the sign is not on the screen: %d pixels of its colour", n)
	}

	// Real keys: typed in the browser, read by an X client of Lucia's.
	typed := filepath.Join(lucia.dir, "data", "typed")
	lucia.start("env", "LC_ALL=C.UTF-8", "xterm", "-geometry", "60x10+40+420", "-title", "reader", "-e", "sh", "-c", "head -n 1 > "+typed)
	reader := lucia.waitWindow("reader")
	lucia.call("xdotool", "windowactivate", "--sync", reader)
	text := "Grüße 42 from Anna"
	act(t, ctx, "type in the browser", script(`document.querySelector('#screen canvas').focus()`), german(text+"\r"))
	lucia.screenshot("typed")
	picture(ctx, "typed")
	eventually(t, "the X client has read the keys", func() bool { b, _ := os.ReadFile(typed); return len(b) > 0 })
	if b, _ := os.ReadFile(typed); strings.TrimSpace(string(b)) != text {
		t.Errorf("the X client has read %q, want %q", b, text)
	}

	// A real terminal, with Lucia's rights and no more.
	act(t, ctx, "open the terminal", chromedp.Click(`#tab-terminal`), chromedp.WaitVisible(`#terminal .xterm-rows`), chromedp.WaitVisible(`#terminal textarea`))
	rows := `document.querySelector('#terminal .xterm-rows').innerText`
	js(t, ctx, "the prompt", rows+`.includes("$")`)
	act(t, ctx, "type a command", script(`document.querySelector('#terminal textarea').focus()`), chromedp.KeyEvent("id -un; cat "+secret+"\r"))
	js(t, ctx, "the terminal is Lucia's and can't read what only root may", rows+`.includes("tb-e2e-lucia") && `+rows+`.includes("Permission denied") && !`+rows+`.includes("salary")`)
	picture(ctx, "terminal")

	// Lucia ends it from the tray.
	lucia.click(icon.X, icon.Y, 3)
	lucia.chooseFirst("End remote access now")
	js(t, ctx, "the technician reads that it is over", `document.querySelector('#console').dataset.state === "ended"`)
	picture(ctx, "ended")
	eventually(t, "no session program is left", func() bool { return processes("traybell-session") == 0 })

	// Both sides can read who was there.
	if out := lucia.call(program(t, "traybell-agent"), "history", "--json"); !strings.Contains(out, "Anna Bianchi") || !strings.Contains(out, "terminal") {
		t.Errorf("Lucia's history: %s", out)
	}
	if out := marco.call(program(t, "traybell-agent"), "history", "--json"); strings.Contains(out, "Anna") {
		t.Errorf("the second employee sees the first one's history: %s", out)
	}
	act(t, ctx, "the session history", chromedp.Navigate(s.public+"/sessions"), chromedp.WaitVisible(`.tb-brand`))
	js(t, ctx, "the visit is in the history", `document.querySelector('main').innerText.includes("Anna Bianchi")`)
	picture(ctx, "sessions")
	call(t, program(t, "traybell-server"), []string{"audit", "verify", "--data", s.data, "--checkpoints", filepath.Join(s.data, "audit")})
}

// chooseFirst chooses the first entry of the open menu that can be chosen.
func (s *desktop) chooseFirst(name string) {
	s.t.Helper()
	tick := time.NewTimer(400 * time.Millisecond) // the panel draws its menu
	<-tick.C
	s.screenshot("menu-" + strings.ReplaceAll(name, " ", "-"))
	s.keys("Down", "Return")
}

// fill types title and address into the form, whose focus is in the title, and presses Send.
func (s *desktop) fill(id, title, email string) {
	s.t.Helper()
	s.call("xdotool", "windowactivate", "--sync", id)
	s.typeText(title)
	g := s.geometry(id)
	s.click(g.Min.X+360, g.Min.Y+357, 1) // the address
	s.typeText(email)
	eventually(s.t, "the form shows what was typed", func() bool {
		img := s.screenshot("form")
		_, n := find(img, image.Rect(g.Min.X+180, g.Min.Y+345, g.Max.X-20, g.Min.Y+370), color.RGBA{0x14, 0x1f, 0x22, 255}, 60)
		return n > 100
	})
	s.click(g.Max.X-68, g.Max.Y-28, 1)
}
