package device

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/link"
)

// LedgerHead keeps the signed head of a device's own record. A head that does not continue the one
// before — a lower number, or another hash under the same number — means that the device's record was
// cut or replaced; that is written to the audit log, and the server goes on from the new head.
func (d *Devices) LedgerHead(ctx context.Context, id device.ID, h link.LedgerHead) error {
	return d.o.Change(ctx, desk.Device(id), func(c *desk.Change) error {
		dev, err := c.Device(id)
		if err != nil {
			return err
		}
		if h.Seq < 1 || len(h.Hash) != 32 || !ed25519.Verify(dev.GrantKey, h.Bytes(string(id)), h.Signature) {
			return device.ErrProof
		}
		before, err := c.LedgerHead(id)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case before.Seq == h.Seq && bytes.Equal(before.Hash, h.Hash):
			return nil
		case before.Seq >= h.Seq:
			detail := map[string]any{"had": before.Seq, "had_hash": hex.EncodeToString(before.Hash), "sent": h.Seq, "sent_hash": hex.EncodeToString(h.Hash)}
			if err := c.Record("device.ledger_cut", ref(id), dev.Name, detail); err != nil {
				return err
			}
		}
		return c.SetLedgerHead(id, h, c.Now)
	})
}
