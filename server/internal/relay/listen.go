package relay

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/traybell/traybell/shared/link"
)

const (
	tlsTime = 10 * time.Second // of a TLS handshake, not counting the wait for its turn
	tlsMax  = 8192             // connections whose handshake is not finished; further ones wait in the kernel
)

// Split ends TLS on l and hands each connection to one of two listeners: devices gets those that
// negotiated link.ALPN, others all the rest. Both are served with http.Server.Serve. Closing either
// closes l. config must choose the certificate by the client's protocols.
//
// After a restart all devices come back at once, and a handshake costs half a millisecond of CPU.
// They are computed by turns, a few at a time and in order of arrival, because thousands that share
// the processor would all run into their time limit together. A turn lasts only while the server
// computes, so that a peer that is slow or silent takes no one else's.
//
// A device's connection is not a *tls.Conn to net/http, which would drop a protocol it does not
// know; its TLS state is found by the relay.
func Split(l net.Listener, config *tls.Config, log *slog.Logger) (devices, others net.Listener) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &splitter{Listener: l, closed: make(chan struct{}), turns: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), log: log}
	s.config = config.Clone()
	choose := config.GetConfigForClient
	s.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if t, ok := hello.Conn.(*turn); ok {
			if err := t.take(); err != nil {
				return nil, err
			}
		}
		if choose != nil {
			return choose(hello)
		}
		return nil, nil
	}
	d := &half{splitter: s, conns: make(chan net.Conn)}
	o := &half{splitter: s, conns: make(chan net.Conn)}
	go s.run(d, o)
	return d, o
}

type splitter struct {
	net.Listener
	config *tls.Config
	turns  chan struct{}
	log    *slog.Logger
	once   sync.Once
	closed chan struct{}
}

// Close closes the listener below; it may be called for each half.
func (s *splitter) Close() (err error) {
	s.once.Do(func() {
		close(s.closed)
		err = s.Listener.Close()
	})
	return err
}

// run accepts until the listener is closed.
func (s *splitter) run(devices, others *half) {
	room := make(chan struct{}, tlsMax)
	for {
		select {
		case room <- struct{}{}:
		case <-s.closed:
			return
		}
		conn, err := s.Listener.Accept()
		if err != nil {
			<-room
			if errors.Is(err, net.ErrClosed) {
				s.Close()
				return
			}
			s.log.Error("connection not accepted", "err", err) // out of files, as a rule
			pause := time.NewTimer(50 * time.Millisecond)
			select {
			case <-pause.C:
			case <-s.closed:
			}
			continue
		}
		go func() {
			defer func() { <-room }()
			s.handshake(conn, devices, others)
		}()
	}
}

func (s *splitter) handshake(conn net.Conn, devices, others *half) {
	t := &turn{Conn: conn, of: s}
	c := tls.Server(t, s.config)
	conn.SetDeadline(time.Now().Add(tlsTime))
	err := c.Handshake()
	t.give()
	if err != nil {
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	if c.ConnectionState().NegotiatedProtocol == link.ALPN {
		devices.hand(deviceConn{c})
	} else {
		others.hand(c)
	}
}

// turn is the connection below TLS. It holds one of the splitter's turns from the client's hello
// until the server waits for the network again. Later it lets Splice move several TLS records with one
// call of the kernel: see more and hold.
type turn struct {
	net.Conn
	of    *splitter
	held  bool
	eager bool // Read does not wait; only its reader's goroutine touches it

	mu   sync.Mutex
	kept *[]byte // records that wait for flush; nil: none is kept
}

func (t *turn) take() error {
	select {
	case t.of.turns <- struct{}{}:
		t.held = true
		return t.SetDeadline(time.Now().Add(tlsTime))
	case <-t.of.closed:
		return net.ErrClosed
	}
}

func (t *turn) give() {
	if t.held {
		t.held = false
		<-t.of.turns
	}
}

// Read implements net.Conn.
func (t *turn) Read(b []byte) (int, error) {
	t.give()
	if t.eager {
		return readNow(t.Conn, b)
	}
	return t.Conn.Read(b)
}

// Write implements net.Conn.
func (t *turn) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept != nil {
		*t.kept = append(*t.kept, b...)
		return len(b), nil
	}
	return t.Conn.Write(b)
}

// more reads from c, which is above t, what has arrived already. It does not wait.
func (t *turn) more(c net.Conn, b []byte) (n int, err error) {
	t.eager = true
	defer func() { t.eager = false }()
	for len(b) > 0 && err == nil {
		var m int
		m, err = c.Read(b)
		n, b = n+m, b[m:]
	}
	if err == errLater {
		err = nil
	}
	return n, err
}

// hold keeps what is written in buf until flush.
func (t *turn) hold(buf *[]byte) {
	t.mu.Lock()
	t.kept = buf
	t.mu.Unlock()
}

// flush writes what was kept.
func (t *turn) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := *t.kept
	t.kept = nil
	_, err := t.Conn.Write(b)
	return err
}

// below returns the turn under c, or nil.
func below(c net.Conn) *turn {
	for c != nil {
		if t, ok := c.(*turn); ok {
			return t
		}
		c = unwrap(c)
	}
	return nil
}

// errLater says that nothing has arrived yet. TLS takes a temporary error as no harm to the connection.
var errLater net.Error = later{}

type later struct{}

func (later) Error() string   { return "nothing has arrived yet" }
func (later) Timeout() bool   { return true }
func (later) Temporary() bool { return true }

func (t *turn) inner() net.Conn { return t.Conn }

// deviceConn hides the type of the TLS connection.
type deviceConn struct{ *tls.Conn }

// half is one of the two listeners.
type half struct {
	*splitter
	conns chan net.Conn
}

// Accept implements net.Listener.
func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *half) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}
