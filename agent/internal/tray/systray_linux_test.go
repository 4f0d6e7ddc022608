package tray

import (
	"bufio"
	"bytes"
	"context"
	"image"
	_ "image/png" // the icons
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/traybell/traybell/agent/internal/tray/icons"
)

// watcher is a StatusNotifierWatcher on a bus of its own, as a desktop's panel has one.
type watcher struct{ items chan string }

func (w *watcher) RegisterStatusNotifierItem(path string, sender dbus.Sender) *dbus.Error {
	select {
	case w.items <- string(sender):
	default:
	}
	return nil
}

func startBus(t *testing.T) *dbus.Conn {
	t.Helper()
	conn, _ := startBusFor(t)
	return conn
}

func startBusFor(t *testing.T) (*dbus.Conn, *exec.Cmd) {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Fatal("dbus-daemon is missing; tools/setup/setup test installs it")
	}
	cmd := exec.Command(daemon, "--session", "--nofork", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, cmd
}

// desk is a notification server on a bus of its own.
type desk struct {
	conn  *dbus.Conn
	notes chan [2]string
	gone  chan uint32
}

func (d *desk) Notify(_ string, _ uint32, _, title, _ string, actions []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	urgency, _ := hints["urgency"].Value().(byte)
	d.notes <- [2]string{title, strings.Join(actions, " ") + string('0'+rune(urgency))}
	return 7, nil
}

func (d *desk) CloseNotification(id uint32) *dbus.Error {
	d.gone <- id
	return nil
}

func TestNotificationsReachTheDesktop(t *testing.T) {
	conn, bus := startBusFor(t)
	d := &desk{conn, make(chan [2]string, 8), make(chan uint32, 8)}
	if err := conn.Export(d, notePath, noteName); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(noteName, 0); err != nil {
		t.Fatal(err)
	}
	n := NewNotes(context.Background(), slog.New(slog.DiscardHandler), "Open")
	opened := make(chan string, 8)
	n.Notify("q", "Anna would like to help", "", true, func() { opened <- "q" })
	if got := get(t, "notification", d.notes); got != [2]string{"Anna would like to help", "default Open2"} {
		t.Errorf("got %q", got)
	}
	deadline := time.After(patience)
	for done := false; !done; { // until our side has heard of the number
		if err := conn.Emit(notePath, noteName+".ActionInvoked", uint32(7), "default"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-opened:
			done = true
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("following it does nothing")
		}
	}
	n.Withdraw("q")
	if id := get(t, "withdrawal", d.gone); id != 7 {
		t.Errorf("withdrew %d", id)
	}
	bus.Process.Kill()
	get(t, "end of the session", n.Lost())
}

// layout is an entry of com.canonical.dbusmenu.
type layout struct {
	ID    int32
	Props map[string]dbus.Variant
	Subs  []dbus.Variant
}

// pixels are those of the icon as the panel reads it.
func pixels(t *testing.T, item dbus.BusObject) []byte {
	t.Helper()
	v, err := item.GetProperty("org.kde.StatusNotifierItem.IconPixmap")
	if err != nil {
		t.Fatal(err)
	}
	var maps []struct {
		W, H   int32
		Pixels []byte
	}
	if err := v.Store(&maps); err != nil || len(maps) != 1 {
		t.Fatalf("%d icons: %v", len(maps), err)
	}
	return maps[0].Pixels
}

// argb is a picture in the byte order of the StatusNotifierItem specification.
func argb(img image.Image) (out []byte) {
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, a := img.At(x, y).RGBA()
			out = append(out, byte(a), byte(r), byte(g), byte(b))
		}
	}
	return out
}

// systrayUsed: systray keeps its state in the process and can be run once.
var systrayUsed bool

func TestTheMenuReachesThePanel(t *testing.T) {
	if systrayUsed {
		t.Skip("systray runs once in a process")
	}
	systrayUsed = true
	conn := startBus(t)
	w := &watcher{make(chan string, 1)}
	if err := conn.Export(w, "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName("org.kde.StatusNotifierWatcher", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(chan *Desktop, 1)
	gone := make(chan error, 1)
	go func() {
		gone <- OnDesktop(ctx, cancel, func(f Face) error {
			f.Apply(View{Icon: Eye, Tip: "Anna can see your screen", Items: []Item{
				{ID: EntryEnd, Title: "End (Anna)"}, {ID: EntryState, Title: "Studio_Verdi", Info: true}, {}, {ID: EntryForm, Title: "Form…"},
				{ID: EntryAccess, Title: "Access", Items: []Item{{ID: EntryOpen, Title: "Nobody", Info: true}, {ID: EntryHistory, Title: "Who"}}}}})
			ready <- f.(*Desktop)
			<-ctx.Done()
			return nil
		})
	}()
	defer func() { cancel(); get(t, "end of the tray", gone) }()
	d := get(t, "tray", ready)
	item := get(t, "registration", w.items)

	o := conn.Object(item, "/StatusNotifierItem")
	if v, err := o.GetProperty("org.kde.StatusNotifierItem.ItemIsMenu"); err != nil || v.Value() != true {
		t.Errorf("a left click does not open the menu: %v %v", v, err)
	}
	// what is applied first must be what the panel gets, whenever it asks
	eye, _, err := image.Decode(bytes.NewReader(icons.Eye()))
	if err != nil {
		t.Fatal(err)
	}
	if got := pixels(t, o); !slices.Equal(got, argb(eye)) {
		t.Errorf("the panel gets another icon than the eye (%d bytes)", len(got))
	}
	menu := conn.Object(item, "/StatusNotifierItem/menu")
	read := func() []layout {
		t.Helper()
		var rev uint32
		var root layout
		if err := menu.Call("com.canonical.dbusmenu.GetLayout", 0, int32(0), int32(-1), []string{}).Store(&rev, &root); err != nil {
			t.Fatal(err)
		}
		var out []layout
		for _, s := range root.Subs {
			var l layout
			if err := dbus.Store([]any{s.Value()}, &l); err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
		return out
	}
	visible := func() (out []string, byLabel map[string]layout) {
		byLabel = map[string]layout{}
		for _, l := range read() {
			if v, ok := l.Props["visible"]; ok && v.Value() == false {
				continue
			}
			if l.Props["type"].Value() == "separator" {
				continue
			}
			label, _ := l.Props["label"].Value().(string)
			out = append(out, label)
			byLabel[label] = l
		}
		return out, byLabel
	}
	labels, by := visible()
	if got := strings.Join(labels, "|"); got != "End (Anna)|Studio__Verdi|Form…|Access" {
		t.Errorf("the panel shows %s", got)
	}
	if by["Studio__Verdi"].Props["enabled"].Value() != false {
		t.Error("the state line can be chosen")
	}
	deadline := time.After(patience)
	for clicked := false; !clicked; {
		if err := menu.Call("com.canonical.dbusmenu.Event", 0, by["Form…"].ID, "clicked", dbus.MakeVariant(int32(0)), uint32(0)).Err; err != nil {
			t.Fatal(err)
		}
		select {
		case id := <-d.Clicks():
			if id != EntryForm {
				t.Fatalf("the click came out as %q", id)
			}
			clicked = true
		case <-deadline:
			t.Fatal("the click is lost")
		case <-time.After(50 * time.Millisecond): // not yet in receive: the panel's user clicks again
		}
	}
	d.Apply(View{Icon: Full, Tip: "ready", Items: []Item{{ID: EntryState, Title: "Studio Verdi · ready", Info: true}, {ID: EntryForm, Title: "Form…"}}})
	if labels, _ := visible(); strings.Join(labels, "|") != "Studio Verdi · ready|Form…" {
		t.Errorf("afterwards the panel shows %v", labels)
	}
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		t.Error("the test ran on no bus")
	}
}
