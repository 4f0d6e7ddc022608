package page

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// peersChecked says that checkPeer knows who connects.
const peersChecked = true

// checkPeer reports an error unless the other end of c belongs to our own user. TCP has no
// SO_PEERCRED; the kernel's table of sockets names the owner of each.
func checkPeer(c net.Conn) error {
	theirs, ok1 := c.RemoteAddr().(*net.TCPAddr)
	ours, ok2 := c.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return errPeer
	}
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return err
	}
	defer f.Close()
	uid, err := owner(bufio.NewScanner(f), entry(theirs), entry(ours))
	if err != nil {
		return err
	}
	if uid != os.Getuid() {
		return fmt.Errorf("%w: %d", errPeer, uid)
	}
	return nil
}

// entry is an IPv4 address as the table writes it: the address little-endian, both in hexadecimal.
func entry(a *net.TCPAddr) string {
	ip := a.IP.To4()
	if ip == nil {
		return ""
	}
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], a.Port)
}

func owner(table *bufio.Scanner, local, remote string) (int, error) {
	for table.Scan() {
		f := strings.Fields(table.Text())
		if len(f) > 7 && f[1] == local && f[2] == remote {
			return strconv.Atoi(f[7])
		}
	}
	if err := table.Err(); err != nil {
		return 0, err
	}
	return 0, errPeer
}
