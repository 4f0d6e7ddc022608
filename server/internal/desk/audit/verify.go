package audit

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// Report is what Verify has found. Problem is empty when all is well.
type Report struct {
	Rows        int64 // in the chain
	Cut         int64 // rows before them that were removed when their time was over, by signed cuts
	Waiting     int   // rows that are not chained yet
	Head        string
	Checkpoints int // that agree with the chain
	Problem     string
}

// String is the report as an operator reads it.
func (r Report) String() string {
	if r.Problem != "" {
		return "The audit log was tampered with or is damaged: " + r.Problem
	}
	s := fmt.Sprintf("The audit log is whole: %d rows, %d checkpoints agree, %d rows wait for the chain; head %s", r.Rows, r.Checkpoints, r.Waiting, r.Head)
	if r.Cut > 0 {
		s += fmt.Sprintf("; %d older rows were removed by signed cuts", r.Cut)
	}
	return s
}

// Checkpoints opens the checkpoints of a file, or of every .jsonl file in a folder, as copies are kept on another
// machine. The server's own follow.
func (l *Log) Checkpoints(path string) (io.Reader, error) {
	files := []string{path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the checkpoints: %w", err)
	}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.jsonl")); err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s holds no checkpoints (*.jsonl)", path)
		}
	}
	if _, err := os.Stat(l.o.File); err == nil {
		files = append(files, l.o.File)
	}
	var readers []io.Reader
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("open the checkpoints: %w", err)
		}
		readers = append(readers, strings.NewReader(string(b)), strings.NewReader("\n"))
	}
	return io.MultiReader(readers...), nil
}

// Verify recomputes the chain and compares it with checkpoints, which may be the server's own file or a
// copy that was kept elsewhere. A nil reader means the server's own.
func (l *Log) Verify(ctx context.Context, a desk.Actor, checkpoints io.Reader) (r Report, err error) {
	if !a.Everywhere(account.AuditView) {
		return r, desk.Fail(desk.ErrDenied)
	}
	if checkpoints == nil {
		f, err := os.Open(l.o.File)
		if err == nil {
			defer f.Close()
			checkpoints = f
		} else if !errors.Is(err, os.ErrNotExist) {
			return r, fmt.Errorf("open the checkpoints: %w", err)
		}
	}
	var marks []Checkpoint
	if checkpoints != nil {
		if marks, r.Problem, err = readCheckpoints(checkpoints, l.o.Identity.Public().(ed25519.PublicKey)); err != nil || r.Problem != "" {
			return r, err
		}
	}
	err = l.o.Read(ctx, func(tx store.Tx) error {
		r, err = l.verify(tx, marks)
		return err
	})
	return r, err
}

func (l *Log) verify(tx store.Tx, marks []Checkpoint) (r Report, err error) {
	cut, err := l.lastCut(tx)
	if errors.Is(err, errCut) {
		r.Problem = err.Error()
		return r, nil
	}
	if err != nil {
		return r, err
	}
	seq := cut.LastSeq
	r.Head, r.Cut = cut.LastHash, cut.LastSeq
	next := 0
	for next < len(marks) && marks[next].Seq < seq {
		next++
	}
	agree := func() bool {
		for ; next < len(marks) && marks[next].Seq == seq; next++ {
			if marks[next].Hash != r.Head {
				r.Problem = fmt.Sprintf("the chain was made anew: row %d is not the one of the checkpoint of %s", seq, time.UnixMicro(marks[next].At).UTC().Format(time.RFC3339))
				return false
			}
			r.Checkpoints++
		}
		return true
	}
	if !agree() {
		return r, nil
	}
	for from := int64(1); ; from = seq + 1 { // from 1: rows that a cut has removed must be gone
		list, err := tx.ChainedEntries(from, batch)
		if err != nil {
			return r, err
		}
		for _, e := range list {
			switch {
			case e.Seq <= seq:
				r.Problem = fmt.Sprintf("row %d stands where a signed cut has removed everything", e.Seq)
				return r, nil
			case e.Seq != seq+1:
				r.Problem = fmt.Sprintf("row %d is missing", seq+1)
				return r, nil
			case e.Hash != link(r.Head, e):
				r.Problem = fmt.Sprintf("row %d (%s of %s) is not the one that was written", e.Seq, e.Action, e.At.Format(time.RFC3339))
				return r, nil
			}
			r.Rows++
			seq, r.Head = e.Seq, e.Hash
			if !agree() {
				return r, nil
			}
		}
		if len(list) < batch {
			break
		}
	}
	if next < len(marks) {
		r.Problem = fmt.Sprintf("the newest rows were cut off: a checkpoint names row %d, the log ends with %d", marks[len(marks)-1].Seq, seq)
		return r, nil
	}
	waiting, err := tx.UnchainedEntries(batch)
	r.Waiting = len(waiting)
	return r, err
}

// readCheckpoints reads and checks signed checkpoints, in the order of the rows they name.
func readCheckpoints(f io.Reader, key ed25519.PublicKey) (list []Checkpoint, problem string, err error) {
	lines := bufio.NewScanner(f)
	n := 0
	for lines.Scan() {
		n++
		var c Checkpoint
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			continue // a crash has cut it; the checkpoints around it say as much
		}
		if !ed25519.Verify(key, c.bytes(), c.Signature) {
			return nil, fmt.Sprintf("line %d of the checkpoints was not signed by this server", n), nil
		}
		list = append(list, c)
	}
	if err := lines.Err(); err != nil {
		return nil, "", fmt.Errorf("read the checkpoints: %w", err)
	}
	slices.SortStableFunc(list, func(a, b Checkpoint) int { return cmp.Compare(a.Seq, b.Seq) })
	return list, "", nil
}
