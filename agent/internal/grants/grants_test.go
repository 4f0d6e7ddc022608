package grants

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// fixed is a clock that moves when the test says so.
type fixed struct {
	now   time.Time
	boot  string
	since time.Duration
}

func (f *fixed) clock() Clock {
	return Clock{Now: func() time.Time { return f.now }, Boot: func() (string, time.Duration) { return f.boot, f.since }}
}

func (f *fixed) pass(d time.Duration) { f.now, f.since = f.now.Add(d), f.since+d }

type bench struct {
	t   *testing.T
	db  *sql.DB
	key ed25519.PrivateKey
	at  *fixed
	s   *Store
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := state.Open(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, db: db, key: key, at: &fixed{now: time.Unix(1_790_000_000, 0), boot: "boot-1", since: time.Hour}}
	b.restart()
	return b
}

// restart loads the store anew, as a service does that was killed.
func (b *bench) restart() {
	b.t.Helper()
	var err error
	if b.s, err = New(context.Background(), b.db, b.key, "device", b.at.clock()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) make(budget time.Duration) Entry {
	b.t.Helper()
	e, err := b.s.Make(context.Background(), grant.Grant{As: "lucia", AsID: "4001", Scopes: []grant.Scope{grant.View}, Session: "s1",
		Holder: &grant.Holder{Account: "anna", Name: "Anna"}, Budget: int64(budget.Seconds()), MadeBy: "lucia", How: "window"}, 1042)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

func (b *bench) tick() []string {
	b.t.Helper()
	over, _, err := b.s.Tick(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return over
}

func (b *bench) decide(e Entry) error {
	_, err := b.s.Decide(context.Background(), link.Offer{Grant: e.Grant.ID, Account: "anna", Session: "s1", Kind: grant.KindDesktop})
	return err
}

func TestBudgetIsSpent(t *testing.T) {
	for _, tt := range []struct {
		name string
		live func(b *bench)
		left time.Duration // of one hour
	}{
		{"by the time that passes", func(b *bench) { b.at.pass(10 * time.Minute) }, 50 * time.Minute},
		{"not by a wall clock that is set forward within a boot", func(b *bench) { b.at.pass(10 * time.Minute); b.at.now = b.at.now.Add(24 * time.Hour) }, 50 * time.Minute},
		{"not given back by a wall clock that is set back", func(b *bench) { b.at.pass(10 * time.Minute); b.at.now = b.at.now.Add(-24 * time.Hour) }, 50 * time.Minute},
		{"across a restart of the service", func(b *bench) { b.at.pass(10 * time.Minute); b.restart(); b.at.pass(10 * time.Minute) }, 40 * time.Minute},
		{"across a boot by the wall clock", func(b *bench) {
			b.tick()
			b.at.now, b.at.boot, b.at.since = b.at.now.Add(20*time.Minute), "boot-2", time.Minute
			b.restart()
		}, 40 * time.Minute},
		{"across a boot with a wall clock set back: by the time since the boot", func(b *bench) {
			b.tick()
			b.at.now, b.at.boot, b.at.since = b.at.now.Add(-48*time.Hour), "boot-2", 5*time.Minute
			b.restart()
		}, 55 * time.Minute},
		{"and stored each minute, so that a cut of power gives nothing back", func(b *bench) {
			b.at.pass(30 * time.Minute)
			b.tick()
			b.at.now, b.at.boot, b.at.since = b.at.now.Add(-48*time.Hour), "boot-2", 0
			b.restart()
		}, 30 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			e := b.make(time.Hour)
			tt.live(b)
			got, ok := b.s.Get(e.Grant.ID)
			if !ok {
				t.Fatal("the grant is over")
			}
			if d := time.Duration(got.Left())*time.Second - tt.left; d > 0 || d < -2*time.Second {
				t.Errorf("%d s are left, want %s", got.Left(), tt.left)
			}
		})
	}
}

func TestGrantEndsWithItsBudget(t *testing.T) {
	b := newBench(t)
	e := b.make(time.Hour)
	if err := b.decide(e); err != nil {
		t.Fatalf("a live grant: %v", err)
	}
	b.at.pass(59 * time.Minute)
	if over := b.tick(); len(over) != 0 {
		t.Fatalf("over too early: %v", over)
	}
	if _, next, _ := b.s.Tick(context.Background()); next > time.Minute {
		t.Errorf("the next look is in %s, after the end", next)
	}
	b.at.pass(time.Minute)
	if err := b.decide(e); !errors.Is(err, grant.Expired) {
		t.Errorf("before it is ended: got %v, want %v", err, grant.Expired)
	}
	over := b.tick()
	if len(over) != 1 || over[0] != e.Grant.ID {
		t.Fatalf("got %v, want the grant", over)
	}
	if _, _, err := b.s.End(context.Background(), e.Grant.ID, Budget); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if err := b.decide(e); !errors.Is(err, grant.Expired) {
		t.Errorf("after a restart: got %v, want %v", err, grant.Expired)
	}
}

func TestEndedStaysEnded(t *testing.T) {
	b := newBench(t)
	e := b.make(time.Hour)
	ended, _, err := b.s.End(context.Background(), e.Grant.ID, Revoked)
	if err != nil || ended.Reason != Revoked {
		t.Fatalf("got %+v, %v", ended, err)
	}
	for range 2 {
		if err := b.decide(e); !errors.Is(err, grant.Revoked) {
			t.Errorf("got %v, want %v", err, grant.Revoked)
		}
		if len(b.s.Live("")) != 0 || len(b.s.Signed()) != 0 {
			t.Error("it is still listed")
		}
		b.restart()
	}
	if es, err := b.s.Ended(context.Background()); err != nil || len(es) != 1 || es[0].ID != e.Grant.ID {
		t.Errorf("the server would be told %+v, %v", es, err)
	}
	if _, _, err := b.s.End(context.Background(), e.Grant.ID, Revoked); !errors.Is(err, ErrNotFound) {
		t.Errorf("ending again: %v", err)
	}
}

// TestEndHoldsWhereItCanNotBeWritten closes the database under the store, as a disk that is full or
// gone would.
func TestEndHoldsWhereItCanNotBeWritten(t *testing.T) {
	b := newBench(t)
	e := b.make(time.Hour)
	b.tick()
	if _, err := b.db.Exec(`create trigger full before update on permission begin select raise(fail, 'disk full'); end`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.s.End(context.Background(), e.Grant.ID, Revoked); err == nil {
		t.Error("nobody is told that the end is not written")
	}
	if err := b.decide(e); !errors.Is(err, grant.Revoked) {
		t.Errorf("got %v, want %v", err, grant.Revoked)
	}
	if _, err := b.db.Exec(`drop trigger full`); err != nil {
		t.Fatal(err)
	}
	b.tick()
	b.restart()
	if err := b.decide(e); !errors.Is(err, grant.Revoked) {
		t.Errorf("after the next minute and a restart: got %v, want %v", err, grant.Revoked)
	}
}

func TestOnlyTheOwnStoreDecides(t *testing.T) {
	b := newBench(t)
	e := b.make(time.Hour)
	other := newBench(t)
	if err := other.decide(e); !errors.Is(err, grant.NoGrant) {
		t.Errorf("another device: got %v, want %v", err, grant.NoGrant)
	}
	if _, err := b.db.Exec(`update permission set signature = zeroblob(64)`); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if err := b.decide(e); !errors.Is(err, grant.Forged) {
		t.Errorf("a changed signature: got %v, want %v", err, grant.Forged)
	}
	if len(b.s.Live("")) != 0 {
		t.Error("a forged grant is listed as live")
	}
}

func TestSystemClockGoesOn(t *testing.T) {
	c := SystemClock()
	id, a := c.Boot()
	again, b := c.Boot()
	if id == "" || id != again || b < a || a <= 0 {
		t.Errorf("got %q %s, then %q %s", id, a, again, b)
	}
}
