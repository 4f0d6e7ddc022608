package mail_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/mail/mailtest"
)

func TestMailsReachARealServer(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{})
	tr := &mail.Transport{PublicURL: "https://help.example.com", Loop: "mark", Roots: s.Roots}
	letter := func(to string) deskmail.Letter {
		return deskmail.Letter{Kind: desk.MailInvitation, MessageID: "m1@example.com", At: time.Now(), From: "help@example.com", FromName: "Rossi IT è qui", Brand: "Rossi IT", To: to, Language: "it",
			Link: "/invitation#token=abc", Data: map[string]string{"Organization": "Studio Verdi", "Role": "requester", "By": "Anna Bianchi", "Until": "2026-11-29T10:00:00Z"}}
	}
	base := deskmail.Server{Host: "localhost", From: "help@example.com"}
	for _, tt := range []struct {
		name   string
		server deskmail.Server
		to     string
		roots  bool
		stage  deskmail.Stage // empty: it is taken
	}{
		{"STARTTLS", deskmail.Server{Port: s.SMTP, Security: deskmail.STARTTLS}, "a@example.com", true, ""},
		{"TLS and password", deskmail.Server{Port: s.SMTPS, Security: deskmail.TLS, User: "help@example.com", Password: mailtest.Password}, "b@example.com", true, ""},
		{"STARTTLS and password", deskmail.Server{Port: s.SMTP, Security: deskmail.STARTTLS, User: "help@example.com", Password: mailtest.Password}, "c@example.com", true, ""},
		{"plain on loopback", deskmail.Server{Port: s.SMTP, Security: deskmail.Plain}, "d@example.com", true, ""},
		{"wrong password", deskmail.Server{Port: s.SMTPS, Security: deskmail.TLS, User: "help@example.com", Password: "wrong"}, "e@example.com", true, deskmail.StageSignIn},
		{"unknown authority", deskmail.Server{Port: s.SMTPS, Security: deskmail.TLS}, "e@example.com", false, deskmail.StageTLS},
		{"unknown authority by STARTTLS", deskmail.Server{Port: s.SMTP, Security: deskmail.STARTTLS}, "e@example.com", false, deskmail.StageTLS},
		{"TLS where none is spoken", deskmail.Server{Port: s.SMTP, Security: deskmail.TLS}, "e@example.com", true, deskmail.StageTLS},
		{"refused recipient", deskmail.Server{Port: s.SMTP, Security: deskmail.STARTTLS}, "nobody@example.com", true, deskmail.StageRecipient},
		{"foreign recipient", deskmail.Server{Port: s.SMTP, Security: deskmail.STARTTLS}, "x@elsewhere.example", true, deskmail.StageRecipient},
		{"nobody at the port", deskmail.Server{Port: 1, Security: deskmail.Plain}, "e@example.com", true, deskmail.StageConnect},
		{"unknown name", deskmail.Server{Host: "mail.invalid", Port: 25, Security: deskmail.Plain}, "e@example.com", true, deskmail.StageName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := tt.server
			server.From = base.From
			if server.Host == "" {
				server.Host = base.Host
			}
			tr := *tr
			if !tt.roots {
				tr.Roots = nil
			}
			r, err := tr.Send(t.Context(), server, letter(tt.to))
			if tt.stage != "" {
				var e *deskmail.SendError
				if !errors.As(err, &e) || e.Stage != tt.stage {
					t.Fatalf("got %v, want a failure at %s", err, tt.stage)
				}
				if got, want := e.Permanent, tt.stage == deskmail.StageRecipient; got != want {
					t.Errorf("permanent: %v, want %v (%v)", got, want, err)
				}
				if strings.Contains(err.Error(), mailtest.Password) {
					t.Error("the error tells the password")
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, s.Log())
			}
			if !strings.Contains(r.Reply, "queued") || (r.TLS == "") != (server.Security == deskmail.Plain) {
				t.Errorf("the receipt is %+v", r)
			}
			m, err := netmail.ReadMessage(strings.NewReader(s.Wait(tt.to, 1)[0]))
			if err != nil {
				t.Fatal(err)
			}
			for k, want := range map[string]string{"Message-Id": "<m1@example.com>", "Auto-Submitted": "auto-generated", "X-Loop": "mark", "X-Auto-Response-Suppress": "All"} {
				if got := m.Header.Get(k); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
			if from, err := m.Header.AddressList("From"); err != nil || from[0].Name != "Rossi IT è qui" || from[0].Address != "help@example.com" {
				t.Errorf("From: %v %v", from, err)
			}
			text, html := parts(t, m)
			for _, p := range []string{text, html} {
				if !strings.Contains(p, "https://help.example.com/invitation#token=abc") || !strings.Contains(p, "Studio Verdi") {
					t.Errorf("link or organization is missing in %s", p)
				}
			}
		})
	}
}

// parts are the text and HTML of a mail of ours.
func parts(t *testing.T, m *netmail.Message) (text, html string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return text, html
		}
		if err != nil {
			t.Fatal(err)
		}
		var from io.Reader = p
		if strings.EqualFold(p.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			from = quotedprintable.NewReader(p)
		}
		b, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			html = string(b)
		} else {
			text = string(b)
		}
	}
}
