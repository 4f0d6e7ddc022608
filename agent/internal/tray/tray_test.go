package tray

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/launch"
	"github.com/traybell/traybell/agent/internal/window/windowtest"
	"github.com/traybell/traybell/shared/catalogue"
)

// patience bounds a wait of a test.
const patience = 10 * time.Second

type face struct {
	views  chan View
	clicks chan string
}

func (f *face) Apply(v View)          { f.views <- v }
func (f *face) Clicks() <-chan string { return f.clicks }

type window struct {
	raised chan struct{}
	done   chan struct{}
}

func (w *window) Raise() error          { w.raised <- struct{}{}; return nil }
func (w *window) Done() <-chan struct{} { return w.done }

type note struct {
	key, title string
	urgent     bool
	open       func()
}

type notes struct {
	shown     chan note
	withdrawn chan string
}

func (n *notes) Notify(key, title, _ string, urgent bool, open func()) {
	n.shown <- note{key, title, urgent, open}
}
func (n *notes) Withdraw(key string) { n.withdrawn <- key }

type bench struct {
	s      *windowtest.Service
	face   *face
	notes  *notes
	opened chan launch.Window
	mu     sync.Mutex
	last   *window
}

func start(t *testing.T) *bench {
	t.Helper()
	b := &bench{s: windowtest.Start(t), face: &face{make(chan View, 64), make(chan string)}, notes: &notes{make(chan note, 8), make(chan string, 8)},
		opened: make(chan launch.Window, 8)}
	b.s.Status = localapi.Status{State: localapi.StateReady, Organization: "Studio Verdi"}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Run(ctx, Options{Socket: b.s.Path, Words: catalogue.For("en"), Log: slog.New(slog.DiscardHandler), Face: b.face, Notify: b.notes,
			Call: func(string) bool { return false },
			Open: func(_ context.Context, w launch.Window) (Shown, error) {
				b.mu.Lock()
				b.last = &window{make(chan struct{}, 1), make(chan struct{})}
				shown := b.last
				b.mu.Unlock()
				b.opened <- w
				return shown, nil
			}})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	b.until(t, Full)
	return b
}

func get[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

func (b *bench) until(t *testing.T, icon Icon) View {
	t.Helper()
	for {
		if v := get(t, "view", b.face.views); v.Icon == icon {
			return v
		}
	}
}

func TestTrayRegistersAndFollowsTheService(t *testing.T) {
	b := start(t)
	if n := len(b.s.Said("POST /v1/tray")); n != 1 {
		t.Errorf("registered %d times", n)
	}
	b.s.Tell(localapi.Event{Type: "status", Status: &localapi.Status{State: localapi.StateReady, Sessions: []localapi.Session{{Name: "Anna", Sees: true}}}})
	v := b.until(t, Eye)
	if v.Items[0].ID != EntryEnd {
		t.Errorf("the first entry is %q", v.Items[0].ID)
	}
	b.face.clicks <- EntryEnd
	if n := get(t, "notification", b.notes.shown); n.key != "end" {
		t.Errorf("notified %+v", n)
	}
	if len(b.s.Said("POST /v1/end")) != 1 {
		t.Error("nothing was ended")
	}
}

func TestAQuestionOpensItsWindowOnce(t *testing.T) {
	b := start(t)
	q := localapi.Consent{Session: windowtest.Session, Name: "Anna Bianchi"}
	b.s.Tell(localapi.Event{Type: "consent", Consent: &q})
	n := get(t, "notification", b.notes.shown)
	if !n.urgent || n.title != "Anna Bianchi would like to help you on this computer" {
		t.Errorf("notified %+v", n)
	}
	if w := get(t, "window", b.opened); w.Kind != "consent" || w.Session != q.Session {
		t.Errorf("opened %+v", w)
	}
	b.s.Tell(localapi.Event{Type: "status", Status: &localapi.Status{State: localapi.StateReady, Answers: 1, Waiting: []localapi.Consent{q}}})
	b.until(t, Dot)
	b.s.Tell(localapi.Event{Type: "consent_over", Consent: &q})
	if key := get(t, "withdrawal", b.notes.withdrawn); key != q.Session {
		t.Errorf("withdrew %q", key)
	}
	if len(b.opened) != 0 {
		t.Error("the question was opened twice")
	}
}

func TestASecondClickRaisesTheWindow(t *testing.T) {
	b := start(t)
	b.face.clicks <- EntryForm
	get(t, "window", b.opened)
	b.mu.Lock()
	w := b.last
	b.mu.Unlock()
	// The window counts as open once the tray has heard of it.
	deadline := time.After(patience)
	for raised := false; !raised; {
		select {
		case b.face.clicks <- EntryForm:
		case <-w.raised:
			raised = true
		case <-deadline:
			t.Fatal("not raised")
		}
	}
	close(w.done)
	for {
		select {
		case b.face.clicks <- EntryForm:
		case <-w.raised:
		case <-b.opened:
			return // a new window after the old one was closed
		case <-deadline:
			t.Fatal("no new window")
		}
	}
}

func TestNoticesAreInTheUsersWords(t *testing.T) {
	b := start(t)
	b.s.Tell(localapi.Event{Type: "notice", Notice: &localapi.Notice{ID: "notice.of.a.newer.service"}})
	b.s.Tell(localapi.Event{Type: "notice", Notice: &localapi.Notice{ID: "notice.answered", Number: 1042, Name: "Anna Bianchi"}})
	n := get(t, "notification", b.notes.shown)
	if n.title != "Ticket #1042: Anna Bianchi has answered" {
		t.Errorf("got %q", n.title)
	}
	n.open()
	if w := get(t, "window", b.opened); w.Kind != "tickets" {
		t.Errorf("opened %+v", w)
	}
}

func TestEveryEntryThatCanBeChosenDoesSomething(t *testing.T) {
	b := start(t)
	want := map[string]string{EntryForm: "form", EntryTickets: "tickets", EntryChange: "access", EntryHistory: "history", EntryLink: "link", EntryStatus: "status", EntryAbout: "about"}
	for entry, kind := range want {
		b.face.clicks <- entry
		if w := get(t, "window for "+entry, b.opened); w.Kind != kind {
			t.Errorf("%s opened %q", entry, w.Kind)
		}
	}
	st := localapi.Status{State: localapi.StateReady, SupportPhone: "051", Answers: 1}
	b.s.Tell(localapi.Event{Type: "status", Status: &st})
	b.until(t, Dot)
	b.face.clicks <- EntryCall
	if n := get(t, "notification", b.notes.shown); n.title != "Call support: 051" {
		t.Errorf("got %q", n.title)
	}
	for _, i := range order {
		ids := []string{i.ID}
		for _, s := range i.Items {
			ids = append(ids, s.ID)
		}
		for _, id := range ids {
			if _, ok := want[id]; !ok && !slices.Contains([]string{"", EntryState, EntryOpen, EntryAccess, EntryCall, EntryEnd, EntryQuestion}, id) {
				t.Errorf("entry %q is untested", id)
			}
		}
	}
}
