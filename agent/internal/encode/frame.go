// Package encode turns a changed picture into few bytes: it finds which pixels
// changed, which of them only moved, which look like a photograph, and encodes
// the rest as RFB's Tight rectangles, lossless or JPEG.
//
// It is pure computing on pictures in memory. A rectangle's encoding depends on
// nothing but its pixels (the zlib stream is reset for each), so that rectangles
// may be encoded on any core, in any order, or not at all. Package desktop is
// its caller.
package encode

import (
	"image"
	"unsafe"
)

// Frame is a picture of W×H pixels, each 0x00RRGGBB, rows without gaps. The
// highest byte of a pixel is undefined.
type Frame struct {
	W, H int
	Pix  []uint32
	raw  []byte // the same memory
}

// NewFrame returns a black frame.
func NewFrame(w, h int) *Frame { return FrameOf(w, h, make([]uint32, w*h)) }

// FrameOf returns a frame whose pixels live in pix, which holds at least w*h.
func FrameOf(w, h int, pix []uint32) *Frame {
	f := &Frame{W: w, H: h, Pix: pix[:w*h]}
	if w*h > 0 {
		f.raw = unsafe.Slice((*byte)(unsafe.Pointer(&pix[0])), w*h*4)
	}
	return f
}

// Bytes is the frame's memory, four bytes a pixel: blue, green, red, undefined.
func (f *Frame) Bytes() []byte { return f.raw }

// Bounds is the frame's rectangle.
func (f *Frame) Bounds() image.Rectangle { return image.Rect(0, 0, f.W, f.H) }

// Fill paints r in one colour.
func (f *Frame) Fill(r image.Rectangle, colour uint32) {
	r = r.Intersect(f.Bounds())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := f.Pix[y*f.W+r.Min.X : y*f.W+r.Max.X]
		for i := range row {
			row[i] = colour
		}
	}
}

// CopyFrom copies r out of a frame of the same size.
func (f *Frame) CopyFrom(src *Frame, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		copy(f.Pix[y*f.W+r.Min.X:y*f.W+r.Max.X], src.Pix[y*f.W+r.Min.X:y*f.W+r.Max.X])
	}
}

// Move is a rectangle of the picture that came from another place of it.
type Move struct {
	Dst image.Rectangle
	Src image.Point
}

// Delta is how far the rectangle moved.
func (m Move) Delta() image.Point { return m.Dst.Min.Sub(m.Src) }

// Apply does the move on f, as the viewer will.
func (m Move) Apply(f *Frame) {
	w := m.Dst.Dx()
	h := m.Dst.Dy()
	for i := range h {
		y := i
		if m.Src.Y < m.Dst.Min.Y {
			y = h - 1 - i
		}
		d := (m.Dst.Min.Y+y)*f.W + m.Dst.Min.X
		s := (m.Src.Y+y)*f.W + m.Src.X
		copy(f.Pix[d:d+w], f.Pix[s:s+w])
	}
}
