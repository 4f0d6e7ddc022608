package people

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// SignedIn is a fresh sign-in: Token goes into the browser's cookie and is not stored.
type SignedIn struct {
	Token   string
	Login   account.Login
	Account account.Account
}

// Step is a browser half-way through a sign-in or sign-up: the first factor is proven, the second is not.
type Step struct {
	Token   string // for the browser's cookie; only of a fresh step
	Login   account.Login
	Account account.Account
	Factors []account.Factor // one of them must be proven; none: one must be set up
	Browser string           // what the browser's cookie of Browser says
}

// Actor is the person half-way, for the use cases that set up or prove a factor. It has no role and
// therefore no rights.
func (s Step) Actor() desk.Actor {
	return desk.Actor{Account: s.Account.ID, Name: s.Account.Name, Language: s.Account.Language, Via: desk.ViaPortal, Address: s.Login.Address, Login: s.Login.ID}
}

// Credentials are what somebody types to sign in.
type Credentials struct {
	Email     string
	Password  string
	Language  string // of the page, for an account that is made
	Address   string
	UserAgent string
	Browser   string // what the browser's cookie of Browser says
}

// SignIn checks the password and returns the step at which the second factor is asked for. The error says neither
// what was wrong nor whether the account exists; desk.ErrLimited says that there were too many attempts.
func (p *People) SignIn(ctx context.Context, in Credentials) (s Step, err error) {
	a, err := p.password(ctx, in)
	if err != nil {
		return s, err
	}
	return p.Begin(ctx, a.ID, in.Address, in.UserAgent)
}

// password finds the account whose password somebody has given.
func (p *People) password(ctx context.Context, in Credentials) (a account.Account, err error) {
	email, err := account.NormalizeEmail(in.Email)
	if err != nil || utf8.RuneCountInString(in.Password) > account.MaxPassword {
		return a, desk.Refuse(desk.ErrDenied, "sign_in_wrong")
	}
	now := p.o.Time()
	byAddress, ok1 := p.address.Take(in.Address, now)
	if !ok1 {
		return a, desk.Fail(desk.ErrLimited)
	}
	count, err := p.countedAs(ctx, email, in.Address, in.Browser, now)
	if err != nil {
		return a, err
	}
	byAccount, ok2 := p.account.Take(count, now)
	if !ok2 {
		return a, desk.Fail(desk.ErrLimited)
	}
	defer func() {
		if !errors.Is(err, desk.ErrDenied) { // nothing was guessed wrong
			byAddress()
			byAccount()
		}
	}()
	known, ok, err := p.verified(ctx, in, email)
	if err != nil {
		return a, err
	}
	a = known
	// Who has not finished signing up goes on by the invitation's link, unless a directory vouches for them.
	if !ok || a.ID == "" || a.RegisteredAt.IsZero() && a.Directory == "" || a.Disabled {
		if a.ID != "" {
			p.failed(ctx, a, in.Address)
		}
		return a, desk.Refuse(desk.ErrDenied, "sign_in_wrong")
	}
	return a, nil
}

// Begin makes the step at which the second factor is asked for, for an account whose first factor was proven:
// the password, or what a directory says.
func (p *People) Begin(ctx context.Context, id account.ID, address, userAgent string) (s Step, err error) {
	err = p.o.Change(ctx, desk.Actor{Account: id, Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		a, err := c.Account(id)
		if err != nil {
			return err
		}
		switch {
		case a.Disabled:
			return desk.ErrDenied
		case a.FactorLost:
			return desk.Refuse(desk.ErrConflict, "factor_lost")
		}
		s, err = p.step(c, a, userAgent, "")
		return err
	})
	return s, err
}

// step makes a half-way login for c's actor.
func (p *People) step(c *desk.Change, a account.Account, userAgent, invitation string) (s Step, err error) {
	s = Step{Token: newToken(), Account: a}
	if s.Factors, err = c.Factors(a.ID); err != nil {
		return s, err
	}
	s.Login = account.Login{ID: c.NewID(), Account: a.ID, Address: c.Actor.Address, UserAgent: short(userAgent, 300), CreatedAt: c.Now, SeenAt: c.Now, State: account.LoginSecond, Invitation: invitation}
	p.hide(s.Factors)
	if len(s.Factors) == 0 {
		s.Login.State = account.LoginSetup
	}
	if err := c.InsertLogin(s.Login, hash(s.Token)); err != nil {
		return s, err
	}
	return s, c.EndOldLogins(c.Now)
}

// Step finds the half-way login that a browser's token belongs to.
func (p *People) Step(ctx context.Context, token string) (s Step, err error) {
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if s.Login, err = tx.LoginByToken(hash(token)); err != nil {
			return err
		}
		if s.Login.State == account.LoginIn || !s.Login.Live(now) {
			return store.ErrNotFound
		}
		if s.Account, err = tx.Account(s.Login.Account); err != nil {
			return err
		}
		if s.Account.Disabled {
			return store.ErrNotFound
		}
		s.Factors, err = tx.Factors(s.Account.ID)
		return err
	})
	p.hide(s.Factors)
	if errors.Is(err, desk.ErrNotFound) {
		return Step{}, desk.Refuse(desk.ErrDenied, "signed_out")
	}
	return s, err
}

// login makes a complete login in the place of the half-way one, under a new token, for c's actor.
func (p *People) login(c *desk.Change, a account.Account, half account.Login) (SignedIn, error) {
	s := SignedIn{Token: newToken(), Account: a}
	s.Login = account.Login{ID: c.NewID(), Account: a.ID, Address: half.Address, UserAgent: half.UserAgent, CreatedAt: c.Now, SeenAt: c.Now, State: account.LoginIn, ConfirmedAt: c.Now, Current: true}
	if strings.HasPrefix(half.Invitation, byPasswordLink) { // a new password may be set
		s.Login.Invitation = half.Invitation
	}
	if err := c.EndLogin(a.ID, half.ID); err != nil {
		return s, err
	}
	if err := c.InsertLogin(s.Login, hash(s.Token)); err != nil {
		return s, err
	}
	c.Actor = desk.Of(a, desk.ViaPortal, half.Address)
	return s, c.Record("account.signed_in", ref(a.ID), a.Name, map[string]any{"login": s.Login.ID})
}

// failed notes a refused sign-in. It does not hold up the answer when it can't be written.
func (p *People) failed(ctx context.Context, a account.Account, address string) {
	err := p.o.Change(ctx, desk.Actor{Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		return c.Record("account.sign_in_refused", ref(a.ID), a.Name, nil)
	})
	if err != nil {
		p.o.Logger.Warn("refused sign-in could not be recorded", "err", err)
	}
}

// Login finds who a browser's token belongs to.
func (p *People) Login(ctx context.Context, token, address string) (actor desk.Actor, a account.Account, err error) {
	var l account.Login
	var acting account.Account
	var standsFor []account.ID
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if l, err = tx.LoginByToken(hash(token)); err != nil {
			return err
		}
		if l.State != account.LoginIn || !l.Live(now) {
			return store.ErrNotFound
		}
		if a, err = tx.Account(l.Account); err != nil {
			return err
		}
		if a.Disabled {
			return store.ErrNotFound
		}
		acting, standsFor, err = standIn(tx, a, now)
		return err
	})
	if err != nil {
		if errors.Is(err, desk.ErrNotFound) {
			err = desk.Refuse(desk.ErrDenied, "signed_out")
		}
		return desk.Actor{}, account.Account{}, err
	}
	if now.Sub(l.SeenAt) >= seenEvery {
		if err := p.o.Store.Write(ctx, func(tx store.Tx) error { return tx.SeeLogin(l.ID, now, address) }); err != nil {
			p.o.Logger.Warn("use of a login could not be noted", "err", err)
		}
	}
	actor = desk.Of(acting, desk.ViaPortal, address)
	actor.Login, actor.ConfirmedAt, actor.StandsFor = l.ID, l.ConfirmedAt, standsFor
	return actor, a, nil
}

// SignOut ends the actor's own login.
func (p *People) SignOut(ctx context.Context, a desk.Actor) error { return p.EndLogin(ctx, a, a.Login) }

// Logins lists where the actor is signed in.
func (p *People) Logins(ctx context.Context, a desk.Actor) (list []account.Login, err error) {
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		list, err = tx.Logins(a.Account)
		return err
	})
	list = slices.DeleteFunc(list, func(l account.Login) bool { return !l.Live(now) })
	for i := range list {
		list[i].Current = list[i].ID == a.Login
	}
	return list, err
}

// EndLogin ends one of the actor's logins.
func (p *People) EndLogin(ctx context.Context, a desk.Actor, id string) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.EndLogin(a.Account, id); err != nil && !errors.Is(err, store.ErrStale) {
			return err
		}
		return c.Record("account.signed_out", ref(a.Account), a.Name, map[string]any{"login": id})
	})
}

// EndOtherLogins ends all of the actor's logins but the one that asks.
func (p *People) EndOtherLogins(ctx context.Context, a desk.Actor) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.EndLogins(a.Account, a.Login); err != nil {
			return err
		}
		return c.Record("account.others_signed_out", ref(a.Account), a.Name, nil)
	})
}
