// Package state opens the service's database, STATE/agent.db: SQLite without cgo, write-ahead log,
// synchronous=FULL, so that what a commit has said is on the disk.
//
// It hides pragmas, the schema's versions and what a full disk looks like. outbox, grants and ledger
// keep their tables in it, each with its SQL beside its code. There is one connection: a device
// writes little, and one writer needs no locks; callers never hold a query open while they start
// another.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Name of the database in the state folder.
const Name = "agent.db"

// migrations are applied in order and only ever added to. The database's user_version counts them.
var migrations = []string{`
create table ticket (
	seq integer primary key autoincrement,
	id text not null unique,
	os_user_id text not null,
	os_user text not null,
	form_hash blob not null,
	body blob not null,
	made_at integer not null,
	state text not null,
	number integer not null default 0,
	status text not null default '',
	code text not null default '',
	reason text not null default '',
	answered text not null default '',
	tries integer not null default 0,
	help text not null default ''
);
create index ticket_user on ticket (os_user_id, seq);
create table file (
	ticket text not null,
	idx integer not null,
	os_user_id text not null,
	name text not null,
	type text not null,
	size integer not null,
	sha256 blob not null,
	state text not null,
	reason text not null default '',
	staged_at integer not null,
	primary key (ticket, idx)
) without rowid;
create table permission (
	id text primary key,
	as_id text not null,
	bytes blob not null,
	signature blob not null,
	ticket_number integer not null default 0,
	spent integer not null,
	boot text not null,
	boot_at integer not null,
	wall_at integer not null,
	ended_at integer not null default 0,
	reason text not null default ''
) without rowid;
create index permission_live on permission (as_id) where ended_at = 0;
create table ledger (
	seq integer primary key,
	prev blob not null,
	body blob not null,
	hash blob not null,
	as_id text not null,
	session text not null
);
create index ledger_session on ledger (session, seq);
`}

// Open opens or makes the database in the state folder.
func Open(ctx context.Context, dir string) (*sql.DB, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	path := filepath.Join(dir, Name)
	// 0600 from the first byte on: it holds what people wrote.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f.Close()
	dsn := "file:" + path + "?_txlock=immediate" +
		"&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(10000)" +
		"&_pragma=cache_size(-512)&_pragma=temp_store(memory)&_pragma=journal_size_limit(1048576)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	var have int
	if err := db.QueryRowContext(ctx, "pragma user_version").Scan(&have); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if have > len(migrations) {
		return fmt.Errorf("the database was written by a newer version (schema %d, known %d)", have, len(migrations))
	}
	for i := have; i < len(migrations); i++ {
		err := Tx(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, migrations[i]); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("pragma user_version = %d", i+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate to schema %d: %w", i+1, err)
		}
	}
	return nil
}

// Tx runs fn in one transaction. When Tx returns nil, the change is on the disk.
func Tx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Full reports whether err says that the disk, a quota or a file-size limit is exhausted.
func Full(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, io.ErrShortWrite) || fullOS(err) {
		return true
	}
	var s *sqlite.Error
	if errors.As(err, &s) {
		// SQLite tells a full disk as FULL, or as a write, truncate or shared-memory error.
		switch s.Code() {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE,
			sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC:
			return true
		}
		return s.Code()&0xff == sqlite3.SQLITE_FULL
	}
	return false
}
