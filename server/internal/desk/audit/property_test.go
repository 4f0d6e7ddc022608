package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/audit"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

var auditColumns = []string{"id", "seq", "at", "actor", "acting_for", "organization_id", "via", "address", "action", "object", "detail", "hash"}

// table is the log as somebody with the database's password sees it.
type table struct {
	t  *testing.T
	db *sql.DB
}

func (d table) read() (rows [][]any) {
	d.t.Helper()
	r, err := d.db.QueryContext(d.t.Context(), "select "+strings.Join(auditColumns, ", ")+" from audit order by seq")
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		row := make([]any, len(auditColumns))
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := r.Scan(dest...); err != nil {
			d.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// write replaces the whole log.
func (d table) write(rows [][]any) {
	d.t.Helper()
	tx, err := d.db.BeginTx(d.t.Context(), nil)
	if err == nil {
		_, err = tx.Exec("delete from audit")
	}
	for _, row := range rows {
		if err == nil {
			_, err = tx.Exec("insert into audit ("+strings.Join(auditColumns, ", ")+") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", row...)
		}
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// mutate changes one thing in a log and says what.
func mutate(r *rand.Rand, rows [][]any) ([][]any, string) {
	at := func(name string) int { return slices.Index(auditColumns, name) }
	n := len(rows)
	i := r.IntN(n)
	switch r.IntN(7) {
	case 0, 1: // a changed row
		k := r.IntN(len(auditColumns))
		if v, ok := rows[i][k].(int64); ok {
			// another place in the chain must be free: seq is unique
			rows[i][k] = v + int64(n+r.IntN(1000))
		} else {
			s := []byte(fmt.Sprint(rows[i][k]))
			if len(s) == 0 {
				s = []byte("x")
			} else {
				p := r.IntN(len(s))
				s[p] = "ab"[b2i(s[p] == 'a')]
			}
			rows[i][k] = string(s)
		}
		return rows, fmt.Sprintf("changed %s of row %d", auditColumns[k], i)
	case 2:
		return slices.Delete(rows, i, i+1), fmt.Sprintf("removed row %d", i)
	case 3: // an inserted row, for which the later ones make place
		fresh := slices.Clone(rows[i])
		fresh[at("id")] = fmt.Sprintf("ffff%032d", r.IntN(1e9))
		for j := i; j < n; j++ {
			rows[j][at("seq")] = rows[j][at("seq")].(int64) + 1
		}
		return slices.Insert(rows, i, fresh), fmt.Sprintf("inserted before row %d", i)
	case 4: // two rows change places
		j := (i + 1 + r.IntN(n-1)) % n
		if r.IntN(2) == 0 { // their hashes too
			rows[i][at("hash")], rows[j][at("hash")] = rows[j][at("hash")], rows[i][at("hash")]
		}
		rows[i][at("seq")], rows[j][at("seq")] = rows[j][at("seq")], rows[i][at("seq")]
		return rows, fmt.Sprintf("swapped rows %d and %d", i, j)
	case 5:
		k := 1 + r.IntN(n)
		return rows[:n-k], fmt.Sprintf("cut %d rows from the tail", k)
	default:
		k := 1 + r.IntN(n)
		return rows[k:], fmt.Sprintf("cut %d rows from the head", k)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestAnyMutationIsFound makes a log with a signed cut and checkpoints, changes one thing in it at random, asks Verify,
// puts everything back, and asks again: the clean twin must be whole.
func TestAnyMutationIsFound(t *testing.T) {
	run := func(t *testing.T, s *store.Store, db *sql.DB) {
		t.Cleanup(func() { db.Close() })
		f := setup(t, s)
		c := f.cast(t)
		for i := range 40 {
			who := []desk.Actor{c.admin, c.carla, c.me.InPlaceOf(c.admin.Account), desk.System()}[i%4]
			f.does(t, who, "thing.done", fmt.Sprintf("thing:%d", i), "Thing", map[string]any{"number": i})
			if i == 11 {
				f.chain(t)
				f.now = f.now.AddDate(0, 0, audit.KeepDays+1)
			}
			if i == 20 {
				f.chain(t)
				if err := f.log.Cut(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.chain(t)
		if r := f.verify(t); r.Problem != "" || r.Cut != 12 || r.Rows != 29 {
			t.Fatalf("before anything was changed: %+v", r)
		}
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		d := table{t, db}
		clean := d.read()
		for range 40 {
			changed := make([][]any, len(clean))
			for i := range clean {
				changed[i] = slices.Clone(clean[i])
			}
			changed, what := mutate(r, changed)
			d.write(changed)
			if got := f.verify(t); got.Problem == "" {
				t.Errorf("seed %d: %s: not found: %+v", seed, what, got)
			}
			d.write(clean)
			if got := f.verify(t); got.Problem != "" {
				t.Fatalf("seed %d: the clean twin of %q: %s", seed, what, got.Problem)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		s, err := store.Open(t.Context(), store.Options{Data: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "traybell.db")+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		run(t, s, db)
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		s, err := store.Open(t.Context(), store.Options{DatabaseURL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		run(t, s, db)
	})
}

// TestRetentionLeavesAWholeLog cuts several times, far back and near, with names that are anonymised between.
func TestRetentionLeavesAWholeLog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		c := f.cast(t)
		if err := f.log.SetRetention(t.Context(), c.carla, 30); err == nil {
			t.Error("a responsible person sets how long the server's log is kept")
		}
		if err := f.log.SetRetention(t.Context(), c.admin, 29); err == nil {
			t.Error("29 days are accepted")
		}
		if err := f.log.SetRetention(t.Context(), c.admin, 30); !errors.Is(err, desk.ErrStepUp) {
			t.Errorf("a login that has not proven its second factor sets how long the log is kept: %v", err)
		}
		c.admin.ConfirmedAt = f.now
		if err := f.log.SetRetention(t.Context(), c.admin, 30); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for range 10 {
				f.does(t, c.me, "thing.done", c.me.Ref(), "Lucia Rossi", nil)
			}
			f.chain(t)
			f.now = f.now.AddDate(0, 0, 20)
			if err := f.log.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r := f.verify(t); r.Problem != "" {
				t.Fatal(r)
			}
			f.chain(t)
			if r := f.verify(t); r.Problem != "" {
				t.Fatal(r)
			}
		}
		if err := s.Write(t.Context(), func(tx store.Tx) error { return tx.SetAuditName(c.me.Ref(), "Former person 7") }); err != nil {
			t.Fatal(err)
		}
		p, err := f.log.List(t.Context(), c.admin, audit.Filter{Action: "thing.done", Limit: 500})
		if err != nil || len(p.Rows) == 0 || len(p.Rows) > 20 {
			t.Fatalf("%d rows, %v", len(p.Rows), err)
		}
		for _, r := range p.Rows {
			if r.ActorName != "Former person 7" || r.ObjectName != "Former person 7" {
				t.Errorf("got %q and %q", r.ActorName, r.ObjectName)
			}
		}
		f.chain(t)
		r := f.verify(t)
		if r.Problem != "" || r.Cut < 10 {
			t.Errorf("got %+v", r)
		}
		c.admin.ConfirmedAt = f.now
		if err := f.log.SetRetention(t.Context(), c.admin, 0); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.AddDate(10, 0, 0)
		if err := f.log.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := f.verify(t); after.Cut != r.Cut {
			t.Errorf("kept for ever, but %d rows were cut", after.Cut-r.Cut)
		}
	})
}

func TestCutsRefuseToHideMissingRows(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(context.Background(), store.Options{Data: dir})
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
	if _, err := db.Exec(`delete from audit where seq = 3`); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.AddDate(2, 0, 0)
	if err := f.log.Cut(t.Context()); err == nil {
		t.Error("a damaged log was cut")
	}
	if r := f.verify(t); !strings.Contains(r.Problem, "row 3 is missing") {
		t.Errorf("got %+v", r)
	}
}
