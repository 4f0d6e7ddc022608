// Package servertest runs a whole server in process: store, use cases, relay, API and portal behind the real
// listener with its own CA, on temporary data. Tests of api, web, relay and desk use it.
//
// Its people and devices are real ones: people sign in or hold API tokens, devices hold their keys, enrol by
// an enrolment key, prove their link and file tickets over HTTPS. Nothing is mocked.
package servertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/api"
	"github.com/traybell/traybell/server/internal/blob"
	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/desk/audit"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/desk/people/peopletest"
	"github.com/traybell/traybell/server/internal/desk/start"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/directory"
	"github.com/traybell/traybell/server/internal/httpd"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/web"
	wire "github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// Password is every person's.
const Password = "Correct-Horse-7"

// Provider is the name of the organization that runs the server.
const Provider = "Rossi IT"

// Options change the server that Start runs. The zero value is an embedded database without logs.
type Options struct {
	DatabaseURL string           // PostgreSQL instead
	Now         func() time.Time // instead of the wall clock
	Log         io.Writer        // nil: nowhere
}

// Server is a running server and its insides.
type Server struct {
	URL     string // https://localhost:PORT
	Dir     string // its data folder
	Roots   *x509.CertPool
	Client  *http.Client // trusts the server's CA; keeps no cookies
	Keys    *httpd.Keys
	Store   *store.Store
	Bus     *bus.Bus
	People  *people.People
	Devices *deskdevice.Devices
	Tickets *deskticket.Tickets
	Access  *deskaccess.Sessions
	Audit   *audit.Log
	Relay   *relay.Relay
	Worker  *desk.Worker
	Mails   *deskmail.Mails
	Postman *desk.Worker // sends what the Mails owe
	Logger  *slog.Logger

	base desk.Options
	now  func() time.Time
}

// LoopMark is the mark of the server's own mails.
func (s *Server) LoopMark() string { return s.base.LoopMark() }

// Start runs a server that ends with the test.
func Start(t testing.TB) *Server { return StartWith(t, Options{}) }

// StartWith runs a server with options.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if o.Log != nil {
		logger = slog.New(slog.NewTextHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := &Server{Dir: t.TempDir(), Bus: bus.New()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s.URL = fmt.Sprintf("https://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	s.Keys, err = httpd.OpenKeys(filepath.Join(s.Dir, "keys"))
	must(err)
	s.Store, err = store.Open(t.Context(), store.Options{Data: s.Dir, DatabaseURL: o.DatabaseURL, Logger: logger})
	must(err)
	blobs, err := blob.Open(filepath.Join(s.Dir, "blobs"))
	must(err)
	seal, err := s.Keys.Seal()
	must(err)
	base := desk.Options{Store: s.Store, Bus: s.Bus, Logger: logger, Now: o.Now, Seal: seal, MailKey: s.Keys.Derive("traybell-mail-token-1")}
	s.now = base.Time
	s.People = people.New(people.Options{Options: base, Seal: seal, PublicURL: s.URL, LDAP: directory.LDAP{}, OIDC: directory.NewOIDC()})
	s.Devices = deskdevice.New(deskdevice.Options{Options: base, Identity: s.Keys.Identity.Public().(ed25519.PublicKey), URL: s.URL, CA: s.Keys.CAHash(), Secret: s.Keys.Derive("traybell-device-token-1")})
	s.Tickets = deskticket.New(deskticket.Options{Options: base, Blobs: blobs})
	s.Tickets.LimitDevices(1 << 20) // tests file as fast as they can
	s.Access = deskaccess.New(base)
	s.Audit = audit.New(audit.Options{Options: base, Identity: s.Keys.Identity, File: filepath.Join(s.Dir, "audit", "checkpoints.jsonl"), Node: "test"})
	must(s.People.EnsureProvider(t.Context(), Provider))
	s.Relay = relay.New(relay.Options{Identity: s.Keys.Identity, Desk: &httpd.Links{Devices: s.Devices, Access: s.Access, Logger: logger}, Logger: logger})
	s.Access.Reach(s.Relay)
	s.Worker = desk.NewWorker(base)
	httpd.Handle(s.Worker, s.Tickets, s.Access, s.Relay)
	s.Mails, s.Logger, s.base = deskmail.New(base), logger, base
	s.Mails.Through(&mail.Transport{PublicURL: s.URL, Loop: base.LoopMark()})
	s.Postman = desk.NewWorker(base)
	s.Postman.Batch = 1
	s.Mails.Handle(s.Postman)
	portal, err := web.New(web.Options{People: s.People, Devices: s.Devices, Tickets: s.Tickets, Access: s.Access, Mails: s.Mails, Start: start.New(base), Audit: s.Audit, Relay: s.Relay, Bus: s.Bus, Logger: logger, PublicURL: s.URL, Now: o.Now})
	must(err)
	rest := api.New(api.Options{People: s.People, Devices: s.Devices, Tickets: s.Tickets, Access: s.Access, Audit: s.Audit, Relay: s.Relay, Logger: logger, URL: s.URL})
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(s.Keys.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots}, ForceAttemptHTTP2: true, DialContext: dialer(l.Addr()), MaxIdleConnsPerHost: 64}
	s.Client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{s.Worker.Run, s.Postman.Run, s.Audit.Run, s.Access.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	running.Go(func() {
		if err := httpd.Serve(ctx, httpd.Options{Listener: l, Keys: s.Keys, Host: "localhost", Relay: s.Relay, API: rest, Web: portal.Handler(), Logger: logger}); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		running.Wait()
		if err := s.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dialer reaches the listener whatever name is asked for: localhost may mean ::1 elsewhere.
func dialer(to net.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	}
}

// Person is somebody with an account.
type Person struct {
	s       *Server
	Account account.Account
	Actor   desk.Actor // as by the API
	Cookie  string     // token of a login in the portal
	Secret  string     // of the authenticator app
	Codes   []string   // recovery codes
	Token   string     // API token
}

// Administrator makes the first administrator, admin@example.com.
func (s *Server) Administrator(t testing.TB) *Person {
	t.Helper()
	token, err := s.People.FirstAdministratorToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.People.FirstAdministrator(t.Context(), token, "", people.NewAccount{Email: "admin@example.com", Name: "Anna Bianchi", Password: Password, Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	return s.person(t, in)
}

// Person makes an account by an invitation. An organization that does not exist is made; empty is the
// provider.
func (s *Server) Person(t testing.TB, role account.Role, email, organization string) *Person {
	t.Helper()
	_, token, err := s.People.Invite(t.Context(), desk.System(), people.NewInvitation{Email: email, Role: role, Organization: organization})
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(email, "@")
	in, err := s.People.AcceptInvitation(t.Context(), token, people.NewAccount{Name: name, Password: Password, Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	return s.person(t, in)
}

func (s *Server) person(t testing.TB, step people.Step) *Person {
	t.Helper()
	in, err := peopletest.Finish(t.Context(), s.People, step, s.now())
	if err != nil {
		t.Fatal(err)
	}
	p := &Person{s: s, Account: in.Account, Actor: desk.Of(in.Account, desk.ViaAPI, "127.0.0.1"), Cookie: in.Token, Secret: in.Secret, Codes: in.Codes}
	if _, p.Token, err = s.People.CreateTokenFor(t.Context(), desk.System(), in.Account.Email, "test", 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// Call makes a request with the person's API token. in is sent as JSON (nil: no body), a success is decoded into
// out (nil: not at all). It returns the status, and the problem if there was one.
func (p *Person) Call(t testing.TB, method, path string, in, out any) (int, wire.Problem) {
	t.Helper()
	return call(t, p.s.Client, method, p.s.URL+path, p.Token, nil, in, out)
}

// Header is Call with further headers.
func (p *Person) Header(t testing.TB, h http.Header, method, path string, in, out any) (int, wire.Problem) {
	t.Helper()
	return call(t, p.s.Client, method, p.s.URL+path, p.Token, h, in, out)
}

func call(t testing.TB, c *http.Client, method, to, token string, h http.Header, in, out any) (int, wire.Problem) {
	t.Helper()
	var problem wire.Problem
	var send io.Reader
	switch v := in.(type) {
	case nil:
	case io.Reader:
		send = v
	default:
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, to, send)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if send != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 400 {
		if err := json.Unmarshal(b, &problem); err != nil || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("%s %s: %s, %s is no problem: %s", method, to, res.Status, res.Header.Get("Content-Type"), b)
		}
		return res.StatusCode, problem
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
	} else if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Fatalf("%s %s: %v in %s", method, to, err, b)
		}
	}
	return res.StatusCode, problem
}

// Device is an enrolled device.
type Device struct {
	s         *Server
	ID        string
	LinkKey   ed25519.PrivateKey
	GrantKey  ed25519.PrivateKey
	Key       wire.EnrolmentKey // by which it came
	Enrolment wire.EnrolRequest
	Facts     link.Facts
	Token     string // bearer token, after Link
	Client    *http.Client
}

// NewDevice makes a device with keys and an enrolment key, which has not enrolled yet.
func (s *Server) NewDevice(t testing.TB, name, organization string) *Device {
	t.Helper()
	key, _, err := s.Devices.CreateEnrolmentKey(t.Context(), desk.System(), deskdevice.NewKey{Organization: organization})
	if err != nil {
		t.Fatal(err)
	}
	d := &Device{s: s, ID: wire.NewID(time.Now()), Key: key}
	_, d.LinkKey, _ = ed25519.GenerateKey(rand.Reader)
	_, d.GrantKey, _ = ed25519.GenerateKey(rand.Reader)
	d.Facts = link.Facts{Hostname: name, OS: "linux", OSName: "Debian GNU/Linux 12", Arch: "amd64", Agent: "test", MachineID: name, Can: []string{"desktop", "control", "terminal"},
		Users: []link.User{{ID: "1000", Name: "lucia", Display: "Lucia Rossi", State: "active", Desktop: "x11"}}}
	u, _ := url.Parse(s.URL)
	d.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: d.tls(), DialContext: dialer(address(u)), MaxIdleConnsPerHost: 64}}
	t.Cleanup(d.Client.CloseIdleConnections)
	lk, gk := d.LinkKey.Public().(ed25519.PublicKey), d.GrantKey.Public().(ed25519.PublicKey)
	proof := wire.EnrolProof(key.ID, d.ID, lk, gk)
	d.Enrolment = wire.EnrolRequest{Key: key.ID, Secret: key.Secret, Device: d.ID, LinkKey: lk, GrantKey: gk, Facts: d.Facts, Proof: append(ed25519.Sign(d.LinkKey, proof), ed25519.Sign(d.GrantKey, proof)...)}
	return d
}

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

func address(u *url.URL) net.Addr { return addr(net.JoinHostPort("127.0.0.1", u.Port())) }

func (d *Device) tls() *tls.Config {
	return &tls.Config{RootCAs: d.s.Roots, ServerName: "localhost", NextProtos: []string{link.ALPN}}
}

// Enrol makes a device, enrols it over HTTPS and brings its link up once, so that it has a token.
func (s *Server) Enrol(t testing.TB, name, organization string) *Device {
	t.Helper()
	d := s.NewDevice(t, name, organization)
	var res wire.EnrolResponse
	if status, p := d.Call(t, http.MethodPost, "/api/v1/device/enrol", d.Enrolment, &res); status != http.StatusOK || res.Device != d.ID {
		t.Fatalf("enrol: %d %v", status, p)
	}
	c, _ := d.Link(t, link.Proof{})
	c.Close()
	return d
}

// Link is a device's control connection.
type Link struct {
	*link.Conn
	raw net.Conn
}

// Close cuts the connection.
func (l *Link) Close() error { return l.raw.Close() }

// Link brings the device's link up by the real handshake. Facts of proof are the device's own when
// they are empty. The caller closes it.
func (d *Device) Link(t testing.TB, proof link.Proof) (*Link, link.Welcome) {
	t.Helper()
	raw := d.Upgrade(t, link.Path, "")
	binding, err := link.Binding(raw.(*tls.Conn).ConnectionState())
	if err != nil {
		t.Fatal(err)
	}
	if proof.Facts.Hostname == "" {
		proof.Facts = d.Facts
	}
	c, w, _, err := link.Dial(raw, link.Device{ID: d.ID, Key: d.LinkKey, Identity: d.Key.Identity}, binding, proof)
	if err != nil {
		t.Fatal(err)
	}
	d.Token = w.Token
	return &Link{c, raw}, w
}

// Upgrade opens a connection upgraded to traybell/1 on path. authorization may be empty.
func (d *Device) Upgrade(t testing.TB, path, authorization string) net.Conn {
	t.Helper()
	u, _ := url.Parse(d.s.URL)
	raw, err := tls.Dial("tcp", address(u).String(), d.tls())
	if err != nil {
		t.Fatal(err)
	}
	head := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: " + link.Upgrade + "\r\n"
	if authorization != "" {
		head += "Authorization: " + authorization + "\r\n"
	}
	if _, err := io.WriteString(raw, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	// Byte by byte: nothing behind the head may be read ahead.
	res, err := http.ReadResponse(bufio.NewReaderSize(oneByte{raw}, 16), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		raw.Close()
		t.Fatalf("upgrade of %s: %v %v", path, res, err)
	}
	return raw
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

// Call makes a request with the device's token, over a connection with the device's protocol.
func (d *Device) Call(t testing.TB, method, path string, in, out any) (int, wire.Problem) {
	t.Helper()
	return call(t, d.Client, method, d.s.URL+path, d.Token, nil, in, out)
}

// NewTicket is a ticket as lucia would file it at the device.
func NewTicket(title string) wire.DeviceTicket {
	return wire.DeviceTicket{ID: wire.NewID(time.Now()), Title: title, Text: "It prints blank pages.", Answers: wire.Answers{Working: "difficult", Affected: "me"}, Email: "lucia@studioverdi.it", Name: "Lucia Rossi",
		OSUser: "lucia", OSUserID: "1000", Language: "en", MadeAt: time.Now().UnixMicro(), Facts: []wire.Fact{{Name: "computer", Value: "PC-114"}}}
}

// File files a ticket at the device over HTTPS.
func (d *Device) File(t testing.TB, title string) wire.TicketFiled {
	t.Helper()
	var filed wire.TicketFiled
	if status, p := d.Call(t, http.MethodPost, "/api/v1/device/tickets", NewTicket(title), &filed); status != http.StatusOK {
		t.Fatalf("file a ticket: %d %v", status, p)
	}
	return filed
}

// Eventually polls until f is true, for at most ten seconds.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not happen within ten seconds", what)
		}
	}
}
