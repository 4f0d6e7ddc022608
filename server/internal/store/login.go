package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

const insertLogin = `insert into logins (id, token_hash, account_id, address, user_agent, created_at, seen_at, state, confirmed_at, invitation)
	values ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9)`

// InsertLogin stores a sign-in under its token's hash.
func (t Tx) InsertLogin(l account.Login, tokenHash string) error {
	_, err := t.exec(insertLogin, l.ID, tokenHash, l.Account, l.Address, l.UserAgent, micros(l.CreatedAt), l.State, micros(l.ConfirmedAt), l.Invitation)
	return err
}

const logins = `select id, account_id, address, user_agent, created_at, seen_at, state, confirmed_at, invitation from logins`

func scanLogin(r row) (l account.Login, err error) {
	var created, seen, confirmed int64
	err = r.Scan(&l.ID, &l.Account, &l.Address, &l.UserAgent, &created, &seen, &l.State, &confirmed, &l.Invitation)
	l.CreatedAt, l.SeenAt, l.ConfirmedAt = at(created), at(seen), at(confirmed)
	return l, err
}

// Login loads one sign-in.
func (t Tx) Login(id string) (account.Login, error) {
	return one(t, scanLogin, logins+` where id = $1`, id)
}

// LoginByToken finds a sign-in.
func (t Tx) LoginByToken(tokenHash string) (account.Login, error) {
	return one(t, scanLogin, logins+` where token_hash = $1`, tokenHash)
}

// Logins lists an account's sign-ins that are complete, the last seen first.
func (t Tx) Logins(a account.ID) ([]account.Login, error) {
	return all(t, scanLogin, logins+` where account_id = $1 and state = $2 order by seen_at desc, id desc`, a, account.LoginIn)
}

const (
	seeLogin     = `update logins set seen_at = $1, address = $2 where id = $3`
	confirmLogin = `update logins set confirmed_at = $1 where id = $2 and account_id = $3 and state = $4`
	endLogin     = `delete from logins where id = $1 and account_id = $2`
	endLogins    = `delete from logins where account_id = $1 and id <> $2`
	endOldLogins = `delete from logins where seen_at < $1 or created_at < $2 or state <> $3 and created_at < $4`
)

// SeeLogin notes that a sign-in was used.
func (t Tx) SeeLogin(id string, when time.Time, address string) error {
	_, err := t.exec(seeLogin, micros(when), address, id)
	return err
}

// ConfirmLogin notes that a complete sign-in has proven its second factor again; ErrStale when there is none.
func (t Tx) ConfirmLogin(a account.ID, id string, when time.Time) error {
	return t.change(confirmLogin, micros(when), id, a, account.LoginIn)
}

// EndLogin ends one sign-in of an account; ErrStale when there is none.
func (t Tx) EndLogin(a account.ID, id string) error { return t.change(endLogin, id, a) }

// EndLogins ends all sign-ins of an account but one; an empty id ends all.
func (t Tx) EndLogins(a account.ID, but string) error {
	_, err := t.exec(endLogins, a, but)
	return err
}

// EndOldLogins forgets sign-ins that are not live any more.
func (t Tx) EndOldLogins(now time.Time) error {
	_, err := t.exec(endOldLogins, micros(now.Add(-account.LoginIdle)), micros(now.Add(-account.LoginLife)), account.LoginIn, micros(now.Add(-account.StepLife)))
	return err
}
