package store

import "github.com/traybell/traybell/server/internal/account"

const (
	templates      = `select id, name, support_phone, plan_tickets, plan_own_device, plan_assets, members_see_all, product_name, tray_title, time_zone, created_at from organization_templates`
	insertTemplate = `insert into organization_templates (id, name, support_phone, plan_tickets, plan_own_device, plan_assets, members_see_all, product_name, tray_title, time_zone, created_at)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	deleteTemplate = `delete from organization_templates where id = $1`
)

func scanTemplate(r row) (m account.Template, err error) {
	var created int64
	err = r.Scan(&m.ID, &m.Name, &m.SupportPhone, &m.Plan.Tickets, &m.Plan.OwnDevice, &m.Plan.Assets, &m.MembersSeeAll, &m.ProductName, &m.TrayTitle, &m.TimeZone, &created)
	m.CreatedAt = at(created)
	return m, err
}

// Templates lists the templates of organizations by name.
func (t Tx) Templates() ([]account.Template, error) {
	return all(t, scanTemplate, templates+` order by name, id`)
}

// Template loads one template.
func (t Tx) Template(id string) (account.Template, error) {
	return one(t, scanTemplate, templates+` where id = $1`, id)
}

// InsertTemplate stores a new template; ErrExists when the name is taken.
func (t Tx) InsertTemplate(m account.Template) error {
	_, err := t.exec(insertTemplate, m.ID, m.Name, m.SupportPhone, m.Plan.Tickets, m.Plan.OwnDevice, m.Plan.Assets, m.MembersSeeAll, m.ProductName, m.TrayTitle, m.TimeZone, micros(m.CreatedAt))
	return err
}

// DeleteTemplate forgets a template; ErrStale when there is none.
func (t Tx) DeleteTemplate(id string) error { return t.change(deleteTemplate, id) }
