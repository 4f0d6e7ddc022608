package link

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
)

// UpgradeError is returned by RequestUpgrade when the server answers with anything but 101.
type UpgradeError struct {
	Status int
	Type   string // Content-Type
	Body   []byte // at most 16 KB: a problem of package api, or a line of text
}

// Error implements error.
func (e *UpgradeError) Error() string {
	return fmt.Sprintf("the server does not change to %s: %d %s", Upgrade, e.Status, http.StatusText(e.Status))
}

// RequestUpgrade asks the HTTP/1.1 server at the other end of conn to change to traybell/1 at path,
// and returns the connection as it is after that. Deadlines are the caller's, who closes conn after
// an error as well.
func RequestUpgrade(conn net.Conn, host, path string, header http.Header) (net.Conn, error) {
	req, err := http.NewRequest(http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		return nil, fmt.Errorf("make upgrade request: %w", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", Upgrade)
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("ask for an upgrade: %w", err)
	}
	r := bufio.NewReaderSize(&io.LimitedReader{R: conn, N: 64 << 10}, 2<<10)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, fmt.Errorf("read answer to the upgrade: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
		resp.Body.Close()
		return nil, &UpgradeError{Status: resp.StatusCode, Type: resp.Header.Get("Content-Type"), Body: b}
	}
	if n := r.Buffered(); n > 0 {
		early, _ := r.Peek(n)
		return &upgraded{Conn: conn, early: append([]byte(nil), early...)}, nil
	}
	return conn, nil
}

// upgraded is a connection whose first bytes came together with the server's answer.
type upgraded struct {
	net.Conn
	early []byte
}

func (u *upgraded) Read(b []byte) (int, error) {
	if len(u.early) > 0 {
		n := copy(b, u.early)
		u.early = u.early[n:]
		return n, nil
	}
	return u.Conn.Read(b)
}

// CloseWrite ends the sending direction, where the connection can do that.
func (u *upgraded) CloseWrite() error {
	if c, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return u.Conn.Close()
}
