package screen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"image/color"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// display starts an X server of the test's own and connects to it.
func display(t *testing.T) (*xgb.Conn, *xproto.ScreenInfo) {
	t.Helper()
	if _, err := exec.LookPath("Xvfb"); err != nil {
		t.Fatal("Xvfb is missing; tools/setup/setup test installs it")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "320x200x24", "-nolisten", "tcp", "-noreset")
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	number, err := bufio.NewReader(r).ReadString('\n')
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DISPLAY", ":"+strings.TrimSpace(number))
	t.Setenv("XAUTHORITY", "/dev/null")
	c, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, xproto.Setup(c).DefaultScreen(c)
}

func TestCaptureSeesTheScreen(t *testing.T) {
	c, s := display(t)
	win, err := xproto.NewWindowId(c)
	if err != nil {
		t.Fatal(err)
	}
	xproto.CreateWindow(c, s.RootDepth, win, s.Root, 40, 30, 50, 20, 0, xproto.WindowClassInputOutput, s.RootVisual,
		xproto.CwBackPixel|xproto.CwOverrideRedirect, []uint32{0x1e7fc8, 1})
	if err := xproto.MapWindowChecked(c, win).Check(); err != nil {
		t.Fatal(err)
	}
	img, err := Capture(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != 320 || b.Dy() != 200 {
		t.Errorf("the picture is %v", b)
	}
	for at, want := range map[[2]int]color.RGBA{{45, 35}: {0x1e, 0x7f, 0xc8, 0xff}, {89, 49}: {0x1e, 0x7f, 0xc8, 0xff}, {10, 10}: {0, 0, 0, 0xff}, {90, 35}: {0, 0, 0, 0xff}} {
		if got := color.RGBAModel.Convert(img.At(at[0], at[1])); got != want {
			t.Errorf("at %v: got %v, want %v", at, got, want)
		}
	}
}

// own makes the test the owner of the clipboard. It gives out picture at once, or in parts of step
// bytes (INCR, ICCCM §2.7.2), or refuses if there is none.
func own(t *testing.T, c *xgb.Conn, s *xproto.ScreenInfo, picture []byte, step int) {
	t.Helper()
	atom := func(name string) xproto.Atom {
		r, err := xproto.InternAtom(c, false, uint16(len(name)), name).Reply()
		if err != nil {
			t.Fatal(err)
		}
		return r.Atom
	}
	clipboard, png, incr := atom("CLIPBOARD"), atom("image/png"), atom("INCR")
	win, err := xproto.NewWindowId(c)
	if err != nil {
		t.Fatal(err)
	}
	xproto.CreateWindow(c, 0, win, s.Root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly, s.RootVisual, 0, nil)
	if err := xproto.SetSelectionOwnerChecked(c, win, clipboard, xproto.TimeCurrentTime).Check(); err != nil {
		t.Fatal(err)
	}
	go func() {
		var rest []byte
		var to xproto.SelectionRequestEvent
		for {
			e, err := c.WaitForEvent()
			if e == nil && err == nil {
				return
			}
			switch e := e.(type) {
			case xproto.SelectionRequestEvent:
				answer := xproto.SelectionNotifyEvent{Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: e.Property}
				switch {
				case picture == nil || e.Target != png:
					answer.Property = 0
				case step == 0:
					xproto.ChangeProperty(c, xproto.PropModeReplace, e.Requestor, e.Property, png, 8, uint32(len(picture)), picture)
				default:
					to, rest = e, picture
					xproto.ChangeWindowAttributes(c, e.Requestor, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange})
					xproto.ChangeProperty(c, xproto.PropModeReplace, e.Requestor, e.Property, incr, 32, 1, []byte{0, 0, 0, 0})
				}
				xproto.SendEvent(c, false, e.Requestor, 0, string(answer.Bytes()))
			case xproto.PropertyNotifyEvent:
				if to.Property != 0 && e.Atom == to.Property && e.State == xproto.PropertyDelete {
					n := min(step, len(rest))
					xproto.ChangeProperty(c, xproto.PropModeReplace, to.Requestor, to.Property, png, 8, uint32(n), rest[:n])
					if n == 0 {
						to.Property = 0
					}
					rest = rest[n:]
				}
			}
		}
	}()
}

func TestPictureFromTheClipboard(t *testing.T) {
	c, s := display(t)
	if _, err := Picture(); !errors.Is(err, errNone) {
		t.Errorf("an empty clipboard: %v", err)
	}
	want := bytes.Repeat([]byte("picture "), 30_000)
	for _, step := range []int{0, 4096, 100_000} {
		own(t, c, s, want, step)
		got, err := Picture()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("in steps of %d: %d bytes, %v", step, len(got), err)
		}
		c.Close()
		var e error
		if c, e = connect(); e != nil {
			t.Fatal(e)
		}
	}
	own(t, c, s, nil, 0)
	if _, err := Picture(); !errors.Is(err, errNone) {
		t.Errorf("a clipboard with text: %v", err)
	}
	c.Close()
}

func TestHere(t *testing.T) {
	for _, tt := range []struct {
		display, wayland, session string
		want                      bool
	}{{":1", "", "x11", true}, {":1", "", "", true}, {"", "", "", false}, {":1", "wayland-0", "", false}, {":1", "", "wayland", false}} {
		t.Setenv("DISPLAY", tt.display)
		t.Setenv("WAYLAND_DISPLAY", tt.wayland)
		t.Setenv("XDG_SESSION_TYPE", tt.session)
		if got := Here(); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestCaptureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	t.Setenv("DISPLAY", "no display")
	if _, err := Capture(ctx); err == nil {
		t.Error("a picture of nothing")
	}
}
