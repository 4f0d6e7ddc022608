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
	stillFor        = 300 * time.Millisecond // before a lossy tile is sent again without loss
	refineTiles     = 24                     // at once
	refineTime      = 50 * time.Millisecond  // of the line, that a batch may take
	refineGap       = 30 * time.Millisecond
	refineTileBytes = 10 << 10 // of a photographic tile without loss
	refineShare     = 4        // while the screen is busy, refinement takes at most one byte for so many of changes,
	refineCredit    = 64 << 10 // and not more than this at once
	parallelArea    = 64 << 10 // pixels: below, a second core costs more than it brings
	scrollArea      = 24 << 10 // pixels changed, below which no scroll is looked for
	sendEarly       = 24 << 10 // bytes of an update that are worth sending before the rest is encoded
	maxReply        = 64 << 10 // bytes of answers for a viewer that asks but doesn't read
	plain           = 0x55707b // the picture while paused
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
	again    time.Duration // when the pointer may be drawn at its new place, or a quiet change has waited enough
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
	} else if wait = dr.again; !v.lossy.Empty() && (wait == 0 || stillFor < wait) {
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
	if n > 0 && (wait == 0 || stillFor < wait) && !v.lossy.Empty() {
		wait = stillFor
	}
	return wait, err
}
