package desktop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

// viewer is one RFB connection. Two goroutines serve it: one reads messages and
// injects input at once, the other sends updates. Dirtiness is queued, never
// frames: what a slow viewer gets is late, but never old.
type viewer struct {
	d     *Desktop
	conn  net.Conn
	woken chan struct{} // one slot
	hands hands         // guarded by d.inMu
	input atomic.Int64  // Unix nanoseconds of the last key or button

	placed, placedAt atomic.Int64 // where the viewer itself put the pointer, x<<32|y, and when

	mu    sync.Mutex // what the viewer said
	wish  wish
	flow  flow
	reply []byte // answers to send before the next update

	// The screen as this viewer has it; guarded by d.mu.
	dirty   *encode.Tiles
	force   *encode.Tiles // to be sent even if unchanged
	resized bool
	noted   uint64
	windows map[uint32]image.Rectangle

	// Of the sending goroutine alone.
	ref       *encode.Frame // the picture as the viewer has it, apart from JPEG's losses
	lossy     *encode.Tiles
	lossyAt   []time.Time
	refined   time.Time // when the next refinement may go
	busy      time.Time // of the last change sent
	credit    int       // bytes that refinement may take while the screen is busy
	blank     bool
	cursorGen int
	drawn     drawn
	scroller  encode.Scroller
	encoders  []*encode.Encoder
	zrle      encode.ZRLE
	update    rfb.Update
	boxes     []image.Rectangle
	moves     []encode.Move
	rects     []encode.Rect
	out       []byte
	noScroll  int // searches in a row that found nothing
	skipped   int
	quality   int  // JPEG quality that the line bears
	photos    bool // the last update held JPEG
	echoed    bool // the last update left photographs for later
}

// wish is what the viewer asked for.
type wish struct {
	format     rfb.PixelFormat
	enc        map[int32]bool
	quality    int // JPEG quality, 0 for none
	level      int // zlib
	asked      bool
	continuous bool
	full       []image.Rectangle // asked for not incrementally
	sizeAnswer bool              // a SetDesktopSize waits for its refusal
	announce   []int32
}

const (
	stillFor     = 300 * time.Millisecond // before a lossy tile is sent again without loss
	refineTiles  = 24                     // at once
	refineGap    = 30 * time.Millisecond
	refineShare  = 4        // while the screen is busy, refinement takes at most one byte for so many of changes,
	refineCredit = 64 << 10 // and not more than this at once
	parallelArea = 64 << 10 // pixels: below, a second core costs more than it brings
	scrollArea   = 24 << 10 // pixels changed, below which no scroll is looked for
	sendEarly    = 24 << 10 // bytes of an update that are worth sending before the rest is encoded
	maxReply     = 64 << 10 // bytes of answers for a viewer that asks but doesn't read
	plain        = 0x55707b // the picture while paused
)

// jpegQuality maps RFB's quality levels as TigerVNC does.
var jpegQuality = [10]int{15, 29, 41, 42, 62, 77, 79, 86, 92, 95}

func newViewer(d *Desktop, conn net.Conn, size image.Point) *viewer {
	v := &viewer{d: d, conn: conn, woken: make(chan struct{}, 1), windows: map[uint32]image.Rectangle{}}
	v.placed.Store(-1)
	v.wish = wish{format: rfb.Native, enc: map[int32]bool{}, level: 1}
	v.size(size.X, size.Y)
	for range min(4, runtime.GOMAXPROCS(0)) {
		v.encoders = append(v.encoders, &encode.Encoder{})
	}
	return v
}

func (v *viewer) size(w, h int) {
	v.ref = encode.NewFrame(w, h)
	v.dirty, v.force, v.lossy = encode.NewTiles(w, h), encode.NewTiles(w, h), encode.NewTiles(w, h)
	v.lossyAt = make([]time.Time, v.lossy.Cols*v.lossy.Rows)
	v.blank = false
	v.drawn = drawn{}
	v.scroller = encode.Scroller{}
}

func (v *viewer) wake() {
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// note marks what a grab may have changed. The caller holds d.mu.
func (v *viewer) note(g grabbed) {
	if g.resized || g.frame.W != v.ref.W || g.frame.H != v.ref.H {
		v.resized = true
		return
	}
	for _, r := range g.dirty {
		v.dirty.Touch(r)
	}
}

func (v *viewer) run(ctx context.Context) error {
	var reading sync.WaitGroup
	var readErr atomic.Pointer[error]
	ended := make(chan struct{})
	reading.Go(func() {
		defer close(ended)
		if err := v.read(); err != nil {
			readErr.Store(&err)
		}
	})
	defer reading.Wait()
	defer v.conn.Close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, err := v.step(time.Now())
		if err != nil {
			if p := readErr.Load(); p != nil && errors.Is(err, net.ErrClosed) {
				err = *p
			}
			return err
		}
		var tick <-chan time.Time
		if wait > 0 {
			timer.Reset(wait)
			tick = timer.C
		}
		select {
		case <-v.woken:
		case <-tick:
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			if p := readErr.Load(); p != nil {
				return *p
			}
			return nil
		}
	}
}

// read handles the viewer's messages until it goes.
func (v *viewer) read() error {
	r := rfb.NewReader(v.conn)
	for {
		m, err := r.Next()
		if err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from viewer: %w", err)
		}
		switch m := m.(type) {
		case rfb.KeyEvent:
			v.input.Store(time.Now().UnixNano())
			err = v.d.key(v, m)
		case rfb.PointerEvent:
			if m.Buttons != 0 {
				v.input.Store(time.Now().UnixNano())
			}
			err = v.d.pointer(v, m)
		default:
			v.mu.Lock()
			v.heard(m)
			v.mu.Unlock()
			v.wake()
		}
		if err != nil {
			return err
		}
	}
}

// heard notes a message. The caller holds v.mu.
func (v *viewer) heard(m any) {
	w := &v.wish
	switch m := m.(type) {
	case rfb.SetPixelFormat:
		w.format = m.Format
		w.want(image.Rect(0, 0, 1<<16, 1<<16)) // what it has may be in the wrong format
	case rfb.SetEncodings:
		v.encodings(m.Encodings)
	case rfb.UpdateRequest:
		w.asked = true
		if !m.Incremental {
			w.want(image.Rect(m.X, m.Y, m.X+m.W, m.Y+m.H))
		}
	case rfb.EnableContinuous:
		if m.On && w.enc[rfb.EncContinuous] {
			w.continuous = true
		} else if w.continuous && len(v.reply) < maxReply {
			w.continuous = false
			v.reply = rfb.AppendEndOfContinuous(v.reply)
		}
	case rfb.Fence:
		if m.Flags&rfb.FenceRequest == 0 {
			if len(m.Payload) == 4 {
				v.flow.answered(time.Now(), binary.BigEndian.Uint32(m.Payload))
			}
		} else if len(v.reply) < maxReply {
			v.reply = rfb.AppendFence(v.reply, m.Flags&(rfb.FenceBlockBefore|rfb.FenceBlockAfter|rfb.FenceSyncNext), m.Payload)
		}
	case rfb.SetDesktopSize:
		w.sizeAnswer = true
	}
}

func (v *viewer) encodings(list []int32) {
	w := &v.wish
	old := w.enc
	w.enc = make(map[int32]bool, len(list))
	w.quality, w.level = 0, 1
	for _, e := range list {
		w.enc[e] = true
		switch {
		case e >= rfb.EncQuality0 && e <= rfb.EncQuality9:
			w.quality = jpegQuality[e-rfb.EncQuality0]
		case e >= rfb.EncCompress0 && e <= rfb.EncCompress9 && e-rfb.EncCompress0 >= 6:
			w.level = 4
		}
	}
	fresh := func(e int32) bool { return w.enc[e] && !old[e] }
	if fresh(rfb.EncContinuous) && len(v.reply) < maxReply {
		v.reply = rfb.AppendEndOfContinuous(v.reply)
	}
	if fresh(rfb.EncFence) && len(v.reply) < maxReply {
		v.reply = v.probe(v.reply) // before the first picture: a clean round trip
	}
	for _, e := range []int32{rfb.EncExtDesktopSize, rfb.EncQEMUKey, rfb.EncExtMouseButtons} {
		if fresh(e) && len(w.announce) < 16 {
			w.announce = append(w.announce, e)
		}
	}
	if !w.enc[rfb.EncContinuous] {
		w.continuous = false
	}
}

// want notes an area to send whether changed or not.
func (w *wish) want(r image.Rectangle) {
	if len(w.full) < 64 {
		w.full = append(w.full, r)
	} else {
		w.full[63] = w.full[63].Union(r)
	}
}

// probe appends a fence with the flow's next number, for which nothing was sent.
func (v *viewer) probe(b []byte) []byte { return v.fence(b, 0) }

func (v *viewer) fence(b []byte, bytes int) []byte {
	var p [4]byte
	binary.BigEndian.PutUint32(p[:], v.flow.sent(time.Now(), bytes))
	return rfb.AppendFence(b, rfb.FenceRequest|rfb.FenceBlockBefore, p[:])
}

// A draft is what one update will hold.
type draft struct {
	resized  bool
	w, h     int
	blank    bool
	cursor   *rfb.Cursor
	moves    []encode.Move
	boxes    []image.Rectangle // of ref
	lossless bool
	again    time.Duration // when the pointer may be drawn at its new place
}

// step sends what can be sent now. It returns after what time it wants to be
// called again even if nothing happens, 0 for never.
func (v *viewer) step(now time.Time) (time.Duration, error) {
	v.mu.Lock()
	reply := v.reply
	v.reply = nil
	w := v.wish
	open := v.flow.open(now)
	w.full = slices.Clone(w.full)
	v.mu.Unlock()
	if len(reply) > 0 {
		if _, err := v.conn.Write(reply); err != nil {
			return 0, fmt.Errorf("send to viewer: %w", err)
		}
	}
	if !w.asked && !w.continuous || !open {
		return 0, nil
	}
	v.d.mu.Lock()
	dr, ready, err := v.compose(now, &w)
	v.d.mu.Unlock()
	if err != nil || !ready {
		return 0, err
	}
	wait := time.Duration(0)
	if len(dr.boxes) == 0 && len(dr.moves) == 0 && !dr.blank {
		dr.boxes, wait = v.refine(now)
		dr.lossless = true
		if dr.again > 0 && (wait == 0 || dr.again < wait) {
			wait = dr.again
		}
	} else if dr.again > 0 {
		wait = dr.again
	} else if !v.lossy.Empty() {
		wait = stillFor
	}
	n, err := v.send(now, &w, dr)
	if dr.lossless {
		v.credit -= n
		if rate := v.lineRate(); n > 0 && rate > 0 { // at most a quarter of the line
			v.refined = now.Add(max(refineGap, time.Duration(4*float64(n)/rate*float64(time.Second))))
		}
	} else if n > 0 {
		if v.photos {
			v.adapt(n, w.quality, v.lineRate())
		}
		v.busy = now
		v.credit = min(v.credit+n/refineShare, refineCredit)
	}
	if n > 0 && wait == 0 && !v.lossy.Empty() {
		wait = stillFor
	}
	return wait, err
}

// compose finds what this viewer lacks and brings ref to it. The caller holds
// d.mu. It is not ready while the picture is frozen.
func (v *viewer) compose(now time.Time, w *wish) (dr draft, ready bool, err error) {
	d := v.d
	if d.failed != nil {
		return dr, false, d.failed
	}
	if d.frozen && !d.paused {
		return dr, false, nil
	}
	if d.paused {
		if v.blank && len(w.full) == 0 {
			return dr, false, nil
		}
		v.ref.Fill(v.ref.Bounds(), plain)
		v.scroller.Forget(v.ref.Bounds())
		v.lossy.Clear()
		v.blank = true
		v.drawn = drawn{}
		dr.blank = true
		return dr, true, nil
	}
	if err := d.refresh(); err != nil {
		return dr, false, err
	}
	cur := d.frame
	if v.resized || cur.W != v.ref.W || cur.H != v.ref.H {
		if !w.enc[rfb.EncDesktopSize] && !w.enc[rfb.EncExtDesktopSize] {
			return dr, false, errors.New("the screen changed its size, which this viewer doesn't follow")
		}
		v.size(cur.W, cur.H)
		v.resized = false
		dr.resized, dr.w, dr.h = true, cur.W, cur.H
		v.force.Touch(cur.Bounds())
	}
	if v.blank {
		v.blank = false
		v.dirty.Touch(cur.Bounds())
	}
	for _, r := range w.full {
		v.force.Touch(r)
	}
	if v.cursorGen != d.cursorGen {
		v.cursorGen = d.cursorGen
		dr.cursor = &d.cursor
	}
	var restore func()
	if restore, dr.again = v.drawPointer(now, w, cur); restore != nil {
		defer restore()
	}
	v.moves = v.moves[:0]
	var hints []encode.Move
	v.noted, hints = d.disp.Windows(v.noted, v.windows)
	if v.dirty.Empty() && v.force.Empty() {
		return dr, true, nil
	}
	if w.enc[rfb.EncCopyRect] && v.force.Empty() {
		for _, m := range hints {
			if m = onScreen(m, cur.Bounds()); m.Holds(cur, v.ref) {
				v.scroller.Forget(m.Dst)
				v.move(m)
			}
		}
	}
	copying := w.enc[rfb.EncCopyRect] && v.force.Empty()
	searched := copying && v.scrollAgain(cur)
	v.boxes = encode.Changed(v.boxes[:0], cur, v.ref, v.dirty)
	if copying && !searched {
		found := false
		if searched, found = v.scroll(cur); found {
			v.boxes = encode.Changed(v.boxes[:0], cur, v.ref, v.dirty)
		}
	}
	if !v.force.Empty() {
		for row := range v.force.Rows {
			for c := range v.force.Cols {
				if v.force.Has(c, row) {
					r := v.force.Rect(c, row)
					v.boxes = slices.DeleteFunc(v.boxes, func(b image.Rectangle) bool { return b.In(r) })
					v.boxes = append(v.boxes, r)
				}
			}
		}
		slices.SortFunc(v.boxes, func(a, b image.Rectangle) int { // reading order of tiles
			if c := a.Min.Y/encode.Tile - b.Min.Y/encode.Tile; c != 0 {
				return c
			}
			return a.Min.X - b.Min.X
		})
		v.force.Clear()
	}
	later := v.echoFirst(now, cur)
	for _, b := range v.boxes {
		v.ref.CopyFrom(cur, b)
		if !searched {
			v.scroller.Forget(b)
		}
	}
	v.dirty.Clear()
	for _, b := range later {
		v.dirty.Touch(b)
		v.scroller.Forget(b)
	}
	dr.moves, dr.boxes = v.moves, v.boxes
	return dr, true, nil
}

const (
	echoFor  = 100 * time.Millisecond // after a key or button, in which what changes is likely its echo
	echoTime = 20 * time.Millisecond  // of the line that an update may take then
)

// echoFirst takes photographs out of the boxes and returns them when they would
// hold up the echo of a key or button on a narrow line. They go with the next
// update, so that a film goes on while somebody types.
func (v *viewer) echoFirst(now time.Time, cur *encode.Frame) (later []image.Rectangle) {
	wasEcho := v.echoed
	v.echoed = false
	rate := v.lineRate()
	if wasEcho || rate == 0 || now.UnixNano()-v.input.Load() > int64(echoFor) {
		return nil
	}
	pixels := 0
	for _, b := range v.boxes {
		pixels += b.Dx() * b.Dy()
	}
	if float64(pixels)/8 < rate*echoTime.Seconds() { // a photograph takes about a bit a pixel
		return nil
	}
	var echo []image.Rectangle
	for _, b := range v.boxes {
		if encode.Photographic(cur, b) {
			later = append(later, b)
		} else {
			echo = append(echo, b)
		}
	}
	if len(echo) == 0 {
		return nil
	}
	v.boxes = append(v.boxes[:0], echo...)
	v.echoed = len(later) > 0
	return later
}

// adapt chooses the JPEG quality for the next update so that frames of the size
// of this one pass the line fifteen times a second.
func (v *viewer) adapt(size, wish int, rate float64) {
	const fps, lowest = 15, 30
	switch budget := rate / fps; {
	case rate == 0:
	case float64(size) > budget:
		v.quality = max(min(wish, lowest), min(v.quality, wish)-6)
	case float64(size) < budget*0.7:
		v.quality = min(wish, v.quality+2)
	}
}

// onScreen cuts off what of a moved window is or was outside the screen.
func onScreen(m encode.Move, screen image.Rectangle) encode.Move {
	delta := m.Delta()
	dst := m.Dst.Intersect(screen).Intersect(screen.Add(delta))
	return encode.Move{Dst: dst, Src: dst.Min.Sub(delta)}
}

// move does a move on ref; where it took pixels that JPEG had changed, it leaves such.
func (v *viewer) move(m encode.Move) {
	src := image.Rectangle{Min: m.Src, Max: m.Src.Add(m.Dst.Size())}
	m.Apply(v.ref)
	v.dirty.Touch(m.Dst)
	if v.lossy.Any(src) {
		v.spoil(m.Dst, time.Now())
	}
	v.moves = append(v.moves, m)
}

// spoil notes that the viewer's picture of r isn't exact.
func (v *viewer) spoil(r image.Rectangle, now time.Time) {
	v.lossy.Touch(r)
	for row := r.Min.Y / encode.Tile; row <= (r.Max.Y-1)/encode.Tile; row++ {
		for c := r.Min.X / encode.Tile; c <= (r.Max.X-1)/encode.Tile; c++ {
			v.lossyAt[row*v.lossy.Cols+c] = now
		}
	}
}

// scrollAgain looks for a vertical move where there was one last time, before
// anything is compared, if enough of that place is dirty and nothing else is.
func (v *viewer) scrollAgain(cur *encode.Frame) bool {
	area := v.scroller.Area()
	if pixels := v.dirty.Len() * encode.Tile * encode.Tile; area.Empty() || pixels < scrollArea || pixels*2 < area.Dx()*area.Dy() || !v.dirty.Within(area) {
		return false
	}
	v.follow(cur, area)
	return true
}

// scroll looks for a vertical move among the changed boxes and does it. After
// searches in vain it looks less often, so that a film costs few searches.
func (v *viewer) scroll(cur *encode.Frame) (searched, found bool) {
	area, pixels := image.Rectangle{}, 0
	for _, b := range v.boxes {
		area = area.Union(b)
		pixels += b.Dx() * b.Dy()
	}
	if pixels < scrollArea {
		return false, false
	}
	if v.skipped < min(v.noScroll/3, 15) {
		v.skipped++
		return false, false
	}
	v.skipped = 0
	return true, v.follow(cur, area)
}

func (v *viewer) follow(cur *encode.Frame, area image.Rectangle) bool {
	n := len(v.moves)
	found := v.scroller.Find(v.moves, cur, v.ref, area)[n:]
	if len(found) == 0 {
		v.noScroll++
		return false
	}
	v.noScroll = 0
	for _, m := range slices.Clone(found) {
		v.move(m)
	}
	return true
}

// refine picks lossy tiles that have been still to be sent without loss, and
// says when to look again.
func (v *viewer) refine(now time.Time) ([]image.Rectangle, time.Duration) {
	if v.lossy.Empty() {
		return nil, 0
	}
	if wait := v.refined.Sub(now); wait > 0 {
		return nil, wait
	}
	still, tiles := stillFor, refineTiles
	if now.Sub(v.busy) < stillFor { // something else moves: that goes first, and so does what it may uncover
		if v.credit <= 0 {
			return nil, stillFor
		}
		still, tiles = 3*stillFor, 4
	}
	v.boxes = v.boxes[:0]
	next := stillFor
	for row := range v.lossy.Rows {
		for c := range v.lossy.Cols {
			if !v.lossy.Has(c, row) {
				continue
			}
			if wait := still - now.Sub(v.lossyAt[row*v.lossy.Cols+c]); wait > 0 {
				next = min(next, wait)
			} else if len(v.boxes) < tiles {
				v.boxes = append(v.boxes, v.lossy.Rect(c, row))
			} else {
				next = refineGap
			}
		}
	}
	if len(v.boxes) > 0 {
		v.refined = now.Add(refineGap)
		next = min(next, refineGap)
	}
	return v.boxes, next
}

func (v *viewer) lineRate() float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.flow.rate
}

// send writes an update, if there is anything to tell, and returns its size.
func (v *viewer) send(now time.Time, w *wish, dr draft) (int, error) {
	u := &v.update
	u.Reset()
	if dr.resized {
		if w.enc[rfb.EncExtDesktopSize] {
			u.ExtendedSize(rfb.SizeByServer, rfb.SizeDone, dr.w, dr.h)
		} else {
			u.Size(dr.w, dr.h)
		}
	}
	for _, e := range w.announce {
		switch {
		case e != rfb.EncExtDesktopSize:
			u.Announce(e)
		case !dr.resized:
			u.ExtendedSize(rfb.SizeByServer, rfb.SizeDone, v.ref.W, v.ref.H)
		}
	}
	if w.sizeAnswer && w.enc[rfb.EncExtDesktopSize] {
		u.ExtendedSize(rfb.SizeByClient, rfb.SizeProhibited, v.ref.W, v.ref.H)
	}
	if dr.cursor != nil {
		v.sendCursor(u, w, *dr.cursor)
	}
	for _, m := range dr.moves {
		u.Copy(m.Dst, m.Src)
	}
	if dr.blank {
		dr.boxes, dr.lossless = v.everything(), true
	}
	early, err := v.encode(now, w, dr)
	if err != nil || u.Rects() == 0 {
		return 0, err
	}
	b := u.Bytes()
	size := early + len(b)
	v.mu.Lock()
	v.wish.asked = false
	v.wish.full = v.wish.full[min(len(w.full), len(v.wish.full)):]
	v.wish.announce = v.wish.announce[min(len(w.announce), len(v.wish.announce)):]
	v.wish.sizeAnswer = v.wish.sizeAnswer && !w.sizeAnswer // another wish may have come meanwhile
	if w.enc[rfb.EncFence] {
		b = v.fence(b, size)
	}
	v.mu.Unlock()
	v.update.B = b
	if _, err := v.conn.Write(b); err != nil {
		return 0, fmt.Errorf("send to viewer: %w", err)
	}
	v.d.seen.Store(now.UnixNano())
	return size, nil
}

// everything is all tiles of the picture.
func (v *viewer) everything() []image.Rectangle {
	v.boxes = v.boxes[:0]
	for row := range v.lossy.Rows {
		for c := range v.lossy.Cols {
			v.boxes = append(v.boxes, v.lossy.Rect(c, row))
		}
	}
	return v.boxes
}

func (v *viewer) sendCursor(u *rfb.Update, w *wish, c rfb.Cursor) {
	switch {
	case w.enc[rfb.EncVMwareCursor]:
		u.CursorVMware(c)
	case w.enc[rfb.EncCursorAlpha]:
		u.CursorAlpha(c)
	case w.enc[rfb.EncCursor]:
		u.CursorMask(c, w.format)
	}
}

// encode appends the draft's boxes, encoded from ref. Many are encoded on several
// cores, and sent as they are ready; it returns how many bytes have been sent so.
func (v *viewer) encode(now time.Time, w *wish, dr draft) (sent int, err error) {
	v.photos = false
	if len(dr.boxes) == 0 {
		return 0, nil
	}
	tight := w.enc[rfb.EncTight]
	zrle := !tight && w.enc[rfb.EncZRLE]
	jpeg := tight && w.quality > 0 && w.format.Full() && !dr.lossless
	v.rects = encode.Rects(v.rects[:0], v.ref, dr.boxes, jpeg)
	pixels := 0
	if v.quality == 0 || v.quality > w.quality {
		v.quality = w.quality
	}
	for _, r := range v.rects {
		pixels += r.Dx() * r.Dy()
		if r.Photo {
			v.photos = true
			v.spoil(r.Rectangle, now)
		} else {
			v.lossy.Settle(r.Rectangle)
		}
	}
	one := func(e *encode.Encoder, b []byte, r encode.Rect) []byte {
		switch {
		case zrle:
			return v.zrle.Append(b, v.ref, r.Rectangle, w.format)
		case !tight:
			return e.Raw(b, v.ref, r.Rectangle, w.format)
		case r.Photo:
			return e.JPEG(b, v.ref, r.Rectangle, v.quality)
		}
		return e.Tight(b, v.ref, r.Rectangle, w.format, w.level)
	}
	kind := rfb.EncRaw
	switch {
	case tight:
		kind = rfb.EncTight
	case zrle:
		kind = rfb.EncZRLE
	}
	u := &v.update
	if pixels < parallelArea || len(v.rects) == 1 || len(v.encoders) == 1 || zrle {
		for _, r := range v.rects {
			u.Rect(r.Rectangle, kind)
			u.B = one(v.encoders[0], u.B, r)
		}
		return 0, nil
	}
	u.Promise(len(v.rects))
	data := make([][]byte, len(v.rects))
	ready := make([]chan struct{}, len(v.rects))
	for i := range ready {
		ready[i] = make(chan struct{})
	}
	var next atomic.Int32
	var work sync.WaitGroup
	for _, e := range v.encoders {
		work.Go(func() {
			var b []byte
			for {
				i := int(next.Add(1)) - 1
				if i >= len(v.rects) {
					return
				}
				at := len(b)
				b = one(e, b, v.rects[i])
				data[i] = b[at:len(b):len(b)]
				close(ready[i])
			}
		})
	}
	defer work.Wait()
	for i, r := range v.rects {
		<-ready[i]
		u.Rect(r.Rectangle, kind)
		u.B = append(u.B, data[i]...)
		if len(u.B) >= sendEarly && i < len(v.rects)-1 {
			n, err := v.conn.Write(u.B)
			sent += n
			if err != nil {
				return sent, fmt.Errorf("send to viewer: %w", err)
			}
			u.B = u.B[:0]
		}
	}
	return sent, nil
}
