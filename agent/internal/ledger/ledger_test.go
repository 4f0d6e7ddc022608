package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/grant"
)

func open(t *testing.T) (*Ledger, func(string)) {
	t.Helper()
	ctx := context.Background()
	db, err := state.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	_, key, _ := ed25519.GenerateKey(nil)
	now := time.Unix(1_790_000_000, 0)
	l, err := New(ctx, db, key, "device", func() time.Time { now = now.Add(time.Second); return now })
	if err != nil {
		t.Fatal(err)
	}
	return l, func(q string) {
		t.Helper()
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChangedRowsAreFound(t *testing.T) {
	for _, tt := range []struct {
		name, sql string
		want      error
	}{
		{"untouched", `select 1`, nil},
		{"a body", `update ledger set body = replace(body, 'Anna', 'Otto') where seq = 2`, ErrBroken},
		{"a row taken out", `delete from ledger where seq = 2`, ErrBroken},
		{"two rows swapped", `update ledger set seq = case seq when 1 then 1001 else 1002 end where seq < 3; update ledger set seq = case seq when 1001 then 2 else 1 end where seq > 1000`, ErrBroken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, exec := open(t)
			for range 4 {
				if err := l.Add(context.Background(), Entry{Event: Asked, Name: "Anna"}); err != nil {
					t.Fatal(err)
				}
			}
			exec(tt.sql)
			if err := l.Verify(context.Background()); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestHeadIsSignedAndFindsACutTail(t *testing.T) {
	l, exec := open(t)
	ctx := context.Background()
	if l.Head() != nil {
		t.Error("an empty ledger has a head")
	}
	for range 3 {
		if err := l.Add(ctx, Entry{Event: Asked}); err != nil {
			t.Fatal(err)
		}
	}
	h := l.Head()
	pub := l.key.Public().(ed25519.PublicKey)
	if !ed25519.Verify(pub, h.Bytes("device"), h.Signature) {
		t.Error("the head's signature does not hold")
	}
	if ed25519.Verify(pub, h.Bytes("other"), h.Signature) {
		t.Error("the head holds for another device")
	}
	if _, err := grant.Verify(grant.Signed{Bytes: h.Bytes("device"), Signature: h.Signature}, pub); err == nil {
		t.Error("the head passes for a grant")
	}
	exec(`delete from ledger where seq = 3`)
	again, err := New(ctx, l.db, l.key, "device", l.now)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Head(); got.Seq >= h.Seq {
		t.Errorf("got head %d after the cut, want less than %d", got.Seq, h.Seq)
	}
}

func TestVisitsTellWhoWasThere(t *testing.T) {
	es := []Entry{
		{Event: Asked, At: 1, Session: "a", Name: "Anna", AsID: "1"},
		{Event: Allowed, At: 2, Session: "a"},
		{Event: Opened, At: 3, Session: "a", Kind: grant.KindDesktop},
		{Event: Used, At: 4, Session: "a", What: "controlled"},
		{Event: Closed, At: 5, Session: "a"},
		{Event: SessionEnded, At: 6, Session: "a", Code: "person"},
		{Event: Asked, At: 7, Session: "b", Name: "Otto"},
		{Event: Refused, At: 8, Session: "b", Code: "silence"},
		{Event: OfferRefused, At: 9, Session: "b", Code: "no_grant"},
	}
	got := fold(es)
	if len(got) != 2 || got[0].Session != "b" || got[0].Refused != "silence" || len(got[0].Did) != 0 {
		t.Fatalf("got %+v", got)
	}
	a := got[1]
	if a.From != 3 || a.To != 6 || a.EndedBy != "person" || a.Refused != "" || len(a.Did) != 2 || a.Did[0] != "desktop" || a.Did[1] != "controlled" {
		t.Errorf("got %+v", a)
	}
}
