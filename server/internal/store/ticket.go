package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// NextTicketNumber returns a number above all that were given before. A transaction that does not
// commit leaves a gap on PostgreSQL.
func (t Tx) NextTicketNumber() (int64, error) { return t.e.nextNumber(t) }

const insertTicket = `insert into tickets (id, number, organization_id, subject, title, text, category, severity, answers, status, reason,
	requester_account, requester_name, requester_email, requester_phone, requester_confirmed, device_id, os_user, os_user_id, language, source, assignee,
	facts, body_hash, created_at, updated_at, resolved_at, closed_at, customer_last, queue_id, follows, first_due, solution_due, next_due, due_at, wake_at, version)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, 1)`

// InsertTicket stores a new ticket with the hash of the body it was made from; ErrExists when the id is taken.
func (t Tx) InsertTicket(k ticket.Ticket, bodyHash string) error {
	if err := t.countTicket(counted{}, countedOf(k)); err != nil {
		return err
	}
	_, err := t.exec(insertTicket, k.ID, k.Number, k.Organization, k.Subject, k.Title, k.Text, k.Category, k.Severity, jsonText(k.Answers), k.Status, k.Reason,
		k.Requester.Account, k.Requester.Name, k.Requester.Email, k.Requester.Phone, k.Requester.Confirmed, k.Device, k.OSUser, k.OSUserID, k.Language, k.Source, k.Assignee,
		jsonText(k.Facts), bodyHash, micros(k.CreatedAt), micros(k.UpdatedAt), micros(k.ResolvedAt), micros(k.ClosedAt), k.CustomerLast,
		k.Queue, k.Follows, micros(k.Promise.FirstDue), micros(k.Promise.Due), micros(k.Promise.NextDue), micros(k.Promise.Soonest()), micros(k.Promise.WakeAt))
	return err
}

const tickets = `select t.id, t.number, t.organization_id, o.name, t.subject, t.title, t.text, t.category, t.severity, t.answers, t.status, t.reason,
	t.requester_account, t.requester_name, t.requester_email, t.requester_phone, t.requester_confirmed, t.device_id, coalesce(d.name, ''), t.os_user, t.os_user_id, t.language, t.source,
	t.assignee, coalesce(s.name, ''), t.facts, t.created_at, t.updated_at, t.resolved_at, t.closed_at, t.customer_last,
	t.queue_id, coalesce(q.name, ''), t.waits_for, t.paused_until, t.merged_into, t.follows, t.reopened, t.first_due, t.solution_due, t.next_due, t.first_met, t.missed, t.wake_at, t.version
	from tickets t join organizations o on o.id = t.organization_id left join devices d on d.id = t.device_id left join accounts s on s.id = t.assignee left join queues q on q.id = t.queue_id`

func scanTicket(r row) (k ticket.Ticket, err error) {
	var answers, facts string
	var created, updated, resolved, closed, paused, firstDue, due, nextDue, firstMet, wake int64
	if err := r.Scan(&k.ID, &k.Number, &k.Organization, &k.OrganizationName, &k.Subject, &k.Title, &k.Text, &k.Category, &k.Severity, &answers, &k.Status, &k.Reason,
		&k.Requester.Account, &k.Requester.Name, &k.Requester.Email, &k.Requester.Phone, &k.Requester.Confirmed, &k.Device, &k.DeviceName, &k.OSUser, &k.OSUserID, &k.Language, &k.Source,
		&k.Assignee, &k.AssigneeName, &facts, &created, &updated, &resolved, &closed, &k.CustomerLast,
		&k.Queue, &k.QueueName, &k.WaitsFor, &paused, &k.MergedInto, &k.Follows, &k.Reopened, &firstDue, &due, &nextDue, &firstMet, &k.Promise.Missed, &wake, &k.Version); err != nil {
		return k, err
	}
	k.CreatedAt, k.UpdatedAt, k.ResolvedAt, k.ClosedAt, k.PausedUntil = at(created), at(updated), at(resolved), at(closed), at(paused)
	k.Promise.FirstDue, k.Promise.Due, k.Promise.NextDue, k.Promise.FirstMet, k.Promise.WakeAt = at(firstDue), at(due), at(nextDue), at(firstMet), at(wake)
	if err := json.Unmarshal([]byte(answers), &k.Answers); err != nil {
		return k, fmt.Errorf("answers of ticket %s: %w", k.ID, err)
	}
	if err := json.Unmarshal([]byte(facts), &k.Facts); err != nil {
		return k, fmt.Errorf("facts of ticket %s: %w", k.ID, err)
	}
	return k, nil
}

// Ticket loads one ticket.
func (t Tx) Ticket(id ticket.ID) (ticket.Ticket, error) {
	return one(t, scanTicket, tickets+` where t.id = $1`, id)
}

// TicketByNumber loads one ticket by its number.
func (t Tx) TicketByNumber(n int64) (ticket.Ticket, error) {
	return one(t, scanTicket, tickets+` where t.number = $1`, n)
}

const ticketBody = `select body_hash from tickets where id = $1`

// TicketBody is the hash of the body that a ticket was made from.
func (t Tx) TicketBody(id ticket.ID) (string, error) {
	return one(t, func(r row) (s string, err error) { return s, r.Scan(&s) }, ticketBody, id)
}

const saveTicket = `update tickets set severity = $1, status = $2, reason = $3, assignee = $4, updated_at = $5, resolved_at = $6, closed_at = $7, customer_last = $8, requester_confirmed = $9,
	category = $10, queue_id = $11, waits_for = $12, paused_until = $13, merged_into = $14, follows = $15, reopened = $16, first_due = $17, solution_due = $18, next_due = $19, due_at = $20, first_met = $21,
	missed = $22, wake_at = $23, version = version + 1 where id = $24 and version = $25`

// SaveTicket stores what may change of a ticket, or returns ErrStale.
func (t Tx) SaveTicket(k ticket.Ticket) error {
	before, err := one(t, scanCounted, ticketCounted, k.ID)
	if err != nil {
		return err
	}
	if err := t.countTicket(before, countedOf(k)); err != nil {
		return err
	}
	return t.change(saveTicket, k.Severity, k.Status, k.Reason, k.Assignee, micros(k.UpdatedAt), micros(k.ResolvedAt), micros(k.ClosedAt), k.CustomerLast, k.Requester.Confirmed,
		k.Category, k.Queue, k.WaitsFor, micros(k.PausedUntil), k.MergedInto, k.Follows, k.Reopened, micros(k.Promise.FirstDue), micros(k.Promise.Due), micros(k.Promise.NextDue),
		micros(k.Promise.Soonest()), micros(k.Promise.FirstMet), k.Promise.Missed, micros(k.Promise.WakeAt), k.ID, k.Version)
}

var sorts = map[ticket.Sort]string{
	ticket.ByUpdated:  "t.updated_at",
	ticket.ByDue:      "t.due_at",
	ticket.ByNumber:   "t.number",
	ticket.ByStatus:   "case t.status when 'new' then 0 when 'open' then 1 when 'waiting' then 2 when 'paused' then 3 when 'resolved' then 4 else 5 end",
	ticket.BySubject:  "lower(t.title)",
	ticket.BySeverity: "case t.severity when 'critical' then 0 when 'high' then 1 when 'medium' then 2 else 3 end",
}

// TicketFilter chooses tickets. Zero fields choose all.
type TicketFilter struct {
	Organization account.OrganizationID // only of this organization
	Queue        ticket.QueueID         // only of this queue; NoQueue: of none
	Requester    account.ID             // only of this account
	Sight        *Sight                 // only what somebody may see; nil: all
	Device       device.ID
	OSUserID     string     // with Device: filed by this user of it
	Assignee     account.ID // NoAssignee: nobody's
	Category     string
	Severity     api.Severity
	Status       ticket.Status // empty: every status
	Live         bool          // not closed
	Overdue      time.Time     // live, with a promise that ran out before
	Held         bool          // waits for an approval
	Query        string        // words in number, subject, text, people or messages
	Internal     bool          // Query searches notes too
	Sort         ticket.Sort   // default ticket.ByUpdated
	Ascending    bool
	Before       int64     // only numbers below: the cursor of a list by descending number
	Since        time.Time // made at or after
	Until        time.Time // made before
	Offset       int
	Limit        int // default 50
}

// Filters for what belongs to nobody.
const (
	NoAssignee account.ID     = "-"
	NoQueue    ticket.QueueID = "-"
)

// Sight is what one account may see of the tickets: its own, and beside them those of some organizations
// and queues, if any.
type Sight struct {
	Account  account.ID               // its own; empty: none of its own
	Assigned bool                     // in Within: those that were given to it
	All      bool                     // in Within: all
	Within   []account.OrganizationID // nil: every organization
	Queues   []ticket.QueueID         // in Within: only these, if any
}

func (s Sight) and(w *where) {
	if s.All && s.Within == nil && len(s.Queues) == 0 {
		return
	}
	var or []string
	var args []any
	if s.Account != "" {
		or, args = append(or, "t.requester_account = ? and t.requester_account <> ''"), append(args, s.Account)
	}
	if (s.All || s.Assigned) && (s.Within == nil || len(s.Within) > 0) {
		var and []string
		if s.Within != nil {
			and = append(and, "t.organization_id in (?"+strings.Repeat(", ?", len(s.Within)-1)+")")
			for _, o := range s.Within {
				args = append(args, o)
			}
		}
		if len(s.Queues) > 0 {
			and = append(and, "t.queue_id in (?"+strings.Repeat(", ?", len(s.Queues)-1)+")")
			for _, q := range s.Queues {
				args = append(args, q)
			}
		}
		if !s.All {
			and, args = append(and, "t.assignee = ?"), append(args, s.Account)
		}
		or = append(or, strings.Join(and, " and "))
	}
	if len(or) == 0 {
		or = append(or, "1 = 0")
	}
	w.and("("+strings.Join(or, " or ")+")", args...)
}

// ticketWhere is the condition of f. number is the column by which a search for words is ordered; empty: there is
// none.
func (t Tx) ticketWhere(f TicketFilter) (w *where, number string) {
	w = &where{}
	if f.Sight != nil {
		f.Sight.and(w)
	}
	if f.Organization != "" {
		w.and("t.organization_id = ?", f.Organization)
	}
	switch f.Queue {
	case "":
	case NoQueue:
		w.and("t.queue_id = ''")
	default:
		w.and("t.queue_id = ?", f.Queue)
	}
	if f.Requester != "" {
		w.and("t.requester_account = ? and t.requester_account <> ''", f.Requester)
	}
	if f.Category != "" {
		w.and("t.category = ?", f.Category)
	}
	if f.Severity != "" {
		w.and("t.severity = ?", f.Severity)
	}
	if f.Held {
		w.and("t.status = 'waiting' and t.waits_for = 'approval'")
	}
	if !f.Overdue.IsZero() {
		w.and("t.due_at < ?", micros(f.Overdue))
	}
	if !f.Overdue.IsZero() || f.Sort == ticket.ByDue {
		w.and("t.due_at > 0 and t.status <> 'closed'")
	}
	if !f.Since.IsZero() {
		w.and("t.created_at >= ?", micros(f.Since))
	}
	if !f.Until.IsZero() {
		w.and("t.created_at < ?", micros(f.Until))
	}
	if f.Device != "" {
		w.and("t.device_id = ? and t.device_id <> ''", f.Device)
	}
	if f.OSUserID != "" {
		w.and("t.os_user_id = ?", f.OSUserID)
	}
	switch f.Assignee {
	case "":
	case NoAssignee:
		w.and("t.assignee = ''")
	default:
		w.and("t.assignee = ?", f.Assignee)
	}
	if f.Live || f.Status != "" && f.Status != ticket.Closed {
		w.and("t.status <> 'closed'") // as the partial indexes say it
	}
	if f.Status != "" {
		w.and("t.status = ?", f.Status)
	}
	if f.Before > 0 {
		w.and("t.number < ?", f.Before)
	}
	if q := strings.TrimSpace(f.Query); q != "" {
		if n, err := strconv.ParseInt(strings.TrimPrefix(q, "#"), 10, 64); err == nil && n > 0 {
			w.and("t.number = ?", n)
		} else if list := words(q); len(list) > 0 {
			number = t.e.match(w, list, f.tag(), f.Internal)
		} else {
			w.and("1 = 0") // nothing but punctuation
		}
	}
	return w, number
}

// tag is the word that stands in the index for the organization or requester that f is limited to, so that a
// common word needs no walk through everybody's tickets.
func (f TicketFilter) tag() string {
	switch {
	case f.Organization != "":
		return tagOf("zo", string(f.Organization))
	case f.Sight == nil:
		return ""
	case f.Sight.All && len(f.Sight.Within) == 1 && f.Sight.Account == "":
		return tagOf("zo", string(f.Sight.Within[0]))
	case !f.Sight.All && !f.Sight.Assigned && f.Sight.Account != "":
		return tagOf("zr", string(f.Sight.Account))
	}
	return ""
}

// tagOf makes a word that nobody types out of an id.
func tagOf(kind, id string) string { return kind + strings.ReplaceAll(indexed(id), " ", "") }

// searched bounds what a search is sorted by another column than the number: the newest matches.
const searched = 1000

// ticketFrom is the tables and condition of f. A search by words starts at the index of words, from the newest
// number down, so that a list stops as soon as it is full however many tickets hold the words.
func (t Tx) ticketFrom(f TicketFilter) (from string, w *where, number string) {
	w, number = t.ticketWhere(f)
	if number != "" {
		return "from ticket_search cross join tickets t", w, number
	}
	return "from tickets t", w, ""
}

// Tickets lists tickets; those that sort alike are ordered newest first. A search lists the newest first; by
// another column it sorts the newest thousand.
func (t Tx) Tickets(f TicketFilter) ([]ticket.Ticket, error) {
	from, w, number := t.ticketFrom(f)
	column := sorts[f.Sort]
	if column == "" {
		column = sorts[ticket.ByUpdated]
	}
	direction := " desc"
	if f.Ascending {
		direction = ""
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	order := " order by " + column + direction + ", t.number desc"
	q := tickets + w.String()
	if number != "" {
		switch f.Sort {
		case "", ticket.ByUpdated, ticket.ByNumber:
			q = strings.Replace(tickets, "from tickets t", from, 1) + w.String()
			order = " order by " + number + direction
		default:
			q = tickets + " where t.number in (select t.number " + from + w.String() + " order by " + number + " desc limit " + strconv.Itoa(searched) + ")"
		}
	}
	return all(t, scanTicket, q+order+" limit "+w.next(f.Limit)+" offset "+w.next(max(f.Offset, 0)), w.args...)
}

// TicketNews is a ticket that has moved, and who of staff has answered last meanwhile.
type TicketNews struct {
	Ticket   ticket.ID
	Answered string // empty: nobody
}

const ticketNews = `select t.id, coalesce((select m.author_name from messages m where m.ticket_id = t.id and m.kind = 'message' and m.from_staff and m.at > $1 order by m.at desc limit 1), '')
	from tickets t where t.device_id = $2 and t.source = 'device' and t.updated_at > $1 and t.updated_at > t.created_at order by t.updated_at limit 20`

// TicketNews lists the tickets filed at a device that have moved since a time.
func (t Tx) TicketNews(d device.ID, since time.Time) ([]TicketNews, error) {
	return all(t, func(r row) (n TicketNews, err error) { return n, r.Scan(&n.Ticket, &n.Answered) }, ticketNews, micros(since), d)
}

const insertMessage = `insert into messages (id, ticket_id, kind, author, author_name, from_staff, text, at) values ($1, $2, $3, $4, $5, $6, $7, $8)`

// InsertMessage adds an entry to a ticket's thread.
func (t Tx) InsertMessage(m ticket.Message) error {
	_, err := t.exec(insertMessage, m.ID, m.Ticket, m.Kind, m.Author, m.AuthorName, m.FromStaff, m.Text, micros(m.At))
	return err
}

const messages = `select id, ticket_id, kind, author, author_name, from_staff, text, at from messages where ticket_id = $1 order by at, id`

func scanMessage(r row) (m ticket.Message, err error) {
	var when int64
	err = r.Scan(&m.ID, &m.Ticket, &m.Kind, &m.Author, &m.AuthorName, &m.FromStaff, &m.Text, &when)
	m.At = at(when)
	return m, err
}

// Messages lists a ticket's thread, the oldest first, without files.
func (t Tx) Messages(id ticket.ID) ([]ticket.Message, error) {
	return all(t, scanMessage, messages, id)
}

// IndexTicket makes a ticket findable by the words of its present texts.
func (t Tx) IndexTicket(k ticket.Ticket, thread []ticket.Message) error {
	var public, internal strings.Builder
	for _, s := range []string{k.Title, k.Text, k.Category, k.Requester.Name, k.Requester.Email, k.Requester.Phone, k.OSUser, k.OrganizationName, k.DeviceName} {
		public.WriteString(s + " ")
	}
	for _, m := range thread {
		switch m.Kind {
		case ticket.Public:
			public.WriteString(m.AuthorName + " " + m.Text + " ")
		case ticket.Note:
			internal.WriteString(m.AuthorName + " " + m.Text + " ")
		}
	}
	tags := " " + tagOf("zo", string(k.Organization))
	if k.Requester.Account != "" {
		tags += " " + tagOf("zr", string(k.Requester.Account))
	}
	return t.e.index(t, k.Number, indexed(public.String())+tags, indexed(internal.String()))
}

const insertFile = `insert into files (id, ticket_id, message_id, position, name, type, size, sha256, arrived, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// InsertFile stores a file's record.
func (t Tx) InsertFile(f ticket.File) error {
	_, err := t.exec(insertFile, f.ID, f.Ticket, f.Message, f.Index, f.Name, f.Type, f.Size, f.SHA256, f.Arrived, micros(f.At))
	return err
}

const files = `select id, ticket_id, message_id, position, name, type, size, sha256, arrived, at from files`

func scanFile(r row) (f ticket.File, err error) {
	var when int64
	err = r.Scan(&f.ID, &f.Ticket, &f.Message, &f.Index, &f.Name, &f.Type, &f.Size, &f.SHA256, &f.Arrived, &when)
	f.At = at(when)
	return f, err
}

// Files lists the files of a ticket and its messages.
func (t Tx) Files(id ticket.ID) ([]ticket.File, error) {
	return all(t, scanFile, files+` where ticket_id = $1 order by message_id, position, id`, id)
}

// File loads one file's record.
func (t Tx) File(id string) (ticket.File, error) {
	return one(t, scanFile, files+` where id = $1`, id)
}

// FiledFile loads the file that was announced with a ticket under an index.
func (t Tx) FiledFile(id ticket.ID, index int) (ticket.File, error) {
	return one(t, scanFile, files+` where ticket_id = $1 and message_id = '' and position = $2`, id, index)
}

const fileArrived = `update files set arrived = $1, at = $2 where id = $3`

// FileArrived notes that a file's bytes are stored.
func (t Tx) FileArrived(id string, now time.Time) error {
	return t.change(fileArrived, true, micros(now), id)
}

const (
	insertAnswered = `insert into idempotency (account_id, key_hash, body_hash, ticket_id, created_at) values ($1, $2, $3, $4, $5)`
	answered       = `select body_hash, ticket_id from idempotency where account_id = $1 and key_hash = $2`
	forgetAnswered = `delete from idempotency where created_at < $1`
)

// SetAnswered remembers which ticket a client's Idempotency-Key has made.
func (t Tx) SetAnswered(a account.ID, keyHash, bodyHash string, id ticket.ID, now time.Time) error {
	_, err := t.exec(insertAnswered, a, keyHash, bodyHash, id, micros(now))
	return err
}

// Answered finds the ticket that an Idempotency-Key has made, and the hash of that request's body.
func (t Tx) Answered(a account.ID, keyHash string) (bodyHash string, id ticket.ID, err error) {
	type answer struct {
		body string
		id   ticket.ID
	}
	v, err := one(t, func(r row) (v answer, err error) { return v, r.Scan(&v.body, &v.id) }, answered, a, keyHash)
	return v.body, v.id, err
}

// ForgetAnswered drops keys older than a time.
func (t Tx) ForgetAnswered(before time.Time) error {
	_, err := t.exec(forgetAnswered, micros(before))
	return err
}

const fileBelongsTo = `update files set message_id = $1 where id = $2 and ticket_id = $3 and message_id = '' and position < 0`

// FileBelongsTo makes a file that was attached to a ticket part of one of its messages; ErrStale when it is
// another ticket's or belongs to a message already.
func (t Tx) FileBelongsTo(file string, id ticket.ID, message string) error {
	return t.change(fileBelongsTo, message, file, id)
}
