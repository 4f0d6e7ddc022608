// Package rfbtest is an RFB viewer for tests. It decodes what it is sent into
// pixels, strictly: anything that breaks the protocol or leaves the picture ends
// it with an error. It behaves as noVNC does, with fences and continuous updates.
package rfbtest

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/rfb"
)

// NoVNC is what noVNC 1.7 asks for, quality level 6, of what this viewer decodes.
var NoVNC = []int32{rfb.EncCopyRect, rfb.EncTight, rfb.EncZRLE, rfb.EncRaw, rfb.EncQuality0 + 6, rfb.EncCompress0 + 2, rfb.EncDesktopSize, rfb.EncLastRect,
	rfb.EncQEMUKey, rfb.EncExtDesktopSize, rfb.EncFence, rfb.EncContinuous, rfb.EncDesktopName, rfb.EncExtMouseButtons, rfb.EncVMwareCursor, rfb.EncCursor}

// Without returns a list of encodings without some.
func Without(list []int32, out ...int32) []int32 {
	return slices.DeleteFunc(slices.Clone(list), func(e int32) bool { return slices.Contains(out, e) })
}

// RGBX is noVNC's pixel format.
var RGBX = rfb.PixelFormat{BPP: 32, Depth: 24, TrueColour: true, RMax: 255, GMax: 255, BMax: 255, RShift: 0, GShift: 8, BShift: 16}

// Viewer is a connected viewer.
type Viewer struct {
	t      testing.TB
	conn   net.Conn
	br     *bufio.Reader
	count  *counter
	wmu    sync.Mutex
	format rfb.PixelFormat

	mu      sync.Mutex
	w, h    int
	name    string
	pix     []uint32 // 0x00RRGGBB
	rects   map[int32]int
	copied  int // pixels that came by CopyRect
	cursor  *rfb.Cursor
	refused int
	cont    bool
	qemu    bool
	buttons bool
	noFence bool
	updates int
	err     error
	tight   [4]*zstream
	zrle    *zstream
	notify  chan struct{}
}

type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Connect does the handshake, sets format and encodings, and asks for the first
// picture. The viewer ends with the test.
func Connect(t testing.TB, conn net.Conn, format rfb.PixelFormat, encodings []int32) *Viewer {
	t.Helper()
	v := &Viewer{t: t, conn: conn, format: format, rects: map[int32]int{}, notify: make(chan struct{}, 1), count: &counter{r: conn}}
	v.br = bufio.NewReaderSize(v.count, 64<<10)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := v.handshake(); err != nil {
		t.Fatalf("viewer's handshake: %v", err)
	}
	conn.SetDeadline(time.Time{})
	flag := func(b bool) byte {
		if b {
			return 1
		}
		return 0
	}
	f := format
	m := []byte{0, 0, 0, 0, f.BPP, f.Depth, flag(f.BigEndian), flag(f.TrueColour)}
	m = binary.BigEndian.AppendUint16(m, f.RMax)
	m = binary.BigEndian.AppendUint16(m, f.GMax)
	m = binary.BigEndian.AppendUint16(m, f.BMax)
	v.Send(append(m, f.RShift, f.GShift, f.BShift, 0, 0, 0))
	m = []byte{2, 0, byte(len(encodings) >> 8), byte(len(encodings))}
	for _, e := range encodings {
		m = binary.BigEndian.AppendUint32(m, uint32(e))
	}
	v.Send(m)
	v.Request(false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.loop()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return v
}

func (v *Viewer) handshake() error {
	var b [24]byte
	if _, err := io.ReadFull(v.br, b[:12]); err != nil {
		return err
	}
	if string(b[:12]) != "RFB 003.008\n" {
		return fmt.Errorf("version %q", b[:12])
	}
	v.Send([]byte("RFB 003.008\n"))
	if _, err := io.ReadFull(v.br, b[:2]); err != nil {
		return err
	}
	if b[0] != 1 || b[1] != 1 {
		return fmt.Errorf("security types %v", b[:2])
	}
	v.Send([]byte{1})
	if _, err := io.ReadFull(v.br, b[:4]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b[:]) != 0 {
		return fmt.Errorf("refused")
	}
	v.Send([]byte{1})
	if _, err := io.ReadFull(v.br, b[:24]); err != nil {
		return err
	}
	v.resize(int(binary.BigEndian.Uint16(b[:])), int(binary.BigEndian.Uint16(b[2:])))
	name := make([]byte, min(4096, binary.BigEndian.Uint32(b[20:])))
	_, err := io.ReadFull(v.br, name)
	v.name = string(name)
	return err
}

func (v *Viewer) resize(w, h int) {
	v.w, v.h = w, h
	v.pix = make([]uint32, w*h)
	for i := range v.pix {
		v.pix[i] = 0xffffffff // never sent
	}
}

// Send writes bytes of a message.
func (v *Viewer) Send(b []byte) {
	v.wmu.Lock()
	defer v.wmu.Unlock()
	v.conn.Write(b) // a broken connection shows in reading
}

// Request asks for the whole screen.
func (v *Viewer) Request(incremental bool) {
	v.mu.Lock()
	m := []byte{3, 0, 0, 0, 0, 0, byte(v.w >> 8), byte(v.w), byte(v.h >> 8), byte(v.h)}
	v.mu.Unlock()
	if incremental {
		m[1] = 1
	}
	v.Send(m)
}

// Key sends a key event by keysym.
func (v *Viewer) Key(sym uint32, down bool) {
	m := []byte{4, 0, 0, 0, byte(sym >> 24), byte(sym >> 16), byte(sym >> 8), byte(sym)}
	if down {
		m[1] = 1
	}
	v.Send(m)
}

// Type sends a key pressed and released.
func (v *Viewer) Type(sym uint32) {
	v.Key(sym, true)
	v.Key(sym, false)
}

// ScanKey sends a QEMU key event: keysym and PC scan code.
func (v *Viewer) ScanKey(sym, scan uint32, down bool) {
	m := []byte{255, 0, 0, 0}
	if down {
		m[3] = 1
	}
	m = binary.BigEndian.AppendUint32(m, sym)
	v.Send(binary.BigEndian.AppendUint32(m, scan))
}

// Pointer moves the pointer with buttons held: bit 0 is the left one.
func (v *Viewer) Pointer(x, y int, buttons byte) {
	v.Send([]byte{5, buttons, byte(x >> 8), byte(x), byte(y >> 8), byte(y)})
}

// HoldFences makes the viewer leave fences unanswered, like one whose line is slow.
func (v *Viewer) HoldFences(hold bool) {
	v.mu.Lock()
	v.noFence = hold
	v.mu.Unlock()
}

// Hangup closes the connection.
func (v *Viewer) Hangup() { v.conn.Close() }

// Err is why the viewer ended; nil while it runs.
func (v *Viewer) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Size is the screen's size as told last.
func (v *Viewer) Size() (w, h int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.w, v.h
}

// Name is the desktop's name.
func (v *Viewer) Name() string { return v.name }

// Picture is a copy of the pixels, 0x00RRGGBB; those never sent are 0xffffffff.
func (v *Viewer) Picture() []uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.pix)
}

// Pixel is one pixel.
func (v *Viewer) Pixel(x, y int) uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pix[y*v.w+x]
}

// Stats are the rectangles so far by encoding, the pixels that were copied, and all bytes received.
func (v *Viewer) Stats() (rects map[int32]int, copied int, bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	rects = map[int32]int{}
	for e, n := range v.rects {
		rects[e] = n
	}
	return rects, v.copied, v.count.n.Load()
}

// Updates is the number of updates received.
func (v *Viewer) Updates() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.updates
}

// Cursor is the pointer's shape as told last, or nil.
func (v *Viewer) Cursor() *rfb.Cursor {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.cursor
}

// SizeRefused is how often a wish for another size was refused.
func (v *Viewer) SizeRefused() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refused
}

// Knows reports whether the server said that it knows QEMU key events and extended mouse buttons.
func (v *Viewer) Knows() (qemu, buttons bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.qemu, v.buttons
}

// Until waits until ok holds, looking after each update; it fails the test when
// that takes too long or the viewer ended.
func (v *Viewer) Until(within time.Duration, what string, ok func() bool) {
	v.t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	for !ok() {
		if err := v.Err(); err != nil {
			v.t.Fatalf("viewer ended before %s: %v", what, err)
		}
		select {
		case <-v.notify:
		case <-late.C:
			v.t.Fatalf("not within %v: %s", within, what)
		}
	}
}

type broken struct{ err error }

func (v *Viewer) check(err error) {
	if err != nil {
		panic(broken{err})
	}
}

func (v *Viewer) fault(format string, args ...any) {
	panic(broken{fmt.Errorf(format, args...)})
}

func (v *Viewer) tell() {
	select {
	case v.notify <- struct{}{}:
	default:
	}
}

func (v *Viewer) loop() {
	defer v.tell()
	defer func() {
		if r := recover(); r != nil {
			b, ok := r.(broken)
			if !ok {
				panic(r)
			}
			v.mu.Lock()
			v.err = b.err
			v.mu.Unlock()
		}
	}()
	for {
		switch t := v.u8(); t {
		case 0:
			v.frame()
			v.mu.Lock()
			cont := v.cont
			v.mu.Unlock()
			if !cont {
				v.Request(true)
			}
			v.tell()
		case 150:
			v.mu.Lock()
			first := !v.cont
			v.cont = true
			w, h := v.w, v.h
			v.mu.Unlock()
			if first {
				v.Send([]byte{150, 1, 0, 0, 0, 0, byte(w >> 8), byte(w), byte(h >> 8), byte(h)})
			}
		case 248:
			v.bytes(3)
			flags := v.u32()
			p := v.bytes(int(v.u8()))
			v.mu.Lock()
			hold := v.noFence
			v.mu.Unlock()
			if flags&rfb.FenceRequest != 0 && !hold {
				v.Send(rfb.AppendFence(nil, flags&(rfb.FenceBlockBefore|rfb.FenceBlockAfter), p))
			}
		default:
			v.fault("message type %d", t)
		}
	}
}

func (v *Viewer) u8() byte {
	b, err := v.br.ReadByte()
	v.check(err)
	return b
}
func (v *Viewer) u16() int    { return int(v.u8())<<8 | int(v.u8()) }
func (v *Viewer) u32() uint32 { return uint32(v.u16())<<16 | uint32(v.u16()) }
func (v *Viewer) bytes(n int) []byte {
	b := make([]byte, n)
	_, err := io.ReadFull(v.br, b)
	v.check(err)
	return b
}

func (v *Viewer) frame() {
	v.u8()
	n := v.u16()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.updates++
	for range n {
		x, y, w, h := v.u16(), v.u16(), v.u16(), v.u16()
		e := int32(v.u32())
		r := image.Rect(x, y, x+w, y+h)
		if e >= 0 && e < 100 && (!r.In(image.Rect(0, 0, v.w, v.h)) || r.Empty()) {
			v.fault("rectangle %v of encoding %d outside %d×%d", r, e, v.w, v.h)
		}
		v.rects[e]++
		switch e {
		case rfb.EncRaw:
			for yy := range h {
				for xx := range w {
					v.pix[(y+yy)*v.w+x+xx] = v.pixel()
				}
			}
		case rfb.EncCopyRect:
			v.copyRect(r, image.Pt(v.u16(), v.u16()))
		case rfb.EncTight:
			v.tightRect(r)
		case rfb.EncZRLE:
			v.zrleRect(r)
		case rfb.EncDesktopSize:
			v.resize(w, h)
		case rfb.EncExtDesktopSize:
			v.bytes(3 + 16*int(v.u8()))
			if x == rfb.SizeByClient {
				if y == rfb.SizeProhibited {
					v.refused++
				}
			} else if w != v.w || h != v.h {
				v.resize(w, h)
			}
		case rfb.EncQEMUKey:
			v.qemu = true
		case rfb.EncExtMouseButtons:
			v.buttons = true
		case rfb.EncVMwareCursor:
			if b := v.bytes(2); b[0] != 1 {
				v.fault("cursor type %d", b[0])
			}
			v.cursor = &rfb.Cursor{W: w, H: h, HotX: x, HotY: y, Pix: v.bytes(w * h * 4)}
		case rfb.EncCursor:
			v.bytes(w*h*int(v.format.BPP/8) + (w+7)/8*h)
			v.cursor = &rfb.Cursor{W: w, H: h, HotX: x, HotY: y}
		case rfb.EncCursorAlpha:
			if v.u32() != 0 {
				v.fault("cursor not raw")
			}
			v.cursor = &rfb.Cursor{W: w, H: h, HotX: x, HotY: y, Pix: v.bytes(w * h * 4)}
		default:
			v.fault("encoding %d was not asked for", e)
		}
	}
}

// pixel reads one pixel in the viewer's format.
func (v *Viewer) pixel() uint32 { return v.value(v.bytes(int(v.format.BPP / 8))) }

func (v *Viewer) value(b []byte) uint32 {
	var n uint32
	for i := range b {
		if v.format.BigEndian {
			n = n<<8 | uint32(b[i])
		} else {
			n |= uint32(b[i]) << (8 * i)
		}
	}
	f := v.format
	part := func(max uint16, shift uint8) uint32 { return (n >> shift & uint32(max)) * 255 / uint32(max) }
	return part(f.RMax, f.RShift)<<16 | part(f.GMax, f.GShift)<<8 | part(f.BMax, f.BShift)
}

// tpixel takes one pixel as Tight has it.
func (v *Viewer) tpixel(b []byte) (uint32, []byte) {
	if v.format.Full() {
		return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]), b[3:]
	}
	n := int(v.format.BPP / 8)
	return v.value(b[:n]), b[n:]
}

func (v *Viewer) tpixelSize() int {
	if v.format.Full() {
		return 3
	}
	return int(v.format.BPP / 8)
}

func (v *Viewer) copyRect(r image.Rectangle, src image.Point) {
	if !(image.Rectangle{Min: src, Max: src.Add(r.Size())}).In(image.Rect(0, 0, v.w, v.h)) {
		v.fault("copy of %v from %v outside the picture", r, src)
	}
	old := slices.Clone(v.pix)
	for y := range r.Dy() {
		for x := range r.Dx() {
			v.pix[(r.Min.Y+y)*v.w+r.Min.X+x] = old[(src.Y+y)*v.w+src.X+x]
		}
	}
	v.copied += r.Dx() * r.Dy()
}

func (v *Viewer) fill(r image.Rectangle, at func(x, y int) uint32) {
	for y := range r.Dy() {
		for x := range r.Dx() {
			v.pix[(r.Min.Y+y)*v.w+r.Min.X+x] = at(x, y)
		}
	}
}

func (v *Viewer) tightRect(r image.Rectangle) {
	if r.Dx() > 2048 {
		v.fault("Tight rectangle %d wide", r.Dx())
	}
	ctl := v.u8()
	for i := range v.tight {
		if ctl>>i&1 != 0 {
			v.tight[i] = nil
		}
	}
	size := v.tpixelSize()
	switch ctl >>= 4; {
	case ctl == 8:
		c, _ := v.tpixel(v.bytes(size))
		v.fill(r, func(int, int) uint32 { return c })
		return
	case ctl == 9:
		img, err := jpeg.Decode(bytes.NewReader(v.bytes(v.length())))
		v.check(err)
		if img.Bounds().Size() != r.Size() {
			v.fault("JPEG of %v for %v", img.Bounds(), r)
		}
		v.fill(r, func(x, y int) uint32 {
			c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
			return uint32(c.R)<<16 | uint32(c.G)<<8 | uint32(c.B)
		})
		return
	case ctl > 9:
		v.fault("Tight control %d", ctl)
	}
	filter := byte(0)
	if ctl&4 != 0 {
		filter = v.u8()
	}
	switch filter {
	case 0:
		data := v.inflate(int(ctl&3), r.Dx()*r.Dy()*size)
		v.fill(r, func(x, y int) uint32 {
			c, _ := v.tpixel(data[(y*r.Dx()+x)*size:])
			return c
		})
	case 1:
		n := int(v.u8()) + 1
		b := v.bytes(n * size)
		pal := make([]uint32, n)
		for i := range pal {
			pal[i], b = v.tpixel(b)
		}
		row := r.Dx()
		if n == 2 {
			row = (r.Dx() + 7) / 8
		}
		data := v.inflate(int(ctl&3), row*r.Dy())
		v.fill(r, func(x, y int) uint32 {
			if n == 2 {
				return pal[data[y*row+x/8]>>(7-x%8)&1]
			}
			if int(data[y*row+x]) >= n {
				v.fault("colour %d of %d", data[y*row+x], n)
			}
			return pal[data[y*row+x]]
		})
	default:
		v.fault("Tight filter %d", filter)
	}
}

func (v *Viewer) length() int {
	b := v.u8()
	n := int(b & 127)
	if b&128 != 0 {
		b = v.u8()
		n |= int(b&127) << 7
		if b&128 != 0 {
			n |= int(v.u8()) << 14
		}
	}
	return n
}

// zstream is a zlib stream that gets its input piece by piece.
type zstream struct {
	in bytes.Buffer
	z  io.ReadCloser
}

func (s *zstream) read(in []byte, out []byte) error {
	s.in.Write(in)
	if s.z == nil {
		z, err := zlib.NewReader(&s.in)
		if err != nil {
			return err
		}
		s.z = z
	}
	_, err := io.ReadFull(s.z, out)
	return err
}

func (v *Viewer) inflate(stream, n int) []byte {
	if n < 12 {
		return v.bytes(n)
	}
	in := v.bytes(v.length())
	if v.tight[stream] == nil {
		v.tight[stream] = &zstream{}
	}
	out := make([]byte, n)
	v.check(v.tight[stream].read(in, out))
	return out
}

func (v *Viewer) zrleRect(r image.Rectangle) {
	in := v.bytes(int(v.u32()))
	if v.zrle == nil {
		v.zrle = &zstream{}
	}
	one := func() byte {
		var b [1]byte
		v.check(v.zrle.read(in, b[:]))
		in = nil
		return b[0]
	}
	size := v.tpixelSize()
	pixel := func() uint32 {
		var b [4]byte
		for i := range size {
			b[i] = one()
		}
		if !v.format.Full() {
			return v.value(b[:size])
		}
		low := max(v.format.RShift, v.format.GShift, v.format.BShift) == 16 // the unused byte is the highest
		raw := []byte{b[0], b[1], b[2], 0}
		if low == v.format.BigEndian {
			raw = []byte{0, b[0], b[1], b[2]}
		}
		return v.value(raw)
	}
	for ty := r.Min.Y; ty < r.Max.Y; ty += 64 {
		for tx := r.Min.X; tx < r.Max.X; tx += 64 {
			tile := image.Rect(tx, ty, min(tx+64, r.Max.X), min(ty+64, r.Max.Y))
			sub := one()
			switch {
			case sub == 0:
				v.fill(tile, func(int, int) uint32 { return pixel() })
			case sub == 1:
				c := pixel()
				v.fill(tile, func(int, int) uint32 { return c })
			case sub <= 16:
				pal := make([]uint32, sub)
				for i := range pal {
					pal[i] = pixel()
				}
				bits := 4
				if sub == 2 {
					bits = 1
				} else if sub <= 4 {
					bits = 2
				}
				var b byte
				have := 0
				v.fill(tile, func(x, _ int) uint32 {
					if x == 0 {
						have = 0
					}
					if have == 0 {
						b, have = one(), 8
					}
					have -= bits
					i := int(b >> have & (1<<bits - 1))
					if i >= len(pal) {
						v.fault("ZRLE colour %d of %d", i, len(pal))
					}
					return pal[i]
				})
			default:
				v.fault("ZRLE sub-encoding %d", sub)
			}
		}
	}
}
