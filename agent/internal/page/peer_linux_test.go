package page

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
)

func TestPeersAreKnownByTheirUser(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := checkPeer(s); err != nil {
		t.Errorf("our own connection: %v", err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := entry(s.RemoteAddr().(*net.TCPAddr)), entry(s.LocalAddr().(*net.TCPAddr))
	var foreign strings.Builder
	for _, line := range strings.Split(string(table), "\n") {
		f := strings.Fields(line)
		if len(f) > 7 {
			f[7] = "4242"
		}
		foreign.WriteString(strings.Join(f, " ") + "\n")
	}
	if uid, err := owner(bufio.NewScanner(strings.NewReader(foreign.String())), theirs, ours); err != nil || uid != 4242 {
		t.Errorf("another user's connection: %d %v", uid, err)
	}
	if _, err := owner(bufio.NewScanner(strings.NewReader(string(table))), "00000000:0001", ours); !errors.Is(err, errPeer) {
		t.Errorf("a connection that nobody has: %v", err)
	}
}
