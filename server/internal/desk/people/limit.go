package people

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the memory of a limiter; the key that was used longest ago is forgotten first.
const maxKeys = 20_000

// limiter counts failed attempts by key: a burst is free, then one each interval.
type limiter struct {
	burst    int
	interval time.Duration
	mu       sync.Mutex
	order    *list.List // of *bucket, the last used first
	keys     map[string]*list.Element
}

type bucket struct {
	key string
	*rate.Limiter
}

func newLimiter(burst int, interval time.Duration) *limiter {
	return &limiter{burst: burst, interval: interval, order: list.New(), keys: map[string]*list.Element{}}
}

// take counts an attempt of key, before it is made: thousands at once must not pass together. It reports
// whether the attempt may be made; succeeded takes it off the count again.
func (l *limiter) take(key string, now time.Time) (succeeded func(), ok bool) {
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
	r := e.Value.(*bucket).ReserveN(now, 1)
	if !r.OK() || r.DelayFrom(now) > 0 {
		r.CancelAt(now)
		return nil, false
	}
	return func() { r.CancelAt(now) }, true
}
