package x11

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Pointer tells when the pointer moves, whoever moves it, without asking again
// and again. That takes an extension whose events are longer than the X library
// can read (XInput 2).
type Pointer struct{ raw *raw }

const (
	xiSelectEvents = 46
	xiQueryVersion = 47
	xiAllMasters   = 1
	xiRawMotion    = 17
	getInputFocus  = 43
)

// WatchPointer starts to watch the pointer of a display.
func WatchPointer(display, authority string) (*Pointer, error) {
	r, err := openRaw(display, authority)
	if err != nil {
		return nil, err
	}
	p := &Pointer{r}
	if err := p.start(); err != nil {
		p.Close()
		return nil, fmt.Errorf("watch the pointer of display %s: %w", display, err)
	}
	return p, nil
}

func (p *Pointer) start() error {
	n, there, err := p.raw.extension("XInputExtension")
	if err != nil {
		return err
	}
	if !there {
		return errors.New("the X server lacks XInput")
	}
	reply, err := p.raw.ask([]byte{n.opcode, xiQueryVersion, 2, 0, 2, 0, 0, 0})
	if err != nil {
		return err
	}
	if major := binary.LittleEndian.Uint16(reply[8:]); major < 2 {
		return fmt.Errorf("XInput %d", major)
	}
	b := []byte{n.opcode, xiSelectEvents, 5, 0}
	b = binary.LittleEndian.AppendUint32(b, p.raw.root)
	b = append(b, 1, 0, 0, 0)            // one mask
	b = append(b, xiAllMasters, 0, 1, 0) // of one word
	b = binary.LittleEndian.AppendUint32(b, 1<<xiRawMotion)
	if _, err := p.raw.conn.Write(b); err != nil {
		return err
	}
	_, err = p.raw.ask([]byte{getInputFocus, 0, 1, 0}) // its answer says that all went well
	return err
}

// Wait returns when the pointer has moved. After Close it returns an error.
func (p *Pointer) Wait() error {
	for {
		b, err := p.raw.packet()
		if err != nil {
			return fmt.Errorf("watch the pointer: %w", err)
		}
		if b[0]&0x7f == eventGeneric {
			for p.raw.r.Buffered() >= 32 { // a quick hand: all that has come counts once
				if _, err := p.raw.packet(); err != nil {
					return fmt.Errorf("watch the pointer: %w", err)
				}
			}
			return nil
		}
	}
}

// Close ends the watch.
func (p *Pointer) Close() { p.raw.conn.Close() }
