package people

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

const (
	recoverCodes = 10
	issuer       = "Traybell"
)

// Done is what setting up a factor has brought.
type Done struct {
	Codes    []string  // the first factor: recovery codes, which can't be shown again
	SignedIn *SignedIn // it was set up half-way through a sign-in, which is complete now
}

// Factors lists the actor's second factors.
func (p *People) Factors(ctx context.Context, a desk.Actor) (list []account.Factor, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Factors(a.Account); return err })
	p.hide(list)
	return list, err
}

// hide takes the secrets out of factors, and shows of a telephone's number what may be seen.
func (p *People) hide(list []account.Factor) {
	for i, f := range list {
		if f.Kind == account.SMS {
			if number, err := p.unseal(f.Secret, string(f.Account)); err == nil {
				list[i].Shown = account.MaskNumber(number)
			}
		}
		list[i].Secret = ""
	}
}

// Keep seals what a page must carry through a proof of the second factor, for this login only.
func (p *People) Keep(a desk.Actor, text string) string { return p.seal(text, "kept:"+a.Login) }

// Kept opens what Keep has sealed.
func (p *People) Kept(a desk.Actor, sealed string) (string, error) {
	text, err := p.unseal(sealed, "kept:"+a.Login)
	if err != nil {
		return "", desk.Fail(desk.ErrInvalid)
	}
	return text, nil
}

// maySetUp loads the actor's login and account if they may get another factor now: signing up without
// one, or freshly proven.
func (p *People) maySetUp(tx store.Tx, a desk.Actor, now time.Time) (l account.Login, me account.Account, err error) {
	if l, err = tx.Login(a.Login); err != nil {
		return l, me, err
	}
	if l.Account != a.Account || !l.Live(now) {
		return l, me, desk.ErrDenied
	}
	if me, err = tx.Account(a.Account); err != nil {
		return l, me, err
	}
	switch l.State {
	case account.LoginIn:
		return l, me, desk.NeedFresh(a, now)
	case account.LoginSetup:
		list, err := tx.Factors(me.ID)
		if err == nil && len(list) > 0 {
			err = desk.ErrDenied
		}
		return l, me, err
	}
	return l, me, desk.ErrDenied
}

// addFactor keeps a factor that was just proven. The account's first one completes a sign-up or sign-in and
// brings recovery codes.
func (p *People) addFactor(c *desk.Change, l account.Login, me account.Account, f account.Factor) (d Done, err error) {
	list, err := c.Factors(me.ID)
	if err != nil {
		return d, err
	}
	if len(list) >= maxFactors {
		return d, desk.Refuse(desk.ErrConflict, "factors_many")
	}
	f.ID, f.Account, f.CreatedAt = c.NewID(), me.ID, c.Now
	if err := c.InsertFactor(f); err != nil {
		return d, err
	}
	known := !me.RegisteredAt.IsZero()
	if l.State == account.LoginSetup {
		if err := p.register(c, &me, l.Invitation); err != nil {
			return d, err
		}
	}
	if known {
		if err := p.tell(c, desk.MailFactorChanged, me); err != nil {
			return d, err
		}
	}
	if err := c.Record("account.second_factor_set", ref(me.ID), me.Name, map[string]any{"kind": f.Kind, "factor": f.ID}); err != nil {
		return d, err
	}
	if len(list) == 0 {
		var hashes []string
		d.Codes, hashes = newRecoveryCodes(me.ID)
		if err := c.SetRecoveryCodes(me.ID, hashes); err != nil {
			return d, err
		}
	}
	if l.State == account.LoginSetup {
		in, err := p.login(c, me, l)
		if err != nil {
			return d, err
		}
		d.SignedIn = &in
	}
	return d, nil
}

const (
	maxFactors = 10
	maxLabel   = 60 // characters of a factor's name
)

// label is a factor's name as it is kept; it may be empty.
func label(s string) string {
	s, err := account.CheckName(s)
	if err != nil {
		return ""
	}
	return short(s, maxLabel)
}

// RenameFactor names one of the actor's factors.
func (p *People) RenameFactor(ctx context.Context, a desk.Actor, id, name string) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.RenameFactor(a.Account, id, label(name)); err != nil {
			if errors.Is(err, store.ErrStale) {
				return store.ErrNotFound
			}
			return err
		}
		return c.Record("account.second_factor_renamed", ref(a.Account), a.Name, map[string]any{"factor": id})
	})
}

// RemoveFactor removes one of the actor's factors, but never the last one.
func (p *People) RemoveFactor(ctx context.Context, a desk.Actor, id string) error {
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		list, err := c.Factors(a.Account)
		if err != nil {
			return err
		}
		if err := c.DeleteFactor(a.Account, id); err != nil {
			if errors.Is(err, store.ErrStale) {
				return store.ErrNotFound
			}
			return err
		}
		if len(list) < 2 {
			return desk.Refuse(desk.ErrConflict, "factor_last")
		}
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		if err := p.tell(c, desk.MailFactorChanged, me); err != nil {
			return err
		}
		return c.Record("account.second_factor_removed", ref(a.Account), a.Name, map[string]any{"factor": id})
	})
}

// NewRecoveryCodes replaces the actor's recovery codes; they can't be shown again.
func (p *People) NewRecoveryCodes(ctx context.Context, a desk.Actor) (codes []string, err error) {
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return nil, err
	}
	codes, hashes := newRecoveryCodes(a.Account)
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.SetRecoveryCodes(a.Account, hashes); err != nil {
			return err
		}
		return c.Record("account.recovery_codes_made", ref(a.Account), a.Name, nil)
	})
	return codes, err
}

// RecoveryCodesLeft counts the actor's unspent recovery codes.
func (p *People) RecoveryCodesLeft(ctx context.Context, a desk.Actor) (n int64, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error { n, err = tx.CountRecoveryCodes(a.Account); return err })
	return n, err
}

// AppSetup is what an authenticator app needs, shown until it is confirmed.
type AppSetup struct {
	Secret string // base32, to be typed
	URL    string // otpauth://
}

// setUp is the id of the challenge of a factor that a login sets up.
func setUp(a desk.Actor, k account.FactorKind) string { return a.Login + ":new:" + string(k) }

// proving is the id of the challenge of a factor that a login proves.
func proving(a desk.Actor, k account.FactorKind) string { return a.Login + ":" + string(k) }

// BeginApp gives the actor the secret for a new authenticator app: for half an hour the same one. Nothing changes
// before ConfirmApp.
func (p *People) BeginApp(ctx context.Context, a desk.Actor) (s AppSetup, err error) {
	raw := make([]byte, 20)
	rand.Read(raw)
	var me account.Account
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		if _, me, err = p.maySetUp(c.Tx, a, c.Now); err != nil {
			return err
		}
		known, err := c.Challenge(setUp(a, account.App), c.Now)
		if err == nil {
			s.Secret, err = p.unseal(known.Data, string(me.ID))
			return err
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s.Secret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
		return c.PutChallenge(store.Challenge{ID: setUp(a, account.App), Account: me.ID, Data: p.seal(s.Secret, string(me.ID)), ExpiresAt: c.Now.Add(account.StepLife / 2)})
	})
	if err != nil {
		return s, err
	}
	key, err := p.appKey(s.Secret, me.Email)
	if err != nil {
		return s, err
	}
	s.URL = key.URL()
	return s, nil
}

func (p *People) appKey(secret, email string) (*otp.Key, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return nil, fmt.Errorf("read an authenticator secret: %w", err)
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: email, Secret: raw})
	if err != nil {
		return nil, fmt.Errorf("make an authenticator secret: %w", err)
	}
	return key, nil
}

// AppPicture is the QR code of BeginApp's secret, a PNG of 240 × 240.
func (p *People) AppPicture(ctx context.Context, a desk.Actor) ([]byte, error) {
	s, err := p.BeginApp(ctx, a)
	if err != nil {
		return nil, err
	}
	key, err := otp.NewKeyFromURL(s.URL)
	if err != nil {
		return nil, fmt.Errorf("read an authenticator secret: %w", err)
	}
	img, err := key.Image(240, 240)
	if err != nil {
		return nil, fmt.Errorf("draw the QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("encode the QR code: %w", err)
	}
	return b.Bytes(), nil
}

// ConfirmApp keeps the authenticator app, once it shows the right code.
func (p *People) ConfirmApp(ctx context.Context, a desk.Actor, name, code string) (d Done, err error) {
	right, ok := p.account.Take(string(a.Account), p.o.Time())
	if !ok {
		return d, desk.Fail(desk.ErrLimited)
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		l, me, err := p.maySetUp(c.Tx, a, c.Now)
		if err != nil {
			return err
		}
		begun, err := c.Challenge(setUp(a, account.App), c.Now)
		if errors.Is(err, store.ErrNotFound) {
			return desk.Refuse(desk.ErrConflict, "setup_expired")
		}
		if err != nil {
			return err
		}
		step, err := p.appStep(begun.Data, me.ID, digits(code), c.Now)
		if err != nil {
			return err
		}
		if step == 0 {
			return desk.Refuse(desk.ErrDenied, "code_wrong")
		}
		if _, err := c.DropChallenge(begun.ID); err != nil {
			return err
		}
		d, err = p.addFactor(c, l, me, account.Factor{Kind: account.App, Name: label(name), Secret: begun.Data, Step: step})
		return err
	})
	if err == nil {
		right()
	}
	return d, err
}

var totpOptions = totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1} // what every app can do

// appStep returns the time step at which the code of a sealed secret is right: the present one, or one beside it
// for clocks that are off. It is 0 when the code is wrong.
func (p *People) appStep(sealed string, of account.ID, code string, now time.Time) (int64, error) {
	secret, err := p.unseal(sealed, string(of))
	if err != nil {
		return 0, fmt.Errorf("open the authenticator secret: %w", err)
	}
	for _, d := range []int64{0, -1, 1} {
		step := now.Unix()/30 + d
		want, err := totp.GenerateCodeCustom(secret, time.Unix(step*30, 0), totpOptions)
		if err != nil {
			return 0, fmt.Errorf("make a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return step, nil
		}
	}
	return 0, nil
}

// digits is a code as people type it, without what they put between its groups.
func digits(code string) string {
	return strings.ToUpper(strings.Join(strings.Fields(strings.ReplaceAll(short(code, 100), "-", " ")), ""))
}

func newRecoveryCodes(a account.ID) (codes, hashes []string) {
	for range recoverCodes {
		b := make([]byte, 10)
		rand.Read(b)
		s := base32.StdEncoding.EncodeToString(b) // 16 characters, 80 bits
		codes = append(codes, strings.Join([]string{s[:4], s[4:8], s[8:12], s[12:]}, "-"))
		hashes = append(hashes, hash(string(a), s))
	}
	return codes, hashes
}

// decode reads JSON that this package has written.
func decode(data string, into any) error {
	if err := json.Unmarshal([]byte(data), into); err != nil {
		return fmt.Errorf("read what was stored: %w", err)
	}
	return nil
}
