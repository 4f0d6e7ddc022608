package encode

import (
	"image"
	"unsafe"
)

// Scroller finds vertical moves of a picture's content by hashes of its rows.
// It keeps its buffers between calls and is not safe for concurrent use.
type Scroller struct {
	cur, ref []uint64        // hash of row y of stripe s at s*rows+y
	area     image.Rectangle // of which cur holds the hashes
	fresh    bool            // ref is now what cur was, so that its hashes are known
	found    bool            // the last search found something
	table    []int32         // hash -> row+1, or -1 when several rows share it
	keys     []uint64
	votes    []int32
	ok       []bool
}

const (
	minVotes   = 8    // rows that must agree before a move is believed
	minRunRows = 6    // shorter runs cost more than they save
	minGain    = 2048 // changed pixels a copy must save
)

// Find returns moves that, applied in order to ref, bring parts of area to what
// cur shows. The moves are a proposal: the caller applies them and compares
// again, so that a wrong one costs bytes, never pixels. Before the next call the
// caller must have made ref equal to cur in area, or have called Forget.
func (s *Scroller) Find(out []Move, cur, ref *Frame, area image.Rectangle) []Move {
	area = area.Intersect(cur.Bounds())
	if area.In(s.area) && s.area.In(cur.Bounds()) && s.area.Dx()*s.area.Dy() <= area.Dx()*area.Dy()*5/4 {
		area = s.area // nearly the same as last time: its hashes serve again
	}
	rows := area.Dy()
	if rows < 2*minRunRows || area.Dx() < 16 {
		s.Forget(area)
		return out
	}
	first := area.Min.X / Tile
	stripes := (area.Max.X-1)/Tile - first + 1
	s.hash(cur, ref, area, first, stripes)
	s.area, s.fresh, s.found = area, true, false
	d := s.vote(rows, stripes)
	if d == 0 {
		return out
	}
	n := len(out)
	out = s.runs(out, area, first, stripes, d)
	s.found = len(out) > n
	return out
}

// Area is where the last search found a scroll; empty when it found none.
func (s *Scroller) Area() image.Rectangle {
	if !s.found {
		return image.Rectangle{}
	}
	return s.area
}

// Forget tells that ref was changed in r otherwise than to what Find was last given as cur.
func (s *Scroller) Forget(r image.Rectangle) {
	if r.Overlaps(s.area) {
		s.fresh = false
	}
}

func stripe(area image.Rectangle, i int) (x0, x1 int) {
	return max(area.Min.X, i*Tile), min(area.Max.X, i*Tile+Tile)
}

func (s *Scroller) hash(cur, ref *Frame, area image.Rectangle, first, stripes int) {
	rows := area.Dy()
	n := rows * stripes
	known := s.fresh && area == s.area && len(s.cur) == n
	if known {
		s.cur, s.ref = s.ref, s.cur
	}
	if cap(s.cur) < n {
		s.cur = make([]uint64, n)
	}
	if cap(s.ref) < n {
		s.ref = make([]uint64, n)
	}
	s.cur, s.ref = s.cur[:n], s.ref[:n]
	for y := range rows {
		for i := range stripes {
			x0, x1 := stripe(area, first+i)
			at := (area.Min.Y+y)*cur.W + x0
			s.cur[i*rows+y] = hashRow(cur.Pix[at : at+x1-x0])
			if !known {
				s.ref[i*rows+y] = hashRow(ref.Pix[at : at+x1-x0])
			}
		}
	}
}

// hashKeys are odd and random: one for each pair of pixels of a stripe.
var hashKeys = func() (k [Tile / 2]uint64) {
	v := uint64(0x9E3779B97F4A7C15)
	for i := range k { // splitmix64
		v += 0x9E3779B97F4A7C15
		z := (v ^ v>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		k[i] = (z ^ z>>31) | 1
	}
	return k
}()

// hashRow adds up products of the pixels with keys, none of which waits for
// another, so that the processor does several at a time. At most Tile pixels.
func hashRow(p []uint32) uint64 {
	var a, b uint64
	n := len(p) / 8
	if n > 0 {
		q := unsafe.Slice((*[4]uint64)(unsafe.Pointer(&p[0])), n)
		for i := range q {
			v, k := &q[i], (*[4]uint64)(hashKeys[i*4:])
			w, x, y, z := v[0]*k[0], v[1]*k[1], v[2]*k[2], v[3]*k[3]
			a += w ^ w>>32
			b += x ^ x>>32
			a += y ^ y>>32
			b += z ^ z>>32
		}
	}
	for i, v := range p[n*8:] {
		w := uint64(v) * (hashKeys[i] + 2)
		a += w ^ w>>31
	}
	return a ^ b*0x9E3779B97F4A7C15
}

// vote returns the shift that most changed rows agree on; 0 for none.
func (s *Scroller) vote(rows, stripes int) int {
	size := 1
	for size < rows*3 {
		size *= 2
	}
	if cap(s.table) < size {
		s.table, s.keys = make([]int32, size), make([]uint64, size)
	}
	table, keys := s.table[:size], s.keys[:size]
	if cap(s.votes) < 2*rows {
		s.votes = make([]int32, 2*rows)
	}
	votes := s.votes[:2*rows]
	clear(votes)
	mask := uint64(size - 1)
	step := max(1, stripes/8) // a few stripes are enough to know the shift
	for i := step / 2; i < stripes; i += step {
		cur, ref := s.cur[i*rows:(i+1)*rows], s.ref[i*rows:(i+1)*rows]
		clear(table)
		for y, h := range ref {
			k := h & mask
			for table[k] != 0 && keys[k] != h {
				k = (k + 1) & mask
			}
			if table[k] == 0 {
				table[k], keys[k] = int32(y+1), h
			} else {
				table[k] = -1
			}
		}
		for y, h := range cur {
			if h == ref[y] {
				continue
			}
			k := h & mask
			for table[k] != 0 && keys[k] != h {
				k = (k + 1) & mask
			}
			if from := table[k]; from > 0 {
				votes[y-int(from-1)+rows]++
			}
		}
	}
	best := rows
	for i, v := range votes {
		if v > votes[best] {
			best = i
		}
	}
	if votes[best] < minVotes {
		return 0
	}
	return best - rows
}

// runs turns the shift d into rectangles: neighbouring stripes that follow it, and rows where all of them do.
func (s *Scroller) runs(out []Move, area image.Rectangle, first, stripes, d int) []Move {
	rows := area.Dy()
	if cap(s.ok) < rows {
		s.ok = make([]bool, rows)
	}
	ok := s.ok[:rows]
	follows := func(i, y int) bool {
		from := y - d
		return from >= 0 && from < rows && s.cur[i*rows+y] == s.ref[i*rows+from]
	}
	worth := func(i int) bool {
		changed, good := 0, 0
		for y := range rows {
			if s.cur[i*rows+y] != s.ref[i*rows+y] {
				changed++
				if follows(i, y) {
					good++
				}
			}
		}
		return good >= minVotes/2 && good*3 >= changed
	}
	for i := 0; i < stripes; {
		if !worth(i) {
			i++
			continue
		}
		start := i
		for i < stripes && worth(i) {
			i++
		}
		for y := range ok {
			ok[y] = true
			for j := start; j < i && ok[y]; j++ {
				ok[y] = follows(j, y)
			}
		}
		x0, _ := stripe(area, first+start)
		_, x1 := stripe(area, first+i-1)
		changed := func(y int) bool {
			for j := start; j < i; j++ {
				if s.cur[j*rows+y] != s.ref[j*rows+y] {
					return true
				}
			}
			return false
		}
		at := len(out)
		for y := 0; y < rows; {
			if !ok[y] || !changed(y) {
				y++
				continue
			}
			top, last, gain := y, y, 0
			for y < rows && ok[y] {
				if changed(y) {
					last = y
					gain += x1 - x0
				}
				y++
			}
			if last+1-top >= minRunRows && gain >= minGain {
				dst := image.Rect(x0, area.Min.Y+top, x1, area.Min.Y+last+1)
				out = append(out, Move{dst, image.Pt(x0, dst.Min.Y-d)})
			}
		}
		if d > 0 { // downwards: the lowest first, so that no source is overwritten before it is read
			for l, r := at, len(out)-1; l < r; l, r = l+1, r-1 {
				out[l], out[r] = out[r], out[l]
			}
		}
	}
	return out
}

// Holds reports whether a move that somebody announced is what happened: sampled
// rows of cur must be those of ref at the move's source.
func (m Move) Holds(cur, ref *Frame) bool {
	if m.Dst.Empty() || !m.Dst.In(cur.Bounds()) || !(image.Rectangle{Min: m.Src, Max: m.Src.Add(m.Dst.Size())}).In(cur.Bounds()) {
		return false
	}
	good, all := 0, 0
	step := max(1, m.Dst.Dy()/24)
	for y := step / 2; y < m.Dst.Dy(); y += step {
		c := cur.Pix[(m.Dst.Min.Y+y)*cur.W+m.Dst.Min.X:][:m.Dst.Dx()]
		r := ref.Pix[(m.Src.Y+y)*ref.W+m.Src.X:][:m.Dst.Dx()]
		all++
		if equal(c, r) {
			good++
		}
	}
	return good*10 >= all*7
}

func equal(a, b []uint32) bool {
	for i, v := range a {
		if v != b[i] {
			return false
		}
	}
	return true
}
