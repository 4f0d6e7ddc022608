package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/link"
)

const ledgerHead = `select signed from ledger_heads where device_id = $1`

// LedgerHead is the newest signed head of a device's own record; ErrNotFound before the first.
func (t Tx) LedgerHead(id device.ID) (link.LedgerHead, error) {
	return one(t, func(r row) (h link.LedgerHead, err error) {
		var signed string
		if err := r.Scan(&signed); err != nil {
			return h, err
		}
		if err := json.Unmarshal([]byte(signed), &h); err != nil {
			return h, fmt.Errorf("ledger head of device %s: %w", id, err)
		}
		return h, nil
	}, ledgerHead, id)
}

const setLedgerHead = `insert into ledger_heads (device_id, seq, hash, signed, at) values ($1, $2, $3, $4, $5)
	on conflict (device_id) do update set seq = excluded.seq, hash = excluded.hash, signed = excluded.signed, at = excluded.at`

// SetLedgerHead keeps the head that a device has sent, with its signature.
func (t Tx) SetLedgerHead(id device.ID, h link.LedgerHead, now time.Time) error {
	_, err := t.exec(setLedgerHead, id, h.Seq, hex.EncodeToString(h.Hash), jsonText(h), micros(now))
	return err
}
