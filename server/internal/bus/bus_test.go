package bus

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestSubscriberReceivesOnlyItsTopics(t *testing.T) {
	b := New()
	ch := b.Subscribe(t.Context(), "ticket", "session.1")
	b.Publish("ticket", []byte("a"))
	b.Publish("device", []byte("b"))
	b.Publish("session.2", []byte("c"))
	b.Publish("session.1", []byte("d"))
	for _, want := range []Hint{{"ticket", []byte("a")}, {"session.1", []byte("d")}} {
		got := <-ch
		if got.Topic != want.Topic || string(got.Data) != string(want.Data) {
			t.Errorf("got %s %q, want %s %q", got.Topic, got.Data, want.Topic, want.Data)
		}
	}
	if len(ch) != 0 {
		t.Errorf("%d more hints of topics that nobody asked for", len(ch))
	}
}

func TestSlowSubscriberLosesHintsAndBlocksNobody(t *testing.T) {
	b := New()
	slow := b.Subscribe(t.Context(), "ticket")
	for range 3 * Depth {
		b.Publish("ticket", nil) // would hang here
	}
	if got := len(slow); got != Depth {
		t.Errorf("slow subscriber holds %d hints, want %d", got, Depth)
	}
}

func TestEndOfContextClosesAndFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		ctx, cancel := context.WithCancel(t.Context())
		ch := b.Subscribe(ctx, "ticket", "device")
		cancel()
		synctest.Wait()
		if _, open := <-ch; open {
			t.Error("channel is open after its context has ended")
		}
		if len(b.topics) != 0 {
			t.Errorf("%d topics are kept", len(b.topics))
		}
		b.Publish("ticket", nil)
	})
}

func TestPublishWhileSubscribersComeAndGo(t *testing.T) {
	b := New()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				ch := b.Subscribe(ctx, "ticket")
				b.Publish("ticket", nil)
				<-ch
				cancel()
				for range ch { // until it is closed
				}
			}
		})
	}
	wg.Wait()
}
