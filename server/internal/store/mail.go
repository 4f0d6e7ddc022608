package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket"
)

// MailState is where a mail that is owed stands.
type MailState string

// The states of a mail.
const (
	MailWaiting   MailState = "waiting"   // to be sent, now or when there is a mail server
	MailSent      MailState = "sent"      // the mail server has taken it
	MailFailed    MailState = "failed"    // given up; LastError says why
	MailReturned  MailState = "returned"  // a delivery failure came back; LastError says why
	MailDiscarded MailState = "discarded" // by a person, or because its link has expired
)

// Mail is a mail that a change owes to somebody.
type Mail struct {
	ID           string
	Kind         string
	To           string
	ToName       string
	Account      account.ID             // empty: nobody's account
	Organization account.OrganizationID // whose name and logo it carries; empty: the provider's
	Language     string
	Ticket       ticket.ID // empty: it is not about a ticket
	Data         string    // sealed by the desk; empty once it is not needed any more
	Link         bool      // Data has a link that can be copied
	MessageID    string    // without angle brackets; empty until it was first tried
	State        MailState
	Turn         int64 // rises when a person has it tried again; jobs of former turns have no purpose
	Attempts     int
	LastError    string
	MadeBy       account.ID // whose act owes it; empty: a device's or the system's
	CreatedAt    time.Time
	ExpiresAt    time.Time // zero: never; what its link opens is over by then
	MovedAt      time.Time // of the last attempt or change of state
	Version      int64
}

const mailColumns = `select id, kind, recipient, recipient_name, account_id, organization_id, language, ticket_id, data, link, message_id, state, turn, attempts, last_error, made_by,
	created_at, expires_at, moved_at, version from mails`

func scanMail(r row) (m Mail, err error) {
	var created, expires, moved int64
	err = r.Scan(&m.ID, &m.Kind, &m.To, &m.ToName, &m.Account, &m.Organization, &m.Language, &m.Ticket, &m.Data, &m.Link, &m.MessageID, &m.State, &m.Turn, &m.Attempts, &m.LastError, &m.MadeBy,
		&created, &expires, &moved, &m.Version)
	m.CreatedAt, m.ExpiresAt, m.MovedAt = at(created), at(expires), at(moved)
	return m, err
}

const insertMail = `insert into mails (id, kind, recipient, recipient_name, account_id, organization_id, language, ticket_id, data, link, message_id, state, turn, attempts, last_error, made_by,
	created_at, expires_at, moved_at, version) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 1)`

// InsertMail stores a new mail.
func (t Tx) InsertMail(m Mail) error {
	_, err := t.exec(insertMail, m.ID, m.Kind, m.To, m.ToName, m.Account, m.Organization, m.Language, m.Ticket, m.Data, m.Link, m.MessageID, m.State, m.Turn, m.Attempts, m.LastError, m.MadeBy,
		micros(m.CreatedAt), micros(m.ExpiresAt), micros(m.MovedAt))
	return err
}

const saveMail = `update mails set data = $1, link = $2, message_id = $3, state = $4, turn = $5, attempts = $6, last_error = $7, moved_at = $8, version = version + 1 where id = $9 and version = $10`

// SaveMail stores what may change of a mail, or returns ErrStale.
func (t Tx) SaveMail(m Mail) error {
	return t.change(saveMail, m.Data, m.Link, m.MessageID, m.State, m.Turn, m.Attempts, m.LastError, micros(m.MovedAt), m.ID, m.Version)
}

// Mail loads one mail.
func (t Tx) Mail(id string) (Mail, error) { return one(t, scanMail, mailColumns+` where id = $1`, id) }

// Mails lists the mails of a state, the oldest first, from the one behind an id (empty: from the first).
func (t Tx) Mails(s MailState, after string, limit int) ([]Mail, error) {
	return all(t, scanMail, mailColumns+` where state = $1 and id > $2 order by id limit $3`, s, after, limit)
}

const countMails = `select count(*) from mails where state = $1`

// CountMails counts the mails of a state.
func (t Tx) CountMails(s MailState) (int64, error) { return one(t, scanInt, countMails, s) }

// MailByMessageID finds the mail that was sent under a Message-ID.
func (t Tx) MailByMessageID(id string) (Mail, error) {
	return one(t, scanMail, mailColumns+` where message_id = $1 and message_id <> '' order by id desc limit 1`, id)
}

// TicketMails lists the mails about a ticket, the oldest first.
func (t Tx) TicketMails(k ticket.ID) ([]Mail, error) {
	return all(t, scanMail, mailColumns+` where ticket_id = $1 and ticket_id <> '' order by id`, k)
}

const forgetMails = `delete from mails where ticket_id = '' and state <> 'waiting' and moved_at < $1`

// ForgetMails drops mails about no ticket with which nothing is left to do since a time.
func (t Tx) ForgetMails(before time.Time) error {
	_, err := t.exec(forgetMails, micros(before))
	return err
}

const dropMails = `update mails set state = 'discarded', data = '', link = $1, moved_at = $2, version = version + 1 where kind = $3 and recipient = $4 and state in ('waiting', 'failed')`

// DropMails gives up mails of a kind to an address that have not been sent: what their links open has been done.
func (t Tx) DropMails(kind, to string, now time.Time) error {
	_, err := t.exec(dropMails, false, micros(now), kind, to)
	return err
}
