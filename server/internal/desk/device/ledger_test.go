package device_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/traybell/traybell/server/internal/desk"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/shared/link"
)

func TestLedgerHeads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		req := request(f.key(t, deskdevice.NewKey{}), "PC-1")
		gp, gk, _ := ed25519.GenerateKey(rand.Reader)
		_, other, _ := ed25519.GenerateKey(rand.Reader)
		lp, lk, _ := ed25519.GenerateKey(rand.Reader)
		req.LinkKey, req.GrantKey = lp, gp
		req.Proof = enrolProof(req, lk, gk)
		if _, err := f.Enrol(t.Context(), req, "::1"); err != nil {
			t.Fatal(err)
		}
		id := device.ID(req.Device)
		head := func(seq int64, fill byte, key ed25519.PrivateKey) link.LedgerHead {
			h := link.LedgerHead{Seq: seq, Hash: bytes.Repeat([]byte{fill}, 32), At: 1}
			h.Signature = ed25519.Sign(key, h.Bytes(req.Device))
			return h
		}
		cuts := func() (n int) {
			t.Helper()
			if err := s.Read(t.Context(), func(tx store.Tx) error {
				list, err := tx.Entries(store.EntryFilter{Objects: []string{"device:" + req.Device}})
				for _, e := range list {
					if e.Action == "device.ledger_cut" {
						n++
					}
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, tt := range []struct {
			name string
			head link.LedgerHead
			want error
			cuts int
		}{
			{"first", head(3, 1, gk), nil, 0},
			{"the same again", head(3, 1, gk), nil, 0},
			{"further", head(9, 2, gk), nil, 0},
			{"signed by another key", head(10, 3, other), device.ErrProof, 0},
			{"without a hash", link.LedgerHead{Seq: 11}, device.ErrProof, 0},
			{"cut", head(8, 4, gk), nil, 1},
			{"goes on from there", head(9, 5, gk), nil, 1},
			{"another hash under the same number", head(9, 6, gk), nil, 2},
		} {
			if err := f.LedgerHead(t.Context(), id, tt.head); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
			if got := cuts(); got != tt.cuts {
				t.Errorf("%s: %d cuts on the log, want %d", tt.name, got, tt.cuts)
			}
		}
		if err := f.LedgerHead(t.Context(), "nobody", head(1, 1, gk)); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("an unknown device: %v", err)
		}
	})
}
