package people

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// brands reports why the actor may not change how an organization looks.
func brands(tx store.Tx, a desk.Actor, id account.OrganizationID) (account.Organization, error) {
	o, err := visible(tx, a, id)
	if err == nil && !sells(a, id) {
		err = desk.ErrDenied
	}
	return o, err
}

// SetLogo makes a logo out of a picture's file, as account.Logo does.
func (p *People) SetLogo(ctx context.Context, a desk.Actor, id account.OrganizationID, file []byte) error {
	// Decoding is dear; it is not done for those who may not.
	if err := p.o.Read(ctx, func(tx store.Tx) error { _, err := brands(tx, a, id); return err }); err != nil {
		return err
	}
	picture, err := account.Logo(file)
	if err != nil {
		return desk.Fail(err)
	}
	sum := sha256.Sum256(picture)
	return p.logo(ctx, a, id, hex.EncodeToString(sum[:]), picture)
}

// DropLogo takes an organization's logo away.
func (p *People) DropLogo(ctx context.Context, a desk.Actor, id account.OrganizationID) error {
	return p.logo(ctx, a, id, "", nil)
}

func (p *People) logo(ctx context.Context, a desk.Actor, id account.OrganizationID, sum string, picture []byte) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := brands(c.Tx, a, id)
		if err != nil || o.Logo == sum {
			return err
		}
		if sum != "" {
			if err := c.AddLogo(sum, picture); err != nil {
				return err
			}
		}
		was := o.Logo
		o.Logo = sum
		if err := c.SaveOrganization(o); err != nil {
			return err
		}
		if was != "" {
			if err := c.Tx.DropLogo(was); err != nil {
				return err
			}
		}
		return c.Record("organization.changed", organizationRef(id), o.Name, map[string]any{"logo": sum != ""})
	})
}

// Logo is an organization's logo as a PNG, for its members and for those who look after it; store.ErrNotFound when it has none.
func (p *People) Logo(ctx context.Context, a desk.Actor, id account.OrganizationID) (picture []byte, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		o, err := tx.Organization(id)
		if err != nil {
			return err
		}
		if a.Organization != id && !(o.Provider && a.Role.Staff()) && !a.MayIn(account.PeopleView, id) || o.Logo == "" {
			return store.ErrNotFound
		}
		picture, err = tx.Logo(o.Logo)
		return err
	})
	return picture, err
}
