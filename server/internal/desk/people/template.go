package people

import (
	"context"
	"errors"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// founds reports whether the actor may make organizations, and so sees and keeps the templates for them.
func founds(a desk.Actor) bool {
	return a.System || a.May(account.OrganizationsManage) && a.Reach.All
}

// Templates lists what new organizations can start with.
func (p *People) Templates(ctx context.Context, a desk.Actor) (list []account.Template, err error) {
	if !founds(a) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Templates(); return err })
	return list, err
}

// KeepTemplate keeps the settings of an organization as a template.
func (p *People) KeepTemplate(ctx context.Context, a desk.Actor, id account.OrganizationID, name string) (m account.Template, err error) {
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := visible(c.Tx, a, id)
		if err != nil {
			return err
		}
		if !founds(a) {
			return desk.ErrDenied
		}
		if name, err = account.CheckName(name); err != nil {
			return err
		}
		known, err := c.Templates()
		if err != nil {
			return err
		}
		for _, k := range known {
			if k.Name == name {
				return desk.Refuse(desk.ErrConflict, "template_taken")
			}
		}
		if len(known) >= account.MaxTemplates {
			return desk.Refuse(desk.ErrConflict, "templates_many")
		}
		m = account.TemplateOf(o, name)
		m.ID, m.CreatedAt = c.NewID(), c.Now
		if err := c.InsertTemplate(m); err != nil {
			return err
		}
		return c.Record("organization_template.made", "organization_template:"+m.ID, m.Name, map[string]any{"organization": o.ID})
	})
	return m, err
}

// DropTemplate forgets a template. Organizations that were made from it stay as they are.
func (p *People) DropTemplate(ctx context.Context, a desk.Actor, id string) error {
	if !founds(a) {
		return desk.Fail(desk.ErrDenied)
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		m, err := c.Template(id)
		if err != nil {
			return err
		}
		if err := c.DeleteTemplate(id); err != nil {
			return err
		}
		return c.Record("organization_template.removed", "organization_template:"+id, m.Name, nil)
	})
}

// CreateOrganizationFrom makes a customer that starts with a template's settings; without a template, with the full plan.
func (p *People) CreateOrganizationFrom(ctx context.Context, a desk.Actor, name, template string) (o account.Organization, err error) {
	if !founds(a) {
		return o, desk.Fail(desk.ErrDenied)
	}
	if name, err = account.CheckName(name); err != nil {
		return o, desk.Fail(err)
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		if _, err := c.OrganizationByName(name); !errors.Is(err, store.ErrNotFound) {
			if err == nil {
				err = desk.Refuse(desk.ErrConflict, "organization_taken")
			}
			return err
		}
		o = account.Organization{ID: account.OrganizationID(c.NewID()), Name: name, Plan: account.FullPlan, CreatedAt: c.Now, Version: 1}
		if err := c.InsertOrganization(o); err != nil {
			return err
		}
		if template == "" {
			return c.Record("organization.made", organizationRef(o.ID), o.Name, nil)
		}
		m, err := c.Template(template)
		if errors.Is(err, store.ErrNotFound) {
			return desk.Refuse(desk.ErrConflict, "template_gone")
		}
		if err != nil {
			return err
		}
		o = m.Apply(o)
		if err := c.SaveOrganization(o); err != nil {
			return err
		}
		o.Version++
		return c.Record("organization.made", organizationRef(o.ID), o.Name, map[string]any{"template": m.Name})
	})
	return o, err
}
