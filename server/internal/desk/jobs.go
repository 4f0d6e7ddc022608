package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/traybell/traybell/server/internal/store"
)

// Bounds of the worker.
const (
	jobLease    = time.Minute     // a job that is not done by then is taken by another worker
	jobBatch    = 20              // jobs claimed at once
	jobPoll     = time.Second     // between looks when nothing is due
	jobAttempts = 14              // then it is given up: half a day after the first
	jobRetry    = 5 * time.Second // the first pause; it doubles
	tidyEvery   = time.Hour
	keepFailed  = 30 * 24 * time.Hour // jobs that were given up, for the operator to see
	keepKeys    = 24 * time.Hour      // Idempotency-Keys
)

// ErrDrop is returned by a job's handler when the job has no purpose any more.
var ErrDrop = errors.New("the job has no purpose any more")

// Worker does what changes have owed. Several workers, on several nodes, share the work.
type Worker struct {
	Options
	Batch    int // jobs claimed at once, from 1; whoever's jobs take long claims few, so that no lease runs out
	handlers map[string]func(ctx context.Context, payload []byte) error
}

// NewWorker returns a worker without handlers.
func NewWorker(o Options) *Worker {
	return &Worker{Options: o, Batch: jobBatch, handlers: map[string]func(context.Context, []byte) error{}}
}

// Handle names the function that does jobs of a kind, before Run. It may be called again for a
// job that it has done, after a crash.
func (w *Worker) Handle(kind string, f func(ctx context.Context, payload []byte) error) {
	w.handlers[kind] = f
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	tick := time.NewTicker(jobPoll)
	defer tick.Stop()
	var tidied time.Time
	var seen uint64
	var next time.Time // when a job can be claimed, as the last look found; zero: none was owed
	first, failing := true, false
	for {
		if now := w.Time(); now.Sub(tidied) >= tidyEvery {
			if err := w.tidy(ctx, now); err == nil {
				tidied = now
			}
		}
		var n int
		var err error
		// Each second an idle server would ask its database for nothing.
		var moved bool
		if seen, moved = w.Store.Moved(seen); moved || first || failing || !next.IsZero() && !w.Time().Before(next) {
			n, next, err = w.once(ctx)
		}
		first = false
		if err != nil && ctx.Err() == nil && !failing { // once, not every second
			w.Logger.Error("jobs can't be claimed", "err", err)
		}
		failing = err != nil
		if n == w.Batch && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tidy forgets what nobody will ask for again.
func (w *Worker) tidy(ctx context.Context, now time.Time) error {
	return w.Store.Write(ctx, func(tx store.Tx) error {
		if err := tx.ForgetAnswered(now.Add(-keepKeys)); err != nil {
			return err
		}
		if err := tx.EndOldLogins(now); err != nil {
			return err
		}
		if err := tx.ForgetChallenges(now); err != nil {
			return err
		}
		if err := tx.ForgetMails(now.Add(-keepFailed)); err != nil {
			return err
		}
		return tx.ForgetFailedJobs(now.Add(-keepFailed))
	})
}

// Once claims and does one batch of due jobs and returns how many there were.
func (w *Worker) Once(ctx context.Context) (int, error) {
	n, _, err := w.once(ctx)
	return n, err
}

// once is Once, and says when the next job can be claimed; zero when none is owed.
func (w *Worker) once(ctx context.Context) (n int, next time.Time, err error) {
	kinds := make([]string, 0, len(w.handlers))
	for k := range w.handlers {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	now := w.Time()
	// Most looks find nothing: a look costs no write.
	if err := w.Store.Read(ctx, func(tx store.Tx) (err error) {
		next, err = tx.NextJob()
		return err
	}); err != nil || next.IsZero() || next.After(now) {
		return 0, next, err
	}
	var jobs []store.Job
	if err := w.Store.Write(ctx, func(tx store.Tx) (err error) {
		jobs, err = tx.ClaimJobs(kinds, now, now.Add(jobLease), w.Batch)
		return err
	}); err != nil {
		return 0, next, err
	}
	for _, j := range jobs {
		err := w.do(ctx, j)
		if ctx.Err() != nil {
			return len(jobs), next, nil // its lease runs out and it runs again
		}
		if err := w.Store.Write(ctx, func(tx store.Tx) error {
			switch {
			case err == nil, errors.Is(err, ErrDrop):
				return tx.FinishJob(j.ID)
			case j.Attempts >= jobAttempts:
				return tx.FailJob(j.ID, w.Time(), err.Error())
			}
			return tx.RetryJob(j.ID, w.Time().Add(jobRetry<<(j.Attempts-1)), err.Error())
		}); err != nil {
			return len(jobs), next, err
		}
		if err != nil && !errors.Is(err, ErrDrop) {
			w.Logger.Info("job must be repeated", "kind", j.Kind, "attempt", j.Attempts, "err", err)
		}
	}
	return len(jobs), next, nil
}

func (w *Worker) do(ctx context.Context, j store.Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, jobLease/2)
	defer cancel()
	return w.handlers[j.Kind](ctx, []byte(j.Payload))
}
