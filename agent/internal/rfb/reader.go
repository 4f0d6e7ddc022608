package rfb

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// The messages of a viewer, as Reader.Next returns them.
type (
	// SetPixelFormat changes the format of all later pixels; it has been checked to be usable.
	SetPixelFormat struct{ Format PixelFormat }

	// SetEncodings lists what the viewer understands, most wanted first.
	SetEncodings struct{ Encodings []int32 }

	// UpdateRequest asks for a picture of an area; not incremental means all of it, changed or not.
	UpdateRequest struct {
		Incremental bool
		X, Y, W, H  int
	}

	// KeyEvent is a key pressed or released. XT is the PC scan code of the
	// physical key, with e0 keys as 0x80|code, or 0 when the viewer didn't say.
	KeyEvent struct {
		Down   bool
		Keysym uint32
		XT     uint32
	}

	// PointerEvent is the pointer's place and the buttons held: bit 0 left, 1
	// middle, 2 right, 3 to 6 the wheel, 7 back, 8 forward.
	PointerEvent struct {
		X, Y    int
		Buttons uint16
	}

	// CutText is text of the viewer's clipboard in Latin-1. Extended clipboard
	// messages are skipped and arrive with nil text.
	CutText struct{ Text []byte }

	// Fence is a mark in the stream; with FenceRequest set it wants an answer.
	Fence struct {
		Flags   uint32
		Payload []byte
	}

	// EnableContinuous switches updates without requests on or off for an area.
	EnableContinuous struct {
		On         bool
		X, Y, W, H int
	}

	// SetDesktopSize asks the screen to change its size.
	SetDesktopSize struct{ W, H int }
)

// Reader parses the messages of one viewer after the handshake.
type Reader struct {
	r   *bufio.Reader
	ext bool // the viewer understands extended mouse buttons
	buf [32]byte
}

// NewReader returns a Reader of r, which must stand behind ClientInit.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 4096)} }

// Next returns the next message, one of the types above. An error of kind
// ErrProtocol means that the stream can't be read any further.
func (r *Reader) Next() (any, error) {
	t, err := r.r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch t {
	case 0:
		b, err := r.read(19)
		if err != nil {
			return nil, err
		}
		f := parseFormat(b[3:])
		if err := f.Usable(); err != nil {
			return nil, err
		}
		return SetPixelFormat{f}, nil
	case 2:
		b, err := r.read(3)
		if err != nil {
			return nil, err
		}
		n := int(binary.BigEndian.Uint16(b[1:]))
		if n > MaxEncodings {
			return nil, protocol("%d encodings", n)
		}
		m := SetEncodings{make([]int32, n)}
		r.ext = false
		for i := range m.Encodings {
			b, err := r.read(4)
			if err != nil {
				return nil, err
			}
			m.Encodings[i] = int32(binary.BigEndian.Uint32(b))
			r.ext = r.ext || m.Encodings[i] == EncExtMouseButtons
		}
		return m, nil
	case 3:
		b, err := r.read(9)
		if err != nil {
			return nil, err
		}
		return UpdateRequest{b[0] != 0, u16(b, 1), u16(b, 3), u16(b, 5), u16(b, 7)}, nil
	case 4:
		b, err := r.read(7)
		if err != nil {
			return nil, err
		}
		return KeyEvent{Down: b[0] != 0, Keysym: binary.BigEndian.Uint32(b[3:])}, nil
	case 5:
		return r.pointer()
	case 6:
		return r.cutText()
	case 150:
		b, err := r.read(9)
		if err != nil {
			return nil, err
		}
		return EnableContinuous{b[0] != 0, u16(b, 1), u16(b, 3), u16(b, 5), u16(b, 7)}, nil
	case 248:
		b, err := r.read(8)
		if err != nil {
			return nil, err
		}
		f := Fence{Flags: binary.BigEndian.Uint32(b[3:])}
		n := int(b[7])
		if n > MaxFence {
			return nil, protocol("fence of %d bytes", n)
		}
		f.Payload = make([]byte, n)
		_, err = io.ReadFull(r.r, f.Payload)
		return f, truncated(err)
	case 251:
		b, err := r.read(7)
		if err != nil {
			return nil, err
		}
		m := SetDesktopSize{u16(b, 1), u16(b, 3)}
		return m, r.skip(16 * int(b[5])) // at most 255 screens
	case 255:
		b, err := r.read(1)
		if err != nil {
			return nil, err
		}
		if b[0] != 0 {
			return nil, protocol("QEMU message %d", b[0])
		}
		if b, err = r.read(10); err != nil {
			return nil, err
		}
		return KeyEvent{b[1] != 0, binary.BigEndian.Uint32(b[2:]), scanCode(binary.BigEndian.Uint32(b[6:]))}, nil
	}
	return nil, protocol("message type %d", t)
}

func (r *Reader) pointer() (any, error) {
	b, err := r.read(5)
	if err != nil {
		return nil, err
	}
	m := PointerEvent{u16(b, 1), u16(b, 3), uint16(b[0])}
	if r.ext && b[0]&0x80 != 0 {
		high, err := r.r.ReadByte()
		if err != nil {
			return nil, truncated(err)
		}
		m.Buttons = m.Buttons&0x7f | uint16(high&3)<<7
	}
	return m, nil
}

func (r *Reader) cutText() (any, error) {
	b, err := r.read(7)
	if err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(b[3:])))
	extended := n < 0
	if extended {
		n = -n
	}
	if n > MaxCutText {
		return nil, protocol("clipboard of %d bytes", n)
	}
	if extended {
		return CutText{}, r.skip(int(n))
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r.r, text)
	return CutText{text}, truncated(err)
}

// scanCode brings both forms of an extended scan code, e0xx and 0x80|xx, to the second.
func scanCode(c uint32) uint32 {
	if c&0xff00 == 0xe000 {
		return c&0x7f | 0x80
	}
	if c > 0xff {
		return 0
	}
	return c
}

func (r *Reader) read(n int) ([]byte, error) {
	b := r.buf[:n]
	_, err := io.ReadFull(r.r, b)
	return b, truncated(err)
}

func (r *Reader) skip(n int) error {
	_, err := r.r.Discard(n)
	return truncated(err)
}

// truncated marks an end within a message as such; between messages io.EOF is a plain goodbye.
func truncated(err error) error {
	if err == io.EOF {
		return fmt.Errorf("read message: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func u16(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
