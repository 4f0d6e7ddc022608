// Package relay holds the devices' links and joins technicians' channels with devices' channels.
//
// It hides how a device proves itself, how its one control connection is kept, and how the second
// connection of each channel is asked for, recognised and ended. It promises that only a device that
// has proved its link key is online, that a token opens one channel once, that a newer link of a
// device takes the place of the older one, and that ending a session closes its channels within two
// seconds. It never looks into the bytes of a channel and decides nothing about access: that is done
// by its callers and, independently, by the device.
//
// httpd mounts ServeLink and ServeChannel and implements Desk; api and web call Open and Splice.
package relay

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/traybell/traybell/shared/link"
)

// Desk is what the relay asks and tells about devices. Up and Down of one device never overlap;
// messages of one device arrive in order, one at a time.
type Desk interface {
	// LinkKey returns the public link key that was enrolled for a device. An error that wraps
	// link.RefusedError is told to the device with its code, ErrUnknownDevice as unknown_device, and
	// any other as busy, so that the device tries again.
	LinkKey(ctx context.Context, device string) (ed25519.PublicKey, error)
	// Up records a proved link and returns what the device is told. A link.RefusedError refuses it.
	Up(ctx context.Context, p link.Peer, addr string) (link.Welcome, error)
	// Message takes each message of the device but its pings.
	Message(ctx context.Context, device string, m link.Message) error
	// Down says that the link with that epoch is over.
	Down(ctx context.Context, device string, epoch int64)
}

// Options are what a Relay needs. Identity and Desk are required.
type Options struct {
	Identity ed25519.PrivateKey // the server's
	Desk     Desk
	Logger   *slog.Logger
	// Proxy says that a proxy ends TLS, so that links are bound to nothing. It is never negotiated.
	Proxy bool
	// MaxHandshakes bounds the links that are about to prove themselves; further ones wait, and are
	// told to come back after 10 s. 0 means 1024.
	MaxHandshakes int
}

// Errors and refusals.
var (
	ErrOffline       = errors.New("the device is not connected now")
	ErrClosed        = errors.New("the relay is closed")
	ErrUnknownDevice = errors.New("no such device")
)

// Codes of a RefusedError that the relay itself makes; all others come from the device.
const (
	CodeBusy    = "busy"          // too many channels of this device
	CodeTimeout = "no_answer"     // the device did not dial in time
	CodeEnded   = "session_ended" // the session ended while the channel was being opened
)

// RefusedError is returned by Open when the device opens no channel. Code is stable, Text is a
// sentence of the device's.
type RefusedError struct {
	Code string
	Text string
}

// Error implements error.
func (e *RefusedError) Error() string {
	return "the device opens no channel: " + e.Text + " (" + e.Code + ")"
}

// Bounds. The durations are fields of Relay so that tests need not wait.
const (
	maxQueue    = 64  // messages kept for a link that is coming up
	maxChannels = 32  // open and offered, of one device
	burst       = 200 // messages a device may send at once
	perSecond   = 20  // messages a device may send in the long run
)

type times struct {
	handshake time.Duration // from the upgrade to the welcome
	silence   time.Duration // of a device before its link is dropped; it pings each 30 s
	write     time.Duration // of one message
	offer     time.Duration // from an offer to channel_up; the life of its token
	desk      time.Duration // of one call of the Desk
}

// Relay keeps links and channels. It may be used from any goroutine.
type Relay struct {
	o          Options
	log        *slog.Logger
	times      times
	handshakes chan struct{}
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu       sync.RWMutex
	closed   bool
	links    map[string]*device               // by device id
	offers   map[tokenHash]*offer             // whose token was not used yet
	channels map[string]map[*channel]struct{} // by device id
}

// New returns a relay without links. Close frees it.
func New(o Options) *Relay {
	if o.MaxHandshakes <= 0 {
		o.MaxHandshakes = 1024
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Relay{
		o:   o,
		log: log,
		times: times{
			handshake: 15 * time.Second,
			silence:   90 * time.Second,
			write:     10 * time.Second,
			offer:     15 * time.Second,
			desk:      10 * time.Second,
		},
		handshakes: make(chan struct{}, o.MaxHandshakes),
		ctx:        ctx,
		cancel:     cancel,
		links:      map[string]*device{},
		offers:     map[tokenHash]*offer{},
		channels:   map[string]map[*channel]struct{}{},
	}
}

// Online reports whether the device has a link that is up.
func (r *Relay) Online(device string) bool {
	l := r.link(device)
	return l != nil && l.up.Load()
}

// Links returns the number of links.
func (r *Relay) Links() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.links)
}

// Send sends one message to a device: ErrOffline if it has no link or does not take it in time. A
// message for a link that is coming up follows its welcome, so that nothing that happens between
// Desk.Up and the welcome is lost.
func (r *Relay) Send(device, typ string, body any) error {
	l := r.link(device)
	if l == nil {
		return ErrOffline
	}
	return l.send(typ, body)
}

// Drop ends a device's link, for instance because the device was removed. code and text are told to it.
func (r *Relay) Drop(device, code, text string) {
	if l := r.link(device); l != nil {
		l.refuse(link.Refused{Code: code, Text: text})
	}
	r.endChannels(device, func(*channel) bool { return true })
}

// Close accepts nothing any more, tells the devices to come back, closes all channels and waits
// until everything has ended or ctx is over.
func (r *Relay) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	links := make([]*device, 0, len(r.links))
	for _, l := range r.links {
		links = append(links, l)
	}
	var channels []*channel
	for _, of := range r.channels {
		for c := range of {
			channels = append(channels, c)
		}
	}
	r.mu.Unlock()

	// a link takes at most a second to say goodbye; many say it at once
	work := make(chan func())
	var say sync.WaitGroup
	for range min(64, len(links)+len(channels)) {
		say.Go(func() {
			for f := range work {
				f()
			}
		})
	}
	for _, c := range channels {
		work <- func() { c.Close() }
	}
	for _, l := range links {
		work <- func() { l.refuse(link.Refused{Code: "busy", Text: "the server is restarting; come back in a moment"}) }
	}
	close(work)
	say.Wait()
	r.cancel()

	done := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Relay) link(device string) *device {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.links[device]
}

// call gives one call of the Desk its time. It outlives Close, because Down is called then.
func (r *Relay) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.ctx), r.times.desk)
}

// recovered logs a panic in a goroutine of the relay: one device's message must not end the server.
func (r *Relay) recovered(device string) {
	if p := recover(); p != nil {
		b := make([]byte, 8<<10)
		r.log.Error("panic while serving a device", "device", device, "err", p, "stack", string(b[:runtime.Stack(b, false)]))
	}
}
