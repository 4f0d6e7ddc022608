package desk_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestOwedJobsAreDone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
		o := desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}
		owe := func(fail bool) {
			err := o.Change(t.Context(), desk.System(), func(c *desk.Change) error {
				if err := c.Owe("greet", map[string]string{"who": "Lucia"}); err != nil || !fail {
					return err
				}
				return desk.ErrInvalid
			})
			if (err != nil) != fail {
				t.Fatal(err)
			}
		}
		owe(true) // its change did not happen: nothing is owed
		owe(false)
		w := desk.NewWorker(o)
		var got []string
		var next error
		w.Handle("greet", func(_ context.Context, payload []byte) error {
			got = append(got, string(payload))
			return next
		})
		once := func(want int) {
			t.Helper()
			got = nil
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(got) != want {
				t.Errorf("did %d jobs, want %d", len(got), want)
			}
		}
		next = errors.New("not reachable")
		once(1)
		once(0) // it waits
		now = now.Add(5 * time.Second)
		once(1)
		now = now.Add(5 * time.Second)
		once(0) // twice as long
		now = now.Add(5 * time.Second)
		next = nil
		once(1)
		now = now.Add(time.Hour)
		once(0) // done for good

		owe(false)
		next = errors.New("never")
		tries := 0
		for range 40 {
			got = nil
			if _, err := w.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			tries += len(got)
			now = now.Add(24 * time.Hour)
		}
		if tries != 14 {
			t.Errorf("tried %d times before giving up, want 14", tries)
		}

		owe(false)
		w.Handle("greet", func(context.Context, []byte) error { panic("no") })
		if _, err := w.Once(t.Context()); err != nil {
			t.Errorf("a panic of a job: %v", err)
		}
		now = now.Add(time.Hour)
		next = desk.ErrDrop
		w.Handle("greet", func(context.Context, []byte) error { return desk.ErrDrop })
		if n, err := w.Once(t.Context()); n != 1 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if n, err := w.Once(t.Context()); n != 0 || err != nil {
			t.Errorf("a dropped job came back: %d %v", n, err)
		}
	})
}

func TestHintsFollowTheChange(t *testing.T) {
	b := bus.New()
	o := desk.Options{Store: storetest.SQLite(t), Bus: b, Logger: slog.New(slog.DiscardHandler)}
	hints := b.Subscribe(t.Context(), desk.TopicTicket)
	change := func(err error) {
		o.Change(t.Context(), desk.System(), func(c *desk.Change) error {
			c.Hint(desk.TopicTicket, "x")
			if len(hints) > 0 {
				t.Error("hinted before the change is on the disk")
			}
			return err
		})
	}
	change(desk.ErrInvalid)
	if len(hints) > 0 {
		t.Error("hinted at a change that failed")
	}
	change(nil)
	if h := <-hints; string(h.Data) != "x" {
		t.Errorf("got %q", h.Data)
	}
}
