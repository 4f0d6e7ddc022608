// Package page shows Traybell's windows in the user's browser, for desktops without OpenGL, for
// people with a screen reader, and for those who prefer it. What it says and does is data of
// package content, as in the windows.
//
// Run serves one visit on 127.0.0.1 and a port of its own, for as long as the page is open. The way
// in is a token that works once and for seconds, then a SameSite=Strict cookie; Host and Origin
// must be ours, and on Linux the other end of each connection must belong to the same OS user.
// traybell-tray runs it as a program of its own.
package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/keep"
	"github.com/traybell/traybell/agent/internal/window/launch"
	"github.com/traybell/traybell/shared/catalogue"
)

// Options says what is shown to whom.
type Options struct {
	Window   launch.Window
	Language string
	Log      *slog.Logger
	Browse   func(url string) error
	Ready    func() // called once the page can be reached
	Dir      string // for drafts and details; empty: keep.Folder
}

const (
	// tokenLife is how long the token of the address works.
	tokenLife = 5 * time.Second
	// tokenLifeChecked is its life where the kernel says who connects: the token need not keep other
	// users out there, and a browser that starts on a slow computer gets time.
	tokenLifeChecked = 30 * time.Second
	// away is how long the server waits for a page that has gone, as by a reload.
	away = 15 * time.Second
	// idle is the same for a browser without JavaScript, which can't say that it is there.
	idle = 30 * time.Minute

	cookieName = "traybell"
	// maxBody bounds what a page sends: the files of one ticket, and the fields around them.
	maxBody = content.MaxTogether + 1<<20
)

var errPeer = errors.New("the connection belongs to another user")

// Run serves the page until it is closed or ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the page: %w", err)
	}
	defer l.Close()
	if o.Dir == "" {
		if o.Dir, err = keep.Folder(); err != nil {
			o.Log.Warn("nothing can be kept for this user", "err", err)
		}
	}
	v := newVisit(o, l.Addr().String())
	defer v.end()
	srv := &http.Server{Handler: v, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(own{l, o.Log}) }()
	if err := o.Browse(v.address()); err != nil {
		srv.Close()
		<-served
		return fmt.Errorf("open the browser: %w", err)
	}
	if o.Ready != nil {
		o.Ready()
	}
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-v.over:
		err = nil
	case err := <-served:
		return err
	}
	quick, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if srv.Shutdown(quick) != nil {
		srv.Close()
	}
	<-served
	return err
}

// own lets only connections of this OS user in.
type own struct {
	net.Listener
	log *slog.Logger
}

func (l own) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := checkPeer(c); err != nil {
			l.log.Warn("page connection refused", "err", err)
			c.Close()
			continue
		}
		return c, nil
	}
}

// visit is one opening of the page.
type visit struct {
	o       Options
	p       *catalogue.Printer
	service *content.Service
	host    string // 127.0.0.1:port
	cookie  string
	mux     *http.ServeMux
	now     func() time.Time
	over    chan struct{}

	mu      sync.Mutex
	token   string
	until   time.Time // of the token
	live    int       // event streams open now
	timer   *time.Timer
	closed  bool
	form    *form
	notice  string
	guarded bool
	quit    context.CancelFunc
	life    context.Context
}

func secret() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func newVisit(o Options, host string) *visit {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	v := &visit{o: o, p: catalogue.For(o.Language), host: host, cookie: secret(), token: secret(), now: time.Now, over: make(chan struct{})}
	v.service = content.NewService(o.Window.Socket, v.p.Language())
	v.life, v.quit = context.WithCancel(context.Background())
	life := tokenLife
	if peersChecked {
		life = tokenLifeChecked
	}
	v.until = v.now().Add(life)
	v.timer = time.AfterFunc(life+away, v.finish)
	v.routes()
	return v
}

// address is where the browser is sent, once.
func (v *visit) address() string { return "http://" + v.host + "/?token=" + v.token }

// finish ends the visit.
func (v *visit) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed {
		v.closed = true
		v.quit()
		close(v.over)
	}
}

func (v *visit) end() {
	v.finish()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timer.Stop()
	if v.form != nil {
		v.form.close()
	}
}

// seen notes that somebody is there.
func (v *visit) seen() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	if v.live > 0 {
		v.timer.Stop()
	} else {
		v.timer.Reset(idle)
	}
}

// stream counts an event stream in; leave counts it out.
func (v *visit) stream() (leave func()) {
	v.mu.Lock()
	v.live++
	v.mu.Unlock()
	v.seen()
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.live--; v.live == 0 && !v.closed {
			v.timer.Reset(away)
		}
	}
}

// take uses the token up.
func (v *visit) take(token string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.token == "" || v.now().After(v.until) || subtle.ConstantTimeCompare([]byte(token), []byte(v.token)) != 1 {
		return false
	}
	v.token = ""
	return true
}

func (v *visit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	// With no-referrer a browser calls the origin of our own forms "null", which is refused below.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	origin := "http://" + v.host
	switch {
	case r.Host != v.host:
		v.refuse(w, http.StatusMisdirectedRequest)
		return
	case r.Header.Get("Origin") != "" && r.Header.Get("Origin") != origin,
		r.Method != http.MethodGet && r.Method != http.MethodHead && r.Header.Get("Origin") != origin:
		v.refuse(w, http.StatusForbidden)
		return
	}
	if token := r.URL.Query().Get("token"); r.URL.Path == "/" && token != "" && r.Method == http.MethodGet {
		if !v.take(token) {
			v.refuse(w, http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: v.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	c, err := r.Cookie(cookieName)
	if err != nil || subtle.ConstantTimeCompare([]byte(c.Value), []byte(v.cookie)) != 1 {
		v.refuse(w, http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	v.seen()
	v.mux.ServeHTTP(w, r)
}

func (v *visit) refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html><html lang=%q><meta charset=utf-8><title>Traybell</title><main><h1>Traybell</h1><p>%s</p></main></html>\n",
		v.p.Language(), html.EscapeString(v.p.T("tray.page.closed")))
}
