package service

import (
	"os/user"
	"slices"
	"sync"

	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/localapi"
)

// maxQueue bounds the events that wait for one tray; a tray that does not read loses the oldest.
const maxQueue = 64

// trays are the registered desktops. A registration lives as long as its stream.
type trays struct {
	mu   sync.Mutex
	all  []*tray
	hook func() // presence changed; set once before use
}

// tray is one registered desktop and the events that wait for it.
type tray struct {
	userID, user string
	info         localapi.Tray
	wake         chan struct{}

	mu    sync.Mutex
	queue []localapi.Event
}

func newTrays() *trays { return &trays{} }

func (t *tray) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// push queues an event.
func (t *tray) push(e localapi.Event) {
	t.mu.Lock()
	if len(t.queue) == maxQueue {
		t.queue = t.queue[1:]
	}
	t.queue = append(t.queue, e)
	t.mu.Unlock()
	t.poke()
}

// take returns and forgets what waits.
func (t *tray) take() []localapi.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queue
	t.queue = nil
	return q
}

// maxTrays bounds the desktops of one user.
const maxTrays = 32

// add registers a desktop, or returns nil where a user has too many.
func (ts *trays) add(userID string, info localapi.Tray) *tray {
	t := &tray{userID: userID, user: userName(userID), info: info, wake: make(chan struct{}, 1)}
	ts.mu.Lock()
	n := 0
	for _, x := range ts.all {
		if x.userID == userID {
			n++
		}
	}
	if n >= maxTrays {
		ts.mu.Unlock()
		return nil
	}
	ts.all = append(ts.all, t)
	hook := ts.hook
	ts.mu.Unlock()
	t.poke()
	if hook != nil {
		hook()
	}
	return t
}

func (ts *trays) remove(t *tray) {
	ts.mu.Lock()
	ts.all = slices.DeleteFunc(ts.all, func(x *tray) bool { return x == t })
	hook := ts.hook
	ts.mu.Unlock()
	if hook != nil {
		hook()
	}
}

// onChange sets what is called when a desktop comes or goes.
func (ts *trays) onChange(f func()) {
	ts.mu.Lock()
	ts.hook = f
	ts.mu.Unlock()
}

// dirty makes every stream look at its status again.
func (ts *trays) dirty() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.all {
		t.poke()
	}
}

// tell queues an event for every desktop of a user.
func (ts *trays) tell(userID string, e localapi.Event) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.all {
		if t.userID != userID {
			continue
		}
		t.push(e)
	}
}

// seats are the registered desktops, the newest last.
func (ts *trays) seats() []inventory.Seat {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var out []inventory.Seat
	for _, t := range ts.all {
		s := inventory.Seat{
			UserID: t.userID, User: t.user, Session: t.info.Session,
			Display: t.info.Display, XAuthority: t.info.XAuthority, Desktop: t.info.Desktop, State: inventory.Active,
		}
		if s.Desktop == "text" {
			s.Desktop, s.State = "none", inventory.Text
		}
		out = append(out, s)
	}
	return out
}

// language is that of a user's newest desktop, or empty.
func (ts *trays) language(userID string) string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range slices.Backward(ts.all) {
		if t.userID == userID && t.info.Language != "" {
			return t.info.Language
		}
	}
	return ""
}

// graphical reports whether a window can be shown to this user.
func (ts *trays) graphical(userID string) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return slices.ContainsFunc(ts.all, func(t *tray) bool { return t.userID == userID && t.info.Desktop != "text" })
}

// userName is the OS user's name, or the id where the system does not know it.
func userName(id string) string {
	u, err := user.LookupId(id)
	if err != nil {
		return id
	}
	return u.Username
}

// lookupUser finds an OS user by name or id.
func lookupUser(nameOrID string) (id, name string, err error) {
	u, err := user.Lookup(nameOrID)
	if err != nil {
		u, err = user.LookupId(nameOrID)
	}
	if err != nil {
		return "", "", err
	}
	return u.Uid, u.Username, nil
}
