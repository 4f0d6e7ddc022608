package desk_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
)

// TestLimiterLetsTheBurstThrough and then one each interval, each key by itself.
func TestLimiterLetsTheBurstThrough(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	l := desk.NewLimiter(3, 10*time.Second)
	pass := func(key string) time.Duration {
		_, err := l.Pass(key, now)
		var e *desk.Error
		switch {
		case err == nil:
			return 0
		case !errors.Is(err, desk.ErrLimited) || !errors.As(err, &e) || e.After <= 0:
			t.Fatalf("refused by %v", err)
		}
		return e.After
	}
	for range 3 {
		if pass("a") != 0 {
			t.Fatal("the burst is refused")
		}
	}
	if w := pass("a"); w != 10*time.Second {
		t.Errorf("the fourth is to wait %v", w)
	}
	if pass("b") != 0 {
		t.Error("one key's requests count for another")
	}
	now = now.Add(9 * time.Second)
	if w := pass("a"); w != time.Second {
		t.Errorf("a second too early it is to wait %v", w)
	}
	now = now.Add(time.Second)
	if pass("a") != 0 {
		t.Error("after the interval it is still refused")
	}
	if pass("a") == 0 {
		t.Error("two pass in one interval")
	}
	back, _ := l.Pass("c", now)
	back()
	for range 3 {
		if pass("c") != 0 {
			t.Error("what was given back counts")
		}
	}
	for i := range 30_000 { // memory is bounded: the key used longest ago is forgotten
		l.Take(strconv.Itoa(i), now)
	}
	if pass("a") != 0 {
		t.Error("a forgotten key still counts")
	}
}
