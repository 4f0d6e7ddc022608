package desktop

import (
	"fmt"
	"image"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

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
	if rate := v.lineRate(); rate > 0 { // an echo may have to wait for one batch
		tiles = max(1, min(tiles, int(rate*refineTime.Seconds())/refineTileBytes))
	}
	if now.Sub(v.busy) < stillFor { // something else moves: that goes first, and so does what it may uncover
		if v.credit <= 0 {
			return nil, stillFor
		}
		still, tiles = 3*stillFor, min(tiles, 4)
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
	if v.d.seen.Swap(now.UnixNano()) == 0 {
		v.d.use()
	}
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
