package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// discovery plays as much of an OpenID provider as the portal needs to name it.
func (p *Portal) discovery(w http.ResponseWriter, _ *http.Request) {
	at := p.URL + "/realms/staff"
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"issuer": at, "authorization_endpoint": at + "/auth", "token_endpoint": at + "/token", "jwks_uri": at + "/keys", "code_challenge_methods_supported": []string{"S256"},
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}})
}

// Gateway sets an SMS gateway that takes everything, or removes it.
func (p *Portal) Gateway(ctx context.Context, set bool) error {
	if !set {
		return p.People.SetSMSGateway(ctx, desk.System(), people.Gateway{})
	}
	if p.texts == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		p.texts = &http.Server{Addr: l.Addr().String(), ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })}
		go p.texts.Serve(l)
	}
	return p.People.SetSMSGateway(ctx, desk.System(), people.Gateway{URL: "http://" + p.texts.Addr + "/messages", Method: http.MethodPost, Header: "Authorization", Secret: "Bearer not-used", ContentType: "application/json", Body: `{"to": "{number}", "text": "{text}"}`})
}

// Invited invites somebody to Studio Verdi and returns the token of the link.
func (p *Portal) Invited(ctx context.Context, email string) (string, error) {
	_, token, err := p.People.Invite(ctx, desk.System(), people.NewInvitation{Email: email, Role: account.Requester, Organization: "Studio Verdi"})
	return token, err
}

// Newcomer is somebody who has followed an invitation and has yet to set up a second factor: the value of the cookie
// that stands for it.
func (p *Portal) Newcomer(ctx context.Context, email, language string) (string, error) {
	token, err := p.Invited(ctx, email)
	if err != nil {
		return "", err
	}
	step, err := p.People.AcceptInvitation(ctx, token, people.NewAccount{Name: "Giulia Moretti", Password: Password, Language: language, Address: "192.0.2.9"})
	return step.Token, err
}

// Halfway is somebody who has given the password and not yet the second factor.
func (p *Portal) Halfway(ctx context.Context, email string) (string, error) {
	step, err := p.People.SignIn(ctx, people.Credentials{Email: email, Password: Password, Address: "192.0.2.7"})
	return step.Token, err
}

// Stale signs somebody in who proved the second factor some time ago.
func (p *Portal) Stale(ctx context.Context, email string) (string, error) {
	p.clock.ago(time.Hour)
	defer p.clock.ago(0)
	return p.Token(ctx, email)
}

// AboutTicket resolves a ticket of somebody without account and returns the token of a link in the mail about it.
func (p *Portal) AboutTicket(ctx context.Context, purpose string) (string, error) {
	const writer = "g.verdi@weber-bau.example"
	k, err := p.Tickets.Create(ctx, desk.System(), deskticket.Draft{Title: "The plotter cuts the right margin", Text: "All drawings in A1.", Severity: api.Low, For: &ticket.Contact{Name: "Gina Verdi", Email: writer}})
	if err != nil {
		return "", err
	}
	if err := p.Tickets.Move(ctx, desk.System(), k.ID, ticket.Move{To: ticket.Resolved}); err != nil {
		return "", err
	}
	return p.SignMail(purpose, k.Number, writer), nil
}

// Reset lets somebody forget the password and returns the token of the mailed link.
func (p *Portal) Reset(ctx context.Context, email string) (string, error) {
	if err := p.People.ForgotPassword(ctx, email, "192.0.2.7"); err != nil {
		return "", err
	}
	return p.Mailed(ctx, desk.MailReset, email)
}

// Mailed is the token of the link in the newest waiting mail of a kind to somebody.
func (p *Portal) Mailed(ctx context.Context, kind, email string) (token string, err error) {
	b, err := p.Mails.Outbox(ctx, desk.System())
	if err != nil {
		return "", err
	}
	var newest time.Time
	for _, e := range b.Mails {
		if e.Kind != kind || e.To != email || !e.Link || e.CreatedAt.Before(newest) {
			continue
		}
		_, link, err := p.Mails.Link(ctx, desk.System(), e.ID)
		if err != nil {
			return "", err
		}
		_, token, _ = strings.Cut(link, "#token=")
		newest = e.CreatedAt
	}
	if token == "" {
		return "", fmt.Errorf("no %s mail waits for %s", kind, email)
	}
	return token, nil
}
