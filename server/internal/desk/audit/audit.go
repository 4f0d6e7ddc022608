// Package audit keeps the audit log honest and readable: it chains the rows that changes have written, signs
// where the chain stands outside the database, and checks both.
//
// Each row's hash covers the hash before it, so that no row can be changed, dropped or put in between
// without breaking every later one. Each minute a checkpoint signed with the server's identity key is
// appended to a file, so that cutting off the newest rows is found too; copied to another machine, it also
// binds whoever holds that key. httpd runs the chainer; the API lists; the command line verifies.
package audit

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

const (
	chainEvery      = 500 * time.Millisecond
	checkpointEvery = time.Minute
	lease           = 10 * time.Second
	batch           = 500
	genesis         = "traybell-audit-1"
	genesis2        = "traybell-audit-2" // of rows that name their organization
	context1        = "traybell-checkpoint-1\x00"
)

// Options are what the log works with.
type Options struct {
	desk.Options
	Identity ed25519.PrivateKey // signs checkpoints
	File     string             // the checkpoints' file, DATA/audit/checkpoints.jsonl
	Node     string             // unlike that of any other server on the same database
}

// Log is the audit log.
type Log struct{ o Options }

// New returns the log.
func New(o Options) *Log { return &Log{o} }

// Checkpoint states where the chain stood.
type Checkpoint struct {
	Seq       int64  `json:"seq"`
	Hash      string `json:"hash"`
	At        int64  `json:"at"` // Unix microseconds
	Signature []byte `json:"signature"`
}

func (c Checkpoint) bytes() []byte {
	b := append([]byte(context1), c.Hash...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Seq))
	return binary.BigEndian.AppendUint64(b, uint64(c.At))
}

// link is the hash of a row behind the one with hash before.
func link(before string, e store.Entry) string {
	fields := []string{genesis, before, e.ID, e.Actor, e.ActingFor, e.Via, e.Address, e.Action, e.Object, e.Detail}
	if e.Organization != "" {
		fields[0] = genesis2
		fields = append(fields, string(e.Organization))
	}
	h := sha256.New()
	for _, s := range fields {
		binary.Write(h, binary.BigEndian, uint32(len(s)))
		io.WriteString(h, s)
	}
	binary.Write(h, binary.BigEndian, e.Seq)
	binary.Write(h, binary.BigEndian, e.At.UnixMicro())
	return hex.EncodeToString(h.Sum(nil))
}

// Run chains new rows and writes checkpoints until ctx ends. One of several servers on the same
// database does it at a time.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(chainEvery)
	defer tick.Stop()
	var marked, cut time.Time
	var seen uint64
	first, failing := true, false
	for {
		var held, moved bool
		var err error
		// Twice a second an idle server would ask its database for nothing.
		if seen, moved = l.o.Store.Moved(seen); moved || first || failing || l.o.Time().Sub(marked) >= checkpointEvery {
			held, err = l.Chain(ctx)
		}
		first = false
		if err == nil && held && l.o.Time().Sub(marked) >= checkpointEvery {
			if err = l.Mark(ctx); err == nil {
				marked = l.o.Time()
			}
		}
		if now := l.o.Time(); err == nil && held && now.Sub(cut) >= cutEvery {
			if err = l.Cut(ctx); err == nil {
				cut = now
			}
		}
		if err != nil && ctx.Err() == nil && !failing { // once, not twice a second
			l.o.Logger.Error("audit rows can't be chained", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return l.finish()
		case <-tick.C:
		}
	}
}

// finish chains and marks what the last requests have written.
func (l *Log) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	held, err := l.Chain(ctx)
	if err != nil || !held {
		return err
	}
	if err := l.Mark(ctx); err != nil {
		return err
	}
	return l.o.Store.Write(ctx, func(tx store.Tx) error { return tx.DropLease(leaseName, l.o.Node) })
}

const leaseName = "audit_chain"

// Chain links all rows that wait for it. It reports whether this server is the one that chains now.
func (l *Log) Chain(ctx context.Context) (held bool, err error) {
	for {
		var waiting bool
		now := l.o.Time()
		if err := l.o.Store.Read(ctx, func(tx store.Tx) error {
			list, err := tx.UnchainedEntries(1)
			waiting = len(list) > 0
			return err
		}); err != nil {
			return false, err
		}
		if !waiting {
			return l.hold(ctx, now)
		}
		n := 0
		err := l.o.Store.Write(ctx, func(tx store.Tx) error {
			n = 0
			if held, err = tx.TakeLease(leaseName, l.o.Node, now, now.Add(lease)); err != nil || !held {
				return err
			}
			last, err := tx.LastEntry()
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			list, err := tx.UnchainedEntries(batch)
			if err != nil {
				return err
			}
			for _, e := range list {
				e.Seq = last.Seq + 1
				e.Hash = link(last.Hash, e)
				if err := tx.ChainEntry(e.ID, e.Seq, e.Hash); err != nil {
					return err
				}
				last = e
			}
			n = len(list)
			return nil
		})
		if err != nil || !held || n < batch {
			return held, err
		}
	}
}

// hold reports whether nobody else chains, without writing while the lease is far from its end: an idle
// server leaves its disk alone.
func (l *Log) hold(ctx context.Context, now time.Time) (held bool, err error) {
	err = l.o.Store.Read(ctx, func(tx store.Tx) error {
		held, err = tx.LeaseFree(leaseName, l.o.Node, now)
		return err
	})
	return held, err
}

// Mark appends a signed checkpoint of the chain's head, if it has moved since the last one.
func (l *Log) Mark(ctx context.Context) error {
	var head store.Entry
	err := l.o.Store.Read(ctx, func(tx store.Tx) (err error) { head, err = tx.LastEntry(); return err })
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	last, err := l.lastCheckpoint()
	if err != nil {
		return err
	}
	if last.Seq == head.Seq {
		return nil
	}
	c := Checkpoint{Seq: head.Seq, Hash: head.Hash, At: l.o.Time().UnixMicro()}
	c.Signature = ed25519.Sign(l.o.Identity, c.bytes())
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode a checkpoint: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(l.o.File), 0o700); err != nil {
		return fmt.Errorf("make the checkpoints' folder: %w", err)
	}
	f, err := os.OpenFile(l.o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the checkpoints: %w", err)
	}
	defer f.Close()
	b = append(b, '\n')
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		end := make([]byte, 1)
		if r, err := os.Open(l.o.File); err == nil {
			r.ReadAt(end, info.Size()-1)
			r.Close()
		}
		if end[0] != '\n' { // a crash has cut the last line
			b = append([]byte{'\n'}, b...)
		}
	}
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("append a checkpoint: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync the checkpoints: %w", err)
	}
	return nil
}

// lastCheckpoint reads the end of the file. A line that a crash has cut is passed over.
func (l *Log) lastCheckpoint() (c Checkpoint, err error) {
	f, err := os.Open(l.o.File)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("open the checkpoints: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 4096 {
		if _, err := f.Seek(-4096, io.SeekEnd); err != nil {
			return c, fmt.Errorf("read the checkpoints: %w", err)
		}
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var next Checkpoint
		if json.Unmarshal(lines.Bytes(), &next) == nil && next.Seq > c.Seq {
			c = next
		}
	}
	return c, lines.Err()
}
