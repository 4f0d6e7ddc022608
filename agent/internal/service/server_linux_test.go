package service

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// fakeServer plays the server's side of the wire over real TLS. It believes and checks nothing more
// than the wire demands, so that a test can make it hostile.
type fakeServer struct {
	t        *testing.T
	identity ed25519.PrivateKey
	ca       *x509.Certificate
	l        net.Listener
	srv      *http.Server
	links    chan *fakeLink

	mu       sync.Mutex
	linkKey  ed25519.PublicKey
	grantKey ed25519.PublicKey
	device   string
	welcome  link.Welcome // what is sent beside the token
	tickets  map[string]api.DeviceTicket
	order    []string
	files    map[string][]byte         // by ticket and index
	sends    int                       // POSTs of tickets
	fault    func(r *http.Request) int // a status instead of an answer, 0 none, -1 cut the connection after carrying it out
	channels map[string]chan net.Conn  // by token
	dialled  int
}

// fakeLink is one link as the server sees it.
type fakeLink struct {
	conn  *link.Conn
	raw   net.Conn
	proof link.Proof
	in    chan link.Message
}

func newServer(t *testing.T) *fakeServer {
	t.Helper()
	_, identity, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, identity: identity, links: make(chan *fakeLink, 10), tickets: map[string]api.DeviceTicket{},
		files: map[string][]byte{}, channels: map[string]chan net.Conn{},
		welcome: link.Welcome{Name: "PC-114", Organization: "Studio Verdi", Provider: "Rossi IT", SupportPhone: "051 123 4567"}}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	if s.ca, err = x509.ParseCertificate(caDER); err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: tpl.NotBefore, NotAfter: tpl.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, s.ca, &leafKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listen(tcp, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{link.ALPN},
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER, caDER}, PrivateKey: leafKey}}})
	t.Cleanup(func() { s.srv.Close() })
	return s
}

// hidden keeps net/http from seeing TLS with a protocol that it does not know.
type hidden struct{ net.Conn }

type hiding struct{ net.Listener }

func (h hiding) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return hidden{c}, nil
}

type connKey struct{}

func (s *fakeServer) listen(tcp net.Listener, cfg *tls.Config) {
	s.l = tcp
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+link.Path, s.serveLink)
	mux.HandleFunc("GET "+link.ChannelPath, s.serveChannel)
	mux.HandleFunc("POST /api/v1/device/enrol", s.enrol)
	mux.HandleFunc("POST /api/v1/device/tickets", s.file)
	mux.HandleFunc("PUT /api/v1/device/tickets/{id}/files/{index}", s.put)
	s.srv = &http.Server{Handler: s.faulty(mux), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c.(hidden).Conn.(*tls.Conn))
	}}
	go s.srv.Serve(hiding{tls.NewListener(tcp, cfg)})
}

// faulty answers with faults where the test wants some.
func (s *fakeServer) faulty(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := 0
		s.mu.Lock()
		if s.fault != nil {
			code = s.fault(r)
		}
		s.mu.Unlock()
		switch {
		case code > 0:
			io.Copy(io.Discard, r.Body)
			problem(w, code, "the server says no")
		case code < 0:
			h.ServeHTTP(discard{http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func problem(w http.ResponseWriter, code int, detail string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(api.Problem{Title: http.StatusText(code), Status: code, Detail: detail, Code: api.CodeInvalid})
}

func (s *fakeServer) url() string {
	_, port, _ := net.SplitHostPort(s.l.Addr().String())
	return "https://localhost:" + port
}

func (s *fakeServer) key() api.EnrolmentKey {
	pin := sha256.Sum256(s.ca.Raw)
	return api.EnrolmentKey{URL: s.url(), Identity: s.identity.Public().(ed25519.PublicKey), CA: pin[:], TLS: api.TLSPinned, ID: "key-1", Secret: make([]byte, 32)}
}

func (s *fakeServer) enrol(w http.ResponseWriter, r *http.Request) {
	var req api.EnrolRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		problem(w, 400, err.Error())
		return
	}
	proof := api.EnrolProof(req.Key, req.Device, req.LinkKey, req.GrantKey)
	if len(req.Proof) != 128 || !ed25519.Verify(req.LinkKey, proof, req.Proof[:64]) || !ed25519.Verify(req.GrantKey, proof, req.Proof[64:]) {
		problem(w, 422, "no proof")
		return
	}
	s.mu.Lock()
	s.device, s.linkKey, s.grantKey = req.Device, req.LinkKey, req.GrantKey
	s.mu.Unlock()
	json.NewEncoder(w).Encode(api.EnrolResponse{Device: req.Device, Name: "PC-114", Organization: "Studio Verdi", Server: link.ServerID(s.identity.Public().(ed25519.PublicKey))})
}

func (s *fakeServer) upgrade(w http.ResponseWriter, r *http.Request) net.Conn {
	tc := r.Context().Value(connKey{}).(*tls.Conn)
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil
	}
	c.SetDeadline(time.Time{})
	fmt.Fprintf(tc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", link.Upgrade)
	return tc
}

func (s *fakeServer) serveLink(w http.ResponseWriter, r *http.Request) {
	binding, err := link.Binding(r.Context().Value(connKey{}).(*tls.Conn).ConnectionState())
	if err != nil {
		return
	}
	c := s.upgrade(w, r)
	if c == nil {
		return
	}
	defer c.Close()
	conn, peer, err := link.Accept(c, s.identity, binding, func(string) (ed25519.PublicKey, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.linkKey, nil
	})
	if err != nil {
		return
	}
	s.mu.Lock()
	wl := s.welcome
	s.mu.Unlock()
	now := time.Now().UnixMicro()
	wl.Epoch, wl.Token, wl.Time, wl.TokenExpires = now, "token", now, now+3600*1e6
	if conn.Write(link.TypeWelcome, wl) != nil {
		return
	}
	l := &fakeLink{conn: conn, raw: c, proof: peer.Proof, in: make(chan link.Message, 1000)}
	s.links <- l
	for {
		m, err := conn.Read()
		if err != nil {
			close(l.in)
			return
		}
		switch m.Type {
		case link.TypePing:
			conn.Write(link.TypePong, nil)
		case link.TypeLedgerHead, link.TypeFacts:
		default:
			l.in <- m
		}
	}
}

func (s *fakeServer) serveChannel(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), link.ChannelScheme+" ")
	s.mu.Lock()
	s.dialled++
	ch := s.channels[token]
	s.mu.Unlock()
	if ch == nil {
		problem(w, 401, "unknown token")
		return
	}
	if c := s.upgrade(w, r); c != nil {
		ch <- c
	}
}

func (s *fakeServer) file(w http.ResponseWriter, r *http.Request) {
	var t api.DeviceTicket
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
		problem(w, 400, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends++
	if had, ok := s.tickets[t.ID]; ok {
		a, _ := json.Marshal(had)
		b, _ := json.Marshal(t)
		if string(a) != string(b) {
			problem(w, 409, "other content")
			return
		}
	} else {
		s.tickets[t.ID] = t
		s.order = append(s.order, t.ID)
	}
	out := api.TicketFiled{ID: t.ID, Status: "new"}
	for i, id := range s.order {
		if id == t.ID {
			out.Number = int64(1001 + i)
		}
	}
	json.NewEncoder(w).Encode(out)
}

func (s *fakeServer) put(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tickets[r.PathValue("id")]
	if err != nil || !ok {
		problem(w, 404, "no such ticket")
		return
	}
	for _, f := range t.Files {
		if fmt.Sprint(f.Index) == r.PathValue("index") {
			if sum := sha256.Sum256(b); string(sum[:]) != string(f.SHA256) || int64(len(b)) != f.Size {
				problem(w, 422, "other bytes")
				return
			}
			s.files[t.ID+"/"+r.PathValue("index")] = b
			return
		}
	}
	problem(w, 404, "no such file")
}

// link waits for the next link of the device.
func (s *fakeServer) link() *fakeLink {
	s.t.Helper()
	select {
	case l := <-s.links:
		return l
	case <-time.After(20 * time.Second):
		s.t.Fatal("the device does not connect")
		return nil
	}
}

// next waits for a message of one of these types and skips others.
func (l *fakeLink) next(t *testing.T, types ...string) link.Message {
	t.Helper()
	limit := time.After(15 * time.Second)
	for {
		select {
		case m, ok := <-l.in:
			if !ok {
				t.Fatalf("the link ended while waiting for %v", types)
			}
			for _, want := range types {
				if m.Type == want {
					return m
				}
			}
		case <-limit:
			t.Fatalf("no message of %v", types)
		}
	}
}

func as[T any](t *testing.T, m link.Message) T {
	t.Helper()
	var v T
	if err := m.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// offer sends an offer and returns its outcome: the channel's connection, or the refusal.
func (s *fakeServer) offer(l *fakeLink, o link.Offer) (net.Conn, *link.OfferRefused) {
	s.t.Helper()
	ch := make(chan net.Conn, 1)
	s.mu.Lock()
	s.channels[o.Token] = ch
	s.mu.Unlock()
	if err := l.conn.Write(link.TypeOffer, o); err != nil {
		s.t.Fatal(err)
	}
	m := l.next(s.t, link.TypeChannelUp, link.TypeOfferRefused)
	if m.Type == link.TypeOfferRefused {
		r := as[link.OfferRefused](s.t, m)
		return nil, &r
	}
	select {
	case c := <-ch:
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return c, nil
	case <-time.After(5 * time.Second):
		s.t.Fatal("channel up, but no connection")
		return nil, nil
	}
}
