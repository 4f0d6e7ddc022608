// Package x11 opens connections to X servers for the desktop and for the sign:
// it reads the given authority file itself, where the X library would look only
// at this process's environment, and holds the shared memory that pictures pass
// through. Packages desktop and sign are its callers.
package x11

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/jezek/xgb"
)

// quiet keeps the X library from writing to standard error: everything it logs is also returned.
var quiet = sync.OnceFunc(func() { xgb.Logger.SetOutput(io.Discard) })

// Connect opens a connection to a display such as ":0" or "host:10.0", with the
// cookie of the authority file; an empty path means $XAUTHORITY, then
// ~/.Xauthority. The error names what is missing.
func Connect(display, authority string) (*xgb.Conn, error) {
	quiet()
	opcodes, err := extensions(display, authority)
	if err != nil {
		return nil, err
	}
	d, err := dial(display, authority)
	if err != nil {
		return nil, err
	}
	x, err := xgb.NewConnNet(&authorised{Conn: d.conn, cookie: d.cookie})
	if err != nil {
		d.conn.Close()
		return nil, d.refused(display, err)
	}
	x.ExtLock.Lock()
	x.Extensions = opcodes
	x.ExtLock.Unlock()
	if i := strings.LastIndexByte(display, '.'); i > strings.LastIndexByte(display, ':') {
		if n, err := strconv.Atoi(display[i+1:]); err == nil {
			x.DefaultScreen = n
		}
	}
	return x, nil
}

// dialled is a connection before its set-up.
type dialled struct {
	conn      net.Conn
	cookie    []byte // nil: none was found
	file      string
	cookieErr error
}

func dial(display, authority string) (dialled, error) {
	network, address, host, number, err := parse(display)
	if err != nil {
		return dialled{}, err
	}
	d := dialled{file: authority}
	if d.conn, err = net.Dial(network, address); err != nil {
		return d, fmt.Errorf("no X server answers at display %s: %w", display, err)
	}
	if d.file == "" {
		d.file = os.Getenv("XAUTHORITY")
	}
	if d.file == "" {
		if home, err := os.UserHomeDir(); err == nil {
			d.file = filepath.Join(home, ".Xauthority")
		}
	}
	d.cookie, d.cookieErr = readCookie(d.file, host, number)
	return d, nil
}

func (d dialled) refused(display string, err error) error {
	if d.cookie == nil && d.cookieErr != nil {
		return fmt.Errorf("display %s refuses us (no cookie for it in %s: %w): %w", display, d.file, d.cookieErr, err)
	}
	return fmt.Errorf("display %s refuses us: %w", display, err)
}

// Local reports whether the display's X server runs on this machine, so that memory can be shared with it.
func Local(display string) bool {
	network, _, _, _, err := parse(display)
	return err == nil && network == "unix"
}

func parse(display string) (network, address, host, number string, err error) {
	i := strings.LastIndexByte(display, ':')
	if i < 0 {
		return "", "", "", "", fmt.Errorf("display %q is not of the form :0 or host:0", display)
	}
	host, number = display[:i], display[i+1:]
	if j := strings.IndexByte(number, '.'); j >= 0 {
		number = number[:j]
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > 59535 {
		return "", "", "", "", fmt.Errorf("display %q has no number", display)
	}
	switch {
	case strings.HasPrefix(host, "/"): // macOS launchd socket
		return "unix", display[:i] + ":" + number, "", number, nil
	case host == "" || host == "unix":
		return "unix", "/tmp/.X11-unix/X" + number, "", number, nil
	}
	host = strings.TrimPrefix(host, "tcp/")
	return "tcp", net.JoinHostPort(host, strconv.Itoa(6000+n)), host, number, nil
}

const (
	cookieName  = "MIT-MAGIC-COOKIE-1"
	familyLocal = 256
	familyWild  = 65535
)

// readCookie finds the display's cookie in an authority file: lists of a family
// and four counted strings (address, display, name, data).
func readCookie(file, host, number string) ([]byte, error) {
	if file == "" {
		return nil, errors.New("no authority file")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if host == "" || host == "localhost" {
		if host, err = os.Hostname(); err != nil {
			return nil, err
		}
	}
	str := func() (string, bool) {
		if len(b) < 2 {
			return "", false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return "", false
		}
		s := string(b[2 : 2+n])
		b = b[2+n:]
		return s, true
	}
	var fallback []byte
	for len(b) >= 2 {
		family := binary.BigEndian.Uint16(b)
		b = b[2:]
		address, ok1 := str()
		disp, ok2 := str()
		name, ok3 := str()
		data, ok4 := str()
		if !ok1 || !ok2 || !ok3 || !ok4 {
			break
		}
		if name != cookieName || disp != "" && disp != number {
			continue
		}
		if family == familyWild || family == familyLocal && address == host {
			return []byte(data), nil
		}
		if family == familyLocal && fallback == nil { // the machine was renamed after the session began
			fallback = []byte(data)
		}
	}
	if fallback != nil {
		return fallback, nil
	}
	return nil, fmt.Errorf("display :%s is not in it", number)
}

// authorised replaces the X library's first message, the connection set-up, by
// one with our cookie.
type authorised struct {
	net.Conn
	cookie []byte
	done   bool
}

func (a *authorised) Write(p []byte) (int, error) {
	if a.done {
		return a.Conn.Write(p)
	}
	a.done = true
	b := setUp(a.cookie)
	if _, err := a.Conn.Write(b); err != nil {
		return 0, err
	}
	return len(p), nil
}

// setUp is the first message of a connection.
func setUp(cookie []byte) []byte {
	b := make([]byte, 12, 64)
	b[0], b[2] = 'l', 11 // little endian, protocol 11.0
	if cookie == nil {
		return b
	}
	binary.LittleEndian.PutUint16(b[6:], uint16(len(cookieName)))
	binary.LittleEndian.PutUint16(b[8:], uint16(len(cookie)))
	b = append(b, cookieName...)
	b = append(b, make([]byte, (4-len(b)%4)%4)...)
	b = append(b, cookie...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}
