package tray

import (
	"context"
	"log/slog"
	"sync"

	"github.com/godbus/dbus/v5"

	"github.com/traybell/traybell/agent/internal/window/launch"
)

const (
	noteName = "org.freedesktop.Notifications"
	notePath = "/org/freedesktop/Notifications"
)

// Notes shows notifications by org.freedesktop.Notifications.
type Notes struct {
	conn *dbus.Conn
	log  *slog.Logger
	open string // the word on the button
	lost chan struct{}

	mu   sync.Mutex
	ids  map[string]uint32
	acts map[uint32]func()
}

// NewNotes connects to the session's bus until ctx ends. Without one it shows nothing and says so in
// the log: menu and windows work all the same. open is the word on the button.
func NewNotes(ctx context.Context, log *slog.Logger, open string) *Notes {
	n := &Notes{log: log, open: open, ids: map[string]uint32{}, acts: map[uint32]func(){}, lost: make(chan struct{})}
	conn, err := launch.Bus(ctx)
	if err != nil {
		log.Info("no notifications", "err", err)
		return n
	}
	if err := conn.AddMatchSignal(dbus.WithMatchObjectPath(notePath), dbus.WithMatchInterface(noteName)); err != nil {
		log.Info("notifications can't be followed", "err", err)
	}
	n.conn = conn
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	go n.follow(signals)
	return n
}

// Lost is closed when the session's bus, and with it the session, is gone.
func (n *Notes) Lost() <-chan struct{} { return n.lost }

func (n *Notes) follow(signals <-chan *dbus.Signal) {
	defer close(n.lost)
	for s := range signals {
		if len(s.Body) < 2 {
			continue
		}
		id, ok := s.Body[0].(uint32)
		if !ok {
			continue
		}
		n.mu.Lock()
		act := n.acts[id]
		if s.Name == noteName+".NotificationClosed" {
			delete(n.acts, id)
			act = nil
		}
		n.mu.Unlock()
		if s.Name == noteName+".ActionInvoked" && act != nil {
			go act()
		}
	}
}

// Notify implements Notifier.
func (n *Notes) Notify(key, title, text string, urgent bool, open func()) {
	if n.conn == nil {
		return
	}
	n.mu.Lock()
	replaces := n.ids[key]
	n.mu.Unlock()
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(byte(1)), "desktop-entry": dbus.MakeVariant("traybell")}
	expire := int32(-1)
	if urgent {
		hints["urgency"] = dbus.MakeVariant(byte(2))
		hints["sound-name"] = dbus.MakeVariant("message-new-instant")
		expire = 0
	}
	go func() { // a notification server may take its time
		var id uint32
		err := n.conn.Object(noteName, notePath).Call(noteName+".Notify", 0, "Traybell", replaces, "traybell",
			title, text, []string{"default", n.open}, hints, expire).Store(&id)
		if err != nil {
			n.log.Debug("notification not shown", "err", err)
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.ids[key], n.acts[id] = id, open
	}()
}

// Withdraw implements Notifier.
func (n *Notes) Withdraw(key string) {
	n.mu.Lock()
	id, ok := n.ids[key]
	delete(n.ids, key)
	delete(n.acts, id)
	n.mu.Unlock()
	if ok && n.conn != nil {
		n.conn.Object(noteName, notePath).Go(noteName+".CloseNotification", dbus.FlagNoReplyExpected, nil, id)
	}
}
