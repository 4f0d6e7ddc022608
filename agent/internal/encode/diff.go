package encode

import (
	"bytes"
	"image"
)

// Tile is the side of the squares in which changes are noted.
const Tile = 64

// Tiles is a set of tiles of a picture.
type Tiles struct {
	Cols, Rows int
	w, h       int
	set        []bool
	n          int
}

// NewTiles returns the empty set for a picture of w×h.
func NewTiles(w, h int) *Tiles {
	c, r := (w+Tile-1)/Tile, (h+Tile-1)/Tile
	return &Tiles{Cols: c, Rows: r, w: w, h: h, set: make([]bool, c*r)}
}

// Empty reports whether no tile is in the set.
func (t *Tiles) Empty() bool { return t.n == 0 }

// Len is the number of tiles in the set.
func (t *Tiles) Len() int { return t.n }

// Clear empties the set.
func (t *Tiles) Clear() {
	if t.n > 0 {
		clear(t.set)
		t.n = 0
	}
}

// Has reports whether the tile at column c and row r is in the set.
func (t *Tiles) Has(c, r int) bool { return t.set[r*t.Cols+c] }

// Put adds or removes one tile.
func (t *Tiles) Put(c, r int, in bool) {
	if p := &t.set[r*t.Cols+c]; *p != in {
		*p = in
		if in {
			t.n++
		} else {
			t.n--
		}
	}
}

// Touch adds every tile that r touches.
func (t *Tiles) Touch(r image.Rectangle) {
	t.each(r.Intersect(image.Rect(0, 0, t.w, t.h)), func(c, row int) { t.Put(c, row, true) })
}

// Settle removes every tile that lies wholly in r.
func (t *Tiles) Settle(r image.Rectangle) {
	t.each(r.Intersect(image.Rect(0, 0, t.w, t.h)), func(c, row int) {
		if t.Rect(c, row).In(r) {
			t.Put(c, row, false)
		}
	})
}

// Any reports whether r touches a tile of the set.
func (t *Tiles) Any(r image.Rectangle) (any bool) {
	if t.n == 0 {
		return false
	}
	t.each(r.Intersect(image.Rect(0, 0, t.w, t.h)), func(c, row int) { any = any || t.Has(c, row) })
	return any
}

// Within reports whether every tile of the set touches r.
func (t *Tiles) Within(r image.Rectangle) bool {
	n := 0
	t.each(r.Intersect(image.Rect(0, 0, t.w, t.h)), func(c, row int) {
		if t.Has(c, row) {
			n++
		}
	})
	return n == t.n
}

func (t *Tiles) each(r image.Rectangle, f func(c, row int)) {
	if r.Empty() {
		return
	}
	for row := r.Min.Y / Tile; row <= (r.Max.Y-1)/Tile; row++ {
		for c := r.Min.X / Tile; c <= (r.Max.X-1)/Tile; c++ {
			f(c, row)
		}
	}
}

// Rect is the place of a tile in the picture.
func (t *Tiles) Rect(c, row int) image.Rectangle {
	return image.Rect(c*Tile, row*Tile, min(c*Tile+Tile, t.w), min(row*Tile+Tile, t.h))
}

// Changed appends, for each dirty tile in which cur and ref differ, the
// smallest rectangle that holds the differing pixels, in reading order.
func Changed(out []image.Rectangle, cur, ref *Frame, dirty *Tiles) []image.Rectangle {
	if dirty.Empty() {
		return out
	}
	var boxes [64]image.Rectangle // of one run of tiles
	for row := range dirty.Rows {
		for c := 0; c < dirty.Cols; {
			if !dirty.Has(c, row) {
				c++
				continue
			}
			first := c
			for c < dirty.Cols && c-first < len(boxes) && dirty.Has(c, row) {
				c++
			}
			run := boxes[:c-first]
			clear(run)
			changedRun(run, cur, ref, first*Tile, row*Tile)
			for _, b := range run {
				if !b.Empty() {
					out = append(out, b)
				}
			}
		}
	}
	return out
}

func changedRun(run []image.Rectangle, cur, ref *Frame, x, y int) {
	end := min(x+len(run)*Tile, cur.W)
	for ; y < cur.H; y++ {
		a, b := (y*cur.W+x)*4, (y*cur.W+end)*4
		if !bytes.Equal(cur.raw[a:b], ref.raw[a:b]) {
			for i := range run {
				l, r := x+i*Tile, min(x+i*Tile+Tile, end)
				p, q := cur.Pix[y*cur.W+l:y*cur.W+r], ref.Pix[y*cur.W+l:y*cur.W+r]
				box := &run[i]
				if box.Max.Y > 0 && box.Min.X == l && box.Max.X == r { // only the last row is still unknown
					if !bytes.Equal(cur.raw[(y*cur.W+l)*4:(y*cur.W+r)*4], ref.raw[(y*cur.W+l)*4:(y*cur.W+r)*4]) {
						box.Max.Y = y + 1
					}
					continue
				}
				from := 0
				for from < len(p) && p[from] == q[from] {
					from++
				}
				if from == len(p) {
					continue
				}
				to := len(p)
				for p[to-1] == q[to-1] {
					to--
				}
				if box.Max.Y == 0 {
					*box = image.Rect(l+from, y, l+to, y+1)
					continue
				}
				box.Min.X = min(box.Min.X, l+from)
				box.Max.X = max(box.Max.X, l+to)
				box.Max.Y = y + 1
			}
		}
		if (y+1)%Tile == 0 {
			return
		}
	}
}
