package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/audit"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type fixture struct {
	log   *audit.Log
	base  desk.Options
	file  string
	other *audit.Log // another server on the same database
	now   time.Time
}

func setup(t *testing.T, s *store.Store) *fixture {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{file: filepath.Join(t.TempDir(), "audit", "checkpoints.jsonl"), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	f.base = desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.now }}
	f.log = audit.New(audit.Options{Options: f.base, Identity: key, File: f.file, Node: "a"})
	f.other = audit.New(audit.Options{Options: f.base, Identity: key, File: f.file + "2", Node: "b"})
	return f
}

func (f *fixture) record(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := f.base.Change(t.Context(), desk.System(), func(c *desk.Change) error {
			return c.Record("thing.done", "thing:1", "Thing", map[string]any{"n": n})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) chain(t *testing.T) {
	t.Helper()
	if held, err := f.log.Chain(t.Context()); !held || err != nil {
		t.Fatal(held, err)
	}
	if err := f.log.Mark(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) verify(t *testing.T) audit.Report {
	t.Helper()
	r, err := f.log.Verify(t.Context(), desk.System(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChainIsWhole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		if r := f.verify(t); r.Problem != "" || r.Rows != 0 {
			t.Errorf("an empty log: %v", r)
		}
		for range 3 {
			f.record(t, 4)
			f.chain(t)
		}
		f.record(t, 2)
		if r := f.verify(t); r.Problem != "" || r.Rows != 12 || r.Checkpoints != 3 || r.Waiting != 2 {
			t.Errorf("got %+v", r)
		}
		if held, err := f.other.Chain(t.Context()); held || err != nil {
			t.Errorf("two servers chain at once: %v %v", held, err)
		}
		f.now = f.now.Add(time.Minute) // the first one has died
		if held, err := f.other.Chain(t.Context()); !held || err != nil {
			t.Errorf("nobody took over: %v %v", held, err)
		}
		if r := f.verify(t); r.Problem != "" || r.Rows != 14 || r.Waiting != 0 {
			t.Errorf("got %+v", r)
		}
		if _, err := f.log.Verify(t.Context(), desk.Actor{Account: "x"}, nil); err == nil {
			t.Error("anybody may verify")
		}
	})
}

// TestTamperingIsFound changes the database file behind the server's back.
func TestTamperingIsFound(t *testing.T) {
	for _, c := range []struct {
		name, statement, want string
	}{
		{"a changed row", `update audit set detail = '{"n":5}' where seq = 3`, "row 3"},
		{"a changed actor", `update audit set actor = 'account:x' where seq = 3`, "row 3"},
		{"a removed row", `delete from audit where seq = 3`, "row 3 is missing"},
		{"a cut tail", `delete from audit where seq > 6`, "newest rows were cut off"},
		{"swapped rows", `update audit set seq = case seq when 3 then 100 else seq end; update audit set seq = 3 where seq = 4; update audit set seq = 4 where seq = 100`, "row 3"},
		{"all removed", `delete from audit`, "newest rows were cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := store.Open(t.Context(), store.Options{Data: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			f := setup(t, s)
			f.record(t, 8)
			f.chain(t)
			db, err := sql.Open("sqlite", filepath.Join(dir, "traybell.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(c.statement); err != nil {
				t.Fatal(err)
			}
			if r := f.verify(t); !strings.Contains(r.Problem, c.want) {
				t.Errorf("got %q, want it to name %q", r.Problem, c.want)
			}
		})
	}
}

// TestChainMadeAnewIsFound lets an attacker with the database, but without the identity key, drop a row and
// compute every later hash again.
func TestChainMadeAnewIsFound(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := setup(t, s)
	f.record(t, 8)
	f.chain(t)
	db, err := sql.Open("sqlite", filepath.Join(dir, "traybell.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`delete from audit where seq = 3; update audit set seq = 0, hash = ''`); err != nil {
		t.Fatal(err)
	}
	f.record(t, 1) // as many rows as before
	if _, err := f.log.Chain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t); !strings.Contains(r.Problem, "made anew") {
		t.Errorf("got %+v", r)
	}
}

func TestCheckpointsCanNotBeForged(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	f.record(t, 3)
	f.chain(t)
	b, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	var c audit.Checkpoint
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	c.Seq = 2
	forged, _ := json.Marshal(c)
	r, err := f.log.Verify(t.Context(), desk.System(), bytes.NewReader(forged))
	if err != nil || !strings.Contains(r.Problem, "not signed by this server") {
		t.Errorf("got %+v, %v", r, err)
	}
	// A crash that cut a line is no tampering, and the next checkpoint starts a line of its own.
	if err := os.WriteFile(f.file, append(b, `{"seq":`...), 0o600); err != nil {
		t.Fatal(err)
	}
	f.record(t, 1)
	f.chain(t)
	if r := f.verify(t); r.Problem != "" || r.Checkpoints != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestRunChainsWithinASecond(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.log.Run(ctx) }()
	f.record(t, 1)
	deadline := time.After(time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for f.verify(t).Rows == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not chained within a second")
		}
	}
	f.record(t, 1)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t); r.Rows != 2 || r.Waiting != 0 || r.Checkpoints == 0 {
		t.Errorf("the last rows were left behind: %+v", r)
	}
}
