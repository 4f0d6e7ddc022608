package store

import (
	"errors"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

// Entry is one row of the audit log.
type Entry struct {
	ID           string
	Seq          int64 // 0: not chained yet
	At           time.Time
	Actor        string                 // account:ID, device:ID or system
	ActingFor    string                 // for whom: the same unless somebody acts in another's place
	Organization account.OrganizationID // whose entry it is; empty: the server's
	Via          string                 // portal, api, command, link
	Address      string
	Action       string // ticket.filed, account.signed_in, …
	Object       string // ticket:ID, …
	Detail       string // JSON
	Hash         string // hex; empty until chained
}

const entryColumns = `id, seq, at, actor, acting_for, organization_id, via, address, action, object, detail, hash`

func scanEntry(r row) (e Entry, err error) {
	var when int64
	err = r.Scan(&e.ID, &e.Seq, &when, &e.Actor, &e.ActingFor, &e.Organization, &e.Via, &e.Address, &e.Action, &e.Object, &e.Detail, &e.Hash)
	e.At = at(when)
	return e, err
}

const insertEntry = `insert into audit (` + entryColumns + `) values ($1, 0, $2, $3, $4, $5, $6, $7, $8, $9, $10, '')`

// AddEntry writes an audit row; the chainer links it later.
func (t Tx) AddEntry(e Entry) error {
	_, err := t.exec(insertEntry, e.ID, micros(e.At), e.Actor, e.ActingFor, e.Organization, e.Via, e.Address, e.Action, e.Object, e.Detail)
	return err
}

const setName = `insert into audit_names (id, name, folded) values ($1, $2, $3) on conflict (id) do update set name = excluded.name, folded = excluded.folded where audit_names.name <> excluded.name`

// SetAuditName stores the name under which an actor or object is read in the log. Anonymising somebody
// is setting another one: the log itself holds ids only.
func (t Tx) SetAuditName(id, name string) error {
	_, err := t.exec(setName, id, name, fold(name))
	return err
}

// AuditNames finds the names under which actors and objects are read; those without one are left out.
func (t Tx) AuditNames(ids []string) (map[string]string, error) {
	names := map[string]string{}
	for len(ids) > 0 {
		n := min(len(ids), 100)
		w := &where{}
		w.in("id", ids[:n])
		list, err := all(t, scanPair, `select id, name from audit_names`+w.String(), w.args...)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			names[p[0]] = p[1]
		}
		ids = ids[n:]
	}
	return names, nil
}

func scanPair(r row) (p [2]string, err error) { return p, r.Scan(&p[0], &p[1]) }

const (
	actorsNamed  = `select id from audit_names where id >= $1 and id < $2 and folded like $3 escape '\' order by id desc limit 50`
	objectsNamed = `select id from audit_names where folded = $1 or folded = $2 order by id desc limit 50`
)

// ActorsNamed finds the people and devices whose name holds a text, at most 100.
func (t Tx) ActorsNamed(text string) ([]string, error) {
	var found []string
	for _, noun := range []string{"account", "device"} {
		list, err := all(t, scanText, actorsNamed, noun+":", noun+";", "%"+likeEscape(fold(text))+"%")
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	return found, nil
}

// ObjectsNamed finds what has exactly this name, whatever its capitals; a ticket also without its "#".
func (t Tx) ObjectsNamed(text string) ([]string, error) {
	return all(t, scanText, objectsNamed, fold(text), "#"+fold(text))
}

// organizationOf tells, by noun, how to find whose something is.
var organizationOf = map[string]string{
	"account":       `select organization_id from accounts where id = $1`,
	"device":        `select organization_id from devices where id = $1`,
	"enrolment_key": `select organization_id from enrolment_keys where id = $1`,
	"invitation":    `select organization_id from invitations where id = $1`,
	"organization":  `select id from organizations where id = $1`,
	"session":       `select organization_id from sessions where id = $1`,
	"ticket":        `select organization_id from tickets where id = $1`,
}

const lastOrganization = `select organization_id from audit where object = $1 order by id desc limit 1`

// OrganizationOf finds whose an audit row's object is: by the object itself, else by the last row about it. It is
// ErrNotFound where neither tells.
func (t Tx) OrganizationOf(object string) (account.OrganizationID, error) {
	noun, id, _ := strings.Cut(object, ":")
	if q := organizationOf[noun]; q != "" {
		o, err := one(t, scanText, q, id)
		if !errors.Is(err, ErrNotFound) {
			return account.OrganizationID(o), err
		}
	}
	o, err := one(t, scanText, lastOrganization, object)
	return account.OrganizationID(o), err
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

// LastEntryOf is the newest row of an action, chained or not; ErrNotFound when there is none.
func (t Tx) LastEntryOf(action string) (Entry, error) {
	return one(t, scanEntry, `select `+entryColumns+` from audit where action = $1 order by id desc limit 1`, action)
}

// ChainedEntries lists the chain from a sequence number on.
func (t Tx) ChainedEntries(from int64, limit int) ([]Entry, error) {
	return all(t, scanEntry, `select `+entryColumns+` from audit where seq >= $1 and seq > 0 order by seq limit $2`, from, limit)
}

const (
	lastEntryBefore = `select ` + entryColumns + ` from audit where seq > 0 and seq <= $1 and at < $2 order by seq desc limit 1`
	cutEntries      = `delete from audit where seq > 0 and seq <= $1`
)

// LastEntryBefore is the last chained row written before a time, of those up to a sequence number; ErrNotFound
// when there is none.
func (t Tx) LastEntryBefore(upTo int64, when time.Time) (Entry, error) {
	return one(t, scanEntry, lastEntryBefore, upTo, micros(when))
}

// CutEntries removes the chain's rows up to a sequence number and returns how many there were.
func (t Tx) CutEntries(upTo int64) (int64, error) { return t.exec(cutEntries, upTo) }

// NamedEntry is an audit row as people read it.
type NamedEntry struct {
	Entry
	ActorName     string
	ActingForName string
	ObjectName    string
	Previous      string // hash of the row before it in the chain
}

// EntryFilter chooses audit rows. Zero fields choose all.
type EntryFilter struct {
	From, To      time.Time // From included, To not
	Actors        []string  // nil: anybody; of them otherwise
	ActingFor     string    // who was acted for by somebody else
	Action        string
	Objects       []string
	Organizations []string // nil: every one
	Before        string   // id of the last row of the page before, the newest first
	After         string   // id of the last row of the page before, the oldest first
	Oldest        bool     // the oldest first
	Limit         int      // default 100
}

// idAt is the lowest id that may be made at a time or later.
func idAt(t time.Time) string {
	const digits = "0123456789abcdef"
	b := []byte("00000000-0000-7000-8000-000000000000")
	ms := max(t.UnixMilli(), 0)
	for _, i := range []int{12, 11, 10, 9, 7, 6, 5, 4, 3, 2, 1, 0} {
		b[i] = digits[ms&15]
		ms >>= 4
	}
	return string(b)
}

// Entries lists audit rows, the newest first unless the filter says otherwise.
func (t Tx) Entries(f EntryFilter) ([]NamedEntry, error) {
	w := &where{}
	if f.Objects != nil {
		w.in("e.object", f.Objects)
	}
	if f.Actors != nil {
		w.in("e.actor", f.Actors)
	}
	if f.ActingFor != "" {
		w.and("e.acting_for = ? and e.acting_for <> e.actor and e.acting_for <> ''", f.ActingFor)
	}
	if f.Action != "" {
		w.and("e.action = ?", f.Action)
	}
	if f.Organizations != nil {
		w.in("e.organization_id", f.Organizations)
	}
	if !f.From.IsZero() {
		w.and("e.id >= ?", idAt(f.From))
	}
	if !f.To.IsZero() {
		w.and("e.id < ?", idAt(f.To))
	}
	if f.Before != "" {
		w.and("e.id < ?", f.Before)
	}
	if f.After != "" {
		w.and("e.id > ?", f.After)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	order := " order by e.id desc limit "
	if f.Oldest {
		order = " order by e.id limit "
	}
	scan := func(r row) (e NamedEntry, err error) {
		var when int64
		err = r.Scan(&e.ID, &e.Seq, &when, &e.Actor, &e.ActingFor, &e.Organization, &e.Via, &e.Address, &e.Action, &e.Object, &e.Detail, &e.Hash,
			&e.ActorName, &e.ActingForName, &e.ObjectName, &e.Previous)
		e.At = at(when)
		return e, err
	}
	return all(t, scan, `select e.id, e.seq, e.at, e.actor, e.acting_for, e.organization_id, e.via, e.address, e.action, e.object, e.detail, e.hash,
		coalesce(a.name, ''), coalesce(f.name, ''), coalesce(o.name, ''), coalesce(p.hash, '')
		from audit e left join audit_names a on a.id = e.actor left join audit_names f on f.id = e.acting_for left join audit_names o on o.id = e.object
		left join audit p on p.seq = e.seq - 1 and p.seq > 0 and e.seq > 0`+w.String()+order+w.next(f.Limit), w.args...)
}
