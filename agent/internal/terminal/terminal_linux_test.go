package terminal

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/shared/link"
)

// visit is the technician's side of a terminal.
type visit struct {
	t    *testing.T
	conn net.Conn
	gate *Gate
	used chan struct{}
	done chan error
	buf  []byte
	text bytes.Buffer
}

func open(t *testing.T) *visit {
	t.Helper()
	ours, theirs := net.Pipe()
	v := &visit{t: t, conn: ours, gate: &Gate{}, used: make(chan struct{}, 1), done: make(chan error, 1), buf: make([]byte, link.MaxTerminalFrame)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		v.done <- Serve(ctx, theirs, Options{Shell: "/bin/sh", Home: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin", "PS1=$ "}, Gate: v.gate,
			Used: func() { v.used <- struct{}{} }})
	}()
	ours.SetDeadline(time.Now().Add(20 * time.Second))
	return v
}

func (v *visit) typed(s string) {
	v.t.Helper()
	if err := link.WriteTerminal(v.conn, link.TerminalData, []byte(s)); err != nil {
		v.t.Fatal(err)
	}
}

// until reads until the text holds want, and returns the exit code if that came first.
func (v *visit) until(want string) (exit int, exited bool) {
	v.t.Helper()
	for !strings.Contains(v.text.String(), want) {
		typ, b, err := link.ReadTerminal(v.conn, v.buf)
		if err != nil {
			v.t.Fatalf("waiting for %q after %q: %v", want, v.text.String(), err)
		}
		if typ == link.TerminalExit {
			return int(binary.BigEndian.Uint32(b)), true
		}
		v.text.Write(b)
	}
	v.text.Reset()
	return 0, false
}

func TestShellRunsResizesAndExits(t *testing.T) {
	v := open(t)
	v.typed("echo $((6*7))x $(tty)\n")
	v.until("42x /dev/pts/")
	var size [4]byte
	binary.BigEndian.PutUint16(size[:], 111)
	binary.BigEndian.PutUint16(size[2:], 33)
	if err := link.WriteTerminal(v.conn, link.TerminalSize, size[:]); err != nil {
		t.Fatal(err)
	}
	v.typed("stty size\n")
	v.until("33 111")
	v.typed("exit 7\n")
	if code, exited := v.until("never"); !exited || code != 7 {
		t.Errorf("got exit %d, %v, want 7", code, exited)
	}
	if err := <-v.done; err != nil {
		t.Error(err)
	}
	select {
	case <-v.used:
	default:
		t.Error("use was not told")
	}
}

func TestHeldTerminalTakesNothingAndShowsNothing(t *testing.T) {
	v := open(t)
	v.typed("PS1='%% '; echo rea''dy\n")
	v.until("ready\r\n%% ")
	v.gate.Hold(true)
	v.typed("echo drop''ped\n")
	shown := make(chan byte, 1)
	go func() {
		typ, b, err := link.ReadTerminal(v.conn, v.buf)
		if err == nil {
			v.text.Write(b) // afterwards it may be all that the shell says
			shown <- typ
		}
		close(shown)
	}()
	select {
	case typ, ok := <-shown:
		if ok {
			t.Errorf("a frame of type %d came through", typ)
		}
	case <-time.After(300 * time.Millisecond):
	}
	v.gate.Hold(false)
	v.typed("echo back''again; exit\n")
	if typ, ok := <-shown; ok && typ != link.TerminalExit {
		v.until("never")
	}
	if all := v.text.String(); strings.Contains(all, "dropped") || !strings.Contains(all, "backagain") {
		t.Errorf("got %q: what was typed while held was carried out, or nothing after it", all)
	}
}

func TestClosedChannelEndsTheShell(t *testing.T) {
	v := open(t)
	v.typed("trap '' HUP; sleep 30 & setsid sleep 31 & echo rea''dy; sleep 1000\n")
	v.until("ready")
	v.conn.Close()
	select {
	case <-v.done:
	case <-time.After(5 * time.Second):
		t.Error("the shell goes on")
	}
}
