package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

const insertFactor = `insert into factors (id, account_id, kind, name, secret, key_id, step, created_at, seen_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// InsertFactor stores a new second factor; ErrExists when the passkey is known.
func (t Tx) InsertFactor(f account.Factor) error {
	_, err := t.exec(insertFactor, f.ID, f.Account, f.Kind, f.Name, f.Secret, f.KeyID, f.Step, micros(f.CreatedAt), micros(f.SeenAt))
	return err
}

const factors = `select id, account_id, kind, name, secret, key_id, step, created_at, seen_at from factors`

func scanFactor(r row) (f account.Factor, err error) {
	var created, seen int64
	err = r.Scan(&f.ID, &f.Account, &f.Kind, &f.Name, &f.Secret, &f.KeyID, &f.Step, &created, &seen)
	f.CreatedAt, f.SeenAt = at(created), at(seen)
	return f, err
}

// Factors lists an account's second factors, the oldest first.
func (t Tx) Factors(a account.ID) ([]account.Factor, error) {
	return all(t, scanFactor, factors+` where account_id = $1 order by created_at, id`, a)
}

// FactorByKey finds a passkey.
func (t Tx) FactorByKey(key string) (account.Factor, error) {
	return one(t, scanFactor, factors+` where key_id = $1`, key)
}

const (
	useFactor     = `update factors set step = $1, secret = $2, seen_at = $3 where id = $4 and step = $5`
	renameFactor  = `update factors set name = $1 where id = $2 and account_id = $3`
	deleteFactor  = `delete from factors where id = $1 and account_id = $2`
	deleteFactors = `delete from factors where account_id = $1`
)

// UseFactor notes that a factor was used at a time, with its new step and secret; ErrStale when another sign-in was
// quicker than the step was.
func (t Tx) UseFactor(f account.Factor, was int64) error {
	return t.change(useFactor, f.Step, f.Secret, micros(f.SeenAt), f.ID, was)
}

// RenameFactor names a factor of an account; ErrStale when there is none.
func (t Tx) RenameFactor(a account.ID, id, name string) error {
	return t.change(renameFactor, name, id, a)
}

// DeleteFactor removes a factor of an account; ErrStale when there is none.
func (t Tx) DeleteFactor(a account.ID, id string) error { return t.change(deleteFactor, id, a) }

// DeleteFactors removes all factors of an account.
func (t Tx) DeleteFactors(a account.ID) error {
	_, err := t.exec(deleteFactors, a)
	return err
}

// Challenge is something asked of a person that is not answered yet.
type Challenge struct {
	ID        string
	Account   account.ID // empty: nobody knows yet who answers
	Data      string
	Attempts  int64
	ExpiresAt time.Time
}

const (
	putChallenge     = `insert into challenges (id, account_id, data, attempts, expires_at) values ($1, $2, $3, $4, $5) on conflict (id) do update set account_id = excluded.account_id, data = excluded.data, attempts = excluded.attempts, expires_at = excluded.expires_at`
	challenge        = `select id, account_id, data, attempts, expires_at from challenges where id = $1 and expires_at > $2`
	dropChallenge    = `delete from challenges where id = $1`
	forgetChallenges = `delete from challenges where expires_at <= $1`
)

// PutChallenge stores a challenge in the place of one with the same id.
func (t Tx) PutChallenge(c Challenge) error {
	_, err := t.exec(putChallenge, c.ID, c.Account, c.Data, c.Attempts, micros(c.ExpiresAt))
	return err
}

// Challenge loads one that has not expired.
func (t Tx) Challenge(id string, now time.Time) (Challenge, error) {
	return one(t, func(r row) (c Challenge, err error) {
		var expires int64
		err = r.Scan(&c.ID, &c.Account, &c.Data, &c.Attempts, &expires)
		c.ExpiresAt = at(expires)
		return c, err
	}, challenge, id, micros(now))
}

// DropChallenge forgets a challenge; it reports whether there was one.
func (t Tx) DropChallenge(id string) (bool, error) {
	n, err := t.exec(dropChallenge, id)
	return n == 1, err
}

// ForgetChallenges forgets those that have expired.
func (t Tx) ForgetChallenges(now time.Time) error {
	_, err := t.exec(forgetChallenges, micros(now))
	return err
}
