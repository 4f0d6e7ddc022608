package encode

import (
	"encoding/binary"
	"image"
	"math"
	"math/bits"
)

// jpegEncoder is a baseline JPEG encoder with chroma halved in both directions
// (4:2:0) and the standard Huffman tables. image/jpeg does the same in two and a
// half times the time (docs/benchmarks.md), most of it in interfaces per pixel
// and in a slower cosine transform.
type jpegEncoder struct {
	quality int
	recip   [2][64]int32 // by zigzag place: 2^shift / (quantum × the transform's own scale)
	header  []byte       // up to the quantisation tables and Huffman tables
	out     []byte
	acc     uint64
	n       uint // bits in acc
	y       [4][64]int32
	c       [2][64]int32
}

const recipShift = 18

var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

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
	// The transform below (Arai, Agui, Nakajima) leaves each coefficient scaled by 8 and by these two factors.
	aan := [8]float64{1, 1.387039845, 1.306562965, 1.175875602, 1, 0.785694958, 0.541196100, 0.275899379}
	h = append(h, 0xff, 0xdb, 0, 2+2*65)
	for t := range quanta {
		h = append(h, byte(t))
		for i, z := range zigzag {
			v := max(1, min(255, (int(quanta[t][z])*scale+50)/100))
			h = append(h, byte(v))
			e.recip[t][i] = int32(math.Round((1 << recipShift) / (float64(v) * 8 * aan[z/8] * aan[z%8])))
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
	var px [256]uint32
	for y := r.Min.Y; y < r.Max.Y; y += 16 {
		for x := r.Min.X; x < r.Max.X; x += 16 {
			e.load(f, r, x, y, &px)
			for i := range e.y {
				transform(&e.y[i])
				dcY = e.block(&e.y[i], 0, dcY)
			}
			transform(&e.c[0])
			dcB = e.block(&e.c[0], 1, dcB)
			transform(&e.c[1])
			dcR = e.block(&e.c[1], 1, dcR)
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

// load reads a square of 16×16 pixels, repeating the last ones past the edge of r, as luma and halved chroma.
func (e *jpegEncoder) load(f *Frame, r image.Rectangle, x, y int, px *[256]uint32) {
	if x+16 <= r.Max.X && y+16 <= r.Max.Y {
		for j := range 16 {
			copy(px[j*16:j*16+16], f.Pix[(y+j)*f.W+x:][:16])
		}
	} else {
		for j := range 16 {
			row := f.Pix[min(y+j, r.Max.Y-1)*f.W:]
			for i := range 16 {
				px[j*16+i] = row[min(x+i, r.Max.X-1)]
			}
		}
	}
	for by := range 2 {
		for bx := range 2 {
			out := &e.y[by*2+bx]
			for j := range 8 {
				in := px[(by*8+j)*16+bx*8:][:8]
				o := out[j*8 : j*8+8 : j*8+8]
				for i := range o {
					p := in[i]
					o[i] = int32((19595*(p>>16&0xff)+38470*(p>>8&0xff)+7471*(p&0xff)+32768)>>16) - 128
				}
			}
		}
	}
	for j := range 8 {
		a, b := px[j*32:][:16], px[j*32+16:][:16]
		for i := range 8 {
			p, q, s, t := a[2*i], a[2*i+1], b[2*i], b[2*i+1]
			const m = 0xff00ff
			rb := p&m + q&m + s&m + t&m
			gr := int32(p>>8&0xff + q>>8&0xff + s>>8&0xff + t>>8&0xff)
			re, bl := int32(rb>>16), int32(rb&0xffff)
			e.c[0][j*8+i] = (-11056*re - 21712*gr + 32768*bl + 1<<17) >> 18
			e.c[1][j*8+i] = (32768*re - 27440*gr - 5328*bl + 1<<17) >> 18
		}
	}
}

// transform is the discrete cosine transform of Arai, Agui and Nakajima in
// 32-bit integers with 12-bit factors.
func transform(b *[64]int32) {
	const bitsC, half = 12, 1 << 11
	const c382, c541, c707, c1306 = 1567, 2217, 2896, 5352
	for i := 0; i < 64; i += 8 {
		d := b[i : i+8 : i+8]
		t0, t7 := d[0]+d[7], d[0]-d[7]
		t1, t6 := d[1]+d[6], d[1]-d[6]
		t2, t5 := d[2]+d[5], d[2]-d[5]
		t3, t4 := d[3]+d[4], d[3]-d[4]
		s0, s3 := t0+t3, t0-t3
		s1, s2 := t1+t2, t1-t2
		d[0], d[4] = s0+s1, s0-s1
		z1 := ((s2+s3)*c707 + half) >> bitsC
		d[2], d[6] = s3+z1, s3-z1
		s0, s1, s2 = t4+t5, t5+t6, t6+t7
		z5 := (s0 - s2) * c382
		z2 := (s0*c541 + z5 + half) >> bitsC
		z4 := (s2*c1306 + z5 + half) >> bitsC
		z3 := (s1*c707 + half) >> bitsC
		z11, z13 := t7+z3, t7-z3
		d[5], d[3] = z13+z2, z13-z2
		d[1], d[7] = z11+z4, z11-z4
	}
	for i := range 8 {
		d := b[i : i+57 : i+57]
		t0, t7 := d[0]+d[56], d[0]-d[56]
		t1, t6 := d[8]+d[48], d[8]-d[48]
		t2, t5 := d[16]+d[40], d[16]-d[40]
		t3, t4 := d[24]+d[32], d[24]-d[32]
		s0, s3 := t0+t3, t0-t3
		s1, s2 := t1+t2, t1-t2
		d[0], d[32] = s0+s1, s0-s1
		z1 := ((s2+s3)*c707 + half) >> bitsC
		d[16], d[48] = s3+z1, s3-z1
		s0, s1, s2 = t4+t5, t5+t6, t6+t7
		z5 := (s0 - s2) * c382
		z2 := (s0*c541 + z5 + half) >> bitsC
		z4 := (s2*c1306 + z5 + half) >> bitsC
		z3 := (s1*c707 + half) >> bitsC
		z11, z13 := t7+z3, t7-z3
		d[40], d[24] = z13+z2, z13-z2
		d[8], d[56] = z11+z4, z11-z4
	}
}

// block quantises and codes one block, and returns its first coefficient for the next one's difference.
func (e *jpegEncoder) block(b *[64]int32, table int, dc int32) int32 {
	recip := &e.recip[table]
	var coef [64]int32
	var mask uint64
	for i, z := range zigzag {
		v := b[z&63]
		s := v >> 31
		q := int32((int64((v^s)-s)*int64(recip[i]) + 1<<(recipShift-1)) >> recipShift)
		if q != 0 {
			mask |= 1 << i
			coef[i] = (min(q, 1023) ^ s) - s // more has no code; happens only near quality 100
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
		n, v := magnitude(coef[i])
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
