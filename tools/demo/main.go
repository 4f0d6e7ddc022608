// Command demo plays Traybell's main job on one machine: server, agent and tray on embedded
// defaults. Where there is no display it adds a virtual desktop (Xvfb, openbox, xfce4-panel with a
// tray, a terminal) and the employee's seat, a page in which that desktop can be seen and used from
// a browser. It is a development tool and is never packaged.
//
// Everything lives in ROOT/.run and survives a restart. An interrupt ends all of it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

type demo struct {
	root, run, bin string
	began          time.Time
	children       []*child
	died           chan *child
	env            []string // of programs in the desktop session
}

type child struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

var firstLink = regexp.MustCompile(`https://\S+/first#\S+`)

func main() {
	root := flag.String("root", ".", "the checkout")
	listen := flag.String("listen", "127.0.0.1:8443", "address of the portal; 0.0.0.0:8443 opens it to the network")
	seat := flag.String("seat", "127.0.0.1:8444", "address of the employee's seat, if a virtual desktop is needed; loopback only")
	virtual := flag.Bool("virtual", false, "use a virtual desktop even where there is a display")
	data := flag.String("run", "", "folder of data and logs (default ROOT/.run)")
	size := flag.String("size", "1280x800", "size of the virtual desktop")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	abs, err := filepath.Abs(*root)
	if err != nil {
		fail(err)
	}
	if *data == "" {
		*data = filepath.Join(abs, ".run")
	}
	run, err := filepath.Abs(*data)
	if err != nil {
		fail(err)
	}
	d := &demo{root: abs, run: run, bin: filepath.Join(abs, "bin"), began: time.Now(), died: make(chan *child, 16)}
	err = d.play(ctx, *listen, *seat, *size, *virtual || os.Getenv("DISPLAY") == "")
	d.end()
	if err != nil {
		fail(err)
	}
	fmt.Printf("\nAll programs have ended. Your data is kept in %s; to remove everything: rm -r %s\n", d.run, d.run)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "run:", err)
	os.Exit(1)
}

func (d *demo) stage(format string, a ...any) {
	fmt.Printf("[%5.1f s] %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, a...))
}

func (d *demo) play(ctx context.Context, listen, seat, size string, virtual bool) error {
	if err := os.MkdirAll(filepath.Join(d.run, "logs"), 0o700); err != nil {
		return err
	}
	// The agent's socket is for every user of this machine; only the folders below are private.
	if err := os.Chmod(d.run, 0o711); err != nil {
		return err
	}
	if l, err := net.Listen("tcp", listen); err != nil {
		return fmt.Errorf("%s is taken (%w): stop the other program, or choose another address: ./task run -- -listen 127.0.0.1:9443", listen, err)
	} else {
		l.Close()
	}
	data, state := filepath.Join(d.run, "server"), filepath.Join(d.run, "agent")
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}

	d.stage("starting the server, data in %s", data)
	server := exec.Command(d.program("traybell-server"), "serve", "--data", data, "--listen", listen, "--public-url", "https://localhost:"+port)
	var said teller
	server.Stdout = &said
	if err := d.start("server", server); err != nil {
		return err
	}
	if err := d.wait(ctx, "the server", func() bool { return answers(listen) }); err != nil {
		return err
	}

	d.stage("starting the agent, state in %s", state)
	if err := d.start("agent", exec.Command(d.program("traybell-agent"), "run", "--state", state)); err != nil {
		return err
	}
	known := ""
	if err := d.wait(ctx, "the agent", func() bool { known = d.state(state); return known != "" && known != "not_running" }); err != nil {
		return err
	}
	if known == "not_enrolled" {
		d.stage("enrolling this computer")
		key, err := d.output(ctx, nil, "traybell-server", "enrolment-key", "--data", data)
		if err != nil {
			return err
		}
		if _, err := d.output(ctx, bytes.NewReader(key), "traybell-agent", "enrol", "-", "--state", state); err != nil {
			return err
		}
	}
	if err := d.wait(ctx, "the agent's link", func() bool { return d.state(state) == "ready" }); err != nil {
		return err
	}

	d.env = append(os.Environ(), "TRAYBELL_SOCKET="+filepath.Join(state, "agent.sock"))
	seatURL := ""
	if virtual {
		d.stage("starting a virtual desktop")
		seatURL, err = d.desktop(ctx, seat, size)
		if err != nil {
			return err
		}
	}
	d.stage("starting the tray")
	tray := exec.Command(d.program("traybell-tray"), "--socket", filepath.Join(state, "agent.sock"))
	tray.Env = d.env
	if err := d.start("tray", tray); err != nil {
		return err
	}
	d.stage("ready")
	fmt.Printf("\n  Technician's portal   https://localhost:%s\n", port)
	if link := firstLink.FindString(said.String()); link != "" {
		fmt.Printf("  First administrator   %s\n", link)
	}
	if seatURL != "" {
		fmt.Printf("  Employee's seat       %s\n", seatURL)
		_, seatPort, _ := net.SplitHostPort(seat)
		fmt.Printf("  From another computer ssh -L %s:localhost:%s -L %s:localhost:%s HOST, then open both there\n", port, port, seatPort, seatPort)
	}
	fmt.Printf("  Logs                  %s\n", filepath.Join(d.run, "logs"))
	fmt.Printf("  In the seat, right-click the bell in the panel. Ctrl-C ends all of it.\n\n")

	select {
	case <-ctx.Done():
		return nil
	case c := <-d.died:
		return fmt.Errorf("%s has ended by itself; the end of its log, %s:\n%s", c.name, c.log, tail(c.log))
	}
}

// teller passes on what the server says and remembers it.
type teller struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *teller) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	return os.Stdout.Write(p)
}

func (t *teller) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func (d *demo) program(name string) string { return filepath.Join(d.bin, name) }

// start runs cmd in a process group of its own, with its messages in a log.
func (d *demo) start(name string, cmd *exec.Cmd) error {
	path := filepath.Join(d.run, "logs", name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, log: path, done: make(chan struct{})}
	d.children = append(d.children, c)
	go func() {
		cmd.Wait() // why it ended stands in its log
		close(c.done)
		d.died <- c
	}()
	return nil
}

// end stops the programs in reverse order, politely first.
func (d *demo) end() {
	var wg sync.WaitGroup
	for i := len(d.children) - 1; i >= 0; i-- {
		c := d.children[i]
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM)
		wait := func() {
			select {
			case <-c.done:
			case <-time.After(6 * time.Second):
				syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
				<-c.done
			}
		}
		if c.name == "agent" || c.name == "tray" {
			wait() // the agent says goodbye while the server is still there
		} else {
			wg.Go(wait)
		}
	}
	wg.Wait()
}

// output runs one of our programs to its end and returns what it prints.
func (d *demo) output(ctx context.Context, in io.Reader, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.program(name), args...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(errs.String()))
	}
	return out, nil
}

// wait polls until ok, a program ends, 30 s pass or the user interrupts.
func (d *demo) wait(ctx context.Context, what string, ok func() bool) error {
	limit := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case c := <-d.died:
			return fmt.Errorf("%s has ended; the end of its log, %s:\n%s", c.name, c.log, tail(c.log))
		case <-limit:
			return fmt.Errorf("%s does not come up; the logs are in %s", what, filepath.Join(d.run, "logs"))
		case <-tick.C:
		}
	}
}

func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func (d *demo) state(state string) string {
	out, _ := exec.Command(d.program("traybell-agent"), "status", "--state", state, "--json").Output() // not running is a state too
	var s struct {
		State string `json:"state"`
	}
	json.Unmarshal(out, &s)
	return s.State
}

func tail(path string) string {
	b, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// desktop starts the virtual desktop and the page that shows it; it returns the page's address.
func (d *demo) desktop(ctx context.Context, seat, size string) (string, error) {
	dir := filepath.Join(d.run, "desktop")
	for _, sub := range []string{"", "config", "cache", "runtime"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return "", err
		}
	}
	auth := filepath.Join(dir, "Xauthority")
	if err := writeXAuthority(auth); err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", size+"x24", "-nolisten", "tcp", "-auth", auth, "-noreset")
	x.ExtraFiles = []*os.File{w}
	if err := d.start("xvfb", x); err != nil {
		return "", err
	}
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n')
	r.Close()
	if err != nil {
		return "", fmt.Errorf("the virtual display does not start:\n%s", tail(filepath.Join(d.run, "logs", "xvfb.log")))
	}
	display := ":" + strings.TrimSpace(number)
	d.env = set(d.env, "DISPLAY", display, "XAUTHORITY", auth, "XDG_CONFIG_HOME", filepath.Join(dir, "config"),
		"XDG_CACHE_HOME", filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR", filepath.Join(dir, "runtime"), "XDG_SESSION_TYPE", "x11", "NO_AT_BRIDGE", "1")
	if l := os.Getenv("LC_ALL") + os.Getenv("LANG"); l == "" || l == "C" || l == "POSIX" {
		d.env = set(d.env, "LANG", "C.UTF-8", "LC_ALL", "C.UTF-8")
	}

	socket := filepath.Join(dir, "runtime", "bus")
	os.Remove(socket)
	bus := exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+socket)
	bus.Env = d.env
	if err := d.start("dbus", bus); err != nil {
		return "", err
	}
	d.env = set(d.env, "DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	if err := d.wait(ctx, "the session bus", func() bool { _, err := os.Stat(socket); return err == nil }); err != nil {
		return "", err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	rfb := filepath.Join(dir, "runtime", "rfb")
	os.Remove(rfb)
	for _, p := range [][]string{
		{"xsetroot", "-solid", "#4a6f84"},
		{"openbox"},
		{"xfce4-panel", "--disable-wm-check"},
		{"xterm", "-fa", "DejaVu Sans Mono", "-fs", "11", "-geometry", "90x24+60+120", "-title", "Terminal"},
		{"X0tigervnc", "-display", display, "-rfbport", "-1", "-rfbunixpath", rfb, "-rfbunixmode", "384", "-SecurityTypes", "None", "-FrameRate", "60"},
	} {
		cmd := exec.Command(p[0], p[1:]...)
		cmd.Env, cmd.Dir = d.env, home
		if p[0] == "xsetroot" {
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("paint the virtual desktop: %w: %s", err, out)
			}
			continue
		}
		if err := d.start(p[0], cmd); err != nil {
			return "", err
		}
	}
	if err := d.wait(ctx, "the viewer of the virtual desktop", func() bool { _, err := os.Stat(rfb); return err == nil }); err != nil {
		return "", err
	}

	tool := filepath.Join(dir, "seat")
	build := exec.Command("go", "-C", filepath.Join(d.root, "tools"), "build", "-o", tool, "./seat")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the seat: %w: %s", err, out)
	}
	out := filepath.Join(dir, "seat.url")
	f, err := os.OpenFile(out, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600) // the URL holds the token
	if err != nil {
		return "", err
	}
	defer f.Close()
	page := exec.Command(tool, "-listen", seat, "-rfb", "unix:"+rfb, "-novnc", filepath.Join(d.root, "server/internal/web/node_modules/@novnc/novnc"))
	page.Stdout = f
	if err := d.start("seat", page); err != nil {
		return "", err
	}
	url := ""
	err = d.wait(ctx, "the employee's seat", func() bool {
		b, _ := os.ReadFile(out)
		url = strings.TrimSpace(string(b))
		return strings.HasSuffix(string(b), "\n")
	})
	return url, err
}

// set returns env with the given pairs in place of earlier values.
func set(env []string, pairs ...string) []string {
	var out []string
next:
	for _, e := range env {
		for i := 0; i < len(pairs); i += 2 {
			if strings.HasPrefix(e, pairs[i]+"=") {
				continue next
			}
		}
		out = append(out, e)
	}
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, pairs[i]+"="+pairs[i+1])
	}
	return out
}

// writeXAuthority makes a cookie file for any display, so that other users of this machine can't
// open the virtual one. Format: Xau(3), big-endian lengths.
func writeXAuthority(path string) error {
	cookie := make([]byte, 16)
	rand.Read(cookie)
	b := binary.BigEndian.AppendUint16(nil, 0xffff) // FamilyWild
	for _, part := range []string{"", "", "MIT-MAGIC-COOKIE-1", string(cookie)} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	return os.WriteFile(path, b, 0o600)
}
