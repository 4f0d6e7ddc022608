package encode

import "image"

// Rect is a rectangle to send, and whether its pixels look like a photograph,
// for which JPEG is smaller.
type Rect struct {
	image.Rectangle
	Photo bool
}

const (
	textWidth, textHeight   = 512, 192
	photoWidth, photoHeight = 1024, 256
	minPhoto                = 800 // pixels: below, a JPEG's header weighs more than it saves
)

// Rects groups the changed boxes that Changed returned into rectangles that are
// neither too many nor hold much that didn't change, each of one kind. Photo is
// looked for only when jpeg is set.
func Rects(out []Rect, f *Frame, boxes []image.Rectangle, jpeg bool) []Rect {
	base := len(out)
	open := 0 // index in out of the first rectangle that may still grow downwards
	row := -1
	rowStart := base
	for _, b := range boxes {
		photo := jpeg && Photographic(f, b)
		if r := b.Min.Y / Tile; r != row {
			joinRows(&out, open, rowStart)
			open, rowStart, row = openFrom(out, rowStart, r), len(out), r
		}
		if n := len(out); n > rowStart {
			last := &out[n-1]
			maxW := textWidth
			if photo {
				maxW = photoWidth
			}
			if last.Photo == photo && b.Min.X/Tile == (last.Max.X-1)/Tile+1 {
				if u := last.Union(b); u.Dx() <= maxW && cheap(u, last.Rectangle, b) {
					last.Rectangle = u
					continue
				}
			}
		}
		out = append(out, Rect{b, photo})
	}
	joinRows(&out, open, rowStart)
	for i := base; i < len(out); i++ {
		if r := &out[i]; r.Photo && r.Dx()*r.Dy() < minPhoto {
			r.Photo = false
		}
	}
	return out
}

func openFrom(out []Rect, from, row int) int {
	for i := 0; i < from; i++ { // rectangles that reach down to the row above
		if (out[i].Max.Y-1)/Tile == row-1 {
			return i
		}
	}
	return from
}

func cheap(u, a, b image.Rectangle) bool {
	all, used := u.Dx()*u.Dy(), a.Dx()*a.Dy()+b.Dx()*b.Dy()
	return all-used <= all/4 || all <= 1024
}

// joinRows merges the rectangles from rowStart on into those of the row above, where they line up.
func joinRows(out *[]Rect, open, rowStart int) {
	rs := *out
	keep := rs[:rowStart]
	for _, r := range rs[rowStart:] {
		joined := false
		for i := open; i < rowStart && !joined; i++ {
			a := &keep[i]
			maxH := textHeight
			if r.Photo {
				maxH = photoHeight
			}
			if a.Photo != r.Photo || near(a.Min.X, r.Min.X) > 16 || near(a.Max.X, r.Max.X) > 16 || (a.Max.Y-1)/Tile+1 != r.Min.Y/Tile {
				continue
			}
			if u := a.Union(r.Rectangle); u.Dy() <= maxH && cheap(u, a.Rectangle, r.Rectangle) {
				a.Rectangle = u
				joined = true
			}
		}
		if !joined {
			keep = append(keep, r)
		}
	}
	*out = keep
}

func near(a, b int) int { return max(a-b, b-a) }

// Photographic reports whether r holds so many colours, changing from pixel to
// pixel, that JPEG pays. Text with smoothed edges has many colours too, but long
// runs of its background.
func Photographic(f *Frame, r image.Rectangle) bool {
	step := max(1, r.Dy()/8)
	differ, all := 0, 0
	for y := r.Min.Y; y < r.Max.Y; y += step {
		row := f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X]
		last := row[0]
		for _, p := range row[1:] {
			if (p^last)&0xffffff != 0 {
				differ++
			}
			last = p
		}
		all += len(row) - 1
	}
	if differ*5 <= all*3 {
		return false
	}
	var seen [1024]uint32
	want := min(256, r.Dx()*r.Dy()/10+16)
	colours := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for _, p := range f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X] {
			c := p&0xffffff | 1<<24
			k := c * 0x9E3779B1 >> 22
			for seen[k] != 0 && seen[k] != c {
				k = (k + 1) & 1023
			}
			if seen[k] == 0 {
				seen[k] = c
				if colours++; colours > want {
					return true
				}
			}
		}
	}
	return false
}
