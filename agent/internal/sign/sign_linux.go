package sign

import (
	"errors"
	"fmt"
	"image"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/shape"
	"github.com/jezek/xgb/xproto"

	"github.com/traybell/traybell/agent/internal/desktop/x11"
)

const (
	checkAfter = 40 * time.Millisecond  // a burst of changed windows is looked at once
	checkAgain = 250 * time.Millisecond // while something covers the sign
	patience   = 5 * time.Second        // covered for longer, the sign is not kept
)

// Sign is a shown sign. Its methods may be called from any goroutine.
type Sign struct {
	o       Options
	log     *slog.Logger
	x       *xgb.Conn
	root    xproto.Window
	win     xproto.Window
	gc      xproto.Gcontext
	pixmap  xproto.Pixmap // what the window shows
	depth   byte
	artist  *artist
	rect    atomic.Pointer[image.Rectangle]
	clock   atomic.Pointer[image.Rectangle] // of the window
	do      chan func()
	events  chan xgb.Event
	errs    chan error
	calls   chan func()
	quit    chan struct{} // closed by Close
	over    chan struct{} // closed when loop ends
	closing sync.Once
	gone    sync.WaitGroup

	// Of the goroutine that runs loop alone.
	state        state
	picture      picture
	screens      []image.Rectangle
	drag         *image.Point // from the window's corner to the pointer
	holds        part         // the button that was pressed
	coveredSince time.Time
	endKey       xproto.Keycode
	shapes       bool
}

// Show puts the sign on the screen. It returns only after the window is mapped and drawn.
func Show(o Options) (*Sign, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	x, err := x11.Connect(o.Display, o.XAuthority)
	if err != nil {
		return nil, fmt.Errorf("show the sign: %w", err)
	}
	s := &Sign{
		o: o, log: o.Logger, x: x,
		do: make(chan func()), events: make(chan xgb.Event, 64), errs: make(chan error, 1),
		calls: make(chan func(), 16), quit: make(chan struct{}), over: make(chan struct{}),
	}
	if err := s.create(); err != nil {
		x.Close()
		return nil, fmt.Errorf("show the sign: %w", err)
	}
	s.gone.Go(s.read)
	s.gone.Go(s.loop)
	go s.callBack() // ends with the last call; Close doesn't wait for it, since a call may close the sign
	return s, nil
}

func (s *Sign) create() error {
	setup := xproto.Setup(s.x)
	screen := setup.DefaultScreen(s.x)
	s.root, s.depth = screen.Root, screen.RootDepth
	ok := false
	for _, f := range setup.PixmapFormats {
		ok = ok || f.Depth == s.depth && f.BitsPerPixel == 32 && setup.ImageByteOrder == xproto.ImageOrderLSBFirst
	}
	if !ok {
		return fmt.Errorf("a screen of depth %d is not supported", s.depth)
	}
	s.shapes = x11.Has(s.x, "SHAPE")
	var err error
	if s.artist, err = newArtist(s.o.Texts, s.scale()); err != nil {
		return err
	}
	s.readScreens()
	s.state.elapsed = time.Since(s.o.Since)
	s.picture = s.artist.paint(s.state, s.maxWidth())
	size := s.picture.img.Bounds().Size()
	first := s.screens[0]
	r := inside(image.Rect(0, 0, size.X, size.Y).Add(image.Pt(first.Min.X+(first.Dx()-size.X)/2, first.Min.Y+s.artist.px(8))), s.screens)
	s.rect.Store(&r)
	if s.win, err = xproto.NewWindowId(s.x); err != nil {
		return err
	}
	const mask = xproto.EventMaskButtonPress | xproto.EventMaskButtonRelease | xproto.EventMaskPointerMotion | xproto.EventMaskLeaveWindow |
		xproto.EventMaskVisibilityChange | xproto.EventMaskStructureNotify | xproto.EventMaskPropertyChange
	if err := xproto.CreateWindowChecked(s.x, s.depth, s.win, s.root, int16(r.Min.X), int16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()), 0,
		xproto.WindowClassInputOutput, screen.RootVisual, xproto.CwOverrideRedirect|xproto.CwEventMask, []uint32{1, mask}).Check(); err != nil {
		return fmt.Errorf("make window: %w", err)
	}
	const name = "Traybell"
	xproto.ChangeProperty(s.x, xproto.PropModeReplace, s.win, xproto.AtomWmName, xproto.AtomString, 8, uint32(len(name)), []byte(name))
	if s.gc, err = xproto.NewGcontextId(s.x); err != nil {
		return err
	}
	xproto.CreateGC(s.x, s.gc, xproto.Drawable(s.win), xproto.GcGraphicsExposures, []uint32{0})
	s.show()
	if s.shapes {
		shape.SelectInput(s.x, s.win, true)
	}
	xproto.ChangeWindowAttributes(s.x, s.root, xproto.CwEventMask, []uint32{xproto.EventMaskSubstructureNotify | xproto.EventMaskStructureNotify})
	s.grabEndKey()
	if err := xproto.MapWindowChecked(s.x, s.win).Check(); err != nil {
		return fmt.Errorf("map window: %w", err)
	}
	s.raise()
	a, err := xproto.GetWindowAttributes(s.x, s.win).Reply()
	if err != nil {
		return fmt.Errorf("look at window: %w", err)
	}
	if a.MapState != xproto.MapStateViewable {
		return errors.New("the window is not visible")
	}
	return nil
}

// scale follows the resolution that the desktop tells programs, Xft.dpi.
func (s *Sign) scale() float64 {
	p, err := xproto.GetProperty(s.x, false, s.root, xproto.AtomResourceManager, xproto.AtomString, 0, 16384).Reply()
	if err != nil {
		return 1
	}
	for line := range strings.Lines(string(p.Value)) {
		if v, ok := strings.CutPrefix(line, "Xft.dpi:"); ok {
			if dpi, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
				return max(1, min(4, dpi/96))
			}
		}
	}
	return 1
}

func (s *Sign) maxWidth() int { return s.screens[0].Dx() }

// show puts the drawn picture into the window as its background, so that the X
// server itself repaints what was covered.
func (s *Sign) show() {
	b := s.picture.img.Bounds()
	pixmap, err := xproto.NewPixmapId(s.x)
	if err != nil {
		return // the connection is gone, which read reports
	}
	xproto.CreatePixmap(s.x, s.depth, pixmap, xproto.Drawable(s.win), uint16(b.Dx()), uint16(b.Dy()))
	if s.pixmap != 0 {
		xproto.FreePixmap(s.x, s.pixmap)
	}
	s.pixmap = pixmap
	clock := s.picture.clock
	s.clock.Store(&clock)
	s.put(b)
	xproto.ChangeWindowAttributes(s.x, s.win, xproto.CwBackPixmap, []uint32{uint32(pixmap)})
	xproto.ClearArea(s.x, false, s.win, 0, 0, 0, 0)
}

// put copies a part of the drawn picture to the pixmap, in requests that any server takes.
func (s *Sign) put(r image.Rectangle) {
	rows := max(1, 200_000/(r.Dx()*4))
	for y := r.Min.Y; y < r.Max.Y; y += rows {
		h := min(rows, r.Max.Y-y)
		data := make([]byte, 0, r.Dx()*h*4)
		for row := y; row < y+h; row++ {
			p := s.picture.img.Pix[s.picture.img.PixOffset(r.Min.X, row):]
			for ; len(data) < (row-y+1)*r.Dx()*4; p = p[4:] {
				data = append(data, p[2], p[1], p[0], 0)
			}
		}
		xproto.PutImage(s.x, xproto.ImageFormatZPixmap, xproto.Drawable(s.pixmap), s.gc, uint16(r.Dx()), uint16(h), int16(r.Min.X), int16(y), 0, s.depth, data)
	}
}

// tick shows the time going on.
func (s *Sign) tick() {
	s.state.elapsed = time.Since(s.o.Since)
	if s.state.paused {
		return
	}
	if !s.artist.tick(s.picture, s.state.elapsed) {
		s.redraw()
		return
	}
	c := s.picture.clock
	s.put(c)
	xproto.ClearArea(s.x, false, s.win, int16(c.Min.X), int16(c.Min.Y), uint16(c.Dx()), uint16(c.Dy()))
}

func (s *Sign) raise() {
	xproto.ConfigureWindow(s.x, s.win, xproto.ConfigWindowStackMode, []uint32{xproto.StackModeAbove})
}

// grabEndKey takes Ctrl+Alt+Shift+E, with and without the locks. Where another
// program has it, the button remains.
func (s *Sign) grabEndKey() {
	setup := xproto.Setup(s.x)
	m, err := xproto.GetKeyboardMapping(s.x, setup.MinKeycode, byte(int(setup.MaxKeycode)-int(setup.MinKeycode)+1)).Reply()
	if err != nil || m.KeysymsPerKeycode == 0 {
		return
	}
	for i := 0; i < len(m.Keysyms); i += int(m.KeysymsPerKeycode) {
		if m.Keysyms[i] == 'e' {
			s.endKey = setup.MinKeycode + xproto.Keycode(i/int(m.KeysymsPerKeycode))
			break
		}
	}
	if s.endKey == 0 {
		return
	}
	const chord = xproto.ModMaskControl | xproto.ModMask1 | xproto.ModMaskShift
	for _, locks := range []uint16{0, xproto.ModMaskLock, xproto.ModMask2, xproto.ModMaskLock | xproto.ModMask2} {
		if err := xproto.GrabKeyChecked(s.x, true, s.root, chord|locks, s.endKey, xproto.GrabModeAsync, xproto.GrabModeAsync).Check(); err != nil {
			s.log.Info("end key is taken by another program", "err", err)
			return
		}
	}
}

// read passes events on until the connection ends.
func (s *Sign) read() {
	defer close(s.events)
	for {
		ev, err := s.x.WaitForEvent()
		if ev == nil && err == nil {
			return
		}
		if ev == nil {
			continue
		}
		select {
		case s.events <- ev:
		case <-s.quit:
			// keep reading, so that the library can end
		}
	}
}

func (s *Sign) callBack() {
	for {
		select {
		case f := <-s.calls:
			f()
		case <-s.quit:
			return
		}
	}
}

func (s *Sign) loop() {
	defer close(s.errs)
	defer close(s.over)
	tick := time.NewTimer(untilTick(s.state.elapsed))
	check := time.NewTimer(checkAfter)
	defer tick.Stop()
	defer check.Stop()
	due := true // a check is set
	soon := func(d time.Duration) {
		if !due {
			due = true
			check.Reset(d)
		}
	}
	for {
		select {
		case <-s.quit:
			return
		case f := <-s.do:
			f()
			s.redraw()
		case <-tick.C:
			s.tick()
			tick.Reset(untilTick(s.state.elapsed))
		case <-check.C:
			due = false
			again, err := s.keep()
			if err != nil {
				s.fail(err)
				return
			}
			if again {
				soon(checkAgain)
			}
		case ev, ok := <-s.events:
			if !ok {
				s.fail(errors.New("the X server closed the connection"))
				return
			}
			if err := s.handle(ev); err != nil {
				s.fail(err)
				return
			}
			switch e := ev.(type) {
			case xproto.ConfigureNotifyEvent:
				if e.Window != s.win || e.Event == s.root {
					soon(checkAfter)
				}
			case xproto.VisibilityNotifyEvent, xproto.MapNotifyEvent, xproto.UnmapNotifyEvent, xproto.CirculateNotifyEvent, shape.NotifyEvent:
				soon(checkAfter)
			}
		}
	}
}

func (s *Sign) fail(err error) {
	select {
	case <-s.quit:
	default:
		s.log.Warn("sign can't be kept", "err", err)
		s.errs <- fmt.Errorf("keep the sign: %w", err)
	}
}

func (s *Sign) handle(ev xgb.Event) error {
	switch e := ev.(type) {
	case xproto.DestroyNotifyEvent:
		if e.Window == s.win {
			return errors.New("another program destroyed its window")
		}
	case xproto.ReparentNotifyEvent:
		if e.Window == s.win && e.Parent != s.root {
			return errors.New("another program took its window")
		}
	case xproto.UnmapNotifyEvent:
		if e.Window == s.win {
			xproto.MapWindow(s.x, s.win)
			s.raise()
		}
	case xproto.ConfigureNotifyEvent:
		if e.Window == s.root {
			s.readScreens()
			s.place(*s.rect.Load())
		}
	case xproto.PropertyNotifyEvent:
		if e.State == xproto.PropertyNewValue && s.transparency(e.Atom) {
			xproto.DeleteProperty(s.x, s.win, e.Atom)
		}
	case xproto.MotionNotifyEvent:
		s.motion(image.Pt(int(e.EventX), int(e.EventY)), image.Pt(int(e.RootX), int(e.RootY)))
	case xproto.LeaveNotifyEvent:
		if s.drag == nil {
			s.hover(body)
		}
	case xproto.ButtonPressEvent:
		if e.Detail == 1 {
			s.press(image.Pt(int(e.EventX), int(e.EventY)))
		}
	case xproto.ButtonReleaseEvent:
		if e.Detail == 1 {
			s.release(image.Pt(int(e.EventX), int(e.EventY)))
		}
	case xproto.KeyPressEvent:
		if e.Detail == s.endKey {
			s.call(s.o.OnEnd)
		}
	}
	return nil
}

// transparency reports whether an atom names the property by which a program could make the window transparent.
func (s *Sign) transparency(a xproto.Atom) bool {
	n, err := xproto.GetAtomName(s.x, a).Reply()
	return err == nil && n.Name == "_NET_WM_WINDOW_OPACITY"
}

func (s *Sign) call(f func()) {
	if f == nil {
		return
	}
	select {
	case s.calls <- f:
	default: // sixteen clicks wait already
	}
}

func (s *Sign) hover(p part) {
	if s.state.hover != p {
		s.state.hover = p
		s.redraw()
	}
}

func (s *Sign) motion(in, root image.Point) {
	if s.drag == nil {
		s.hover(s.picture.at(in))
		return
	}
	r := *s.rect.Load()
	at := root.Sub(*s.drag)
	s.place(image.Rectangle{Min: at, Max: at.Add(r.Size())})
}

func (s *Sign) press(at image.Point) {
	if s.holds = s.picture.at(at); s.holds == body {
		s.drag = &at
	}
}

func (s *Sign) release(at image.Point) {
	s.drag = nil
	pressed := s.holds
	s.holds = body
	if pressed == body || s.picture.at(at) != pressed {
		return
	}
	if pressed == endButton {
		s.call(s.o.OnEnd)
		return
	}
	if pause := !s.state.paused; s.o.OnPause != nil {
		s.call(func() { s.o.OnPause(pause) })
	}
}

// place moves the window, as far as it stays on the screen.
func (s *Sign) place(r image.Rectangle) {
	r = inside(r, s.screens)
	s.rect.Store(&r)
	xproto.ConfigureWindow(s.x, s.win, xproto.ConfigWindowX|xproto.ConfigWindowY|xproto.ConfigWindowWidth|xproto.ConfigWindowHeight,
		[]uint32{uint32(int32(r.Min.X)), uint32(int32(r.Min.Y)), uint32(r.Dx()), uint32(r.Dy())})
}

func (s *Sign) redraw() {
	old := *s.rect.Load()
	s.picture = s.artist.paint(s.state, s.maxWidth())
	size := s.picture.img.Bounds().Size()
	if size != old.Size() {
		s.place(image.Rectangle{Min: old.Min, Max: old.Min.Add(size)})
	}
	s.show()
}

// tell runs f on the loop's goroutine, unless the sign is gone.
func (s *Sign) tell(f func()) {
	select {
	case s.do <- f:
	case <-s.quit:
	case <-s.over:
	}
}

// Controlling tells the sign whether the technician's input is used now.
func (s *Sign) Controlling(on bool) {
	s.tell(func() { s.state.controlling = on })
}

// Paused tells the sign whether the session is paused.
func (s *Sign) Paused(on bool) {
	s.tell(func() { s.state.paused = on })
}

// Rect is where the sign is on the screen.
func (s *Sign) Rect() image.Rectangle { return *s.rect.Load() }

// Clock is where the sign shows the time going on, on the screen: the only part
// that changes though nothing has happened. Empty when none is shown.
func (s *Sign) Clock() image.Rectangle {
	c := *s.clock.Load()
	if c.Empty() {
		return c
	}
	return c.Add(s.rect.Load().Min)
}

// Err receives one error when the sign could not be kept, and is closed when the
// sign is gone, for whatever reason.
func (s *Sign) Err() <-chan error { return s.errs }

// Close takes the sign away.
func (s *Sign) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		xproto.DestroyWindow(s.x, s.win)
		s.x.Close()
		s.gone.Wait()
	})
	return nil
}
