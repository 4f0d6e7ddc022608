// Package bus carries hints between the parts of one server: "ticket X has moved", "device Y is
// online". A hint says that something is worth loading again; it is never the news itself, so that
// losing one costs freshness and nothing else.
//
// Publish never blocks: a subscriber that does not keep up loses hints. Topics are exact strings;
// the desk's use cases publish, the portal's event stream and the sessions' console subscribe.
package bus

import (
	"context"
	"sync"
)

// Depth is how many hints wait for one subscriber before further ones are dropped.
const Depth = 64

// Hint is one published message.
type Hint struct {
	Topic string
	Data  []byte // shared between subscribers: not to be changed
}

// Bus delivers hints inside this process. It may be used from any goroutine.
type Bus struct {
	mu     sync.RWMutex
	topics map[string]map[*subscriber]struct{}
}

type subscriber struct {
	ch chan Hint
}

// New returns a bus without subscribers.
func New() *Bus {
	return &Bus{topics: map[string]map[*subscriber]struct{}{}}
}

// Publish hands data to everyone who is subscribed to topic now. It never blocks.
func (b *Bus) Publish(topic string, data []byte) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for s := range b.topics[topic] {
		select {
		case s.ch <- Hint{Topic: topic, Data: data}:
		default: // it will load the newest state with a later hint, or by itself
		}
	}
}

// Subscribe returns the hints of the given topics, in the order of their publication. The channel
// is closed soon after ctx has ended; that is also what frees it.
func (b *Bus) Subscribe(ctx context.Context, topics ...string) <-chan Hint {
	s := &subscriber{ch: make(chan Hint, Depth)}
	b.mu.Lock()
	for _, t := range topics {
		if b.topics[t] == nil {
			b.topics[t] = map[*subscriber]struct{}{}
		}
		b.topics[t][s] = struct{}{}
	}
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, t := range topics {
			delete(b.topics[t], s)
			if len(b.topics[t]) == 0 {
				delete(b.topics, t)
			}
		}
		close(s.ch) // nobody publishes to s any more: Publish holds the read lock
	})
	return s.ch
}
