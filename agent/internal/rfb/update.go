package rfb

import (
	"encoding/binary"
	"image"
)

// Update builds one FramebufferUpdate. Its buffer is reused by Reset.
type Update struct {
	B    []byte // the message so far; encoders append a rectangle's data here after Rect
	n    int
	open bool // its head has been handed out
}

// Reset starts a new, empty update.
func (u *Update) Reset() {
	u.B = append(u.B[:0], 0, 0, 0, 0)
	u.n, u.open = 0, false
}

// Rects is the number of rectangles begun.
func (u *Update) Rects() int { return u.n }

// Rect begins a rectangle; its data must be appended to B next.
func (u *Update) Rect(r image.Rectangle, encoding int32) {
	u.n++
	u.B = append16(u.B, r.Min.X, r.Min.Y, r.Dx(), r.Dy())
	u.B = binary.BigEndian.AppendUint32(u.B, uint32(encoding))
}

// Copy tells the viewer to copy pixels it has to r, from the rectangle of the same size at src.
func (u *Update) Copy(r image.Rectangle, src image.Point) {
	u.Rect(r, EncCopyRect)
	u.B = append16(u.B, src.X, src.Y)
}

// Size tells a viewer of plain DesktopSize the new size of the screen.
func (u *Update) Size(w, h int) { u.Rect(image.Rect(0, 0, w, h), EncDesktopSize) }

// ExtendedSize tells the size of the screen, made of one monitor, with the
// reason (SizeByServer, SizeByClient) and result (SizeDone, SizeProhibited).
func (u *Update) ExtendedSize(reason, result, w, h int) {
	u.n++
	u.B = append16(u.B, reason, result, w, h)
	ext := EncExtDesktopSize
	u.B = binary.BigEndian.AppendUint32(u.B, uint32(ext))
	u.B = append(u.B, 1, 0, 0, 0) // one screen, id 0
	u.B = append(u.B, 0, 0, 0, 0)
	u.B = append16(u.B, 0, 0, w, h, 0, 0)
}

// Announce sends the empty rectangle by which a server says that it understands an extension.
func (u *Update) Announce(encoding int32) { u.Rect(image.Rectangle{}, encoding) }

// Name tells the desktop's name.
func (u *Update) Name(name string) {
	u.Rect(image.Rectangle{}, EncDesktopName)
	u.B = binary.BigEndian.AppendUint32(u.B, uint32(len(name)))
	u.B = append(u.B, name...)
}

// Cursor is the shape of the pointer. Pix holds w*h pixels, each red, green,
// blue and alpha, the colours not multiplied by alpha.
type Cursor struct {
	W, H, HotX, HotY int
	Pix              []byte
}

func (u *Update) cursorRect(c Cursor, encoding int32) {
	u.Rect(image.Rect(c.HotX, c.HotY, c.HotX+c.W, c.HotY+c.H), encoding)
}

// CursorVMware sends the pointer's shape with alpha as VMware's pseudo-encoding, which noVNC asks for.
func (u *Update) CursorVMware(c Cursor) {
	u.cursorRect(c, EncVMwareCursor)
	u.B = append(u.B, 1, 0) // alpha
	u.B = append(u.B, c.Pix...)
}

// CursorAlpha sends the pointer's shape with alpha, colours multiplied, as TigerVNC's pseudo-encoding.
func (u *Update) CursorAlpha(c Cursor) {
	u.cursorRect(c, EncCursorAlpha)
	u.B = binary.BigEndian.AppendUint32(u.B, uint32(EncRaw))
	for p := c.Pix; len(p) >= 4; p = p[4:] {
		a := int(p[3])
		u.B = append(u.B, byte(int(p[0])*a/255), byte(int(p[1])*a/255), byte(int(p[2])*a/255), p[3])
	}
}

// CursorMask sends the pointer's shape with a one-bit mask, as RFC 6143 knows it.
func (u *Update) CursorMask(c Cursor, f PixelFormat) {
	u.cursorRect(c, EncCursor)
	for p := c.Pix; len(p) >= 4; p = p[4:] {
		u.B = f.AppendPixel(u.B, p[0], p[1], p[2])
	}
	for y := range c.H {
		var bits byte
		for x := range c.W {
			if c.Pix[(y*c.W+x)*4+3] >= 128 {
				bits |= 0x80 >> (x & 7)
			}
			if x&7 == 7 || x == c.W-1 {
				u.B = append(u.B, bits)
				bits = 0
			}
		}
	}
}

// Promise fixes the number of rectangles: those begun and so many more. What
// stands in B may then be sent, and B emptied, while the rest is still being made.
func (u *Update) Promise(more int) {
	binary.BigEndian.PutUint16(u.B[2:], uint16(u.n+more))
	u.open = true
}

// Bytes ends the update and returns the message, or after Promise what is left of it.
func (u *Update) Bytes() []byte {
	if u.open {
		return u.B
	}
	binary.BigEndian.PutUint16(u.B[2:], uint16(u.n))
	return u.B
}

// AppendFence appends a fence message of the server.
func AppendFence(b []byte, flags uint32, payload []byte) []byte {
	b = append(b, 248, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, flags)
	b = append(b, byte(len(payload)))
	return append(b, payload...)
}

// AppendEndOfContinuous appends the message that ends continuous updates and,
// sent first, says that the server knows them.
func AppendEndOfContinuous(b []byte) []byte { return append(b, 150) }
