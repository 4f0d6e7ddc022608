// Package terminal serves one terminal channel: a login shell on a pseudo-terminal, with the rights
// of the process that calls it.
//
// It reads and writes the frames of package link. While it is held (a pause, or a question on the
// screen) it drops what the technician types and keeps back what the shell prints. When it returns,
// the shell and whatever else runs on its terminal are gone. The session program is its caller.
package terminal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/traybell/traybell/shared/link"
)

// ErrNotAvailable is returned by Serve on systems without a terminal so far.
var ErrNotAvailable = errors.New("terminals are not available on this system yet")

// Bounds of a window's size, in cells.
const (
	minCells = 1
	maxCells = 1000
)

// Options of Serve.
type Options struct {
	Shell string   // login shell, an absolute path
	Home  string   // where it starts; the root folder if that can't be entered
	Env   []string // its environment; TERM is added
	Gate  *Gate
	Used  func() // called at the technician's first input that is carried out
}

// Gate holds terminals. The zero value is open; it may be shared by several.
type Gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the gate opens; nil while it is open
}

// Hold closes or opens the gate. Once Hold(true) has returned, no further byte passes in either
// direction, except what had passed already.
func (g *Gate) Hold(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case on && g.shut == nil:
		g.shut = make(chan struct{})
	case !on && g.shut != nil:
		close(g.shut)
		g.shut = nil
	}
}

// pass runs f while the gate is open and reports whether it did. f must not block for long.
func (g *Gate) pass(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		return false
	}
	f()
	return true
}

// wait returns when the gate is open, or ctx has ended.
func (g *Gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		ch := g.shut
		g.mu.Unlock()
		if ch == nil {
			return ctx.Err()
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pty is what Serve needs of a pseudo-terminal with a shell on it.
type pty interface {
	io.ReadWriter
	resize(cols, rows uint16) error
	// end kills everything on the terminal and returns the shell's exit code.
	end() int
	// exited is closed when the shell has ended by itself.
	exited() <-chan struct{}
}

// Serve runs a shell until it exits, conn is closed or ctx ends. It closes conn.
func Serve(ctx context.Context, conn net.Conn, o Options) error {
	defer conn.Close()
	p, err := start(o)
	if err != nil {
		return fmt.Errorf("start shell: %w", err)
	}
	return serve(ctx, conn, p, o)
}

func serve(ctx context.Context, conn net.Conn, p pty, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var typing sync.WaitGroup
	typing.Go(func() {
		defer cancel()
		input(conn, p, o)
	})
	output := make(chan struct{})
	go func() {
		defer close(output)
		show(ctx, conn, p, o.Gate)
	}()
	select {
	case <-output: // the terminal has nothing more to say, or nobody listens
	case <-ctx.Done():
	}
	code := p.end()
	<-output
	if ctx.Err() == nil {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(code))
		if o.Gate.wait(ctx) == nil {
			link.WriteTerminal(conn, link.TerminalExit, b[:])
		}
	}
	conn.Close()
	typing.Wait()
	return nil
}

// input carries the technician's frames to the terminal until the channel ends or breaks the
// protocol.
func input(conn io.Reader, p pty, o Options) {
	buf := make([]byte, link.MaxTerminalFrame)
	used := false
	for {
		typ, b, err := link.ReadTerminal(conn, buf)
		if err != nil {
			return
		}
		switch typ {
		case link.TerminalData:
			var werr error
			open := o.Gate.pass(func() {
				if !used && len(b) > 0 && o.Used != nil {
					used = true
					o.Used()
				}
			})
			// Written outside the gate: a terminal that takes no input must not keep a hold waiting.
			if open {
				_, werr = p.Write(b)
			}
			if werr != nil {
				return
			}
		case link.TerminalSize:
			if len(b) != 4 {
				return
			}
			cols := clamp(binary.BigEndian.Uint16(b))
			rows := clamp(binary.BigEndian.Uint16(b[2:]))
			if p.resize(cols, rows) != nil {
				return
			}
		}
	}
}

func clamp(n uint16) uint16 { return max(minCells, min(maxCells, n)) }

// show carries what the terminal prints to the technician.
func show(ctx context.Context, conn io.Writer, p pty, g *Gate) {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.Read(buf)
		if n > 0 {
			if g.wait(ctx) != nil {
				return
			}
			if link.WriteTerminal(conn, link.TerminalData, buf[:n]) != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
