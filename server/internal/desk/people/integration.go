package people

import (
	"context"
	"errors"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// Integration is a program's account with its tokens.
type Integration struct {
	account.Account
	Tokens []account.Token
}

// ManagesIntegrations reports whether somebody may see and change the accounts of programs.
func ManagesIntegrations(a desk.Actor) bool {
	return a.Everywhere(account.TokensManage) && a.May(account.SettingsManage)
}

// changesIntegrations is nil for whoever may change the accounts of programs now.
func (p *People) changesIntegrations(a desk.Actor) error {
	if err := byHand(a); err != nil {
		return err
	}
	if !ManagesIntegrations(a) {
		return desk.Fail(desk.ErrDenied)
	}
	return desk.NeedFresh(a, p.o.Time())
}

// Integrations lists the programs that have accounts, with their tokens.
func (p *People) Integrations(ctx context.Context, a desk.Actor) (list []Integration, err error) {
	if !ManagesIntegrations(a) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error {
		list = nil
		accounts, err := tx.Integrations()
		for _, i := range accounts {
			tokens, err := tx.Tokens(i.ID)
			if err != nil {
				return err
			}
			list = append(list, Integration{i, tokens})
		}
		return err
	})
	return list, err
}

// Integration loads one program's account.
func (p *People) Integration(ctx context.Context, a desk.Actor, id account.ID) (i Integration, err error) {
	if !ManagesIntegrations(a) {
		return i, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if i.Account, err = integration(tx, id); err != nil {
			return err
		}
		i.Tokens, err = tx.Tokens(id)
		return err
	})
	return i, err
}

func integration(tx store.Tx, id account.ID) (account.Account, error) {
	i, err := tx.Account(id)
	if err == nil && (i.Role != account.Integration || i.Disabled) {
		err = store.ErrNotFound
	}
	return i, err
}

// CreateIntegration makes an account for a program of an organization, by its name, in which its tokens' rights count;
// without one it is the provider's, and they count everywhere. Nobody signs in by it.
func (p *People) CreateIntegration(ctx context.Context, a desk.Actor, name, organization string) (i account.Account, err error) {
	if err := p.changesIntegrations(a); err != nil {
		return i, err
	}
	if name, err = account.CheckName(name); err != nil {
		return i, desk.Fail(err)
	}
	organization = strings.TrimSpace(organization)
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := c.Provider()
		if err == nil && organization != "" && organization != o.Name {
			o, err = c.OrganizationByName(organization)
		}
		if errors.Is(err, store.ErrNotFound) {
			return desk.Refuse(desk.ErrInvalid, "rights.integration_organization")
		}
		if err != nil {
			return err
		}
		id := c.NewID()
		i = account.Account{ID: account.ID(id), Organization: o.ID, OrganizationName: o.Name, Email: id + "@integration.invalid", Name: name, Language: a.Language, Role: account.Integration, CreatedAt: c.Now}
		if err := c.InsertAccount(i); err != nil {
			return err
		}
		if !o.Provider {
			i.Limits.Organizations = []account.OrganizationID{o.ID}
			if err := c.SetLimits(i.ID, i.Limits); err != nil {
				return err
			}
		}
		return c.Record("integration.made", ref(i.ID), name, map[string]any{"organization": o.ID})
	})
	return i, err
}

// CreateIntegrationToken makes a token for a program, with rights of the actor's own; its secret can't be shown again.
func (p *People) CreateIntegrationToken(ctx context.Context, a desk.Actor, id account.ID, n NewToken) (k account.Token, secret string, err error) {
	if err := p.changesIntegrations(a); err != nil {
		return k, "", err
	}
	if err := p.o.Read(ctx, func(tx store.Tx) error { _, err := integration(tx, id); return err }); err != nil {
		return k, "", err
	}
	return p.createToken(ctx, a, id, n)
}

// DeleteIntegrationToken withdraws a program's token.
func (p *People) DeleteIntegrationToken(ctx context.Context, a desk.Actor, id account.ID, token string) error {
	if err := p.changesIntegrations(a); err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		i, err := integration(c.Tx, id)
		if err != nil {
			return err
		}
		if err := c.DeleteToken(id, token); errors.Is(err, store.ErrStale) {
			return store.ErrNotFound
		} else if err != nil {
			return err
		}
		return c.Record("token.withdrawn", ref(id), i.Name, map[string]any{"token": token})
	})
}

// RemoveIntegration ends a program's account with its tokens; what it has done stays.
func (p *People) RemoveIntegration(ctx context.Context, a desk.Actor, id account.ID) error {
	if err := p.changesIntegrations(a); err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		i, err := integration(c.Tx, id)
		if err != nil {
			return err
		}
		tokens, err := c.Tokens(id)
		if err != nil {
			return err
		}
		for _, k := range tokens {
			if err := c.DeleteToken(id, k.ID); err != nil {
				return err
			}
		}
		i.Disabled = true
		if err := c.SaveAccount(i); err != nil {
			return err
		}
		return c.Record("integration.removed", ref(id), i.Name, nil)
	})
}
