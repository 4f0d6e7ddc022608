package desktop

import (
	"image"
	"time"

	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

// A viewer draws the pointer by itself, where its own mouse is. When somebody
// else moves it ("look, here"), or when the viewer draws none, the pointer must
// be in the picture: it is drawn into the frame while the viewer's picture is
// compared with it, and taken out again.

// drawn is the pointer in a viewer's picture.
type drawn struct {
	area image.Rectangle // empty: none
	at   image.Point
	gen  int
	when time.Time
}

const (
	ownMoves     = 300 * time.Millisecond // in which the viewer's own moves come back to us
	pointerEvery = 15 * time.Millisecond  // the pointer is redrawn at most so often
)

// drawPointer draws the pointer into cur where this viewer must see it. It
// returns how to take it out again, nil when none was drawn, and when to look
// again if the pointer is not yet drawn where it should be. The caller holds d.mu.
func (v *viewer) drawPointer(now time.Time, w *wish, cur *encode.Frame) (restore func(), again time.Duration) {
	d := v.d
	local := w.enc[rfb.EncVMwareCursor] || w.enc[rfb.EncCursorAlpha] || w.enc[rfb.EncCursor]
	area := image.Rectangle{}
	if !local || v.placed.Load() != int64(d.at.X)<<32|int64(d.at.Y) {
		if since := now.Sub(time.Unix(0, v.placedAt.Load())); local && since < ownMoves {
			again = ownMoves - since
		} else {
			corner := d.at.Sub(image.Pt(d.cursor.HotX, d.cursor.HotY))
			area = image.Rect(0, 0, d.cursor.W, d.cursor.H).Add(corner).Intersect(cur.Bounds())
		}
	}
	if area != v.drawn.area || !area.Empty() && (v.drawn.at != d.at || v.drawn.gen != d.cursorGen) {
		if since := now.Sub(v.drawn.when); since < pointerEvery && v.drawn.gen == d.cursorGen {
			again = pointerEvery - since
		} else {
			v.dirty.Touch(v.drawn.area)
			v.dirty.Touch(area)
			v.drawn = drawn{area, d.at, d.cursorGen, now}
		}
	}
	if v.drawn.area.Empty() {
		return nil, again
	}
	r := v.drawn.area
	under := make([]uint32, 0, r.Dx()*r.Dy())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		under = append(under, cur.Pix[y*cur.W+r.Min.X:y*cur.W+r.Max.X]...)
	}
	blend(cur, r, d.cursor, v.drawn.at)
	return func() {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			copy(cur.Pix[y*cur.W+r.Min.X:y*cur.W+r.Max.X], under[(y-r.Min.Y)*r.Dx():])
		}
	}, again
}

// blend draws the pointer's shape with its hot spot at a place, within r.
func blend(f *encode.Frame, r image.Rectangle, c rfb.Cursor, at image.Point) {
	corner := at.Sub(image.Pt(c.HotX, c.HotY))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			cx, cy := x-corner.X, y-corner.Y
			if cx < 0 || cy < 0 || cx >= c.W || cy >= c.H {
				continue
			}
			p := c.Pix[(cy*c.W+cx)*4:]
			a := uint32(p[3])
			if a == 0 {
				continue
			}
			old := f.Pix[y*f.W+x]
			mix := func(n byte, o uint32) uint32 { return (uint32(n)*a + o&0xff*(255-a) + 127) / 255 }
			f.Pix[y*f.W+x] = mix(p[0], old>>16)<<16 | mix(p[1], old>>8)<<8 | mix(p[2], old)
		}
	}
}
