package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

const (
	maxGroup  = 256                   // requests that share a commit
	groupTime = 20 * time.Millisecond // after which no further request joins a group
)

// sqliteEngine is the embedded database: one goroutine writes, GOMAXPROCS connections read.
//
// Group commit: the writer takes every waiting request into one transaction, a savepoint each, and
// syncs once for all of them. 64 callers then reach several times the rate of a transaction each, where
// as many pooled writers would collapse (docs/benchmarks.md).
type sqliteEngine struct {
	writerDB, readerDB *sql.DB
	writer             *sqliteConn
	readers            chan *sqliteConn
	requests           chan *request
	quit, done         chan struct{}
	log                *slog.Logger
	commits            atomic.Uint64
	words              []document // that the present group will add to the search index; the writer's own
}

// document is a ticket's words.
type document struct {
	number           int64
	public, internal string
}

type request struct {
	f      func(Tx) error
	err    error
	panics any
	done   chan struct{}
}

// sqliteConn keeps its prepared statements: preparing costs more than most of our statements.
type sqliteConn struct {
	*sql.Conn
	stmts map[string]*sql.Stmt
}

const maxStmts = 500 // lists with many filters have many texts

func (c *sqliteConn) prepare(ctx context.Context, q string) (*sql.Stmt, error) {
	if s := c.stmts[q]; s != nil {
		return s, nil
	}
	if len(c.stmts) >= maxStmts {
		for _, s := range c.stmts {
			s.Close()
		}
		clear(c.stmts)
	}
	s, err := c.PrepareContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", q, err)
	}
	c.stmts[q] = s
	return s, nil
}

// QueryContext implements querier.
func (c *sqliteConn) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	s, err := c.prepare(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// ExecContext implements querier.
func (c *sqliteConn) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	s, err := c.prepare(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func openSQLite(ctx context.Context, o Options) (_ engine, err error) {
	path := filepath.Join(o.Data, "traybell.db")
	// busy_timeout comes first: the others may have to wait for a lock.
	dsn := func(pragmas ...string) string {
		q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "temp_store(MEMORY)"}, pragmas...)}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	e := &sqliteEngine{
		requests: make(chan *request, maxGroup), quit: make(chan struct{}), done: make(chan struct{}),
		readers: make(chan *sqliteConn, runtime.GOMAXPROCS(0)), log: o.Logger,
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open %s: %w", path, err)
			for _, db := range []*sql.DB{e.writerDB, e.readerDB} {
				if db != nil {
					db.Close()
				}
			}
		}
	}()
	if e.writerDB, err = sql.Open("sqlite", dsn("wal_autocheckpoint(2000)")+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	if err := migrate(ctx, e.writerDB, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, fail(err)
	}
	c, err := e.writerDB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	e.writer = &sqliteConn{c, map[string]*sql.Stmt{}}
	if e.readerDB, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		return nil, err
	}
	for range cap(e.readers) {
		c, err := e.readerDB.Conn(ctx)
		if err != nil {
			return nil, err
		}
		e.readers <- &sqliteConn{c, map[string]*sql.Stmt{}}
	}
	go e.run()
	return e, nil
}

func (e *sqliteEngine) name() string { return "sqlite" }

func (e *sqliteEngine) close() error {
	select {
	case <-e.quit:
		return nil
	default:
	}
	close(e.quit)
	<-e.done
	var errs []error
	for range cap(e.readers) {
		c := <-e.readers
		errs = append(errs, c.Conn.Close())
	}
	errs = append(errs, e.readerDB.Close(), e.writer.Conn.Close(), e.writerDB.Close())
	return errors.Join(errs...)
}

func (e *sqliteEngine) read(ctx context.Context, f func(Tx) error) (err error) {
	var c *sqliteConn
	select {
	case <-e.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case c = <-e.readers:
	}
	defer func() { e.readers <- c }()
	bg := context.WithoutCancel(ctx)
	if _, err := c.ExecContext(bg, "begin"); err != nil {
		return fmt.Errorf("begin to read: %w", fail(err))
	}
	defer func() {
		if _, e := c.ExecContext(bg, "rollback"); e != nil && err == nil {
			err = fmt.Errorf("end reading: %w", fail(e))
		}
	}()
	return f(Tx{ctx: ctx, q: c, e: e})
}

func (e *sqliteEngine) write(ctx context.Context, f func(Tx) error) error {
	r := &request{f: f, done: make(chan struct{})}
	select {
	case <-e.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case e.requests <- r:
	}
	select {
	case <-r.done: // however ctx stands: the answer must say what is on the disk
	case <-e.done:
		select {
		case <-r.done:
		default:
			return ErrClosed
		}
	}
	if r.panics != nil {
		panic(r.panics)
	}
	return r.err
}

func (e *sqliteEngine) run() {
	defer close(e.done)
	for {
		select {
		case <-e.quit:
			return
		case r := <-e.requests:
			e.group(r)
		}
	}
}

// group commits r together with every request that waits or arrives meanwhile.
func (e *sqliteEngine) group(r *request) {
	bg := context.Background()
	var members []*request
	lost := func(err error) {
		if !errors.Is(err, ErrUnavailable) {
			e.log.Error("transaction was lost", "err", err)
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		e.writer.ExecContext(bg, "rollback") // an error means that SQLite has rolled back itself
		for _, m := range members {
			m.err = err
		}
	}
	defer func() {
		for _, m := range members {
			close(m.done)
		}
	}()
	start := time.Now()
	e.words = e.words[:0]
	if _, err := e.writer.ExecContext(bg, "begin immediate"); err != nil {
		members = append(members, r)
		lost(fail(err))
		return
	}
	for r != nil {
		members = append(members, r)
		if err := e.member(r); err != nil {
			lost(err)
			return
		}
		next := (*request)(nil)
		if len(members) < maxGroup && time.Since(start) < groupTime {
			select {
			case next = <-e.requests:
			default:
			}
		}
		r = next
	}
	if err := e.flush(); err != nil {
		lost(err)
		return
	}
	if _, err := e.writer.ExecContext(bg, "commit"); err != nil {
		lost(fail(err))
	}
	e.commits.Add(1)
}

// flush adds the words of a group to the index, once for all members: FTS5 writes its segments at the end
// of every savepoint it was touched in, which costs as much as a ticket itself.
func (e *sqliteEngine) flush() error {
	t := Tx{ctx: context.Background(), q: e.writer, e: e}
	for _, d := range e.words {
		if _, err := t.exec(sqliteUnindex, d.number); err != nil {
			return err
		}
		if _, err := t.exec(sqliteIndex, d.number, d.public, d.internal); err != nil {
			return err
		}
	}
	return nil
}

// member runs one request inside a savepoint. Its own error stays with it; the returned one means
// that the whole transaction is gone.
func (e *sqliteEngine) member(r *request) error {
	bg := context.Background()
	if _, err := e.writer.ExecContext(bg, "savepoint member"); err != nil {
		return fail(err)
	}
	words := len(e.words)
	func() {
		defer func() { r.panics = recover() }()
		r.err = r.f(Tx{ctx: bg, q: e.writer, e: e})
	}()
	if r.err != nil || r.panics != nil {
		e.words = e.words[:words]
		if _, err := e.writer.ExecContext(bg, "rollback to member"); err != nil {
			// SQLite rolls everything back by itself when the disk is full or fails.
			if errors.Is(r.err, ErrUnavailable) {
				return r.err
			}
			return fail(err)
		}
	}
	if _, err := e.writer.ExecContext(bg, "release member"); err != nil {
		return fail(err)
	}
	return nil
}

// fail gives the driver's errors our names. It knows those of both engines.
func fail(err error) error {
	var s *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &s):
		switch s.Code() & 0xff {
		case lib.SQLITE_CONSTRAINT:
			if c := s.Code(); c == lib.SQLITE_CONSTRAINT_UNIQUE || c == lib.SQLITE_CONSTRAINT_PRIMARYKEY {
				return fmt.Errorf("%w: %w", ErrExists, err)
			}
		case lib.SQLITE_FULL:
			return fmt.Errorf("%w: the disk is full: %w", ErrUnavailable, err)
		case lib.SQLITE_IOERR, lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_NOMEM, lib.SQLITE_BUSY:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	return failPostgres(err)
}

const (
	sqliteNumber   = `update counters set value = value + 1 where name = 'ticket' returning value`
	sqliteUnindex  = `delete from ticket_search where rowid = $1`
	sqliteIndex    = `insert into ticket_search (rowid, public, internal) values ($1, $2, $3)`
	sqliteClaim    = `update jobs set lease_until = $1, attempts = attempts + 1 where id in (select id from jobs where done_at = 0 and run_at <= $2 and lease_until <= $2`
	sqliteClaimEnd = ` order by run_at limit `
)

func (e *sqliteEngine) nextNumber(t Tx) (int64, error) { return one(t, scanInt, sqliteNumber) }

func (e *sqliteEngine) index(_ Tx, number int64, public, internal string) error {
	e.words = append(e.words, document{number, public, internal})
	return nil
}

// match starts a query at the index of words, which FTS5 walks by descending number without sorting.
func (e *sqliteEngine) match(w *where, words []string, tag string, internal bool) string {
	terms := make([]string, len(words))
	for i, s := range words {
		terms[i] = `"` + s + `"*`
	}
	if tag != "" {
		terms = append(terms, `"`+tag+`"`)
	}
	q := strings.Join(terms, " ")
	if !internal {
		q = "{public} : (" + q + ")"
	}
	w.and("ticket_search match ? and t.number = ticket_search.rowid", q)
	return "ticket_search.rowid"
}

func (e *sqliteEngine) claim(t Tx, kinds []string, now, until int64, limit int) ([]Job, error) {
	w := &where{args: []any{until, now}}
	w.in("kind", kinds)
	return all(t, scanJob, sqliteClaim+" and "+strings.Join(w.conds, " and ")+sqliteClaimEnd+w.next(limit)+`) returning `+jobColumns, w.args...)
}

func scanInt(r row) (n int64, err error) { return n, r.Scan(&n) }

// prefix chooses the rows whose column begins with a text; SQLite compares bytes anyway.
func (e *sqliteEngine) prefix(w *where, column, prefix string) {
	w.and(column+" >= ? and "+column+" < ?", prefix, prefix+"\U0010FFFF")
}
