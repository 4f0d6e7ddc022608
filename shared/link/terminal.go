package link

import (
	"encoding/binary"
	"io"
)

// A terminal channel carries frames: one byte of type, four bytes of big-endian length, payload.
// The technician sends data and sizes, the device data and, at the end, the exit code.
const (
	TerminalData = 0 // bytes of the terminal
	TerminalSize = 1 // columns and rows, two bytes each, big-endian
	TerminalExit = 2 // exit code, four bytes, big-endian; the last frame

	MaxTerminalFrame = 64 << 10
)

// WriteTerminal writes one frame of a terminal channel.
func WriteTerminal(w io.Writer, typ byte, payload []byte) error {
	if len(payload) > MaxTerminalFrame {
		return ErrTooLong
	}
	b := make([]byte, 5+len(payload))
	b[0] = typ
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	copy(b[5:], payload)
	_, err := w.Write(b)
	return err
}

// ReadTerminal reads one frame of a terminal channel into buf, which must hold
// MaxTerminalFrame bytes, and returns its payload as a part of buf.
func ReadTerminal(r io.Reader, buf []byte) (typ byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxTerminalFrame || int(n) > len(buf) {
		return 0, nil, ErrTooLong
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, err
	}
	return head[0], buf[:n], nil
}
