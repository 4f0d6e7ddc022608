package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

var seatLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+/\S+`)

// TestRun starts what `./task run` starts, without a display: server, agent, tray, a virtual desktop and
// the employee's seat. An interrupt ends all of it, and a second start finds its data.
func TestRun(t *testing.T) {
	need(t, "Xvfb", "X0tigervnc", "xfce4-panel", "openbox", "dbus-daemon")
	dir := folder(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(dir, "demo")
	call(t, "go", []string{"-C", filepath.Join(root, "tools"), "build", "-o", tool, "./demo"}, env("GOWORK=off"))
	port, seat := freePort(t), freePort(t)
	begin := func() *proc {
		p := start(t, tool, []string{"-root", root, "-run", filepath.Join(dir, "run"), "-virtual", "-listen", net.JoinHostPort("127.0.0.1", port), "-seat", net.JoinHostPort("127.0.0.1", seat)})
		within(t, 2*patience, "everything is ready", func() bool {
			if !p.running() {
				t.Fatalf("it has ended: %s", p.out)
			}
			return strings.Contains(p.out.String(), "] ready")
		})
		return p
	}
	finish := func(p *proc) {
		syscall.Kill(p.cmd.Process.Pid, syscall.SIGINT)
		eventually(t, "an interrupt ends it", func() bool { return !p.running() })
		if !strings.Contains(p.out.String(), "All programs have ended") {
			t.Errorf("it says %s", p.out)
		}
		out, _ := exec.Command("pgrep", "-af", filepath.Join(dir, "run")).CombinedOutput()
		if len(out) > 0 {
			t.Errorf("still running: %s", out)
		}
	}

	first := begin()
	for _, want := range []string{"/first#", "ssh -L", "--listen 0.0.0.0"} {
		if !strings.Contains(first.out.String(), want) {
			t.Errorf("the start does not print %q: %s", want, first.out)
		}
	}
	s := &site{t: t, data: filepath.Join(dir, "run", "server")}
	ctx := browser(t, s, dir)
	act(t, ctx, "open the employee's seat", chromedp.Navigate(seatLink.FindString(first.out.String())), chromedp.WaitVisible(`canvas`))
	js(t, ctx, "the desktop is in the seat", `(() => { const c = document.querySelector('canvas'); if (!c || c.width < 800) return false
		const d = c.getContext('2d').getImageData(0, 0, c.width, 30).data, seen = new Set(); for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return seen.size > 8 })()`)
	picture(ctx, "seat")
	identity, err := os.ReadFile(filepath.Join(dir, "run", "agent", "identity"))
	if err != nil {
		t.Fatal(err)
	}
	finish(first)

	second := begin()
	if strings.Contains(second.out.String(), "enrolling") {
		t.Error("the second start enrols again")
	}
	if again, err := os.ReadFile(filepath.Join(dir, "run", "agent", "identity")); err != nil || string(again) != string(identity) {
		t.Errorf("the second start has another device: %v", err)
	}
	finish(second)
}
