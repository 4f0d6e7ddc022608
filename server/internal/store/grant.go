package store

import (
	"encoding/base64"
	"fmt"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/grant"
)

const insertGrant = `insert into grants (device_id, id, account_id, session_id, ticket_id, standing, bytes, signature, spent, spent_at, ended_at, reason, told)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

// InsertGrant stores the copy of a grant that was verified; ErrExists when the device has used its id before.
func (t Tx) InsertGrant(g access.Grant) error {
	holder := ""
	if g.Holder != nil {
		holder = g.Holder.Account
	}
	_, err := t.exec(insertGrant, g.Device, g.ID, holder, g.Session, g.Ticket, g.Standing, base64.StdEncoding.EncodeToString(g.Signed.Bytes), base64.StdEncoding.EncodeToString(g.Signed.Signature),
		g.Spent, micros(g.SpentAt), micros(g.EndedAt), g.Reason, g.Told)
	return err
}

const grants = `select bytes, signature, spent, spent_at, ended_at, reason, told from grants`

func scanGrant(r row) (g access.Grant, err error) {
	var b, sig string
	var spentAt, ended int64
	if err := r.Scan(&b, &sig, &g.Spent, &spentAt, &ended, &g.Reason, &g.Told); err != nil {
		return g, err
	}
	g.SpentAt, g.EndedAt = at(spentAt), at(ended)
	if g.Signed.Bytes, err = base64.StdEncoding.DecodeString(b); err != nil {
		return g, fmt.Errorf("bytes of a grant: %w", err)
	}
	if g.Signed.Signature, err = base64.StdEncoding.DecodeString(sig); err != nil {
		return g, fmt.Errorf("signature of a grant: %w", err)
	}
	if g.Grant, err = grant.Parse(g.Signed.Bytes); err != nil {
		return g, fmt.Errorf("read a grant: %w", err)
	}
	return g, nil
}

// Grant loads the copy of one grant of a device.
func (t Tx) Grant(d device.ID, id string) (access.Grant, error) {
	return one(t, scanGrant, grants+` where device_id = $1 and id = $2`, d, id)
}

const saveGrant = `update grants set spent = $1, spent_at = $2, ended_at = $3, reason = $4, told = $5 where device_id = $6 and id = $7`

// SaveGrant stores what has changed about a copy; what was signed never does.
func (t Tx) SaveGrant(g access.Grant) error {
	return t.change(saveGrant, g.Spent, micros(g.SpentAt), micros(g.EndedAt), g.Reason, g.Told, g.Device, g.ID)
}

// GrantFilter chooses copies of grants. Zero fields choose all.
type GrantFilter struct {
	Device  device.ID
	Account account.ID // the holder
	Session access.SessionID
	Ticket  ticket.ID
	Live    bool // not ended; a budget may still be spent
	Untold  bool // ended at the server, and the device has not confirmed it
	Limit   int  // default 1000
}

// Grants lists copies of grants, the newest first.
func (t Tx) Grants(f GrantFilter) ([]access.Grant, error) {
	w := &where{}
	if f.Device != "" {
		w.and("device_id = ?", f.Device)
	}
	if f.Account != "" {
		w.and("account_id = ?", f.Account)
	}
	if f.Session != "" {
		w.and("session_id = ?", f.Session)
	}
	if f.Ticket != "" {
		w.and("ticket_id = ?", f.Ticket)
	}
	if f.Live {
		w.and("ended_at = 0")
	}
	if f.Untold {
		w.and("ended_at > 0 and not told")
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	q := grants + w.String() + " order by id desc, device_id limit " + w.next(f.Limit)
	return all(t, scanGrant, q, w.args...)
}

const accessOpen = `select exists (select 1 from sessions where device_id = $1 and ended_at = 0)
	or exists (select 1 from grants where device_id = $1 and ended_at = 0)
	or exists (select 1 from grants where device_id = $1 and ended_at > 0 and not told)`

// AccessOpen reports whether a device has a live session, a live grant, or an end of one that it was not
// told. It costs a few index look-ups: after a restart it is asked for every device.
func (t Tx) AccessOpen(d device.ID) (bool, error) {
	return one(t, func(r row) (open bool, err error) { return open, r.Scan(&open) }, accessOpen, d)
}
