package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

// directorySettings is what stands in the column settings.
type directorySettings struct {
	Button      bool                 `json:"button"`
	Create      bool                 `json:"create"`
	DefaultRole account.Role         `json:"default_role"`
	Rules       []account.RoleRule   `json:"rules"`
	LDAP        account.LDAPSettings `json:"ldap,omitzero"`
	OIDC        account.OIDCSettings `json:"oidc,omitzero"`
}

func settingsOf(d account.Directory) string {
	return jsonText(directorySettings{d.Button, d.Create, d.DefaultRole, d.Rules, d.LDAP, d.OIDC})
}

const insertDirectory = `insert into directories (id, kind, name, organization_id, enabled, settings, secret, created_at, version) values ($1, $2, $3, $4, $5, $6, $7, $8, 1)`

// InsertDirectory stores a new directory; ErrExists when its name or one of its domains is taken.
func (t Tx) InsertDirectory(d account.Directory) error {
	if _, err := t.exec(insertDirectory, d.ID, d.Kind, d.Name, d.Organization, d.Enabled, settingsOf(d), d.Secret, micros(d.CreatedAt)); err != nil {
		return err
	}
	return t.setDirectoryDomains(d)
}

const saveDirectory = `update directories set name = $1, organization_id = $2, enabled = $3, settings = $4, secret = $5, version = version + 1 where id = $6 and version = $7`

// SaveDirectory stores a changed directory, or returns ErrStale; ErrExists when its name or one of its domains
// is taken.
func (t Tx) SaveDirectory(d account.Directory) error {
	if err := t.change(saveDirectory, d.Name, d.Organization, d.Enabled, settingsOf(d), d.Secret, d.ID, d.Version); err != nil {
		return err
	}
	return t.setDirectoryDomains(d)
}

const (
	clearDirectoryDomains = `delete from directory_domains where directory_id = $1`
	insertDirectoryDomain = `insert into directory_domains (domain, directory_id) values ($1, $2)`
)

func (t Tx) setDirectoryDomains(d account.Directory) error {
	if _, err := t.exec(clearDirectoryDomains, d.ID); err != nil {
		return err
	}
	for _, s := range d.Domains {
		if _, err := t.exec(insertDirectoryDomain, s, d.ID); err != nil {
			return err
		}
	}
	return nil
}

const (
	forgetDirectory       = `delete from directories where id = $1`
	releaseDirectoryUsers = `update accounts set disabled = true, directory_id = '', external_id = '', directory_gone = false, version = version + 1 where directory_id = $1`
	endDirectoryLogins    = `delete from logins where created_at < $1 and account_id in (select id from accounts where directory_id = $2)`
)

// DeleteDirectory forgets a directory. Its accounts stay, disabled and without a way to sign in; it returns how many
// there are.
func (t Tx) DeleteDirectory(id account.DirectoryID, now time.Time) (accounts int64, err error) {
	if err := t.EndDirectoryLogins(id, now.Add(time.Microsecond)); err != nil {
		return 0, err
	}
	if accounts, err = t.exec(releaseDirectoryUsers, id); err != nil {
		return 0, err
	}
	if _, err := t.exec(clearDirectoryDomains, id); err != nil {
		return 0, err
	}
	return accounts, t.change(forgetDirectory, id)
}

// EndDirectoryLogins ends the sign-ins of a directory's accounts that were made before a time.
func (t Tx) EndDirectoryLogins(id account.DirectoryID, before time.Time) error {
	_, err := t.exec(endDirectoryLogins, micros(before), id)
	return err
}

const directories = `select d.id, d.kind, d.name, d.organization_id, o.provider, d.enabled, d.settings, d.secret, d.created_at, d.version,
	(select coalesce(string_agg(m.domain, ' '), '') from (select domain from directory_domains where directory_id = d.id order by domain) m)
	from directories d join organizations o on o.id = d.organization_id`

func scanDirectory(r row) (d account.Directory, err error) {
	var settings, domains string
	var created int64
	if err = r.Scan(&d.ID, &d.Kind, &d.Name, &d.Organization, &d.Provider, &d.Enabled, &settings, &d.Secret, &created, &d.Version, &domains); err != nil {
		return d, err
	}
	var s directorySettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return d, fmt.Errorf("read the settings of directory %s: %w", d.ID, err)
	}
	d.Button, d.Create, d.DefaultRole, d.Rules, d.LDAP, d.OIDC = s.Button, s.Create, s.DefaultRole, s.Rules, s.LDAP, s.OIDC
	d.Domains, d.CreatedAt = strings.Fields(domains), at(created)
	return d, nil
}

// Directory loads one directory.
func (t Tx) Directory(id account.DirectoryID) (account.Directory, error) {
	return one(t, scanDirectory, directories+` where d.id = $1`, id)
}

// DirectoryByDomain loads the directory to which an e-mail domain belongs.
func (t Tx) DirectoryByDomain(domain string) (account.Directory, error) {
	return one(t, scanDirectory, directories+` where d.id = (select directory_id from directory_domains where domain = $1)`, domain)
}

// Directories lists all, by name.
func (t Tx) Directories() ([]account.Directory, error) {
	return all(t, scanDirectory, directories+` order by d.name`)
}

const linkAccount = `update accounts set directory_id = $1, external_id = $2, directory_gone = false where id = $3`

// LinkAccount notes who an account is in its directory; the empty directory makes it a local one.
func (t Tx) LinkAccount(a account.Account) error {
	n, err := t.exec(linkAccount, a.Directory, a.ExternalID, a.ID)
	if err == nil && n != 1 {
		return ErrNotFound
	}
	return err
}

const loseAccount = `update accounts set disabled = true, directory_gone = true, version = version + 1 where id = $1 and not disabled`

// LoseAccount disables an account because its directory has disabled or removed the person; ErrStale when it was
// disabled already.
func (t Tx) LoseAccount(id account.ID) error { return t.change(loseAccount, id) }

const directoryGone = `select count(*) from accounts where id = $1 and directory_gone`

// DirectoryGone reports whether it was the directory that has disabled an account.
func (t Tx) DirectoryGone(id account.ID) (bool, error) {
	n, err := one(t, scanInt, directoryGone, id)
	return n > 0, err
}

// AccountByIdentity loads the account of somebody of a directory.
func (t Tx) AccountByIdentity(d account.DirectoryID, external string) (account.Account, error) {
	return one(t, scanAccount, accounts+` where a.directory_id = $1 and a.external_id = $2`, d, external)
}

// DirectoryAccounts lists the accounts of a directory that are not disabled, by id.
func (t Tx) DirectoryAccounts(d account.DirectoryID) ([]account.Account, error) {
	return all(t, scanAccount, accounts+` where a.directory_id = $1 and not a.disabled order by a.id`, d)
}
