package mail_test

import (
	"context"
	"crypto/cipher"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// postbox takes letters as a mail server would, or fails as it is told.
type postbox struct {
	mu      sync.Mutex
	letters []mail.Letter
	servers []mail.Server
	err     error
}

func (p *postbox) Send(_ context.Context, s mail.Server, l mail.Letter) (mail.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters, p.servers = append(p.letters, l), append(p.servers, s)
	return mail.Receipt{TLS: "TLS 1.3", Reply: "queued"}, p.err
}

type fixture struct {
	*mail.Mails
	store  *store.Store
	people *people.People
	post   *postbox
	worker *desk.Worker
	now    time.Time
	admin  desk.Actor
}

func setUp(t *testing.T, s *store.Store) *fixture {
	t.Helper()
	f := &fixture{store: s, post: &postbox{}, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	seal, err := chacha20poly1305.NewX(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	o := desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.now }, Seal: cipher.AEAD(seal)}
	f.Mails, f.people = mail.New(o), people.New(people.Options{Options: o, Seal: seal})
	f.Through(f.post)
	f.worker = desk.NewWorker(o)
	f.Handle(f.worker)
	if err := f.people.EnsureProvider(t.Context(), "Rossi IT"); err != nil {
		t.Fatal(err)
	}
	f.admin = actor(account.Administrator)
	return f
}

func actor(r account.Role) desk.Actor {
	a := desk.Of(account.Account{ID: "a1", Name: "Anna", Role: r, Language: "en"}, desk.ViaPortal, "127.0.0.1")
	a.ConfirmedAt = time.Now().Add(10 * 365 * 24 * time.Hour) // has just proven the second factor, whatever the clock of the test says
	return a
}

func (f *fixture) work(t *testing.T) {
	t.Helper()
	for {
		n, err := f.worker.Once(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func (f *fixture) invite(t *testing.T, email string) {
	t.Helper()
	if _, _, err := f.people.Invite(t.Context(), desk.System(), people.NewInvitation{Email: email, Role: account.Requester, Organization: "Studio Verdi"}); err != nil {
		t.Fatal(err)
	}
}

var server = mail.Server{Host: "Mail.Example.com ", Security: mail.STARTTLS, User: "help", Password: "secret", From: "Help@example.com"}

func (f *fixture) outbox(t *testing.T) mail.Outbox {
	t.Helper()
	b, err := f.Outbox(t.Context(), f.admin)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMailsWaitForAServer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setUp(t, s)
		f.invite(t, "lucia@studioverdi.it")
		f.work(t)
		b := f.outbox(t)
		if b.Ready || b.Waiting != 1 || len(b.Mails) != 1 || len(f.post.letters) != 0 {
			t.Fatalf("without a mail server: %+v, %d sent", b, len(f.post.letters))
		}
		_, link, err := f.Link(t.Context(), f.admin, b.Mails[0].ID)
		if err != nil || !strings.HasPrefix(link, "/invitation#token=") {
			t.Fatalf("the link is %q, %v", link, err)
		}
		if _, err := f.people.Invitation(t.Context(), strings.TrimPrefix(link, "/invitation#token=")); err != nil {
			t.Errorf("the copied link does not work: %v", err)
		}
		if err := f.SetOutgoing(t.Context(), f.admin, server); err != nil {
			t.Fatal(err)
		}
		f.work(t)
		if len(f.post.letters) != 1 {
			t.Fatalf("%d mails sent, want 1", len(f.post.letters))
		}
		got, at := f.post.letters[0], f.post.servers[0]
		if got.To != "lucia@studioverdi.it" || got.Link != link || got.Brand != "Rossi IT" || got.FromName != "Rossi IT" || got.From != "help@example.com" || !strings.HasSuffix(got.MessageID, "@example.com") || got.Data["Organization"] != "Studio Verdi" {
			t.Errorf("the letter is %+v", got)
		}
		if at.Host != "mail.example.com" || at.Port != 587 || at.Password != "secret" {
			t.Errorf("sent through %+v", at)
		}
		if b := f.outbox(t); !b.Ready || len(b.Mails) != 0 {
			t.Errorf("the outbox is %+v", b)
		}
		if _, _, err := f.Link(t.Context(), f.admin, b.Mails[0].ID); !errors.Is(err, desk.ErrConflict) {
			t.Errorf("the link of a mail that was sent: %v", err)
		}
	})
}

func TestMailIsRetriedWithTheSameMessageID(t *testing.T) {
	f := setUp(t, storetest.SQLite(t))
	if err := f.SetOutgoing(t.Context(), f.admin, server); err != nil {
		t.Fatal(err)
	}
	f.post.err = &mail.SendError{Stage: mail.StageConnect, Text: "connection refused"}
	f.invite(t, "lucia@studioverdi.it")
	for i := range 20 {
		f.work(t)
		f.now = f.now.Add(12 * time.Hour / 4)
		if b := f.outbox(t); b.Waiting == 1 && !strings.Contains(b.Mails[0].LastError, "connection refused") {
			t.Fatalf("after attempt %d the outbox says %+v", i+1, b.Mails[0])
		}
	}
	b := f.outbox(t)
	if b.Failed != 1 || b.Waiting != 0 || len(f.post.letters) != 14 {
		t.Fatalf("%d attempts, %+v", len(f.post.letters), b)
	}
	for _, l := range f.post.letters {
		if l.MessageID != f.post.letters[0].MessageID {
			t.Errorf("Message-ID %s, then %s", f.post.letters[0].MessageID, l.MessageID)
		}
	}
	f.post.err = nil
	if err := f.Retry(t.Context(), f.admin, b.Mails[0].ID); err != nil {
		t.Fatal(err)
	}
	f.work(t)
	if n := len(f.post.letters); n != 15 || len(f.outbox(t).Mails) != 0 {
		t.Errorf("after a person's retry: %d attempts, %+v", n, f.outbox(t))
	}
}

func TestPermanentFailureEndsAtOnce(t *testing.T) {
	f := setUp(t, storetest.SQLite(t))
	if err := f.SetOutgoing(t.Context(), f.admin, server); err != nil {
		t.Fatal(err)
	}
	f.post.err = &mail.SendError{Stage: mail.StageRecipient, Permanent: true, Text: "550 no such mailbox\r\nX-Evil: 1"}
	f.invite(t, "lucia@studioverdi.it")
	f.work(t)
	b := f.outbox(t)
	if b.Failed != 1 || len(f.post.letters) != 1 || strings.ContainsAny(b.Mails[0].LastError, "\r\n") {
		t.Fatalf("%d attempts, %+v", len(f.post.letters), b)
	}
	if err := f.Discard(t.Context(), f.admin, b.Mails[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := f.Retry(t.Context(), f.admin, b.Mails[0].ID); !errors.Is(err, desk.ErrConflict) {
		t.Errorf("retry of what was given up: %v", err)
	}
	if n := len(f.outbox(t).Mails); n != 0 {
		t.Errorf("%d left", n)
	}
}

func TestExpiredLinkIsNotSent(t *testing.T) {
	f := setUp(t, storetest.SQLite(t))
	f.invite(t, "lucia@studioverdi.it")
	f.work(t)
	f.now = f.now.Add(8 * 24 * time.Hour)
	if err := f.SetOutgoing(t.Context(), f.admin, server); err != nil {
		t.Fatal(err)
	}
	f.work(t)
	if len(f.post.letters) != 0 || len(f.outbox(t).Mails) != 0 {
		t.Errorf("%d sent, %+v", len(f.post.letters), f.outbox(t))
	}
}

func TestPasswordStaysWithItsServer(t *testing.T) {
	f := setUp(t, storetest.SQLite(t))
	set := func(s mail.Server) bool {
		t.Helper()
		if err := f.SetOutgoing(t.Context(), f.admin, s); err != nil {
			t.Fatal(err)
		}
		got, has, err := f.Outgoing(t.Context(), f.admin)
		if err != nil || got.Password != "" {
			t.Fatalf("%+v %v", got, err)
		}
		return has
	}
	same, other := server, server
	same.Password, other.Password, other.Host = "", "", "evil.example.com"
	if !set(server) || !set(same) {
		t.Error("the password was forgotten")
	}
	if set(other) {
		t.Error("the password would go to another server")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	f := setUp(t, storetest.SQLite(t))
	for name, change := range map[string]func(*mail.Server){
		"no host":                        func(s *mail.Server) { s.Host = " " },
		"host with a path":               func(s *mail.Server) { s.Host = "mail.example.com/x" },
		"port":                           func(s *mail.Server) { s.Port = 70000 },
		"security":                       func(s *mail.Server) { s.Security = "none" },
		"sender":                         func(s *mail.Server) { s.From = "help" },
		"sender's name with a line":      func(s *mail.Server) { s.FromName = "a\r\nBcc: x@y.z" },
		"user with a line":               func(s *mail.Server) { s.User = "a\r\nb" },
		"password over an open network":  func(s *mail.Server) { s.Security = mail.Plain },
		"password over an open network ": func(s *mail.Server) { s.Security, s.Host = mail.Plain, "192.168.1.5" },
	} {
		s := server
		change(&s)
		if err := f.SetOutgoing(t.Context(), f.admin, s); !errors.Is(err, desk.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, a := range []desk.Actor{{}, actor(account.Technician), actor(account.Responsible), actor(account.Requester), desk.Device("d")} {
		_, _, err1 := f.Outgoing(t.Context(), a)
		_, err2 := f.Outbox(t.Context(), a)
		_, _, err3 := f.Link(t.Context(), a, "x")
		_, _, err4 := f.Test(t.Context(), a, "a@example.com")
		for _, err := range []error{err1, err2, err3, err4, f.SetOutgoing(t.Context(), a, server), f.ForgetOutgoing(t.Context(), a), f.Retry(t.Context(), a, "x"), f.Discard(t.Context(), a, "x")} {
			if !errors.Is(err, desk.ErrDenied) {
				t.Errorf("%+v: %v", a, err)
			}
		}
	}
}
