package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/ticket"
)

// Outcome is what became of a mail that came in.
type Outcome string

// The outcomes.
const (
	MadeTicket    Outcome = "ticket"    // a new ticket
	MadeMessage   Outcome = "message"   // a message on a ticket
	MadeNote      Outcome = "note"      // an internal note on a ticket
	ClosedTicket  Outcome = "closed"    // a message, and the ticket was closed as it asked
	Held          Outcome = "held"      // in quarantine, until a person decides
	Bounced       Outcome = "bounce"    // a delivery failure of a mail of ours
	Dropped       Outcome = "dropped"   // our own mail came back, or a person has discarded it
	SameAsAnother Outcome = "duplicate" // the same mail again; it has no row of its own
)

// Incoming is a mail that came in.
type Incoming struct {
	ID          string
	Fingerprint string
	MessageID   string // without angle brackets
	Mailbox     string // by which way
	Sender      string
	SenderName  string
	Subject     string
	Outcome     Outcome
	Why         string    // held, note, dropped: a code, with details behind a colon
	Ticket      ticket.ID // to which it belongs, or which it names
	Message     string    // id of the message or note that was made
	Raw         string    // SHA-256 of its bytes, in hex
	Size        int64
	At          time.Time
	Version     int64
}

const incomingColumns = `select id, fingerprint, message_id, mailbox, sender, sender_name, subject, outcome, why, ticket_id, message, raw, size, at, version from incoming`

func scanIncoming(r row) (m Incoming, err error) {
	var when int64
	err = r.Scan(&m.ID, &m.Fingerprint, &m.MessageID, &m.Mailbox, &m.Sender, &m.SenderName, &m.Subject, &m.Outcome, &m.Why, &m.Ticket, &m.Message, &m.Raw, &m.Size, &when, &m.Version)
	m.At = at(when)
	return m, err
}

const insertIncoming = `insert into incoming (id, fingerprint, message_id, mailbox, sender, sender_name, subject, outcome, why, ticket_id, message, raw, size, at, version)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1)`

// InsertIncoming stores a mail that came in; ErrExists when it was stored before.
func (t Tx) InsertIncoming(m Incoming) error {
	_, err := t.exec(insertIncoming, m.ID, m.Fingerprint, m.MessageID, m.Mailbox, m.Sender, m.SenderName, m.Subject, m.Outcome, m.Why, m.Ticket, m.Message, m.Raw, m.Size, micros(m.At))
	return err
}

const saveIncoming = `update incoming set outcome = $1, why = $2, ticket_id = $3, message = $4, version = version + 1 where id = $5 and version = $6`

// SaveIncoming stores what became of a mail later, or returns ErrStale.
func (t Tx) SaveIncoming(m Incoming) error {
	return t.change(saveIncoming, m.Outcome, m.Why, m.Ticket, m.Message, m.ID, m.Version)
}

// Incoming loads one mail that came in.
func (t Tx) Incoming(id string) (Incoming, error) {
	return one(t, scanIncoming, incomingColumns+` where id = $1`, id)
}

// IncomingByFingerprint finds a mail that came in before.
func (t Tx) IncomingByFingerprint(f string) (Incoming, error) {
	return one(t, scanIncoming, incomingColumns+` where fingerprint = $1`, f)
}

// IncomingByMessageID finds the mail of a ticket with a Message-ID.
func (t Tx) IncomingByMessageID(id string) (Incoming, error) {
	return one(t, scanIncoming, incomingColumns+` where message_id = $1 and message_id <> '' and ticket_id <> '' and outcome <> 'held' order by id limit 1`, id)
}

// IncomingOfTicket lists the mails that belong to a ticket, the oldest first.
func (t Tx) IncomingOfTicket(k ticket.ID) ([]Incoming, error) {
	return all(t, scanIncoming, incomingColumns+` where ticket_id = $1 and ticket_id <> '' order by id`, k)
}

// HeldMails lists the quarantine, the newest first.
func (t Tx) HeldMails(limit int) ([]Incoming, error) {
	return all(t, scanIncoming, incomingColumns+` where outcome = 'held' order by id desc limit $1`, limit)
}

const countHeld = `select count(*) from incoming where outcome = 'held'`

// CountHeldMails counts the quarantine.
func (t Tx) CountHeldMails() (int64, error) { return one(t, scanInt, countHeld) }

const mailsToSince = `select count(*) from mails where recipient = $1 and kind = $2 and created_at > $3`

// MailsToSince counts the mails of a kind that were owed to an address since a time.
func (t Tx) MailsToSince(to, kind string, since time.Time) (int64, error) {
	return one(t, scanInt, mailsToSince, to, kind, micros(since))
}

const reopenedSince = `select count(*) from incoming where ticket_id = $1 and outcome = 'message' and why = 'reopened' and at > $2`

// ReopenedSince counts how often mails have reopened a ticket since a time.
func (t Tx) ReopenedSince(k ticket.ID, since time.Time) (int64, error) {
	return one(t, scanInt, reopenedSince, k, micros(since))
}
