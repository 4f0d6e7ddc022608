package people

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the memory of a limiter; the key that failed longest ago is forgotten first.
const maxKeys = 20_000

// limiter counts failures by key: a burst is free, then one attempt each interval.
type limiter struct {
	burst    int
	interval time.Duration
	mu       sync.Mutex
	order    *list.List // of *bucket, the last failed first
	keys     map[string]*list.Element
}

type bucket struct {
	key string
	*rate.Limiter
}

func newLimiter(burst int, interval time.Duration) *limiter {
	return &limiter{burst: burst, interval: interval, order: list.New(), keys: map[string]*list.Element{}}
}

// allow reports whether key may try now.
func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[key]
	return e == nil || e.Value.(*bucket).TokensAt(now) >= 1
}

// count notes a failure of key.
func (l *limiter) count(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[key]
	if e == nil {
		if l.order.Len() >= maxKeys {
			old := l.order.Back()
			delete(l.keys, old.Value.(*bucket).key)
			l.order.Remove(old)
		}
		e = l.order.PushFront(&bucket{key, rate.NewLimiter(rate.Every(l.interval), l.burst)})
		l.keys[key] = e
	}
	l.order.MoveToFront(e)
	e.Value.(*bucket).AllowN(now, 1)
}
