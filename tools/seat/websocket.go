package main

import (
	"bufio"
	"crypto/sha1" // RFC 6455 asks for it; nothing is protected by it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// websocket is the server's side of RFC 6455, as far as a byte stream in binary messages needs it.
type websocket struct {
	conn net.Conn
	r    *bufio.Reader

	left   uint64 // of the frame being read
	mask   [4]byte
	masked int

	mu sync.Mutex // of writes
}

const (
	opContinuation = 0
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	// maxFrame bounds one frame from the browser: keys, clicks and a clipboard.
	maxFrame = 16 << 20
)

var errFrame = errors.New("not a frame of RFC 6455")

// accept answers the upgrade (RFC 6455 §4.2.2).
func accept(w http.ResponseWriter, r *http.Request) (*websocket, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-WebSocket-Version") != "13" || key == "" {
		http.Error(w, "a websocket is expected", http.StatusUpgradeRequired)
		return nil, errors.New("no upgrade asked for")
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if strings.Contains(r.Header.Get("Sec-WebSocket-Protocol"), "binary") {
		answer += "Sec-WebSocket-Protocol: binary\r\n"
	}
	if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
		conn.Close()
		return nil, err
	}
	return &websocket{conn: conn, r: rw.Reader}, nil
}

// Read gives out the bytes of data frames and answers the others.
func (s *websocket) Read(p []byte) (int, error) {
	for s.left == 0 {
		op, err := s.head()
		if err != nil {
			return 0, err
		}
		switch op {
		case opContinuation, opBinary:
			continue
		case opPing, opPong, opClose:
			b := make([]byte, s.left)
			if _, err := io.ReadFull(s, b); err != nil {
				return 0, err
			}
			if op == opClose {
				s.frame(opClose, b)
				return 0, io.EOF
			}
			if op == opPing {
				if err := s.frame(opPong, b); err != nil {
					return 0, err
				}
			}
		default:
			return 0, fmt.Errorf("%w: opcode %d", errFrame, op)
		}
	}
	if uint64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	for i := range p[:n] {
		p[i] ^= s.mask[s.masked&3]
		s.masked++
	}
	s.left -= uint64(n)
	return n, err
}

// head reads the head of a frame (§5.2); a browser masks every frame.
func (s *websocket) head() (op byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(s.r, b[:2]); err != nil {
		return 0, err
	}
	op = b[0] & 15
	if b[0]&0x70 != 0 || b[1]&0x80 == 0 {
		return 0, errFrame
	}
	n := uint64(b[1] & 0x7f)
	switch n {
	case 126:
		if _, err := io.ReadFull(s.r, b[:2]); err != nil {
			return 0, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:2]))
	case 127:
		if _, err := io.ReadFull(s.r, b[:8]); err != nil {
			return 0, err
		}
		n = binary.BigEndian.Uint64(b[:8])
	}
	if n > maxFrame || op >= opClose && n > 125 {
		return 0, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	if _, err := io.ReadFull(s.r, s.mask[:]); err != nil {
		return 0, err
	}
	s.left, s.masked = n, 0
	return op, nil
}

// Write sends p as one binary message.
func (s *websocket) Write(p []byte) (int, error) {
	if err := s.frame(opBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *websocket) frame(op byte, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := []byte{0x80 | op}
	switch n := len(p); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	_, err := (&net.Buffers{head, p}).WriteTo(s.conn)
	return err
}

// Close ends the connection.
func (s *websocket) Close() error { return s.conn.Close() }
