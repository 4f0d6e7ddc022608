// Package store keeps everything that must survive a restart: SQL, one file per noun, one query text
// for SQLite and PostgreSQL.
//
// It hides the engines, group commit, migrations and full-text search. It promises that Write has
// reached the disk when it returns nil, that nothing of a failed Write remains, and that a reader sees one
// consistent state. The desk calls it; nobody else does.
//
// For the authors of a noun's file: queries are constants beside their method, `$1…$n` numbered in
// order of first use; columns are TEXT, BIGINT and BOOLEAN; times are Unix microseconds (micros, at);
// binary is TEXT in base64 or hex; use one, all, exec and change. Each query has a case in the suite,
// which runs on both engines.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/traybell/traybell/server/internal/account"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("exists already")
	ErrStale       = errors.New("was changed by somebody else meanwhile")
	ErrUnavailable = errors.New("the database can't store anything now")
	ErrClosed      = errors.New("the store is closed")
)

// Options say where the data live.
type Options struct {
	Data        string // folder of the embedded database; used when DatabaseURL is empty
	DatabaseURL string // postgres://…
	Logger      *slog.Logger
}

// Store is an open database.
type Store struct{ engine engine }

// engine is what differs between SQLite and PostgreSQL.
type engine interface {
	read(ctx context.Context, f func(Tx) error) error
	write(ctx context.Context, f func(Tx) error) error
	close() error
	name() string

	nextNumber(t Tx) (int64, error)
	index(t Tx, number int64, public, internal string) error
	match(w *where, words []string, tag string, internal bool) (number string)
	prefix(w *where, column, prefix string)
	claim(t Tx, kinds []string, now, until int64, limit int) ([]Job, error)
}

// Tx is one transaction. It is only good inside the function it was passed to, and carries that
// transaction's context itself: on SQLite many callers share one commit, and a caller who gives up
// must not interrupt it for the others.
type Tx struct {
	ctx context.Context
	q   querier
	e   engine
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Open opens the database and brings its tables up to date.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var e engine
	var err error
	if o.DatabaseURL != "" {
		e, err = openPostgres(ctx, o)
	} else {
		e, err = openSQLite(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return &Store{engine: e}, nil
}

// Close waits for running transactions and closes the database.
func (s *Store) Close() error { return s.engine.close() }

// Engine is "sqlite" or "postgres".
func (s *Store) Engine() string { return s.engine.name() }

// Read runs f on one consistent state of the data.
func (s *Store) Read(ctx context.Context, f func(Tx) error) error { return s.engine.read(ctx, f) }

// Write runs f in a transaction that is on the disk when Write returns nil. f may run more
// than once (after ErrStale, or ErrExists on PostgreSQL), so it must set what it returns anew each time and
// do nothing that can't be undone.
func (s *Store) Write(ctx context.Context, f func(Tx) error) error { return s.engine.write(ctx, f) }

// Moved reports whether anything may have been written since an earlier call that returned seen, and
// what to pass next time. Background work uses it to leave an idle server alone. On PostgreSQL other
// servers write too, so that the answer is always yes.
func (s *Store) Moved(seen uint64) (now uint64, moved bool) {
	e, ok := s.engine.(*sqliteEngine)
	if !ok {
		return 0, true
	}
	now = e.commits.Load()
	return now, now != seen
}

//go:embed migrations
var migrations embed.FS

// layers shows the common migrations and an engine's own as one folder.
type layers []fs.FS

func (l layers) Open(name string) (fs.File, error) {
	for _, f := range l {
		if file, err := f.Open(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (l layers) Glob(pattern string) ([]string, error) {
	var names []string
	for _, f := range l {
		n, err := fs.Glob(f, pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, n...)
	}
	slices.Sort(names)
	return names, nil
}

func migrate(ctx context.Context, db *sql.DB, d goose.Dialect, own string, opts ...goose.ProviderOption) error {
	common, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	engine, err := fs.Sub(migrations, "migrations/"+own)
	if err != nil {
		return err
	}
	// Nouns number their migrations in ranges of their own, so a new one may come below the newest.
	opts = append(opts, goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	p, err := goose.NewProvider(d, db, layers{common, engine}, opts...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the tables up to date: %w", err)
	}
	return nil
}

// row is a *sql.Rows positioned on a row.
type row interface{ Scan(dest ...any) error }

// one returns the single row of q, or ErrNotFound.
func one[T any](t Tx, scan func(row) (T, error), q string, args ...any) (T, error) {
	var zero T
	list, err := all(t, scan, q, args...)
	if err != nil {
		return zero, err
	}
	if len(list) == 0 {
		return zero, ErrNotFound
	}
	return list[0], nil
}

// all returns every row of q.
func all[T any](t Tx, scan func(row) (T, error), q string, args ...any) ([]T, error) {
	rows, err := t.q.QueryContext(t.ctx, q, args...)
	if err != nil {
		return nil, fail(err)
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fail(err)
		}
		list = append(list, v)
	}
	return list, fail(rows.Err())
}

// exec runs q and returns how many rows it touched.
func (t Tx) exec(q string, args ...any) (int64, error) {
	r, err := t.q.ExecContext(t.ctx, q, args...)
	if err != nil {
		return 0, fail(err)
	}
	n, err := r.RowsAffected()
	return n, fail(err)
}

// change runs an update that must touch one row: of the version it was read at, or that still
// fulfils the update's condition. Otherwise it returns ErrStale.
func (t Tx) change(q string, args ...any) error {
	n, err := t.exec(q, args...)
	if err == nil && n != 1 {
		return ErrStale
	}
	return err
}

// micros is a time as it is stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// at is the inverse of micros.
func at(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// jsonText encodes v for a column. It is only called with values that can be encoded.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// where builds a condition out of constant texts and placeholders, never out of values.
type where struct {
	conds []string
	args  []any
}

// and adds a condition; each ? in it stands for the next of args.
func (w *where) and(cond string, args ...any) {
	var b strings.Builder
	n := 0
	for _, c := range cond {
		if c == '?' {
			w.args = append(w.args, args[n])
			n++
			b.WriteString("$" + strconv.Itoa(len(w.args)))
			continue
		}
		b.WriteRune(c)
	}
	w.conds = append(w.conds, b.String())
}

// in adds "column in (…)"; an empty list matches nothing.
func (w *where) in(column string, values []string) {
	if len(values) == 0 {
		w.and("1 = 0")
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.and(column+" in (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

// within demands that a column names one of these organizations; nil demands nothing.
func (w *where) within(column string, list []account.OrganizationID) {
	if list == nil {
		return
	}
	values := make([]string, len(list))
	for i, o := range list {
		values[i] = string(o)
	}
	w.in(column, values)
}

// next adds an argument and returns its placeholder, for limits that follow the condition.
func (w *where) next(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(len(w.args))
}

// String is the condition with "where", or nothing.
func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " where " + strings.Join(w.conds, " and ")
}
