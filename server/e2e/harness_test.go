package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for an event with real binaries.
const patience = 30 * time.Second

// eventually polls until ok reports true and prints how long it took.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			t.Logf("%s: after %d ms", what, time.Since(began).Milliseconds())
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		case <-tick.C:
		}
	}
}

func program(t *testing.T, name string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("../../bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("%s is not built; run ./task build", name)
	}
	return p
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the service runs as root in these tests: start them as root")
	}
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing; tools/setup/setup test installs it", tool)
		}
	}
}

// folder is a temporary folder that other OS users may pass through.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "traybell-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
		} else {
			t.Logf("kept for a look: %s", dir)
		}
	})
	return dir
}

// osUser makes an unprivileged user for the test and removes it afterwards.
func osUser(t *testing.T, name string) *user.User {
	t.Helper()
	exec.Command("userdel", "-rf", name).Run() // of an earlier run that was killed
	if out, err := exec.Command("useradd", "--create-home", "--shell", "/bin/bash", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd %s: %v: %s", name, err, out)
	}
	t.Cleanup(func() {
		exec.Command("pkill", "-KILL", "-u", name).Run()
		exec.Command("userdel", "-rf", name).Run()
	})
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// proc is a program that runs during a test.
type proc struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *buffer
	done chan struct{}
}

// buffer collects output from several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type option func(*exec.Cmd)

// as runs the program as an OS user with that user's groups and home.
func as(u *user.User) option {
	return func(c *exec.Cmd) {
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		c.Dir = u.HomeDir
		c.Env = []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username, "SHELL=/bin/bash",
			"PATH=" + os.Getenv("PATH"), "LANG=en_US.UTF-8", "LC_ALL="}
	}
}

func env(pairs ...string) option {
	return func(c *exec.Cmd) {
		if c.Env == nil {
			c.Env = os.Environ()
		}
		c.Env = append(c.Env, pairs...)
	}
}

func stdin(r io.Reader) option { return func(c *exec.Cmd) { c.Stdin = r } }

func extra(f *os.File) option { return func(c *exec.Cmd) { c.ExtraFiles = append(c.ExtraFiles, f) } }

// start runs a program until the test ends; its output is shown if the test fails.
func start(t *testing.T, path string, args []string, opts ...option) *proc {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, o := range opts {
		o(cmd)
	}
	p := &proc{t: t, name: filepath.Base(path), cmd: cmd, out: &buffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() { cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.stop(syscall.SIGTERM)
		if t.Failed() {
			s := p.out.String()
			t.Logf("%s said:\n%s", p.name, s[max(0, len(s)-6000):])
		}
	})
	return p
}

// stop signals the program's group and waits; SIGKILL follows after five seconds.
func (p *proc) stop(sig syscall.Signal) {
	syscall.Kill(-p.cmd.Process.Pid, sig)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

func (p *proc) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// try runs a program to its end.
func try(path string, args []string, opts ...option) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, o := range opts {
		o(cmd)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), err
}

// call runs a program to its end, which must be a success.
func call(t *testing.T, path string, args []string, opts ...option) string {
	t.Helper()
	out, err := try(path, args, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// site is a server with its data and how to reach it.
type site struct {
	t      *testing.T
	data   string
	listen string
	public string
	*proc
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// serve starts a server; public is the port that others are told, the server's own if empty.
func serve(t *testing.T, data, public string) *site {
	t.Helper()
	port := freePort(t)
	if public == "" {
		public = port
	}
	s := &site{t: t, data: data, listen: "127.0.0.1:" + port, public: "https://localhost:" + public}
	s.up()
	return s
}

// up starts the server's program and waits until it answers.
func (s *site) up() {
	s.t.Helper()
	s.proc = start(s.t, program(s.t, "traybell-server"), []string{"serve", "--data", s.data, "--listen", s.listen, "--public-url", s.public, "--ticket-burst", "1000"})
	eventually(s.t, "the server answers", func() bool {
		if !s.running() {
			s.t.Fatalf("the server has ended: %s", s.out)
		}
		c, err := net.DialTimeout("tcp", s.listen, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

var firstLink = regexp.MustCompile(`https://\S+/first\S*`)

// link is the one-time link for the first administrator that the server has printed.
func (s *site) link() string {
	s.t.Helper()
	var l string
	eventually(s.t, "the first administrator's link", func() bool { l = firstLink.FindString(s.out.String()); return l != "" })
	return l
}

func (s *site) key(args ...string) string {
	s.t.Helper()
	return strings.TrimSpace(call(s.t, program(s.t, "traybell-server"), append([]string{"enrolment-key", "--data", s.data}, args...)))
}

// pool trusts the server's own CA and nothing else.
func (s *site) pool() *x509.CertPool {
	s.t.Helper()
	pool := x509.NewCertPool()
	found := false
	filepath.WalkDir(s.data, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (strings.HasSuffix(p, ".pem") || strings.HasSuffix(p, ".crt")) && strings.Contains(filepath.Base(p), "ca") {
			if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte("BEGIN CERTIFICATE")) {
				found = pool.AppendCertsFromPEM(b) || found
			}
		}
		return nil
	})
	if !found {
		s.t.Fatalf("no CA certificate in %s", s.data)
	}
	return pool
}

// api calls the REST interface with a token; v receives the answer.
func (s *site) api(token, method, path string, body, v any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, "https://"+strings.Replace(s.listen, "127.0.0.1", "localhost", 1)+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool()}, DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// device is the service on this computer.
type device struct {
	t     *testing.T
	state string
	*proc
}

// enrol makes a device known to the server and starts its service.
func enrol(t *testing.T, s *site, state string, args ...string) *device {
	t.Helper()
	call(t, program(t, "traybell-agent"), []string{"enrol", "-", "--state", state}, stdin(strings.NewReader(s.key(args...)+"\n")))
	d := &device{t: t, state: state}
	d.up()
	d.ready()
	return d
}

func (d *device) up() {
	d.t.Helper()
	d.proc = start(d.t, program(d.t, "traybell-agent"), []string{"run", "--state", d.state})
	eventually(d.t, "the service's local API", func() bool {
		if !d.running() {
			d.t.Fatalf("the service has ended: %s", d.out)
		}
		c, err := net.Dial("unix", d.socket())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (d *device) socket() string { return filepath.Join(d.state, "agent.sock") }

// local calls the local API as this process's user.
func (d *device) local(method, path string, body io.Reader, header map[string]string, v any) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.socket())
		}}}
	req, err := http.NewRequest(method, "http://agent"+path, body)
	if err != nil {
		return err
	}
	for k, val := range header {
		req.Header.Set(k, val)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return apiError{res.StatusCode, string(b)}
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

type apiError struct {
	status int
	body   string
}

func (e apiError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.body) }

type status struct {
	State        string `json:"state"`
	Device       string `json:"device"`
	Kept         int    `json:"kept"`
	FilesPending int    `json:"files_pending"`
}

func (d *device) status() (status, error) {
	var s status
	return s, d.local("GET", "/v1/status", nil, nil, &s)
}

func (d *device) ready() {
	d.t.Helper()
	eventually(d.t, "the link is up", func() bool { s, err := d.status(); return err == nil && s.State == "ready" })
}
