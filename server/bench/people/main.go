//go:build linux

// Command people measures what signing in and the portal's pages cost on a server with many customers:
// by default 1,000 organizations, 100,000 accounts, 20,000 tickets, 5,000 devices and 50,000 entries in the log.
// The server is the real one in this process, behind its own TLS listener; each page is asked for over HTTPS by a
// technician's or a responsible person's login that was made by password and authenticator code.
//
//	go run ./server/bench/people
//
// It ends with status 1 when a goal is missed.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/servertest"
)

// The goals.
const (
	goalSignIn = 150 * time.Millisecond // of CPU
	goalPage   = 50 * time.Millisecond  // p99
)

func main() {
	n := size{}
	flag.IntVar(&n.organizations, "organizations", 1000, "organizations")
	flag.IntVar(&n.accounts, "accounts", 100_000, "accounts")
	flag.IntVar(&n.tickets, "tickets", 20_000, "tickets")
	flag.IntVar(&n.devices, "devices", 5_000, "devices")
	flag.IntVar(&n.entries, "entries", 50_000, "entries of the log")
	rounds := flag.Int("rounds", 200, "how often each page is asked for")
	database := flag.String("database", "", "postgres://… of an empty database; default SQLite")
	only := flag.String("only", "", "only pages whose name holds this")
	flag.Parse()
	if err := run(n, *rounds, *database, *only); err != nil {
		fmt.Fprintln(os.Stderr, "people:", err)
		os.Exit(1)
	}
}

// host lends a program what servertest asks of a test: an end, a folder, and a way to fail.
type host struct {
	testing.TB
	ctx  context.Context
	dir  string
	ends []func()
}

func (h *host) Helper()                  {}
func (h *host) Context() context.Context { return h.ctx }
func (h *host) TempDir() string          { return h.dir }
func (h *host) Cleanup(f func())         { h.ends = append(h.ends, f) }
func (h *host) Error(args ...any)        { fmt.Fprintln(os.Stderr, args...) }
func (h *host) Fatal(args ...any)        { panic(fmt.Sprintln(args...)) }

func (h *host) end() {
	for _, f := range slices.Backward(h.ends) {
		f()
	}
}

func run(n size, rounds int, database, only string) (err error) {
	dir, err := os.MkdirTemp("", "traybell-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h := &host{ctx: context.Background(), dir: dir}
	defer h.end()
	s := servertest.StartWith(h, servertest.Options{DatabaseURL: database})
	admin := s.Administrator(h)
	began := time.Now()
	w, err := fill(h.ctx, s, n, admin.Account)
	if err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	fmt.Fprintf(os.Stderr, "filled in %.0f s\n", time.Since(began).Seconds())
	if err := w.settle(h.ctx, s); err != nil {
		return err
	}
	responsible := s.Person(h, account.Responsible, "capo@bench.example", w.big.Name)
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("%d organizations, %d accounts, %d tickets, %d devices, %d log entries; %d requests each; GOMAXPROCS %d; load average %s\n\n",
		n.organizations, n.accounts, n.tickets, n.devices, n.entries, rounds, runtime.GOMAXPROCS(0), strings.Join(strings.Fields(string(load))[:3], " "))
	missed := 0
	if only == "" {
		if missed, err = signIns(h.ctx, s, admin, w); err != nil {
			return err
		}
	}
	slow, err := pages(s, admin, responsible, w, rounds, only)
	if err != nil {
		return err
	}
	if missed += slow; missed > 0 {
		return fmt.Errorf("%d goals missed", missed)
	}
	return nil
}

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mark(bad bool) string {
	if bad {
		return " **missed**"
	}
	return ""
}

// signIns measures password checks one after the other, then many at once, then the whole way in.
func signIns(ctx context.Context, s *servertest.Server, admin *servertest.Person, w *world) (missed int, err error) {
	password := func(i int) error { // each from an address of its own, so that the limits let it pass
		_, err := s.People.SignIn(ctx, people.Credentials{Email: w.emails[i], Password: servertest.Password, Address: fmt.Sprintf("192.0.2.%d", i), Language: "en"})
		return err
	}
	const checks, many = 40, 64
	if err := password(0); err != nil {
		return 0, err
	}
	before := cpu()
	for i := range checks {
		if err := password(1 + i); err != nil {
			return 0, err
		}
	}
	each := (cpu() - before) / checks

	// as many at once as somebody likes to send: how many of them hash, by the stacks of all goroutines
	var running sync.WaitGroup
	results := make(chan error, many)
	began := time.Now()
	for i := range many {
		running.Go(func() { results <- password(100 + i) })
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	most, looks := 0, 0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-tick.C:
			k, err := hashing()
			if err != nil {
				return 0, err
			}
			most, looks = max(most, k), looks+1
		}
	}
	took := time.Since(began)
	for range many {
		if err := <-results; err != nil {
			return 0, err
		}
	}

	var whole []time.Duration
	before = cpu()
	for _, code := range admin.Codes[:8] {
		began := time.Now()
		if _, err := enter(s, admin.Account.Email, "recovery", code); err != nil {
			return 0, err
		}
		whole = append(whole, time.Since(began))
	}
	way := (cpu() - before) / time.Duration(len(whole))
	slices.Sort(whole)

	slow, crowd := way > goalSignIn, most > runtime.GOMAXPROCS(0) || most == 0
	fmt.Println("| sign-in | |\n|---|---|")
	fmt.Printf("| password check and half a login, CPU | %.0f ms |\n", ms(each))
	fmt.Printf("| password and second factor through the portal, CPU (goal ≤ %.0f ms), client included | %.0f ms%s |\n", ms(goalSignIn), ms(way), mark(slow))
	fmt.Printf("| the same, median from first request to cookie | %.0f ms |\n", ms(whole[len(whole)/2]))
	fmt.Printf("| %d passwords at once: hashing at the same time, at most, in %d looks (goal ≤ GOMAXPROCS = %d) | %d%s |\n", many, looks, runtime.GOMAXPROCS(0), most, mark(crowd))
	fmt.Printf("| %d passwords at once: a second | %.0f |\n\n", many, many/took.Seconds())
	for _, bad := range []bool{slow, crowd} {
		if bad {
			missed++
		}
	}
	return missed, nil
}

// hashing counts the goroutines that compute Argon2 now.
func hashing() (int, error) {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		return 0, err
	}
	return strings.Count(b.String(), "argon2.deriveKey("), nil
}

// enter signs in as a browser does, by password and second factor, and returns the login's cookie.
func enter(s *servertest.Server, email, kind, code string) (*http.Cookie, error) {
	cookies := map[string]*http.Cookie{}
	send := func(path string, form url.Values) (*http.Response, error) {
		req, err := http.NewRequest("POST", s.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", s.URL)
		for _, c := range cookies {
			req.AddCookie(c)
		}
		res, err := s.Client.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		for _, c := range res.Cookies() {
			cookies[c.Name] = c
		}
		if res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusFound {
			return nil, fmt.Errorf("POST %s: %s", path, res.Status)
		}
		return res, nil
	}
	if _, err := send("/sign-in", url.Values{"email": {email}, "password": {servertest.Password}}); err != nil {
		return nil, err
	}
	if _, err := send("/second-factor", url.Values{"kind": {kind}, "code": {code}, "step": {"prove"}}); err != nil {
		return nil, err
	}
	c := cookies["__Host-traybell"]
	if c == nil || c.Value == "" {
		return nil, errors.New("signing in gave no login")
	}
	return c, nil
}

// page is one row of the table.
type page struct {
	name, path string
	own        bool   // as the responsible person instead of the administrator
	holds      string // that it shows what is meant
}

func pages(s *servertest.Server, admin, responsible *servertest.Person, w *world, rounds int, only string) (missed int, err error) {
	cookies := map[bool]*http.Cookie{}
	for own, p := range map[bool]*servertest.Person{false: admin, true: responsible} {
		// the code of the next half minute: that of this one has set up the app
		if cookies[own], err = enter(s, p.Account.Email, string(account.App), peopletest.Code(p.Secret, time.Now().Add(30*time.Second))); err != nil {
			return 0, err
		}
	}
	get := func(path string, own bool) (string, error) {
		req, err := http.NewRequest("GET", s.URL+path, nil)
		if err != nil {
			return "", err
		}
		req.AddCookie(cookies[own])
		res, err := s.Client.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("GET %s: %s", path, res.Status)
		}
		return string(b), err
	}
	_, next, err := s.People.AccountPage(context.Background(), admin.Actor, people.AccountFilter{})
	if err != nil {
		return 0, err
	}
	id := string(w.big.ID)
	list := []page{
		{name: "people", path: "/people", holds: "@"},
		{name: "people: next page", path: "/people?after=" + next, holds: "@"},
		{name: "people: one rare word", path: "/people?q=" + url.QueryEscape(w.emails[500]), holds: w.emails[500]},
		{name: "people: one frequent word", path: "/people?q=maria", holds: "Maria"},
		{name: "people: two frequent words, often together", path: "/people?q=ma+ro", holds: "Rossi"},
		{name: "people: two frequent words, never together", path: "/people?q=" + apart, holds: "/people"},
		{name: "people: two very frequent words, never together", path: "/people?q=it+de", holds: "/people"},
		{name: "people: of an organization", path: "/people?organization=" + id, holds: "@"},
		{name: "people: of an organization, a word", path: "/people?organization=" + id + "&q=ma", holds: "Ma"},
		{name: "people: of a role", path: "/people?role=responsible", holds: "@"},
		{name: "organizations", path: "/organizations", holds: "Studio"},
		{name: "organizations: a word", path: "/organizations?q=verdi", holds: "Verdi"},
		{name: "an organization with 500 members", path: "/organizations/" + id, holds: w.big.Name},
		{name: "own organization with 500 members", path: "/organization", own: true, holds: w.big.Name},
		{name: "own people", path: "/people", own: true, holds: "@"},
		{name: "a person", path: "/people/" + string(w.person), holds: "@"},
		{name: "tickets", path: "/tickets", holds: "/tickets/"},
		{name: "own tickets", path: "/tickets", own: true, holds: "/tickets"},
		{name: "search", path: "/search?q=stampante", holds: "tampante"},
		{name: "devices", path: "/devices", holds: "pc-"},
		{name: "devices: a word", path: "/devices?q=pc-0012", holds: "pc-0012"},
		{name: "overview of devices", path: "/devices/overview", holds: "Debian"},
		{name: "own overview of devices", path: "/devices/overview", own: true, holds: "Debian"},
		{name: "log", path: "/log", holds: "/log"},
		{name: "log: a person", path: "/log?who=" + url.QueryEscape("account:"+string(w.person)), holds: "/log"},
		{name: "own log", path: "/log", own: true, holds: "/log"},
		{name: "settings", path: "/settings", holds: admin.Account.Name},
	}
	fmt.Printf("| page | p50 ms | p95 | p99 (goal ≤ %.0f) | CPU ms | KB |\n|---|---|---|---|---|---|\n", ms(goalPage))
	for _, p := range list {
		if !strings.Contains(p.name, only) {
			continue
		}
		text, err := get(p.path, p.own)
		if err != nil {
			return 0, err
		}
		if !strings.Contains(text, p.holds) {
			return 0, fmt.Errorf("%s: the page does not hold %q", p.name, p.holds)
		}
		for range 5 {
			if _, err := get(p.path, p.own); err != nil {
				return 0, err
			}
		}
		runtime.GC()
		took := make([]time.Duration, rounds)
		before := cpu()
		for i := range took {
			began := time.Now()
			if _, err := get(p.path, p.own); err != nil {
				return 0, err
			}
			took[i] = time.Since(began)
		}
		spent := (cpu() - before) / time.Duration(rounds)
		slices.SortFunc(took, cmp.Compare)
		at := func(share float64) time.Duration { return took[min(int(share*float64(rounds)), rounds-1)] }
		slow := at(0.99) > goalPage
		if slow {
			missed++
		}
		fmt.Printf("| %s | %.1f | %.1f | %.1f%s | %.1f | %d |\n", p.name, ms(at(0.5)), ms(at(0.95)), ms(at(0.99)), mark(slow), ms(spent), len(text)>>10)
	}
	return missed, nil
}
