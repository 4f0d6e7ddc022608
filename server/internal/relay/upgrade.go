package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/traybell/traybell/shared/link"
)

var errUpgrade = errors.New("an upgrade to " + link.Upgrade + " is needed here")

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + link.Upgrade + "\r\n\r\n"

// wanted reports whether req asks for an upgrade to traybell/1.
func wanted(req *http.Request) error {
	if req.ProtoMajor != 1 || !strings.EqualFold(req.Header.Get("Upgrade"), link.Upgrade) {
		return errUpgrade
	}
	for _, v := range req.Header.Values("Connection") {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return nil
			}
		}
	}
	return errUpgrade
}

// Upgrading reports whether req asks for an upgrade to traybell/1, for handlers that do something
// before they call Upgrade.
func Upgrading(req *http.Request) bool { return wanted(req) == nil }

// needUpgrade answers a request that wanted refuses.
func needUpgrade(w http.ResponseWriter) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", link.Upgrade)
	http.Error(w, errUpgrade.Error(), http.StatusUpgradeRequired)
}

// Upgrade takes the connection of req out of HTTP and answers 101. Bytes that came together with
// the request are read first. It is used for technicians' channels, too; on an error the request
// has been answered.
func Upgrade(w http.ResponseWriter, req *http.Request) (net.Conn, error) {
	if err := wanted(req); err != nil {
		needUpgrade(w)
		return nil, err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, errUpgrade.Error(), http.StatusBadRequest)
		return nil, fmt.Errorf("take the connection out of HTTP: %w", err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte(switching)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer the upgrade: %w", err)
	}
	conn.SetDeadline(time.Time{})
	if n := rw.Reader.Buffered(); n > 0 {
		early, err := rw.Reader.Peek(n)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("read what came with the upgrade: %w", err)
		}
		return &prefixed{Conn: conn, early: append([]byte(nil), early...)}, nil
	}
	return conn, nil
}

// prefixed is a connection whose first bytes were read together with the HTTP request.
type prefixed struct {
	net.Conn
	early []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// inner lets tcp find the socket.
func (p *prefixed) inner() net.Conn { return p.Conn }

// unwrap returns the connection below c, or nil.
func unwrap(c net.Conn) net.Conn {
	switch c := c.(type) {
	case interface{ inner() net.Conn }:
		return c.inner()
	case interface{ NetConn() net.Conn }: // *tls.Conn and what embeds it
		return c.NetConn()
	}
	return nil
}

// tcp returns the socket at the bottom of c, or nil.
func tcp(c net.Conn) *net.TCPConn {
	for c != nil {
		if t, ok := c.(*net.TCPConn); ok {
			return t
		}
		c = unwrap(c)
	}
	return nil
}

// tlsState returns the state of the TLS connection in c.
func tlsState(c net.Conn) (tls.ConnectionState, bool) {
	for c != nil {
		if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
			return t.ConnectionState(), true
		}
		c = unwrap(c)
	}
	return tls.ConnectionState{}, false
}

// closeWithin closes c, and its socket without a goodbye if that takes longer than d: a peer that
// reads nothing could otherwise hold TLS's closing alert back for five seconds.
func closeWithin(c net.Conn, d time.Duration) error {
	if t := tcp(c); t != nil && net.Conn(t) != c {
		timer := time.AfterFunc(d, func() { t.Close() })
		defer timer.Stop()
	}
	return c.Close()
}
