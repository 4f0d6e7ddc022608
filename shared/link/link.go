// Package link is the control connection between a device and the server: its handshake,
// its framed messages and their bodies.
//
// A link is an HTTP/1.1 connection upgraded to "traybell/1" on Path. Both sides prove who they
// are by signing "traybell-link-1\0" ‖ role ‖ server id ‖ device id ‖ both nonces ‖ binding, where
// binding is the TLS exporter of the connection, or 32 zero bytes where the enrolment key says that
// a proxy ends TLS. After that, messages are JSON behind a four-byte big-endian length.
//
// Channels are connections of their own: upgraded on ChannelPath with a single-use token in the
// header Authorization, then raw bytes. The relay and the agent's uplink call this package; tests of
// either use it to play the other side.
package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/traybell/traybell/shared/version"
)

// Names on the wire.
const (
	ALPN          = "traybell-link/1" // agents offer it and get the certificate of the server's own CA
	Upgrade       = "traybell/1"      // token of the Upgrade header
	Path          = "/link"           // of the control connection
	ChannelPath   = "/channel"        // of a channel the device dials
	ChannelScheme = "Channel"         // Authorization: Channel TOKEN
	MaxMessage    = 1 << 20           // bytes of one message

	exporterLabel = "EXPORTER-traybell-link-1"
	context       = "traybell-link-1\x00"
	nonceSize     = 32
	maxHello      = 4 << 10
)

// Errors of the handshake.
var (
	ErrSignature = errors.New("the other side could not prove its identity")
	ErrProtocol  = errors.New("the other side does not follow the protocol")
	ErrTooLong   = errors.New("message is too long")
)

// RefusedError is returned by Dial when the server refuses the link.
type RefusedError struct{ Refused }

// Error implements error.
func (e RefusedError) Error() string {
	return "the server refuses the link: " + e.Text + " (" + e.Code + ")"
}

// ServerID is the id of the server with this identity key: the first 16 bytes of its SHA-256.
func ServerID(identity ed25519.PublicKey) string {
	h := sha256.Sum256(identity)
	return base64.RawURLEncoding.EncodeToString(h[:16])
}

// Binding is the channel binding of a TLS connection.
func Binding(state tls.ConnectionState) ([]byte, error) {
	b, err := state.ExportKeyingMaterial(exporterLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("export channel binding: %w", err)
	}
	return b, nil
}

// NoBinding is used where the enrolment key says that a proxy ends TLS.
func NoBinding() []byte { return make([]byte, 32) }

// Conn reads and writes framed messages. Write may be called from several goroutines, Read
// from one. It keeps no buffer between messages.
type Conn struct {
	rw    io.ReadWriter
	limit uint32     // bytes of a message that is read
	mu    sync.Mutex // serialises writes
}

// NewConn frames messages on rw.
func NewConn(rw io.ReadWriter) *Conn { return &Conn{rw: rw, limit: MaxMessage} }

// Write sends one message with the given body, or none if body is nil.
func (c *Conn) Write(typ string, body any) error {
	m := Message{Type: typ}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode %s: %w", typ, err)
		}
		m.Body = b
	}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", typ, err)
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("%s: %w", typ, ErrTooLong)
	}
	frame := make([]byte, 4+len(b))
	binary.BigEndian.PutUint32(frame, uint32(len(b)))
	copy(frame[4:], b)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.rw.Write(frame)
	return err
}

// Read returns the next message.
func (c *Conn) Read() (Message, error) {
	b, err := c.ReadFrame()
	if err != nil {
		return Message{}, err
	}
	return ParseMessage(b)
}

// ReadFrame returns the bytes of the next message. A server that keeps a goroutine for each of many
// idle links calls it there and ParseMessage elsewhere: decoding grows the stack.
func (c *Conn) ReadFrame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.rw, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > c.limit {
		return nil, ErrTooLong
	}
	return readBody(c.rw, int(n))
}

// ParseMessage decodes what ReadFrame returned.
func ParseMessage(b []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(b, &m); err != nil || m.Type == "" {
		return m, ErrProtocol
	}
	return m, nil
}

// readBody reads n bytes. Memory grows with what has come, not with what was announced: many peers
// that have proved nothing may announce a megabyte each.
func readBody(r io.Reader, n int) ([]byte, error) {
	const step = 16 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(n-len(b), len(b)))
		}
		got, err := io.ReadFull(r, b[len(b):min(n, cap(b))])
		b = b[:len(b)+got]
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return b, nil
}

// Decode unmarshals the body of m into v.
func (m Message) Decode(v any) error {
	if err := json.Unmarshal(m.Body, v); err != nil {
		return fmt.Errorf("%s: %w", m.Type, ErrProtocol)
	}
	return nil
}

// expect reads a message of the given type into v.
func (c *Conn) expect(typ string, v any) error {
	m, err := c.Read()
	if err != nil {
		return err
	}
	if m.Type == TypeRefused {
		var r Refused
		if err := m.Decode(&r); err != nil {
			return err
		}
		return RefusedError{r}
	}
	if m.Type != typ {
		return fmt.Errorf("%s instead of %s: %w", m.Type, typ, ErrProtocol)
	}
	return m.Decode(v)
}

// role separates the signatures of both sides.
type role string

const (
	roleServer role = "server"
	roleDevice role = "device"
)

// transcript is the byte string that a side signs. Every part is length-prefixed, so that no two
// different sets of parts give the same bytes.
func transcript(r role, server, device string, agentNonce, serverNonce, binding []byte) []byte {
	b := []byte(context)
	for _, part := range [][]byte{[]byte(r), []byte(server), []byte(device), agentNonce, serverNonce, binding} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// Device is what a device needs to prove itself and to know its server.
type Device struct {
	ID       string
	Key      ed25519.PrivateKey // link key
	Identity ed25519.PublicKey  // the server's, pinned at enrolment
}

// Dial runs the agent's side of the handshake on an upgraded connection. proof carries what the
// device reports; its Signature is filled in. The returned capability is the lower of both.
func Dial(rw io.ReadWriter, d Device, binding []byte, proof Proof) (*Conn, Welcome, int, error) {
	c := NewConn(rw)
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	if err := c.Write(TypeHello, Hello{Capability: version.Capability, Device: d.ID, Nonce: nonce}); err != nil {
		return nil, Welcome{}, 0, err
	}
	var h Hello
	if err := c.expect(TypeHello, &h); err != nil {
		return nil, Welcome{}, 0, err
	}
	server := ServerID(d.Identity)
	if h.Server != server || len(h.Nonce) != nonceSize ||
		!ed25519.Verify(d.Identity, transcript(roleServer, server, d.ID, nonce, h.Nonce, binding), h.Signature) {
		return nil, Welcome{}, 0, ErrSignature
	}
	proof.Signature = ed25519.Sign(d.Key, transcript(roleDevice, server, d.ID, nonce, h.Nonce, binding))
	if err := c.Write(TypeProof, proof); err != nil {
		return nil, Welcome{}, 0, err
	}
	var w Welcome
	if err := c.expect(TypeWelcome, &w); err != nil {
		return nil, Welcome{}, 0, err
	}
	return c, w, min(h.Capability, version.Capability), nil
}

// Peer is a device that has proved itself to Accept.
type Peer struct {
	Device     string
	Capability int // the lower of both sides
	Proof      Proof
}

// Accept runs the server's side of the handshake up to the device's proof; the caller then sends
// Welcome or Refused. key returns the link key that was registered for a device id; an error that
// wraps a RefusedError is told to the device as it is, any other as unknown_device.
func Accept(rw io.ReadWriter, identity ed25519.PrivateKey, binding []byte, key func(device string) (ed25519.PublicKey, error)) (*Conn, Peer, error) {
	c := NewConn(rw)
	c.limit = maxHello // nobody has proved anything yet
	var h Hello
	if err := c.expect(TypeHello, &h); err != nil {
		return nil, Peer{}, err
	}
	c.limit = MaxMessage
	if len(h.Nonce) != nonceSize || h.Device == "" || len(h.Device) > 100 {
		return nil, Peer{}, ErrProtocol
	}
	pub, err := key(h.Device)
	if err != nil {
		refused := Refused{Code: "unknown_device", Text: "this server does not know the device; enrol it again"}
		if re, ok := errors.AsType[RefusedError](err); ok {
			refused = re.Refused
		}
		c.Write(TypeRefused, refused)
		return nil, Peer{}, fmt.Errorf("link key of device %s: %w", h.Device, err)
	}
	server := ServerID(identity.Public().(ed25519.PublicKey))
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	sig := ed25519.Sign(identity, transcript(roleServer, server, h.Device, h.Nonce, nonce, binding))
	if err := c.Write(TypeHello, Hello{Capability: version.Capability, Server: server, Nonce: nonce, Signature: sig}); err != nil {
		return nil, Peer{}, err
	}
	var p Proof
	if err := c.expect(TypeProof, &p); err != nil {
		return nil, Peer{}, err
	}
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, transcript(roleDevice, server, h.Device, h.Nonce, nonce, binding), p.Signature) {
		c.Write(TypeRefused, Refused{Code: "bad_signature", Text: "the device's key is not the one that was enrolled"})
		return nil, Peer{}, ErrSignature
	}
	return c, Peer{Device: h.Device, Capability: min(h.Capability, version.Capability), Proof: p}, nil
}
