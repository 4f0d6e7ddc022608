// Package desktop shows this computer's screen to RFB viewers and carries out
// their keys and pointer events.
//
// It hides how the screen is read and input is made (X11 so far), how little of
// a change needs sending, and how much a viewer's line takes. It promises that
// an idle screen costs nothing, that a viewer ends with the exact picture, that
// nothing is ever injected when opened view-only, and that nothing is injected
// nor shown anew while frozen or paused. The session program is its caller: one
// Desktop for a session, one Serve for each viewer.
package desktop

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

// Options say which screen to open, and how.
type Options struct {
	Display    string       // X display, such as ":0"
	XAuthority string       // the display's authority file, read by this process; empty means the usual one
	ViewOnly   bool         // no input is ever injected
	Name       string       // the desktop's name told to viewers
	Logger     *slog.Logger // nil discards
}

// Desktop is an open screen.
type Desktop struct {
	o    Options
	log  *slog.Logger
	disp display

	viewers atomic.Pointer[[]*viewer] // replaced under mu, so that waking them takes no lock
	changed atomic.Bool               // the picture changed since the last grab
	pointed atomic.Bool               // the pointer's shape changed
	moved   atomic.Bool               // the pointer moved

	mu        sync.Mutex // the screen: calls of disp except Wait and Input, and all below
	frame     *encode.Frame
	frozen    bool
	paused    bool
	cursor    rfb.Cursor
	cursorGen int
	at        image.Point // of the pointer
	unwatch   func()      // ends watching the pointer, which is done while there are viewers
	quiet     []func() image.Rectangle
	kept      time.Time // since when a quiet change waits; zero: none does
	failed    error

	inMu   sync.Mutex // injection; taken after mu where both are
	deaf   bool       // frozen or paused
	guards []func() image.Rectangle

	seen, controlled atomic.Int64  // Unix nanoseconds
	used             chan struct{} // one slot
	watch            sync.WaitGroup
	down             chan struct{} // closed when the display can no longer be watched
}

// ErrClosed is returned by Serve when the Desktop was closed.
var ErrClosed = errors.New("desktop closed")

// Open connects to the screen. The error says what is missing, in words for the
// technician: no display, no permission, an extension, a Wayland session, or a
// system whose screen can't be shown yet.
func Open(o Options) (*Desktop, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	disp, err := openDisplay(o)
	if err != nil {
		return nil, err
	}
	d := &Desktop{o: o, log: o.Logger, disp: disp, down: make(chan struct{}), used: make(chan struct{}, 1)}
	d.viewers.Store(&[]*viewer{})
	d.pointed.Store(true)
	g, err := disp.Grab(true, nil)
	for errors.Is(err, errSizeChanged) {
		g, err = disp.Grab(true, nil)
	}
	if err != nil {
		disp.Close()
		return nil, err
	}
	d.frame = g.frame
	d.watch.Go(d.watchDisplay)
	return d, nil
}

func (d *Desktop) watchDisplay() {
	defer close(d.down)
	for {
		ev, err := d.disp.Wait()
		if err != nil {
			d.mu.Lock()
			if d.failed == nil {
				d.failed = err
			}
			d.mu.Unlock()
			d.wake()
			return
		}
		if ev == cursorChanged {
			d.pointed.Store(true)
		} else {
			d.changed.Store(true)
		}
		d.wake()
	}
}

func (d *Desktop) wake() {
	for _, v := range *d.viewers.Load() {
		v.wake()
	}
}

// Serve shows the screen to one viewer until it goes, ctx ends, or the screen
// can no longer be read. The channel must already be authorised. Keys and
// buttons that the viewer holds are let go before it returns, and conn is
// closed. A viewer that says goodbye is no error.
func (d *Desktop) Serve(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	v, err := d.join(conn)
	if err != nil {
		return d.why(ctx, err)
	}
	defer d.leave(v)
	return d.why(ctx, v.run(ctx))
}

func (d *Desktop) why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

const handshakeTime = 30 * time.Second

func (d *Desktop) join(conn net.Conn) (*viewer, error) {
	conn.SetDeadline(time.Now().Add(handshakeTime))
	size := d.disp.Size()
	if err := rfb.Accept(conn, size.X, size.Y, d.o.Name); err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	v := newViewer(d, conn, size)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return nil, d.failed
	}
	all := append([]*viewer{v}, *d.viewers.Load()...)
	d.viewers.Store(&all)
	if d.unwatch == nil {
		d.moved.Store(true)
		stop, err := d.disp.WatchPointer(func() {
			if !d.moved.Swap(true) {
				d.wake()
			}
		})
		if err != nil { // viewers then don't see where the user points
			d.log.Info("pointer can't be watched", "err", err)
			stop = func() {}
		}
		d.unwatch = stop
	}
	return v, nil
}

func (d *Desktop) leave(v *viewer) {
	d.mu.Lock()
	var rest []*viewer
	for _, o := range *d.viewers.Load() {
		if o != v {
			rest = append(rest, o)
		}
	}
	d.viewers.Store(&rest)
	if len(rest) == 0 {
		d.stopWatching()
	}
	d.mu.Unlock()
	d.inMu.Lock()
	defer d.inMu.Unlock()
	if err := d.letGo(v); err != nil {
		d.log.Warn("release keys of viewer", "err", err)
	}
}

// stopWatching ends watching the pointer. The caller holds mu.
func (d *Desktop) stopWatching() {
	if d.unwatch != nil {
		d.unwatch()
		d.unwatch = nil
	}
}

// refresh brings the frame up to date and notes in every viewer what may have
// changed. The caller holds mu.
func (d *Desktop) refresh(now time.Time) error {
	if d.failed != nil {
		return d.failed
	}
	due := !d.kept.IsZero() && now.Sub(d.kept) >= quietFor
	if d.changed.Swap(false) || due {
		var quiet []image.Rectangle
		if !due {
			for _, q := range d.quiet {
				quiet = append(quiet, q())
			}
		}
		g, err := d.disp.Grab(false, quiet)
		for tries := 0; errors.Is(err, errSizeChanged) && tries < 10; tries++ {
			g, err = d.disp.Grab(true, nil)
			g.resized = true
		}
		if err != nil {
			d.failed = fmt.Errorf("show the screen: %w", err)
			return d.failed
		}
		d.frame = g.frame
		switch {
		case !g.kept:
			d.kept = time.Time{}
		case d.kept.IsZero():
			d.kept = now
		}
		for _, v := range *d.viewers.Load() {
			v.note(g)
		}
	}
	if d.pointed.Swap(false) {
		c, err := d.disp.Cursor()
		if err != nil {
			d.log.Debug("read cursor", "err", err) // the last shape stays
		} else {
			d.cursor = c
			d.cursorGen++
		}
	}
	if d.moved.Swap(false) {
		at, err := d.disp.Pointer()
		if err != nil {
			d.failed = fmt.Errorf("show the screen: %w", err)
			return d.failed
		}
		d.at = at
	}
	return nil
}

// Freeze opens or closes the time in which viewers keep the last picture and
// all their input is dropped: while a consent, grant or credentials window is
// open. Keys and buttons held are let go. Once it has returned, no event of a
// viewer is carried out until unfrozen.
func (d *Desktop) Freeze(frozen bool) {
	d.mu.Lock()
	d.frozen = frozen
	d.silence()
	d.mu.Unlock()
	d.wake()
}

// Pause blanks the picture and drops all input: for typing a password. Like
// with Freeze, no event is carried out once it has returned.
func (d *Desktop) Pause(paused bool) {
	d.mu.Lock()
	d.paused = paused
	d.silence()
	d.mu.Unlock()
	d.wake()
}

// silence makes injection follow frozen and paused. The caller holds mu.
func (d *Desktop) silence() {
	d.inMu.Lock()
	defer d.inMu.Unlock()
	d.deaf = d.frozen || d.paused
	if !d.deaf {
		return
	}
	for _, v := range *d.viewers.Load() {
		if err := d.letGo(v); err != nil {
			d.log.Warn("release keys of viewer", "err", err)
		}
	}
}

// Guard protects a rectangle of the screen, such as the sign: buttons that a
// viewer presses there are not carried out. rect is asked at each press and may
// be called from any goroutine; it must not call the Desktop.
func (d *Desktop) Guard(rect func() image.Rectangle) {
	d.inMu.Lock()
	defer d.inMu.Unlock()
	d.guards = append(d.guards, rect)
}

// quietFor is how long a change inside a quiet rectangle may wait.
const quietFor = 10 * time.Second

// Quiet names a rectangle, such as the clock in the sign, whose changes may
// wait: while nothing else changes they are sent every ten seconds, otherwise
// with the next change. rect is asked whenever something changes and may be
// called from any goroutine; it must not call the Desktop.
func (d *Desktop) Quiet(rect func() image.Rectangle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quiet = append(d.quiet, rect)
}

// Use has a value when a viewer was first sent a picture, and when input was
// carried out after a pause of at least InputPause; one receiver.
func (d *Desktop) Use() <-chan struct{} { return d.used }

func (d *Desktop) use() {
	select {
	case d.used <- struct{}{}:
	default:
	}
}

// InputPause is how long no input is carried out before Use tells it anew.
const InputPause = time.Second

func (d *Desktop) carried(now time.Time) {
	if now.UnixNano()-d.controlled.Swap(now.UnixNano()) >= int64(InputPause) {
		d.use()
	}
}

// Used returns when a viewer was last sent a picture and when input was last
// carried out; zero when never.
func (d *Desktop) Used() (seen, controlled time.Time) {
	at := func(v int64) time.Time {
		if v == 0 {
			return time.Time{}
		}
		return time.Unix(0, v)
	}
	return at(d.seen.Load()), at(d.controlled.Load())
}

// Close ends all viewers and gives back what was changed in the display. Serve
// calls return ErrClosed.
func (d *Desktop) Close() error {
	d.mu.Lock()
	if d.failed == nil {
		d.failed = ErrClosed
	}
	d.silence()
	d.inMu.Lock()
	d.deaf = true
	for _, v := range *d.viewers.Load() {
		d.letGo(v)
		v.conn.Close()
	}
	d.inMu.Unlock()
	d.stopWatching()
	d.mu.Unlock()
	d.wake()
	err := d.disp.Close()
	d.watch.Wait()
	return err
}
