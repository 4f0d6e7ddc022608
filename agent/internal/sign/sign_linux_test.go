package sign

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jezek/xgb/shape"
	"github.com/jezek/xgb/xproto"

	"github.com/traybell/traybell/agent/internal/desktop/x11/x11test"
)

var english = Texts{
	Sees: "Anna Bianchi sees your screen", Controls: "Anna Bianchi controls your computer",
	Paused: "Paused. Nobody sees or touches anything.", Pause: "Pause", GoOn: "Go on", EndNow: "End now",
}

type presses struct {
	pause chan bool
	end   chan struct{}
}

func show(t *testing.T, display string) (*Sign, presses) {
	t.Helper()
	p := presses{make(chan bool, 8), make(chan struct{}, 8)}
	s, err := Show(Options{
		Display: display, Texts: english, Since: time.Now().Add(-4*time.Minute - 12*time.Second),
		OnPause: func(on bool) { p.pause <- on }, OnEnd: func() { p.end <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, p
}

const plumPixel = 0x8d2768

// whole reports whether the sign's border is on the screen all around: nothing covers it.
func whole(a *x11test.App, r image.Rectangle) bool {
	pix, w := a.Screen()
	for x := r.Min.X; x < r.Max.X; x++ {
		if pix[r.Min.Y*w+x] != plumPixel || pix[(r.Max.Y-1)*w+x] != plumPixel {
			return false
		}
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		if pix[y*w+r.Min.X] != plumPixel || pix[y*w+r.Max.X-1] != plumPixel {
			return false
		}
	}
	return true
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("never came: %s", what)
		panic("unreachable")
	}
}

func middle(r image.Rectangle, at image.Rectangle) (int, int) {
	return r.Min.X + (at.Min.X+at.Max.X)/2, r.Min.Y + (at.Min.Y+at.Max.Y)/2
}

func TestShowReturnsWithTheSignOnTheScreen(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	if !whole(a, s.Rect()) {
		t.Fatal("the sign is not on the screen when Show returns")
	}
}

func TestButtonsOfTheSign(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, p := show(t, display)
	pause, end := buttons(s)
	a.Point(middle(s.Rect(), pause))
	a.Click(1)
	if got := wait(t, p.pause, "pause"); !got {
		t.Error("Pause said go on")
	}
	s.Paused(true)
	a.Click(1)
	if got := wait(t, p.pause, "go on"); got {
		t.Error("Go on said pause")
	}
	a.Point(middle(s.Rect(), end))
	a.Click(1)
	wait(t, p.end, "end")
	// A press that is dragged away is taken back.
	a.Button(1, true)
	a.Point(600, 600)
	a.Button(1, false)
	a.Sync()
	a.Point(middle(s.Rect(), pause))
	a.Click(1)
	wait(t, p.pause, "pause again")
	select {
	case <-p.end:
		t.Error("a press dragged away from End now ended the session")
	default:
	}
}

func TestKeysEndTheSession(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	_, p := show(t, display)
	const control, alt, shift, e = 37, 64, 50, 26
	for _, k := range []byte{control, alt, shift, e} {
		a.Key(xproto.KeyPress, k)
	}
	for _, k := range []byte{e, shift, alt, control} {
		a.Key(xproto.KeyRelease, k)
	}
	a.Sync()
	wait(t, p.end, "end by Ctrl+Alt+Shift+E")
}

// buttons asks the loop, which alone may look at the picture.
func buttons(s *Sign) (pause, end image.Rectangle) {
	done := make(chan picture)
	s.tell(func() { go func(p picture) { done <- p }(s.picture) })
	p := <-done
	return p.pause, p.end
}

func TestSignComesBackOnTop(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	win := s.win
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"covered", func() { a.Window(image.Rect(0, 0, 1280, 400), 0x224466) }},
		{"covered in part", func() { a.Window(s.Rect().Inset(10).Add(image.Pt(100, 0)), 0x664422) }},
		{"unmapped", func() { xproto.UnmapWindow(a.X, win) }},
		{"moved off the screen", func() {
			xproto.ConfigureWindow(a.X, win, xproto.ConfigWindowX, []uint32{5000})
		}},
		{"made small", func() {
			xproto.ConfigureWindow(a.X, win, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{1, 1})
		}},
		{"lowered", func() {
			a.Window(image.Rect(0, 0, 1280, 300), 0x123456)
			xproto.ConfigureWindow(a.X, win, xproto.ConfigWindowStackMode, []uint32{xproto.StackModeBelow})
		}},
		{"cut to nothing", func() {
			shape.Rectangles(a.X, shape.SoSet, shape.SkBounding, 0, win, 0, 0, nil)
		}},
	} {
		c.do()
		a.Sync()
		x11test.Eventually(t, 12*time.Second, "the sign is whole again after being "+c.name, func() bool { return whole(a, s.Rect()) })
	}
	select {
	case err := <-s.Err():
		t.Fatalf("the sign gave up: %v", err)
	default:
	}
}

func TestSignGivesUpAgainstAWindowThatKeepsCovering(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	w := a.Window(image.Rect(0, 0, 1280, 400), 0x224466)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience + 10*time.Second)
	for {
		select {
		case err := <-s.Err():
			if err == nil {
				t.Fatal("the sign ended without saying why")
			}
			return
		case <-tick.C:
			xproto.ConfigureWindow(a.X, w, xproto.ConfigWindowStackMode, []uint32{xproto.StackModeAbove})
		case <-late:
			t.Fatal("the sign said nothing about being covered all the time")
		}
	}
}

func TestDestroyedSignSaysSo(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	xproto.DestroyWindow(a.X, s.win)
	a.Sync()
	if err := wait(t, s.Err(), "error"); err == nil {
		t.Fatal("no reason given")
	}
}

func TestSignMovesButNotOffTheScreen(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	grip := func() (int, int) { return s.Rect().Min.X + 60, s.Rect().Min.Y + 20 }
	drag := func(x, y int) {
		a.Point(grip())
		a.Button(1, true)
		a.Point(x, y)
		a.Button(1, false)
		a.Sync()
	}
	drag(460, 520)
	x11test.Eventually(t, 8*time.Second, "the sign follows the drag", func() bool { return s.Rect().Min == image.Pt(400, 500) && whole(a, s.Rect()) })
	screen := image.Rect(0, 0, 1280, 800)
	for _, to := range []image.Point{{0, 0}, {1279, 799}} {
		before := s.Rect()
		drag(to.X, to.Y)
		x11test.Eventually(t, 8*time.Second, "the sign moves", func() bool { return s.Rect() != before })
		x11test.Eventually(t, 8*time.Second, "the sign is whole", func() bool { return s.Rect().In(screen) && whole(a, s.Rect()) })
	}
}

func TestClockGoesOn(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	look := func() []uint32 {
		pix, w := a.Screen()
		r := s.Rect()
		var in []uint32
		for y := r.Min.Y; y < r.Max.Y; y++ {
			in = append(in, pix[y*w+r.Min.X:y*w+r.Max.X]...)
		}
		return in
	}
	screen := func() []uint32 { pix, _ := a.Screen(); return pix }
	first, before := look(), screen()
	x11test.Eventually(t, 5*time.Second, "another time is shown", func() bool { return !slices.Equal(first, look()) })
	now, c := screen(), s.Clock()
	for i := range now {
		if at := image.Pt(i%1280, i/1280); now[i] != before[i] && !at.In(c) {
			t.Fatalf("the time goes on at %v, outside the clock %v", at, c)
		}
	}
	// What was drawn piece by piece is what would be drawn at once.
	checked := make(chan struct{})
	s.tell(func() {
		whole := s.artist.paint(s.state, s.maxWidth()).img
		if !bytes.Equal(whole.Pix, s.picture.img.Pix) {
			t.Error("the ticking clock draws another sign")
		}
		close(checked)
	})
	<-checked
}

func TestCloseTakesTheSignAway(t *testing.T) {
	display := x11test.Start(t, "1280x800x24")
	a := x11test.Connect(t, display)
	s, _ := show(t, display)
	s.Close()
	x11test.Eventually(t, 8*time.Second, "the window is gone", func() bool { return !whole(a, s.Rect()) })
	if err, open := <-s.Err(); open {
		t.Fatalf("an error after Close: %v", err)
	}
}

// TestPictures writes the sign's states as PNG files into the folder named by
// TRAYBELL_PICTURES, for looking at.
func TestPictures(t *testing.T) {
	dir := os.Getenv("TRAYBELL_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	a, err := newArtist(english, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]state{
		"sees": {elapsed: 252 * time.Second}, "controls": {elapsed: 3*time.Hour + 1, controlling: true, hover: endButton}, "paused": {paused: true, hover: pauseButton},
	} {
		f, err := os.Create(dir + "/sign-" + name + ".png")
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, a.paint(s, 1280).img); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}
