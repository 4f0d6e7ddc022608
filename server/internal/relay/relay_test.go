package relay

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// clerk is the Desk of these tests: it knows some devices and writes down what happens.
type clerk struct {
	mu     sync.Mutex
	keys   map[string]ed25519.PublicKey
	epoch  int64
	events []string
	upErr  error
	during func(device string) // called inside Up
}

func (c *clerk) note(format string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, fmt.Sprintf(format, a...))
}

func (c *clerk) has(t *testing.T, event string) {
	t.Helper()
	eventually(t, "event "+event, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.Contains(c.events, event)
	})
}

func (c *clerk) LinkKey(_ context.Context, device string) (ed25519.PublicKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch device {
	case "busy":
		return nil, errors.New("disk full")
	case "removed":
		return nil, link.RefusedError{Refused: link.Refused{Code: "removed", Text: "this device was removed"}}
	}
	if k := c.keys[device]; k != nil {
		return k, nil
	}
	return nil, ErrUnknownDevice
}

func (c *clerk) Up(_ context.Context, p link.Peer, addr string) (link.Welcome, error) {
	c.mu.Lock()
	c.epoch++
	epoch, err, during := c.epoch, c.upErr, c.during
	c.mu.Unlock()
	if during != nil {
		during(p.Device)
	}
	if err != nil {
		return link.Welcome{}, err
	}
	c.note("up %s %d", p.Device, epoch)
	return link.Welcome{Epoch: epoch, Name: "name of " + p.Device}, nil
}

func (c *clerk) Message(_ context.Context, device string, m link.Message) error {
	c.note("message %s %s", device, m.Type)
	if m.Type == "panic" {
		panic("a device's message")
	}
	return nil
}

func (c *clerk) Down(_ context.Context, device string, epoch int64) {
	c.note("down %s %d", device, epoch)
}

// bench is a whole relay behind TLS on loopback.
type bench struct {
	t        *testing.T
	relay    *Relay
	clerk    *clerk
	identity ed25519.PrivateKey
	addr     string
	pool     *x509.CertPool
	near     chan net.Conn // technicians' ends: GET /near
}

func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	_, identity, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{keys: map[string]ed25519.PublicKey{}}
	o := Options{Identity: identity, Desk: c}
	if change != nil {
		change(&o)
	}
	b := &bench{t: t, relay: New(o), clerk: c, identity: identity, pool: x509.NewCertPool(), near: make(chan net.Conn, 1)}
	cert := certificate(t, b.pool)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	devices, others := Split(l, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{link.ALPN, "h2", "http/1.1"}}, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+link.Path, b.relay.ServeLink)
	mux.HandleFunc("GET "+link.ChannelPath, b.relay.ServeChannel)
	ds := &http.Server{Handler: mux}
	bs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/near" {
			fmt.Fprint(w, "portal ", r.Proto)
			return
		}
		c, err := Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		b.near <- c
	})}
	var wg sync.WaitGroup
	wg.Go(func() { ds.Serve(devices) })
	wg.Go(func() { bs.Serve(others) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ds.Close()
		bs.Close()
		if err := b.relay.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		wg.Wait()
	})
	return b
}

func certificate(t *testing.T, pool *x509.CertPool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (b *bench) tls() *tls.Conn {
	b.t.Helper()
	c, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: b.pool, NextProtos: []string{link.ALPN}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// agent is the device's side of a link.
type agent struct {
	*link.Conn
	b       *bench
	raw     *tls.Conn
	device  link.Device
	welcome link.Welcome
}

func (b *bench) enrol(id string) link.Device {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.clerk.mu.Lock()
	b.clerk.keys[id] = pub
	b.clerk.mu.Unlock()
	return link.Device{ID: id, Key: key, Identity: b.identity.Public().(ed25519.PublicKey)}
}

func (b *bench) dial(d link.Device) (*agent, error) {
	raw := b.tls()
	conn, err := link.RequestUpgrade(raw, b.addr, link.Path, nil)
	if err != nil {
		return nil, err
	}
	binding, err := link.Binding(raw.ConnectionState())
	if err != nil {
		return nil, err
	}
	c, w, _, err := link.Dial(conn, d, binding, link.Proof{Facts: link.Facts{Hostname: d.ID}})
	if err != nil {
		return nil, err
	}
	return &agent{Conn: c, b: b, raw: raw, device: d, welcome: w}, nil
}

func (b *bench) mustDial(d link.Device) *agent {
	b.t.Helper()
	a, err := b.dial(d)
	if err != nil {
		b.t.Fatalf("dial: %v", err)
	}
	eventually(b.t, "device is online", func() bool { return b.relay.Online(d.ID) })
	return a
}

func (a *agent) next(typ string, v any) {
	a.b.t.Helper()
	m, err := a.Read()
	if err != nil {
		a.b.t.Fatalf("wait for %s: %v", typ, err)
	}
	if m.Type != typ {
		a.b.t.Fatalf("got message %s, want %s", m.Type, typ)
	}
	if v != nil {
		if err := m.Decode(v); err != nil {
			a.b.t.Fatal(err)
		}
	}
}

// channel dials a channel with a token.
func (b *bench) channel(token string) (net.Conn, error) {
	return link.RequestUpgrade(b.tls(), b.addr, link.ChannelPath, http.Header{"Authorization": {link.ChannelScheme + " " + token}})
}

type opened struct {
	conn net.Conn
	err  error
}

// open calls Open and hands its offer to the agent's side.
func (b *bench) open(a *agent, session string) (link.Offer, <-chan opened) {
	b.t.Helper()
	done := make(chan opened, 1)
	go func() {
		c, err := b.relay.Open(context.Background(), a.device.ID, link.Offer{Session: session, Kind: grant.KindDesktop})
		done <- opened{c, err}
	}()
	var o link.Offer
	a.next(link.TypeOffer, &o)
	return o, done
}

// opened opens a channel to its end.
func (b *bench) opened(a *agent, session string) (server, device net.Conn) {
	b.t.Helper()
	o, done := b.open(a, session)
	device, err := b.channel(o.Token)
	if err != nil {
		b.t.Fatalf("dial channel: %v", err)
	}
	if err := a.Write(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel}); err != nil {
		b.t.Fatal(err)
	}
	r := <-done
	if r.err != nil {
		b.t.Fatalf("open: %v", r.err)
	}
	b.t.Cleanup(func() { r.conn.Close() })
	return r.conn, device
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func wantRefused(t *testing.T, err error, code string) {
	t.Helper()
	r, ok := errors.AsType[link.RefusedError](err)
	if !ok || r.Code != code {
		t.Errorf("got %v, want the link refused with %s", err, code)
	}
}

func TestLinkComesUpAnswersPingsAndGoesDown(t *testing.T) {
	b := newBench(t, nil)
	d := b.enrol("d1")
	if b.relay.Online("d1") {
		t.Error("a device without a link is online")
	}
	a := b.mustDial(d)
	if a.welcome.Name != "name of d1" || a.welcome.Epoch != 1 {
		t.Errorf("welcome is %+v", a.welcome)
	}
	a.Write(link.TypePing, nil)
	a.next(link.TypePong, nil)
	a.Write(link.TypeFacts, link.Facts{Hostname: "x"})
	b.clerk.has(t, "message d1 facts")
	if err := b.relay.Send("d1", link.TypeTicket, link.TicketMoved{ID: "t", Number: 7}); err != nil {
		t.Errorf("send: %v", err)
	}
	var moved link.TicketMoved
	a.next(link.TypeTicket, &moved)
	if moved.Number != 7 {
		t.Errorf("got ticket %d, want 7", moved.Number)
	}
	a.raw.Close()
	b.clerk.has(t, "down d1 1")
	eventually(t, "device is offline", func() bool { return !b.relay.Online("d1") && b.relay.Links() == 0 })
	if err := b.relay.Send("d1", link.TypeTicket, nil); !errors.Is(err, ErrOffline) {
		t.Errorf("send to a device without a link: %v", err)
	}
}

func TestLinkNeedsItsKeyItsServerAndItsConnection(t *testing.T) {
	b := newBench(t, nil)
	d := b.enrol("d1")
	_, other, _ := ed25519.GenerateKey(nil)

	wrong := d
	wrong.Key = other
	_, err := b.dial(wrong)
	wantRefused(t, err, "bad_signature")

	unknown := d
	unknown.ID = "nobody"
	_, err = b.dial(unknown)
	wantRefused(t, err, "unknown_device")

	unknown.ID = "busy" // the server can't tell: the device must not think that it was removed
	_, err = b.dial(unknown)
	wantRefused(t, err, "busy")

	unknown.ID = "removed"
	_, err = b.dial(unknown)
	wantRefused(t, err, "removed")

	impostor := d
	impostor.Identity = other.Public().(ed25519.PublicKey)
	if _, err = b.dial(impostor); !errors.Is(err, link.ErrSignature) {
		t.Errorf("device takes another server: %v", err)
	}

	// someone in the middle passes everything on, but its TLS connections are two
	raw := b.tls()
	conn, err := link.RequestUpgrade(raw, b.addr, link.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, _ := link.Binding(b.tls().ConnectionState())
	if _, _, _, err = link.Dial(conn, d, elsewhere, link.Proof{}); !errors.Is(err, link.ErrSignature) {
		t.Errorf("link over another TLS connection: %v", err)
	}
	if b.relay.Online("d1") {
		t.Error("the device is online without a proof")
	}

	// the twin: with all of it right, it comes up
	b.mustDial(d)
}

func TestLinkWithoutTLSNeedsTheProxyOption(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		t.Run(fmt.Sprintf("proxy=%v", proxy), func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Proxy = proxy })
			s := http.Server{Handler: http.HandlerFunc(b.relay.ServeLink)}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go s.Serve(l)
			defer s.Close()
			raw, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			raw.SetDeadline(time.Now().Add(10 * time.Second))
			conn, err := link.RequestUpgrade(raw, "x", link.Path, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _, _, err = link.Dial(conn, b.enrol("d1"), link.NoBinding(), link.Proof{})
			if got := err == nil; got != proxy {
				t.Errorf("link without TLS: %v", err)
			}
		})
	}
}

func TestRequestsWithoutAnUpgradeAreAnswered(t *testing.T) {
	b := newBench(t, nil)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.pool, NextProtos: []string{link.ALPN}}}}
	defer client.CloseIdleConnections()
	for _, path := range []string{link.Path, link.ChannelPath} {
		resp, err := client.Get("https://" + b.addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("%s: got %d, want 426", path, resp.StatusCode)
		}
	}
}

func TestBrowsersReachTheOtherListener(t *testing.T) {
	b := newBench(t, nil)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + b.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "portal HTTP/2.0" {
		t.Errorf("got %q", body)
	}
}

// mute is a client's connection on which nothing is heard.
type mute struct {
	net.Conn
	wrote chan struct{}
	once  sync.Once
	over  <-chan struct{}
}

func (m *mute) Write(b []byte) (int, error) {
	defer m.once.Do(func() { close(m.wrote) })
	return m.Conn.Write(b)
}

func (m *mute) Read([]byte) (int, error) {
	<-m.over
	return 0, io.EOF
}

func TestPeersThatStallTakeNobodysTurn(t *testing.T) {
	b := newBench(t, nil)
	for range 200 { // more than there are turns
		silent, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		stalled, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer stalled.Close()
		m := &mute{Conn: stalled, wrote: make(chan struct{}), over: t.Context().Done()}
		go tls.Client(m, &tls.Config{RootCAs: b.pool, ServerName: "127.0.0.1"}).Handshake()
		<-m.wrote // its hello is on the way, and nothing will follow
	}
	began := time.Now()
	b.mustDial(b.enrol("d1"))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("an honest device waited %v", took)
	}
}

func TestSecondLinkReplacesTheFirst(t *testing.T) {
	b := newBench(t, nil)
	d := b.enrol("d1")
	first := b.mustDial(d)
	second, err := b.dial(d)
	if err != nil {
		t.Fatal(err)
	}
	var refused link.Refused
	first.next(link.TypeRefused, &refused)
	if refused.Code != "replaced" {
		t.Errorf("first link got %s, want replaced", refused.Code)
	}
	if _, err := first.Read(); err == nil {
		t.Error("the first link is still open")
	}
	if second.welcome.Epoch <= first.welcome.Epoch {
		t.Errorf("epoch went from %d to %d", first.welcome.Epoch, second.welcome.Epoch)
	}
	eventually(t, "online", func() bool { return b.relay.Online("d1") })
	b.clerk.mu.Lock()
	got := strings.Join(b.clerk.events, ", ")
	b.clerk.mu.Unlock()
	if want := "up d1 1, down d1 1, up d1 2"; got != want {
		t.Errorf("desk saw %q, want %q", got, want)
	}
	if b.relay.Links() != 1 {
		t.Errorf("%d links, want 1", b.relay.Links())
	}
}

func TestManyLinksOfOneDeviceLeaveOne(t *testing.T) {
	b := newBench(t, nil)
	d := b.enrol("d1")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a, err := b.dial(d)
			if err != nil {
				return // replaced before it was welcomed
			}
			for err == nil {
				var m link.Message
				a.raw.SetDeadline(time.Now().Add(time.Second))
				m, err = a.Read()
				if err == nil && m.Type == link.TypeRefused {
					return
				}
			}
		})
	}
	eventually(t, "one link", func() bool { return b.relay.Links() == 1 && b.relay.Online("d1") })
	wg.Wait()
	b.clerk.mu.Lock()
	defer b.clerk.mu.Unlock()
	for i, e := range b.clerk.events { // up and down take turns
		if want := []string{"up", "down"}[i%2]; !strings.HasPrefix(e, want+" ") {
			t.Errorf("event %d is %q, want %s; all: %q", i, e, want, b.clerk.events)
			break
		}
	}
}

func TestSendBetweenUpAndWelcomeFollowsTheWelcome(t *testing.T) {
	b := newBench(t, nil)
	b.clerk.during = func(device string) {
		if err := b.relay.Send(device, link.TypeEndGrant, link.EndGrant{ID: "g1"}); err != nil {
			t.Errorf("send while the link comes up: %v", err)
		}
		if b.relay.Online(device) {
			t.Error("online before the welcome")
		}
	}
	a := b.mustDial(b.enrol("d1"))
	var end link.EndGrant
	a.next(link.TypeEndGrant, &end)
	if end.ID != "g1" {
		t.Errorf("got grant %q", end.ID)
	}
}

func TestRefusedUpLeavesNoLink(t *testing.T) {
	b := newBench(t, nil)
	d := b.enrol("d1")
	b.clerk.upErr = errors.New("disk full")
	_, err := b.dial(d)
	wantRefused(t, err, "busy")
	b.clerk.mu.Lock()
	b.clerk.upErr = link.RefusedError{Refused: link.Refused{Code: "too_old", Text: "update it"}}
	b.clerk.mu.Unlock()
	_, err = b.dial(d)
	wantRefused(t, err, "too_old")
	eventually(t, "no link", func() bool { return b.relay.Links() == 0 })
	b.clerk.mu.Lock()
	b.clerk.upErr = nil
	b.clerk.mu.Unlock()
	b.mustDial(d)
}

func TestSilentDeviceIsDropped(t *testing.T) {
	b := newBench(t, nil)
	b.relay.times.silence = time.Second
	a := b.mustDial(b.enrol("d1"))
	b.clerk.has(t, "down d1 1")
	if _, err := a.Read(); err == nil {
		t.Error("the link is still open")
	}
}

func TestHandshakeHasATimeLimitAndABound(t *testing.T) {
	b := newBench(t, func(o *Options) { o.MaxHandshakes = 1 })
	b.relay.times.handshake = 2 * time.Second
	silent := b.tls()
	if _, err := link.RequestUpgrade(silent, b.addr, link.Path, nil); err != nil {
		t.Fatal(err)
	}
	b.mustDial(b.enrol("d1")) // waits for the only place, which the silent one loses
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection is open")
	}
}

func TestPanicOfOneMessageEndsNothing(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	a.Write("panic", nil)
	a.Write(link.TypePing, nil)
	a.next(link.TypePong, nil)
}

func TestChannelCarriesBytesBothWays(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	server, device := b.opened(a, "s1")
	if n := b.relay.Channels("d1", "s1"); n != 1 {
		t.Errorf("%d channels, want 1", n)
	}
	go device.Write([]byte("pixels"))
	buf := make([]byte, 6)
	if _, err := io.ReadFull(server, buf); err != nil || string(buf) != "pixels" {
		t.Errorf("got %q, %v", buf, err)
	}
	go server.Write([]byte("keypad"))
	if _, err := io.ReadFull(device, buf); err != nil || string(buf) != "keypad" {
		t.Errorf("got %q, %v", buf, err)
	}
	server.Close()
	if _, err := device.Read(buf); err == nil {
		t.Error("the device's end is open after the server closed it")
	}
	if n := b.relay.Channels("d1", "s1"); n != 0 {
		t.Errorf("%d channels are left", n)
	}
}

func TestChannelUpMayComeFirst(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	o, done := b.open(a, "s1")
	a.Write(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
	b.clerk.has(t, "message d1 channel_up")
	if _, err := b.channel(o.Token); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.err != nil {
		t.Errorf("open: %v", r.err)
	} else {
		r.conn.Close()
	}
}

func wantUnauthorized(t *testing.T, err error) {
	t.Helper()
	if u, ok := errors.AsType[*link.UpgradeError](err); !ok || u.Status != http.StatusUnauthorized {
		t.Errorf("got %v, want 401", err)
	}
}

func TestTokenOpensOneChannelOnce(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	_, err := b.channel("made up")
	wantUnauthorized(t, err)
	_, err = b.channel("")
	wantUnauthorized(t, err)

	o, done := b.open(a, "s1")
	if len(o.Token) != 43 {
		t.Errorf("token %q is not of 32 bytes", o.Token)
	}
	if _, err := b.channel(o.Token); err != nil {
		t.Fatalf("first use: %v", err)
	}
	_, err = b.channel(o.Token)
	wantUnauthorized(t, err)
	a.Write(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
	if r := <-done; r.err != nil {
		t.Errorf("open: %v", r.err)
	} else {
		r.conn.Close()
	}
	_, err = b.channel(o.Token)
	wantUnauthorized(t, err)
}

func TestTokenExpires(t *testing.T) {
	b := newBench(t, nil)
	b.relay.times.offer = time.Second
	a := b.mustDial(b.enrol("d1"))
	o, done := b.open(a, "s1")
	wantCode(t, (<-done).err, CodeTimeout)
	_, err := b.channel(o.Token)
	wantUnauthorized(t, err)

	// dialled in time, but never up: closed
	o, done = b.open(a, "s1")
	conn, err := b.channel(o.Token)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, (<-done).err, CodeTimeout)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the channel is open")
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	r, ok := errors.AsType[*RefusedError](err)
	if !ok || r.Code != code {
		t.Errorf("got %v, want refused with %s", err, code)
	}
}

func TestDeviceRefusesAnOffer(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	o, done := b.open(a, "s1")
	a.Write(link.TypeOfferRefused, link.OfferRefused{Channel: o.Channel, Code: string(grant.Expired), Text: "the permission is over"})
	wantCode(t, (<-done).err, string(grant.Expired))
	_, err := b.channel(o.Token)
	wantUnauthorized(t, err)
	b.opened(a, "s1") // the twin
}

func TestAnswersOfAnotherDeviceCountNothing(t *testing.T) {
	b := newBench(t, nil)
	b.relay.times.offer = 2 * time.Second
	a := b.mustDial(b.enrol("d1"))
	stranger := b.mustDial(b.enrol("d2"))
	o, done := b.open(a, "s1")
	if _, err := b.channel(o.Token); err != nil {
		t.Fatal(err)
	}
	stranger.Write(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
	stranger.Write(link.TypeOfferRefused, link.OfferRefused{Channel: o.Channel, Code: "failed"})
	wantCode(t, (<-done).err, CodeTimeout)
}

func TestOpenNeedsALink(t *testing.T) {
	b := newBench(t, nil)
	if _, err := b.relay.Open(t.Context(), "d1", link.Offer{}); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v, want ErrOffline", err)
	}
	a := b.mustDial(b.enrol("d1"))
	_, done := b.open(a, "s1")
	a.raw.Close()
	if r := <-done; !errors.Is(r.err, ErrOffline) {
		t.Errorf("link lost while opening: got %v, want ErrOffline", r.err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.relay.Open(ctx, "d1", link.Offer{Session: "s1"})
		done <- err
	}()
	var o link.Offer
	a.next(link.TypeOffer, &o)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_, err := b.channel(o.Token)
	wantUnauthorized(t, err)
}

func TestDeviceHasABoundOnChannels(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	for range maxChannels {
		b.open(a, "s1")
	}
	_, err := b.relay.Open(t.Context(), "d1", link.Offer{Session: "s1"})
	wantCode(t, err, CodeBusy)
	other := b.mustDial(b.enrol("d2"))
	b.opened(other, "s2") // the twin
	a.raw.Close()         // ends the offers
}

func TestEndSessionClosesItsChannelsOnly(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	s1, d1 := b.opened(a, "s1")
	s2, d2 := b.opened(a, "s2")
	o, opening := b.open(a, "s1")
	// the device does not read: its window is full, so that a goodbye can't be sent
	s1.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	for junk := make([]byte, 1<<20); ; {
		if _, err := s1.Write(junk); err != nil {
			break
		}
	}
	began := time.Now()
	b.relay.EndSession("d1", "s1", "technician")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	wantCode(t, (<-opening).err, CodeEnded)
	_, err := b.channel(o.Token)
	wantUnauthorized(t, err)
	if _, err := io.Copy(io.Discard, d1); err == nil {
		t.Log("the device saw an orderly end") // either way it ended
	}
	var end link.EndSession
	a.next(link.TypeEndSession, &end)
	if end.Session != "s1" || end.Reason != "technician" {
		t.Errorf("the device was told %+v", end)
	}
	// the twin: the other session goes on
	go s2.Write([]byte("x"))
	if _, err := io.ReadFull(d2, make([]byte, 1)); err != nil {
		t.Errorf("other session: %v", err)
	}
}

func TestDropEndsLinkAndChannels(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	_, d := b.opened(a, "s1")
	b.relay.Drop("d1", "removed", "this device was removed")
	var r link.Refused
	a.next(link.TypeRefused, &r)
	if r.Code != "removed" {
		t.Errorf("got code %s", r.Code)
	}
	if _, err := d.Read(make([]byte, 1)); err == nil {
		t.Error("the channel is open")
	}
	b.clerk.has(t, "down d1 1")
}

func TestCloseTellsTheDevicesAndEndsEverything(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	_, d := b.opened(a, "s1")
	_, opening := b.open(a, "s1")
	if err := b.relay.Close(t.Context()); err != nil {
		t.Fatalf("close: %v", err)
	}
	if r := <-opening; r.err == nil {
		t.Error("a channel was opened while the relay closed")
	}
	var r link.Refused
	a.next(link.TypeRefused, &r)
	if r.Code != "busy" {
		t.Errorf("device was told %s, want busy", r.Code)
	}
	if _, err := d.Read(make([]byte, 1)); err == nil {
		t.Error("the channel is open")
	}
	b.clerk.has(t, "down d1 1")
	if _, err := b.relay.Open(t.Context(), "d1", link.Offer{}); err == nil {
		t.Error("a closed relay opens channels")
	}
	if _, err := b.dial(a.device); err == nil {
		t.Error("a closed relay takes links")
	}
}

func pair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestSplicePassesEverythingAndCounts(t *testing.T) {
	tech, a := pair(t)
	b, dev := pair(t)
	type result struct {
		up, down int64
		err      error
	}
	done := make(chan result, 1)
	go func() {
		up, down, err := Splice(context.Background(), a, b)
		done <- result{up, down, err}
	}()
	sent := make([]byte, 3<<20)
	rand.Read(sent)
	go func() {
		tech.Write(sent)
		tech.CloseWrite()
	}()
	got, err := io.ReadAll(dev)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("up: %d bytes, %v", len(got), err)
	}
	// the end of one direction leaves the other one open
	go func() {
		dev.Write(sent[:1<<20])
		dev.Close()
	}()
	got, err = io.ReadAll(tech)
	if err != nil || !bytes.Equal(got, sent[:1<<20]) {
		t.Errorf("down: %d bytes, %v", len(got), err)
	}
	r := <-done
	if r.up != 3<<20 || r.down != 1<<20 || r.err != nil {
		t.Errorf("counted %d up, %d down, %v", r.up, r.down, r.err)
	}
}

func TestSpliceEndsWithItsContext(t *testing.T) {
	_, a := pair(t)
	b, dev := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := Splice(ctx, a, b)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := dev.Read(make([]byte, 1)); err == nil {
		t.Error("the device's side is open")
	}
}

func TestSpliceOverTLSKeepsEveryByteInOrder(t *testing.T) {
	b := newBench(t, nil)
	a := b.mustDial(b.enrol("d1"))
	far, device := b.opened(a, "s1")
	raw, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: b.pool, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	tech, err := link.RequestUpgrade(raw, b.addr, "/near", nil)
	if err != nil {
		t.Fatal(err)
	}
	near := <-b.near
	if below(near) == nil || below(far) == nil {
		t.Error("the records of these connections can't be moved together")
	}
	type result struct {
		up, down int64
		err      error
	}
	done := make(chan result, 1)
	go func() {
		up, down, err := Splice(context.Background(), near, far)
		done <- result{up, down, err}
	}()
	for _, c := range []net.Conn{raw, device} {
		c.SetDeadline(time.Now().Add(60 * time.Second))
	}
	const size = 12 << 20
	sent := map[string][]byte{}
	for _, way := range []string{"up", "down"} {
		sent[way] = make([]byte, size)
		rand.Read(sent[way])
	}
	write := func(c net.Conn, b []byte) {
		for step := 1; len(b) > 0; step = step*7%100_003 + 1 { // keys, lines, pictures
			n := min(len(b), step)
			if _, err := c.Write(b[:n]); err != nil {
				t.Error(err)
				return
			}
			b = b[n:]
		}
	}
	read := func(c net.Conn, way string) {
		got := make([]byte, size)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent[way]) {
			t.Errorf("%s: %v, equal %v", way, err, bytes.Equal(got, sent[way]))
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { write(tech, sent["up"]) })
	wg.Go(func() { write(device, sent["down"]) })
	wg.Go(func() { read(device, "up") })
	wg.Go(func() { read(tech, "down") })
	wg.Wait()
	// what is written just before the end arrives
	device.Write(sent["down"][:100_000])
	device.Close()
	last, err := io.ReadAll(tech)
	if err != nil || !bytes.Equal(last, sent["down"][:100_000]) {
		t.Errorf("the last bytes: %d of them, %v", len(last), err)
	}
	raw.Close()
	if r := <-done; r.up != size || r.down != size+100_000 {
		t.Errorf("counted %d up, %d down, %v", r.up, r.down, r.err)
	}
}

// lone can't end one direction alone, like a WebSocket.
type lone struct{ net.Conn }

func TestSpliceEndsBothWhereOneDirectionCannotEndAlone(t *testing.T) {
	tech, a := net.Pipe()
	b, dev := pair(t)
	done := make(chan error, 1)
	go func() {
		_, _, err := Splice(context.Background(), lone{a}, b)
		done <- err
	}()
	go func() {
		dev.Write([]byte("last words"))
		dev.Close()
	}()
	got, _ := io.ReadAll(tech)
	if string(got) != "last words" {
		t.Errorf("got %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
}
