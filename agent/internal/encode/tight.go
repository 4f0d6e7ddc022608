package encode

import (
	"image"

	"github.com/klauspost/compress/zlib"

	"github.com/traybell/traybell/agent/internal/rfb"
)

// Encoder encodes rectangles. It keeps its scratch memory; one goroutine at a
// time may use it.
type Encoder struct {
	z      *zlib.Writer
	zLevel int
	zOut   appender
	idx    []byte
	data   []byte
	pal    [256]uint32
	nPal   int
	keys   [1024]uint32 // open addressing: colour | 1<<24
	slot   [1024]uint8
	jpeg   jpegEncoder
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// Raw appends the pixels of r uncompressed.
func (e *Encoder) Raw(b []byte, f *Frame, r image.Rectangle, pf rfb.PixelFormat) []byte {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for _, p := range f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X] {
			b = pf.AppendPixel(b, byte(p>>16), byte(p>>8), byte(p))
		}
	}
	return b
}

// Tight appends the data of a lossless Tight rectangle: one colour, a palette,
// or all pixels. Level is zlib's, 1 to 9. The rectangle may be at most 2048 wide.
func (e *Encoder) Tight(b []byte, f *Frame, r image.Rectangle, pf rfb.PixelFormat, level int) []byte {
	const explicitFilter, palette = 0x40, 1
	switch e.index(f, r); {
	case e.nPal == 1:
		return e.tpixel(append(b, 0x80), e.pal[0], pf)
	case e.nPal == 2:
		b = append(b, explicitFilter|1, palette, 1)
		b = e.tpixel(e.tpixel(b, e.pal[0], pf), e.pal[1], pf)
		return e.pack(b, e.bits(r.Dx(), r.Dy()), level)
	case e.nPal > 0:
		b = append(b, explicitFilter|1, palette, byte(e.nPal-1))
		for _, p := range e.pal[:e.nPal] {
			b = e.tpixel(b, p, pf)
		}
		return e.pack(b, e.idx, level)
	}
	d := e.data[:0]
	if pf.Full() {
		n := r.Dx() * r.Dy() * 3
		if cap(d) < n {
			d = make([]byte, n)
		}
		d = d[:n]
		i := 0
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for _, p := range f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X] {
				o := d[i : i+3 : i+3]
				o[0], o[1], o[2] = byte(p>>16), byte(p>>8), byte(p)
				i += 3
			}
		}
	} else {
		d = e.Raw(d, f, r, pf)
	}
	e.data = d
	return e.pack(append(b, 1), d, level)
}

// JPEG appends the data of a Tight JPEG rectangle in quality 1 to 100.
func (e *Encoder) JPEG(b []byte, f *Frame, r image.Rectangle, quality int) []byte {
	e.data = e.jpeg.encode(e.data[:0], f, r, quality)
	b = appendLength(append(b, 0x90), len(e.data))
	return append(b, e.data...)
}

func (e *Encoder) tpixel(b []byte, p uint32, pf rfb.PixelFormat) []byte {
	if pf.Full() {
		return append(b, byte(p>>16), byte(p>>8), byte(p))
	}
	return pf.AppendPixel(b, byte(p>>16), byte(p>>8), byte(p))
}

// index counts the colours of r into pal, and writes each pixel's place in it
// into idx. With more than 256 colours nPal is 0.
func (e *Encoder) index(f *Frame, r image.Rectangle) {
	n := r.Dx() * r.Dy()
	if cap(e.idx) < n {
		e.idx = make([]byte, n)
	}
	e.idx = e.idx[:n]
	clear(e.keys[:])
	e.nPal = 0
	last, at := uint32(0), uint8(0) // no key is 0
	i := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X]
		out := e.idx[i : i+len(row)]
		i += len(row)
		for x, p := range row {
			c := p&0xffffff | 1<<24
			if c != last {
				k := c * 0x9E3779B1 >> 22
				for e.keys[k] != 0 && e.keys[k] != c {
					k = (k + 1) & 1023
				}
				if e.keys[k] == 0 {
					if e.nPal == 256 {
						e.nPal = 0
						return
					}
					e.keys[k], e.slot[k] = c, uint8(e.nPal)
					e.pal[e.nPal] = p & 0xffffff
					e.nPal++
				}
				last, at = c, e.slot[k]
			}
			out[x] = at
		}
	}
}

// bits packs idx, which holds only 0 and 1, into bits, rows on whole bytes.
func (e *Encoder) bits(w, h int) []byte {
	d := e.data[:0]
	for y := range h {
		row := e.idx[y*w : (y+1)*w]
		for len(row) >= 8 {
			d = append(d, row[0]<<7|row[1]<<6|row[2]<<5|row[3]<<4|row[4]<<3|row[5]<<2|row[6]<<1|row[7])
			row = row[8:]
		}
		if len(row) > 0 {
			var v byte
			for i, p := range row {
				v |= p << (7 - i)
			}
			d = append(d, v)
		}
	}
	e.data = d
	return d
}

// pack appends data compressed by a fresh zlib stream, or as it is when under 12 bytes.
func (e *Encoder) pack(b, data []byte, level int) []byte {
	if len(data) < 12 {
		return append(b, data...)
	}
	e.zOut.b = e.zOut.b[:0]
	if e.z == nil || e.zLevel != level {
		z, err := zlib.NewWriterLevel(&e.zOut, level)
		if err != nil { // the level is ours and in range
			panic(err)
		}
		e.z, e.zLevel = z, level
	} else {
		e.z.Reset(&e.zOut)
	}
	// Writing to memory can't err. Flush, not Close: some decoders take the end of a stream for an error.
	_, _ = e.z.Write(data)
	_ = e.z.Flush()
	b = appendLength(b, len(e.zOut.b))
	return append(b, e.zOut.b...)
}

// appendLength appends Tight's compact length, at most 22 bits.
func appendLength(b []byte, n int) []byte {
	switch {
	case n < 1<<7:
		return append(b, byte(n))
	case n < 1<<14:
		return append(b, byte(n)|0x80, byte(n>>7))
	}
	return append(b, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14))
}
