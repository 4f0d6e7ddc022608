package relay

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traybell/traybell/shared/link"
)

// goodbye is how long a link has to take its last message.
const goodbye = time.Second

// ServeLink answers GET /link: it upgrades the connection and returns, so that the memory of the
// HTTP request is freed; a goroutine of its own goes on.
func (r *Relay) ServeLink(w http.ResponseWriter, req *http.Request) {
	if err := wanted(req); err != nil {
		needUpgrade(w)
		return
	}
	wait := time.NewTimer(10 * time.Second)
	defer wait.Stop()
	select {
	case r.handshakes <- struct{}{}:
	case <-req.Context().Done():
		return
	case <-r.ctx.Done():
		unavailable(w)
		return
	case <-wait.C:
		unavailable(w)
		return
	}
	conn, err := Upgrade(w, req)
	if err != nil {
		<-r.handshakes
		return
	}
	if !r.start() {
		<-r.handshakes
		conn.Close()
		return
	}
	go r.accept(conn, req.RemoteAddr)
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "10")
	http.Error(w, "too many devices come at once; try again later", http.StatusServiceUnavailable)
}

// start counts a goroutine that Close waits for; false after Close.
func (r *Relay) start() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

// device is one link of a device.
type device struct {
	id    string
	relay *Relay
	raw   net.Conn
	wire  *link.Conn
	epoch int64         // as given by the Desk; 0 before
	done  chan struct{} // closed after its last call of the Desk
	up    atomic.Bool   // welcomed and not gone

	mu    sync.Mutex // held while a message is written
	gone  bool
	queue []message // until it is up

	offers map[string]*offer // by channel; guarded by relay.mu
}

// message waits for a link that is coming up.
type message struct {
	typ  string
	body any
}

// accept runs the handshake of one upgraded connection and starts the link's own goroutine. Its
// stack, grown by the handshake, is not kept for the link's life.
func (r *Relay) accept(conn net.Conn, addr string) {
	defer r.wg.Done()
	defer func() { <-r.handshakes }()
	defer r.recovered("")
	conn.SetDeadline(time.Now().Add(r.times.handshake))

	binding := link.NoBinding()
	if !r.o.Proxy {
		state, ok := tlsState(conn)
		if !ok {
			r.log.Warn("link without TLS refused", "addr", addr)
			conn.Close()
			return
		}
		var err error
		if binding, err = link.Binding(state); err != nil {
			r.log.Warn("link refused", "addr", addr, "err", err)
			closeWithin(conn, goodbye)
			return
		}
	}
	wire, peer, err := link.Accept(conn, r.o.Identity, binding, r.linkKey)
	if err != nil {
		r.log.Debug("link not proved", "addr", addr, "err", err)
		closeWithin(conn, goodbye)
		return
	}
	l := &device{id: peer.Device, relay: r, raw: conn, wire: wire, done: make(chan struct{})}
	old, ok := r.register(l)
	if !ok {
		l.refuse(link.Refused{Code: "busy", Text: "the server is restarting; come back in a moment"})
		return
	}
	running := false
	defer func() {
		if !running {
			r.unregister(l)
			close(l.done)
		}
	}()
	if old != nil {
		old.refuse(link.Refused{Code: "replaced", Text: "a newer link of this device has taken its place"})
		<-old.done
	}
	ctx, cancel := r.call()
	defer cancel()
	welcome, err := r.o.Desk.Up(ctx, peer, addr)
	if err != nil {
		refused := link.Refused{Code: "busy", Text: "the server can't take the link now; try again later"}
		if re, ok := errors.AsType[link.RefusedError](err); ok {
			refused = re.Refused
		} else {
			r.log.Error("link not taken up", "device", l.id, "err", err)
		}
		l.refuse(refused)
		return
	}
	l.epoch = welcome.Epoch
	conn.SetDeadline(time.Time{})
	l.welcome(welcome) // if it fails, the link's goroutine finds the connection closed
	running = true
	r.wg.Add(1) // under accept's own count: Close can't have returned
	go l.run()
}

// linkKey asks the Desk and turns its error into what the device is told.
func (r *Relay) linkKey(device string) (ed25519.PublicKey, error) {
	ctx, cancel := r.call()
	defer cancel()
	key, err := r.o.Desk.LinkKey(ctx, device)
	if err == nil || errors.Is(err, ErrUnknownDevice) {
		return key, err
	}
	if _, ok := errors.AsType[link.RefusedError](err); ok {
		return nil, err
	}
	r.log.Error("link key not found out", "device", device, "err", err)
	return nil, fmt.Errorf("%w: %w", link.RefusedError{Refused: link.Refused{Code: "busy", Text: "the server can't look the device up now; try again later"}}, err)
}

// register makes l the link of its device and returns the one it replaces. It is not ok after Close.
func (r *Relay) register(l *device) (old *device, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	old = r.links[l.id]
	r.links[l.id] = l
	return old, true
}

// unregister removes l if it is still the link of its device, and answers its open offers.
func (r *Relay) unregister(l *device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.links[l.id] == l {
		delete(r.links, l.id)
	}
	for _, o := range l.offers {
		o.fail(ErrOffline)
	}
}

// welcome sends the welcome and what was queued for the link meanwhile.
func (l *device) welcome(w link.Welcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.write(link.TypeWelcome, w)
	for _, m := range l.queue {
		if err != nil {
			break
		}
		err = l.write(m.typ, m.body)
	}
	l.queue = nil
	if err == nil && !l.gone {
		l.up.Store(true)
	}
}

// send writes one message, or keeps it until the link is up.
func (l *device) send(typ string, body any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.gone:
		return ErrOffline
	case !l.up.Load():
		if len(l.queue) >= maxQueue {
			return ErrOffline
		}
		l.queue = append(l.queue, message{typ, body})
		return nil
	}
	return l.write(typ, body)
}

// write writes one message; l.mu is held. After an error the link is over, because a part of the
// message may have been sent.
func (l *device) write(typ string, body any) error {
	l.raw.SetWriteDeadline(time.Now().Add(l.relay.times.write))
	err := l.wire.Write(typ, body)
	if err == nil || errors.Is(err, link.ErrTooLong) {
		return err
	}
	l.gone = true
	l.up.Store(false)
	closeWithin(l.raw, 0)
	return fmt.Errorf("send %s: %w: %w", typ, ErrOffline, err)
}

// refuse sends a last message and closes the connection; the link's goroutine does the rest.
func (l *device) refuse(m link.Refused) {
	l.up.Store(false)
	l.raw.SetWriteDeadline(time.Now().Add(goodbye)) // also ends a write that hangs
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.gone {
		l.gone = true
		l.raw.SetWriteDeadline(time.Now().Add(goodbye))
		l.wire.Write(link.TypeRefused, m)
	}
	closeWithin(l.raw, goodbye)
}

// run reads the device's messages until the link ends.
func (l *device) run() {
	r := l.relay
	defer r.wg.Done()
	defer l.end()
	budget, last := float64(burst), time.Now()
	done := make(chan error)
	for {
		l.raw.SetReadDeadline(time.Now().Add(r.times.silence))
		frame, err := l.wire.ReadFrame()
		if err != nil {
			return
		}
		now := time.Now()
		budget = min(burst, budget+now.Sub(last).Seconds()*perSecond) - 1
		last = now
		if budget < 0 { // a device that floods is read more slowly
			pause := time.NewTimer(time.Duration(-budget / perSecond * float64(time.Second)))
			select {
			case <-pause.C:
			case <-r.ctx.Done():
				pause.Stop()
			}
		}
		// Everything else is done in a goroutine that ends with it, so that this one's stack stays as
		// small as reading needs.
		go func() { done <- l.handle(frame) }()
		if <-done != nil {
			return
		}
	}
}

// handle decodes and handles one message; an error ends the link.
func (l *device) handle(frame []byte) error {
	defer l.relay.recovered(l.id)
	m, err := link.ParseMessage(frame)
	if err != nil {
		return err
	}
	if m.Type == link.TypePing {
		return l.send(link.TypePong, nil)
	}
	l.take(m)
	return nil
}

// take handles one message.
func (l *device) take(m link.Message) {
	r := l.relay
	switch m.Type {
	case link.TypeChannelUp:
		var b link.ChannelUp
		if m.Decode(&b) == nil {
			r.answer(l, b.Channel, nil)
		}
	case link.TypeOfferRefused:
		var b link.OfferRefused
		if m.Decode(&b) == nil {
			r.answer(l, b.Channel, &RefusedError{Code: clip(b.Code, 64), Text: clip(b.Text, 300)})
		}
	}
	if m.Type == link.TypeSession {
		var b link.SessionState
		if m.Decode(&b) == nil && b.State == "ended" {
			r.endChannels(l.id, func(c *channel) bool { return c.session == b.Session })
		}
	}
	ctx, cancel := r.call()
	defer cancel()
	if err := r.o.Desk.Message(ctx, l.id, m); err != nil {
		r.log.Warn("message of a device not taken", "device", l.id, "type", clip(m.Type, 32), "err", err)
	}
}

// end is called once, when nothing is read any more.
func (l *device) end() {
	r := l.relay
	l.up.Store(false)
	closeWithin(l.raw, goodbye) // a write that hangs ends with it
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	ctx, cancel := r.call()
	defer cancel()
	defer close(l.done)
	defer r.unregister(l) // after Down, so that a newer link's Up waits for it
	defer r.recovered(l.id)
	r.o.Desk.Down(ctx, l.id, l.epoch)
}

// clip shortens a text of a device to n bytes at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
