// Package sample is a whole portal with people, tickets, devices and visits in it, on a temporary
// database and a port of its own. Its devices are played here: they say what real ones would say, show a
// painted desktop and echo in their terminal.
//
// The pictures of the portal are taken of it, and the portal's tests walk through it.
package sample

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/traybell/traybell/server/internal/account"
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
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/directory"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/web"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// Password is everybody's.
const Password = "Blank-Pages-on-2nd-Floor"

// Portal is a running sample.
type Portal struct {
	URL  string
	SPKI string // base64 SHA-256 of the certificate's key, for Chromium's --ignore-certificate-errors-spki-list
	CA   *x509.CertPool

	People  *people.People
	Devices *deskdevice.Devices
	Tickets *deskticket.Tickets
	Access  *deskaccess.Sessions
	Audit   *audit.Log
	Mails   *deskmail.Mails
	Bus     *bus.Bus

	FirstToken string // of an empty portal

	options desk.Options
	clock   *clock
	dir     string
	server  *http.Server
	store   *store.Store
	seats   map[device.ID]*seat
	texts   *http.Server // takes what is sent as SMS
	pem     string       // of the certificate
	mu      sync.Mutex
	codes   map[string][]string // recovery codes by address
}

// clock is the present, moved back while history is made.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(-c.off)
}

func (c *clock) ago(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = d
}

// New starts a portal that nobody has signed in to; Fill puts the sample into it.
func New(ctx context.Context, log *slog.Logger) (*Portal, error) {
	dir, err := os.MkdirTemp("", "traybell-sample-")
	if err != nil {
		return nil, err
	}
	p := &Portal{clock: &clock{}, dir: dir, Bus: bus.New(), seats: map[device.ID]*seat{}, codes: map[string][]string{}}
	if p.store, err = store.Open(ctx, store.Options{Data: dir, Logger: log}); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	identity, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	o := desk.Options{Store: p.store, Bus: p.Bus, Logger: log, Now: func() time.Time { return p.clock.now().UTC().Truncate(time.Microsecond) }, Seal: seal, MailKey: key}
	p.options = o
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.URL = "https://localhost:" + fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	p.People = people.New(people.Options{Options: o, Seal: seal, PublicURL: p.URL, LDAP: directory.LDAP{}, OIDC: directory.NewOIDC()})
	p.Tickets = deskticket.New(deskticket.Options{Options: o, Blobs: blobs})
	p.Access = deskaccess.New(o)
	p.Audit = audit.New(audit.Options{Options: o, Identity: private, File: filepath.Join(dir, "audit", "checkpoints.jsonl"), Node: "sample"})
	p.Mails = deskmail.New(o)
	p.Mails.Through(&mail.Transport{PublicURL: "https://help.rossi-it.example"})
	p.Access.Reach(links{p})
	if err := p.People.EnsureProvider(ctx, "Rossi IT"); err != nil {
		return nil, err
	}
	if p.FirstToken, err = p.People.FirstAdministratorToken(ctx); err != nil {
		return nil, err
	}
	ca := sha256.Sum256([]byte("sample"))
	p.Devices = deskdevice.New(deskdevice.Options{Options: o, Identity: identity, URL: p.URL, CA: ca[:], Secret: key})
	portal, err := web.New(web.Options{
		People: p.People, Devices: p.Devices, Tickets: p.Tickets, Access: p.Access, Mails: p.Mails, Start: start.New(o), Audit: p.Audit, Relay: links{p}, Bus: p.Bus, Logger: log, PublicURL: p.URL, Now: p.clock.now, Recheck: 200 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	cert, err := p.certificate()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", portal.Handler())
	mux.HandleFunc("GET /realms/staff/.well-known/openid-configuration", p.discovery)
	p.server = &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ReadHeaderTimeout: 10 * time.Second}
	go p.server.ServeTLS(l, "", "")
	return p, nil
}

// certificate makes one for localhost that nobody else trusts.
func (p *Portal) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sample"}, DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	p.SPKI = base64.StdEncoding.EncodeToString(sum[:])
	p.CA = x509.NewCertPool()
	p.CA.AddCert(leaf)
	p.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Close stops the portal and removes its data.
func (p *Portal) Close() error {
	p.server.Close()
	if p.texts != nil {
		p.texts.Close()
	}
	if err := p.store.Close(); err != nil {
		return err
	}
	return os.RemoveAll(p.dir)
}

// Client is a browser without scripts: it keeps cookies and follows nothing by itself.
func (p *Portal) Client() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.CA}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Token signs somebody in and returns the cookie's value.
func (p *Portal) Token(ctx context.Context, email string) (string, error) {
	step, err := p.People.SignIn(ctx, people.Credentials{Email: email, Password: Password, Address: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/143.0"})
	if err != nil {
		return "", err
	}
	code, err := p.Code(ctx, email)
	if err != nil {
		return "", err
	}
	in, err := peopletest.Recover(ctx, p.People, step, code)
	return in.Token, err
}

// Code is a recovery code of somebody that was not used yet.
func (p *Portal) Code(ctx context.Context, email string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.codes[email]
	if len(list) == 0 {
		return "", fmt.Errorf("%s has no recovery codes", email)
	}
	if len(list) == 1 { // the last one gets new ones
		step, err := p.People.SignIn(ctx, people.Credentials{Email: email, Password: Password, Address: "192.0.2.7"})
		if err != nil {
			return "", err
		}
		in, err := peopletest.Recover(ctx, p.People, step, list[0])
		if err != nil {
			return "", err
		}
		if list, err = p.People.NewRecoveryCodes(ctx, peopletest.Finished{SignedIn: in}.Actor()); err != nil {
			return "", err
		}
		if err := p.People.SignOut(ctx, peopletest.Finished{SignedIn: in}.Actor()); err != nil {
			return "", err
		}
	}
	p.codes[email] = list[1:]
	return list[0], nil
}

// finish sets up the second factor of somebody who signs up.
func (p *Portal) finish(ctx context.Context, step people.Step) (desk.Actor, error) {
	f, err := peopletest.Finish(ctx, p.People, step, p.clock.now())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[step.Account.Email] = f.Codes
	a := f.Actor()
	a.ConfirmedAt = time.Now() // the sample's history is made with its clock set back
	return a, err
}

// Actor is somebody signed in.
func (p *Portal) Actor(ctx context.Context, email string) (desk.Actor, error) {
	token, err := p.Token(ctx, email)
	if err != nil {
		return desk.Actor{}, err
	}
	a, _, err := p.People.Login(ctx, token, "192.0.2.7")
	return a, err
}

// Speak changes the language of everybody's pages.
func (p *Portal) Speak(ctx context.Context, language string) error {
	list, err := p.People.Accounts(ctx, desk.System())
	if err != nil {
		return err
	}
	for _, a := range list {
		actor := desk.Of(a, desk.ViaPortal, "")
		if err := p.People.ChangeProfile(ctx, actor, a.Name, language); err != nil {
			return err
		}
	}
	return nil
}

// Account makes one more requester of an organization.
func (p *Portal) Account(ctx context.Context, email, name, organization string) error {
	_, err := p.account(ctx, desk.System(), email, name, organization, account.Requester)
	return err
}

// account makes somebody by invitation.
func (p *Portal) account(ctx context.Context, admin desk.Actor, email, name, organization string, role account.Role) (desk.Actor, error) {
	_, token, err := p.People.Invite(ctx, admin, people.NewInvitation{Email: email, Role: role, Organization: organization})
	if err != nil {
		return desk.Actor{}, err
	}
	step, err := p.People.AcceptInvitation(ctx, token, people.NewAccount{Name: name, Password: Password, Language: "en", Address: "192.0.2.9", UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Safari/605.1"})
	if err != nil {
		return desk.Actor{}, err
	}
	return p.finish(ctx, step)
}

// links plays the relay: it reaches the sample's own seats.
type links struct{ p *Portal }

func (l links) seat(id string) *seat {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.p.seats[device.ID(id)]
}

func (l links) Online(id string) bool {
	s := l.seat(id)
	return s != nil && s.online
}

func (l links) Send(id, typ string, body any) error {
	if s := l.seat(id); s != nil {
		return s.take(typ, body)
	}
	return fmt.Errorf("no such device")
}

func (l links) EndSession(id, session, reason string) {
	if s := l.seat(id); s != nil {
		s.end()
	}
}

func (l links) Channels(id, _ string) int {
	s := l.seat(id)
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (l links) Drop(string, string, string) {}

func (l links) Open(_ context.Context, id string, o link.Offer) (net.Conn, error) {
	s := l.seat(id)
	if s == nil {
		return nil, fmt.Errorf("no such device")
	}
	return s.open(o)
}

// tell sends a message of a device to the desk.
func (p *Portal) tell(ctx context.Context, id device.ID, typ string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return p.Access.FromDevice(ctx, id, link.Message{Type: typ, Body: b})
}

// enrol brings in a device with fresh keys and puts its link up.
func (p *Portal) enrol(ctx context.Context, admin desk.Actor, organization string, f link.Facts, online bool) (*seat, error) {
	key, _, err := p.Devices.CreateEnrolmentKey(ctx, admin, deskdevice.NewKey{Organization: organization})
	if err != nil {
		return nil, err
	}
	linkPub, linkKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	grantPub, grantKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	id := api.NewID(p.clock.now())
	msg := api.EnrolProof(key.ID, id, linkPub, grantPub)
	r := api.EnrolRequest{Key: key.ID, Secret: key.Secret, Device: id, LinkKey: linkPub, GrantKey: grantPub, Facts: f, Proof: append(ed25519.Sign(linkKey, msg), ed25519.Sign(grantKey, msg)...)}
	if _, err := p.Devices.Enrol(ctx, r, "192.0.2.114"); err != nil {
		return nil, err
	}
	s := &seat{p: p, ctx: ctx, id: device.ID(id), key: grantKey, facts: f, online: online}
	w, err := p.Devices.LinkUp(ctx, s.id, f, "192.0.2.114")
	if err != nil {
		return nil, err
	}
	if !online {
		if err := p.Devices.LinkDown(ctx, s.id, w.Epoch); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	p.seats[s.id] = s
	p.mu.Unlock()
	return s, nil
}
