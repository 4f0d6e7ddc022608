// Package uplink keeps the device's one control connection to its server.
//
// It dials, upgrades, proves the device, hands every message on in order, pings, and comes back with
// exponential back-off and full jitter when the line is cut. It also dials the channels that an offer
// allows. It decides nothing: what a message may do is the Handler's business.
package uplink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/apiclient"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

const (
	pingEvery   = 30 * time.Second // ± 20 %
	silence     = 90 * time.Second // without a byte from the server the link is dead
	backoffMin  = 500 * time.Millisecond
	backoffMax  = 60 * time.Second
	handshake   = 20 * time.Second
	writeWithin = 20 * time.Second
)

// ErrDown is returned by Send while there is no link.
var ErrDown = errors.New("no link to the server")

// Handler is told what happens on the link. Its methods are called one after the other: Up before
// the first Message of a link, Down after the last.
type Handler interface {
	Up(ctx context.Context, w link.Welcome)
	Message(ctx context.Context, m link.Message)
	Down(err error)
}

// Options of New.
type Options struct {
	Identity keystore.Identity
	Proof    func(context.Context) link.Proof // collected afresh for each attempt
	Handler  Handler
	Logger   *slog.Logger
}

// Uplink is the device's link. Run keeps it; Send and Channel may be called from anywhere.
type Uplink struct {
	o    Options
	kick chan struct{}

	mu   sync.Mutex
	conn *link.Conn
	raw  net.Conn
}

// New makes an uplink.
func New(o Options) *Uplink { return &Uplink{o: o, kick: make(chan struct{}, 1)} }

// Retry cuts a waiting back-off short, for example when the network came back.
func (u *Uplink) Retry() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// Reconnect drops the link, which then comes up again with a new token.
func (u *Uplink) Reconnect() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.raw != nil {
		u.raw.Close()
	}
}

// Send sends one message to the server, or returns ErrDown. Nothing is queued: what the server must
// know after a gap stands in Proof.
func (u *Uplink) Send(typ string, body any) error {
	u.mu.Lock()
	c := u.conn
	u.mu.Unlock()
	if c == nil {
		return ErrDown
	}
	if err := c.Write(typ, body); err != nil {
		return fmt.Errorf("send %s: %w", typ, err)
	}
	return nil
}

// Run keeps the link up until ctx ends.
func (u *Uplink) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		up, err := u.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if up {
			attempt = 0
		}
		wait := backoff(attempt)
		u.o.Logger.Info("link down", "err", err, "retry_in", wait.Round(time.Millisecond))
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-u.kick:
			t.Stop()
		case <-t.C:
		}
	}
}

// backoff is full jitter: anything between the minimum and 2^attempt times it.
func backoff(attempt int) time.Duration {
	ceiling := min(backoffMax, backoffMin<<min(attempt+1, 10))
	return backoffMin/2 + rand.N(ceiling)
}

// once runs one link to its end; up tells whether it came up.
func (u *Uplink) once(ctx context.Context) (up bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	raw, err := u.dial(ctx, link.Path, "")
	if err != nil {
		u.o.Handler.Down(err)
		return false, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	binding := link.NoBinding()
	if u.o.Identity.Server.TLS == api.TLSPinned {
		if binding, err = link.Binding(raw.tls.ConnectionState()); err != nil {
			u.o.Handler.Down(err)
			return false, err
		}
	}
	raw.SetDeadline(time.Now().Add(handshake))
	c, welcome, _, err := link.Dial(&alive{raw}, u.o.Identity.Link(), binding, u.o.Proof(ctx))
	if err != nil {
		err = fmt.Errorf("link: %w", err)
		u.o.Handler.Down(err)
		return false, err
	}
	raw.SetDeadline(time.Time{})
	u.mu.Lock()
	u.conn, u.raw = c, raw
	u.mu.Unlock()
	u.o.Handler.Up(ctx, welcome)
	u.o.Logger.Info("link up")

	var pings sync.WaitGroup
	pings.Go(func() { u.ping(ctx, c, raw) })
	for {
		var m link.Message
		if m, err = c.Read(); err != nil {
			break
		}
		if m.Type == link.TypeRefused {
			var r link.Refused
			if err = m.Decode(&r); err == nil {
				err = link.RefusedError{Refused: r}
			}
			break
		}
		if m.Type != link.TypePong {
			u.o.Handler.Message(ctx, m)
		}
	}
	u.mu.Lock()
	u.conn, u.raw = nil, nil
	u.mu.Unlock()
	cancel()
	pings.Wait()
	u.o.Handler.Down(err)
	return true, err
}

func (u *Uplink) ping(ctx context.Context, c *link.Conn, raw net.Conn) {
	for {
		t := time.NewTimer(pingEvery*4/5 + rand.N(pingEvery*2/5))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if c.Write(link.TypePing, nil) != nil {
			raw.Close()
			return
		}
	}
}

// alive gives every read and write its deadline: a server that is silent for 90 s is gone.
type alive struct{ net.Conn }

func (a *alive) Read(b []byte) (int, error) {
	a.Conn.SetReadDeadline(time.Now().Add(silence))
	return a.Conn.Read(b)
}

func (a *alive) Write(b []byte) (int, error) {
	a.Conn.SetWriteDeadline(time.Now().Add(writeWithin))
	return a.Conn.Write(b)
}

// Channel dials the connection of an offered channel. The token goes in a header.
func (u *Uplink) Channel(ctx context.Context, token string) (net.Conn, error) {
	c, err := u.dial(ctx, link.ChannelPath, token)
	if err != nil {
		return nil, fmt.Errorf("dial channel: %w", err)
	}
	return c, nil
}

// upgraded is a connection after its 101 answer. The reader holds what came with it.
type upgraded struct {
	net.Conn
	tls *tls.Conn
	r   *bufio.Reader
}

// Read gives the bytes that were read ahead first, then goes straight to the connection.
func (c *upgraded) Read(b []byte) (int, error) {
	if c.r != nil {
		if c.r.Buffered() > 0 {
			return c.r.Read(b)
		}
		c.r = nil
	}
	return c.Conn.Read(b)
}

// CloseWrite ends the sending direction.
func (c *upgraded) CloseWrite() error { return c.tls.CloseWrite() }

func (u *Uplink) dial(ctx context.Context, path, token string) (*upgraded, error) {
	s := u.o.Identity.Server
	base, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("server's address: %w", err)
	}
	conn, err := apiclient.Dial(ctx, s)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(handshake))
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n", strings.TrimSuffix(base.Path, "/"), path, base.Host, link.Upgrade)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: %s %s\r\n", link.ChannelScheme, token)
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(conn, b.String()); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask for the upgrade: %w", err)
	}
	r := bufio.NewReaderSize(conn, 2048)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask for the upgrade: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(resp.Header.Get("Upgrade"), link.Upgrade) {
		conn.Close()
		return nil, fmt.Errorf("ask for the upgrade: the server answered %s", resp.Status)
	}
	conn.SetDeadline(time.Time{})
	return &upgraded{Conn: conn, tls: conn, r: r}, nil
}
