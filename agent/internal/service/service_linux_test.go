package service

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/enrol"
	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// programs is the folder with the real programs, built once.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "traybell-programs-*")
	if err != nil {
		panic(err)
	}
	build := exec.Command("go", "build", "-o", dir, "../../cmd/traybell-session", "../../cmd/traybell-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	os.Chmod(dir, 0o755)
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// rig is a device that runs in this process, its server, and the person at it: us.
type rig struct {
	t      *testing.T
	srv    *fakeServer
	dir    string
	person *localapi.Client
	link   *fakeLink
	stop   func()
	home   string // without login scripts
	logs   *logBuffer
	clock  grants.Clock
	seats  func(context.Context) []inventory.Seat
	offers int
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const machine = "machine-of-the-test"

// me is the OS user of the test.
func me() string { return ownID() }

// scopes allow a terminal for the test's own user, who may be root.
func scopes() []grant.Scope {
	s := []grant.Scope{grant.View, grant.Control, grant.Terminal}
	if grants.RootID(me()) {
		s = append(s, grant.Admin)
	}
	return s
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, srv: newServer(t), dir: t.TempDir(), home: t.TempDir(), logs: &logBuffer{}, clock: grants.SystemClock(),
		seats: func(context.Context) []inventory.Seat { return nil }}
	if _, err := enrol.Enrol(context.Background(), enrol.Options{State: r.dir, Machine: machine, Key: r.srv.key(), Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
		if t.Failed() {
			t.Log(r.logs.String())
		}
	})
	return r
}

// run starts the service and waits for its link, unless offline.
func (r *rig) run(offline bool) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	socket := localapi.Path(r.dir)
	go func() {
		done <- Run(ctx, Options{State: r.dir, Socket: socket, Folder: programs, Clock: r.clock, Machine: machine, Seats: r.seats, Home: r.home,
			Logger: slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	}()
	r.stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				r.t.Errorf("the service ended: %v", err)
			}
		case <-time.After(10 * time.Second):
			r.t.Error("the service does not end")
		}
		r.stop = nil
	}
	if !offline {
		r.link = r.srv.link()
	}
	r.eventually("the local API answers", func() bool {
		c, err := localapi.Dial(socket)
		if err != nil {
			return false
		}
		r.person = c
		st, err := c.Status(ctx)
		return err == nil && (st.State == localapi.StateReady || offline && st.State == localapi.StateOffline)
	})
}

func (r *rig) eventually(what string, f func() bool) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for !f() {
		select {
		case <-limit:
			r.t.Fatalf("never: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sit makes the person present and returns their events.
func (r *rig) sit(desktop localapi.Tray) <-chan localapi.Event {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	ev, err := r.person.Tray(ctx, desktop)
	if err != nil {
		r.t.Fatal(err)
	}
	return ev
}

func waitEvent(t *testing.T, ev <-chan localapi.Event, typ string) localapi.Event {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case e, ok := <-ev:
			if !ok {
				t.Fatalf("the stream ended while waiting for %s", typ)
			}
			if e.Type == typ {
				return e
			}
		case <-limit:
			t.Fatalf("no event %s", typ)
		}
	}
}

// ask sends a technician's question.
func (r *rig) ask(session string, sc []grant.Scope) link.Ask {
	r.t.Helper()
	a := link.Ask{Session: session, Account: "anna", Name: "Anna Bianchi", Organization: "Rossi IT", Ticket: "ticket-1", TicketNumber: 1042, TicketTitle: "Printer", Scopes: sc}
	if err := r.link.conn.Write(link.TypeAsk, a); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// allow says yes as soon as that counts.
func (r *rig) allow(session string, a localapi.Allow) error {
	if err := r.person.Shown(context.Background(), session); err != nil {
		return err
	}
	var err error
	r.eventually("the second after the question was drawn is over", func() bool {
		err = r.person.Allow(context.Background(), session, a)
		var p api.Problem
		return !errors.As(err, &p) || p.Code != localapi.CodeTooSoon
	})
	return err
}

// granted asks, allows and returns the grant, verified.
func (r *rig) granted(session, lasts string, sc []grant.Scope) grant.Grant {
	r.t.Helper()
	ev := r.sit(localapi.Tray{Desktop: "text", Language: "en"})
	r.eventually("the person is there", func() bool {
		rep, err := r.person.Report(context.Background())
		return err == nil && len(rep.Facts.Users) > 0
	})
	r.ask(session, sc)
	waitEvent(r.t, ev, "consent")
	if err := r.allow(session, localapi.Allow{Scopes: sc, For: lasts, How: "command"}); err != nil {
		r.t.Fatal(err)
	}
	for {
		st := as[link.AskState](r.t, r.link.next(r.t, link.TypeAskState))
		if st.State == link.AskAllowed {
			g, err := grant.Verify(*st.Grant, r.srv.grantKey)
			if err != nil {
				r.t.Fatal(err)
			}
			return g
		}
	}
}

// offerFor makes an offer that this grant permits.
func (r *rig) offerFor(g grant.Grant, session string, kind grant.Kind) link.Offer {
	r.offers++
	return link.Offer{Channel: api.NewID(time.Now()), Token: fmt.Sprintf("token-%d", r.offers), Session: session, Ticket: "ticket-1",
		Grant: g.ID, Account: "anna", Name: "Anna Bianchi", Kind: kind}
}

func (r *rig) ledger() []ledger.Entry {
	r.t.Helper()
	db, err := state.Open(context.Background(), r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	l, err := ledger.New(context.Background(), db, make(ed25519.PrivateKey, ed25519.PrivateKeySize), "x", time.Now)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := l.Verify(context.Background()); err != nil {
		r.t.Error(err)
	}
	es, err := l.Entries(context.Background(), "", "")
	if err != nil {
		r.t.Fatal(err)
	}
	return es
}

func (r *rig) recorded(ev ledger.Event, code string) bool {
	return slices.ContainsFunc(r.ledger(), func(e ledger.Entry) bool { return e.Event == ev && e.Code == code })
}

// console is the technician's side of a terminal.
type console struct {
	t    *testing.T
	conn net.Conn
	buf  []byte
	text string
}

func newConsole(t *testing.T, c net.Conn) *console {
	return &console{t: t, conn: c, buf: make([]byte, link.MaxTerminalFrame)}
}

func (c *console) typed(s string) {
	c.t.Helper()
	if err := link.WriteTerminal(c.conn, link.TerminalData, []byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *console) until(want string) string {
	c.t.Helper()
	for !strings.Contains(c.text, want) {
		typ, b, err := link.ReadTerminal(c.conn, c.buf)
		if err != nil {
			c.t.Fatalf("waiting for %q after %q: %v", want, c.text, err)
		}
		if typ == link.TerminalExit {
			c.t.Fatalf("exit %d instead of %q after %q", binary.BigEndian.Uint32(b), want, c.text)
		}
		c.text += string(b)
	}
	t := c.text
	c.text = ""
	return t
}

func form(title string) localapi.Ticket {
	return localapi.Ticket{ID: api.NewID(time.Now()), Title: title, Email: "l.rossi@studioverdi.it", Answers: api.Answers{Working: "no", Affected: "several"}}
}

func TestTicketIsSentWithItsFiles(t *testing.T) {
	r := newRig(t)
	r.run(false)
	ctx := context.Background()
	f := form("Printer prints blank pages")
	f.Files = 2
	want := [][]byte{bytes.Repeat([]byte("x"), 300_000), []byte("second")}
	for i, b := range want {
		if err := r.person.PutFile(ctx, f.ID, i, fmt.Sprintf("../../picture %d.png", i), "image/png", bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.person.File(ctx, f, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != localapi.FiledSent || got.Number != 1001 || got.FilesPending != 0 {
		t.Fatalf("got %+v, want sent as 1001 with no file pending", got)
	}
	r.srv.mu.Lock()
	tk := r.srv.tickets[f.ID]
	for i, b := range want {
		if !bytes.Equal(r.srv.files[fmt.Sprintf("%s/%d", f.ID, i)], b) {
			t.Errorf("file %d arrived changed", i)
		}
	}
	r.srv.mu.Unlock()
	if tk.Title != f.Title || tk.Severity != api.Critical || tk.OSUserID != me() || tk.Files[0].Name != "picture 0.png" {
		t.Errorf("got %+v", tk)
	}
	again, err := r.person.File(ctx, f, 0)
	if err != nil || again.Number != got.Number {
		t.Errorf("the same form again gives %+v, %v", again, err)
	}
	f.Title = "Something else"
	if other, err := r.person.File(ctx, f, 0); err != nil || other.State != localapi.FiledRefused || other.Code != api.CodeConflict {
		t.Errorf("another form under the same id gives %+v, %v", other, err)
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "outbox")); len(left) != 0 {
		t.Errorf("%d folders are left in the outbox", len(left))
	}
}

func TestTicketIsKeptAndGoesOutByItself(t *testing.T) {
	r := newRig(t)
	r.srv.mu.Lock()
	r.srv.fault = func(*http.Request) int { return 503 }
	r.srv.mu.Unlock()
	r.run(true)
	f := form("Kept")
	got, err := r.person.File(context.Background(), f, 100*time.Millisecond)
	if err != nil || got.State != localapi.FiledKept {
		t.Fatalf("got %+v, %v, want kept", got, err)
	}
	r.stop()
	r.srv.mu.Lock()
	r.srv.fault = nil
	r.srv.mu.Unlock()
	r.run(false)
	r.eventually("the ticket is sent", func() bool {
		g, err := r.person.Ticket(context.Background(), f.ID)
		return err == nil && g.State == localapi.FiledSent
	})
}

func TestLostAnswersMakeNoSecondTicket(t *testing.T) {
	r := newRig(t)
	cuts := 0
	r.srv.fault = func(req *http.Request) int {
		if strings.HasPrefix(req.URL.Path, "/api/v1/device/tickets") && cuts < 3 {
			cuts++
			return -1
		}
		return 0
	}
	r.run(false)
	f := form("Once")
	f.Files = 1
	if err := r.person.PutFile(context.Background(), f.ID, 0, "a", "", strings.NewReader("bytes")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.person.File(context.Background(), f, 0); err != nil {
		t.Fatal(err)
	}
	r.eventually("ticket and file are sent", func() bool {
		g, err := r.person.Ticket(context.Background(), f.ID)
		return err == nil && g.State == localapi.FiledSent && g.FilesPending == 0
	})
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	if len(r.srv.order) != 1 || r.srv.sends < 2 {
		t.Errorf("%d tickets from %d sends, want one from several", len(r.srv.order), r.srv.sends)
	}
}

func TestRefusedTicketIsToldAndDoesNotHoldUpOthers(t *testing.T) {
	r := newRig(t)
	first := true
	r.srv.fault = func(req *http.Request) int {
		if req.URL.Path == "/api/v1/device/tickets" && first {
			first = false
			return 422
		}
		return 0
	}
	r.run(false)
	bad, err := r.person.File(context.Background(), form("Bad"), 5*time.Second)
	if err != nil || bad.State != localapi.FiledRefused || bad.Reason != "the server says no" {
		t.Errorf("got %+v, %v, want refused with the server's reason", bad, err)
	}
	good, err := r.person.File(context.Background(), form("Good"), 5*time.Second)
	if err != nil || good.State != localapi.FiledSent {
		t.Errorf("got %+v, %v, want sent", good, err)
	}
}

func TestTerminalUnderAGrant(t *testing.T) {
	r := newRig(t)
	r.run(false)
	g := r.granted("s1", "session", scopes())
	if g.Holder.Name != "Anna Bianchi" || g.Session != "s1" || g.AsID != me() || g.How != "command" {
		t.Errorf("got %+v", g)
	}
	conn, refused := r.srv.offer(r.link, r.offerFor(g, "s1", grant.KindTerminal))
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	c := newConsole(t, conn)
	c.typed("echo user=$(id -u) end\n")
	c.until("user=" + me() + " end")
	r.eventually("the tray knows of the terminal", func() bool {
		ss, err := r.person.Sessions(context.Background())
		return err == nil && len(ss) == 1 && slices.Contains(ss[0].Open, "terminal") && ss[0].Name == "Anna Bianchi"
	})
	// What runs detached ends as well.
	c.typed("setsid sh -c 'trap \"\" HUP TERM; echo $$ >" + r.dir + "/pid; sleep 1000' </dev/null >/dev/null 2>&1 & echo star''ted\n")
	c.until("started")
	var pid string
	r.eventually("the detached process runs", func() bool {
		b, err := os.ReadFile(filepath.Join(r.dir, "pid"))
		pid = strings.TrimSpace(string(b))
		return err == nil && pid != ""
	})
	before := time.Now()
	if err := r.person.End(context.Background(), localapi.End{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("ending took %s, want 2 s at most", took)
	}
	if st, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(st), ") Z ") {
		t.Errorf("the detached process goes on: %s", st)
	}
	for _, _, err := link.ReadTerminal(conn, c.buf); ; _, _, err = link.ReadTerminal(conn, c.buf) {
		if err != nil {
			break
		}
	}
	if _, refused := r.srv.offer(r.link, r.offerFor(g, "s1", grant.KindTerminal)); refused == nil || refused.Code != string(grant.Revoked) {
		t.Errorf("after the end: got %+v, want %s", refused, grant.Revoked)
	}
	vs, err := r.person.History(context.Background())
	if err != nil || len(vs) != 1 || vs[0].Name != "Anna Bianchi" || vs[0].EndedBy != "person" || !slices.Contains(vs[0].Did, "terminal") {
		t.Errorf("history: %+v, %v", vs, err)
	}
}

func TestTicketThatTheServerHasLostIsFiledAnew(t *testing.T) {
	r := newRig(t)
	hold := true
	r.srv.fault = func(req *http.Request) int {
		if hold && req.Method == http.MethodPut {
			return 503
		}
		return 0
	}
	r.run(false)
	f := form("Before the backup")
	f.Files = 1
	if err := r.person.PutFile(context.Background(), f.ID, 0, "a", "", strings.NewReader("bytes")); err != nil {
		t.Fatal(err)
	}
	if got, err := r.person.File(context.Background(), f, 100*time.Millisecond); err != nil || got.FilesPending != 1 {
		t.Fatalf("got %+v, %v, want a file pending", got, err)
	}
	r.eventually("the ticket is sent", func() bool {
		g, err := r.person.Ticket(context.Background(), f.ID)
		return err == nil && g.State == localapi.FiledSent
	})
	r.srv.mu.Lock()
	clear(r.srv.tickets)
	r.srv.order, hold = nil, false
	r.srv.mu.Unlock()
	r.eventually("ticket and file are there again", func() bool {
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		return len(r.srv.order) == 1 && string(r.srv.files[f.ID+"/0"]) == "bytes"
	})
}
