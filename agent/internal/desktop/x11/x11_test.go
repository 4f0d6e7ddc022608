package x11_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traybell/traybell/agent/internal/desktop/x11"
	"github.com/traybell/traybell/agent/internal/desktop/x11/x11test"
)

// entry is one entry of an authority file.
func entry(family uint16, address, number, name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, family)
	for _, s := range []string{address, number, name, string(data)} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return b
}

func write(t *testing.T, entries ...[]byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "authority")
	var b []byte
	for _, e := range entries {
		b = append(b, e...)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConnectUsesTheGivenAuthorityFile(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const local, wild = 256, 65535
	const cookie = "MIT-MAGIC-COOKIE-1"
	right, wrong := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	display := x11test.StartGuarded(t, "320x240x24", write(t, entry(wild, "", "", cookie, right)))
	number := strings.TrimPrefix(display, ":")
	other := number + "0"
	for _, c := range []struct {
		name string
		file string
		ok   bool
	}{
		{"for this host", write(t, entry(local, host, number, cookie, right)), true},
		{"for any display", write(t, entry(wild, "", "", cookie, right)), true},
		{"behind others", write(t, entry(local, host, other, cookie, wrong), entry(local, host, number, "XDM-AUTHORIZATION-1", wrong), entry(local, host, number, cookie, right)), true},
		{"from before the machine was renamed", write(t, entry(local, "old-name", number, cookie, right)), true},
		{"for another display", write(t, entry(local, host, other, cookie, right)), false},
		{"wrong cookie", write(t, entry(local, host, number, cookie, wrong)), false},
		{"cut off", write(t, entry(local, host, number, cookie, right)[:30]), false},
		{"empty", write(t), false},
		{"missing", filepath.Join(t.TempDir(), "none"), false},
	} {
		x, err := x11.Connect(display, c.file)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			x.Close()
		} else {
			t.Logf("%s: %v", c.name, err)
		}
		p, err := x11.WatchPointer(display, c.file)
		if (err == nil) != c.ok {
			t.Errorf("%s, pointer: %v", c.name, err)
		}
		if err == nil {
			p.Close()
		}
	}
}

func TestLocal(t *testing.T) {
	for display, want := range map[string]bool{":0": true, ":12.1": true, "unix:3": true, "localhost:10.0": false, "host:1": false, "": false, "nonsense": false} {
		if got := x11.Local(display); got != want {
			t.Errorf("Local(%q) = %v", display, got)
		}
	}
}
