// Command seat shows a virtual desktop in a browser, so that the employee's part of a story can be
// played on a machine without a screen:
//
//	seat -listen 127.0.0.1:8444 -rfb unix:/run/…/rfb -novnc …/node_modules/@novnc/novnc
//
// It bridges a WebSocket to an RFB server (X0tigervnc, Xtigervnc) behind a token that stands in the
// fragment of the address, and prints that address. It is a development tool: loopback only, never
// packaged, and no part of how Traybell shows a desktop to a technician.
package main

import (
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed seat.html
var page []byte

//go:embed seat.js
var script []byte

const cookieName = "traybell-seat"

func main() {
	listen := flag.String("listen", "127.0.0.1:8444", "address of the page; loopback only")
	rfb := flag.String("rfb", "", "RFB server of the desktop: unix:PATH or HOST:PORT on loopback")
	novnc := flag.String("novnc", "", "folder of the npm package @novnc/novnc")
	flag.Parse()
	if err := run(*listen, *rfb, *novnc); err != nil {
		fmt.Fprintln(os.Stderr, "seat:", err)
		os.Exit(1)
	}
}

func run(listen, rfb, novnc string) error {
	if _, err := os.Stat(filepath.Join(novnc, "core", "rfb.js")); err != nil {
		return fmt.Errorf("noVNC is not in %q: %w", novnc, err)
	}
	network, address := "tcp", rfb
	if path, ok := strings.CutPrefix(rfb, "unix:"); ok {
		network, address = "unix", path
	} else if err := loopback(rfb); err != nil {
		return fmt.Errorf("-rfb: %w", err)
	}
	if err := loopback(listen); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s := newSeat(novnc, func() (net.Conn, error) { return net.DialTimeout(network, address, 5*time.Second) })
	fmt.Printf("http://%s/#%s\n", l.Addr(), s.token)
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	return srv.Serve(l)
}

// loopback refuses an address that others can reach: whoever holds the page types as the employee.
func loopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not on loopback", address)
}

type seat struct {
	token, cookie string
	dial          func() (net.Conn, error)
	mux           *http.ServeMux
}

func secret() string {
	var b [24]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func newSeat(novnc string, dial func() (net.Conn, error)) *seat {
	s := &seat{token: secret(), cookie: secret(), dial: dial, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	s.mux.HandleFunc("GET /seat.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Write(script)
	})
	s.mux.HandleFunc("POST /enter", s.enter)
	s.mux.Handle("GET /novnc/", http.StripPrefix("/novnc/", http.FileServerFS(os.DirFS(novnc))))
	s.mux.HandleFunc("GET /rfb", s.bridge)
	return s
}

func (s *seat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if loopback(net.JoinHostPort(host, "0")) != nil { // a name that a hostile site points here
		http.Error(w, "open the address that was printed", http.StatusMisdirectedRequest)
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		http.Error(w, "the request comes from another site", http.StatusForbidden)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// enter takes the token, which came in the address's fragment and so in no log, for a cookie.
func (s *seat) enter(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(io.LimitReader(r.Body, 256))
	if err != nil || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(string(b))), []byte(s.token)) != 1 {
		http.Error(w, "this is not the token that was printed", http.StatusForbidden)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: s.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

func (s *seat) bridge(w http.ResponseWriter, r *http.Request) {
	c, err := r.Cookie(cookieName)
	if err != nil || subtle.ConstantTimeCompare([]byte(c.Value), []byte(s.cookie)) != 1 || r.Header.Get("Origin") == "" {
		http.Error(w, "open the address that was printed", http.StatusForbidden)
		return
	}
	desktop, err := s.dial()
	if err != nil {
		http.Error(w, "the desktop does not answer: "+err.Error(), http.StatusBadGateway)
		return
	}
	defer desktop.Close()
	ws, err := accept(w, r)
	if err != nil {
		slog.Warn("no websocket", "err", err)
		return
	}
	defer ws.Close()
	go func() {
		io.Copy(ws, desktop)
		ws.Close()
	}()
	if _, err := io.Copy(desktop, ws); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		slog.Debug("seat left", "err", err)
	}
}
