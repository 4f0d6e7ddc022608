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

const (
	record = 16 << 10 // of plaintext in a TLS record
	batch  = 4 * record
)

// buffers and ciphertexts are shared by all splices.
var (
	buffers     = sync.Pool{New: func() any { return new([batch]byte) }}
	ciphertexts = sync.Pool{New: func() any { b := make([]byte, 0, batch+1024); return &b }}
)

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

// pump copies src to dst until src ends, then ends dst. Where both are TLS connections of Split, what has
// arrived meanwhile goes along, and all of it leaves with one call of the kernel; nothing waits for it.
func pump(dst, src net.Conn, half *atomic.Bool) (n int64, err error) {
	buf := buffers.Get().(*[batch]byte)
	defer buffers.Put(buf)
	in, out := below(src), below(dst)
	for {
		if half.Load() {
			src.SetReadDeadline(time.Now().Add(lingering))
		}
		read, readErr := src.Read(buf[:])
		if in != nil && readErr == nil && read > record/2 {
			var more int
			more, readErr = in.more(src, buf[read:])
			read += more
		}
		if read > 0 {
			if err = write(dst, out, buf[:read]); err != nil {
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

// write writes b to c, the TLS records of it at once. t is what lies below c, or nil.
func write(c net.Conn, t *turn, b []byte) error {
	if t == nil || len(b) <= record {
		_, err := c.Write(b)
		return err
	}
	kept := ciphertexts.Get().(*[]byte)
	*kept = (*kept)[:0]
	t.hold(kept)
	_, err := c.Write(b)
	if e := t.flush(); err == nil {
		err = e
	}
	ciphertexts.Put(kept)
	return err
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
