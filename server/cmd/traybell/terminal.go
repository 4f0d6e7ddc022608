package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

type terminal struct {
	Device string `arg:"" help:"Name or id of the device."`
	Ticket string `help:"Number or id of the ticket that this work belongs to. Without it a ticket is made." placeholder:"N"`
}

// Run implements the command. It ends with the exit code of the shell at the device.
func (t *terminal) Run(ctx context.Context, p *program) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	visit, err := c.ask(ctx, t.Device, t.Ticket, grant.Terminal)
	if err != nil {
		return err
	}
	defer visit.leave()
	conn, err := visit.channel(ctx, visit.session.ID, grant.KindTerminal, false)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(os.Stderr, p.say.T("cli.terminal_ready"))
	restore, err := raw()
	if err != nil {
		return fmt.Errorf("set up this terminal: %w", err)
	}
	code, err := talk(ctx, conn, os.Stdin, os.Stdout)
	restore()
	switch {
	case err != nil:
		visit.refresh(context.WithoutCancel(ctx))
		if visit.session.over() {
			fmt.Fprintln(os.Stderr, "\n"+visit.why())
			return nil
		}
		return err
	case code != 0:
		visit.leave()
		conn.Close()
		return exitCode(code)
	}
	return nil
}

// talk passes keys and sizes to the device and prints what comes back, until the shell there has ended.
func talk(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) (code int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, func() { conn.Close() })
	frames := make(chan frame)
	send := func(f frame) bool {
		select {
		case frames <- f:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go sizes(ctx, func(columns, rows int) {
		b := binary.BigEndian.AppendUint16(nil, uint16(columns))
		send(frame{link.TerminalSize, binary.BigEndian.AppendUint16(b, uint16(rows))})
	})
	escaped := make(chan struct{})
	go func() { // it may stay in its last read: nothing can interrupt the reading of a terminal
		e := escape{}
		buf := make([]byte, 4096)
		for {
			n, err := in.Read(buf)
			if e.seen(buf[:n]) {
				close(escaped)
				stop()
				return
			}
			if n > 0 && !send(frame{link.TerminalData, append([]byte(nil), buf[:n]...)}) || err != nil {
				return
			}
		}
	}()
	go func() {
		for {
			select {
			case f := <-frames:
				if link.WriteTerminal(conn, f.typ, f.payload) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	r := bufio.NewReader(conn)
	buf := make([]byte, link.MaxTerminalFrame)
	for {
		typ, p, err := link.ReadTerminal(r, buf)
		if err != nil {
			select {
			case <-escaped:
				return 0, nil
			default:
			}
			return 0, fmt.Errorf("the terminal has ended: %w", err)
		}
		switch typ {
		case link.TerminalData:
			if _, err := out.Write(p); err != nil {
				return 0, err
			}
		case link.TerminalExit:
			if len(p) == 4 {
				return int(int32(binary.BigEndian.Uint32(p))), nil
			}
			return 0, nil
		}
	}
}

type frame struct {
	typ     byte
	payload []byte
}

// escape finds Enter ~ . in what is typed, which leaves a terminal that hangs.
type escape struct{ state int }

func (e *escape) seen(b []byte) bool {
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n':
			e.state = 1
		case c == '~' && e.state == 1:
			e.state = 2
		case c == '.' && e.state == 2:
			return true
		default:
			e.state = 0
		}
	}
	return false
}
