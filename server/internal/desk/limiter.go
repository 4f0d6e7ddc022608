package desk

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the memory of a limiter; the key that was used longest ago is forgotten first.
const maxKeys = 20_000

// Limiter counts attempts by key: a burst is free, then one each interval.
type Limiter struct {
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

// NewLimiter makes a limiter.
func NewLimiter(burst int, interval time.Duration) *Limiter {
	return &Limiter{burst: burst, interval: interval, order: list.New(), keys: map[string]*list.Element{}}
}

// Take counts an attempt of key, before it is made: thousands at once must not pass together. It reports
// whether the attempt may be made; succeeded takes it off the count again.
func (l *Limiter) Take(key string, now time.Time) (succeeded func(), ok bool) {
	succeeded, wait := l.reserve(key, now)
	return succeeded, wait == 0
}

// Pass counts a request of key. Its error is ErrLimited with the time after which the next one is let through.
func (l *Limiter) Pass(key string, now time.Time) (back func(), err error) {
	back, wait := l.reserve(key, now)
	if wait > 0 {
		return nil, Later(wait)
	}
	return back, nil
}

func (l *Limiter) reserve(key string, now time.Time) (back func(), wait time.Duration) {
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
	if !r.OK() {
		return nil, l.interval
	}
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return nil, max(wait.Round(time.Millisecond), time.Millisecond)
	}
	return func() { r.CancelAt(now) }, 0
}

// Later is ErrLimited with the time after which it is worth trying again.
func Later(wait time.Duration) error {
	return &Error{Kind: ErrLimited, Code: "limited", Text: ErrLimited.Error(), After: wait, cause: ErrLimited}
}
