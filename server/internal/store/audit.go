package store

import "time"

// Entry is one row of the audit log.
type Entry struct {
	ID        string
	Seq       int64 // 0: not chained yet
	At        time.Time
	Actor     string // account:ID, device:ID or system
	ActingFor string // the same, or empty
	Via       string // portal, api, command, link
	Address   string
	Action    string // ticket.filed, account.signed_in, …
	Object    string // ticket:ID, …
	Detail    string // JSON
	Hash      string // hex; empty until chained
}

const entryColumns = `id, seq, at, actor, acting_for, via, address, action, object, detail, hash`

func scanEntry(r row) (e Entry, err error) {
	var when int64
	err = r.Scan(&e.ID, &e.Seq, &when, &e.Actor, &e.ActingFor, &e.Via, &e.Address, &e.Action, &e.Object, &e.Detail, &e.Hash)
	e.At = at(when)
	return e, err
}

const insertEntry = `insert into audit (` + entryColumns + `) values ($1, 0, $2, $3, $4, $5, $6, $7, $8, $9, '')`

// AddEntry writes an audit row; the chainer links it later.
func (t Tx) AddEntry(e Entry) error {
	_, err := t.exec(insertEntry, e.ID, micros(e.At), e.Actor, e.ActingFor, e.Via, e.Address, e.Action, e.Object, e.Detail)
	return err
}

const setName = `insert into audit_names (id, name) values ($1, $2) on conflict (id) do update set name = excluded.name where audit_names.name <> excluded.name`

// SetAuditName stores the name under which an actor or object is read in the log.
func (t Tx) SetAuditName(id, name string) error {
	_, err := t.exec(setName, id, name)
	return err
}

// UnchainedEntries lists rows that wait for the chainer, the oldest first.
func (t Tx) UnchainedEntries(limit int) ([]Entry, error) {
	return all(t, scanEntry, `select `+entryColumns+` from audit where seq = 0 order by id limit $1`, limit)
}

const chainEntry = `update audit set seq = $1, hash = $2 where id = $3 and seq = 0`

// ChainEntry gives a row its place in the chain.
func (t Tx) ChainEntry(id string, seq int64, hash string) error {
	return t.change(chainEntry, seq, hash, id)
}

// LastEntry is the head of the chain; ErrNotFound when it is empty.
func (t Tx) LastEntry() (Entry, error) {
	return one(t, scanEntry, `select `+entryColumns+` from audit where seq > 0 order by seq desc limit 1`)
}

// ChainedEntries lists the chain from a sequence number on.
func (t Tx) ChainedEntries(from int64, limit int) ([]Entry, error) {
	return all(t, scanEntry, `select `+entryColumns+` from audit where seq >= $1 and seq > 0 order by seq limit $2`, from, limit)
}

// NamedEntry is an audit row as people read it.
type NamedEntry struct {
	Entry
	ActorName  string
	ObjectName string
}

// EntryFilter chooses audit rows. Zero fields choose all.
type EntryFilter struct {
	Object string
	Actor  string
	Before string // id of the last row of the page before
	Limit  int    // default 100
}

// Entries lists audit rows, the newest first.
func (t Tx) Entries(f EntryFilter) ([]NamedEntry, error) {
	w := &where{}
	if f.Object != "" {
		w.and("e.object = ?", f.Object)
	}
	if f.Actor != "" {
		w.and("e.actor = ?", f.Actor)
	}
	if f.Before != "" {
		w.and("e.id < ?", f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	scan := func(r row) (e NamedEntry, err error) {
		var when int64
		err = r.Scan(&e.ID, &e.Seq, &when, &e.Actor, &e.ActingFor, &e.Via, &e.Address, &e.Action, &e.Object, &e.Detail, &e.Hash, &e.ActorName, &e.ObjectName)
		e.At = at(when)
		return e, err
	}
	return all(t, scan, `select e.id, e.seq, e.at, e.actor, e.acting_for, e.via, e.address, e.action, e.object, e.detail, e.hash, coalesce(a.name, ''), coalesce(o.name, '')
		from audit e left join audit_names a on a.id = e.actor left join audit_names o on o.id = e.object`+w.String()+` order by e.id desc limit `+w.next(f.Limit), w.args...)
}
