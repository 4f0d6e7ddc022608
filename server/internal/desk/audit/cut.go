package audit

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// How long entries are kept, in days. Thirteen months let a year be compared with the one before it; an
// organization that must keep longer sets more, or 0 for ever.
const (
	KeepDays    = 400 // unless it is set otherwise
	MinKeepDays = 30
	MaxKeepDays = 3650
	settingKeep = "audit_keep_days"
	cutEvery    = time.Hour
	cutStep     = 10_000 // rows in one transaction
	context2    = "traybell-cut-1\x00"
)

// errCut is a cut entry that this server has not signed.
var errCut = errors.New("the newest entry about removed rows was not signed by this server")

// cutStatement is the detail of an entry "audit.cut": which rows were removed because their time was over. The last
// row's hash lets the chain be verified from there on; the signature keeps others from cutting.
type cutStatement struct {
	Count     int64  `json:"count"`
	FirstSeq  int64  `json:"first_seq"`
	FirstID   string `json:"first_id"`
	FirstHash string `json:"first_hash"`
	LastSeq   int64  `json:"last_seq"`
	LastID    string `json:"last_id"`
	LastHash  string `json:"last_hash"`
	Signature []byte `json:"signature,omitempty"`
}

func (c cutStatement) bytes() []byte {
	b := []byte(context2)
	for _, n := range []int64{c.Count, c.FirstSeq, c.LastSeq} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range []string{c.FirstID, c.FirstHash, c.LastID, c.LastHash} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// lastCut is the newest cut; the zero one when nothing was ever cut.
func (l *Log) lastCut(tx store.Tx) (c cutStatement, err error) {
	e, err := tx.LastEntryOf(ActionCut)
	if errors.Is(err, store.ErrNotFound) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if json.Unmarshal([]byte(e.Detail), &c) != nil || !ed25519.Verify(l.o.Identity.Public().(ed25519.PublicKey), c.bytes(), c.Signature) {
		return cutStatement{}, errCut
	}
	return c, nil
}

// Retention is for how many days entries are kept; 0: for ever.
func (l *Log) Retention(ctx context.Context) (days int, err error) {
	err = l.o.Read(ctx, func(tx store.Tx) error { days, err = retention(tx); return err })
	return days, err
}

func retention(tx store.Tx) (int, error) {
	s, err := tx.Setting(settingKeep)
	if errors.Is(err, store.ErrNotFound) {
		return KeepDays, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// Keeps reports whether the actor decides how long entries are kept.
func Keeps(a desk.Actor) bool { return a.Everywhere(account.SettingsManage) }

// SetRetention sets for how many days entries are kept: 30 to 3650, or 0 for ever.
func (l *Log) SetRetention(ctx context.Context, a desk.Actor, days int) error {
	if !Keeps(a) {
		return desk.Fail(desk.ErrDenied)
	}
	if err := desk.NeedFresh(a, l.o.Time()); err != nil {
		return err
	}
	if days != 0 && (days < MinKeepDays || days > MaxKeepDays) {
		return desk.Refuse(desk.ErrInvalid, "keep_days")
	}
	return l.o.Change(ctx, a, func(c *desk.Change) error {
		was, err := retention(c.Tx)
		if err != nil || was == days {
			return err
		}
		if err := c.SetSetting(settingKeep, strconv.Itoa(days)); err != nil {
			return err
		}
		return c.Record("audit.retention_changed", "log:all", "", map[string]any{"from": was, "to": days})
	})
}

// Cut removes the rows whose time is over, from the chain's beginning, and leaves a signed entry that says so. The
// newest row always stays.
func (l *Log) Cut(ctx context.Context) error {
	for {
		n, err := l.cutStep(ctx)
		if err != nil {
			return fmt.Errorf("remove old rows of the log: %w", err)
		}
		if n < cutStep {
			return nil
		}
	}
}

func (l *Log) cutStep(ctx context.Context) (n int64, err error) {
	var first, last store.Entry
	look := func(tx store.Tx) error {
		first, last = store.Entry{}, store.Entry{}
		days, err := retention(tx)
		if err != nil || days == 0 {
			return err
		}
		list, err := tx.ChainedEntries(1, 1)
		if err != nil || len(list) == 0 {
			return err
		}
		head, err := tx.LastEntry()
		if err != nil {
			return err
		}
		e, err := tx.LastEntryBefore(min(list[0].Seq+cutStep, head.Seq)-1, l.o.Time().AddDate(0, 0, -days))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		first, last = list[0], e
		return err
	}
	if err := l.o.Read(ctx, look); err != nil || last.ID == "" {
		return 0, err
	}
	err = l.o.Change(ctx, desk.System(), func(c *desk.Change) error {
		n = 0
		if err := look(c.Tx); err != nil || last.ID == "" {
			return err
		}
		before, err := l.lastCut(c.Tx)
		if err != nil {
			return err
		}
		s := cutStatement{Count: last.Seq - first.Seq + 1, FirstSeq: first.Seq, FirstID: first.ID, FirstHash: first.Hash, LastSeq: last.Seq, LastID: last.ID, LastHash: last.Hash}
		if n, err = c.CutEntries(last.Seq); err != nil {
			return err
		}
		if n != s.Count || first.Seq != before.LastSeq+1 { // a cut must not hide that rows are missing
			return fmt.Errorf("rows before %d are missing; traybell-server audit verify says more", last.Seq)
		}
		s.Signature = ed25519.Sign(l.o.Identity, s.bytes())
		return c.Record(ActionCut, "log:all", "", s)
	})
	return n, err
}
