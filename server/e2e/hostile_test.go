package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// hostile is a server with valid keys that follows the protocol only as far as it likes. The real
// service is enrolled at it.
type hostile struct {
	t        *testing.T
	identity ed25519.PrivateKey
	key      api.EnrolmentKey
	welcome  link.Welcome

	mu       sync.Mutex
	device   api.EnrolRequest
	conn     *link.Conn
	messages []link.Message
	dialled  map[string]net.Conn // by token
	dials    int
}

func startHostile(t *testing.T) *hostile {
	t.Helper()
	_, identity, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hostile"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	caDER, err := x509.CreateCertificate(crand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, _ := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafDER, err := x509.CreateCertificate(crand.Reader, leaf, ca, leafKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t, identity: identity, dialled: map[string]net.Conn{}}
	cert := tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: leafKey}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{link.ALPN, "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/device/enrol", h.enrol)
	mux.HandleFunc("GET "+link.Path, h.link)
	mux.HandleFunc("GET "+link.ChannelPath, h.channel)
	// net/http hangs up on protocols that it does not know; behind this listener it sees no TLS.
	srv := &http.Server{Handler: mux, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, tlsKey{}, c.(plain).Conn)
	}}
	go srv.Serve(listener{l})
	t.Cleanup(func() { srv.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	sum := sha256.Sum256(caDER)
	h.key = api.EnrolmentKey{URL: "https://localhost:" + port, Identity: identity.Public().(ed25519.PublicKey), CA: sum[:], TLS: api.TLSPinned, ID: "k1", Secret: bytes.Repeat([]byte{7}, 32)}
	h.welcome = link.Welcome{Epoch: 1, Token: "none", Time: time.Now().UnixMicro(), TokenExpires: time.Now().Add(24 * time.Hour).UnixMicro(), Name: "PC-114", Organization: "Studio Verdi", Provider: "Rossi IT", SupportPhone: "051 123 4567"}
	return h
}

func (h *hostile) enrol(w http.ResponseWriter, r *http.Request) {
	var req api.EnrolRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	h.mu.Lock()
	h.device = req
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(api.EnrolResponse{Device: req.Device, Name: "PC-114", Organization: "Studio Verdi", Server: link.ServerID(h.key.Identity)})
}

type tlsKey struct{}

// plain hides from net/http that a connection is TLS.
type plain struct{ net.Conn }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return plain{c}, err
}

func upgrade(w http.ResponseWriter) (net.Conn, error) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", link.Upgrade)
	return &buffered{conn, rw.Reader}, rw.Flush()
}

// buffered reads what HTTP has already read ahead first.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func (h *hostile) link(w http.ResponseWriter, r *http.Request) {
	binding, err := link.Binding(r.Context().Value(tlsKey{}).(*tls.Conn).ConnectionState())
	if err != nil {
		return
	}
	conn, err := upgrade(w)
	if err != nil {
		return
	}
	defer conn.Close()
	c, _, err := link.Accept(conn, h.identity, binding, func(string) (ed25519.PublicKey, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.device.LinkKey, nil
	})
	if err != nil {
		return
	}
	if err := c.Write(link.TypeWelcome, h.welcome); err != nil {
		return
	}
	h.mu.Lock()
	h.conn = c
	h.mu.Unlock()
	for {
		m, err := c.Read()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				h.t.Logf("the link ends: %v", err)
			}
			h.mu.Lock()
			if h.conn == c {
				h.conn = nil
			}
			h.mu.Unlock()
			return
		}
		if m.Type == link.TypePing {
			c.Write(link.TypePong, nil)
			continue
		}
		h.mu.Lock()
		h.messages = append(h.messages, m)
		h.mu.Unlock()
	}
}

func (h *hostile) channel(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), link.ChannelScheme+" ")
	conn, err := upgrade(w)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.dials++
	h.dialled[token] = conn
	h.mu.Unlock()
}

// send writes a message to the device.
func (h *hostile) send(typ string, body any) {
	h.t.Helper()
	var c *link.Conn
	eventually(h.t, "a link to send "+typ+" over", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		c = h.conn
		return c != nil
	})
	if err := c.Write(typ, body); err != nil {
		h.t.Fatal(err)
	}
}

// heard waits for a message of the device of which ok is true.
func heard[T any](h *hostile, typ string, ok func(T) bool) T {
	h.t.Helper()
	var found T
	eventually(h.t, "the device says "+typ, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, m := range h.messages {
			var v T
			if m.Type == typ && m.Decode(&v) == nil && ok(v) {
				found = v
				return true
			}
		}
		return false
	})
	return found
}

// ask asks as a technician and waits until the person has the question.
func (h *hostile) ask(account string, scopes ...grant.Scope) string {
	h.t.Helper()
	session := api.NewID(time.Now())
	h.send(link.TypeAsk, link.Ask{Session: session, Account: account, Name: "Anna Bianchi", Organization: "Rossi IT",
		Ticket: "0190a000-0000-7000-8000-000000000001", TicketNumber: 1042, TicketTitle: "Printer", Scopes: scopes})
	return session
}

// offer makes an offer with fresh channel and token.
func (h *hostile) offer(session, grantID, account string, kind grant.Kind, control bool) link.Offer {
	token := make([]byte, 32)
	crand.Read(token)
	return link.Offer{Channel: api.NewID(time.Now()), Token: fmt.Sprintf("%x", token), Session: session, Ticket: "0190a000-0000-7000-8000-000000000001",
		Grant: grantID, Account: account, Name: "Anna Bianchi", Kind: kind, Control: control, Target: "127.0.0.1:22"}
}

// refused sends an offer and checks that nothing is opened, and with which code.
func (h *hostile) refused(name string, o link.Offer, codes ...string) {
	h.t.Helper()
	h.mu.Lock()
	dials, heardBefore := h.dials, len(h.messages)
	h.mu.Unlock()
	sessions := processes("traybell-session")
	h.send(link.TypeOffer, o)
	var r link.OfferRefused
	eventually(h.t, name+": "+string(o.Kind)+" is refused", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, m := range h.messages[heardBefore:] {
			var v link.OfferRefused
			if m.Type == link.TypeOfferRefused && m.Decode(&v) == nil && v.Channel == o.Channel {
				r = v
				return true
			}
		}
		return false
	})
	ok := false
	for _, c := range codes {
		ok = ok || r.Code == c
	}
	if !ok || r.Text == "" {
		h.t.Errorf("%s: %s refused with %q (%q), want one of %v", name, o.Kind, r.Code, r.Text, codes)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dials != dials {
		h.t.Errorf("%s: the device has dialled a channel for a refused %s", name, o.Kind)
	}
	if now := processes("traybell-session"); now > sessions {
		h.t.Errorf("%s: a process was started for a refused %s", name, o.Kind)
	}
}

// passes sends an offer and returns the channel that the device dials: the twin of refused.
func (h *hostile) passes(name string, o link.Offer) net.Conn {
	h.t.Helper()
	h.send(link.TypeOffer, o)
	var conn net.Conn
	eventually(h.t, name+": the device dials "+string(o.Kind), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, m := range h.messages {
			var v link.OfferRefused
			if m.Type == link.TypeOfferRefused && m.Decode(&v) == nil && v.Channel == o.Channel {
				h.t.Fatalf("%s: %s was refused: %s %s", name, o.Kind, v.Code, v.Text)
			}
		}
		conn = h.dialled[o.Token]
		return conn != nil
	})
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

// processes counts the running programs of a name, those of this checkout only.
func processes(name string) int {
	path, _ := filepath.Abs(filepath.Join("../../bin", name))
	out, _ := exec.Command("pgrep", "-c", "-f", "^"+path+"( |$)").Output()
	n, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	return n
}

// allow answers the question of a session as the employee does on a text console.
func (s *desktop) allow(session string, args ...string) {
	s.t.Helper()
	var last error
	eventually(s.t, "the employee allows "+session, func() bool {
		_, err := s.try(program(s.t, "traybell-agent"), append([]string{"allow", session}, args...)...)
		last = err
		return err == nil
	})
	_ = last
}

func TestHostileServerGetsNothing(t *testing.T) {
	needRoot(t)
	need(t, "pgrep")
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRAYBELL_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("seed: TRAYBELL_TEST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))

	dir := folder(t)
	h := startHostile(t)
	state := filepath.Join(dir, "agent")
	call(t, program(t, "traybell-agent"), []string{"enrol", "-", "--state", state}, stdin(strings.NewReader(h.key.String()+"\n")))
	d := &device{t: t, state: state}
	d.up()
	d.ready()
	lucia := signIn(t, osUser(t, "tb-e2e-lucia"), d, dir)
	me := "0190a000-0000-7000-8000-0000000000aa"
	heard(h, link.TypeFacts, func(f link.Facts) bool { return len(f.Users) > 0 })

	type attempt struct {
		kind    grant.Kind
		control bool
	}
	all := []attempt{{grant.KindDesktop, false}, {grant.KindDesktop, true}, {grant.KindTerminal, false}, {grant.KindFiles, false}, {grant.KindSSH, false}, {grant.KindForward, false}}
	every := func(name string, grantID, session, account string, codes ...string) {
		t.Helper()
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, a := range all {
			h.refused(name, h.offer(session, grantID, account, a.kind, a.control), codes...)
		}
	}

	// Without any grant, also with one that the server has made itself and pushes.
	forged := grant.Grant{ID: api.NewID(time.Now()), Device: h.device.Device, As: "tb-e2e-lucia", AsID: "1000", Scopes: []grant.Scope{grant.View, grant.Control, grant.Terminal, grant.Files, grant.Forward},
		Holder: &grant.Holder{Account: me, Name: "Anna Bianchi", Organization: "Rossi IT"}, Session: api.NewID(time.Now()), MadeAt: time.Now().UnixMicro(), Budget: 3600, MadeBy: "tb-e2e-lucia", How: "window"}
	signed, err := grant.Sign(forged, h.identity)
	if err != nil {
		t.Fatal(err)
	}
	strange := grant.Signed{Bytes: append(bytes.TrimSuffix(signed.Bytes, []byte("}")), []byte(`,"silent":true}`)...), Signature: signed.Signature}
	every("no grant", "", forged.Session, me, string(grant.NoGrant), string(grant.Malformed))
	for _, typ := range []string{link.TypeGrant, link.TypeAskState, link.TypeWelcome} {
		for _, s := range []grant.Signed{signed, strange} {
			h.send(typ, link.AskState{Session: forged.Session, State: link.AskAllowed, Grant: &s})
			h.send(typ, link.GrantMade{Grant: s})
		}
	}
	every("forged", forged.ID, forged.Session, me, string(grant.NoGrant), string(grant.Forged))

	// A question that is only shown opens nothing.
	first := h.ask(me, grant.View, grant.Control, grant.Terminal)
	heard(h, link.TypeAskState, func(a link.AskState) bool { return a.Session == first && a.State == link.AskShown })
	every("only asked", api.NewID(time.Now()), first, me, string(grant.NoGrant))

	// The twin: with the employee's yes the same offers pass.
	lucia.allow(first)
	yes := heard(h, link.TypeAskState, func(a link.AskState) bool { return a.Session == first && a.State == link.AskAllowed && a.Grant != nil })
	g, err := grant.Verify(*yes.Grant, h.device.GrantKey)
	if err != nil {
		t.Fatal(err)
	}
	if g.As != "tb-e2e-lucia" || g.Holder == nil || g.Holder.Account != me || g.Session != first {
		t.Errorf("the grant is %+v", g)
	}
	screen := h.passes("granted", h.offer(first, g.ID, me, grant.KindDesktop, true))
	greeting := make([]byte, 12)
	screen.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(screen, greeting); err != nil || string(greeting) != "RFB 003.008\n" {
		t.Errorf("the desktop says %q (%v)", greeting, err)
	}
	rfb(t, screen)
	pointer(screen, 333, 222, 0)
	eventually(t, "the granted technician moves the pointer", func() bool { return strings.Contains(lucia.call("xdotool", "getmouselocation"), "x:333 y:222") })
	terminal := h.passes("granted", h.offer(first, g.ID, me, grant.KindTerminal, false))
	if out := run(t, terminal, "id -un; echo end-of''-answer"); !strings.Contains(out, "tb-e2e-lucia") {
		t.Errorf("the terminal says %q", out)
	}

	// With that grant in hand: widened, another holder, another session, another device's, replayed.
	h.refused("widened", h.offer(first, g.ID, me, grant.KindFiles, false), string(grant.Scopeless), "not_available")
	h.refused("widened", h.offer(first, g.ID, me, grant.KindForward, false), string(grant.Scopeless), "not_available")
	h.refused("unknown kind", h.offer(first, g.ID, me, "microphone", false), string(grant.Scopeless), "not_available")
	h.refused("other holder", h.offer(first, g.ID, "0190a000-0000-7000-8000-0000000000bb", grant.KindDesktop, false), string(grant.OtherHolder))
	h.refused("other session", h.offer(api.NewID(time.Now()), g.ID, me, grant.KindDesktop, false), string(grant.OtherSession))
	h.refused("other device", h.offer(first, api.NewID(time.Now()), me, grant.KindDesktop, false), string(grant.NoGrant))
	again := h.offer(first, g.ID, me, grant.KindDesktop, false)
	h.passes("first use", again)
	h.refused("replayed", again, string(grant.Replayed))

	// A technician with control and terminal asks for more and tries to answer from the terminal: typed
	// input is dropped while the question is open, so that the try must have been prepared.
	run(t, terminal, "(sleep 2; for i in 1 2 3 4; do TRAYBELL_SOCKET="+d.socket()+" "+program(t, "traybell-agent")+" allow; sleep 1; done) >/dev/null 2>&1 & echo end-of''-answer")
	second := h.ask("0190a000-0000-7000-8000-0000000000bb", grant.View)
	heard(h, link.TypeAskState, func(a link.AskState) bool { return a.Session == second && a.State == link.AskShown })
	eventually(t, "the try from the terminal is on the ledger", func() bool { return ledger(t, state)["from_session"] > 0 })
	g2 := lucia.geometry(lucia.waitWindow("Permission for remote help"))
	for range 2 { // press Allow, again and again for longer than its first second
		pointer(screen, g2.Max.X-80, g2.Max.Y-36, 0)
		pointer(screen, g2.Max.X-80, g2.Max.Y-36, 1)
		pointer(screen, g2.Max.X-80, g2.Max.Y-36, 0)
		run2(terminal, "") // takes five seconds without an answer
		if !strings.Contains(lucia.call("xdotool", "getmouselocation"), "x:333 y:222") {
			t.Error("input was injected while a question was open")
		}
	}
	typed := run2(terminal, "echo end-of''-answer")
	if strings.Contains(typed, "end-of-answer") {
		t.Errorf("the terminal takes input while a question is open: %q", typed)
	}
	h.mu.Lock()
	for _, m := range h.messages {
		var a link.AskState
		if m.Type == link.TypeAskState && m.Decode(&a) == nil && a.Session == second && a.State == link.AskAllowed {
			t.Error("a technician has answered a question from the terminal")
		}
	}
	h.mu.Unlock()
	if _, err := lucia.try(program(t, "traybell-agent"), "refuse", second); err != nil {
		t.Error(err)
	}
	heard(h, link.TypeAskState, func(a link.AskState) bool { return a.Session == second && a.State == link.AskRefused })

	// Revoked: what is open closes within two seconds, and nothing opens again.
	began := time.Now()
	lucia.call(program(t, "traybell-agent"), "end")
	for _, c := range []net.Conn{screen, terminal} {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("an open channel does not close")
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("ending took %v, want at most 2 s and the command's own time", took)
	} else {
		t.Logf("open channels closed after %v", took)
	}
	every("revoked", g.ID, first, me, string(grant.Revoked), string(grant.NoGrant))
	eventually(t, "no session program is left", func() bool { return processes("traybell-session") == 0 })

	// View only, for an hour: control stays refused; and when the hour is spent, everything.
	third := h.ask(me, grant.View, grant.Control)
	heard(h, link.TypeAskState, func(a link.AskState) bool { return a.Session == third && a.State == link.AskShown })
	lucia.allow(third, "--scopes", "view", "--for", "1")
	yes = heard(h, link.TypeAskState, func(a link.AskState) bool { return a.Session == third && a.State == link.AskAllowed && a.Grant != nil })
	hour, err := grant.Verify(*yes.Grant, h.device.GrantKey)
	if err != nil {
		t.Fatal(err)
	}
	if hour.Has(grant.Control) || hour.Budget != 3600 {
		t.Errorf("view only for an hour became %+v", hour)
	}
	h.refused("view only", h.offer(third, hour.ID, me, grant.KindDesktop, true), string(grant.Scopeless))
	h.passes("view only", h.offer(third, hour.ID, me, grant.KindDesktop, false))
	d.stop(syscall.SIGTERM)
	sqlite(t, filepath.Join(state, "agent.db"), func(db *sql.DB) {
		if _, err := db.Exec(`update permission set spent = 3600 where id = $1`, hour.ID); err != nil {
			t.Fatal(err)
		}
	})
	d.up()
	d.ready()
	every("expired", hour.ID, third, me, string(grant.Expired), string(grant.Revoked))

	// The ledger has it all.
	codes := ledger(t, state)
	t.Logf("refusals on the ledger: %v", codes)
	for _, c := range []string{string(grant.NoGrant), string(grant.Scopeless), string(grant.OtherHolder), string(grant.OtherSession), string(grant.Replayed), "from_session"} {
		if codes[c] == 0 {
			t.Errorf("the ledger does not have %s", c)
		}
	}
}

// ledger counts the codes on the device's own record.
func ledger(t *testing.T, state string) map[string]int {
	t.Helper()
	codes := map[string]int{}
	sqlite(t, filepath.Join(state, "agent.db"), func(db *sql.DB) {
		rows, err := db.Query(`select body from ledger`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var body []byte
			var e struct{ Event, Code string }
			if err := rows.Scan(&body); err != nil || json.Unmarshal(body, &e) != nil {
				t.Fatal(err, string(body))
			}
			if e.Code != "" {
				codes[e.Code]++
			}
		}
	})
	return codes
}

// sqlite opens a database of one of the programs.
func sqlite(t *testing.T, path string, f func(*sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f(db)
}

// rfb runs a viewer's side of the opening of RFB 3.8 (RFC 6143 §7.1–7.3), after the server's version.
func rfb(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	defer c.SetDeadline(time.Time{})
	fail := func(err error) {
		if err != nil {
			t.Fatalf("RFB: %v", err)
		}
	}
	_, err := c.Write([]byte("RFB 003.008\n"))
	fail(err)
	var n [1]byte
	_, err = io.ReadFull(c, n[:])
	fail(err)
	_, err = io.ReadFull(c, make([]byte, n[0]))
	fail(err)
	_, err = c.Write([]byte{1}) // None: the channel is authorised already
	fail(err)
	_, err = io.ReadFull(c, make([]byte, 4))
	fail(err)
	_, err = c.Write([]byte{1}) // shared
	fail(err)
	var hello [24]byte
	_, err = io.ReadFull(c, hello[:])
	fail(err)
	_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(hello[20:])))
	fail(err)
}

// pointer sends one PointerEvent (RFC 6143 §7.5.5).
func pointer(c net.Conn, x, y int, buttons byte) {
	b := []byte{5, buttons}
	b = binary.BigEndian.AppendUint16(b, uint16(x))
	c.Write(binary.BigEndian.AppendUint16(b, uint16(y)))
}

// run types a line into a terminal channel and returns what it prints up to "end-of-answer".
func run(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	out := run2(c, line)
	if !strings.Contains(out, "end-of-answer\r\n") {
		t.Errorf("the terminal does not answer: %q", out)
	}
	return out
}

func run2(c net.Conn, line string) string {
	link.WriteTerminal(c, link.TerminalSize, []byte{0, 120, 0, 40})
	link.WriteTerminal(c, link.TerminalData, []byte(line+"\n"))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	defer c.SetReadDeadline(time.Time{})
	var b strings.Builder
	buf := make([]byte, link.MaxTerminalFrame)
	for {
		typ, p, err := link.ReadTerminal(c, buf)
		if err != nil {
			return b.String()
		}
		if typ == link.TerminalData {
			b.Write(p)
		}
		if strings.Contains(b.String(), "end-of-answer\r\n") {
			return b.String()
		}
	}
}

// TestLinkKeySignsNoGrant dresses the bytes of a grant up as the server's nonce and checks that what
// the device signs is not a grant's signature. Its twin is a signature by the grant key.
func TestLinkKeySignsNoGrant(t *testing.T) {
	pub, key, _ := ed25519.GenerateKey(nil)
	g := grant.Grant{ID: "g", Device: "d", As: "lucia", AsID: "1000", Scopes: []grant.Scope{grant.View}, Holder: &grant.Holder{Account: "a"}, Session: "s", MadeAt: 1, Budget: 60, MadeBy: "lucia", How: "window"}
	signed, err := grant.Sign(g, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := grant.Verify(signed, pub); err != nil {
		t.Fatalf("the twin does not pass: %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	serverPub, serverKey, _ := ed25519.GenerateKey(nil)
	go func() {
		c := link.NewConn(b)
		m, err := c.Read()
		if err != nil {
			return
		}
		var hello link.Hello
		m.Decode(&hello)
		// the whole grant with its context as the nonce, properly signed by the server
		c.Write(link.TypeHello, link.Hello{Capability: 1, Server: link.ServerID(serverPub), Nonce: append([]byte("traybell-grant-1\x00"), signed.Bytes...), Signature: ed25519.Sign(serverKey, []byte("whatever"))})
	}()
	_, _, _, err = link.Dial(a, link.Device{ID: "d", Key: key, Identity: serverPub}, link.NoBinding(), link.Proof{})
	if !errors.Is(err, link.ErrSignature) {
		t.Errorf("the device answers a nonce made of grant bytes: %v", err)
	}
}
