package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lingering is how long the second direction of a splice may be silent after the first has ended.
const lingering = 30 * time.Second

// buffers are two TLS records long; they are shared by all splices.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// Splice copies bytes between a, the technician's side, and b, the device's, until both directions
// have ended or ctx is over, and closes both. up is what went from a to b, down from b to a. The end
// of one direction is passed on where the other side can take it alone (CloseWrite), else it ends
// both. A connection's end is no error.
func Splice(ctx context.Context, a, b net.Conn) (up, down int64, err error) {
	tune(a)
	tune(b)
	stop := context.AfterFunc(ctx, func() {
		closeWithin(a, goodbye)
		closeWithin(b, goodbye)
	})
	defer stop()
	var half atomic.Bool
	var errUp, errDown error
	var wg sync.WaitGroup
	wg.Go(func() { up, errUp = pump(b, a, &half) })
	down, errDown = pump(a, b, &half)
	wg.Wait()
	a.Close()
	b.Close()
	if ctx.Err() != nil {
		return up, down, context.Cause(ctx)
	}
	return up, down, errors.Join(errUp, errDown)
}

// pump copies src to dst until src ends, then ends dst.
func pump(dst, src net.Conn, half *atomic.Bool) (n int64, err error) {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		if half.Load() {
			src.SetReadDeadline(time.Now().Add(lingering))
		}
		read, readErr := src.Read(buf[:])
		if read > 0 {
			if _, err = dst.Write(buf[:read]); err != nil {
				break
			}
			n += int64(read)
		}
		if readErr != nil {
			err = readErr
			break
		}
	}
	if err == io.EOF && closeWrite(dst) == nil {
		half.Store(true)
		dst.SetReadDeadline(time.Now().Add(lingering)) // the other direction may be reading already
		return n, nil
	}
	// this direction is broken, or its end can't be told alone: both end
	closeWithin(dst, goodbye)
	closeWithin(src, goodbye)
	if err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return n, nil
	}
	return n, err
}

var errNoHalfClose = errors.New("this connection can't end in one direction")

// closeWrite ends one direction of c.
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	if p, ok := c.(*prefixed); ok {
		return closeWrite(p.Conn)
	}
	return errNoHalfClose
}
