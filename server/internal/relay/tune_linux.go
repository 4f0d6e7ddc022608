package relay

import (
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
