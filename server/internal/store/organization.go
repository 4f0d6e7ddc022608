package store

import (
	"encoding/base64"
	"fmt"

	"github.com/traybell/traybell/server/internal/account"
)

const organizationColumns = `id, name, provider, support_phone, plan_tickets, plan_own_device, plan_assets, members_see_all, product_name, tray_title, logo, time_zone, created_at, version`

func scanOrganization(r row) (o account.Organization, err error) {
	var created int64
	err = r.Scan(&o.ID, &o.Name, &o.Provider, &o.SupportPhone, &o.Plan.Tickets, &o.Plan.OwnDevice, &o.Plan.Assets, &o.MembersSeeAll, &o.ProductName, &o.TrayTitle, &o.Logo, &o.TimeZone, &created, &o.Version)
	o.CreatedAt = at(created)
	return o, err
}

const insertOrganization = `insert into organizations (id, name, sort_name, provider, support_phone, created_at, version) values ($1, $2, $3, $4, $5, $6, 1)`

// InsertOrganization stores a new organization with its support phone and the full plan; ErrExists when
// the name is taken. SaveOrganization stores the rest.
func (t Tx) InsertOrganization(o account.Organization) error {
	_, err := t.exec(insertOrganization, o.ID, o.Name, fold(o.Name), o.Provider, o.SupportPhone, micros(o.CreatedAt))
	return err
}

const saveOrganization = `update organizations set name = $1, sort_name = $2, support_phone = $3, plan_tickets = $4, plan_own_device = $5, plan_assets = $6, members_see_all = $7,
	product_name = $8, tray_title = $9, logo = $10, time_zone = $11, version = version + 1 where id = $12 and version = $13`

// SaveOrganization stores a changed organization, or returns ErrStale.
func (t Tx) SaveOrganization(o account.Organization) error {
	return t.change(saveOrganization, o.Name, fold(o.Name), o.SupportPhone, o.Plan.Tickets, o.Plan.OwnDevice, o.Plan.Assets, o.MembersSeeAll, o.ProductName, o.TrayTitle, o.Logo, o.TimeZone, o.ID, o.Version)
}

const organizations = `select ` + organizationColumns + ` from organizations`

// Organization loads one organization.
func (t Tx) Organization(id account.OrganizationID) (account.Organization, error) {
	return one(t, scanOrganization, organizations+` where id = $1`, id)
}

// OrganizationByName loads the organization with exactly this name.
func (t Tx) OrganizationByName(name string) (account.Organization, error) {
	return one(t, scanOrganization, organizations+` where name = $1`, name)
}

// Provider loads the organization that runs this server.
func (t Tx) Provider() (account.Organization, error) {
	return one(t, scanOrganization, organizations+` where provider`)
}

// Organizations lists some, or all when within is nil, the provider first and then by name.
func (t Tx) Organizations(within []account.OrganizationID) ([]account.Organization, error) {
	w := &where{}
	w.within("id", within)
	return all(t, scanOrganization, organizations+w.String()+` order by provider desc, name`, w.args...)
}

// OrganizationFilter chooses organizations. Zero fields choose all.
type OrganizationFilter struct {
	Within  []account.OrganizationID // nil: all; empty: none
	Query   string                   // part of the name or of a mail domain
	After   string                   // sort key and id of the last one of the page before
	AfterID account.OrganizationID
	Limit   int // default 50
}

// SortKey is by which names are ordered: without capitals and accents.
func SortKey(name string) string { return fold(name) }

// OrganizationPage lists organizations by name.
func (t Tx) OrganizationPage(f OrganizationFilter) ([]account.Organization, error) {
	w := &where{}
	if f.Within != nil {
		w.in("id", texts(f.Within))
	}
	if f.Query != "" {
		like := "%" + likeEscape(fold(f.Query)) + "%"
		w.and(`(sort_name like ? escape '\' or id in (select organization_id from organization_domains where domain like ? escape '\'))`, like, like)
	}
	if f.AfterID != "" {
		w.and("(sort_name, id) > (?, ?)", f.After, f.AfterID)
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	return all(t, scanOrganization, organizations+w.String()+" order by sort_name, id limit "+w.next(f.Limit), w.args...)
}

// texts are ids as arguments.
func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// count is how many of something an organization has.
type count struct {
	of account.OrganizationID
	n  int64
}

func scanCount(r row) (c count, err error) { return c, r.Scan(&c.of, &c.n) }

func (t Tx) counts(q string, w *where, column string, list []account.OrganizationID) (map[account.OrganizationID]int64, error) {
	w.in(column, texts(list))
	rows, err := all(t, scanCount, q+w.String()+" group by "+column, w.args...)
	m := map[account.OrganizationID]int64{}
	for _, c := range rows {
		m[c.of] = c.n
	}
	return m, err
}

// CountLicensed counts the licensed users of organizations: enabled accounts of account.LicensedRoles.
func (t Tx) CountLicensed(list ...account.OrganizationID) (map[account.OrganizationID]int64, error) {
	w := &where{}
	w.in("role", []string{string(account.LicensedRoles[0]), string(account.LicensedRoles[1])})
	w.and("disabled = ?", false)
	return t.counts(`select organization_id, count(*) from accounts`, w, "organization_id", list)
}

// CountDevices counts the devices of organizations that are not removed.
func (t Tx) CountDevices(list ...account.OrganizationID) (map[account.OrganizationID]int64, error) {
	w := &where{}
	w.and("removed_at = 0")
	return t.counts(`select organization_id, count(*) from devices`, w, "organization_id", list)
}

const (
	domains      = `select domain from organization_domains where organization_id = $1 order by domain`
	domainOwner  = `select organization_id from organization_domains where domain = $1`
	clearDomains = `delete from organization_domains where organization_id = $1`
	insertDomain = `insert into organization_domains (domain, organization_id) values ($1, $2)`
)

// Domains lists the mail domains of an organization.
func (t Tx) Domains(o account.OrganizationID) ([]string, error) {
	return all(t, scanText, domains, o)
}

func scanText(r row) (s string, err error) { return s, r.Scan(&s) }

// OrganizationByDomain finds the organization that a mail domain belongs to.
func (t Tx) OrganizationByDomain(domain string) (account.Organization, error) {
	id, err := one(t, scanText, domainOwner, domain)
	if err != nil {
		return account.Organization{}, err
	}
	return t.Organization(account.OrganizationID(id))
}

// SetDomains replaces an organization's mail domains; ErrExists when another organization has one of them.
func (t Tx) SetDomains(o account.OrganizationID, list []string) error {
	if _, err := t.exec(clearDomains, o); err != nil {
		return err
	}
	for _, d := range list {
		if _, err := t.exec(insertDomain, d, o); err != nil {
			return err
		}
	}
	return nil
}

const (
	logo       = `select png from logos where sha256 = $1`
	insertLogo = `insert into logos (sha256, png) values ($1, $2) on conflict (sha256) do nothing`
	deleteLogo = `delete from logos where sha256 = $1 and not exists (select 1 from organizations where logo = $1)`
)

// Logo loads a logo's PNG by its SHA-256.
func (t Tx) Logo(sha256 string) ([]byte, error) {
	text, err := one(t, scanText, logo, sha256)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("logo %s: %w", sha256, err)
	}
	return b, nil
}

// AddLogo stores a logo's PNG.
func (t Tx) AddLogo(sha256 string, png []byte) error {
	_, err := t.exec(insertLogo, sha256, base64.StdEncoding.EncodeToString(png))
	return err
}

// DropLogo forgets a logo that no organization shows any more.
func (t Tx) DropLogo(sha256 string) error {
	_, err := t.exec(deleteLogo, sha256)
	return err
}

const (
	absences      = `select id, organization_id, account_id, deputy_id, from_day, to_day from absences`
	insertAbsence = `insert into absences (id, organization_id, account_id, deputy_id, from_day, to_day) values ($1, $2, $3, $4, $5, $6)`
	deleteAbsence = `delete from absences where id = $1 and organization_id = $2`
	dropAbsences  = `delete from absences where account_id = $1 or deputy_id = $1`
)

func scanAbsence(r row) (a account.Absence, err error) {
	return a, r.Scan(&a.ID, &a.Organization, &a.Account, &a.Deputy, &a.From, &a.To)
}

// Absences lists an organization's absences that end on a day or later, the earliest first.
func (t Tx) Absences(o account.OrganizationID, from account.Day) ([]account.Absence, error) {
	return all(t, scanAbsence, absences+` where organization_id = $1 and to_day >= $2 order by from_day, id`, o, from)
}

// Deputises reports whether an account is named as a deputy for some day from the given one on.
func (t Tx) Deputises(a account.ID, from account.Day) (bool, error) {
	list, err := all(t, scanAbsence, absences+` where deputy_id = $1 and to_day >= $2 limit 1`, a, from)
	return len(list) > 0, err
}

// InsertAbsence stores an absence.
func (t Tx) InsertAbsence(a account.Absence) error {
	_, err := t.exec(insertAbsence, a.ID, a.Organization, a.Account, a.Deputy, a.From, a.To)
	return err
}

// DeleteAbsence takes an absence of an organization back; ErrStale when there is none.
func (t Tx) DeleteAbsence(o account.OrganizationID, id string) error {
	return t.change(deleteAbsence, id, o)
}

// DropAbsences forgets all absences that name an account.
func (t Tx) DropAbsences(a account.ID) error {
	_, err := t.exec(dropAbsences, a)
	return err
}
