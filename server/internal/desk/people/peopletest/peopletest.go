// Package peopletest completes sign-ups and sign-ins where tests and samples need people: with an
// authenticator app whose codes it computes from the secret, as a person's telephone would.
package peopletest

import (
	"context"
	"fmt"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// Code is what an authenticator app with a secret shows at a time.
func Code(secret string, at time.Time) string {
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		return err.Error()
	}
	return code
}

// Finished is a complete sign-up.
type Finished struct {
	people.SignedIn
	Secret string   // of the authenticator app
	Codes  []string // recovery codes
}

// Actor is the person in the portal, who has just proven the second factor.
func (f Finished) Actor() desk.Actor {
	a := desk.Of(f.Account, desk.ViaPortal, f.Login.Address)
	a.Login, a.ConfirmedAt = f.Login.ID, f.Login.ConfirmedAt
	return a
}

// Finish sets up an authenticator app, by which a step at the door becomes a complete sign-in.
func Finish(ctx context.Context, p *people.People, s people.Step, now time.Time) (f Finished, err error) {
	setup, err := p.BeginApp(ctx, s.Actor())
	if err != nil {
		return f, fmt.Errorf("begin the authenticator app: %w", err)
	}
	d, err := p.ConfirmApp(ctx, s.Actor(), "", Code(setup.Secret, now))
	if err != nil {
		return f, fmt.Errorf("confirm the authenticator app: %w", err)
	}
	return Finished{SignedIn: *d.SignedIn, Secret: setup.Secret, Codes: d.Codes}, nil
}

// Recover completes a sign-in by a recovery code, which tests can do as often as they like: each code of the app
// works once in thirty seconds.
func Recover(ctx context.Context, p *people.People, s people.Step, code string) (people.SignedIn, error) {
	return p.Prove(ctx, s, people.Proof{Kind: people.Recovery, Text: code})
}
