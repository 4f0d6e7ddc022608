package relay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// tokenHash is the SHA-256 of an offer's token: the relay keeps no token, and looking one up takes
// the same time whatever was sent.
type tokenHash [sha256.Size]byte

// offer is a channel that the device was asked to dial.
type offer struct {
	device  string
	session string
	channel string
	hash    tokenHash
	conn    chan net.Conn // the device's connection; holds one
	answer  chan error    // nil is channel_up; holds one
	failed  error         // guarded by Relay.mu: it must not be opened any more
	over    bool          // guarded by Relay.mu: nobody waits for it any more
}

// fail ends an offer; Relay.mu is held.
func (o *offer) fail(err error) {
	if o.failed == nil {
		o.failed = err
	}
	o.say(err)
}

// say gives the first answer to whoever waits; later ones are of no interest.
func (o *offer) say(err error) {
	select {
	case o.answer <- err:
	default:
	}
}

// Open asks the device for a channel: it gives the offer a token, and an id if it has none, sends
// it, and waits at most 15 s for the device's connection and its channel_up. The error is
// ErrOffline, a *RefusedError or the context's. The caller closes the connection.
func (r *Relay) Open(ctx context.Context, device string, o link.Offer) (net.Conn, error) {
	token := make([]byte, 32)
	rand.Read(token)
	o.Token = base64.RawURLEncoding.EncodeToString(token)
	if o.Channel == "" {
		o.Channel = api.NewID(time.Now())
	}
	p := &offer{
		device: device, session: o.Session, channel: o.Channel, hash: sha256.Sum256([]byte(o.Token)),
		conn: make(chan net.Conn, 1), answer: make(chan error, 1),
	}
	l, err := r.offer(device, p)
	if err != nil {
		return nil, err
	}
	conn, err := r.await(ctx, l, o, p)
	return r.settle(l, p, conn, err)
}

// offer registers p at the device's link.
func (r *Relay) offer(id string, p *offer) (*device, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.links[id]
	switch {
	case r.closed:
		return nil, ErrClosed
	case l == nil || !l.up.Load():
		return nil, ErrOffline
	case len(l.offers)+len(r.channels[id]) >= maxChannels:
		return nil, &RefusedError{Code: CodeBusy, Text: "this device has too many channels open"}
	}
	if l.offers == nil {
		l.offers = map[string]*offer{}
	}
	if l.offers[p.channel] != nil {
		return nil, fmt.Errorf("channel %s is offered twice", p.channel)
	}
	l.offers[p.channel] = p
	r.offers[p.hash] = p
	return l, nil
}

// await sends the offer and waits for the device's connection and answer, in whatever order.
func (r *Relay) await(ctx context.Context, l *device, o link.Offer, p *offer) (net.Conn, error) {
	if err := l.send(link.TypeOffer, o); err != nil {
		return nil, err
	}
	timer := time.NewTimer(r.times.offer)
	defer timer.Stop()
	var conn net.Conn
	for up := false; conn == nil || !up; {
		select {
		case conn = <-p.conn:
		case err := <-p.answer:
			if err != nil {
				return conn, err
			}
			up = true
		case <-timer.C:
			return conn, &RefusedError{Code: CodeTimeout, Text: "the device did not open the channel in time"}
		case <-ctx.Done():
			return conn, context.Cause(ctx)
		case <-r.ctx.Done():
			return conn, ErrClosed
		}
	}
	return conn, nil
}

// settle takes the offer away and turns its connection into a channel, unless something has gone
// wrong or the session has ended meanwhile.
func (r *Relay) settle(l *device, p *offer, conn net.Conn, err error) (net.Conn, error) {
	r.mu.Lock()
	delete(r.offers, p.hash)
	delete(l.offers, p.channel)
	p.over = true
	if err == nil {
		err = p.failed
	}
	if err == nil && r.closed {
		err = ErrClosed
	}
	if err == nil {
		c := &channel{Conn: conn, relay: r, device: p.device, session: p.session}
		if r.channels[p.device] == nil {
			r.channels[p.device] = map[*channel]struct{}{}
		}
		r.channels[p.device][c] = struct{}{}
		r.mu.Unlock()
		return c, nil
	}
	r.mu.Unlock()
	if conn == nil { // it may have come after the wait was over
		select {
		case conn = <-p.conn:
		default:
		}
	}
	if conn != nil {
		closeWithin(conn, goodbye)
	}
	return nil, err
}

// answer gives a device's answer to the offer of that channel. An answer to no offer is ignored.
func (r *Relay) answer(l *device, channel string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := l.offers[channel]
	if o == nil {
		return
	}
	if err != nil {
		o.fail(err)
		delete(r.offers, o.hash) // a refused offer's token opens nothing
		return
	}
	o.say(nil)
}

// ServeChannel answers GET /channel: a device dials a channel that it was offered. The token works
// once; it stands in the header Authorization and never in a URL.
func (r *Relay) ServeChannel(w http.ResponseWriter, req *http.Request) {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if err := wanted(req); err != nil {
		needUpgrade(w)
		return
	}
	p := r.use(scheme, token)
	if p == nil {
		w.Header().Set("WWW-Authenticate", link.ChannelScheme)
		http.Error(w, "no channel is offered with this token", http.StatusUnauthorized)
		return
	}
	conn, err := Upgrade(w, req)
	if err != nil {
		r.mu.Lock()
		p.fail(fmt.Errorf("device's connection: %w", err))
		r.mu.Unlock()
		return
	}
	tune(conn)
	r.mu.Lock()
	over := p.over
	if !over {
		p.conn <- conn // never blocks: the token worked once
	}
	r.mu.Unlock()
	if over {
		closeWithin(conn, goodbye)
	}
}

// use takes the offer of a token away, so that it can't be used again.
func (r *Relay) use(scheme, token string) *offer {
	if !strings.EqualFold(scheme, link.ChannelScheme) || len(token) > 100 {
		return nil
	}
	hash := tokenHash(sha256.Sum256([]byte(token)))
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.offers[hash]
	delete(r.offers, hash)
	return p
}

// EndSession closes the session's channels, and those that are being opened, at once, and tells the
// device. A device that is offline learns it with its next welcome.
func (r *Relay) EndSession(device, session, reason string) {
	ended := func(c *channel) bool { return c.session == session }
	r.endChannels(device, ended)
	if err := r.Send(device, link.TypeEndSession, link.EndSession{Session: session, Reason: reason}); err != nil && !errors.Is(err, ErrOffline) {
		r.log.Warn("end of a session not sent", "device", device, "session", session, "err", err)
	}
}

// endChannels closes the device's channels for which ended is true, offered ones too.
func (r *Relay) endChannels(device string, ended func(*channel) bool) {
	var end []*channel
	r.mu.Lock()
	for c := range r.channels[device] {
		if ended(c) {
			end = append(end, c)
		}
	}
	if l := r.links[device]; l != nil {
		for _, o := range l.offers {
			if ended(&channel{device: device, session: o.session}) {
				o.fail(&RefusedError{Code: CodeEnded, Text: "the session has ended"})
				delete(r.offers, o.hash)
			}
		}
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range end {
		wg.Go(func() { c.Close() })
	}
	wg.Wait()
}

// Channels returns how many channels of a session are open on a device.
func (r *Relay) Channels(device, session string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for c := range r.channels[device] {
		if c.session == session {
			n++
		}
	}
	return n
}

// channel is the device's end of an open channel.
type channel struct {
	net.Conn
	relay   *Relay
	device  string
	session string
}

// Close implements net.Conn. It takes a second at most.
func (c *channel) Close() error {
	r := c.relay
	r.mu.Lock()
	delete(r.channels[c.device], c)
	if len(r.channels[c.device]) == 0 {
		delete(r.channels, c.device)
	}
	r.mu.Unlock()
	return closeWithin(c.Conn, goodbye)
}

// CloseWrite tells the device that nothing more follows.
func (c *channel) CloseWrite() error { return closeWrite(c.Conn) }

func (c *channel) inner() net.Conn { return c.Conn }
