package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// desktop is a real X session of an OS user: X server, session bus, window manager, panel with a
// tray, and Traybell's tray.
type desktop struct {
	t       *testing.T
	user    *user.User
	display string
	vars    []string
	dir     string
}

// signIn starts the desktop session of u at device d.
func signIn(t *testing.T, u *user.User, d *device, dir string) *desktop {
	t.Helper()
	need(t, "Xvfb", "dbus-daemon", "openbox", "xfce4-panel", "xdotool", "xwininfo", "import", "xsetroot", "xterm")
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	home := filepath.Join(dir, u.Username)
	for _, sub := range []string{"", "runtime", "config", "cache", "data"} {
		p := filepath.Join(home, sub)
		if err := os.MkdirAll(p, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(p, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	auth := filepath.Join(home, "Xauthority")
	cookie := binary.BigEndian.AppendUint16(nil, 0xffff) // FamilyWild
	for _, part := range []string{"", "", "MIT-MAGIC-COOKIE-1", u.Username + "................"} {
		if len(part) > 18 {
			part = part[:16]
		}
		cookie = binary.BigEndian.AppendUint16(cookie, uint16(len(part)))
		cookie = append(cookie, part...)
	}
	if err := os.WriteFile(auth, cookie, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chown(auth, uid, gid)

	s := &desktop{t: t, user: u, dir: home}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, "Xvfb", []string{"-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-auth", auth, "-noreset"}, as(u), extra(w))
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n')
	r.Close()
	if err != nil {
		t.Fatalf("Xvfb does not start: %v", err)
	}
	s.display = ":" + strings.TrimSpace(number)
	bus := filepath.Join(home, "runtime", "bus")
	s.vars = []string{"DISPLAY=" + s.display, "XAUTHORITY=" + auth, "XDG_RUNTIME_DIR=" + filepath.Join(home, "runtime"),
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_CACHE_HOME=" + filepath.Join(home, "cache"), "XDG_DATA_HOME=" + filepath.Join(home, "data"),
		"XDG_SESSION_TYPE=x11", "NO_AT_BRIDGE=1", "DBUS_SESSION_BUS_ADDRESS=unix:path=" + bus, "TRAYBELL_SOCKET=" + d.socket()}
	s.start("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+bus)
	eventually(t, "the session bus of "+u.Username, func() bool { _, err := os.Stat(bus); return err == nil })
	s.start("openbox")
	s.start("xfce4-panel", "--disable-wm-check")
	eventually(t, "the panel's tray", func() bool {
		out, _ := s.try("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", "string:org.kde.StatusNotifierWatcher")
		return strings.Contains(out, "true")
	})
	s.start(program(t, "traybell-tray"), "--socket", d.socket())
	return s
}

// start runs a program in the desktop session until the test ends.
func (s *desktop) start(path string, args ...string) *proc {
	s.t.Helper()
	return start(s.t, path, args, as(s.user), env(s.vars...))
}

func (s *desktop) try(path string, args ...string) (string, error) {
	return try(path, args, as(s.user), env(s.vars...))
}

func (s *desktop) call(path string, args ...string) string {
	s.t.Helper()
	return call(s.t, path, args, as(s.user), env(s.vars...))
}

// window returns the id of the newest visible window whose title contains name, or "".
func (s *desktop) window(name string) string {
	out, _ := s.try("xdotool", "search", "--onlyvisible", "--name", name)
	ids := strings.Fields(out)
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1]
}

// waitWindow waits for a window.
func (s *desktop) waitWindow(name string) string {
	s.t.Helper()
	id := ""
	eventually(s.t, "the window "+strconv.Quote(name), func() bool { id = s.window(name); return id != "" })
	return id
}

// geometry is a window's place on the screen.
func (s *desktop) geometry(id string) image.Rectangle {
	s.t.Helper()
	out := s.call("xwininfo", "-id", id) // xdotool counts the frame twice
	v := map[string]int{}
	for line := range strings.Lines(out) {
		k, n, _ := strings.Cut(strings.TrimSpace(line), ":")
		v[k], _ = strconv.Atoi(strings.TrimSpace(n))
	}
	x, y := v["Absolute upper-left X"], v["Absolute upper-left Y"]
	return image.Rect(x, y, x+v["Width"], y+v["Height"])
}

// click presses a mouse button at a point of the screen.
func (s *desktop) click(x, y, button int) {
	s.t.Helper()
	s.call("xdotool", "mousemove", strconv.Itoa(x), strconv.Itoa(y), "click", strconv.Itoa(button))
}

func (s *desktop) keys(keys ...string) {
	s.t.Helper()
	s.call("xdotool", append([]string{"key", "--delay", "40"}, keys...)...)
}

func (s *desktop) typeText(text string) {
	s.t.Helper()
	s.call("xdotool", "type", "--delay", "15", text)
}

// screenshot is the whole screen; it is also kept as a file beside the test's other things.
func (s *desktop) screenshot(name string) image.Image {
	s.t.Helper()
	path := filepath.Join(s.dir, name+".png")
	cmd := exec.Command("import", "-silent", "-window", "root", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	as(s.user)(cmd)
	cmd.Env = append(cmd.Env, s.vars...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("screenshot: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if keep := os.Getenv("TRAYBELL_TEST_PICTURES"); keep != "" {
		os.MkdirAll(keep, 0o755)
		os.WriteFile(filepath.Join(keep, s.user.Username+"-"+name+".png"), b, 0o644)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	return img
}

// find returns the middle of the pixels inside area that are within tolerance of c, and how many.
func find(img image.Image, area image.Rectangle, c color.RGBA, tolerance int) (image.Point, int) {
	sx, sy, n := 0, 0, 0
	area = area.Intersect(img.Bounds())
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			if near(int(r>>8), int(c.R), tolerance) && near(int(g>>8), int(c.G), tolerance) && near(int(b>>8), int(c.B), tolerance) {
				sx, sy, n = sx+x, sy+y, n+1
			}
		}
	}
	if n == 0 {
		return image.Point{}, 0
	}
	return image.Pt(sx/n, sy/n), n
}

func near(a, b, tolerance int) bool { return a-b <= tolerance && b-a <= tolerance }
