package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

const accounts = `select a.id, a.organization_id, o.name, a.email, a.name, a.language, a.role, a.directory_id, a.external_id, a.password, a.registered_at, a.factor_lost, a.disabled, a.created_at, a.version,
	exists (select 1 from factors f where f.account_id = a.id), coalesce(x.limits, '')
	from accounts a join organizations o on o.id = a.organization_id left join account_limits x on x.account_id = a.id`

func scanAccount(r row) (a account.Account, err error) {
	var created, registered int64
	var limits string
	err = r.Scan(&a.ID, &a.Organization, &a.OrganizationName, &a.Email, &a.Name, &a.Language, &a.Role, &a.Directory, &a.ExternalID, &a.Password, &registered, &a.FactorLost, &a.Disabled, &created, &a.Version, &a.SecondFactor, &limits)
	a.CreatedAt, a.RegisteredAt = at(created), at(registered)
	if err == nil {
		err = parseLimits(limits, &a.Limits)
	}
	return a, err
}

// Account loads one account.
func (t Tx) Account(id account.ID) (account.Account, error) {
	return one(t, scanAccount, accounts+` where a.id = $1`, id)
}

// AccountByEmail loads the account with a normalised address.
func (t Tx) AccountByEmail(email string) (account.Account, error) {
	return one(t, scanAccount, accounts+` where a.email = $1`, email)
}

// Accounts lists the people of some organizations, or of all when they are nil, by name.
func (t Tx) Accounts(within []account.OrganizationID) ([]account.Account, error) {
	w := &where{}
	w.within("a.organization_id", within)
	w.and("a.role <> ?", account.Integration)
	return all(t, scanAccount, accounts+w.String()+` order by a.name, a.id`, w.args...)
}

// Integrations lists the programs that have accounts, by name.
func (t Tx) Integrations() ([]account.Account, error) {
	return all(t, scanAccount, accounts+` where a.role = $1 and not a.disabled order by a.name, a.id`, account.Integration)
}

// Staff lists the accounts that a ticket may be given to, by name.
func (t Tx) Staff() ([]account.Account, error) {
	return all(t, scanAccount, accounts+` where a.role in ($1, $2) and not a.disabled order by a.name, a.id`, account.Technician, account.Administrator)
}

const countAccounts = `select count(*) from accounts where role = $1 and not disabled and registered_at > 0`

// CountAccounts counts the accounts of a role that can sign in.
func (t Tx) CountAccounts(r account.Role) (int64, error) { return one(t, scanInt, countAccounts, r) }

const insertAccount = `insert into accounts (id, organization_id, email, name, language, role, password, registered_at, factor_lost, disabled, created_at, version)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)`

// InsertAccount stores a new account; ErrExists when the address has one.
func (t Tx) InsertAccount(a account.Account) error {
	_, err := t.exec(insertAccount, a.ID, a.Organization, a.Email, a.Name, a.Language, a.Role, a.Password, micros(a.RegisteredAt), a.FactorLost, a.Disabled, micros(a.CreatedAt))
	if err != nil {
		return err
	}
	return t.indexAccount(a)
}

const saveAccount = `update accounts set organization_id = $1, email = $2, name = $3, language = $4, role = $5, password = $6, registered_at = $7, factor_lost = $8, disabled = $9, version = version + 1
	where id = $10 and version = $11`

// SaveAccount stores a changed account, or returns ErrStale.
func (t Tx) SaveAccount(a account.Account) error {
	if err := t.change(saveAccount, a.Organization, a.Email, a.Name, a.Language, a.Role, a.Password, micros(a.RegisteredAt), a.FactorLost, a.Disabled, a.ID, a.Version); err != nil {
		return err
	}
	return t.indexAccount(a)
}

const (
	clearRecovery  = `delete from recovery_codes where account_id = $1`
	insertRecovery = `insert into recovery_codes (account_id, hash) values ($1, $2)`
	useRecovery    = `delete from recovery_codes where account_id = $1 and hash = $2`
	countRecovery  = `select count(*) from recovery_codes where account_id = $1`
)

// SetRecoveryCodes replaces an account's recovery codes by these hashes.
func (t Tx) SetRecoveryCodes(a account.ID, hashes []string) error {
	if _, err := t.exec(clearRecovery, a); err != nil {
		return err
	}
	for _, h := range hashes {
		if _, err := t.exec(insertRecovery, a, h); err != nil {
			return err
		}
	}
	return nil
}

// UseRecoveryCode spends a code; it reports whether there was one.
func (t Tx) UseRecoveryCode(a account.ID, hash string) (bool, error) {
	n, err := t.exec(useRecovery, a, hash)
	return n == 1, err
}

// CountRecoveryCodes counts the codes that are left.
func (t Tx) CountRecoveryCodes(a account.ID) (int64, error) { return one(t, scanInt, countRecovery, a) }

const useInvitation = `update invitations set used_at = $1 where id = $2 and used_at = 0`

const insertInvitation = `insert into invitations (id, token_hash, organization_id, email, role, made_by, created_at, expires_at, used_at) values ($1, $2, $3, $4, $5, $6, $7, $8, 0)`

// InsertInvitation stores an invitation under its token's hash.
func (t Tx) InsertInvitation(i account.Invitation, tokenHash string) error {
	_, err := t.exec(insertInvitation, i.ID, tokenHash, i.Organization, i.Email, i.Role, i.MadeBy, micros(i.CreatedAt), micros(i.ExpiresAt))
	return err
}

const invitations = `select i.id, i.organization_id, o.name, i.email, i.role, i.made_by, i.created_at, i.expires_at, i.used_at
	from invitations i join organizations o on o.id = i.organization_id`

func scanInvitation(r row) (i account.Invitation, err error) {
	var created, expires, used int64
	err = r.Scan(&i.ID, &i.Organization, &i.OrganizationName, &i.Email, &i.Role, &i.MadeBy, &created, &expires, &used)
	i.CreatedAt, i.ExpiresAt, i.UsedAt = at(created), at(expires), at(used)
	return i, err
}

// InvitationByToken finds an invitation.
func (t Tx) InvitationByToken(tokenHash string) (account.Invitation, error) {
	return one(t, scanInvitation, invitations+` where i.token_hash = $1`, tokenHash)
}

// Invitation loads one by its id.
func (t Tx) Invitation(id string) (account.Invitation, error) {
	return one(t, scanInvitation, invitations+` where i.id = $1`, id)
}

// Invitations lists those of some organizations, or of all when they are nil, that nobody has accepted.
func (t Tx) Invitations(within []account.OrganizationID) ([]account.Invitation, error) {
	w := &where{}
	w.and("i.used_at = 0")
	w.within("i.organization_id", within)
	return all(t, scanInvitation, invitations+w.String()+` order by i.created_at desc, i.id`, w.args...)
}

// UseInvitation marks it as accepted, once; afterwards ErrStale.
func (t Tx) UseInvitation(id string, when time.Time) error {
	return t.change(useInvitation, micros(when), id)
}

const useInvitations = `update invitations set used_at = $1 where email = $2 and used_at = 0`

// UseInvitations marks all of an address as accepted: its account stands.
func (t Tx) UseInvitations(email string, when time.Time) error {
	_, err := t.exec(useInvitations, micros(when), email)
	return err
}

const (
	insertToken = `insert into api_tokens (id, hash, account_id, name, created_at, seen_at, expires_at, rights) values ($1, $2, $3, $4, $5, 0, $6, $7)`
	tokens      = `select id, account_id, name, created_at, seen_at, expires_at, rights from api_tokens`
	seeToken    = `update api_tokens set seen_at = $1 where id = $2`
	deleteToken = `delete from api_tokens where id = $1 and account_id = $2`
)

func scanToken(r row) (k account.Token, err error) {
	var created, seen, expires int64
	var rights string
	err = r.Scan(&k.ID, &k.Account, &k.Name, &created, &seen, &expires, &rights)
	k.CreatedAt, k.SeenAt, k.ExpiresAt = at(created), at(seen), at(expires)
	if err == nil {
		k.Rights, err = parseRights(rights)
	}
	return k, err
}

// InsertToken stores an API token under its hash.
func (t Tx) InsertToken(k account.Token, hash string) error {
	_, err := t.exec(insertToken, k.ID, hash, k.Account, k.Name, micros(k.CreatedAt), micros(k.ExpiresAt), rightsText(k.Rights))
	return err
}

// TokenByHash finds an API token.
func (t Tx) TokenByHash(hash string) (account.Token, error) {
	return one(t, scanToken, tokens+` where hash = $1`, hash)
}

// Tokens lists an account's API tokens.
func (t Tx) Tokens(a account.ID) ([]account.Token, error) {
	return all(t, scanToken, tokens+` where account_id = $1 order by id`, a)
}

// SeeToken notes that a token was used.
func (t Tx) SeeToken(id string, when time.Time) error {
	_, err := t.exec(seeToken, micros(when), id)
	return err
}

// DeleteToken withdraws a token of an account; ErrStale when there is none.
func (t Tx) DeleteToken(a account.ID, id string) error { return t.change(deleteToken, id, a) }
