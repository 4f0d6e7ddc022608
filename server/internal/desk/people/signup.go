package people

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/catalogue"
)

// What a login that signs up the first administrator carries instead of an invitation's id.
const bySetUp = "first"

const (
	settingFirst        = "first_administrator" // hash of the link's token
	settingFirstAccount = "first_account"       // id of the account that has begun to sign up by it
)

// FirstAdministratorToken makes the token of the link by which the first administrator signs up; any earlier
// one stops working. It is empty once an administrator exists.
func (p *People) FirstAdministratorToken(ctx context.Context) (token string, err error) {
	secret := newToken()
	err = p.o.Store.Write(ctx, func(tx store.Tx) error {
		token = ""
		n, err := tx.CountAccounts(account.Administrator)
		if err != nil || n > 0 {
			return err
		}
		token = secret
		return tx.SetSetting(settingFirst, hash(secret))
	})
	return token, desk.Fail(err)
}

// CheckFirst reports whether the token of the first administrator's link still works.
func (p *People) CheckFirst(ctx context.Context, token string) error {
	return p.o.Read(ctx, func(tx store.Tx) error { return checkFirst(tx, token) })
}

func checkFirst(tx store.Tx, token string) error {
	want, err := tx.Setting(settingFirst)
	if errors.Is(err, store.ErrNotFound) {
		return account.ErrUsed
	}
	if err == nil && subtle.ConstantTimeCompare([]byte(hash(token)), []byte(want)) != 1 {
		return account.ErrExpired
	}
	return err
}

// NewAccount is what a person fills in to get an account.
type NewAccount struct {
	Email     string // ignored where an invitation says it
	Name      string
	Password  string
	Language  string
	Address   string // of the browser
	UserAgent string
}

// FirstAdministrator begins the first administrator's account. It stands, and the link is used up, once a second
// factor is set up; until then the link may be used again. organization, if not empty, becomes the name of the
// organization that runs this server.
func (p *People) FirstAdministrator(ctx context.Context, token, organization string, n NewAccount) (s Step, err error) {
	if err := p.CheckFirst(ctx, token); err != nil {
		return s, err
	}
	a, err := p.prepare(ctx, n, account.Administrator)
	if err != nil {
		return s, err
	}
	if organization != "" {
		if organization, err = account.CheckName(organization); err != nil {
			return s, desk.Fail(err)
		}
	}
	err = p.o.Change(ctx, desk.Actor{Name: a.Name, Via: desk.ViaPortal, Address: n.Address}, func(c *desk.Change) error {
		if err := checkFirst(c.Tx, token); err != nil {
			return err
		}
		o, err := c.Provider()
		if err != nil {
			return err
		}
		if organization != "" && organization != o.Name {
			o.Name = organization
			if err := c.SaveOrganization(o); err != nil {
				return err
			}
		}
		a.Organization, a.OrganizationName = o.ID, o.Name
		// Who begins again, perhaps with another address, goes on with the same account.
		begun := account.ID("")
		switch id, err := c.Setting(settingFirstAccount); {
		case err == nil:
			begun = account.ID(id)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if s, err = p.settle(c, a, n, begun, bySetUp); err != nil {
			return err
		}
		return c.SetSetting(settingFirstAccount, string(s.Account.ID))
	})
	return s, err
}

// prepare checks what somebody filled in and hashes the password, outside of any transaction.
func (p *People) prepare(ctx context.Context, n NewAccount, r account.Role) (a account.Account, err error) {
	a = account.Account{Role: r, Language: catalogue.Match(n.Language)}
	if a.Email, err = account.NormalizeEmail(n.Email); err != nil {
		return a, desk.Fail(err)
	}
	if a.Name, err = account.CheckName(n.Name); err != nil {
		return a, desk.Fail(err)
	}
	if err := account.CheckPassword(n.Password, a.Email); err != nil {
		return a, desk.Fail(err)
	}
	a.Password, err = p.hashPassword(ctx, n.Password)
	return a, err
}

// settle keeps what a person has filled in, in the account that an invitation or an earlier attempt has made
// or in a new one, and lets the browser go on to the second factor.
func (p *People) settle(c *desk.Change, a account.Account, n NewAccount, begun account.ID, by string) (Step, error) {
	known, err := c.AccountByEmail(a.Email)
	if errors.Is(err, store.ErrNotFound) && begun != "" {
		known, err = c.Account(begun)
	}
	switch {
	case err == nil && (!known.RegisteredAt.IsZero() || known.Disabled || known.Directory != ""):
		return Step{}, desk.Refuse(desk.ErrConflict, "email_taken")
	case err == nil:
		known.Email, known.Name, known.Language, known.Password = a.Email, a.Name, a.Language, a.Password
		known.Role, known.Organization, known.OrganizationName = a.Role, a.Organization, a.OrganizationName
		a = known
		if err := c.SaveAccount(a); err != nil {
			return Step{}, err
		}
		a.Version++
		if err := c.EndLogins(a.ID, ""); err != nil {
			return Step{}, err
		}
	case errors.Is(err, store.ErrNotFound):
		a.ID, a.CreatedAt, a.Version = account.ID(c.NewID()), c.Now, 1
		if err := c.InsertAccount(a); err != nil {
			return Step{}, err
		}
	default:
		return Step{}, err
	}
	c.Actor = desk.Of(a, desk.ViaPortal, n.Address)
	return p.step(c, a, n.UserAgent, by)
}

// AcceptInvitation begins the invited account. It stands, and the invitation is used up, once a second factor is
// set up; until then the link may be used again.
func (p *People) AcceptInvitation(ctx context.Context, token string, n NewAccount) (s Step, err error) {
	i, err := p.Invitation(ctx, token)
	if err != nil {
		return s, err
	}
	n.Email = i.Email
	a, err := p.prepare(ctx, n, i.Role)
	if err != nil {
		return s, err
	}
	err = p.o.Change(ctx, desk.Actor{Name: a.Name, Via: desk.ViaPortal, Address: n.Address}, func(c *desk.Change) error {
		i, err := invitation(c.Tx, token)
		if err != nil {
			return err
		}
		if err := i.Check(c.Now); err != nil {
			return err
		}
		a.Organization, a.OrganizationName = i.Organization, i.OrganizationName
		s, err = p.settle(c, a, n, "", i.ID)
		return err
	})
	return s, err
}

// register makes an account stand that has just got its first second factor, and uses up the invitation by which
// its owner came.
func (p *People) register(c *desk.Change, a *account.Account, by string) error {
	switch {
	case by == "": // it stood before, or a directory vouches for it
	case strings.HasPrefix(by, byFactorLink):
		ok, err := c.DropChallenge(by)
		if err != nil {
			return err
		}
		if !ok {
			return account.ErrUsed
		}
	case by == bySetUp:
		if _, err := c.Setting(settingFirst); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				return account.ErrUsed
			}
			return err
		}
		if err := c.SetSetting(settingFirst, ""); err != nil {
			return err
		}
		if err := c.SetSetting(settingFirstAccount, ""); err != nil {
			return err
		}
	default:
		i, err := c.Invitation(by)
		if errors.Is(err, store.ErrNotFound) {
			return account.ErrExpired
		}
		if err != nil {
			return err
		}
		if err := i.Check(c.Now); err != nil {
			return err
		}
		if err := c.UseInvitations(i.Email, c.Now); err != nil {
			return err
		}
		if err := c.DropMails(desk.MailInvitation, i.Email, c.Now); err != nil {
			return err
		}
	}
	a.FactorLost = false
	fresh := a.RegisteredAt.IsZero()
	if fresh {
		a.RegisteredAt = c.Now
	}
	if err := c.SaveAccount(*a); err != nil {
		return err
	}
	a.Version++
	if !fresh {
		return nil
	}
	return c.Record("account.made", ref(a.ID), a.Name, map[string]any{"role": a.Role})
}
