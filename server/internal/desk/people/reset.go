package people

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// ResetAccount gives the account with an address a fresh start, on the server's command line: a new
// password, and a second factor that must be set up at the next sign-in. All its logins end. It returns the password.
func (p *People) ResetAccount(ctx context.Context, a desk.Actor, email string) (password string, err error) {
	if !a.System {
		return "", desk.Fail(desk.ErrDenied)
	}
	who, err := p.byEmail(ctx, email)
	if err != nil {
		return "", err
	}
	password = "Tb-" + newToken()[:16] + "-7"
	encoded, err := p.hashPassword(ctx, password)
	if err != nil {
		return "", err
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		who, err := c.Account(who.ID)
		if err != nil {
			return err
		}
		who.Password, who.FactorLost, who.Disabled = encoded, false, false
		if who.RegisteredAt.IsZero() {
			who.RegisteredAt = c.Now
		}
		if err := c.SaveAccount(who); err != nil {
			return err
		}
		who.Directory, who.ExternalID = "", "" // the way in when a directory fails
		if err := c.LinkAccount(who); err != nil {
			return err
		}
		if err := c.DeleteFactors(who.ID); err != nil {
			return err
		}
		if err := c.SetRecoveryCodes(who.ID, nil); err != nil {
			return err
		}
		if err := c.EndLogins(who.ID, ""); err != nil {
			return err
		}
		return c.Record("account.reset", ref(who.ID), who.Name, nil)
	})
	return password, err
}

// How long the links of resets work.
const (
	passwordLinkLife = 2 * time.Hour
	factorLinkLife   = 7 * 24 * time.Hour
)

// What begins the id of a link's challenge, and what a login that came by it carries.
const (
	byPasswordLink = "password:"
	byFactorLink   = "factor:"
)

// LinkKind is what a link that was mailed is for.
type LinkKind string

// The kinds of links.
const (
	PasswordLink LinkKind = "password" // a new password, after the second factor
	FactorLink   LinkKind = "factor"   // a new second factor, after the password
)

// ForgotPassword mails a link to the account with an address, if there is one that has its password here. The answer is
// the same for every address.
func (p *People) ForgotPassword(ctx context.Context, email, address string) error {
	email, err := account.NormalizeEmail(email)
	if err != nil {
		return desk.Fail(err)
	}
	now := p.o.Time()
	if _, ok := p.address.Take(address, now); !ok {
		return desk.Fail(desk.ErrLimited)
	}
	if _, ok := p.forgot.Take(email, now); !ok {
		return nil // enough mails are under way; saying so would tell about the account
	}
	token := newToken()
	return p.o.Change(ctx, desk.Actor{Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		a, err := c.AccountByEmail(email)
		if errors.Is(err, store.ErrNotFound) || err == nil && (a.RegisteredAt.IsZero() || a.Disabled || a.Directory != "" || !a.SecondFactor) {
			return c.Record("account.reset_refused", "address:unknown", "", nil)
		}
		if err != nil {
			return err
		}
		until := c.Now.Add(passwordLinkLife)
		if err := c.PutChallenge(store.Challenge{ID: byPasswordLink + hash(token), Account: a.ID, ExpiresAt: until}); err != nil {
			return err
		}
		if err := c.OweMail(desk.Mail{Kind: desk.MailReset, To: a.Email, Name: a.Name, Account: a.ID, Language: a.Language, Organization: a.Organization, Link: "/reset#token=" + token, Until: until,
			Data: map[string]string{"Until": until.Format(time.RFC3339)}}); err != nil {
			return err
		}
		return c.Record("account.reset_asked", ref(a.ID), a.Name, nil)
	})
}

// ResetLink tells what a mailed link is for, and for which account; account.ErrExpired when it does not work.
func (p *People) ResetLink(ctx context.Context, token string) (kind LinkKind, a account.Account, err error) {
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		for by, k := range map[string]LinkKind{byPasswordLink: PasswordLink, byFactorLink: FactorLink} {
			known, err := tx.Challenge(by+hash(token), now)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			kind = k
			a, err = tx.Account(known.Account)
			return err
		}
		return account.ErrExpired
	})
	return kind, a, err
}

// FollowPasswordLink makes the step at which the second factor is asked for, instead of a password. The sign-in that
// follows may set a new password by NewPassword.
func (p *People) FollowPasswordLink(ctx context.Context, token, address, userAgent string) (s Step, err error) {
	if _, ok := p.address.Take(address, p.o.Time()); !ok {
		return s, desk.Fail(desk.ErrLimited)
	}
	err = p.o.Change(ctx, desk.Actor{Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		known, err := c.Challenge(byPasswordLink+hash(token), c.Now)
		if errors.Is(err, store.ErrNotFound) {
			return account.ErrExpired
		}
		if err != nil {
			return err
		}
		a, err := c.Account(known.Account)
		if err != nil {
			return err
		}
		// Without a second factor the link alone would be enough to take the account over.
		if a.Disabled || a.FactorLost || !a.SecondFactor {
			return account.ErrExpired
		}
		s, err = p.step(c, a, userAgent, known.ID)
		return err
	})
	return s, err
}

// MaySetPassword reports whether the actor's login came by a link of ForgotPassword that was not used up.
func (p *People) MaySetPassword(ctx context.Context, a desk.Actor) (may bool, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		l, err := tx.Login(a.Login)
		if err != nil || !strings.HasPrefix(l.Invitation, byPasswordLink) {
			return err
		}
		_, err = tx.Challenge(l.Invitation, p.o.Time())
		if may = err == nil; errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	return may, err
}

// NewPassword sets a new password in the place of a forgotten one, and uses up the link. All other logins end.
func (p *People) NewPassword(ctx context.Context, a desk.Actor, password string) error {
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
	var email string
	if err := p.o.Read(ctx, func(tx store.Tx) error {
		me, err := tx.Account(a.Account)
		email = me.Email
		return err
	}); err != nil {
		return err
	}
	if err := account.CheckPassword(password, email); err != nil {
		return desk.Fail(err)
	}
	encoded, err := p.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		l, err := c.Login(a.Login)
		if err != nil {
			return err
		}
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		if l.Account != me.ID || !strings.HasPrefix(l.Invitation, byPasswordLink) {
			return desk.ErrDenied
		}
		if _, err := c.Challenge(l.Invitation, c.Now); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				return account.ErrExpired
			}
			return err
		}
		if _, err := c.DropChallenge(l.Invitation); err != nil {
			return err
		}
		me.Password = encoded
		if err := c.SaveAccount(me); err != nil {
			return err
		}
		if err := c.EndLogins(me.ID, a.Login); err != nil {
			return err
		}
		if err := p.tell(c, desk.MailPasswordSet, me); err != nil {
			return err
		}
		return c.Record("account.password_reset", ref(me.ID), me.Name, nil)
	})
}

// tell mails the account a notice of what has happened to it.
func (p *People) tell(c *desk.Change, kind string, a account.Account) error {
	return c.OweMail(desk.Mail{Kind: kind, To: a.Email, Name: a.Name, Account: a.ID, Language: a.Language, Organization: a.Organization,
		Data: map[string]string{"When": c.Now.Format(time.RFC3339), "Address": c.Actor.Address}})
}

// ResetFactor takes away the second factors of somebody who has lost them: all their logins end, and a link to the
// account's own address lets them set up a new one, with the password. Who resets never holds both.
func (p *People) ResetFactor(ctx context.Context, a desk.Actor, email string) error {
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
	known, err := p.byEmail(ctx, email)
	if err != nil {
		return err
	}
	token := newToken()
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		who, err := c.Account(known.ID)
		if err != nil {
			return err
		}
		if err := mayMake(a, who.Role, who.Organization); err != nil {
			return desk.Refuse(desk.ErrNotFound, "no_account") // the same as of an address without one
		}
		switch {
		case who.ID == a.Account:
			return desk.Refuse(desk.ErrConflict, "factor_own")
		case who.RegisteredAt.IsZero():
			return desk.Refuse(desk.ErrConflict, "factor_none")
		}
		who.FactorLost = true
		if err := c.SaveAccount(who); err != nil {
			return err
		}
		if err := c.DeleteFactors(who.ID); err != nil {
			return err
		}
		if err := c.SetRecoveryCodes(who.ID, nil); err != nil {
			return err
		}
		if err := c.EndLogins(who.ID, ""); err != nil {
			return err
		}
		until := c.Now.Add(factorLinkLife)
		if err := c.PutChallenge(store.Challenge{ID: byFactorLink + hash(token), Account: who.ID, ExpiresAt: until}); err != nil {
			return err
		}
		if err := c.OweMail(desk.Mail{Kind: desk.MailFactorReset, To: who.Email, Name: who.Name, Account: who.ID, Language: who.Language, Organization: who.Organization, Link: "/reset#token=" + token, Until: until,
			Data: map[string]string{"By": a.Name, "When": c.Now.Format(time.RFC3339), "Until": until.Format(time.RFC3339)}}); err != nil {
			return err
		}
		return c.Record("account.second_factor_reset", ref(who.ID), who.Name, nil)
	})
}

// FollowFactorLink makes the step at which a new second factor is set up, for the account of a link of ResetFactor
// whose password is given.
func (p *People) FollowFactorLink(ctx context.Context, token string, in Credentials) (s Step, err error) {
	_, known, err := p.ResetLink(ctx, token)
	if err != nil {
		return s, err
	}
	in.Email = known.Email
	a, err := p.password(ctx, in)
	if err != nil {
		return s, err
	}
	err = p.o.Change(ctx, desk.Actor{Account: a.ID, Name: a.Name, Via: desk.ViaPortal, Address: in.Address}, func(c *desk.Change) error {
		link, err := c.Challenge(byFactorLink+hash(token), c.Now)
		if errors.Is(err, store.ErrNotFound) || err == nil && link.Account != a.ID {
			return account.ErrExpired
		}
		if err != nil {
			return err
		}
		s, err = p.step(c, a, in.UserAgent, link.ID)
		return err
	})
	return s, err
}
