package x11

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Pointer tells when the pointer moves, whoever moves it, without asking again
// and again. That takes an extension whose events are longer than the X library
// can read (XInput 2), so it speaks the few messages needed itself.
type Pointer struct {
	conn net.Conn
	r    *bufio.Reader
}

const (
	xiSelectEvents = 46
	xiQueryVersion = 47
	xiAllMasters   = 1
	xiRawMotion    = 17
	eventGeneric   = 35
	maxPacket      = 1 << 20
	packetError    = 0
	packetReply    = 1
	queryExtension = 98
	inputExtension = "XInputExtension"
	setupHead      = 8
)

// WatchPointer starts to watch the pointer of a display.
func WatchPointer(display, authority string) (*Pointer, error) {
	d, err := dial(display, authority)
	if err != nil {
		return nil, err
	}
	p := &Pointer{conn: d.conn, r: bufio.NewReader(d.conn)}
	if err := p.start(d.cookie); err != nil {
		d.conn.Close()
		return nil, fmt.Errorf("watch the pointer of display %s: %w", display, err)
	}
	return p, nil
}

func (p *Pointer) start(cookie []byte) error {
	if _, err := p.conn.Write(setUp(cookie)); err != nil {
		return err
	}
	var head [setupHead]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return err
	}
	if head[0] != 1 {
		return errors.New("refused")
	}
	setup := make([]byte, int(binary.LittleEndian.Uint16(head[6:]))*4)
	if _, err := io.ReadFull(p.r, setup); err != nil {
		return err
	}
	if len(setup) < 32 {
		return errors.New("short set-up")
	}
	vendor, formats := int(binary.LittleEndian.Uint16(setup[16:])), int(setup[21])
	at := 32 + (vendor+3)&^3 + formats*8 // the first screen begins with its root
	if len(setup) < at+4 {
		return errors.New("short set-up")
	}
	root := binary.LittleEndian.Uint32(setup[at:])

	b := []byte{queryExtension, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(2+(len(inputExtension)+3)/4))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(inputExtension)))
	b = append(b, 0, 0)
	b = append(b, inputExtension...)
	b = append(b, make([]byte, (4-len(b)%4)%4)...)
	reply, err := p.ask(b)
	if err != nil {
		return err
	}
	if reply[8] == 0 {
		return errors.New("the X server lacks XInput")
	}
	opcode := reply[9]
	if reply, err = p.ask([]byte{opcode, xiQueryVersion, 2, 0, 2, 0, 0, 0}); err != nil {
		return err
	}
	if major := binary.LittleEndian.Uint16(reply[8:]); major < 2 {
		return fmt.Errorf("XInput %d", major)
	}
	b = []byte{opcode, xiSelectEvents, 5, 0}
	b = binary.LittleEndian.AppendUint32(b, root)
	b = append(b, 1, 0, 0, 0)            // one mask
	b = append(b, xiAllMasters, 0, 1, 0) // of one word
	b = binary.LittleEndian.AppendUint32(b, 1<<xiRawMotion)
	if _, err := p.conn.Write(b); err != nil {
		return err
	}
	_, err = p.ask([]byte{43, 0, 1, 0}) // GetInputFocus: its answer says that all went well
	return err
}

// ask sends a request and returns its reply.
func (p *Pointer) ask(b []byte) ([]byte, error) {
	if _, err := p.conn.Write(b); err != nil {
		return nil, err
	}
	for {
		r, err := p.packet()
		if err != nil {
			return nil, err
		}
		switch r[0] {
		case packetError:
			return nil, fmt.Errorf("X error %d", r[1])
		case packetReply:
			return r, nil
		}
	}
}

func (p *Pointer) packet() ([]byte, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(p.r, b); err != nil {
		return nil, err
	}
	if b[0] != packetReply && b[0]&0x7f != eventGeneric {
		return b, nil
	}
	more := int64(binary.LittleEndian.Uint32(b[4:])) * 4
	if more > maxPacket {
		return nil, fmt.Errorf("packet of %d bytes", more)
	}
	_, err := io.CopyN(io.Discard, p.r, more) // nothing asked for has anything of use there
	return b, err
}

// Wait returns when the pointer has moved. After Close it returns an error.
func (p *Pointer) Wait() error {
	for {
		b, err := p.packet()
		if err != nil {
			return fmt.Errorf("watch the pointer: %w", err)
		}
		if b[0]&0x7f == eventGeneric {
			for p.r.Buffered() >= 32 { // a quick hand: all that has come counts once
				if _, err := p.packet(); err != nil {
					return fmt.Errorf("watch the pointer: %w", err)
				}
			}
			return nil
		}
	}
}

// Close ends the watch.
func (p *Pointer) Close() { p.conn.Close() }
