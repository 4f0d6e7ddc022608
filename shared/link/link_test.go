package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/shared/version"
)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pipe is a connection in memory that gives up after ten seconds.
func pipe(t testing.TB) (a, b net.Conn) {
	a, b = net.Pipe()
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

type accepted struct {
	conn *Conn
	peer Peer
	err  error
}

type scene struct {
	identity ed25519.PrivateKey // the server's
	device   Device
	key      func(string) (ed25519.PublicKey, error)
	deviceB  []byte // the bindings of both sides
	serverB  []byte
}

func newScene(t testing.TB) *scene {
	identity, key := newKey(t), newKey(t)
	return &scene{
		identity: identity,
		device:   Device{ID: "d1", Key: key, Identity: identity.Public().(ed25519.PublicKey)},
		key:      func(string) (ed25519.PublicKey, error) { return key.Public().(ed25519.PublicKey), nil },
		deviceB:  bytes.Repeat([]byte{7}, 32), serverB: bytes.Repeat([]byte{7}, 32),
	}
}

// play runs both sides of the handshake; the server welcomes a device that has proved itself.
func (s *scene) play(t testing.TB) (w Welcome, server accepted, err error) {
	a, b := pipe(t)
	done := make(chan accepted, 1)
	go func() {
		c, p, err := Accept(b, s.identity, s.serverB, s.key)
		if err == nil {
			err = c.Write(TypeWelcome, Welcome{Epoch: 5, Name: "PC-114"})
		} else {
			b.Close()
		}
		done <- accepted{c, p, err}
	}()
	_, w, _, err = Dial(a, s.device, s.deviceB, Proof{Facts: Facts{Hostname: "pc-114"}})
	if err != nil {
		a.Close()
	}
	return w, <-done, err
}

func TestHandshake(t *testing.T) {
	w, server, err := newScene(t).play(t)
	if err != nil || server.err != nil {
		t.Fatalf("device %v, server %v", err, server.err)
	}
	if w.Epoch != 5 || server.peer.Device != "d1" || server.peer.Proof.Facts.Hostname != "pc-114" || server.peer.Capability != version.Capability {
		t.Errorf("welcome %+v, peer %+v", w, server.peer)
	}
}

func TestHandshakeRefusesEveryoneElse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, s *scene)
		device func(error) bool
		server func(error) bool
	}{
		{"another server", func(t *testing.T, s *scene) { s.identity = newKey(t) }, is(ErrSignature), any_},
		{"another device", func(t *testing.T, s *scene) { s.device.Key = newKey(t) }, refused("bad_signature"), is(ErrSignature)},
		{"another connection", func(t *testing.T, s *scene) { s.serverB = bytes.Repeat([]byte{8}, 32) }, is(ErrSignature), any_},
		{"one side bound, the other not", func(t *testing.T, s *scene) { s.serverB = NoBinding() }, is(ErrSignature), any_},
		{"unknown device", func(t *testing.T, s *scene) {
			s.key = func(string) (ed25519.PublicKey, error) { return nil, errors.New("not found") }
		}, refused("unknown_device"), any_},
		{"a server that can't tell", func(t *testing.T, s *scene) {
			s.key = func(string) (ed25519.PublicKey, error) {
				return nil, RefusedError{Refused{Code: "busy", Text: "later"}}
			}
		}, refused("busy"), any_},
		{"a device without a key", func(t *testing.T, s *scene) {
			s.key = func(string) (ed25519.PublicKey, error) { return nil, nil }
		}, refused("bad_signature"), is(ErrSignature)},
		{"no device id", func(t *testing.T, s *scene) { s.device.ID = "" }, any_, is(ErrProtocol)},
		{"a long device id", func(t *testing.T, s *scene) { s.device.ID = strings.Repeat("d", 101) }, any_, is(ErrProtocol)},
		{"a hello that is too long", func(t *testing.T, s *scene) { s.device.ID = strings.Repeat("d", maxHello) }, any_, is(ErrTooLong)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t)
			c.change(t, s)
			_, server, err := s.play(t)
			if err == nil || !c.device(err) {
				t.Errorf("device got %v", err)
			}
			if server.err == nil || !c.server(server.err) {
				t.Errorf("server got %v", server.err)
			}
		})
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
func any_(error) bool                { return true }

func refused(code string) func(error) bool {
	return func(err error) bool {
		r, ok := errors.AsType[RefusedError](err)
		return ok && r.Code == code && r.Text != ""
	}
}

func TestProofOfAnotherHandshakeIsRefused(t *testing.T) {
	s := newScene(t)
	a, b := pipe(t)
	done := make(chan accepted, 1)
	go func() {
		c, p, err := Accept(b, s.identity, s.serverB, s.key)
		done <- accepted{c, p, err}
	}()
	// the device's part by hand, so that its proof can be kept
	nonce := bytes.Repeat([]byte{1}, nonceSize)
	c := NewConn(a)
	say := func(c *Conn, typ string, body any) {
		t.Helper()
		if err := c.Write(typ, body); err != nil {
			t.Fatal(err)
		}
	}
	say(c, TypeHello, Hello{Capability: 1, Device: "d1", Nonce: nonce})
	var h Hello
	if err := c.expect(TypeHello, &h); err != nil {
		t.Fatal(err)
	}
	proof := Proof{Signature: ed25519.Sign(s.device.Key, transcript(roleDevice, h.Server, "d1", nonce, h.Nonce, s.serverB))}
	say(c, TypeProof, proof)
	if r := <-done; r.err != nil {
		t.Fatalf("the first time: %v", r.err)
	}
	// the same messages again: the server's nonce is another one
	a, b = pipe(t)
	go func() {
		c, p, err := Accept(b, s.identity, s.serverB, s.key)
		done <- accepted{c, p, err}
	}()
	c = NewConn(a)
	say(c, TypeHello, Hello{Capability: 1, Device: "d1", Nonce: nonce})
	if err := c.expect(TypeHello, &h); err != nil {
		t.Fatal(err)
	}
	say(c, TypeProof, proof)
	if err := c.expect(TypeWelcome, &Welcome{}); !refused("bad_signature")(err) {
		t.Errorf("device got %v", err)
	}
	if r := <-done; !errors.Is(r.err, ErrSignature) {
		t.Errorf("server got %v", r.err)
	}
}

func TestServersSignatureIsNoDevicesProof(t *testing.T) {
	n := make([]byte, nonceSize)
	if bytes.Equal(transcript(roleServer, "s", "d", n, n, n), transcript(roleDevice, "s", "d", n, n, n)) {
		t.Error("both roles sign the same bytes")
	}
	if bytes.Equal(transcript(roleServer, "ab", "c", n, n, n), transcript(roleServer, "a", "bc", n, n, n)) {
		t.Error("the border between two parts can be moved")
	}
}

func TestHandshakeEndsWithARefusal(t *testing.T) {
	s := newScene(t)
	a, b := pipe(t)
	go func() {
		c, _, err := Accept(b, s.identity, s.serverB, s.key)
		if err == nil {
			c.Write(TypeRefused, Refused{Code: "too_old", Text: "update it"})
		}
	}()
	if _, _, _, err := Dial(a, s.device, s.deviceB, Proof{}); !refused("too_old")(err) {
		t.Errorf("got %v", err)
	}
}

func TestMessagesOutOfOrderAreRefused(t *testing.T) {
	s := newScene(t)
	for _, first := range []string{TypeProof, TypePing, TypeOffer} {
		a, b := pipe(t)
		go NewConn(a).Write(first, Hello{Device: "d1", Nonce: make([]byte, nonceSize)})
		if _, _, err := Accept(b, s.identity, s.serverB, s.key); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s first: %v", first, err)
		}
	}
	a, b := pipe(t)
	go NewConn(a).Write(TypeHello, Hello{Device: "d1", Nonce: make([]byte, 31)})
	if _, _, err := Accept(b, s.identity, s.serverB, s.key); !errors.Is(err, ErrProtocol) {
		t.Errorf("short nonce: %v", err)
	}
}

func TestMessagesRoundTrip(t *testing.T) {
	var buf bytes.Buffer
	c := NewConn(&buf)
	long := strings.Repeat("x", 300_000)
	for _, m := range []Facts{{Hostname: "a"}, {Hostname: long}} {
		if err := c.Write(TypeFacts, m); err != nil {
			t.Fatal(err)
		}
		got, err := c.Read()
		if err != nil || got.Type != TypeFacts {
			t.Fatalf("%s, %v", got.Type, err)
		}
		var f Facts
		if err := got.Decode(&f); err != nil || !reflect.DeepEqual(f, m) {
			t.Errorf("%d bytes of host name, %v", len(f.Hostname), err)
		}
	}
	if err := c.Write(TypePing, nil); err != nil {
		t.Fatal(err)
	}
	if got := buf.String(); got != "\x00\x00\x00\x0f"+`{"type":"ping"}` {
		t.Errorf("a ping is %q", got)
	}
}

func frame(n uint32, body string) *bytes.Buffer {
	return bytes.NewBuffer(append(binary.BigEndian.AppendUint32(nil, n), body...))
}

func TestBadFramesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		in   *bytes.Buffer
		want error
	}{
		{"nothing", &bytes.Buffer{}, io.EOF},
		{"half a length", bytes.NewBufferString("\x00\x00"), io.ErrUnexpectedEOF},
		{"no body", frame(10, ""), io.ErrUnexpectedEOF},
		{"half a body", frame(10, `{"typ`), io.ErrUnexpectedEOF},
		{"too long", frame(MaxMessage+1, ""), ErrTooLong},
		{"longest length", frame(1<<32-1, ""), ErrTooLong},
		{"empty", frame(0, ""), ErrProtocol},
		{"not JSON", frame(3, "abc"), ErrProtocol},
		{"no type", frame(2, "{}"), ErrProtocol},
		{"a list", frame(2, "[]"), ErrProtocol},
		{"more than one", frame(30, `{"type":"ping"}{"type":"ping"}`), ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewConn(c.in).Read(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := NewConn(&bytes.Buffer{}).Write(TypeFacts, Facts{Hostname: strings.Repeat("x", MaxMessage)}); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long to write: %v", err)
	}
}

func TestAnnouncedLengthTakesNoMemoryByItself(t *testing.T) {
	in := frame(MaxMessage, strings.Repeat(" ", 100)).Bytes()
	b := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewConn(readOnly{bytes.NewReader(in)}).Read()
		}
	})
	if got := b.AllocedBytesPerOp(); got > 64<<10 {
		t.Errorf("100 bytes that announce a megabyte take %d bytes", got)
	}
}

type readOnly struct{ io.Reader }

func (readOnly) Write(b []byte) (int, error) { return len(b), nil }

func TestReadersIgnoreWhatTheyDoNotKnow(t *testing.T) {
	body := `{"type":"welcome","from":"the future","body":{"epoch":3,"moon":"full"}}`
	m, err := NewConn(frame(uint32(len(body)), body)).Read()
	if err != nil {
		t.Fatal(err)
	}
	var w Welcome
	if err := m.Decode(&w); err != nil || w.Epoch != 3 {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestTerminalFrames(t *testing.T) {
	var buf bytes.Buffer
	sent := []struct {
		typ     byte
		payload string
	}{{TerminalData, "ls\n"}, {TerminalSize, "\x00\x50\x00\x18"}, {TerminalData, ""}, {TerminalData, strings.Repeat("x", MaxTerminalFrame)}, {TerminalExit, "\x00\x00\x00\x01"}}
	for _, f := range sent {
		if err := WriteTerminal(&buf, f.typ, []byte(f.payload)); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteTerminal(&buf, TerminalData, make([]byte, MaxTerminalFrame+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long to write: %v", err)
	}
	b := make([]byte, MaxTerminalFrame)
	for _, f := range sent {
		typ, p, err := ReadTerminal(&buf, b)
		if err != nil || typ != f.typ || string(p) != f.payload {
			t.Errorf("got type %d with %d bytes, %v", typ, len(p), err)
		}
	}
	if _, _, err := ReadTerminal(&buf, b); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, _, err := ReadTerminal(bytes.NewReader([]byte{0, 0, 1, 0, 1}), b); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long to read: %v", err)
	}
	if _, _, err := ReadTerminal(bytes.NewReader([]byte{0, 0, 0, 0, 9, 'x'}), b); err != io.ErrUnexpectedEOF {
		t.Errorf("cut: %v", err)
	}
}

func TestRequestUpgrade(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		status       int // 0: upgraded
		early        string
	}{
		{"upgraded", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: traybell/1\r\n\r\n", 0, ""},
		{"with first bytes", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: traybell/1\r\n\r\nRFB 003.008\n", 0, "RFB 003.008\n"},
		{"refused", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 401, "no"},
		{"ignored", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pipe(t)
			got := make(chan string, 1)
			go func() {
				buf := make([]byte, 4096)
				n, _ := b.Read(buf)
				got <- string(buf[:n])
				b.Write([]byte(c.answer))
			}()
			conn, err := RequestUpgrade(a, "host:1", ChannelPath, http.Header{"Authorization": {"Channel abc"}})
			req := <-got
			for _, want := range []string{"GET /channel HTTP/1.1\r\n", "Host: host:1\r\n", "Upgrade: traybell/1\r\n", "Connection: Upgrade\r\n", "Authorization: Channel abc\r\n"} {
				if !strings.Contains(req, want) {
					t.Errorf("%q is not in the request %q", want, req)
				}
			}
			if c.status != 0 {
				u, ok := errors.AsType[*UpgradeError](err)
				if !ok || u.Status != c.status || string(u.Body) != c.early {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, len(c.early))
			if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != c.early {
				t.Errorf("first bytes %q, %v", buf, err)
			}
		})
	}
}

// FuzzRead: no bytes of a peer crash the reader, and what is read can be written again.
func FuzzRead(f *testing.F) {
	f.Add(frame(15, `{"type":"ping"}`).Bytes())
	f.Add(frame(MaxMessage+1, "").Bytes())
	f.Add(frame(40, `{"type":"hello","body":{"nonce":"AAAA"}}`).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := NewConn(bytes.NewBuffer(b)).Read()
		if err != nil {
			return
		}
		if m.Type == "" {
			t.Error("a message without a type was read")
		}
		for _, body := range []any{&Hello{}, &Proof{}, &Welcome{}, &Ask{}, &AskState{}, &Offer{}, &SessionState{}} {
			m.Decode(body)
		}
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("can't be written again: %v", err)
		}
	})
}

// FuzzAccept: no bytes of a peer that has no key get past the handshake.
func FuzzAccept(f *testing.F) {
	s := newScene(f)
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	var hello, both bytes.Buffer
	NewConn(&hello).Write(TypeHello, Hello{Capability: 1, Device: "d1", Nonce: nonce})
	both.Write(hello.Bytes())
	NewConn(&both).Write(TypeProof, Proof{Signature: make([]byte, 64)})
	f.Add(hello.Bytes())
	f.Add(both.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, p, err := Accept(readOnly{bytes.NewReader(b)}, s.identity, s.serverB, s.key); err == nil {
			t.Errorf("%q proved to be %s", b, p.Device)
		}
	})
}

// FuzzTerminal: no bytes of a technician or device crash the reader.
func FuzzTerminal(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 'x'})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff})
	buf := make([]byte, MaxTerminalFrame)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			if _, p, err := ReadTerminal(r, buf); err != nil {
				return
			} else if len(p) > MaxTerminalFrame {
				t.Fatal("a payload beyond the bound")
			}
		}
	})
}
