package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// attempts is how often a write runs when others get in its way.
const attempts = 7

// postgresEngine is a PostgreSQL database. Transactions run at READ COMMITTED: every update names the
// version it read or the condition it relies on, and a write that finds itself outrun runs again.
// SERIALIZABLE would do the same by predicate locks, which on small tables lock whole relations and let
// concurrent writers fail each other.
type postgresEngine struct{ db *sql.DB }

func openPostgres(ctx context.Context, o Options) (engine, error) {
	cfg, err := pgx.ParseConfig(o.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("the database URL can't be read: %w", redact(err))
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(8 + 4*runtime.GOMAXPROCS(0))
	db.SetMaxIdleConns(8 + 4*runtime.GOMAXPROCS(0))
	db.SetConnMaxIdleTime(5 * time.Minute)
	locker, err := lock.NewPostgresSessionLocker() // several nodes may start at once
	if err != nil {
		db.Close()
		return nil, err
	}
	if err := migrate(ctx, db, goose.DialectPostgres, "postgres", goose.WithSessionLocker(locker)); err != nil {
		db.Close()
		return nil, fmt.Errorf("open the PostgreSQL database %s on %s: %w", cfg.Database, cfg.Host, fail(err))
	}
	return &postgresEngine{db}, nil
}

// redact drops pgx's own text of a connection string that it can't parse; it may hold a password.
func redact(err error) error {
	var p *pgconn.ParseConfigError
	if errors.As(err, &p) {
		return errors.New("it must look like postgres://user:password@host:5432/database")
	}
	return err
}

func (e *postgresEngine) name() string { return "postgres" }

func (e *postgresEngine) close() error { return e.db.Close() }

func (e *postgresEngine) read(ctx context.Context, f func(Tx) error) error {
	return e.run(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, f)
}

func (e *postgresEngine) write(ctx context.Context, f func(Tx) error) error {
	for n := 0; ; n++ {
		err := e.run(ctx, nil, f)
		if !errors.Is(err, ErrStale) && !errors.Is(err, ErrExists) || n == attempts-1 {
			return err
		}
		if !errors.Is(err, ErrStale) && n > 0 {
			return err // it existed before this write began
		}
		// With jitter, so that those who met do not meet again.
		select {
		case <-time.After(rand.N(5 * time.Millisecond << n)):
		case <-ctx.Done():
			return err
		}
	}
}

func (e *postgresEngine) run(ctx context.Context, o *sql.TxOptions, f func(Tx) error) error {
	tx, err := e.db.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("begin: %w", fail(err))
	}
	defer tx.Rollback()
	if err := f(Tx{ctx: ctx, q: tx, e: e}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", fail(err))
	}
	return nil
}

func failPostgres(err error) error {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		switch {
		case p.Code == "23505": // unique_violation
			return fmt.Errorf("%w: %w", ErrExists, err)
		case p.Code == "40001", p.Code == "40P01": // serialization_failure, deadlock_detected
			return fmt.Errorf("%w: %w", ErrStale, err)
		case p.Code == "53100": // disk_full
			return fmt.Errorf("%w: the disk is full: %w", ErrUnavailable, err)
		case strings.HasPrefix(p.Code, "53"), strings.HasPrefix(p.Code, "57P"), strings.HasPrefix(p.Code, "58"), p.Code == "25006":
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	var c *pgconn.ConnectError
	var n net.Error
	if errors.As(err, &c) || errors.As(err, &n) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

const (
	postgresNumber   = `select nextval('ticket_numbers')`
	postgresIndex    = `insert into ticket_search (number, public, internal) values ($1, to_tsvector('simple', $2), to_tsvector('simple', $3)) on conflict (number) do update set public = excluded.public, internal = excluded.internal`
	postgresClaim    = `update jobs set lease_until = $1, attempts = attempts + 1 where id in (select id from jobs where done_at = 0 and run_at <= $2 and lease_until <= $2`
	postgresClaimEnd = ` order by run_at limit `
)

func (e *postgresEngine) nextNumber(t Tx) (int64, error) { return one(t, scanInt, postgresNumber) }

func (e *postgresEngine) index(t Tx, number int64, public, internal string) error {
	_, err := t.exec(postgresIndex, number, public, internal)
	return err
}

func (e *postgresEngine) match(w *where, words []string, tag string, internal bool) string {
	terms := make([]string, len(words))
	for i, s := range words {
		terms[i] = s + ":*" // words holds letters and digits only
	}
	if tag != "" {
		terms = append(terms, tag)
	}
	column := "ticket_search.public"
	if internal {
		column = "(ticket_search.public || ticket_search.internal)"
	}
	w.and(column+" @@ to_tsquery('simple', ?) and t.number = ticket_search.number", strings.Join(terms, " & "))
	return "ticket_search.number"
}

func (e *postgresEngine) claim(t Tx, kinds []string, now, until int64, limit int) ([]Job, error) {
	w := &where{args: []any{until, now}}
	w.in("kind", kinds)
	return all(t, scanJob, postgresClaim+" and "+strings.Join(w.conds, " and ")+postgresClaimEnd+w.next(limit)+` for update skip locked) returning `+jobColumns, w.args...)
}

// prefix chooses the rows whose column begins with a text, by the operators that compare bytes.
func (e *postgresEngine) prefix(w *where, column, prefix string) {
	w.and(column+" ~>=~ ? and "+column+" ~<~ ?", prefix, prefix+"\U0010FFFF")
}
