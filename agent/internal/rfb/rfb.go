// Package rfb is the server side of the RFB 3.8 protocol (RFC 6143) and of the
// extensions that viewers rely on today: fences, continuous updates, extended
// desktop size, QEMU key events, extended mouse buttons and cursors with alpha.
//
// It is pure: it parses bytes of an io.Reader into messages and appends
// messages to byte slices. It knows no screen, no clock and no goroutine. Every
// length read from a viewer is bounded before anything is allocated. Package
// desktop is its caller.
package rfb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Encodings and pseudo-encodings, by their registered numbers.
const (
	EncRaw             int32 = 0
	EncCopyRect        int32 = 1
	EncTight           int32 = 7
	EncZRLE            int32 = 16
	EncQuality0        int32 = -32 // quality level 0; level 9 is -23
	EncQuality9        int32 = -23
	EncDesktopSize     int32 = -223
	EncLastRect        int32 = -224
	EncCursor          int32 = -239
	EncCompress0       int32 = -256
	EncCompress9       int32 = -247
	EncQEMUKey         int32 = -258
	EncDesktopName     int32 = -307
	EncExtDesktopSize  int32 = -308
	EncFence           int32 = -312
	EncContinuous      int32 = -313
	EncCursorAlpha     int32 = -314
	EncExtMouseButtons int32 = -316
	EncVMwareCursor    int32 = 0x574d5664
)

// Flags of a fence.
const (
	FenceBlockBefore uint32 = 1 << 0
	FenceBlockAfter  uint32 = 1 << 1
	FenceSyncNext    uint32 = 1 << 2
	FenceRequest     uint32 = 1 << 31
)

// Answers of ExtendedDesktopSize: who caused the change, and how it went.
const (
	SizeByServer   = 0
	SizeByClient   = 1
	SizeDone       = 0
	SizeProhibited = 1
)

// Limits on what a viewer may send. Beyond them the connection is at fault.
const (
	MaxEncodings = 1024
	MaxCutText   = 1 << 20
	MaxFence     = 64
	MaxScreens   = 255
)

// ErrProtocol is the kind of every error caused by a viewer that breaks the protocol.
var ErrProtocol = errors.New("viewer broke the RFB protocol")

func protocol(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// PixelFormat says how a viewer wants its pixels (RFC 6143 section 7.4).
type PixelFormat struct {
	BPP, Depth             uint8
	BigEndian, TrueColour  bool
	RMax, GMax, BMax       uint16
	RShift, GShift, BShift uint8
}

// Native is the format that costs nothing to serve: bytes blue, green, red, unused.
var Native = PixelFormat{BPP: 32, Depth: 24, TrueColour: true, RMax: 255, GMax: 255, BMax: 255, RShift: 16, GShift: 8}

// Usable returns an error when pixels can't be made in this format: colour
// maps and maxima or shifts that don't fit the pixel.
func (f PixelFormat) Usable() error {
	if !f.TrueColour {
		return protocol("colour maps are not supported")
	}
	if f.BPP != 8 && f.BPP != 16 && f.BPP != 32 {
		return protocol("%d bits per pixel", f.BPP)
	}
	for _, c := range [3]struct {
		max   uint16
		shift uint8
	}{{f.RMax, f.RShift}, {f.GMax, f.GShift}, {f.BMax, f.BShift}} {
		if c.max == 0 || c.max&(c.max+1) != 0 {
			return protocol("colour maximum %d", c.max)
		}
		if c.shift >= f.BPP || uint64(c.max)<<c.shift >= 1<<f.BPP {
			return protocol("colour shift %d", c.shift)
		}
	}
	return nil
}

// Full reports whether the format holds 8 bits of each colour in 32 bits, so
// that Tight sends a pixel as the three bytes red, green, blue.
func (f PixelFormat) Full() bool {
	return f.BPP == 32 && f.Depth == 24 && f.RMax == 255 && f.GMax == 255 && f.BMax == 255
}

// AppendPixel appends one colour in this format.
func (f PixelFormat) AppendPixel(b []byte, red, green, blue byte) []byte {
	v := f.value(red, green, blue)
	switch {
	case f.BPP == 8:
		return append(b, byte(v))
	case f.BPP == 16 && f.BigEndian:
		return binary.BigEndian.AppendUint16(b, uint16(v))
	case f.BPP == 16:
		return binary.LittleEndian.AppendUint16(b, uint16(v))
	case f.BigEndian:
		return binary.BigEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, v)
}

func (f PixelFormat) value(red, green, blue byte) uint32 {
	scale := func(c byte, max uint16) uint32 { return (uint32(c)*uint32(max) + 127) / 255 }
	return scale(red, f.RMax)<<f.RShift | scale(green, f.GMax)<<f.GShift | scale(blue, f.BMax)<<f.BShift
}

func (f PixelFormat) append(b []byte) []byte {
	flag := func(v bool) byte {
		if v {
			return 1
		}
		return 0
	}
	b = append(b, f.BPP, f.Depth, flag(f.BigEndian), flag(f.TrueColour))
	b = binary.BigEndian.AppendUint16(b, f.RMax)
	b = binary.BigEndian.AppendUint16(b, f.GMax)
	b = binary.BigEndian.AppendUint16(b, f.BMax)
	return append(b, f.RShift, f.GShift, f.BShift, 0, 0, 0)
}

func parseFormat(b []byte) PixelFormat {
	return PixelFormat{
		BPP: b[0], Depth: b[1], BigEndian: b[2] != 0, TrueColour: b[3] != 0,
		RMax: binary.BigEndian.Uint16(b[4:]), GMax: binary.BigEndian.Uint16(b[6:]), BMax: binary.BigEndian.Uint16(b[8:]),
		RShift: b[10], GShift: b[11], BShift: b[12],
	}
}

// Accept does the handshake with a viewer whose channel is already authorised:
// security type None, then ServerInit with the size and the desktop's name.
// Versions 3.3, 3.7 and 3.8 are spoken.
func Accept(rw io.ReadWriter, width, height int, name string) error {
	if _, err := io.WriteString(rw, "RFB 003.008\n"); err != nil {
		return fmt.Errorf("send version: %w", err)
	}
	var v [12]byte
	if _, err := io.ReadFull(rw, v[:]); err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	if string(v[:8]) != "RFB 003." || v[11] != '\n' {
		return protocol("version %q", v[:])
	}
	minor := string(v[8:11])
	if minor < "003" {
		return protocol("version %q", v[:])
	}
	if minor < "007" { // 3.3: the server decides
		if _, err := rw.Write([]byte{0, 0, 0, 1}); err != nil {
			return fmt.Errorf("send security type: %w", err)
		}
	} else {
		if _, err := rw.Write([]byte{1, 1}); err != nil {
			return fmt.Errorf("send security types: %w", err)
		}
		var pick [1]byte
		if _, err := io.ReadFull(rw, pick[:]); err != nil {
			return fmt.Errorf("read security type: %w", err)
		}
		if pick[0] != 1 {
			return protocol("security type %d", pick[0])
		}
		if minor >= "008" {
			if _, err := rw.Write([]byte{0, 0, 0, 0}); err != nil {
				return fmt.Errorf("send security result: %w", err)
			}
		}
	}
	var shared [1]byte
	if _, err := io.ReadFull(rw, shared[:]); err != nil {
		return fmt.Errorf("read client init: %w", err)
	}
	b := make([]byte, 0, 24+len(name))
	b = append16(b, width, height)
	b = Native.append(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	if _, err := rw.Write(append(b, name...)); err != nil {
		return fmt.Errorf("send server init: %w", err)
	}
	return nil
}

func append16(b []byte, v ...int) []byte {
	for _, n := range v {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return b
}
