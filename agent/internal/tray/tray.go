package tray

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/traybell/traybell/agent/internal/footprint"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/launch"
	"github.com/traybell/traybell/shared/catalogue"
)

// Face shows a view and gives out what was chosen in it.
type Face interface {
	Apply(View)
	Clicks() <-chan string
}

// Notifier shows one line on the desktop. open is called if the person follows it; key replaces an
// earlier line of the same key, and Withdraw takes it away.
type Notifier interface {
	Notify(key, title, text string, urgent bool, open func())
	Withdraw(key string)
}

// Options is what the tray needs from outside.
type Options struct {
	Socket string
	Words  *catalogue.Printer
	Log    *slog.Logger
	Face   Face
	Notify Notifier
	Now    func() time.Time

	// Open shows a window and returns once it is drawn; done is closed when it is gone.
	Open func(context.Context, launch.Window) (Shown, error)
	// Call dials the telephone number if the desktop can.
	Call func(phone string) bool
}

// Shown is a window on the screen.
type Shown interface {
	Raise() error
	Done() <-chan struct{}
}

// Tray is the running tray.
type Tray struct {
	o      Options
	status *localapi.Status // nil: the service does not answer
	client *localapi.Client

	windows map[string]Shown // by kind, or session of a question; nil while one starts
	asked   map[string]bool  // questions that were put on the screen
	drawn   chan drawn
	closed  chan string
	wanted  chan launch.Window // from notifications
}

type drawn struct {
	key string
	w   Shown
	err error
}

// The waits between attempts to reach the service.
const (
	firstWait = time.Second
	lastWait  = 15 * time.Second
	settle    = 3 * time.Second // after which starting is over
)

// Run shows the tray until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Tray{o: o, windows: map[string]Shown{}, asked: map[string]bool{}, drawn: make(chan drawn), closed: make(chan string), wanted: make(chan launch.Window)}
	t.show()
	wait := firstWait
	for {
		events := t.connect(ctx)
		if events != nil {
			wait = firstWait
		}
		if !t.follow(ctx, events, wait) {
			return ctx.Err()
		}
		if events == nil {
			wait = min(2*wait, lastWait)
		}
	}
}

func (t *Tray) connect(ctx context.Context) <-chan localapi.Event {
	c, err := localapi.Dial(t.o.Socket)
	if err == nil {
		c.SetLanguage(t.o.Words.Language())
		var events <-chan localapi.Event
		if events, err = c.Tray(ctx, here(t.o.Words.Language())); err == nil {
			t.client = c
			return events
		}
		c.Close()
	}
	t.o.Log.Debug("the service does not answer", "err", err)
	return nil
}

// here describes this login session to the service.
func here(language string) localapi.Tray {
	r := localapi.Tray{Language: language, Session: os.Getenv("XDG_SESSION_ID")}
	switch runtime.GOOS {
	case "windows":
		r.Desktop = "windows"
	case "darwin":
		r.Desktop = "macos"
	default:
		r.Display, r.XAuthority = os.Getenv("DISPLAY"), os.Getenv("XAUTHORITY")
		if r.XAuthority == "" {
			if home, err := os.UserHomeDir(); err == nil {
				r.XAuthority = home + "/.Xauthority"
			}
		}
		r.Desktop = "x11"
		if os.Getenv("WAYLAND_DISPLAY") != "" || os.Getenv("XDG_SESSION_TYPE") == "wayland" {
			r.Desktop = "wayland"
		}
	}
	return r
}

// follow does what service and person say until the service is gone, or for wait if it was not
// reached. It reports whether to go on.
func (t *Tray) follow(ctx context.Context, events <-chan localapi.Event, wait time.Duration) bool {
	var again <-chan time.Time
	if events == nil {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		again = timer.C
	}
	// "Open until 17:30" and the like grow old without an event.
	settled := time.After(settle)
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-again:
			return true
		case <-minute.C:
			t.show()
		case e, ok := <-events:
			if !ok {
				t.status = nil
				t.client.Close()
				t.client = nil
				t.show()
				return true
			}
			t.event(ctx, e)
		case id := <-t.o.Face.Clicks():
			t.chosen(ctx, id)
		case d := <-t.drawn:
			t.started(ctx, d)
		case w := <-t.wanted:
			t.open(ctx, w)
		case key := <-t.closed:
			delete(t.windows, key)
			footprint.Shrink()
		case <-settled:
			footprint.Shrink()
		}
	}
}

func (t *Tray) show() { t.o.Face.Apply(Menu(t.o.Words, t.status, t.o.Now())) }

func (t *Tray) event(ctx context.Context, e localapi.Event) {
	switch e.Type {
	case "status":
		if e.Status == nil {
			return
		}
		t.status = e.Status
		t.show()
		for _, c := range e.Status.Waiting {
			t.ask(ctx, c)
		}
	case "consent":
		if e.Consent != nil {
			t.ask(ctx, *e.Consent)
		}
	case "consent_over":
		if e.Consent != nil {
			t.o.Notify.Withdraw(e.Consent.Session)
		}
	case "notice":
		if e.Notice != nil {
			t.notice(ctx, *e.Notice)
		}
	}
}

// ask puts a question on the screen, once.
func (t *Tray) ask(ctx context.Context, c localapi.Consent) {
	if t.asked[c.Session] || c.Over != "" {
		return
	}
	t.asked[c.Session] = true
	w := launch.Window{Kind: "consent", Session: c.Session, Socket: t.o.Socket}
	t.o.Notify.Notify(c.Session, t.o.Words.T("notice.question", "Name", c.Name), t.o.Words.T("notice.question.text"), true,
		t.lead(ctx, w))
	t.open(ctx, w)
}

func (t *Tray) notice(ctx context.Context, n localapi.Notice) {
	text := t.o.Words.T(n.ID, "Number", n.Number, "Name", n.Name)
	if text == n.ID {
		t.o.Log.Debug("an unknown notice", "notice", n.ID)
		return // of a newer service
	}
	kind := "tickets"
	if slices.Contains([]string{"notice.started", "notice.ended", "notice.visited"}, n.ID) {
		kind = "history"
	}
	key := n.ID + n.Ticket + n.Name
	t.o.Notify.Notify(key, text, "", false, t.lead(ctx, launch.Window{Kind: kind, Socket: t.o.Socket}))
}

// lead is what a notification does when it is followed; it runs on another goroutine.
func (t *Tray) lead(ctx context.Context, w launch.Window) func() {
	return func() {
		select {
		case t.wanted <- w:
		case <-ctx.Done():
		}
	}
}

func (t *Tray) chosen(ctx context.Context, id string) {
	switch id {
	case EntryForm, EntryTickets, EntryHistory, EntryLink, EntryStatus, EntryAbout:
		t.open(ctx, launch.Window{Kind: id, Socket: t.o.Socket})
	case EntryChange:
		t.open(ctx, launch.Window{Kind: "access", Socket: t.o.Socket})
	case EntryQuestion:
		if t.status != nil && len(t.status.Waiting) > 0 {
			t.open(ctx, launch.Window{Kind: "consent", Session: t.status.Waiting[0].Session, Socket: t.o.Socket})
		}
	case EntryCall:
		if t.status == nil {
			return
		}
		if phone := t.status.SupportPhone; !t.o.Call(phone) {
			t.o.Notify.Notify("phone", t.o.Words.T("notice.phone", "Phone", phone), "", false, func() {})
			t.open(ctx, launch.Window{Kind: "status", Socket: t.o.Socket})
		}
	case EntryEnd:
		t.end(ctx)
	}
}

// end ends everything at once, and says so only when the service has done it.
func (t *Tray) end(ctx context.Context) {
	c, words, notify := t.client, t.o.Words, t.o.Notify
	go func() {
		ctx, cancel := context.WithTimeout(ctx, lastWait)
		defer cancel()
		err := localapi.ErrNotRunning
		if c != nil {
			err = c.End(ctx, localapi.End{})
		}
		if err != nil {
			t.o.Log.Error("end remote access", "err", err)
			notify.Notify("end", words.T("tray.error", "Reason", err.Error()), "", true, func() {})
			return
		}
		notify.Notify("end", words.T("tray.access.ended"), "", false, func() {})
	}()
}

func key(w launch.Window) string { return w.Kind + w.Session }

// open shows a window, or brings it to the front if it is there.
func (t *Tray) open(ctx context.Context, w launch.Window) {
	k := key(w)
	if p, ok := t.windows[k]; ok {
		if p != nil {
			if err := p.Raise(); err != nil {
				t.o.Log.Debug("raise window", "err", err)
			}
		}
		return
	}
	t.windows[k] = nil
	go func() {
		p, err := t.o.Open(ctx, w)
		select {
		case t.drawn <- drawn{k, p, err}:
		case <-ctx.Done():
		}
	}()
}

func (t *Tray) started(ctx context.Context, d drawn) {
	if d.err != nil {
		delete(t.windows, d.key)
		t.o.Log.Error("open window", "err", d.err)
		return
	}
	t.windows[d.key] = d.w
	go func() {
		select {
		case <-d.w.Done():
		case <-ctx.Done():
			return
		}
		select {
		case t.closed <- d.key:
		case <-ctx.Done():
		}
	}()
}
