// Package x11test gives tests a real X server of their own (Xvfb) and the few
// things an X program does in them: look at the screen, press, paint.
package x11test

import (
	"bufio"
	"context"
	"errors"
	"image"
	"math/bits"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/traybell/traybell/agent/internal/desktop/x11"
)

// Start runs an Xvfb with a screen such as "1280x800x24" until the test ends,
// and returns its display. Every user of this machine may connect.
func Start(t testing.TB, screen string) string {
	t.Helper()
	return start(t, screen, "-ac")
}

// StartGuarded is Start for a server that wants the cookie of an authority file.
func StartGuarded(t testing.TB, screen, authority string) string {
	t.Helper()
	return start(t, screen, "-auth", authority)
}

func start(t testing.TB, screen string, more ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvfb", append([]string{"-displayfd", "3", "-screen", "0", screen, "-noreset", "-nolisten", "tcp"}, more...)...)
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatal("this test needs the program Xvfb: install the package xvfb")
	}
	if err != nil {
		t.Fatalf("start Xvfb: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	r.SetReadDeadline(time.Now().Add(30 * time.Second))
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb did not start: %v", err)
	}
	return ":" + strings.TrimSpace(line)
}

// An App is an X program of the test.
type App struct {
	X    *xgb.Conn
	Root xproto.Window
	t    testing.TB
	gc   xproto.Gcontext
}

// Connect returns a program on a display that ends with the test.
func Connect(t testing.TB, display string) *App {
	t.Helper()
	x, err := x11.Connect(display, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	a := &App{X: x, Root: xproto.Setup(x).DefaultScreen(x).Root, t: t}
	if a.gc, err = xproto.NewGcontextId(x); err != nil {
		t.Fatal(err)
	}
	if err := xproto.CreateGCChecked(x, a.gc, xproto.Drawable(a.Root), xproto.GcGraphicsExposures|xproto.GcSubwindowMode,
		[]uint32{xproto.SubwindowModeIncludeInferiors, 0}).Check(); err != nil {
		t.Fatal(err)
	}
	a.hidePointer()
	return a
}

// hidePointer makes the pointer invisible, so that it is in no picture.
func (a *App) hidePointer() {
	a.t.Helper()
	pixmap, err := xproto.NewPixmapId(a.X)
	if err != nil {
		a.t.Fatal(err)
	}
	cursor, err := xproto.NewCursorId(a.X)
	if err != nil {
		a.t.Fatal(err)
	}
	gc, err := xproto.NewGcontextId(a.X)
	if err != nil {
		a.t.Fatal(err)
	}
	xproto.CreatePixmap(a.X, 1, pixmap, xproto.Drawable(a.Root), 1, 1)
	xproto.CreateGC(a.X, gc, xproto.Drawable(pixmap), xproto.GcForeground, []uint32{0})
	xproto.PolyFillRectangle(a.X, xproto.Drawable(pixmap), gc, []xproto.Rectangle{{Width: 1, Height: 1}})
	xproto.CreateCursor(a.X, cursor, pixmap, pixmap, 0, 0, 0, 0, 0, 0, 0, 0)
	xproto.ChangeWindowAttributes(a.X, a.Root, xproto.CwCursor, []uint32{uint32(cursor)})
	a.Sync()
}

// Cursor gives a window one of the server's own pointer shapes, an even number.
func (a *App) Cursor(w xproto.Window, shape uint16) {
	a.t.Helper()
	font, err := xproto.NewFontId(a.X)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := xproto.NewCursorId(a.X)
	if err != nil {
		a.t.Fatal(err)
	}
	const name = "cursor"
	xproto.OpenFont(a.X, font, uint16(len(name)), name)
	xproto.CreateGlyphCursor(a.X, c, font, font, shape, shape+1, 0, 0, 0, 0xffff, 0xffff, 0xffff)
	xproto.ChangeWindowAttributes(a.X, w, xproto.CwCursor, []uint32{uint32(c)})
	a.Sync()
}

// Sync returns when the server has carried out everything.
func (a *App) Sync() {
	a.t.Helper()
	if _, err := xproto.GetInputFocus(a.X).Reply(); err != nil {
		a.t.Fatalf("X server: %v", err)
	}
}

// Window opens a window without decoration, in one colour, that hears keys and buttons.
func (a *App) Window(r image.Rectangle, colour uint32) xproto.Window {
	a.t.Helper()
	w, err := xproto.NewWindowId(a.X)
	if err != nil {
		a.t.Fatal(err)
	}
	const mask = xproto.EventMaskKeyPress | xproto.EventMaskKeyRelease | xproto.EventMaskButtonPress | xproto.EventMaskButtonRelease
	err = xproto.CreateWindowChecked(a.X, 24, w, a.Root, int16(r.Min.X), int16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()), 0,
		xproto.WindowClassInputOutput, 0, xproto.CwBackPixel|xproto.CwOverrideRedirect|xproto.CwEventMask, []uint32{colour, 1, mask}).Check()
	if err != nil {
		a.t.Fatal(err)
	}
	xproto.MapWindow(a.X, w)
	a.Sync()
	return w
}

// Fill paints a rectangle of a window.
func (a *App) Fill(w xproto.Window, r image.Rectangle, colour uint32) {
	xproto.ChangeGC(a.X, a.gc, xproto.GcForeground, []uint32{colour})
	xproto.PolyFillRectangle(a.X, xproto.Drawable(w), a.gc, []xproto.Rectangle{{X: int16(r.Min.X), Y: int16(r.Min.Y), Width: uint16(r.Dx()), Height: uint16(r.Dy())}})
}

// Put paints pixels, 0x00RRGGBB, into a window.
func (a *App) Put(w xproto.Window, r image.Rectangle, pix []uint32) {
	width := r.Dx()
	rows := max(1, 60000/width)
	for y := 0; y < r.Dy(); y += rows {
		h := min(rows, r.Dy()-y)
		b := make([]byte, 0, h*width*4)
		for _, p := range pix[y*width : (y+h)*width] {
			b = append(b, byte(p), byte(p>>8), byte(p>>16), 0)
		}
		xproto.PutImage(a.X, xproto.ImageFormatZPixmap, xproto.Drawable(w), a.gc, uint16(width), uint16(h), int16(r.Min.X), int16(r.Min.Y+y), 0, 24, b)
	}
}

// Copy copies a rectangle of a window to another place of it.
func (a *App) Copy(w xproto.Window, r image.Rectangle, to image.Point) {
	xproto.CopyArea(a.X, xproto.Drawable(w), xproto.Drawable(w), a.gc, int16(r.Min.X), int16(r.Min.Y), int16(to.X), int16(to.Y), uint16(r.Dx()), uint16(r.Dy()))
}

// Screen returns the whole screen's pixels, 0x00RRGGBB, and its width.
func (a *App) Screen() ([]uint32, int) {
	a.t.Helper()
	g, err := xproto.GetGeometry(a.X, xproto.Drawable(a.Root)).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	i, err := xproto.GetImage(a.X, xproto.ImageFormatZPixmap, xproto.Drawable(a.Root), 0, 0, g.Width, g.Height, 0xffffffff).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	pix := make([]uint32, int(g.Width)*int(g.Height))
	for n := range pix {
		p := i.Data[n*4:]
		pix[n] = uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
	}
	return pix, int(g.Width)
}

// Point moves the pointer, as the user's own hand.
func (a *App) Point(x, y int) {
	xtest.FakeInput(a.X, xproto.MotionNotify, 0, 0, a.Root, int16(x), int16(y), 0)
}

// Click presses and releases a button where the pointer is.
func (a *App) Click(button byte) {
	xtest.FakeInput(a.X, xproto.ButtonPress, button, 0, a.Root, 0, 0, 0)
	xtest.FakeInput(a.X, xproto.ButtonRelease, button, 0, a.Root, 0, 0, 0)
	a.Sync()
}

// Button presses or releases a button.
func (a *App) Button(button byte, down bool) {
	kind := byte(xproto.ButtonRelease)
	if down {
		kind = xproto.ButtonPress
	}
	xtest.FakeInput(a.X, kind, button, 0, a.Root, 0, 0, 0)
}

// Focus gives a window the keyboard.
func (a *App) Focus(w xproto.Window) {
	xproto.SetInputFocus(a.X, xproto.InputFocusPointerRoot, w, 0)
	a.Sync()
}

// Events passes the program's events to a channel until the connection ends.
func (a *App) Events() <-chan xgb.Event {
	c := make(chan xgb.Event, 1024)
	go func() {
		defer close(c)
		for {
			ev, err := a.X.WaitForEvent()
			if ev == nil && err == nil {
				return
			}
			if ev != nil {
				c <- ev
			}
		}
	}()
	return c
}

// Eventually waits until ok holds, looking every few milliseconds, and fails the test when it doesn't in time.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), within)
	defer stop()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
	}
}

// Key presses or releases a key by its keycode, as the user's own hand.
func (a *App) Key(kind, code byte) {
	xtest.FakeInput(a.X, kind, code, 0, a.Root, 0, 0, 0)
}

// Held is what is held down at a moment, and where the pointer is.
type Held struct {
	Keys    int
	Buttons uint16
	Pointer image.Point
}

// State asks what is held down now.
func (a *App) State() Held {
	a.t.Helper()
	k, err := xproto.QueryKeymap(a.X).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	p, err := xproto.QueryPointer(a.X, a.Root).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	h := Held{Buttons: p.Mask & 0x1f00, Pointer: image.Pt(int(p.RootX), int(p.RootY))}
	for _, b := range k.Keys {
		h.Keys += bits.OnesCount8(b)
	}
	return h
}

// Mapping is the keyboard's whole layout.
func (a *App) Mapping() []xproto.Keysym {
	a.t.Helper()
	s := xproto.Setup(a.X)
	m, err := xproto.GetKeyboardMapping(a.X, s.MinKeycode, byte(s.MaxKeycode-s.MinKeycode+1)).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	return m.Keysyms
}

// Layout sets the keyboard's layout, such as "it" or "us,ru".
func Layout(t testing.TB, display, layout string) {
	t.Helper()
	out, err := exec.Command("setxkbmap", "-display", display, "-rules", "evdev", "-model", "pc105", "-layout", layout).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatal("this test needs the program setxkbmap: install the package x11-xkb-utils")
	}
	if err != nil {
		t.Fatalf("setxkbmap %s: %v: %s", layout, err, out)
	}
}
