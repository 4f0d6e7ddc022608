// Package ledger is the device's own record of who asked, who was let in, what was used and what was
// refused. Each row holds the hash of the row before it; the head is signed by the grant key and goes
// to the server, so that neither side can drop or change a row unseen.
//
// A row is on the disk when Add returns. What can't be recorded is not opened: callers add the row
// first. "Who was on this computer" is read from here, without the server.
package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// Event is what happened.
type Event string

// The events.
const (
	Asked        Event = "asked"         // a technician asked
	Shown        Event = "shown"         // the question was on the screen
	Allowed      Event = "allowed"       // a grant was made
	Refused      Event = "refused"       // the question ended in no; Code says how
	OfferRefused Event = "offer_refused" // a channel was not opened; Code says why
	Opened       Event = "opened"        // a channel opened
	Closed       Event = "closed"        // a channel closed
	Used         Event = "used"          // What: saw, controlled, terminal
	Paused       Event = "paused"
	Resumed      Event = "resumed"
	SessionEnded Event = "session_ended" // Code: person, technician, budget, …
	GrantEnded   Event = "grant_ended"   // Code: revoked, budget, …
	OwnerClaimed Event = "owner_claimed" // an OS user linked this computer to the account Name
	OwnerEnded   Event = "owner_ended"   // and ended that
	Denied       Event = "denied"        // a call to the local API was refused: Code from_session
)

// ErrBroken is returned by Verify where the chain does not hold.
var ErrBroken = errors.New("the ledger was changed")

// Entry is one row. At is set by Add.
type Entry struct {
	Event        Event         `json:"event"`
	At           int64         `json:"at"` // Unix microseconds, device clock
	Session      string        `json:"session,omitempty"`
	Grant        string        `json:"grant,omitempty"`
	Channel      string        `json:"channel,omitempty"`
	Kind         grant.Kind    `json:"kind,omitempty"`
	Account      string        `json:"account,omitempty"` // the actor: the technician
	Name         string        `json:"name,omitempty"`
	Organization string        `json:"organization,omitempty"`
	Ticket       string        `json:"ticket,omitempty"`
	TicketNumber int64         `json:"ticket_number,omitempty"`
	As           string        `json:"as,omitempty"` // the OS user acted for
	AsID         string        `json:"as_id,omitempty"`
	By           string        `json:"by,omitempty"` // OS user at the device who acted
	Scopes       []grant.Scope `json:"scopes,omitempty"`
	What         string        `json:"what,omitempty"`
	Code         string        `json:"code,omitempty"`
	Standing     bool          `json:"standing,omitempty"`
	Skipped      int           `json:"skipped,omitempty"` // rows of a flood of refusals that were left out before this one
}

// Ledger is the record of one device.
type Ledger struct {
	db     *sql.DB
	key    ed25519.PrivateKey
	device string
	now    func() time.Time

	mu   sync.Mutex
	seq  int64
	hash []byte
	at   int64
}

// New continues the ledger that stands in db. key is the grant key.
func New(ctx context.Context, db *sql.DB, key ed25519.PrivateKey, device string, now func() time.Time) (*Ledger, error) {
	l := &Ledger{db: db, key: key, device: device, now: now}
	var body []byte
	err := db.QueryRowContext(ctx, `select seq, hash, body from ledger order by seq desc limit 1`).Scan(&l.seq, &l.hash, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	var e Entry
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	l.at = e.At
	return l, nil
}

func rowHash(seq int64, prev, body []byte) []byte {
	b := []byte("traybell-ledger-row-1\x00")
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	b = binary.BigEndian.AppendUint32(b, uint32(len(prev)))
	b = append(b, prev...)
	b = append(b, body...)
	h := sha256.Sum256(b)
	return h[:]
}

// Add appends a row. When it returns nil, the row is on the disk.
func (l *Ledger) Add(ctx context.Context, e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.At = l.now().UnixMicro()
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Event, err)
	}
	seq, prev := l.seq+1, l.hash
	if prev == nil {
		prev = []byte{}
	}
	hash := rowHash(seq, prev, body)
	err = state.Tx(ctx, l.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into ledger (seq, prev, body, hash, as_id, session) values ($1, $2, $3, $4, $5, $6)`,
			seq, prev, body, hash, e.AsID, e.Session)
		return err
	})
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Event, err)
	}
	l.seq, l.hash, l.at = seq, hash, e.At
	return nil
}

// Head is the signed head, or nil of an empty ledger.
func (l *Ledger) Head() *link.LedgerHead {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seq == 0 {
		return nil
	}
	h := link.LedgerHead{Seq: l.seq, Hash: bytes.Clone(l.hash), At: l.at}
	h.Signature = ed25519.Sign(l.key, h.Bytes(l.device))
	return &h
}

// Verify walks the whole chain.
func (l *Ledger) Verify(ctx context.Context) error {
	rows, err := l.db.QueryContext(ctx, `select seq, prev, body, hash from ledger order by seq`)
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	defer rows.Close()
	var last int64
	want := []byte{}
	for rows.Next() {
		var seq int64
		var prev, body, hash []byte
		if err := rows.Scan(&seq, &prev, &body, &hash); err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
		if seq != last+1 || !bytes.Equal(prev, want) || !bytes.Equal(hash, rowHash(seq, prev, body)) {
			return fmt.Errorf("%w at row %d", ErrBroken, last+1)
		}
		last, want = seq, hash
	}
	return rows.Err()
}

// Entries returns rows in order; asID limits them to one OS user unless it is empty, session to one session
// unless it is empty.
func (l *Ledger) Entries(ctx context.Context, asID, session string) ([]Entry, error) {
	rows, err := l.db.QueryContext(ctx, `select body from ledger where ($1 = '' or as_id = $1) and ($2 = '' or session = $2)
		order by seq desc limit 20000`, asID, session)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	defer rows.Close()
	var out []Entry
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
		var e Entry
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
		out = append(out, e)
	}
	slices.Reverse(out)
	return out, rows.Err()
}

// Visit is one session, or one question that ended in no, as people read it.
type Visit struct {
	Session      string
	Name         string
	Organization string
	As           string
	TicketNumber int64
	From, To     int64 // To 0: it goes on, or was cut off by a restart
	Did          []string
	EndedBy      string
	Refused      string // nothing was opened, and why
}

// Visits folds the rows of an OS user (all if asID is empty) into visits, newest first.
func (l *Ledger) Visits(ctx context.Context, asID string) ([]Visit, error) {
	es, err := l.Entries(ctx, asID, "")
	if err != nil {
		return nil, err
	}
	return fold(es), nil
}

func fold(es []Entry) []Visit {
	at := map[string]*Visit{}
	var order []*Visit
	for _, e := range es {
		if e.Session == "" || e.Event == Denied {
			continue
		}
		v := at[e.Session]
		if v == nil {
			v = &Visit{Session: e.Session, From: e.At}
			at[e.Session] = v
			order = append(order, v)
		}
		if e.Name != "" {
			v.Name = e.Name
		}
		if e.Organization != "" {
			v.Organization = e.Organization
		}
		if e.As != "" {
			v.As = e.As
		}
		if e.TicketNumber != 0 {
			v.TicketNumber = e.TicketNumber
		}
		switch e.Event {
		case Opened:
			if len(v.Did) == 0 {
				v.From = e.At
			}
			v.Refused, v.To, v.EndedBy = "", 0, ""
			v.did(string(e.Kind))
		case Used:
			v.did(e.What)
		case Closed:
			v.To = e.At
		case Refused:
			if len(v.Did) == 0 {
				v.Refused, v.To = e.Code, e.At
			}
		case OfferRefused:
			if len(v.Did) == 0 && v.Refused == "" {
				v.Refused, v.To = e.Code, e.At
			}
		case SessionEnded:
			v.To, v.EndedBy = e.At, e.Code
		}
	}
	slices.Reverse(order)
	out := make([]Visit, len(order))
	for i, v := range order {
		out[i] = *v
	}
	return out
}

func (v *Visit) did(what string) {
	if what != "" && !slices.Contains(v.Did, what) {
		v.Did = append(v.Did, what)
	}
}
