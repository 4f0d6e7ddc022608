package service

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/apiclient"
	"github.com/traybell/traybell/agent/internal/consent"
	"github.com/traybell/traybell/agent/internal/footprint"
	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/outbox"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/agent/internal/uplink"
	"github.com/traybell/traybell/shared/link"
)

// device is an enrolled computer: everything that needs a key or a server.
type device struct {
	s      *Service
	log    *slog.Logger
	id     keystore.Identity
	db     *sql.DB
	outbox *outbox.Outbox
	grants *grants.Store
	ledger *ledger.Ledger
	desk   *consent.Desk
	up     *uplink.Uplink
	client *apiclient.Client
	wake   chan struct{} // budgets have changed
	facts  chan struct{} // presence may have changed
	work   sync.WaitGroup

	mu       sync.Mutex
	online   bool
	since    time.Time // of online or offline
	why      string    // offline
	token    string
	tokenEnd time.Time // by our own clock
	welcome  link.Welcome
	reported link.Facts          // as last told
	sessions map[string]*session // live
	seen     map[string]bool     // offers that were used up, by channel and by token
	answers  map[string]answer   // by session
	guards   map[string]int      // open windows of Traybell, by OS user
	flood    flood
}

// flood bounds how many ledger rows a server can cause that opens nothing: a hostile one must not
// fill the disk. What was left out is counted in the next row.
type flood struct {
	left    float64
	at      time.Time
	skipped int
}

const (
	floodBurst  = 5000
	floodRefill = 0.5 // rows a second
)

// take reports whether a row may be written, and how many were left out before it.
func (f *flood) take(now time.Time) (skipped int, ok bool) {
	if f.at.IsZero() {
		f.left = floodBurst
	}
	f.left = min(floodBurst, f.left+max(0, now.Sub(f.at).Seconds())*floodRefill)
	f.at = now
	if f.left < 1 {
		f.skipped++
		return 0, false
	}
	f.left--
	skipped, f.skipped = f.skipped, 0
	return skipped, true
}

// recordRefusal writes down that the server asked for something and got nothing.
func (d *device) recordRefusal(ctx context.Context, e ledger.Entry) {
	d.mu.Lock()
	skipped, ok := d.flood.take(d.s.o.Clock.Now())
	d.mu.Unlock()
	if !ok {
		return
	}
	e.Skipped = skipped
	d.record(ctx, e)
}

func newDevice(ctx context.Context, s *Service, id keystore.Identity) (*device, error) {
	db, err := state.Open(ctx, s.o.State)
	if err != nil {
		return nil, err
	}
	d := &device{
		s: s, log: s.o.Logger.With("device", id.Device), id: id, db: db,
		wake: make(chan struct{}, 1), facts: make(chan struct{}, 1), since: s.o.Clock.Now(),
		sessions: map[string]*session{}, seen: map[string]bool{}, guards: map[string]int{}, answers: map[string]answer{},
	}
	fail := func(err error) (*device, error) {
		db.Close()
		return nil, err
	}
	if d.grants, err = grants.New(ctx, db, id.GrantKey, id.Device, s.o.Clock); err != nil {
		return fail(err)
	}
	if d.ledger, err = ledger.New(ctx, db, id.GrantKey, id.Device, s.o.Clock.Now); err != nil {
		return fail(err)
	}
	d.client = apiclient.New(id.Server, d.bearer)
	d.outbox, err = outbox.New(ctx, outbox.Options{
		DB: db, Dir: filepath.Join(s.o.State, "outbox"), Client: func() *apiclient.Client { return d.client },
		Ready: d.ready, Changed: d.ticketMoved, Expired: d.tokenRefused, Now: s.o.Clock.Now, Logger: d.log,
	})
	if err != nil {
		return fail(err)
	}
	d.desk = consent.New(consent.Options{Now: s.o.Clock.Now, Over: d.answered})
	d.up = uplink.New(uplink.Options{Identity: id, Proof: d.proof, Handler: d, Logger: d.log})
	s.trays.onChange(d.presenceChanged)
	return d, nil
}

// run keeps link, outbox and budgets going until ctx ends, then ends every session.
func (d *device) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.work.Go(func() { d.up.Run(ctx) })
	d.work.Go(func() { d.outbox.Run(ctx) })
	d.work.Go(func() { d.spend(ctx) })
	d.work.Go(func() { d.watch(ctx) })
	<-ctx.Done()
	d.endAll(context.WithoutCancel(ctx), "", "failed")
	return ctx.Err()
}

func (d *device) close() {
	d.work.Wait()
	d.client.Close()
	d.db.Close()
}

func (d *device) bearer() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.token
}

func (d *device) ready() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.online && d.token != "" && d.s.o.Clock.Now().Before(d.tokenEnd)
}

// tokenRefused makes the link come up again, which brings a new token; not at once, lest a server
// that refuses every token be asked without end.
func (d *device) tokenRefused() {
	d.mu.Lock()
	had := d.token != ""
	d.token = ""
	d.mu.Unlock()
	if had {
		time.AfterFunc(5*time.Second, d.up.Reconnect)
	}
}

// renewToken brings a new token before the present one ends.
func (d *device) renewToken() {
	d.mu.Lock()
	old := d.online && d.s.o.Clock.Now().After(d.tokenEnd.Add(-10*time.Minute))
	d.mu.Unlock()
	if old {
		d.up.Reconnect()
	}
}

// proof is what the server is told when the link comes up.
func (d *device) proof(ctx context.Context) link.Proof {
	p := link.Proof{Facts: d.collect(ctx), Grants: d.grants.Signed(), Ledger: d.ledger.Head()}
	if ended, err := d.grants.Ended(ctx); err == nil {
		p.Ended = ended
	}
	d.mu.Lock()
	d.reported = p.Facts
	d.mu.Unlock()
	return p
}

// seats are the people at the device now.
func (d *device) seats(ctx context.Context) []inventory.Seat {
	return inventory.Merge(d.s.o.Seats(ctx), d.s.trays.seats())
}

// collect gathers what the device reports.
func (d *device) collect(ctx context.Context) link.Facts { return d.s.collect(ctx) }

func (s *Service) collect(ctx context.Context) link.Facts {
	f := inventory.Facts(ctx, s.o.Machine, s.o.State)
	seats := inventory.Merge(s.o.Seats(ctx), s.trays.seats())
	f.Users = inventory.People(seats)
	f.Can, f.Cannot = abilities(seats)
	return f
}

// abilities tells what works here now, and codes of why something does not.
func abilities(seats []inventory.Seat) (can, cannot []string) {
	if err := spawn.Available(); err != nil {
		return nil, []string{"os_not_yet"}
	}
	can = []string{"terminal"}
	wayland := false
	for _, s := range seats {
		if s.Desktop == "x11" && s.Display != "" {
			return append(can, "desktop", "control"), nil
		}
		wayland = wayland || s.Desktop == "wayland"
	}
	if display, _ := ownDisplay(); display != "" {
		return append(can, "desktop", "control"), nil
	}
	if wayland {
		return can, []string{"wayland_not_shown"}
	}
	return can, []string{"no_desktop"}
}

// Up applies what the server knows to be over before any offer is read, then lets tickets go.
func (d *device) Up(ctx context.Context, w link.Welcome) {
	for _, id := range bounded(w.Ended) {
		d.endGrant(ctx, id, grants.Revoked)
	}
	d.mu.Lock()
	held := w.Sessions
	var over []string
	for id := range d.sessions {
		if !slices.Contains(held, id) {
			over = append(over, id)
		}
	}
	d.mu.Unlock()
	for _, id := range over {
		d.endSession(ctx, id, "technician")
	}
	for _, q := range d.desk.Waiting("") {
		if !slices.Contains(held, q.Session) {
			d.desk.Withdraw(q.Session)
		}
	}
	now := d.s.o.Clock.Now()
	d.mu.Lock()
	d.welcome = cleanWelcome(w)
	d.online, d.since, d.why = true, now, ""
	d.token = w.Token
	d.tokenEnd = now.Add(time.Duration(min(max(0, w.TokenExpires-w.Time), maxToken.Microseconds())) * time.Microsecond)
	d.mu.Unlock()
	d.outbox.Kick()
	d.s.trays.dirty()
	d.presenceChanged()
}

func bounded(s []string) []string { return s[:min(len(s), 10_000)] }

func cleanWelcome(w link.Welcome) link.Welcome {
	w.Name, w.Organization, w.Provider, w.TrayTitle = consent.Clean(w.Name), consent.Clean(w.Organization), consent.Clean(w.Provider), consent.Clean(w.TrayTitle)
	w.SupportPhone = consent.Clean(w.SupportPhone)
	if u, err := url.Parse(w.PortalURL); err != nil || u.Scheme != "https" || len(w.PortalURL) > 500 {
		w.PortalURL = "" // it is opened in a browser
	}
	return w
}

// Down notes that the server can't be reached.
func (d *device) Down(err error) {
	d.mu.Lock()
	if d.online || d.why == "" {
		d.since = d.s.o.Clock.Now()
	}
	d.online = false
	d.why = "unreachable"
	var r link.RefusedError
	if errors.As(err, &r) {
		d.why = consent.Clean(r.Text)
		d.log.Warn("server refuses the link", "code", r.Code)
	} else if errors.Is(err, apiclient.ErrPinned) || errors.Is(err, link.ErrSignature) {
		d.why = "impostor"
		d.log.Warn("server could not prove itself", "err", err)
	}
	d.mu.Unlock()
	d.s.trays.dirty()
}

// Message carries out what the server sends. Types that it may not send, grants among them, do
// nothing.
func (d *device) Message(ctx context.Context, m link.Message) {
	var err error
	switch m.Type {
	case link.TypeAsk:
		var a link.Ask
		if err = m.Decode(&a); err == nil {
			d.ask(ctx, a)
		}
	case link.TypeWithdraw:
		var w link.Withdraw
		if err = m.Decode(&w); err == nil {
			d.desk.Withdraw(w.Session)
		}
	case link.TypeEndGrant:
		var e link.EndGrant
		if err = m.Decode(&e); err == nil {
			reason := e.Reason
			if reason != grants.TicketClosed && reason != grants.SessionEnded {
				reason = grants.Revoked
			}
			d.endGrant(ctx, e.ID, reason)
		}
	case link.TypeOffer:
		var o link.Offer
		if err = m.Decode(&o); err == nil {
			d.offer(ctx, o)
		}
	case link.TypeEndSession:
		var e link.EndSession
		if err = m.Decode(&e); err == nil {
			reason := e.Reason
			if reason == "" {
				reason = "technician"
			}
			// Ending takes up to two seconds; the link does not wait for it.
			d.work.Go(func() { d.endSession(context.WithoutCancel(ctx), e.Session, consent.Clean(reason)) })
		}
	case link.TypeTicket:
		var t link.TicketMoved
		if err = m.Decode(&t); err == nil {
			d.ticketTold(ctx, t)
		}
	default:
		d.log.Debug("message ignored", "type", consent.Clean(m.Type))
	}
	if err != nil {
		d.log.Warn("message of the server can't be read", "err", err)
	}
}

// send tells the server; what it misses while the link is down stands in the next proof.
func (d *device) send(typ string, body any) {
	if err := d.up.Send(typ, body); err != nil && !errors.Is(err, uplink.ErrDown) {
		d.log.Debug("message not sent", "type", typ, "err", err)
	}
}

// record adds a ledger row and sends the new head. The error matters where something is about to be
// opened: what can't be recorded is not opened.
func (d *device) record(ctx context.Context, e ledger.Entry) error {
	if err := d.ledger.Add(context.WithoutCancel(ctx), e); err != nil {
		d.log.Error("ledger can't be written", "err", err)
		return err
	}
	if h := d.ledger.Head(); h != nil {
		d.send(link.TypeLedgerHead, h)
	}
	return nil
}

// spend stores budgets each minute and ends grants when theirs has run out.
func (d *device) spend(ctx context.Context) {
	for {
		over, next, err := d.grants.Tick(ctx)
		if err != nil && ctx.Err() == nil {
			d.log.Error("budgets can't be stored", "err", err)
		}
		for _, id := range over {
			d.endGrant(ctx, id, grants.Budget)
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			d.grants.Tick(context.WithoutCancel(ctx))
			return
		case <-d.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// maxToken bounds how long a token is believed to be good.
const maxToken = 7 * 24 * time.Hour

// settle is when starting, or what people coming and going needed, is over.
const settle = 3 * time.Second

func (d *device) budgetsChanged() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *device) presenceChanged() {
	select {
	case d.facts <- struct{}{}:
	default:
	}
}

// watch tells the server when people come or go, and ends what belongs to who has left.
func (d *device) watch(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	settled := time.NewTimer(settle)
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-settled.C:
			footprint.Shrink()
			continue
		case <-d.facts:
			settled.Reset(settle)
		case <-tick.C:
			settled.Reset(settle)
		}
		f := d.collect(ctx)
		d.mu.Lock()
		changed := d.online && !sameFacts(f, d.reported)
		if changed {
			d.reported = f
		}
		d.mu.Unlock()
		if changed {
			d.send(link.TypeFacts, f)
		}
		d.leavings(ctx, f.Users)
		d.renewToken()
		d.s.reap()
	}
}

// sameFacts ignores free disk space, which always moves.
func sameFacts(a, b link.Facts) bool {
	return slices.Equal(a.Users, b.Users) && slices.Equal(a.Can, b.Can) && slices.Equal(a.Cannot, b.Cannot) &&
		slices.Equal(a.Addresses, b.Addresses) && a.Hostname == b.Hostname && a.Restart == b.Restart && a.OSVersion == b.OSVersion &&
		a.OSBuild == b.OSBuild && sameSpace(a.Disks, b.Disks)
}

// sameSpace is false once a disk's free space has moved by a twentieth of its size.
func sameSpace(a, b []link.Disk) bool {
	return slices.EqualFunc(a, b, func(x, y link.Disk) bool {
		moved := x.FreeMB - y.FreeMB
		return x.Path == y.Path && x.SizeMB == y.SizeMB && max(moved, -moved)*20 < x.SizeMB
	})
}

// endGrant ends one grant, and the channels that are open under it. Unknown ids are ignored: a
// server may tell again what has ended before.
func (d *device) endGrant(ctx context.Context, id, reason string) bool {
	ended, e, err := d.grants.End(context.WithoutCancel(ctx), id, reason)
	if errors.Is(err, grants.ErrNotFound) {
		return false
	}
	if err != nil {
		d.log.Error("end of a grant is not written yet", "grant", id, "err", err)
	}
	d.closeUnder(ctx, id, reason)
	d.record(ctx, grantEntry(ledger.GrantEnded, e, ledger.Entry{Code: reason}))
	d.send(link.TypeGrantEnded, ended)
	d.s.trays.dirty()
	d.budgetsChanged()
	return true
}

// grantEntry fills a ledger row with what a grant says.
func grantEntry(ev ledger.Event, e grants.Entry, row ledger.Entry) ledger.Entry {
	g := e.Grant
	row.Event, row.Grant, row.As, row.AsID, row.Standing = ev, g.ID, g.As, g.AsID, g.Standing
	if row.Session == "" {
		row.Session = g.Session
	}
	if row.Ticket == "" {
		row.Ticket = g.Ticket
	}
	if row.TicketNumber == 0 {
		row.TicketNumber = e.TicketNumber
	}
	if g.Holder != nil {
		row.Account, row.Name, row.Organization = g.Holder.Account, g.Holder.Name, g.Holder.Organization
	}
	return row
}

// ticketMoved tells the trays what became of a ticket.
func (d *device) ticketMoved(i outbox.Item) {
	if i.State == outbox.Sent && i.Pending == 0 && i.Status != "" && d.s.o.Clock.Now().Sub(time.UnixMicro(i.MadeAt)) > 10*time.Second {
		// It had been kept; the person has not seen its number yet.
		d.s.trays.tell(i.UserID, localapi.Event{Type: "notice", Notice: &localapi.Notice{ID: "notice.sent", Ticket: i.ID, Number: i.Number}})
	}
	d.s.trays.dirty()
}

// ticketTold notes what the server tells of a ticket that was filed here.
func (d *device) ticketTold(ctx context.Context, t link.TicketMoved) {
	i, err := d.outbox.Moved(ctx, t.ID, t.Status, consent.Clean(t.Answered))
	if err != nil {
		if !errors.Is(err, outbox.ErrNotFound) {
			d.log.Warn("ticket's news can't be kept", "ticket", t.ID, "err", err)
		}
		return
	}
	if t.Answered != "" {
		d.s.trays.tell(i.UserID, localapi.Event{Type: "notice", Notice: &localapi.Notice{
			ID: "notice.answered", Ticket: i.ID, Number: i.Number, Name: consent.Clean(t.Answered)}})
	}
	if t.Status == "closed" {
		for _, e := range d.grants.Live("") {
			if e.Grant.Ticket == t.ID {
				d.endGrant(ctx, e.Grant.ID, grants.TicketClosed)
			}
		}
	}
	d.s.trays.dirty()
}
