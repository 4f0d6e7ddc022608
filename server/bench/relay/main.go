//go:build linux

// Command relay measures what the relay adds to a byte stream between technician and device: bytes per
// second of server CPU, and round trips, beside a raw TCP relay in the same run. Server, device and technician
// are three processes; both legs of the relay are TLS. The technician's leg is once the command line's (an upgraded
// connection) and once the browser's (a WebSocket).
//
//	go run ./server/bench/relay
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/traybell/traybell/server/internal/httpd"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

func main() {
	data := flag.String("data", "", "folder for the server's keys; default a temporary one")
	listen := flag.String("listen", "127.0.0.1:21110", "address of the server; the two ports above it are used for raw TCP")
	mb := flag.Int("mb", 512, "megabytes of one transfer")
	rounds := flag.Int("rounds", 3, "transfers of each sort, taking turns")
	trips := flag.Int("trips", 2000, "round trips of each sort and round")
	role := flag.String("role", "", "server or device; set by the program itself")
	flag.Parse()
	var err error
	switch *role {
	case "server":
		err = serve(*data, *listen)
	case "device":
		err = beDevice(*data, *listen)
	default:
		err = measure(*data, *listen, int64(*mb)<<20, *rounds, *trips)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

const deviceID = "01998d5c-0000-7000-8000-000000000001"

func deviceKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("relay bench"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// port is the server's port plus n, for raw TCP: 1 the raw relay, 2 the device behind it.
func port(listen string, n int) string {
	host, p, _ := net.SplitHostPort(listen)
	i, _ := strconv.Atoi(p)
	return net.JoinHostPort(host, strconv.Itoa(i+n))
}

// clerk is a relay.Desk with one device and no database: what is measured is the bytes' way.
type clerk struct{}

func (clerk) LinkKey(context.Context, string) (ed25519.PublicKey, error) {
	return deviceKey().Public().(ed25519.PublicKey), nil
}
func (clerk) Up(context.Context, link.Peer, string) (link.Welcome, error) {
	return link.Welcome{Epoch: 1}, nil
}
func (clerk) Message(context.Context, string, link.Message) error { return nil }
func (clerk) Down(context.Context, string, int64)                 {}

// serve is the server's process. It obeys the line cpu on standard input.
func serve(data, listen string) error {
	ctx := context.Background()
	keys, err := httpd.OpenKeys(filepath.Join(data, "keys"))
	if err != nil {
		return err
	}
	r := relay.New(relay.Options{Identity: keys.Identity, Desk: clerk{}})
	open := func(req *http.Request) (net.Conn, error) {
		return r.Open(req.Context(), deviceID, link.Offer{Session: "s", Kind: grant.Kind(req.PathValue("kind"))})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/raw/{kind}", func(w http.ResponseWriter, req *http.Request) {
		far, err := open(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		near, err := relay.Upgrade(w, req)
		if err != nil {
			far.Close()
			return
		}
		relay.Splice(ctx, near, far)
	})
	mux.HandleFunc("GET /api/ws/{kind}", func(w http.ResponseWriter, req *http.Request) {
		far, err := open(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		c, err := websocket.Accept(w, req, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			far.Close()
			return
		}
		c.SetReadLimit(-1)
		relay.Splice(ctx, websocket.NetConn(ctx, c, websocket.MessageBinary), far)
	})
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	go httpd.Serve(ctx, httpd.Options{Listener: l, Keys: keys, Host: "127.0.0.1", Relay: r, API: mux, Web: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler)})
	raw, err := net.Listen("tcp", port(listen, 1))
	if err != nil {
		return err
	}
	go func() { // the raw TCP relay: what the kernel can do
		for {
			near, err := raw.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", port(listen, 2))
				if err != nil {
					return
				}
				defer far.Close()
				go func() {
					io.Copy(far, near)
					far.(*net.TCPConn).CloseWrite()
				}()
				io.Copy(near, far)
			}()
		}
	}()
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		fmt.Println((u.Utime.Nano() + u.Stime.Nano()) / 1000)
	}
	return nil
}

// beDevice is the device's process: it dials what it is offered and serves raw connections.
func beDevice(data, listen string) error {
	conf, identity, err := trust(data)
	if err != nil {
		return err
	}
	conf.NextProtos = []string{link.ALPN}
	dial := func(path string, h http.Header) (net.Conn, *tls.Conn, error) {
		c, err := tls.Dial("tcp", listen, conf)
		if err != nil {
			return nil, nil, err
		}
		conn, err := link.RequestUpgrade(c, listen, path, h)
		return conn, c, err
	}
	conn, raw, err := dial(link.Path, nil)
	if err != nil {
		return err
	}
	binding, err := link.Binding(raw.ConnectionState())
	if err != nil {
		return err
	}
	l, _, _, err := link.Dial(conn, link.Device{ID: deviceID, Key: deviceKey(), Identity: identity}, binding, link.Proof{})
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", port(listen, 2))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				kind := make([]byte, 4) // down, up.., echo
				if _, err := io.ReadFull(c, kind); err == nil {
					do(c, strings.TrimRight(string(kind), "."))
				}
			}()
		}
	}()
	go func() {
		t := time.NewTicker(30 * time.Second)
		for range t.C {
			l.Write(link.TypePing, nil)
		}
	}()
	fmt.Println("ready")
	for {
		m, err := l.Read()
		if err != nil {
			return nil // the starter is gone
		}
		var o link.Offer
		if m.Type != link.TypeOffer || m.Decode(&o) != nil {
			continue
		}
		c, _, err := dial(link.ChannelPath, http.Header{"Authorization": {link.ChannelScheme + " " + o.Token}})
		if err != nil {
			return err
		}
		l.Write(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
		go do(c, string(o.Kind))
	}
}

// do plays the device's end: down sends as much as is asked for, up takes and confirms, echo sends back.
func do(c net.Conn, kind string) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	size := func() int64 {
		var b [20]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return 0
		}
		n, _ := strconv.ParseInt(strings.TrimSpace(string(b[:])), 10, 64)
		return n
	}
	switch kind {
	case "down":
		for n := size(); n > 0; {
			m, err := c.Write(buf[:min(n, int64(len(buf)))])
			if err != nil {
				return
			}
			n -= int64(m)
		}
		io.ReadFull(c, buf[:1])
	case "up":
		for n := size(); n > 0; {
			m, err := c.Read(buf)
			if err != nil {
				return
			}
			n -= int64(m)
		}
		c.Write([]byte{1})
		io.ReadFull(c, buf[:1])
	case "echo":
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

func trust(data string) (*tls.Config, ed25519.PublicKey, error) {
	keys, err := httpd.OpenKeys(filepath.Join(data, "keys"))
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(keys.CA)
	return &tls.Config{RootCAs: roots}, keys.Identity.Public().(ed25519.PublicKey), nil
}

// ways are the three ways to the device.
var ways = []string{"raw TCP relay", "TLS upgrade / TLS", "WebSocket over TLS / TLS"}

// reach opens a connection to the device's end of a kind.
func reach(way int, listen string, conf *tls.Config, kind string) (net.Conn, error) {
	switch way {
	case 0:
		c, err := net.Dial("tcp", port(listen, 1))
		if err == nil {
			_, err = c.Write([]byte((kind + "....")[:4]))
		}
		return c, err
	case 1:
		conf = conf.Clone()
		conf.NextProtos = []string{"http/1.1"}
		c, err := tls.Dial("tcp", listen, conf)
		if err != nil {
			return nil, err
		}
		return link.RequestUpgrade(c, listen, "/api/raw/"+kind, nil)
	}
	c, _, err := websocket.Dial(context.Background(), "wss://"+listen+"/api/ws/"+kind, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	return websocket.NetConn(context.Background(), c, websocket.MessageBinary), nil
}

type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(role, data, listen string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, "-role", role, "-data", data, "-listen", listen)}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	if !c.out.Scan() {
		return nil, errors.New(role + " did not start")
	}
	return c, nil
}

func (c *child) cpu() time.Duration {
	fmt.Fprintln(c.in, "cpu")
	c.out.Scan()
	us, _ := strconv.ParseInt(c.out.Text(), 10, 64)
	return time.Duration(us) * time.Microsecond
}

func (c *child) stop() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

type transfer struct{ perCore, wall float64 } // MB/s

// move transfers size bytes in a direction and returns its rates.
func move(server *child, way int, listen string, conf *tls.Config, kind string, size int64) (t transfer, err error) {
	c, err := reach(way, listen, conf, kind)
	if err != nil {
		return t, err
	}
	defer c.Close()
	cpu, began := server.cpu(), time.Now()
	if _, err := fmt.Fprintf(c, "%20d", size); err != nil {
		return t, err
	}
	buf := make([]byte, 64<<10)
	for n := size; n > 0; {
		var m int
		if kind == "up" {
			m, err = c.Write(buf[:min(n, int64(len(buf)))])
		} else {
			m, err = c.Read(buf)
		}
		if err != nil {
			return t, err
		}
		n -= int64(m)
	}
	if kind == "up" {
		if _, err := io.ReadFull(c, buf[:1]); err != nil {
			return t, err
		}
	}
	mb := float64(size) / 1e6
	t = transfer{mb / (server.cpu() - cpu).Seconds(), mb / time.Since(began).Seconds()}
	return t, nil
}

// echo returns the times of n round trips of 64 bytes, sorted.
func echo(way int, listen string, conf *tls.Config, n int) ([]time.Duration, error) {
	c, err := reach(way, listen, conf, "echo")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	buf := make([]byte, 64)
	var all []time.Duration
	for i := range n + 100 {
		began := time.Now()
		if _, err := c.Write(buf); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return nil, err
		}
		if i >= 100 {
			all = append(all, time.Since(began))
		}
	}
	return all, nil
}

func measure(data, listen string, size int64, rounds, trips int) error {
	if data == "" {
		dir, err := os.MkdirTemp("", "traybell-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		data = dir
	}
	conf, _, err := trust(data)
	if err != nil {
		return err
	}
	server, err := start("server", data, listen)
	if err != nil {
		return err
	}
	defer server.stop()
	device, err := start("device", data, listen)
	if err != nil {
		return err
	}
	defer device.stop()
	var rates [3]map[string][]transfer
	var times [3][]time.Duration
	for way := range ways {
		rates[way] = map[string][]transfer{}
	}
	for range rounds {
		for way := range ways {
			t, err := echo(way, listen, conf, trips)
			if err != nil {
				return fmt.Errorf("%s, echo: %w", ways[way], err)
			}
			times[way] = append(times[way], t...)
		}
		for _, kind := range []string{"down", "up"} {
			for way := range ways {
				r, err := move(server, way, listen, conf, kind, size)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", ways[way], kind, err)
				}
				rates[way][kind] = append(rates[way][kind], r)
			}
		}
	}
	fmt.Printf("%d rounds taking turns, %d MB a transfer, %d round trips of 64 bytes a round; medians\n\n", rounds, size>>20, trips)
	fmt.Println("| technician's leg / device's leg | rtt p50 µs | p99 µs | added p50 µs | down MB/s per server core | up | down MB/s wall clock | up |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	p50 := [3]float64{}
	for way, name := range ways {
		t := times[way]
		slices.Sort(t)
		p50[way] = float64(t[len(t)/2].Nanoseconds()) / 1000
		p99 := float64(t[len(t)*99/100].Nanoseconds()) / 1000
		d, u := rates[way]["down"], rates[way]["up"]
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |\n", name, p50[way], p99, p50[way]-p50[0],
			median(d, func(t transfer) float64 { return t.perCore }), median(u, func(t transfer) float64 { return t.perCore }),
			median(d, func(t transfer) float64 { return t.wall }), median(u, func(t transfer) float64 { return t.wall }))
	}
	return nil
}

func median(list []transfer, of func(transfer) float64) float64 {
	var v []float64
	for _, t := range list {
		v = append(v, of(t))
	}
	slices.Sort(v)
	return v[len(v)/2]
}
