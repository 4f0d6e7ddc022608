package desktop

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/damage"
	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xfixes"
	"github.com/jezek/xgb/xproto"
	"golang.org/x/sys/unix"

	"github.com/traybell/traybell/agent/internal/desktop/x11"
	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

// xDisplay is an X11 screen. Wait runs on its own goroutine; everything else is
// called by one goroutine at a time.
type xDisplay struct {
	o      Options
	x      *xgb.Conn
	root   xproto.Window
	damage damage.Damage
	region xfixes.Region
	local  bool
	frame  *encode.Frame
	seg    *segment // nil: pictures come through the socket
	keys   *xInput
	kept   image.Rectangle // holds what changed inside the quiet rectangles and was not yet read

	mu      sync.Mutex // guards what Wait notes
	size    image.Point
	windows map[xproto.Window]image.Rectangle
	noted   uint64 // counts changes of windows
}

// openDisplay connects to an X server and starts watching it.
func openDisplay(o Options) (display, error) {
	name := o.Display
	if name == "" {
		return nil, errors.New("no X display was given: nobody is signed in to a desktop here")
	}
	x, err := x11.Connect(name, o.XAuthority)
	if err != nil {
		return nil, err
	}
	d := &xDisplay{o: o, x: x, local: x11.Local(name), windows: map[xproto.Window]image.Rectangle{}}
	if err := d.start(name); err != nil {
		x.Close()
		return nil, fmt.Errorf("display %s: %w", name, err)
	}
	if !o.ViewOnly { // without an input connection nothing can be injected, whatever is asked
		if d.keys, err = openInput(name, o.XAuthority); err != nil {
			d.Close()
			return nil, fmt.Errorf("display %s: %w", name, err)
		}
	}
	return d, nil
}

func (d *xDisplay) start(name string) error {
	setup := xproto.Setup(d.x)
	screen := setup.DefaultScreen(d.x)
	d.root = screen.Root
	if err := usable(setup, screen); err != nil {
		return err
	}
	for _, ext := range []string{"XFIXES", "DAMAGE"} {
		if !x11.Has(d.x, ext) {
			return fmt.Errorf("the X server lacks the extension %s, without which changes can't be followed", ext)
		}
	}
	if _, err := xfixes.QueryVersion(d.x, 5, 0).Reply(); err != nil {
		return fmt.Errorf("ask version of XFIXES: %w", err)
	}
	if _, err := damage.QueryVersion(d.x, 1, 1).Reply(); err != nil {
		return fmt.Errorf("ask version of DAMAGE: %w", err)
	}
	if err := d.refuseWayland(); err != nil {
		return err
	}
	var err error
	if d.damage, err = damage.NewDamageId(d.x); err != nil {
		return err
	}
	if d.region, err = xfixes.NewRegionId(d.x); err != nil {
		return err
	}
	xfixes.CreateRegion(d.x, d.region, nil)
	if err := damage.CreateChecked(d.x, d.damage, xproto.Drawable(d.root), damage.ReportLevelNonEmpty).Check(); err != nil {
		return fmt.Errorf("watch for changes: %w", err)
	}
	xfixes.SelectCursorInput(d.x, d.root, xfixes.CursorNotifyMaskDisplayCursor)
	xproto.ChangeWindowAttributes(d.x, d.root, xproto.CwEventMask,
		[]uint32{xproto.EventMaskStructureNotify | xproto.EventMaskSubstructureNotify})
	g, err := xproto.GetGeometry(d.x, xproto.Drawable(d.root)).Reply()
	if err != nil {
		return fmt.Errorf("ask the size of the screen: %w", err)
	}
	d.size = image.Pt(int(g.Width), int(g.Height))
	d.listWindows()
	d.local = d.local && x11.Has(d.x, "MIT-SHM")
	d.resize(d.size)
	return nil
}

// usable accepts screens whose pixels are four bytes blue, green, red and unused.
func usable(setup *xproto.SetupInfo, screen *xproto.ScreenInfo) error {
	bpp := byte(0)
	for _, f := range setup.PixmapFormats {
		if f.Depth == screen.RootDepth {
			bpp = f.BitsPerPixel
		}
	}
	for _, depth := range screen.AllowedDepths {
		for _, v := range depth.Visuals {
			if v.VisualId == screen.RootVisual && bpp == 32 && setup.ImageByteOrder == xproto.ImageOrderLSBFirst &&
				v.RedMask == 0xff0000 && v.GreenMask == 0xff00 && v.BlueMask == 0xff {
				return nil
			}
		}
	}
	return fmt.Errorf("a screen of depth %d with %d bits a pixel can't be shown yet, only true colour with 8 bits a colour", screen.RootDepth, bpp)
}

// refuseWayland tells an X server that only serves X programs within a Wayland
// session from a real one: its screen stays black.
func (d *xDisplay) refuseWayland() error {
	const name = "XWAYLAND"
	wayland := false
	if r, err := xproto.QueryExtension(d.x, uint16(len(name)), name).Reply(); err == nil && r.Present {
		wayland = true
	}
	if !wayland && x11.Has(d.x, "RANDR") {
		if r, err := randr.GetScreenResourcesCurrent(d.x, d.root).Reply(); err == nil {
			for _, o := range r.Outputs {
				if i, err := randr.GetOutputInfo(d.x, o, r.ConfigTimestamp).Reply(); err == nil && strings.HasPrefix(string(i.Name), name) {
					wayland = true
				}
			}
		}
	}
	if wayland {
		return errors.New("this is a Wayland session, which can't be shown yet; sign in with an X11 session to be helped here")
	}
	return nil
}

func (d *xDisplay) Size() image.Point {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

func (d *xDisplay) Wait() (event, error) {
	for {
		ev, xerr := d.x.WaitForEvent()
		switch e := ev.(type) {
		case nil:
			if xerr == nil {
				return 0, errors.New("the X server closed the connection")
			}
		case damage.NotifyEvent:
			return pictureChanged, nil
		case xfixes.CursorNotifyEvent:
			return cursorChanged, nil
		case xproto.ConfigureNotifyEvent:
			if e.Window == d.root {
				d.mu.Lock()
				d.size = image.Pt(int(e.Width), int(e.Height))
				d.mu.Unlock()
				return sizeChanged, nil
			}
			d.note(e.Window, outer(e.X, e.Y, e.Width, e.Height, e.BorderWidth))
		case xproto.CreateNotifyEvent:
			d.note(e.Window, outer(e.X, e.Y, e.Width, e.Height, e.BorderWidth))
		case xproto.DestroyNotifyEvent:
			d.note(e.Window, image.Rectangle{})
		case xproto.ReparentNotifyEvent:
			if e.Parent != d.root {
				d.note(e.Window, image.Rectangle{})
			}
		}
	}
}

func outer(x, y int16, w, h, border uint16) image.Rectangle {
	return image.Rect(int(x), int(y), int(x)+int(w)+2*int(border), int(y)+int(h)+2*int(border))
}

// maxWindows bounds what a program that opens windows without end costs us.
const maxWindows = 1000

func (d *xDisplay) note(w xproto.Window, r image.Rectangle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Empty() {
		delete(d.windows, w)
	} else if _, known := d.windows[w]; known || len(d.windows) < maxWindows {
		d.windows[w] = r
	}
	d.noted++
}

func (d *xDisplay) listWindows() {
	tree, err := xproto.QueryTree(d.x, d.root).Reply()
	if err != nil {
		return // only move hints are lost
	}
	for _, w := range tree.Children[:min(len(tree.Children), maxWindows)] {
		if g, err := xproto.GetGeometry(d.x, xproto.Drawable(w)).Reply(); err == nil {
			d.note(w, outer(g.X, g.Y, g.Width, g.Height, g.BorderWidth))
		}
	}
}

func (d *xDisplay) Windows(since uint64, into map[uint32]image.Rectangle) (uint64, []encode.Move) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since == d.noted {
		return since, nil
	}
	var moves []encode.Move
	for w, r := range d.windows {
		old, known := into[uint32(w)]
		if known && old != r && old.Size() == r.Size() && since != 0 {
			moves = append(moves, encode.Move{Dst: r, Src: old.Min})
		}
		into[uint32(w)] = r
	}
	for w := range into {
		if _, known := d.windows[xproto.Window(w)]; !known {
			delete(into, w)
		}
	}
	return d.noted, moves
}

func (d *xDisplay) resize(size image.Point) {
	if d.seg != nil {
		d.seg.close(d.x)
		d.seg = nil
	}
	if d.local {
		if s, err := newSegment(d.x, size.X*size.Y*4); err == nil {
			d.seg = s
			d.frame = encode.FrameOf(size.X, size.Y, s.pixels())
			return
		}
		d.local = false // another container or user: memory can't be shared
	}
	d.frame = encode.NewFrame(size.X, size.Y)
}

func (d *xDisplay) Grab(all bool, quiet []image.Rectangle) (grabbed, error) {
	size := d.Size()
	g := grabbed{}
	if f := d.frame; f.W != size.X || f.H != size.Y {
		d.resize(size)
		all, g.resized = true, true
	}
	// Subtract always: without it the X server sends no further event.
	damage.Subtract(d.x, d.damage, 0, d.region)
	var bands []band
	if all {
		damage.Subtract(d.x, d.damage, 0, 0)
		bands = []band{{0, size.Y}}
		g.dirty = []image.Rectangle{d.frame.Bounds()}
		d.kept = image.Rectangle{}
	} else {
		r, err := xfixes.FetchRegion(d.x, d.region).Reply()
		if err != nil {
			return g, fmt.Errorf("ask what changed: %w", err)
		}
		n := min(len(r.Rectangles), int(r.Length)/2)
		for _, c := range r.Rectangles[:n] {
			b := image.Rect(int(c.X), int(c.Y), int(c.X)+int(c.Width), int(c.Y)+int(c.Height)).Intersect(d.frame.Bounds())
			if !b.Empty() {
				g.dirty = append(g.dirty, b)
			}
		}
		if len(quiet) > 0 && within(g.dirty, quiet) {
			for _, r := range g.dirty {
				d.kept = d.kept.Union(r)
			}
			return grabbed{frame: d.frame, resized: g.resized, kept: !d.kept.Empty()}, nil
		}
		if r := d.kept.Intersect(d.frame.Bounds()); !r.Empty() {
			g.dirty, d.kept = append(g.dirty, r), image.Rectangle{}
			slices.SortFunc(g.dirty, func(a, b image.Rectangle) int { return a.Min.Y - b.Min.Y })
		}
		bands = bandsOf(g.dirty)
	}
	g.frame = d.frame
	return g, d.read(bands)
}

// within reports whether each of the rectangles lies in one of the others.
func within(rects, others []image.Rectangle) bool {
	for _, r := range rects {
		if !slices.ContainsFunc(others, r.In) {
			return false
		}
	}
	return true
}

// A band is rows from top to end, over the screen's whole width: that is how the
// X server can write straight to their place in the shared frame.
type band struct{ top, end int }

// bandsOf covers rectangles, which X lists from top to bottom, by few bands.
func bandsOf(rects []image.Rectangle) []band {
	const gap = 24 // rows read in vain are cheaper than another request
	var bands []band
	for _, r := range rects {
		if n := len(bands); n > 0 && r.Min.Y <= bands[n-1].end+gap {
			bands[n-1].end = max(bands[n-1].end, r.Max.Y)
			continue
		}
		bands = append(bands, band{r.Min.Y, r.Max.Y})
	}
	return bands
}

func (d *xDisplay) read(bands []band) error {
	w := d.frame.W
	if d.seg != nil {
		cookies := make([]shm.GetImageCookie, len(bands))
		for i, b := range bands {
			cookies[i] = shm.GetImage(d.x, xproto.Drawable(d.root), 0, int16(b.top), uint16(w), uint16(b.end-b.top),
				0xffffffff, xproto.ImageFormatZPixmap, d.seg.id, uint32(b.top*w*4))
		}
		for _, c := range cookies {
			if _, err := c.Reply(); err != nil {
				return d.readError(err)
			}
		}
		return nil
	}
	for _, b := range bands {
		const rows = 256 // a reply of a few megabytes at most
		for y := b.top; y < b.end; y += rows {
			h := min(rows, b.end-y)
			r, err := xproto.GetImage(d.x, xproto.ImageFormatZPixmap, xproto.Drawable(d.root), 0, int16(y), uint16(w), uint16(h), 0xffffffff).Reply()
			if err != nil {
				return d.readError(err)
			}
			copy(d.frame.Bytes()[y*w*4:(y+h)*w*4], r.Data)
		}
	}
	return nil
}

// readError tells a screen that has just become smaller, for which the event is on its way, from a broken one.
func (d *xDisplay) readError(err error) error {
	g, gerr := xproto.GetGeometry(d.x, xproto.Drawable(d.root)).Reply()
	if gerr == nil && (int(g.Width) != d.frame.W || int(g.Height) != d.frame.H) {
		d.mu.Lock()
		d.size = image.Pt(int(g.Width), int(g.Height))
		d.mu.Unlock()
		return errSizeChanged
	}
	return fmt.Errorf("read the screen: %w", err)
}

func (d *xDisplay) Cursor() (rfb.Cursor, error) {
	r, err := xfixes.GetCursorImage(d.x).Reply()
	if err != nil {
		return rfb.Cursor{}, fmt.Errorf("read the pointer's shape: %w", err)
	}
	c := rfb.Cursor{W: int(r.Width), H: int(r.Height), HotX: int(r.Xhot), HotY: int(r.Yhot)}
	if c.W*c.H > len(r.CursorImage) || c.W > 1024 || c.H > 1024 {
		return rfb.Cursor{}, fmt.Errorf("pointer of %d×%d pixels", c.W, c.H)
	}
	c.Pix = make([]byte, 0, c.W*c.H*4)
	for _, p := range r.CursorImage[:c.W*c.H] {
		a := p >> 24
		plain := func(v uint32) byte { // X multiplies colours by alpha
			if a == 0 {
				return 0
			}
			return byte(min(255, v&0xff*255/a))
		}
		c.Pix = append(c.Pix, plain(p>>16), plain(p>>8), plain(p), byte(a))
	}
	return c, nil
}

func (d *xDisplay) Pointer() (image.Point, error) {
	p, err := xproto.QueryPointer(d.x, d.root).Reply()
	if err != nil {
		return image.Point{}, fmt.Errorf("ask where the pointer is: %w", err)
	}
	return image.Pt(int(p.RootX), int(p.RootY)), nil
}

func (d *xDisplay) WatchPointer(moved func()) (stop func(), err error) {
	p, err := x11.WatchPointer(d.o.Display, d.o.XAuthority)
	if err != nil {
		return nil, err
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		for p.Wait() == nil { // an error is the end: of us or of the X server, which Wait above reports
			moved()
		}
	})
	return func() {
		p.Close()
		watch.Wait()
	}, nil
}

func (d *xDisplay) Input() input {
	if d.keys == nil {
		return nil
	}
	return d.keys
}

func (d *xDisplay) Close() error {
	var err error
	if d.keys != nil {
		err = d.keys.close()
	}
	if d.seg != nil {
		d.seg.close(d.x)
	}
	d.x.Close()
	return err
}

// A segment is memory that the X server writes pictures into.
type segment struct {
	id  shm.Seg
	mem []byte
}

func newSegment(x *xgb.Conn, size int) (*segment, error) {
	key, err := unix.SysvShmGet(unix.IPC_PRIVATE, size, unix.IPC_CREAT|0o600)
	if err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	// The segment goes when the last of us detaches, so also when this process is killed.
	defer unix.SysvShmCtl(key, unix.IPC_RMID, nil)
	mem, err := unix.SysvShmAttach(key, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("attach shared memory: %w", err)
	}
	s := &segment{mem: mem}
	if s.id, err = shm.NewSegId(x); err == nil {
		err = shm.AttachChecked(x, s.id, uint32(key), false).Check()
	}
	if err != nil {
		unix.SysvShmDetach(mem)
		return nil, fmt.Errorf("share memory with the X server: %w", err)
	}
	return s, nil
}

// pixels is the shared memory as pixels.
func (s *segment) pixels() []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(&s.mem[0])), len(s.mem)/4)
}

func (s *segment) close(x *xgb.Conn) {
	shm.Detach(x, s.id)
	unix.SysvShmDetach(s.mem)
}
