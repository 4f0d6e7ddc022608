package service

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/consent"
	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

const (
	openWithin               = 10 * time.Second       // a channel's process must run
	endGrace                 = 700 * time.Millisecond // before everything of a session is killed
	idleAfter                = 60 * time.Second       // without a channel the session program ends
	maxSeen                  = 20_000
	maxReason                = 400 // runes of a reason for the technician
	maxSessions, maxChannels = 16, 16
)

// Codes of a refused offer beside grant.Refusal.
const (
	codeNoDesktop    = "no_desktop"
	codeNoSign       = "no_sign"
	codeNotAvailable = "not_available"
	codeFailed       = "failed"
)

// session is a visit that goes on: one session program and its channels. Its fields are guarded by
// device.mu.
type session struct {
	id           string
	account      string
	name         string
	organization string
	ticket       string
	ticketNumber int64
	as, asID     string
	since        time.Time
	scopes       []grant.Scope
	proc         *spawn.Process
	ready        chan struct{} // closed when proc is set, or the start has failed
	startErr     error
	channels     map[string]*channel
	grants       map[string]bool // that its channels were opened under
	used         map[string]bool
	paused       bool
	ended        bool
	seated       bool          // its OS user has been there since it began
	absent       time.Time     // since when nobody of that user is there
	over         chan struct{} // closed when the program and all below it are gone
	idle         *time.Timer
}

// channel is one open byte pipe of a session.
type channel struct {
	id      string
	kind    grant.Kind
	control bool
	grant   string
	answer  chan spawn.Message // opened or refused
	local   *os.File           // the service's end towards the session program
	remote  net.Conn           // towards the server
	open    bool               // the ledger says so
	closed  bool
}

// refusal is why an offer was not carried out.
type refusal struct {
	code string
	text string
}

// offer decides on an offer by the device's own grants, and carries it out beside the link.
func (d *device) offer(ctx context.Context, o link.Offer) {
	if !plausible(o) {
		d.refuse(ctx, o, grants.Entry{}, refusal{string(grant.Malformed), "the offer is malformed"})
		return
	}
	d.mu.Lock()
	if len(d.seen) > maxSeen {
		d.seen = map[string]bool{}
	}
	replayed := d.seen["c "+o.Channel] || d.seen["t "+o.Token]
	d.seen["c "+o.Channel], d.seen["t "+o.Token] = true, true
	d.mu.Unlock()
	if replayed {
		d.refuse(ctx, o, grants.Entry{}, refusal{string(grant.Replayed), "the offer was used before"})
		return
	}
	e, err := d.grants.Decide(ctx, o)
	if err != nil {
		d.refuse(ctx, o, e, refusal{err.Error(), sentence(err)})
		return
	}
	if o.Kind != grant.KindDesktop && o.Kind != grant.KindTerminal {
		d.refuse(ctx, o, e, refusal{codeNotAvailable, "channels of this kind are not available on this device yet"})
		return
	}
	if err := spawn.Available(); err != nil {
		d.refuse(ctx, o, e, refusal{codeNotAvailable, err.Error()})
		return
	}
	if e.Grant.Standing && d.attended(ctx) {
		d.refuse(ctx, o, e, refusal{string(grant.AskFirst), "somebody is at the device: they must be asked first"})
		return
	}
	d.work.Go(func() { d.carryOut(context.WithoutCancel(ctx), o, e) })
}

func plausible(o link.Offer) bool {
	for _, s := range []string{o.Channel, o.Session, o.Grant} {
		if s == "" || len(s) > 100 {
			return false
		}
	}
	header := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return o.Token != "" && len(o.Token) <= 1000 && !strings.ContainsFunc(o.Token, header) &&
		len(o.Account) <= 200 && len(o.Name) <= 2000 && len(o.Target) <= 300 && len(o.Ticket) <= 100
}

func sentence(err error) string {
	var r grant.Refusal
	if !errors.As(err, &r) {
		return err.Error()
	}
	switch r {
	case grant.NoGrant:
		return "there is no such permission on the device"
	case grant.Expired:
		return "the permission's time is over"
	case grant.Revoked:
		return "the permission was ended"
	case grant.Scopeless:
		return "the permission does not cover this"
	case grant.OtherHolder:
		return "the permission was given to somebody else"
	case grant.OtherSession:
		return "the permission was given for another session"
	case grant.OtherTicket:
		return "the permission was given for another ticket"
	case grant.OtherDevice:
		return "the permission belongs to another device"
	case grant.OtherTarget:
		return "the permission does not name this target"
	}
	return "what is kept of the permission is not what was signed"
}

// attended reports whether a person is at a desktop of this device: then a standing grant asks first.
// A locked or switched-away screen is nobody.
func (d *device) attended(ctx context.Context) bool {
	return slices.ContainsFunc(d.seats(ctx), func(s inventory.Seat) bool { return s.State == inventory.Active })
}

// refuse records and tells that nothing was opened.
func (d *device) refuse(ctx context.Context, o link.Offer, e grants.Entry, r refusal) {
	row := grantEntry(ledger.OfferRefused, e, ledger.Entry{
		Session: clip(o.Session), Ticket: clip(o.Ticket), Channel: clip(o.Channel), Kind: grant.Kind(clip(string(o.Kind))), Code: r.code,
	})
	if row.Grant == "" {
		row.Grant = clip(o.Grant)
	}
	if row.Account == "" {
		row.Account, row.Name = clip(o.Account), consent.Clean(o.Name)
	}
	d.recordRefusal(ctx, row)
	d.log.Warn("offer refused", "session", clip(o.Session), "grant", clip(o.Grant), "code", r.code)
	d.send(link.TypeOfferRefused, link.OfferRefused{Channel: o.Channel, Code: r.code, Text: r.text})
}

func clip(s string) string { return consent.Clean(s) }

// carryOut opens the channel of a permitted offer and keeps it until it ends.
func (d *device) carryOut(ctx context.Context, o link.Offer, e grants.Entry) {
	c := &channel{id: o.Channel, kind: o.Kind, control: o.Control, grant: e.Grant.ID, answer: make(chan spawn.Message, 1)}
	s, r := d.join(ctx, o, e, c)
	if r != nil {
		d.refuse(ctx, o, e, *r)
		return
	}
	defer d.leave(ctx, s, c)
	local, err := s.proc.Open(spawn.Message{Channel: c.id, Kind: c.kind, Control: c.control})
	if err != nil {
		d.refuse(ctx, o, e, refusal{codeFailed, "the session's program has ended"})
		return
	}
	if !d.attach(s, c, func() { c.local = local }) {
		local.Close()
		d.refuse(ctx, o, e, refusal{string(grant.Revoked), "the session was ended"})
		return
	}
	t := time.NewTimer(openWithin)
	defer t.Stop()
	var m spawn.Message
	select {
	case m = <-c.answer:
	case <-s.proc.Done():
		m = spawn.Message{Type: spawn.Refused, Code: codeFailed, Text: "the session's program has ended"}
	case <-t.C:
		m = spawn.Message{Type: spawn.Refused, Code: codeFailed, Text: "the session's program does not answer"}
	}
	if m.Type == spawn.Refused {
		d.refuse(ctx, o, e, refusal{clip(m.Code), consent.CleanTo(m.Text, maxReason)})
		return
	}
	// What can't be recorded is not opened.
	if err := d.record(ctx, d.row(s, ledger.Opened, ledger.Entry{Grant: c.grant, Channel: c.id, Kind: c.kind, Standing: e.Grant.Standing})); err != nil {
		d.refuse(ctx, o, e, refusal{codeFailed, "the device can't write its record, so nothing is opened"})
		return
	}
	d.mu.Lock()
	c.open = true
	d.mu.Unlock()
	dctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	remote, err := d.up.Channel(dctx, o.Token)
	if err != nil {
		d.log.Warn("channel can't be dialled", "session", s.id, "err", err)
		d.refuse(ctx, o, e, refusal{codeFailed, "the device could not reach the server a second time"})
		return
	}
	if !d.attach(s, c, func() { c.remote = remote }) {
		remote.Close()
		d.refuse(ctx, o, e, refusal{string(grant.Revoked), "the session was ended"})
		return
	}
	d.send(link.TypeChannelUp, link.ChannelUp{Channel: c.id})
	d.send(link.TypeSession, link.SessionState{Session: s.id, State: "active", At: d.s.o.Clock.Now().UnixMicro()})
	d.s.trays.dirty()
	splice(local, remote)
}

// row fills a ledger row with what a session says.
func (d *device) row(s *session, ev ledger.Event, row ledger.Entry) ledger.Entry {
	row.Event, row.Session, row.Account, row.Name, row.Organization = ev, s.id, s.account, s.name, s.organization
	row.Ticket, row.TicketNumber, row.As, row.AsID = s.ticket, s.ticketNumber, s.as, s.asID
	return row
}

// attach gives a channel an end, unless the channel was ended meanwhile.
func (d *device) attach(s *session, c *channel, set func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.ended || c.closed {
		return false
	}
	set()
	return true
}

// splice copies both ways until one side is through. A side that has nothing more to send ends the
// channel: neither RFB nor a terminal has half of a conversation.
func splice(local *os.File, remote net.Conn) {
	var wg sync.WaitGroup
	both := func() { local.Close(); remote.Close() }
	wg.Go(func() { io.CopyBuffer(onlyWriter{remote}, onlyReader{local}, make([]byte, 64<<10)); both() })
	wg.Go(func() { io.CopyBuffer(onlyWriter{local}, onlyReader{remote}, make([]byte, 32<<10)); both() })
	wg.Wait()
}

// onlyReader and onlyWriter keep io.Copy from looking for short cuts that do not exist here.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// join finds or starts the session of an offer and adds the channel to it.
func (d *device) join(ctx context.Context, o link.Offer, e grants.Entry, c *channel) (*session, *refusal) {
	d.mu.Lock()
	s := d.sessions[o.Session]
	if s != nil && s.ended {
		d.mu.Unlock()
		return nil, &refusal{string(grant.Revoked), "the session was ended"}
	}
	if s != nil && (s.asID != e.Grant.AsID || s.account != o.Account) {
		d.mu.Unlock()
		return nil, &refusal{string(grant.OtherSession), "the session belongs to somebody else"}
	}
	fresh := s == nil
	if fresh && len(d.sessions) >= maxSessions || !fresh && len(s.channels) >= maxChannels {
		d.mu.Unlock()
		return nil, &refusal{codeFailed, "too much is open on the device already"}
	}
	if fresh {
		s = &session{
			id: o.Session, account: o.Account, name: consent.Clean(o.Name), organization: d.welcome.Provider,
			ticket: e.Grant.Ticket, ticketNumber: e.TicketNumber, as: e.Grant.As, asID: e.Grant.AsID,
			since: d.s.o.Clock.Now(), scopes: e.Grant.Scopes,
			channels: map[string]*channel{}, grants: map[string]bool{}, used: map[string]bool{}, ready: make(chan struct{}), over: make(chan struct{}),
		}
		if s.ticket == "" {
			s.ticket = clip(o.Ticket)
		}
		if h := e.Grant.Holder; h != nil { // what was shown to the person counts, not what the server says now
			s.name, s.organization = h.Name, h.Organization
		}
		d.sessions[s.id] = s
	}
	s.channels[c.id], s.grants[c.grant] = c, true
	if s.idle != nil {
		s.idle.Stop()
	}
	d.mu.Unlock()
	if fresh {
		d.startSession(ctx, s)
	}
	<-s.ready
	if s.startErr != nil {
		return nil, &refusal{codeFailed, "the session's program can't be started: " + consent.CleanTo(s.startErr.Error(), maxReason)}
	}
	return s, nil
}

// startSession runs the session program as the grant's OS user.
func (d *device) startSession(ctx context.Context, s *session) {
	display, xauth := d.desktopOf(ctx, s.asID)
	proc, err := spawn.New(ctx, spawn.Options{
		Folder: d.s.o.Folder, UserID: s.asID, Logger: d.log,
		Start: spawn.Message{
			Session: s.id, Language: d.s.language(s.asID), Name: s.name, Organization: s.organization,
			Scopes: s.scopes, Display: display, XAuthority: xauth, Since: s.since.UnixMicro(), Home: d.s.o.Home,
		},
		Message: func(m spawn.Message) { d.fromProgram(ctx, s, m) },
		Exited:  func() { d.programGone(ctx, s) },
	})
	d.mu.Lock()
	s.proc, s.startErr = proc, err
	if err != nil {
		delete(d.sessions, s.id)
	}
	d.mu.Unlock()
	if err != nil {
		d.log.Error("session program can't be started", "session", s.id, "err", err)
	} else {
		d.refreeze()
	}
	close(s.ready)
}

// desktopOf finds where a user's desktop is: from the trays, then from the system, then from the
// service's own environment.
func (d *device) desktopOf(ctx context.Context, userID string) (display, xauthority string) {
	seats := d.seats(ctx)
	for _, s := range slices.Backward(seats) {
		if s.UserID == userID && s.Desktop == "x11" && s.Display != "" && (s.Tray || s.State != inventory.Away) {
			return s.Display, s.XAuthority
		}
	}
	if grants.RootID(userID) || userID == ownID() {
		return ownDisplay()
	}
	return "", ""
}

func ownDisplay() (display, xauthority string) { return os.Getenv("DISPLAY"), os.Getenv("XAUTHORITY") }

// fromProgram takes a message of a session program. It runs as the OS user: nothing it says opens
// anything.
func (d *device) fromProgram(ctx context.Context, s *session, m spawn.Message) {
	switch m.Type {
	case spawn.Opened, spawn.Refused:
		d.mu.Lock()
		c := s.channels[m.Channel]
		d.mu.Unlock()
		if c != nil {
			select {
			case c.answer <- m:
			default:
			}
		}
	case spawn.Closed:
		d.mu.Lock()
		if c := s.channels[m.Channel]; c != nil {
			// Its last bytes (a terminal's exit code) may still be on their way: the channel ends by
			// itself when they are through, and by force a second later.
			time.AfterFunc(time.Second, func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				c.shut()
			})
		}
		d.mu.Unlock()
	case spawn.Used:
		d.mu.Lock()
		first := !s.used[m.What] && slices.Contains([]string{"saw", "controlled", "terminal"}, m.What)
		if first {
			s.used[m.What] = true
		}
		d.mu.Unlock()
		if first {
			d.record(ctx, d.row(s, ledger.Used, ledger.Entry{What: m.What}))
			d.s.trays.dirty()
		}
	case spawn.Pause:
		d.pause(ctx, s.id, m.On, s.as)
	case spawn.End:
		d.work.Go(func() { d.endByPerson(ctx, s, s.as) })
	case spawn.SignLost:
		d.work.Go(func() { d.endSession(ctx, s.id, "sign_lost") })
	}
}

// shut closes both ends of a channel; device.mu is held.
func (c *channel) shut() {
	c.closed = true
	if c.local != nil {
		c.local.Close()
	}
	if c.remote != nil {
		c.remote.Close()
	}
}

// leave takes a channel out of its session.
func (d *device) leave(ctx context.Context, s *session, c *channel) {
	d.mu.Lock()
	c.shut()
	delete(s.channels, c.id)
	if len(s.channels) == 0 && !s.ended {
		s.idle = time.AfterFunc(idleAfter, func() { d.rest(ctx, s) })
	}
	opened := c.open
	d.mu.Unlock()
	s.proc.Send(spawn.Message{Type: spawn.Shut, Channel: c.id})
	if opened {
		d.record(ctx, d.row(s, ledger.Closed, ledger.Entry{Grant: c.grant, Channel: c.id, Kind: c.kind}))
	}
	d.s.trays.dirty()
}

// rest ends the program of a session that has had no channel for a while. The permission stays as it
// was given: the technician may come back while the server holds the session.
func (d *device) rest(ctx context.Context, s *session) {
	d.mu.Lock()
	if s.ended || len(s.channels) > 0 || d.sessions[s.id] != s {
		d.mu.Unlock()
		return
	}
	s.ended = true
	delete(d.sessions, s.id)
	d.mu.Unlock()
	s.proc.End(endGrace)
	close(s.over)
	d.s.trays.dirty()
}

// programGone ends a session whose program has died by itself.
func (d *device) programGone(ctx context.Context, s *session) {
	d.mu.Lock()
	gone := !s.ended
	d.mu.Unlock()
	d.s.reap()
	if gone {
		d.endSession(ctx, s.id, "failed")
	}
}

// endSession closes a session's channels, ends its program with everything below it, and the grant
// that was given for this session only. It takes up to two seconds.
func (d *device) endSession(ctx context.Context, id, reason string) {
	d.mu.Lock()
	s := d.sessions[id]
	again := s != nil && s.ended
	if s != nil && !again {
		s.ended = true
		for _, c := range s.channels {
			c.shut()
		}
	}
	d.mu.Unlock()
	if again {
		<-s.over
		return
	}
	d.desk.Withdraw(id)
	// Grants given for this session only end with it, also where no program runs any more.
	for _, e := range d.grants.Live("") {
		if e.Grant.Session == id {
			d.endGrant(ctx, e.Grant.ID, grants.SessionEnded)
		}
	}
	if s == nil {
		return
	}
	<-s.ready
	if s.proc != nil {
		s.proc.End(endGrace)
	}
	d.mu.Lock()
	delete(d.sessions, id)
	d.mu.Unlock()
	d.record(ctx, d.row(s, ledger.SessionEnded, ledger.Entry{Code: reason}))
	close(s.over)
	d.log.Info("session ended", "session", id, "reason", reason, "lasted", d.s.o.Clock.Now().Sub(s.since).Round(time.Second))
	d.send(link.TypeSession, link.SessionState{Session: id, State: "ended", Reason: reason, At: d.s.o.Clock.Now().UnixMicro()})
	d.s.trays.dirty()
}

// endByPerson is "End now": the session, and every permission that its technician has from this OS
// user. It needs no server.
func (d *device) endByPerson(ctx context.Context, s *session, by string) {
	d.mu.Lock()
	for _, c := range s.channels {
		c.shut()
	}
	d.mu.Unlock()
	for _, e := range d.grants.Live(s.asID) {
		if e.Grant.Holder != nil && e.Grant.Holder.Account == s.account {
			d.endGrant(ctx, e.Grant.ID, grants.Revoked)
		}
	}
	d.endSession(ctx, s.id, "person")
}

// endAll ends the sessions of an OS user, all if userID is empty.
func (d *device) endAll(ctx context.Context, userID, reason string) {
	d.mu.Lock()
	var ids []string
	for id, s := range d.sessions {
		if userID == "" || s.asID == userID {
			ids = append(ids, id)
			for _, c := range s.channels {
				c.shut()
			}
		}
	}
	d.mu.Unlock()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { d.endSession(ctx, id, reason) })
	}
	wg.Wait()
}

// closeUnder closes the channels that were opened under a grant. A session that is left without a
// live grant is ended.
func (d *device) closeUnder(ctx context.Context, grantID, reason string) {
	d.mu.Lock()
	var over []string
	for id, s := range d.sessions {
		if !s.grants[grantID] || s.ended {
			continue
		}
		for _, c := range s.channels {
			if c.grant == grantID {
				c.shut()
			}
		}
		rest := false
		for _, c := range s.channels {
			rest = rest || !c.closed
		}
		if !rest {
			over = append(over, id)
		}
	}
	d.mu.Unlock()
	if reason == grants.SessionEnded {
		return // its session is being ended
	}
	ended := map[string]string{grants.Revoked: "person", grants.Budget: "budget", grants.TicketClosed: "ticket_closed"}[reason]
	for _, id := range over {
		d.work.Go(func() { d.endSession(context.WithoutCancel(ctx), id, ended) })
	}
}

// signedOut is how long a person must be gone, tray and sign-in, before their sessions end: a tray
// that starts anew is no leaving.
const signedOut = 20 * time.Second

// leavings ends the sessions of people who have signed out since they began.
func (d *device) leavings(ctx context.Context, people []link.User) {
	now := d.s.o.Clock.Now()
	d.mu.Lock()
	var over []string
	for id, s := range d.sessions {
		there := slices.ContainsFunc(people, func(u link.User) bool { return u.ID == s.asID })
		switch {
		case there:
			s.seated, s.absent = true, time.Time{}
		case s.seated && s.absent.IsZero():
			s.absent = now
		case s.seated && now.Sub(s.absent) >= signedOut && !s.ended:
			over = append(over, id)
		}
	}
	d.mu.Unlock()
	for _, id := range over {
		d.work.Go(func() { d.endSession(context.WithoutCancel(ctx), id, "signed_out") })
	}
}

// pause blanks a session's stream and drops its input, or lets it go on.
func (d *device) pause(ctx context.Context, id string, on bool, by string) bool {
	d.mu.Lock()
	s := d.sessions[id]
	if s == nil || s.proc == nil || s.ended {
		d.mu.Unlock()
		return false
	}
	changed := s.paused != on
	s.paused = on
	d.mu.Unlock()
	s.proc.Send(spawn.Message{Type: spawn.Pause, On: on})
	if !changed {
		return true
	}
	ev, st := ledger.Paused, "paused"
	if !on {
		ev, st = ledger.Resumed, "active"
	}
	d.record(ctx, d.row(s, ev, ledger.Entry{By: by}))
	d.send(link.TypeSession, link.SessionState{Session: id, State: st, At: d.s.o.Clock.Now().UnixMicro()})
	d.s.trays.dirty()
	return true
}

// refreeze tells every session program whether it is frozen: while a question is open at the device,
// or a window of Traybell of the same user, technicians keep the last picture and can do nothing.
func (d *device) refreeze() {
	asked := len(d.desk.Waiting("")) > 0 // before device.mu: the desk calls back under its own lock
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.proc != nil {
			s.proc.Send(spawn.Message{Type: spawn.Freeze, On: asked || d.guards[s.asID] > 0})
		}
	}
}

// programs are the live session programs, and whether one of a user's can do more than look.
func (d *device) programs(userID string) (pids []int, strong bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s.proc == nil {
			continue
		}
		pids = append(pids, s.proc.PID())
		if s.asID != userID {
			continue
		}
		for _, c := range s.channels {
			strong = strong || c.control || c.kind != grant.KindDesktop
		}
		strong = strong || s.used["controlled"] || s.used["terminal"]
	}
	return pids, strong
}
