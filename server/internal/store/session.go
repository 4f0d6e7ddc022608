package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/grant"
)

const insertSession = `insert into sessions (id, device_id, organization_id, ticket_id, account_id, name, scopes, state, os_user, user_since, words, deadline, granted, grant_id, reason, outcome, used,
	asked_at, moved_at, allowed_at, ended_at, version)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, 1)`

// InsertSession stores a new session.
func (t Tx) InsertSession(s access.Session) error {
	_, err := t.exec(insertSession, s.ID, s.Device, s.Organization, s.Ticket, s.Account, s.Name, jsonText(s.Scopes), s.State, s.User, micros(s.UserSince), s.Words, micros(s.Deadline),
		jsonText(s.Granted), s.Grant, s.Reason, s.Outcome, jsonText(s.Used), micros(s.AskedAt), micros(s.MovedAt), micros(s.AllowedAt), micros(s.EndedAt))
	return err
}

const sessions = `select s.id, s.device_id, d.name, s.organization_id, s.ticket_id, t.number, t.title, s.account_id, s.name, s.scopes, s.state, s.os_user, s.user_since, s.words, s.deadline,
	s.granted, s.grant_id, s.reason, s.outcome, s.used, s.asked_at, s.moved_at, s.allowed_at, s.ended_at, s.version
	from sessions s join devices d on d.id = s.device_id join tickets t on t.id = s.ticket_id`

func scanSession(r row) (s access.Session, err error) {
	var scopes, granted, used string
	var since, deadline, asked, moved, allowed, ended int64
	if err := r.Scan(&s.ID, &s.Device, &s.DeviceName, &s.Organization, &s.Ticket, &s.TicketNumber, &s.TicketTitle, &s.Account, &s.Name, &scopes, &s.State, &s.User, &since, &s.Words, &deadline,
		&granted, &s.Grant, &s.Reason, &s.Outcome, &used, &asked, &moved, &allowed, &ended, &s.Version); err != nil {
		return s, err
	}
	s.UserSince, s.Deadline, s.AskedAt, s.MovedAt, s.AllowedAt, s.EndedAt = at(since), at(deadline), at(asked), at(moved), at(allowed), at(ended)
	for text, list := range map[*string]any{&scopes: &s.Scopes, &granted: &s.Granted, &used: &s.Used} {
		if err := json.Unmarshal([]byte(*text), list); err != nil {
			return s, fmt.Errorf("lists of session %s: %w", s.ID, err)
		}
	}
	return s, nil
}

// Session loads one session.
func (t Tx) Session(id access.SessionID) (access.Session, error) {
	return one(t, scanSession, sessions+` where s.id = $1`, id)
}

const saveSession = `update sessions set state = $1, os_user = $2, user_since = $3, words = $4, deadline = $5, granted = $6, grant_id = $7, reason = $8, outcome = $9, used = $10,
	moved_at = $11, allowed_at = $12, ended_at = $13, version = version + 1 where id = $14 and version = $15`

// SaveSession stores a session that has moved; ErrStale when somebody else moved it meanwhile.
func (t Tx) SaveSession(s access.Session) error {
	return t.change(saveSession, s.State, s.User, micros(s.UserSince), s.Words, micros(s.Deadline), jsonText(s.Granted), s.Grant, s.Reason, s.Outcome, jsonText(s.Used),
		micros(s.MovedAt), micros(s.AllowedAt), micros(s.EndedAt), s.ID, s.Version)
}

// SessionFilter chooses sessions. Zero fields choose all.
type SessionFilter struct {
	Device       device.ID
	Ticket       ticket.ID
	Account      account.ID
	Organization account.OrganizationID
	Within       []account.OrganizationID // nil: every one
	User         string                   // OS user
	Live         bool                     // not over
	Before       access.SessionID         // the last session of the page before
	Limit        int                      // default 100
}

// Sessions lists sessions, the newest first.
func (t Tx) Sessions(f SessionFilter) ([]access.Session, error) {
	w := &where{}
	if f.Device != "" {
		w.and("s.device_id = ?", f.Device)
	}
	if f.Ticket != "" {
		w.and("s.ticket_id = ?", f.Ticket)
	}
	if f.Account != "" {
		w.and("s.account_id = ?", f.Account)
	}
	if f.Organization != "" {
		w.and("s.organization_id = ?", f.Organization)
	}
	w.within("s.organization_id", f.Within)
	if f.User != "" {
		w.and("s.os_user = ?", f.User)
	}
	if f.Live {
		w.and("s.ended_at = 0")
	}
	if f.Before != "" {
		w.and("s.id < ?", f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	q := sessions + w.String() + " order by s.id desc limit " + w.next(f.Limit)
	return all(t, scanSession, q, w.args...)
}

// Channel is one channel that was offered to a device.
type Channel struct {
	ID        string
	Session   access.SessionID
	Device    device.ID
	Kind      grant.Kind
	Control   bool
	Grant     string
	OfferedAt time.Time
	OpenedAt  time.Time // zero: not opened
	Refused   string    // the device's code
}

const insertChannel = `insert into channels (id, session_id, device_id, kind, control, grant_id, offered_at, opened_at, refused) values ($1, $2, $3, $4, $5, $6, $7, 0, '')`

// InsertChannel stores a channel that is about to be offered.
func (t Tx) InsertChannel(c Channel) error {
	_, err := t.exec(insertChannel, c.ID, c.Session, c.Device, c.Kind, c.Control, c.Grant, micros(c.OfferedAt))
	return err
}

const channels = `select id, session_id, device_id, kind, control, grant_id, offered_at, opened_at, refused from channels`

func scanChannel(r row) (c Channel, err error) {
	var offered, opened int64
	err = r.Scan(&c.ID, &c.Session, &c.Device, &c.Kind, &c.Control, &c.Grant, &offered, &opened, &c.Refused)
	c.OfferedAt, c.OpenedAt = at(offered), at(opened)
	return c, err
}

// Channel loads one channel.
func (t Tx) Channel(id string) (Channel, error) {
	return one(t, scanChannel, channels+` where id = $1`, id)
}

// Channels lists the channels of a session, the oldest first.
func (t Tx) Channels(s access.SessionID) ([]Channel, error) {
	return all(t, scanChannel, channels+` where session_id = $1 order by id`, s)
}

const (
	openChannel   = `update channels set opened_at = $1 where id = $2 and opened_at = 0 and refused = ''`
	refuseChannel = `update channels set refused = $1 where id = $2 and opened_at = 0 and refused = ''`
)

// OpenChannel notes that a channel carries bytes; ErrStale if its fate was known already.
func (t Tx) OpenChannel(id string, now time.Time) error {
	return t.change(openChannel, micros(now), id)
}

// RefuseChannel notes why a channel was not opened; ErrStale if its fate was known already.
func (t Tx) RefuseChannel(id, code string) error { return t.change(refuseChannel, code, id) }
