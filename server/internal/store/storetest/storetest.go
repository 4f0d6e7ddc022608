// Package storetest opens empty stores for tests, on SQLite and on a PostgreSQL cluster of the test's own.
//
// The cluster is made once per test binary in a temporary folder, listens on a Unix socket only and
// ends with the binary: call Main from TestMain. Tests of the store and of everything on top of it use it.
package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/traybell/traybell/server/internal/store"
)

// SQLite opens an empty embedded store that is closed with the test.
func SQLite(t testing.TB) *store.Store {
	t.Helper()
	return open(t, store.Options{Data: t.TempDir()})
}

// Postgres opens an empty store in a database of its own.
func Postgres(t testing.TB) *store.Store {
	t.Helper()
	return open(t, store.Options{DatabaseURL: PostgresURL(t)})
}

// Each runs f as a subtest on either engine.
func Each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
}

func open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var (
	once      sync.Once
	cluster   *postgres
	errStart  error
	databases atomic.Int64
)

// Main runs the tests and stops the cluster that they may have started. It is called from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if cluster != nil {
		cluster.stop()
	}
	os.Exit(code)
}

// PostgresURL makes an empty database and returns its URL.
func PostgresURL(t testing.TB) string {
	t.Helper()
	once.Do(func() { cluster, errStart = start() })
	if errStart != nil {
		t.Fatal(errStart)
	}
	name := "test" + strconv.FormatInt(databases.Add(1), 10)
	db, err := sql.Open("pgx", cluster.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create database " + name); err != nil {
		t.Fatal(err)
	}
	return cluster.url(name)
}

type postgres struct {
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	out    bytes.Buffer
}

func (p *postgres) url(database string) string {
	return "postgres:///" + database + "?" + url.Values{"host": {p.dir}, "user": {"traybell"}}.Encode()
}

// start makes and starts a cluster. PostgreSQL refuses to run as root, so root runs it as an
// unprivileged user.
func start() (_ *postgres, err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		if p, err := exec.LookPath("initdb"); err == nil {
			bins = []string{filepath.Dir(p)}
		}
	}
	if len(bins) == 0 {
		return nil, errors.New("PostgreSQL is not installed; on Debian and Ubuntu: apt-get install postgresql")
	}
	bin := slices.Max(bins)
	dir, err := os.MkdirTemp("/tmp", "traybell-pg-") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	p := &postgres{dir: dir, exited: make(chan struct{})}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	prepare, err := lower(dir)
	if err != nil {
		return nil, err
	}
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.Env = dir, []string{"LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"}
		prepare(c)
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "-D", data, "-U", "traybell", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	// The tests check what is stored, not what survives a power cut: no syncs.
	p.cmd = command("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100", "-c", "shared_buffers=32MB")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return p, nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return nil, fmt.Errorf("postgres ended: %s", p.out.String())
		case <-deadline:
			p.stop()
			return nil, fmt.Errorf("postgres does not answer: %w", err)
		}
	}
}

func (p *postgres) stop() {
	p.cmd.Process.Signal(quit)
	<-p.exited
	os.RemoveAll(p.dir)
}
