package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket"
)

const queues = `select id, name, lead, archived, version from queues order by archived, lower(name), id`

// Queues lists the queues by name, archived ones last.
func (t Tx) Queues() ([]ticket.Queue, error) {
	return all(t, func(r row) (q ticket.Queue, err error) {
		return q, r.Scan(&q.ID, &q.Name, &q.Lead, &q.Archived, &q.Version)
	}, queues)
}

const (
	insertQueue = `insert into queues (id, name, lead, archived, version) values ($1, $2, $3, $4, 1)`
	updateQueue = `update queues set name = $1, lead = $2, archived = $3, version = version + 1 where id = $4 and version = $5`
)

// SaveQueue stores a queue: a new one when its Version is 0, else the one that was read, or ErrStale.
func (t Tx) SaveQueue(q ticket.Queue) error {
	if q.Version == 0 {
		_, err := t.exec(insertQueue, q.ID, q.Name, q.Lead, q.Archived)
		return err
	}
	return t.change(updateQueue, q.Name, q.Lead, q.Archived, q.ID, q.Version)
}

const categories = `select id, names, kind, queue_id, position, archived, version from categories order by archived, position, id`

// Categories lists the categories in their order, archived ones last.
func (t Tx) Categories() ([]ticket.Category, error) {
	return all(t, func(r row) (c ticket.Category, err error) {
		var names string
		if err := r.Scan(&c.ID, &names, &c.Kind, &c.Queue, &c.Position, &c.Archived, &c.Version); err != nil {
			return c, err
		}
		return c, decode("names of category "+string(c.ID), names, &c.Names)
	}, categories)
}

const (
	insertCategory = `insert into categories (id, names, kind, queue_id, position, archived, version) values ($1, $2, $3, $4, $5, $6, 1)`
	updateCategory = `update categories set names = $1, kind = $2, queue_id = $3, position = $4, archived = $5, version = version + 1 where id = $6 and version = $7`
)

// SaveCategory stores a category as SaveQueue stores a queue.
func (t Tx) SaveCategory(c ticket.Category) error {
	if c.Version == 0 {
		_, err := t.exec(insertCategory, c.ID, jsonText(c.Names), c.Kind, c.Queue, c.Position, c.Archived)
		return err
	}
	return t.change(updateCategory, jsonText(c.Names), c.Kind, c.Queue, c.Position, c.Archived, c.ID, c.Version)
}

const replies = `select id, name, category_id, texts, version from replies order by lower(name), id`

// Replies lists the standard replies by name.
func (t Tx) Replies() ([]ticket.Reply, error) {
	return all(t, func(r row) (p ticket.Reply, err error) {
		var texts string
		if err := r.Scan(&p.ID, &p.Name, &p.Category, &texts, &p.Version); err != nil {
			return p, err
		}
		return p, decode("texts of reply "+p.ID, texts, &p.Texts)
	}, replies)
}

const (
	insertReply = `insert into replies (id, name, category_id, texts, version) values ($1, $2, $3, $4, 1)`
	updateReply = `update replies set name = $1, category_id = $2, texts = $3, version = version + 1 where id = $4 and version = $5`
	deleteReply = `delete from replies where id = $1`
)

// SaveReply stores a standard reply as SaveQueue stores a queue.
func (t Tx) SaveReply(p ticket.Reply) error {
	if p.Version == 0 {
		_, err := t.exec(insertReply, p.ID, p.Name, p.Category, jsonText(p.Texts))
		return err
	}
	return t.change(updateReply, p.Name, p.Category, jsonText(p.Texts), p.ID, p.Version)
}

// DeleteReply forgets a standard reply; what was sent with it stays.
func (t Tx) DeleteReply(id string) error { return t.change(deleteReply, id) }

const (
	addWatcher    = `insert into watchers (ticket_id, account_id) values ($1, $2) on conflict (ticket_id, account_id) do nothing`
	removeWatcher = `delete from watchers where ticket_id = $1 and account_id = $2`
	watchers      = `select a.id, a.name, a.email, a.language, a.role, a.organization_id from watchers w join accounts a on a.id = w.account_id where w.ticket_id = $1 and not a.disabled order by a.name, a.id`
	uniteWatchers = `insert into watchers (ticket_id, account_id) select $1, account_id from watchers where ticket_id = $2 on conflict (ticket_id, account_id) do nothing`
)

// AddWatcher lets an account follow what becomes of a ticket.
func (t Tx) AddWatcher(id ticket.ID, a account.ID) error {
	_, err := t.exec(addWatcher, id, a)
	return err
}

// RemoveWatcher ends that.
func (t Tx) RemoveWatcher(id ticket.ID, a account.ID) error {
	_, err := t.exec(removeWatcher, id, a)
	return err
}

// Watchers lists who follows a ticket, with id, name, address, language, role and organization only.
func (t Tx) Watchers(id ticket.ID) ([]account.Account, error) {
	return all(t, func(r row) (a account.Account, err error) {
		return a, r.Scan(&a.ID, &a.Name, &a.Email, &a.Language, &a.Role, &a.Organization)
	}, watchers, id)
}

// UniteWatchers lets those who follow one ticket follow another as well.
func (t Tx) UniteWatchers(to, from ticket.ID) error {
	_, err := t.exec(uniteWatchers, to, from)
	return err
}

const (
	insertWorked = `insert into worked (id, ticket_id, organization_id, account_id, minutes, note, billable, at, made_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	deleteWorked = `delete from worked where id = $1 and account_id = $2`
	workedOf     = `select w.id, w.ticket_id, t.number, t.title, w.organization_id, w.account_id, a.name, w.minutes, w.note, w.billable, w.at, w.made_at from worked w join tickets t on t.id = w.ticket_id join accounts a on a.id = w.account_id`
)

func scanWorked(r row) (w ticket.Worked, err error) {
	var when, made int64
	err = r.Scan(&w.ID, &w.Ticket, &w.Number, &w.Title, &w.Organization, &w.Account, &w.AccountName, &w.Minutes, &w.Note, &w.Billable, &when, &made)
	w.At, w.MadeAt = at(when), at(made)
	return w, err
}

// InsertWorked books time.
func (t Tx) InsertWorked(w ticket.Worked) error {
	_, err := t.exec(insertWorked, w.ID, w.Ticket, w.Organization, w.Account, w.Minutes, w.Note, w.Billable, micros(w.At), micros(w.MadeAt))
	return err
}

// DeleteWorked takes back what an account has booked; ErrStale when it is not theirs.
func (t Tx) DeleteWorked(id string, who account.ID) error { return t.change(deleteWorked, id, who) }

// WorkedOn lists the time booked on a ticket, the oldest first.
func (t Tx) WorkedOn(id ticket.ID) ([]ticket.Worked, error) {
	return all(t, scanWorked, workedOf+` where w.ticket_id = $1 order by w.at, w.id`, id)
}

// WorkedBetween lists the time booked for an organization (empty: all) from a time until before another.
func (t Tx) WorkedBetween(o account.OrganizationID, from, to time.Time) ([]ticket.Worked, error) {
	w := &where{}
	if o != "" {
		w.and("w.organization_id = ?", o)
	}
	w.and("w.at >= ? and w.at < ?", micros(from), micros(to))
	return all(t, scanWorked, workedOf+w.String()+" order by w.at, w.id limit "+w.next(100_000), w.args...)
}

const (
	mergedInto = tickets + ` where t.merged_into = $1 and t.merged_into <> '' order by t.number`
	following  = tickets + ` where t.follows = $1 and t.follows <> '' order by t.number`
)

// MergedInto lists the tickets that were merged into one.
func (t Tx) MergedInto(id ticket.ID) ([]ticket.Ticket, error) {
	return all(t, scanTicket, mergedInto, id)
}

// Following lists the tickets that follow one.
func (t Tx) Following(id ticket.ID) ([]ticket.Ticket, error) {
	return all(t, scanTicket, following, id)
}

// RecentTitle is what a ticket of an organization is recognised by as the same trouble as another.
type RecentTitle struct {
	ID        ticket.ID
	Number    int64
	Title     string
	Category  string
	Requester account.ID
	Email     string
	Status    ticket.Status
	CreatedAt time.Time
}

const recentTitles = `select id, number, title, category, requester_account, requester_email, status, created_at from tickets where organization_id = $1 and merged_into = '' order by number desc limit 100`

// RecentTitles lists an organization's newest hundred tickets, the newest first.
func (t Tx) RecentTitles(o account.OrganizationID) ([]RecentTitle, error) {
	return all(t, func(r row) (k RecentTitle, err error) {
		var created int64
		err = r.Scan(&k.ID, &k.Number, &k.Title, &k.Category, &k.Requester, &k.Email, &k.Status, &created)
		k.CreatedAt = at(created)
		return k, err
	}, recentTitles, o)
}

// decode reads a column of JSON.
func decode(what, s string, into any) error {
	if err := json.Unmarshal([]byte(s), into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
