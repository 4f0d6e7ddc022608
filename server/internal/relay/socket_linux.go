package relay

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// notSent is how many bytes may wait in the kernel before they are sent. What waits there is in
// front of every later key press and picture on a narrow line.
const notSent = 64 << 10

// tune sets up the socket of a channel. Go has set TCP_NODELAY already.
func tune(c net.Conn) {
	t := tcp(c)
	if t == nil {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	})
}

// readNow reads what has arrived, or returns errLater.
func readNow(c net.Conn, b []byte) (n int, err error) {
	t := tcp(c)
	if t == nil {
		return 0, errLater
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	var rerr error
	if err := raw.Read(func(fd uintptr) bool {
		n, rerr = unix.Read(int(fd), b)
		return true
	}); err != nil {
		return 0, err
	}
	switch {
	case rerr == unix.EAGAIN || rerr == unix.EINTR:
		return 0, errLater
	case rerr != nil:
		return 0, rerr
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
