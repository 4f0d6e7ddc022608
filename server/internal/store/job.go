package store

import (
	"time"
)

// Job is a side effect that is owed: a row written in the transaction of the change that needs it.
type Job struct {
	ID        string
	Kind      string
	Payload   string // JSON
	CreatedAt time.Time
	RunAt     time.Time
	Attempts  int // this one included, once it was claimed
	LastError string
}

const jobColumns = `id, kind, payload, created_at, run_at, attempts, last_error`

func scanJob(r row) (j Job, err error) {
	var created, run int64
	err = r.Scan(&j.ID, &j.Kind, &j.Payload, &created, &run, &j.Attempts, &j.LastError)
	j.CreatedAt, j.RunAt = at(created), at(run)
	return j, err
}

const insertJob = `insert into jobs (id, kind, payload, created_at, run_at, lease_until, attempts, last_error, done_at) values ($1, $2, $3, $4, $5, 0, 0, '', 0)`

// AddJob queues j. Its RunAt is the earliest time at which it runs.
func (t Tx) AddJob(j Job) error {
	_, err := t.exec(insertJob, j.ID, j.Kind, j.Payload, micros(j.CreatedAt), micros(j.RunAt))
	return err
}

// ClaimJobs leases due jobs of the given kinds until a time: whoever does not finish or put back a job by
// then loses it to the next one who asks.
func (t Tx) ClaimJobs(kinds []string, now, until time.Time, limit int) ([]Job, error) {
	return t.e.claim(t, kinds, micros(now), micros(until), limit)
}

const finishJob = `delete from jobs where id = $1`

// FinishJob forgets a job that is done.
func (t Tx) FinishJob(id string) error {
	_, err := t.exec(finishJob, id)
	return err
}

const retryJob = `update jobs set run_at = $1, lease_until = 0, last_error = $2 where id = $3`

// RetryJob puts a claimed job back until a time.
func (t Tx) RetryJob(id string, when time.Time, reason string) error {
	_, err := t.exec(retryJob, micros(when), reason, id)
	return err
}

const failJob = `update jobs set done_at = $1, lease_until = 0, last_error = $2 where id = $3`

// FailJob gives a job up for good. It stays, so that an operator can see it.
func (t Tx) FailJob(id string, when time.Time, reason string) error {
	_, err := t.exec(failJob, micros(when), reason, id)
	return err
}

const forgetFailedJobs = `delete from jobs where done_at > 0 and done_at < $1`

// ForgetFailedJobs drops jobs that were given up before a time.
func (t Tx) ForgetFailedJobs(before time.Time) error {
	_, err := t.exec(forgetFailedJobs, micros(before))
	return err
}

const (
	takeLease   = `update leases set holder = $1, until = $2 where name = $3 and (until <= $4 or holder = $1)`
	insertLease = `insert into leases (name, holder, until) values ($1, $2, $3) on conflict (name) do nothing`
)

// TakeLease makes holder the only one to do the named work until a time; it renews a lease that holder
// has already. It reports whether it was given.
func (t Tx) TakeLease(name, holder string, now, until time.Time) (bool, error) {
	n, err := t.exec(takeLease, holder, micros(until), name, micros(now))
	if err != nil || n == 1 {
		return n == 1, err
	}
	n, err = t.exec(insertLease, name, holder, micros(until))
	return n == 1, err
}

const dropLease = `delete from leases where name = $1 and holder = $2`

// DropLease gives a lease back.
func (t Tx) DropLease(name, holder string) error {
	_, err := t.exec(dropLease, name, holder)
	return err
}

const nextJob = `select coalesce(min(case when run_at > lease_until then run_at else lease_until end), 0) from jobs where done_at = 0`

// NextJob is when the next job of any kind can be claimed; zero when none is owed.
func (t Tx) NextJob() (time.Time, error) {
	n, err := one(t, scanInt, nextJob)
	return at(n), err
}

const leaseFree = `select count(*) from leases where name = $1 and holder <> $2 and until > $3`

// LeaseFree reports whether no other holder has the lease now.
func (t Tx) LeaseFree(name, holder string, now time.Time) (bool, error) {
	n, err := one(t, scanInt, leaseFree, name, holder, micros(now))
	return n == 0, err
}
