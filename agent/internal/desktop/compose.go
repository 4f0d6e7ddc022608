package desktop

import (
	"errors"
	"image"
	"slices"
	"time"

	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

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
	if err := d.refresh(now); err != nil {
		return dr, false, err
	}
	defer func() {
		if wait := d.kept.Add(quietFor).Sub(now); !d.kept.IsZero() && (dr.again == 0 || wait < dr.again) {
			dr.again = max(wait, time.Millisecond)
		}
	}()
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
		c := d.cursor // sent after d.mu is let go
		dr.cursor = &c
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
	var later []image.Rectangle
	if !v.force.Empty() {
		v.forceBoxes()
	} else {
		later = v.echoFirst(now, cur)
	}
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

// forceBoxes puts the whole tiles to be sent anyway in place of what changed in them.
func (v *viewer) forceBoxes() {
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
