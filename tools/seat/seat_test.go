package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start serves a seat whose desktop answers every byte with itself.
func start(t *testing.T) (*seat, *httptest.Server) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "core"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "core", "rfb.js"), []byte("export default 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSeat(dir, func() (net.Conn, error) {
		a, b := net.Pipe()
		go func() { io.Copy(b, b); b.Close() }()
		return a, nil
	})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv
}

func enter(t *testing.T, srv *httptest.Server, token string) (int, *http.Cookie) {
	t.Helper()
	req, err := http.NewRequest("POST", srv.URL+"/enter", strings.NewReader(token))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", srv.URL)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if c := r.Cookies(); len(c) == 1 {
		return r.StatusCode, c[0]
	}
	return r.StatusCode, nil
}

// open upgrades and returns the status, and the connection if that is 101.
func open(t *testing.T, srv *httptest.Server, host, origin, cookie string) (int, net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /rfb HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", host)
	if origin != "" {
		fmt.Fprintf(conn, "Origin: %s\r\n", origin)
	}
	if cookie != "" {
		fmt.Fprintf(conn, "Cookie: %s=%s\r\n", cookieName, cookie)
	}
	io.WriteString(conn, "\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode == 101 && got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 §1.3
		t.Errorf("accept is %q", got)
	}
	return resp.StatusCode, buffered{conn, r}
}

// buffered is a connection whose first bytes were read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func TestOnlyTheTokenOpensTheDesktop(t *testing.T) {
	s, srv := start(t)
	host := strings.TrimPrefix(srv.URL, "http://")
	if status, c := enter(t, srv, "wrong"); status != 403 || c != nil {
		t.Errorf("a wrong token: %d", status)
	}
	status, c := enter(t, srv, s.token)
	if status != 204 || c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Fatalf("the token: %d %+v", status, c)
	}
	for _, tt := range []struct {
		name, host, origin, cookie string
		want                       int
	}{
		{"as meant", host, srv.URL, c.Value, 101},
		{"no cookie", host, srv.URL, "", 403},
		{"the token is not the cookie", host, srv.URL, s.token, 403},
		{"no origin", host, "", c.Value, 403},
		{"a hostile site", host, "http://evil.example", c.Value, 403},
		{"a name that points here", "evil.example", srv.URL, c.Value, 421},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := open(t, srv, tt.host, tt.origin, tt.cookie); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// mask writes a frame as a browser does.
func mask(op byte, fin bool, p []byte) []byte {
	b := []byte{op}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(p); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := []byte{1, 2, 3, 4}
	b = append(b, key...)
	for i, c := range p {
		b = append(b, c^key[i&3])
	}
	return b
}

func frame(t *testing.T, r io.Reader) (byte, []byte) {
	t.Helper()
	var h [10]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		t.Fatal(err)
	}
	n := uint64(h[1])
	switch n {
	case 126:
		io.ReadFull(r, h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:4]))
	case 127:
		io.ReadFull(r, h[2:10])
		n = binary.BigEndian.Uint64(h[2:10])
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		t.Fatal(err)
	}
	return h[0] & 15, p
}

func TestBytesPassBothWays(t *testing.T) {
	s, srv := start(t)
	_, c := enter(t, srv, s.token)
	status, conn := open(t, srv, strings.TrimPrefix(srv.URL, "http://"), srv.URL, c.Value)
	if status != 101 {
		t.Fatal(status)
	}
	conn.Write(mask(opPing, true, []byte("are you there")))
	if op, p := frame(t, conn); op != opPong || string(p) != "are you there" {
		t.Errorf("ping: %d %q", op, p)
	}
	for _, size := range []int{1, 125, 126, 65535, 65536, 200_000} {
		want := bytes.Repeat([]byte{0xa5, 0x5a, 1}, size/3+1)[:size]
		go conn.Write(mask(opBinary, true, want))
		var got []byte
		for len(got) < size {
			op, p := frame(t, conn)
			if op != opBinary {
				t.Fatalf("opcode %d", op)
			}
			got = append(got, p...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back changed", size)
		}
	}
	conn.Write(append(mask(opBinary, false, []byte("ab")), mask(opContinuation, true, []byte("c"))...))
	var got []byte
	for len(got) < 3 {
		_, p := frame(t, conn)
		got = append(got, p...)
	}
	if string(got) != "abc" {
		t.Errorf("fragments: %q", got)
	}
	conn.Write(mask(opClose, true, nil))
	if op, _ := frame(t, conn); op != opClose {
		t.Errorf("close answers %d", op)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(mask(opBinary, true, []byte("hello")))
	f.Add(mask(opPing, true, []byte("x")))
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, c := net.Pipe()
		defer a.Close()
		go io.Copy(io.Discard, c)
		s := &websocket{conn: a, r: bufio.NewReader(bytes.NewReader(b))}
		n, err := io.Copy(io.Discard, s)
		c.Close()
		if n > int64(len(b)) {
			t.Errorf("%d bytes out of %d", n, len(b))
		}
		if err != nil && !errors.Is(err, errFrame) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error %v", err)
		}
	})
}

func TestLoopbackOnly(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "0.0.0.0:1": false, "192.168.1.2:1": false, ":1": false, "example.org:1": false, "x": false} {
		if err := loopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
