//go:build linux

// Command links measures what idle devices cost the server, and how fast they come back after a
// restart. The server is the real one (listener, relay, use cases, SQLite on disk) in a process of its own;
// another process plays the devices, each with its key, its TLS connection and its link.
//
//	go run ./server/bench/links -n 10000
//
// Both processes need a file for each device: ulimit -n must allow it.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/httpd"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/link"
)

func main() {
	n := flag.Int("n", 10000, "devices")
	data := flag.String("data", "", "folder for the server's data; default a temporary one")
	listen := flag.String("listen", "127.0.0.1:21100", "address of the server")
	role := flag.String("role", "", "server or devices; set by the program itself")
	flag.Parse()
	var err error
	switch *role {
	case "server":
		err = serve(*data, *listen, *n)
	case "devices":
		err = play(*data, *listen, *n)
	default:
		err = measure(*data, *listen, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "links:", err)
		os.Exit(1)
	}
}

func id(i int) string { return fmt.Sprintf("01998d5c-0000-7000-8000-%012d", i) }

// key is the link key of device i: made from its number, so that both processes know it.
func key(i int) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("bench"), uint64(i)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func facts(i int) link.Facts {
	return link.Facts{
		Hostname: fmt.Sprintf("pc-%05d", i), OS: "linux", OSName: "Debian GNU/Linux 12 (bookworm)", Arch: "amd64", Agent: "0.1.0", MachineID: hex.EncodeToString(key(i)[32:]),
		CPUs: 8, MemoryMB: 16000, DiskMB: 500000, FreeMB: 250000, Addresses: []string{"192.0.2.17", "2001:db8::17"},
		Users: []link.User{{ID: "1000", Name: "lucia", Display: "Lucia Rossi", State: "active", Desktop: "x11"}}, Can: []string{"desktop", "control", "terminal"},
	}
}

// serve is the server's process. It obeys lines on standard input: mem, trim, cpu, links.
func serve(data, listen string, n int) error {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	keys, err := httpd.OpenKeys(filepath.Join(data, "keys"))
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{Data: data, Logger: log})
	if err != nil {
		return err
	}
	if err := enrol(ctx, s, n); err != nil {
		return err
	}
	base := desk.Options{Store: s, Bus: bus.New(), Logger: log}
	devices := deskdevice.New(deskdevice.Options{Options: base, Identity: keys.Identity.Public().(ed25519.PublicKey), URL: "https://" + listen, CA: keys.CAHash(), Secret: keys.Derive("traybell-device-token-1")})
	if err := devices.AllLinksDown(ctx); err != nil {
		return err
	}
	sessions := deskaccess.New(base)
	r := relay.New(relay.Options{Identity: keys.Identity, Desk: &httpd.Links{Devices: devices, Access: sessions, Logger: log}, Logger: log})
	sessions.Reach(r)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	go httpd.Serve(ctx, httpd.Options{Listener: l, Keys: keys, Host: "127.0.0.1", Relay: r, API: http.NotFoundHandler(), Web: http.NotFoundHandler(), Logger: log})
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "mem":
			fmt.Println(memory())
		case "trim":
			debug.FreeOSMemory()
			fmt.Println(memory())
		case "cpu":
			fmt.Println(cpu().Microseconds())
		case "links":
			fmt.Println(r.Links())
		}
	}
	return nil // the starter is gone
}

// enrol stores the devices, unless the folder has them already.
func enrol(ctx context.Context, s *store.Store, n int) error {
	return s.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Provider(); err == nil {
			return nil
		}
		now := time.Now()
		if err := tx.InsertOrganization(account.Organization{ID: "o1", Name: "Bench", Provider: true, CreatedAt: now}); err != nil {
			return err
		}
		for i := range n {
			d := device.Device{ID: device.ID(id(i)), Organization: "o1", Name: facts(i).Hostname, LinkKey: key(i).Public().(ed25519.PublicKey), GrantKey: key(i).Public().(ed25519.PublicKey), Facts: facts(i), EnrolledAt: now}
			if err := tx.InsertDevice(d); err != nil {
				return err
			}
		}
		return nil
	})
}

type usage struct{ RSS, Heap, Stack, Goroutines int64 }

func memory() string {
	b, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u, _ := json.Marshal(usage{pages * int64(os.Getpagesize()), int64(m.HeapAlloc), int64(m.StackInuse), int64(runtime.NumGoroutine())})
	return string(u)
}

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// play is the devices' process. It prints "up N" whenever all are up, and their count each second else.
func play(data, listen string, n int) error {
	keys, err := httpd.OpenKeys(filepath.Join(data, "keys"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(keys.CA)
	conf := &tls.Config{RootCAs: roots, NextProtos: []string{link.ALPN}}
	identity := keys.Identity.Public().(ed25519.PublicKey)
	var up, refused atomic.Int64
	dial := make(chan struct{}, 256)
	for i := range n {
		go func() {
			d := link.Device{ID: id(i), Key: key(i), Identity: identity}
			for {
				dial <- struct{}{}
				c, err := connect(listen, conf, d, facts(i))
				<-dial
				if err == nil {
					up.Add(1)
					idle(c)
					up.Add(-1)
				} else {
					refused.Add(1)
				}
				pause := time.NewTimer(time.Duration(rand.Int64N(int64(time.Second)))) // full jitter
				<-pause.C
			}
		}()
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0) // the starter is gone
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	last := int64(-1)
	for range tick.C {
		if now := up.Load(); now != last && (now == int64(n) || last == int64(n) || now%1000 == 0) {
			last = now
			fmt.Println("up", now, "failed", refused.Load())
		}
	}
	return nil
}

type wire struct {
	raw  net.Conn
	link *link.Conn
}

func connect(addr string, conf *tls.Config, d link.Device, f link.Facts) (*wire, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr, conf)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	conn, err := link.RequestUpgrade(c, addr, link.Path, nil)
	if err != nil {
		c.Close()
		return nil, err
	}
	binding, err := link.Binding(c.ConnectionState())
	if err != nil {
		c.Close()
		return nil, err
	}
	l, _, _, err := link.Dial(conn, d, binding, link.Proof{Facts: f})
	if err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return &wire{c, l}, nil
}

// idle pings as an agent does, until the link is cut.
func idle(w *wire) {
	defer w.raw.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, err := w.link.Read(); err != nil {
				return
			}
		}
	}()
	t := time.NewTimer(time.Duration(rand.Int64N(int64(30 * time.Second))))
	defer t.Stop()
	for {
		select {
		case <-gone:
			return
		case <-t.C:
			if w.link.Write(link.TypePing, nil) != nil {
				return
			}
			t.Reset(30 * time.Second)
		}
	}
}

// child is one of the other two processes.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(role, data, listen string, n int) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, "-role", role, "-data", data, "-listen", listen, "-n", strconv.Itoa(n))}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	return c, c.cmd.Start()
}

func (c *child) line() (string, error) {
	if !c.out.Scan() {
		return "", errors.Join(errors.New("a process ended early"), c.out.Err())
	}
	return c.out.Text(), nil
}

func (c *child) ask(what string) (string, error) {
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		return "", err
	}
	return c.line()
}

func (c *child) memory(what string) (u usage, err error) {
	s, err := c.ask(what)
	if err != nil {
		return u, err
	}
	return u, json.Unmarshal([]byte(s), &u)
}

func (c *child) cpu() (time.Duration, error) {
	s, err := c.ask("cpu")
	if err != nil {
		return 0, err
	}
	us, err := strconv.ParseInt(s, 10, 64)
	return time.Duration(us) * time.Microsecond, err
}

func (c *child) stop() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// allUp waits until all devices are up and returns how many attempts failed so far.
func (c *child) allUp(n int) (failed int, err error) {
	for {
		s, err := c.line()
		if err != nil {
			return 0, err
		}
		var up int
		if _, err := fmt.Sscanf(s, "up %d failed %d", &up, &failed); err != nil {
			return 0, err
		}
		fmt.Fprintf(os.Stderr, "\r%d of %d up, %d attempts failed ", up, n, failed)
		if up == n {
			fmt.Fprintln(os.Stderr)
			return failed, nil
		}
	}
}

func measure(data, listen string, n int) error {
	if data == "" {
		dir, err := os.MkdirTemp("", "traybell-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		data = dir
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	ready := func() (*child, error) {
		c, err := start("server", data, listen, n)
		if err == nil {
			_, err = c.line()
		}
		return c, err
	}
	server, err := ready()
	if err != nil {
		return err
	}
	defer func() { server.stop() }()
	before, err := server.memory("trim")
	if err != nil {
		return err
	}
	cpu0, err := server.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	devices, err := start("devices", data, listen, n)
	if err != nil {
		return err
	}
	defer devices.stop()
	if _, err := devices.allUp(n); err != nil {
		return err
	}
	first := time.Since(began)
	cpu1, err := server.cpu()
	if err != nil {
		return err
	}
	settle := time.NewTimer(35 * time.Second) // every device has pinged once
	<-settle.C
	if up, err := server.ask("links"); err != nil || up != strconv.Itoa(n) {
		return fmt.Errorf("%s links instead of %d: %w", up, n, err)
	}
	natural, err := server.memory("mem")
	if err != nil {
		return err
	}
	trimmed, err := server.memory("trim")
	if err != nil {
		return err
	}
	kb := func(now, then int64) float64 { return float64(now-then) / float64(n) / 1024 }
	fmt.Printf("Idle devices: %d, each with TLS, one link, a ping each 30 s\n\n", n)
	fmt.Println("| | resident KB per device | heap | stacks | goroutines per device |")
	fmt.Println("|---|---|---|---|---|")
	for _, r := range []struct {
		name string
		u    usage
	}{{"as it stands", natural}, {"after a collection that returns memory", trimmed}} {
		fmt.Printf("| %s | %.1f | %.1f | %.1f | %.2f |\n", r.name, kb(r.u.RSS, before.RSS), kb(r.u.Heap, before.Heap), kb(r.u.Stack, before.Stack), float64(r.u.Goroutines-before.Goroutines)/float64(n))
	}
	fmt.Printf("\nThe server without devices: %.1f MB resident.\n\n", float64(before.RSS)/(1<<20))

	// restart: killed, started again on the same data; the devices come back by themselves
	server.stop()
	again := time.Now()
	if server, err = ready(); err != nil {
		return err
	}
	if _, err := devices.allUpAgain(n); err != nil {
		return err
	}
	storm := time.Since(again)
	cpu2, err := server.cpu()
	if err != nil {
		return err
	}
	peak, err := server.memory("mem")
	if err != nil {
		return err
	}
	fmt.Println("| registering | seconds | devices/s | server CPU µs per device | devices/s per server core |")
	fmt.Println("|---|---|---|---|---|")
	for _, r := range []struct {
		name string
		took time.Duration
		cpu  time.Duration
	}{{"all at once, the first time", first, cpu1 - cpu0}, {"after SIGKILL and restart of the server", storm, cpu2}} {
		per := r.cpu.Seconds() / float64(n)
		fmt.Printf("| %s | %.1f | %.0f | %.0f | %.0f |\n", r.name, r.took.Seconds(), float64(n)/r.took.Seconds(), per*1e6, 1/per)
	}
	fmt.Printf("\nResident right after the storm: %.1f KB per device.\n", kb(peak.RSS, before.RSS))
	return nil
}

// allUpAgain waits until the devices have noticed that the server was gone, and are all back.
func (c *child) allUpAgain(n int) (failed int, err error) {
	gone := false
	for {
		s, err := c.line()
		if err != nil {
			return 0, err
		}
		var up int
		if _, err := fmt.Sscanf(s, "up %d failed %d", &up, &failed); err != nil {
			return 0, err
		}
		fmt.Fprintf(os.Stderr, "\r%d of %d up, %d attempts failed ", up, n, failed)
		gone = gone || up < n
		if gone && up == n {
			fmt.Fprintln(os.Stderr)
			return failed, nil
		}
	}
}
