package encode

import (
	"encoding/binary"
	"image"
	"math"
	"math/bits"
	"unsafe"
)

// jpegEncoder is a baseline JPEG encoder with chroma halved in both directions
// (4:2:0) and the standard Huffman tables. image/jpeg takes three and a half
// times as long for the same (BenchmarkJPEGStandard): it calls an interface for
// each pixel and quantises by division.
//
// What makes this one quick: two pixels, and two columns of a block, travel in
// one 64-bit number. A sum or a product with a constant of hi·2³²+lo is exact for
// both halves as long as lo keeps to 32 bits, so the first half of the cosine
// transform does two columns at once; nothing is rounded before quantisation,
// which also holds the scale of every earlier step.
type jpegEncoder struct {
	quality int
	recip   [3][64]int64 // what brings a transformed value to its quantised one, shifted by recipShift
	header  []byte       // all that comes before the picture's size
	out     []byte
	acc     uint64
	n       uint // bits in acc
	y       [4]block
	c       [2]block
	edge    [256]uint32
}

// A block is 8 rows of 4 pairs of columns, the left one in the low half.
type block [32]int64

const (
	factorBits = 12 // of the transform's constants
	recipShift = 18 + 2*factorBits
)

// zigzag is the order in which coefficients are sent; place is its inverse.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

var place = func() (p [64]uint8) {
	for i, z := range zigzag {
		p[z] = uint8(i)
	}
	return p
}()

// The tables of ITU-T T.81, annex K.
var quanta = [2][64]byte{
	{16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
		18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99},
	{17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99},
}

var huffman = [4]struct {
	counts [16]byte
	values []byte
}{
	{[16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{[16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125}, []byte{
		0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08,
		0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
		0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
		0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
		0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6,
		0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
		0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa}},
	{[16]byte{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{[16]byte{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119}, []byte{
		0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91,
		0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
		0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
		0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
		0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4,
		0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
		0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa}},
}

// codes holds for each table and symbol its code << 8 | its length.
var codes = func() (t [4][256]uint32) {
	for i, h := range huffman {
		code, k := uint32(0), 0
		for l, n := range h.counts {
			for range n {
				t[i][h.values[k]] = code<<8 | uint32(l+1)
				code++
				k++
			}
			code <<= 1
		}
	}
	return t
}()

func (e *jpegEncoder) setQuality(q int) {
	q = max(1, min(100, q))
	if e.quality == q {
		return
	}
	e.quality = q
	scale := 200 - 2*q
	if q < 50 {
		scale = 5000 / q
	}
	h := []byte{0xff, 0xd8}
	// The transform below (Arai, Agui, Nakajima) leaves each coefficient scaled by 8 and by two of these factors.
	// Chroma comes in as four times blue or red minus luma, of which Cb is 0.564 and Cr 0.713.
	aan := [8]float64{1, 1.387039845, 1.306562965, 1.175875602, 1, 0.785694958, 0.541196100, 0.275899379}
	h = append(h, 0xff, 0xdb, 0, 2+2*65)
	for t := range quanta {
		h = append(h, byte(t))
		for _, z := range zigzag {
			v := max(1, min(255, (int(quanta[t][z])*scale+50)/100))
			h = append(h, byte(v))
			r := float64(1<<18) / (float64(v) * 8 * aan[z/8] * aan[z%8])
			if t == 0 {
				e.recip[0][z] = int64(math.Round(r))
				continue
			}
			e.recip[1][z] = int64(math.Round(r * 0.5 / (1 - 0.114) / 4))
			e.recip[2][z] = int64(math.Round(r * 0.5 / (1 - 0.299) / 4))
		}
	}
	n := 2
	for _, t := range huffman {
		n += 17 + len(t.values)
	}
	h = append(h, 0xff, 0xc4, byte(n>>8), byte(n))
	for i, t := range huffman {
		h = append(h, byte(i&1)<<4|byte(i>>1))
		h = append(h, t.counts[:]...)
		h = append(h, t.values...)
	}
	e.header = h
}

func (e *jpegEncoder) encode(b []byte, f *Frame, r image.Rectangle, quality int) []byte {
	e.setQuality(quality)
	w, h := r.Dx(), r.Dy()
	b = append(b, e.header...)
	b = append(b, 0xff, 0xc0, 0, 17, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1)
	b = append(b, 0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0)
	e.out, e.acc, e.n = b, 0, 0
	var dcY, dcB, dcR int32
	const level = 128 * 64 << (2 * factorBits) // what the 128 that luma lacks make in the first coefficient
	for y := r.Min.Y; y < r.Max.Y; y += 16 {
		for x := r.Min.X; x < r.Max.X; x += 16 {
			if x+16 <= r.Max.X && y+16 <= r.Max.Y {
				e.load(f.Pix[y*f.W+x:], f.W)
			} else {
				e.repeat(f, r, x, y)
				e.load(e.edge[:], 16)
			}
			for i := range e.y {
				dcY = e.block(&e.y[i], &e.recip[0], 0, level, dcY)
			}
			dcB = e.block(&e.c[0], &e.recip[1], 1, 0, dcB)
			dcR = e.block(&e.c[1], &e.recip[2], 1, 0, dcR)
		}
	}
	e.put(1<<7-1, 7) // fill the last byte with ones
	for e.n >= 8 {
		e.n -= 8
		v := byte(e.acc >> e.n)
		e.out = append(e.out, v)
		if v == 0xff {
			e.out = append(e.out, 0)
		}
	}
	return append(e.out, 0xff, 0xd9)
}

// repeat fills edge with the square at x, y, repeating the last pixels of r past its edge.
func (e *jpegEncoder) repeat(f *Frame, r image.Rectangle, x, y int) {
	for j := range 16 {
		row := f.Pix[min(y+j, r.Max.Y-1)*f.W:]
		for i := range 16 {
			e.edge[j*16+i] = row[min(x+i, r.Max.X-1)]
		}
	}
}

// load turns a square of 16×16 pixels into luma, and into blue and red minus luma, summed over 2×2.
func (e *jpegEncoder) load(pix []uint32, stride int) {
	_ = pix[15*stride+15]
	const low = 0xff000000ff // of both pixels
	luma := func(p uint64) uint64 {
		return ((p>>16&low)*19595 + (p>>8&low)*38470 + (p&low)*7471 + 32768<<32 + 32768) >> 16 & low
	}
	for j := range 8 {
		a := (*[8]uint64)(unsafe.Pointer(&pix[2*j*stride]))
		b := (*[8]uint64)(unsafe.Pointer(&pix[(2*j+1)*stride]))
		at := j & 3 * 8
		left, right := e.y[j>>2*2][at:at+8:at+8], e.y[j>>2*2+1][at:at+8:at+8]
		blue, red := e.c[0][j*4:j*4+4:j*4+4], e.c[1][j*4:j*4+4:j*4+4]
		for i := range 4 {
			p, q, s, t := a[i], b[i], a[i+4], b[i+4]
			yp, yq, ys, yt := luma(p), luma(q), luma(s), luma(t)
			left[i], left[i+4], right[i], right[i+4] = int64(yp), int64(yq), int64(ys), int64(yt)
		}
		for i := range 4 {
			const m = 0xff00ff00ff00ff
			p := a[2*i]&m + b[2*i]&m
			q := a[2*i+1]&m + b[2*i+1]&m
			p, q = p+p>>32, q+q>>32
			y := left
			if i >= 2 {
				y = right
			}
			k := i & 1 * 2
			yp, yq := y[k]+y[k+4], y[k+1]+y[k+5]
			yp, yq = (yp+yp>>32)&0xffff, (yq+yq>>32)&0xffff
			blue[i] = int64(p&0xffff) - yp + (int64(q&0xffff)-yq)<<32
			red[i] = int64(p>>16&0xffff) - yp + (int64(q>>16&0xffff)-yq)<<32
		}
	}
}

// block transforms, quantises and codes one block. It returns the first
// coefficient, from which the next block's differs little.
func (e *jpegEncoder) block(b *block, recip *[64]int64, table int, level int64, dc int32) int32 {
	const c382, c541, c707, c1306 = 1567, 2217, 2896, 5352 // of 1<<factorBits
	for i := range 4 {                                     // down two columns at once
		d0, d1, d2, d3, d4, d5, d6, d7 := b[i], b[i+4], b[i+8], b[i+12], b[i+16], b[i+20], b[i+24], b[i+28]
		t0, t7 := d0+d7, d0-d7
		t1, t6 := d1+d6, d1-d6
		t2, t5 := d2+d5, d2-d5
		t3, t4 := d3+d4, d3-d4
		s0, s3 := t0+t3, (t0-t3)<<factorBits
		s1, s2 := t1+t2, t1-t2
		b[i], b[i+16] = (s0+s1)<<factorBits, (s0-s1)<<factorBits
		z1 := (s2 + t0 - t3) * c707
		b[i+8], b[i+24] = s3+z1, s3-z1
		s0, s1, s2 = t4+t5, t5+t6, t6+t7
		z5 := (s0 - s2) * c382
		z2, z4, z3 := s0*c541+z5, s2*c1306+z5, s1*c707
		t7 <<= factorBits
		z11, z13 := t7+z3, t7-z3
		b[i+20], b[i+12], b[i+4], b[i+28] = z13+z2, z13-z2, z11+z4, z11-z4
	}
	var coef [64]int32
	var mask uint64
	for r := range 8 { // along each row
		p := b[r*4 : r*4+4 : r*4+4]
		left := func(v int64) int64 { return int64(int32(v)) }
		right := func(v int64) int64 { return (v + 1<<31) >> 32 }
		d0, d1, d2, d3, d4, d5, d6, d7 := left(p[0]), right(p[0]), left(p[1]), right(p[1]), left(p[2]), right(p[2]), left(p[3]), right(p[3])
		t0, t7 := d0+d7, d0-d7
		t1, t6 := d1+d6, d1-d6
		t2, t5 := d2+d5, d2-d5
		t3, t4 := d3+d4, d3-d4
		s0, s3 := t0+t3, (t0-t3)<<factorBits
		s1, s2 := t1+t2, t1-t2
		o0, o4 := (s0+s1)<<factorBits, (s0-s1)<<factorBits
		z1 := (s2 + t0 - t3) * c707
		o2, o6 := s3+z1, s3-z1
		s0, s1, s2 = t4+t5, t5+t6, t6+t7
		z5 := (s0 - s2) * c382
		z2, z4, z3 := s0*c541+z5, s2*c1306+z5, s1*c707
		t7 <<= factorBits
		z11, z13 := t7+z3, t7-z3
		o5, o3, o1, o7 := z13+z2, z13-z2, z11+z4, z11-z4
		if r == 0 {
			o0 -= level
		}
		k := recip[r*8 : r*8+8 : r*8+8]
		z := place[r*8 : r*8+8 : r*8+8]
		const half = 1 << (recipShift - 1)
		q0, q1, q2, q3 := (o0*k[0]+half)>>recipShift, (o1*k[1]+half)>>recipShift, (o2*k[2]+half)>>recipShift, (o3*k[3]+half)>>recipShift
		q4, q5, q6, q7 := (o4*k[4]+half)>>recipShift, (o5*k[5]+half)>>recipShift, (o6*k[6]+half)>>recipShift, (o7*k[7]+half)>>recipShift
		if q0|q1|q2|q3 != 0 {
			mask |= uint64(q0|-q0)>>63<<(z[0]&63) | uint64(q1|-q1)>>63<<(z[1]&63) | uint64(q2|-q2)>>63<<(z[2]&63) | uint64(q3|-q3)>>63<<(z[3]&63)
			coef[z[0]&63], coef[z[1]&63], coef[z[2]&63], coef[z[3]&63] = int32(q0), int32(q1), int32(q2), int32(q3)
		}
		if q4|q5|q6|q7 != 0 {
			mask |= uint64(q4|-q4)>>63<<(z[4]&63) | uint64(q5|-q5)>>63<<(z[5]&63) | uint64(q6|-q6)>>63<<(z[6]&63) | uint64(q7|-q7)>>63<<(z[7]&63)
			coef[z[4]&63], coef[z[5]&63], coef[z[6]&63], coef[z[7]&63] = int32(q4), int32(q5), int32(q6), int32(q7)
		}
	}
	diff := coef[0] - dc
	n, v := magnitude(diff)
	c := codes[table*2][n]
	e.put(c>>8<<n|v, uint(c&0xff)+uint(n))
	ac := &codes[table*2+1]
	last := 0
	for mask &^= 1; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros64(mask) & 63
		run := i - last - 1
		last = i
		for ; run > 15; run -= 16 {
			c := ac[0xf0]
			e.put(c>>8, uint(c&0xff))
		}
		n, v := magnitude(max(-1023, min(1023, coef[i]))) // more has no code; happens only near quality 100
		c := ac[run<<4|int(n)]
		e.put(c>>8<<n|v, uint(c&0xff)+uint(n))
	}
	if last != 63 {
		c := ac[0]
		e.put(c>>8, uint(c&0xff))
	}
	return coef[0]
}

// magnitude returns a coefficient's category and the bits that follow its code.
func magnitude(v int32) (n uint32, b uint32) {
	s := v >> 31
	n = uint32(bits.Len32(uint32((v ^ s) - s)))
	return n, uint32(v+s) & (1<<n - 1)
}

func (e *jpegEncoder) put(v uint32, n uint) {
	e.acc = e.acc<<n | uint64(v)
	e.n += n
	if e.n < 32 {
		return
	}
	e.n -= 32
	w := uint32(e.acc >> e.n)
	if inv := ^w; (inv-0x01010101)&w&0x80808080 == 0 { // no byte is 0xff
		e.out = binary.BigEndian.AppendUint32(e.out, w)
		return
	}
	for s := 24; s >= 0; s -= 8 {
		c := byte(w >> s)
		e.out = append(e.out, c)
		if c == 0xff {
			e.out = append(e.out, 0)
		}
	}
}
