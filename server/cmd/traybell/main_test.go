package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// desk is a technician's computer with a server.
type desk struct {
	t      *testing.T
	s      *servertest.Server
	p      *program
	server string
	token  string // file
	pin    string
}

func newDesk(t *testing.T) *desk {
	s := servertest.Start(t)
	s.Administrator(t)
	anna := s.Person(t, account.Technician, "anna@example.com", "")
	dir := t.TempDir()
	d := &desk{t: t, s: s, p: &program{config: filepath.Join(dir, "sub", "cli.json"), say: catalogue.For("en")}, token: filepath.Join(dir, "token"), pin: "sha256:" + fingerprint(s.Keys.CA)}
	d.server = strings.Replace(s.URL, "localhost", "127.0.0.1", 1) // localhost may mean ::1
	if err := os.WriteFile(d.token, []byte(anna.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) login() {
	d.t.Helper()
	if err := (&login{Server: d.server, TokenFile: d.token, Pin: d.pin}).Run(d.t.Context(), d.p); err != nil {
		d.t.Fatal(err)
	}
}

func TestLoginKeepsOnlyWhatWorks(t *testing.T) {
	d := newDesk(t)
	other := "sha256:" + strings.Repeat("ab", 32)
	bad := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(bad, []byte("tb_wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		login login
		want  string
	}{
		{"another certificate", login{Server: d.server, TokenFile: d.token, Pin: other}, "another certificate"},
		{"no pin, unknown certificate", login{Server: d.server, TokenFile: d.token}, "does not know the server's certificate"},
		{"wrong token", login{Server: d.server, TokenFile: bad, Pin: d.pin}, ""},
		{"no token file", login{Server: d.server, TokenFile: bad + "x", Pin: d.pin}, "no such file"},
		{"not https", login{Server: "http://x", TokenFile: d.token, Pin: d.pin}, "https://"},
		{"a pin of nothing", login{Server: d.server, TokenFile: d.token, Pin: "md5:00"}, "64 hexadecimal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.login.Run(t.Context(), d.p)
			if err == nil || !strings.Contains(sentence(err, d.p.say), c.want) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(d.p.config); err == nil {
				t.Error("it was kept")
			}
		})
	}
	for _, pin := range []string{"first", strings.ToUpper(d.pin)} {
		l := login{Server: d.server, TokenFile: d.token, Pin: pin}
		if err := l.Run(t.Context(), d.p); err != nil {
			t.Fatalf("%s: %v", pin, err)
		}
		c, err := d.p.load()
		if err != nil || "sha256:"+c.Pin != d.pin {
			t.Errorf("%s: kept %+v, %v", pin, c.Pin, err)
		}
	}
	if i, err := os.Stat(d.p.config); runtime.GOOS != "windows" && (err != nil || i.Mode().Perm() != 0o600) {
		t.Errorf("the file with the token is %v, %v", i.Mode(), err)
	}
	var none program
	none.config, none.say = filepath.Join(t.TempDir(), "x"), d.p.say
	if err := (&devices{}).Run(t.Context(), &none); err == nil || !strings.Contains(err.Error(), "traybell login") {
		t.Errorf("without a login: %v", err)
	}
}

func TestPinIsOfTheIssuerAndTheName(t *testing.T) {
	d := newDesk(t)
	d.login()
	c, err := d.p.client()
	if err != nil {
		t.Fatal(err)
	}
	c.Server = strings.Replace(c.Server, "127.0.0.1", "127.0.0.2", 1) // the same server by a name that its certificate does not hold
	if err := c.call(t.Context(), http.MethodGet, "/devices", nil, nil); err == nil {
		t.Error("a certificate for another name was taken")
	}
}

func TestLists(t *testing.T) {
	d := newDesk(t)
	d.login()
	dev := d.s.Enrol(t, "PC-114", "Studio Verdi")
	c, err := d.p.client()
	if err != nil {
		t.Fatal(err)
	}
	list, err := pages(t.Context(), c, "/devices?limit=1", "devices", 0)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d devices, %v", len(list), err)
	}
	var out bytes.Buffer
	if err := printJSON(&out, "devices", list); err != nil {
		t.Fatal(err)
	}
	var got struct{ Devices []device }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Devices[0].ID != dev.ID || got.Devices[0].Name != "PC-114" {
		t.Errorf("%s, %v", out.Bytes(), err)
	}
	d.s.Enrol(t, "PC-115", "Studio Verdi")
	if list, err = pages(t.Context(), c, "/devices?limit=1", "devices", 0); err != nil || len(list) != 2 {
		t.Errorf("%d devices on two pages, %v", len(list), err)
	}
	for _, name := range []string{"pc-114", dev.ID} {
		if f, err := c.find(t.Context(), name); err != nil || f.ID != dev.ID {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := c.find(t.Context(), "PC-11"); err == nil {
		t.Error("a part of a name was taken for a name")
	}
	d.s.Enrol(t, "PC-114", "Neri")
	if _, err := c.find(t.Context(), "PC-114"); err == nil || !strings.Contains(err.Error(), dev.ID) {
		t.Errorf("two of a name: %v", err)
	}
}

// seat is the device's side of a session.
type seat struct {
	t    *testing.T
	d    *servertest.Device
	link *servertest.Link
}

func (d *desk) seat(dev *servertest.Device) *seat {
	l, _ := dev.Link(d.t, link.Proof{})
	stuck := time.AfterFunc(30*time.Second, func() { l.Close() })
	d.t.Cleanup(func() { stuck.Stop(); l.Close() })
	servertest.Eventually(d.t, "the link is up", func() bool { return d.s.Relay.Online(dev.ID) })
	return &seat{d.t, dev, l}
}

func (s *seat) next(typ string, v any) {
	s.t.Helper()
	for {
		m, err := s.link.Read()
		if err != nil {
			s.t.Fatalf("wait for %s: %v", typ, err)
		}
		if m.Type == typ {
			if err := m.Decode(v); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
}

func (s *seat) allow() link.Ask {
	s.t.Helper()
	var q link.Ask
	s.next(link.TypeAsk, &q)
	g, err := grant.Sign(grant.Grant{
		ID: api.NewID(time.Now()), Device: s.d.ID, As: "lucia", AsID: "1000", Scopes: q.Scopes, Holder: &grant.Holder{Account: q.Account, Name: q.Name, Organization: q.Organization},
		Session: q.Session, MadeAt: time.Now().UnixMicro(), Budget: 3600, MadeBy: "lucia", How: "window",
	}, s.d.GrantKey)
	if err != nil {
		s.t.Fatal(err)
	}
	s.link.Write(link.TypeAskState, link.AskState{Session: q.Session, State: link.AskAllowed, User: "lucia", Grant: &g})
	return q
}

// accept opens the channel that is offered next.
func (s *seat) accept() (link.Offer, net.Conn) {
	s.t.Helper()
	var o link.Offer
	s.next(link.TypeOffer, &o)
	c := s.d.Upgrade(s.t, link.ChannelPath, link.ChannelScheme+" "+o.Token)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	s.t.Cleanup(func() { c.Close() })
	s.link.Write(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
	return o, c
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestViewersReachTheDesktopUntilThePersonEndsIt(t *testing.T) {
	d := newDesk(t)
	d.login()
	seat := d.seat(d.s.Enrol(t, "PC-114", "Studio Verdi"))
	addr := freePort(t)
	done := make(chan error, 1)
	go func() { done <- (&vnc{Device: "PC-114", Listen: addr}).Run(t.Context(), d.p) }()
	q := seat.allow()
	for range 2 { // each viewer has a channel of its own
		viewer, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer viewer.Close()
		viewer.SetDeadline(time.Now().Add(20 * time.Second))
		o, far := seat.accept()
		if o.Kind != grant.KindDesktop || !o.Control {
			t.Errorf("offer %+v", o)
		}
		far.Write([]byte("RFB 003.008\n"))
		hello := make([]byte, 12)
		if _, err := io.ReadFull(viewer, hello); err != nil || string(hello) != "RFB 003.008\n" {
			t.Errorf("viewer got %q, %v", hello, err)
		}
		viewer.Write(hello)
		if _, err := io.ReadFull(far, hello); err != nil {
			t.Errorf("device got %q, %v", hello, err)
		}
	}
	seat.link.Write(link.TypeSession, link.SessionState{Session: q.Session, State: "ended", Reason: "person"})
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port is still open")
	}
}

func TestInterruptLeavesTheSession(t *testing.T) {
	d := newDesk(t)
	d.login()
	seat := d.seat(d.s.Enrol(t, "PC-114", "Studio Verdi"))
	for _, allowed := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- (&vnc{Device: "PC-114", Listen: "127.0.0.1:0", ViewOnly: true}).Run(ctx, d.p) }()
		if !allowed {
			var q link.Ask
			seat.next(link.TypeAsk, &q)
			if len(q.Scopes) != 1 || q.Scopes[0] != grant.View {
				t.Errorf("asked for %v", q.Scopes)
			}
			stop()
			var w link.Withdraw
			seat.next(link.TypeWithdraw, &w)
			if err := <-done; err == nil || w.Session != q.Session {
				t.Errorf("withdrawn %s, %v", w.Session, err)
			}
			continue
		}
		q := seat.allow()
		servertest.Eventually(t, "the session is open", func() bool {
			return d.s.Store.Read(t.Context(), func(tx store.Tx) error {
				s, err := tx.Session(access.SessionID(q.Session))
				if err == nil && !s.State.Open() {
					err = errors.New("not yet")
				}
				return err
			}) == nil
		})
		stop()
		var end link.EndSession
		var w link.Withdraw
		if seat.over(&end, &w); end.Session != q.Session && w.Session != q.Session {
			t.Errorf("%s was not left", q.Session)
		}
		<-done
	}
}

// over waits until the session was left or its question was taken back: an interrupt may come before the
// command has seen the answer.
func (s *seat) over(end *link.EndSession, w *link.Withdraw) {
	s.t.Helper()
	for {
		m, err := s.link.Read()
		switch {
		case err != nil:
			s.t.Fatal(err)
		case m.Type == link.TypeEndSession:
			m.Decode(end)
			return
		case m.Type == link.TypeWithdraw:
			m.Decode(w)
			return
		}
	}
}

func TestRefusalIsToldInWords(t *testing.T) {
	d := newDesk(t)
	d.login()
	dev := d.s.Enrol(t, "PC-114", "Studio Verdi")
	servertest.Eventually(t, "the device is offline", func() bool { return !d.s.Relay.Online(dev.ID) })
	run := func() error {
		return (&vnc{Device: "PC-114", Listen: "127.0.0.1:0"}).Run(t.Context(), d.p)
	}
	if err := run(); err == nil || !strings.Contains(sentence(err, d.p.say), "not connected now") {
		t.Errorf("offline: %v", err)
	}
	seat := d.seat(dev)
	for reason, want := range map[string]string{"no": "Refused.", "silence": "no answer means no", "cooldown": "five minutes", "<b>": "computer refused"} {
		done := make(chan error, 1)
		go func() { done <- run() }()
		var q link.Ask
		seat.next(link.TypeAsk, &q)
		seat.link.Write(link.TypeAskState, link.AskState{Session: q.Session, State: link.AskRefused, Reason: reason})
		if err := <-done; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}

func TestListenIsForThisComputerOnly(t *testing.T) {
	p := &program{say: catalogue.For("en")}
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0"} {
		if l, err := listenLocal(addr, p); err == nil {
			l.Close()
			t.Errorf("listens on %s", addr)
		}
	}
	l, err := listenLocal("127.0.0.1:0", p)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestTerminalTalks(t *testing.T) {
	near, far := net.Pipe()
	far.SetDeadline(time.Now().Add(10 * time.Second))
	keys, typed := io.Pipe()
	var out bytes.Buffer
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := talk(t.Context(), near, keys, &out)
		done <- result{code, err}
	}()
	go typed.Write([]byte("ls\r"))
	buf := make([]byte, link.MaxTerminalFrame)
	for {
		typ, p, err := link.ReadTerminal(far, buf)
		if err != nil {
			t.Fatal(err)
		}
		if typ == link.TerminalData {
			if string(p) != "ls\r" {
				t.Errorf("typed %q", p)
			}
			break
		}
	}
	link.WriteTerminal(far, link.TerminalData, []byte("file\r\n"))
	link.WriteTerminal(far, link.TerminalExit, binary.BigEndian.AppendUint32(nil, 3))
	if r := <-done; r.err != nil || r.code != 3 || out.String() != "file\r\n" {
		t.Errorf("exit %d, %v, output %q", r.code, r.err, out.String())
	}
	if code, ok := errors.AsType[exitCode](error(exitCode(3))); !ok || code != 3 {
		t.Error("the exit code is lost")
	}
}

func TestEscapeLeavesATerminalThatHangs(t *testing.T) {
	for typed, want := range map[string]bool{"\r~.": true, "ls\r~.": true, "~.": false, "a~.": false, "\r~x\r.": false, "\r~~.": false, "\r\r~.": true} {
		whole, pieces := escape{}, escape{}
		got := false
		for _, c := range []byte(typed) {
			got = got || pieces.seen([]byte{c})
		}
		if got != want || whole.seen([]byte(typed)) != want {
			t.Errorf("%q leaves: %v, want %v", typed, got, want)
		}
	}
}

func TestPlainDropsControlCharacters(t *testing.T) {
	if got := plain("PC\x1b[31m-1\u202e14\x7f\u009b"); got != "PC[31m-114" {
		t.Errorf("got %q", got)
	}
}
