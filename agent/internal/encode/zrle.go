package encode

import (
	"image"

	"github.com/klauspost/compress/zlib"

	"github.com/traybell/traybell/agent/internal/rfb"
)

// ZRLE encodes rectangles for viewers without Tight. Its one zlib stream lives as
// long as the connection, so all rectangles must pass through it in the order sent.
type ZRLE struct {
	z    *zlib.Writer
	zOut appender
	tile Encoder // for its palette
	buf  []byte
}

// Append appends the data of a rectangle.
func (e *ZRLE) Append(b []byte, f *Frame, r image.Rectangle, pf rfb.PixelFormat) []byte {
	d := e.buf[:0]
	for y := r.Min.Y; y < r.Max.Y; y += Tile {
		for x := r.Min.X; x < r.Max.X; x += Tile {
			d = e.append(d, f, image.Rect(x, y, min(x+Tile, r.Max.X), min(y+Tile, r.Max.Y)), pf)
		}
	}
	e.buf = d
	e.zOut.b = e.zOut.b[:0]
	if e.z == nil {
		z, err := zlib.NewWriterLevel(&e.zOut, 1)
		if err != nil { // the level is in range
			panic(err)
		}
		e.z = z
	}
	_, _ = e.z.Write(d) // to memory: can't err
	_ = e.z.Flush()
	n := len(e.zOut.b)
	return append(append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), e.zOut.b...)
}

func (e *ZRLE) append(b []byte, f *Frame, r image.Rectangle, pf rfb.PixelFormat) []byte {
	t := &e.tile
	t.index(f, r)
	if t.nPal == 0 || t.nPal > 16 {
		b = append(b, 0)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for _, p := range f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X] {
				b = cpixel(b, p, pf)
			}
		}
		return b
	}
	b = append(b, byte(t.nPal))
	for _, p := range t.pal[:t.nPal] {
		b = cpixel(b, p, pf)
	}
	bits := 4
	switch {
	case t.nPal == 1:
		return b
	case t.nPal == 2:
		bits = 1
	case t.nPal <= 4:
		bits = 2
	}
	w := r.Dx()
	for row := t.idx; len(row) > 0; row = row[w:] {
		var v byte
		have := 0
		for _, p := range row[:w] {
			v = v<<bits | p
			if have += bits; have == 8 {
				b = append(b, v)
				v, have = 0, 0
			}
		}
		if have > 0 {
			b = append(b, v<<(8-have))
		}
	}
	return b
}

// cpixel appends a pixel without the byte that a full format leaves unused (RFC 6143 section 7.7.5).
func cpixel(b []byte, p uint32, pf rfb.PixelFormat) []byte {
	n := len(b)
	b = pf.AppendPixel(b, byte(p>>16), byte(p>>8), byte(p))
	if !pf.Full() {
		return b
	}
	low := max(pf.RShift, pf.GShift, pf.BShift) == 16 // the unused byte is the highest
	if low == pf.BigEndian {
		copy(b[n:], b[n+1:])
	}
	return b[:n+3]
}
