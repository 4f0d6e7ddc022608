package x11

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/jezek/xgb"
	// The extensions register themselves with the X library.
	_ "github.com/jezek/xgb/composite"
	_ "github.com/jezek/xgb/damage"
	_ "github.com/jezek/xgb/randr"
	_ "github.com/jezek/xgb/shape"
	_ "github.com/jezek/xgb/shm"
	_ "github.com/jezek/xgb/xfixes"
	_ "github.com/jezek/xgb/xtest"
)

// raw is a connection that speaks the few messages of X that the library can't.
type raw struct {
	conn net.Conn
	r    *bufio.Reader
	root uint32
}

const (
	packetError    = 0
	packetReply    = 1
	eventGeneric   = 35
	maxPacket      = 1 << 20
	queryExtension = 98
)

func openRaw(display, authority string) (*raw, error) {
	d, err := dial(display, authority)
	if err != nil {
		return nil, err
	}
	p := &raw{conn: d.conn, r: bufio.NewReader(d.conn)}
	if err := p.start(d.cookie); err != nil {
		d.conn.Close()
		return nil, d.refused(display, err)
	}
	return p, nil
}

func (p *raw) start(cookie []byte) error {
	if _, err := p.conn.Write(setUp(cookie)); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return err
	}
	setup := make([]byte, int(binary.LittleEndian.Uint16(head[6:]))*4)
	if _, err := io.ReadFull(p.r, setup); err != nil {
		return err
	}
	if head[0] != 1 {
		return errors.New(string(setup[:min(len(setup), int(head[1]))]))
	}
	if len(setup) < 32 {
		return errors.New("short set-up")
	}
	vendor, formats := int(binary.LittleEndian.Uint16(setup[16:])), int(setup[21])
	at := 32 + (vendor+3)&^3 + formats*8 // the first screen begins with its root
	if len(setup) < at+4 {
		return errors.New("short set-up")
	}
	p.root = binary.LittleEndian.Uint32(setup[at:])
	return nil
}

// ask sends a request and returns the first 32 bytes of its reply.
func (p *raw) ask(b []byte) ([]byte, error) {
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
			return nil, fmt.Errorf("the X server answers with error %d", r[1])
		case packetReply:
			return r, nil
		}
	}
}

func (p *raw) packet() ([]byte, error) {
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

// numbers are what an X server gave an extension.
type numbers struct{ opcode, event, fault byte }

// extension asks for an extension's numbers; false when the server lacks it.
func (p *raw) extension(name string) (numbers, bool, error) {
	b := []byte{queryExtension, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(2+(len(name)+3)/4))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, 0, 0)
	b = append(b, name...)
	b = append(b, make([]byte, (4-len(b)%4)%4)...)
	r, err := p.ask(b)
	if err != nil {
		return numbers{}, false, err
	}
	return numbers{r[9], r[10], r[11]}, r[8] != 0, nil
}

var registered = struct {
	sync.Mutex
	is map[string]numbers
}{is: map[string]numbers{}}

// extensions asks for the numbers of all extensions that the library was linked
// with, and registers their events and errors. The library's own Init does so
// too, but in maps that its connections read without a lock: a second connection
// of the process would race with the first one's events. Here the maps are
// written before there is a connection, and again only for a server that
// numbers differently, which a process that serves one display never meets.
func extensions(display, authority string) (map[string]byte, error) {
	p, err := openRaw(display, authority)
	if err != nil {
		return nil, err
	}
	defer p.conn.Close()
	registered.Lock()
	defer registered.Unlock()
	opcodes := map[string]byte{}
	for name, events := range xgb.NewExtEventFuncs {
		n, there, err := p.extension(name)
		if err != nil {
			return nil, fmt.Errorf("ask display %s for %s: %w", display, name, err)
		}
		if !there {
			continue
		}
		opcodes[name] = n.opcode
		if registered.is[name] == n {
			continue
		}
		registered.is[name] = n
		for i, f := range events {
			xgb.NewEventFuncs[int(n.event)+i] = f
		}
		for i, f := range xgb.NewExtErrorFuncs[name] {
			xgb.NewErrorFuncs[int(n.fault)+i] = f
		}
	}
	return opcodes, nil
}

// Has reports whether the server has an extension, such as "DAMAGE". All that it
// has are ready for use; the packages' own Init must not be called.
func Has(x *xgb.Conn, name string) bool {
	x.ExtLock.RLock()
	defer x.ExtLock.RUnlock()
	_, there := x.Extensions[name]
	return there
}
