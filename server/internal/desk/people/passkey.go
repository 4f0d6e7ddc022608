package people

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

const (
	passkeyLife = 5 * time.Minute // of a challenge
	maxAnswer   = 64 << 10        // of a browser, in bytes
)

// PasskeyHost returns the host for which browsers make passkeys here. The error says why they don't: the server is
// reached by an address instead of a name.
func (p *People) PasskeyHost() (string, error) {
	u, err := url.Parse(p.o.PublicURL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || net.ParseIP(u.Hostname()) != nil {
		return "", desk.Refuse(desk.ErrConflict, "passkey_address")
	}
	return u.Hostname(), nil
}

func (p *People) authn() (*webauthn.WebAuthn, error) {
	host, err := p.PasskeyHost()
	if err != nil {
		return nil, err
	}
	w, err := webauthn.New(&webauthn.Config{RPID: host, RPDisplayName: issuer, RPOrigins: []string{strings.TrimSuffix(p.o.PublicURL, "/")}})
	if err != nil {
		return nil, fmt.Errorf("set up passkeys for %s: %w", host, err)
	}
	return w, nil
}

// holder is an account with its passkeys, as package webauthn wants it.
type holder struct {
	account.Account
	keys []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.ID) }
func (h holder) WebAuthnName() string                       { return h.Email }
func (h holder) WebAuthnDisplayName() string                { return h.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func holderOf(tx store.Tx, a account.Account) (h holder, err error) {
	h.Account = a
	list, err := tx.Factors(a.ID)
	if err != nil {
		return h, err
	}
	for _, f := range list {
		if f.Kind != account.Passkey {
			continue
		}
		var k webauthn.Credential
		if err := decode(f.Secret, &k); err != nil {
			return h, err
		}
		h.keys = append(h.keys, k)
	}
	return h, nil
}

func keyID(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// ask keeps a ceremony's state and returns what the browser is given, as JSON.
func ask(c *desk.Change, id string, of account.ID, options any, state *webauthn.SessionData) ([]byte, error) {
	b, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("keep a passkey's challenge: %w", err)
	}
	if err := c.PutChallenge(store.Challenge{ID: id, Account: of, Data: string(b), ExpiresAt: c.Now.Add(passkeyLife)}); err != nil {
		return nil, err
	}
	out, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("encode a passkey's challenge: %w", err)
	}
	return out, nil
}

// asked takes a ceremony's state, which is good for one answer. It is nil when there is none.
func asked(c *desk.Change, id string) (*webauthn.SessionData, error) {
	known, err := c.Challenge(id, c.Now)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := c.DropChallenge(id); err != nil {
		return nil, err
	}
	state := &webauthn.SessionData{}
	return state, decode(known.Data, state)
}

// BeginPasskey returns what the browser needs to make a passkey for the actor, as JSON.
func (p *People) BeginPasskey(ctx context.Context, a desk.Actor) (options []byte, err error) {
	w, err := p.authn()
	if err != nil {
		return nil, err
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		_, me, err := p.maySetUp(c.Tx, a, c.Now)
		if err != nil {
			return err
		}
		h, err := holderOf(c.Tx, me)
		if err != nil {
			return err
		}
		creation, state, err := w.BeginRegistration(h, webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementPreferred),
			webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()), webauthn.WithConveyancePreference(protocol.PreferNoAttestation))
		if err != nil {
			return fmt.Errorf("begin a passkey: %w", err)
		}
		options, err = ask(c, setUp(a, account.Passkey), me.ID, creation, state)
		return err
	})
	return options, err
}

// ConfirmPasskey keeps the passkey that the browser has made.
func (p *People) ConfirmPasskey(ctx context.Context, a desk.Actor, name, answer string) (d Done, err error) {
	w, err := p.authn()
	if err != nil {
		return d, err
	}
	if len(answer) > maxAnswer {
		return d, desk.Fail(desk.ErrTooLarge)
	}
	parsed, perr := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if perr != nil {
		return d, desk.Refuse(desk.ErrInvalid, "passkey_failed")
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		l, me, err := p.maySetUp(c.Tx, a, c.Now)
		if err != nil {
			return err
		}
		state, err := asked(c, setUp(a, account.Passkey))
		if err != nil {
			return err
		}
		if state == nil {
			return desk.Refuse(desk.ErrConflict, "setup_expired")
		}
		h, err := holderOf(c.Tx, me)
		if err != nil {
			return err
		}
		key, err := w.CreateCredential(h, *state, parsed)
		if err != nil {
			p.o.Logger.Info("a passkey was refused", "err", err)
			return desk.Refuse(desk.ErrInvalid, "passkey_failed")
		}
		b, err := json.Marshal(key)
		if err != nil {
			return fmt.Errorf("keep a passkey: %w", err)
		}
		d, err = p.addFactor(c, l, me, account.Factor{Kind: account.Passkey, Name: label(name), Secret: string(b), KeyID: keyID(key.ID)})
		return err
	})
	return d, err
}

// AskPasskey returns what the browser needs to use one of the actor's passkeys, as JSON.
func (p *People) AskPasskey(ctx context.Context, a desk.Actor) (options []byte, err error) {
	w, err := p.authn()
	if err != nil {
		return nil, err
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		h, err := holderOf(c.Tx, me)
		if err != nil {
			return err
		}
		if len(h.keys) == 0 {
			return desk.Refuse(desk.ErrConflict, "passkey_failed")
		}
		assertion, state, err := w.BeginLogin(h)
		if err != nil {
			return fmt.Errorf("ask for a passkey: %w", err)
		}
		options, err = ask(c, proving(a, account.Passkey), me.ID, assertion, state)
		return err
	})
	return options, err
}

// checkPasskey checks the browser's answer to AskPasskey.
func (p *People) checkPasskey(c *desk.Change, me account.Account, answer string) (bool, error) {
	w, err := p.authn()
	if err != nil {
		return false, err
	}
	state, err := asked(c, proving(c.Actor, account.Passkey))
	if err != nil || state == nil || len(answer) > maxAnswer {
		return false, err
	}
	parsed, perr := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if perr != nil {
		return false, nil
	}
	h, err := holderOf(c.Tx, me)
	if err != nil {
		return false, err
	}
	key, verr := w.ValidateLogin(h, *state, parsed)
	if verr != nil || key.Authenticator.CloneWarning { // a counter that runs backwards: somebody has copied the key
		p.o.Logger.Info("a passkey was refused", "err", verr)
		return false, nil
	}
	f, err := c.FactorByKey(keyID(key.ID))
	if err != nil || f.Account != me.ID {
		return false, err
	}
	b, err := json.Marshal(key)
	if err != nil {
		return false, fmt.Errorf("keep a passkey: %w", err)
	}
	was := f.Step
	f.Secret, f.SeenAt = string(b), c.Now
	return true, c.UseFactor(f, was)
}
