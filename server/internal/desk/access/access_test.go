package access

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// wire is the Links of these tests: it remembers what was sent to devices.
type wire struct {
	mu      sync.Mutex
	offline bool
	broken  bool
	open    map[string]int // channels by session
	sent    []string
	asks    []link.Ask
}

func (w *wire) Online(string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.offline
}

func (w *wire) Send(device, typ string, body any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return errors.New("broken")
	}
	line := device + " " + typ
	switch b := body.(type) {
	case link.Ask:
		w.asks = append(w.asks, b)
	case link.EndGrant:
		line += " " + b.ID + " " + b.Reason
	case link.Withdraw:
		line += " " + b.Session
	}
	w.sent = append(w.sent, line)
	return nil
}

func (w *wire) EndSession(device, session, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, device+" end_session "+session+" "+reason)
}

func (w *wire) Channels(_, session string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open[session]
}

// take returns what was sent since the last call.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.sent = nil }()
	return w.sent
}

type office struct {
	t     *testing.T
	d     *Sessions
	store *store.Store
	wire  *wire
	key   ed25519.PrivateKey
	now   time.Time
	anna  desk.Actor
	bert  desk.Actor
	boss  desk.Actor
	lucia desk.Actor
	head  desk.Actor
}

// each runs f on both databases, with devices d1 (Studio Verdi) and d2, and ticket t1 filed from d1 by lucia.
func each(t *testing.T, f func(t *testing.T, o *office)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &office{t: t, store: s, wire: &wire{}, key: key, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
		o.d = New(desk.Options{Store: s, Bus: bus.New(), Now: func() time.Time { return o.now }})
		o.d.Reach(o.wire)
		actor := func(id account.ID, org account.OrganizationID, role account.Role) desk.Actor {
			a := desk.Of(account.Account{ID: id, Organization: org, Name: "Name " + string(id), Role: role, Language: "en"}, desk.ViaPortal, "")
			a.ConfirmedAt = time.Now().Add(10 * 365 * 24 * time.Hour) // has just proven the second factor, whatever the clock of the test says
			return a
		}
		o.anna, o.bert, o.boss = actor("anna", "rossi", account.Technician), actor("bert", "rossi", account.Technician), actor("boss", "rossi", account.Administrator)
		o.lucia, o.head = actor("lucia", "verdi", account.Requester), actor("head", "verdi", account.Responsible)
		err = s.Write(t.Context(), func(tx store.Tx) error {
			for _, org := range []account.Organization{{ID: "rossi", Name: "Rossi IT", Provider: true, CreatedAt: o.now}, {ID: "verdi", Name: "Studio Verdi", CreatedAt: o.now}, {ID: "neri", Name: "Neri", CreatedAt: o.now}} {
				if err := tx.InsertOrganization(org); err != nil {
					return err
				}
			}
			for _, a := range []desk.Actor{o.anna, o.bert, o.boss, o.lucia, o.head} {
				if err := tx.InsertAccount(account.Account{ID: a.Account, Organization: a.Organization, Email: string(a.Account) + "@x.it", Name: a.Name, Language: "en", Role: a.Role, CreatedAt: o.now}); err != nil {
					return err
				}
			}
			for id, org := range map[device.ID]account.OrganizationID{"d1": "verdi", "d2": "neri"} {
				if err := tx.InsertDevice(device.Device{ID: id, Organization: org, Name: "PC-" + string(id), LinkKey: []byte{1}, GrantKey: pub, EnrolledAt: o.now}); err != nil {
					return err
				}
			}
			for i, k := range []ticket.Ticket{
				{ID: "t1", Organization: "verdi", Title: "Printer\nprints blank", Device: "d1", OSUser: "lucia", OSUserID: "1000", Source: ticket.FromDevice},
				{ID: "t2", Organization: "neri", Title: "Secret of Neri"},
				{ID: "t3", Organization: "rossi", Title: "Our own"},
			} {
				k.Number, k.Severity, k.Status, k.CreatedAt = int64(1042+i), api.Low, ticket.Open, o.now
				if err := tx.InsertTicket(k, "h"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f(t, o)
	})
}

func (o *office) ask(a desk.Actor, k ticket.ID, scopes ...grant.Scope) access.Session {
	o.t.Helper()
	s, err := o.d.Ask(o.t.Context(), a, "d1", k, scopes)
	if err != nil {
		o.t.Fatalf("ask: %v", err)
	}
	return s
}

func (o *office) sign(change func(*grant.Grant)) grant.Signed {
	o.t.Helper()
	g := grant.Grant{
		ID: api.NewID(o.now), Device: "d1", As: "lucia", AsID: "1000", Scopes: []grant.Scope{grant.View, grant.Control},
		Holder: &grant.Holder{Account: "anna", Name: "Name anna", Organization: "Rossi IT"}, Budget: 3600, MadeAt: o.now.UnixMicro(), MadeBy: "lucia", How: "window",
	}
	change(&g)
	s, err := grant.Sign(g, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

func (o *office) forSession(s access.Session) grant.Signed {
	return o.sign(func(g *grant.Grant) { g.Session = string(s.ID) })
}

func (o *office) say(typ string, body any) error {
	o.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.d.FromDevice(o.t.Context(), "d1", link.Message{Type: typ, Body: b})
}

func (o *office) says(typ string, body any) {
	o.t.Helper()
	if err := o.say(typ, body); err != nil {
		o.t.Fatalf("%s: %v", typ, err)
	}
}

func (o *office) allowed(s access.Session) (access.Session, grant.Signed) {
	o.t.Helper()
	g := o.forSession(s)
	o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskAllowed, User: "lucia", Grant: &g})
	return o.is(s, access.Allowed), g
}

// is loads a session and checks its state.
func (o *office) is(s access.Session, want access.State) access.Session {
	o.t.Helper()
	got, err := o.d.Session(o.t.Context(), o.boss, s.ID)
	if err != nil || got.State != want {
		o.t.Fatalf("session is %s (%s), %v; want %s", got.State, got.Reason, err, want)
	}
	return got
}

// audited checks that an action is on the log, and returns its details.
func (o *office) audited(action string) string {
	o.t.Helper()
	var list []store.NamedEntry
	if err := o.store.Read(o.t.Context(), func(tx store.Tx) (err error) {
		list, err = tx.Entries(store.EntryFilter{})
		return err
	}); err != nil {
		o.t.Fatal(err)
	}
	var details []string
	for _, e := range list {
		if e.Action == action {
			details = append(details, e.Detail)
		}
	}
	if details == nil {
		o.t.Errorf("%s is not on the log", action)
	}
	return strings.Join(details, "\n")
}

func wantCode(t *testing.T, err error, kind error, code string) {
	t.Helper()
	e, ok := errors.AsType[*desk.Error](err)
	if !ok || !errors.Is(e, kind) || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	for _, lang := range []string{"en", "it", "de", "ru"} {
		if text := desk.Text(err, lang); text == "" || strings.HasPrefix(text, "access.") || strings.HasPrefix(text, "desk.") {
			t.Errorf("%s has no sentence in %s: %q", code, lang, text)
		}
	}
}

func TestOnlyStaffAsksAndOnlyWhoIsThere(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for _, a := range []desk.Actor{o.lucia, o.head, {}, desk.Device("d1"), desk.System()} {
			if _, err := o.d.Ask(t.Context(), a, "d1", "t1", nil); !errors.Is(err, desk.ErrDenied) {
				t.Errorf("%s asks: %v", a.Role, err)
			}
		}
		o.wire.offline = true
		_, err := o.d.Ask(t.Context(), o.anna, "d1", "t1", nil)
		wantCode(t, err, desk.ErrConflict, api.CodeOffline)
		_, err = o.d.Ask(t.Context(), o.anna, "d9", "t1", nil)
		wantCode(t, err, desk.ErrNotFound, "not_found")
		o.wire.offline = false
		_, err = o.d.Ask(t.Context(), o.anna, "d1", "t2", nil)
		wantCode(t, err, desk.ErrInvalid, "ticket_of_other_customer")
		_, err = o.d.Ask(t.Context(), o.anna, "d1", "t1", []grant.Scope{"webcam"})
		wantCode(t, err, desk.ErrInvalid, "scopes")
		if len(o.wire.take()) != 0 {
			t.Error("a device was asked all the same")
		}
		s := o.ask(o.anna, "t1", grant.View)
		q := o.wire.asks[0]
		if q.Name != "Name anna" || q.Organization != "Rossi IT" || q.TicketTitle != "Printer prints blank" || q.User != "lucia" || q.TicketNumber != 1042 || q.Session != string(s.ID) {
			t.Errorf("the person reads %+v", q)
		}
		o.audited("session.asked")
		o.ask(o.bert, "t3") // the provider's own ticket
	})
}

func TestAskingAgainReturnsTheSameSession(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		a, b := o.ask(o.anna, "t1"), o.ask(o.anna, "t1")
		if a.ID != b.ID || len(o.wire.asks) != 2 || o.wire.asks[0].Session != o.wire.asks[1].Session {
			t.Errorf("%d questions", len(o.wire.asks)) // the device knows that it is the same
		}
		o.allowed(b)
		if c := o.ask(o.anna, "t1"); c.ID != a.ID || len(o.wire.asks) != 2 {
			t.Errorf("%d questions for an open session", len(o.wire.asks))
		}
		a = o.ask(o.anna, "t3")
		if c := o.ask(o.bert, "t1"); c.ID == a.ID {
			t.Error("another technician got the same session")
		}
		o.now = o.now.Add(time.Hour)
		if d := o.ask(o.anna, "t1"); d.ID == a.ID {
			t.Error("a question that nobody answered is still waiting")
		}
		o.is(a, access.Ended)
	})
}

func TestQuestionThatIsNotSentEndsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.wire.broken = true
		s, err := o.d.Ask(t.Context(), o.anna, "d1", "t1", nil)
		wantCode(t, err, desk.ErrConflict, api.CodeOffline)
		o.is(s, access.Ended)
	})
}

func TestSessionWithoutTicketMakesOneAndUsesItAgain(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "")
		if s.TicketTitle != "Remote session on PC-d1" || s.Ticket == "" {
			t.Errorf("ticket is %q", s.TicketTitle)
		}
		if err := o.d.Leave(t.Context(), o.anna, s.ID, ""); err != nil {
			t.Fatal(err)
		}
		if again := o.ask(o.anna, ""); again.Ticket != s.Ticket || again.ID == s.ID {
			t.Errorf("second session is %s of ticket %s, first %s of %s", again.ID, again.Ticket, s.ID, s.Ticket)
		}
		if other := o.ask(o.bert, ""); other.Ticket == s.Ticket {
			t.Error("another technician's work went to the same ticket")
		}
	})
}

func TestClosedTicketIsNotWorkedOn(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.close("t1")
		_, err := o.d.Ask(t.Context(), o.anna, "d1", "t1", nil)
		if !errors.Is(err, ticket.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func (o *office) close(id ticket.ID) {
	o.t.Helper()
	if err := o.store.Write(o.t.Context(), func(tx store.Tx) error {
		k, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		k.Status = ticket.Closed
		return tx.SaveTicket(k)
	}); err != nil {
		o.t.Fatal(err)
	}
}

func TestQuestionGoesThroughItsStates(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		hints := o.d.o.Bus.Subscribe(t.Context(), TopicSession+"."+string(s.ID))
		o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskLocked, User: "lucia", Since: o.now.UnixMicro()})
		if got := o.is(s, access.Locked); !got.UserSince.Equal(o.now) {
			t.Errorf("locked since %v", got.UserSince)
		}
		o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskShown, Seconds: 60, Words: "OLIVE TRAIN SILVER MOON"})
		if got := o.is(s, access.Asking); got.Words != "OLIVE TRAIN SILVER MOON" || !got.Deadline.Equal(o.now.Add(time.Minute)) {
			t.Errorf("shown: %+v", got)
		}
		o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskRefused, Reason: "cooldown"})
		if got := o.is(s, access.Refused); got.Reason != "cooldown" {
			t.Errorf("refused: %+v", got)
		}
		if n := len(hints); n != 3 {
			t.Errorf("%d hints, want 3", n)
		}
		if d := o.audited("session.refused"); !strings.Contains(d, "cooldown") {
			t.Errorf("log says %s", d)
		}
	})
}

func TestOnlyTheAskedDeviceAnswersWithItsOwnGrant(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		_, stranger, _ := ed25519.GenerateKey(nil)
		own := o.forSession(s)
		forged, err := grant.Sign(grant.Grant{ID: "x", Device: "d1", As: "root", AsID: "0", Scopes: []grant.Scope{grant.View}, Holder: &grant.Holder{Account: "anna"}, Session: string(s.ID), Budget: 1, MadeBy: "x", How: "window"}, stranger)
		if err != nil {
			t.Fatal(err)
		}
		widened := own
		widened.Bytes = []byte(strings.Replace(string(own.Bytes), `"control"`, `"control","terminal"`, 1))
		unknown := own
		unknown.Bytes = []byte(strings.Replace(string(own.Bytes), `{"v":1`, `{"x":1,"v":1`, 1))
		for _, c := range []struct {
			name string
			g    grant.Signed
			want grant.Refusal
		}{
			{"forged", forged, grant.Forged},
			{"widened", widened, grant.Forged},
			{"unknown field", unknown, grant.Malformed},
			{"other device", o.sign(func(g *grant.Grant) { g.Device, g.Session = "d2", string(s.ID) }), grant.OtherDevice},
			{"other session", o.sign(func(g *grant.Grant) { g.Session = "s9" }), grant.OtherSession},
			{"other ticket", o.sign(func(g *grant.Grant) { g.Ticket = "t2" }), grant.OtherTicket},
			{"other technician", o.sign(func(g *grant.Grant) { g.Session, g.Holder.Account = string(s.ID), "bert" }), grant.OtherHolder},
		} {
			t.Run(c.name, func(t *testing.T) {
				if err := o.say(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskAllowed, Grant: &c.g}); !errors.Is(err, c.want) {
					t.Errorf("answer: got %v, want %v", err, c.want)
				}
				if d := o.audited("grant.refused"); !strings.Contains(d, string(c.want)) {
					t.Errorf("log says %s, want %s", d, c.want)
				}
				o.is(s, access.Asking)
			})
		}
		if err := o.say(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskAllowed}); !errors.Is(err, grant.NoGrant) {
			t.Errorf("without a grant: %v", err)
		}
		b, _ := json.Marshal(link.AskState{Session: string(s.ID), State: link.AskAllowed, Grant: &own})
		if err := o.d.FromDevice(t.Context(), "d2", link.Message{Type: link.TypeAskState, Body: b}); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("another device answers: %v", err)
		}
		o.is(s, access.Asking)
		if _, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false); err == nil {
			t.Error("a channel may be opened")
		}
		// the twin
		o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskAllowed, Grant: &own})
		if _, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, true); err != nil {
			t.Errorf("with its grant: %v", err)
		}
	})
}

func TestAuthoriseDecidesAtEveryChannel(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		_, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false)
		wantCode(t, err, desk.ErrConflict, "not_allowed_yet")
		o.allowed(s)
		offer, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, true)
		if err != nil || offer.Grant == "" || offer.Session != string(s.ID) || offer.Account != "anna" || !offer.Control || offer.Token != "" {
			t.Errorf("offer is %+v, %v", offer, err)
		}
		_, err = o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindTerminal, false)
		wantCode(t, err, desk.ErrDenied, string(grant.Scopeless))
		if d := o.audited("session.channel_denied"); !strings.Contains(d, string(grant.Scopeless)) {
			t.Errorf("log says %s", d)
		}
		for _, a := range []desk.Actor{o.bert, o.boss} {
			_, err = o.d.Authorise(t.Context(), a, s.ID, grant.KindDesktop, false)
			wantCode(t, err, desk.ErrDenied, "session_not_yours")
		}
		if _, err = o.d.Authorise(t.Context(), o.lucia, s.ID, grant.KindDesktop, false); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("requester: %v", err)
		}
		demoted := desk.Of(account.Account{ID: o.anna.Account, Organization: o.anna.Organization, Role: account.Requester}, desk.ViaPortal, "")
		if _, err = o.d.Authorise(t.Context(), demoted, s.ID, grant.KindDesktop, false); err == nil {
			t.Error("somebody who is no technician any more opens a channel")
		}
		o.wire.offline = true
		_, err = o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false)
		wantCode(t, err, desk.ErrConflict, api.CodeOffline)
		o.wire.offline = false
		o.now = o.now.Add(time.Hour) // the budget
		_, err = o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false)
		wantCode(t, err, desk.ErrDenied, string(grant.Expired))
	})
}

func TestChannelsTellWhatWasUsed(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		o.allowed(s)
		offer := func(control bool) string {
			o.now = o.now.Add(time.Millisecond)
			of, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, control)
			if err != nil {
				t.Fatal(err)
			}
			return of.Channel
		}
		first, second := offer(true), offer(false)
		o.says(link.TypeOfferRefused, link.OfferRefused{Channel: second, Code: "no_sign"})
		o.is(s, access.Allowed)
		o.says(link.TypeChannelUp, link.ChannelUp{Channel: first})
		o.says(link.TypeChannelUp, link.ChannelUp{Channel: first})
		if got := o.is(s, access.Active); !slices.Equal(got.Used, []string{"desktop", "control"}) {
			t.Errorf("used %v", got.Used)
		}
		b, _ := json.Marshal(link.ChannelUp{Channel: second})
		if err := o.d.FromDevice(t.Context(), "d2", link.Message{Type: link.TypeChannelUp, Body: b}); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("another device's channel: %v", err)
		}
		list, err := o.d.Channels(t.Context(), o.bert, s.ID)
		if err != nil || len(list) != 2 || list[0].OpenedAt.IsZero() || list[1].Refused != "no_sign" {
			t.Errorf("channels %+v, %v", list, err)
		}
		o.audited("session.channel_opened")
		o.audited("session.channel_refused")
	})
}

func TestDeviceEndsASession(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		_, signed := o.allowed(s)
		g, _ := grant.Parse(signed.Bytes)
		o.says(link.TypeSession, link.SessionState{Session: string(s.ID), State: "active"})
		o.says(link.TypeSession, link.SessionState{Session: string(s.ID), State: "paused"})
		o.is(s, access.Paused)
		if p, err := o.d.Permission(t.Context(), o.anna, s.ID); err != nil || !p.Until.Equal(o.now.Add(time.Hour)) || p.Forever {
			t.Errorf("permission %+v, %v", p, err)
		}
		o.says(link.TypeSession, link.SessionState{Session: string(s.ID), State: "ended", Reason: "person"})
		o.says(link.TypeGrantEnded, link.GrantEnded{ID: g.ID, Reason: "revoked"})
		if got := o.is(s, access.Ended); got.Reason != access.ByPerson || !got.EndedAt.Equal(o.now) {
			t.Errorf("ended: %+v", got)
		}
		if _, err := o.d.Permission(t.Context(), o.anna, s.ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("a permission is left: %v", err)
		}
		_, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false)
		wantCode(t, err, desk.ErrConflict, "session_over")
	})
}

func TestLeaveEndsTheSessionAndItsOwnGrant(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		o.allowed(s)
		until := o.sign(func(g *grant.Grant) { g.Ticket = "t1" })
		o.says(link.TypeGrant, link.GrantMade{Grant: until, Spent: 60})
		o.wire.take()
		if err := o.d.Leave(t.Context(), o.bert, s.ID, ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("another technician: %v", err)
		}
		if err := o.d.Leave(t.Context(), o.lucia, s.ID, ""); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("a requester: %v", err)
		}
		if err := o.d.Leave(t.Context(), o.anna, s.ID, access.Later); err != nil {
			t.Fatal(err)
		}
		if err := o.d.Leave(t.Context(), o.anna, s.ID, ""); err != nil {
			t.Errorf("again: %v", err)
		}
		if got, want := o.wire.take(), []string{"d1 end_session " + string(s.ID) + " technician"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		left, err := o.d.Grants(t.Context(), o.anna, "d1")
		if err != nil || len(left) != 1 || left[0].Ticket != "t1" {
			t.Errorf("left: %+v, %v", left, err)
		}
		if got := o.is(s, access.Ended); got.Outcome != access.Later {
			t.Errorf("%+v", got)
		}
	})
}

func TestWithdrawnQuestionIsNotAllowedLater(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		if err := o.d.Leave(t.Context(), o.anna, s.ID, ""); err != nil {
			t.Fatal(err)
		}
		o.is(s, access.Withdrawn)
		o.wire.take()
		g := o.forSession(s) // the person pressed Allow at the same moment
		o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskAllowed, Grant: &g})
		o.is(s, access.Withdrawn)
		if got, want := o.wire.take(), []string{"d1 end_session " + string(s.ID) + " technician"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		if left, _ := o.d.Grants(t.Context(), o.anna, "d1"); len(left) != 0 {
			t.Errorf("the grant is live: %+v", left)
		}
	})
}

func TestClosingTheTicketEndsEverythingGivenForIt(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		o.allowed(s)
		until := o.sign(func(g *grant.Grant) { g.Ticket = "t1" })
		o.says(link.TypeGrant, link.GrantMade{Grant: until})
		standing := o.sign(func(g *grant.Grant) { g.Holder, g.Standing, g.Attended, g.Budget = nil, true, grant.Ask, 0 })
		o.says(link.TypeGrant, link.GrantMade{Grant: standing})
		o.wire.take()
		if err := o.d.TicketClosed(t.Context(), "t1"); err != nil {
			t.Fatal(err)
		}
		if len(o.wire.take()) != 0 {
			t.Error("a ticket that is open ended something")
		}
		o.close("t1")
		if err := o.d.TicketClosed(t.Context(), "t1"); err != nil {
			t.Fatal(err)
		}
		g, _ := grant.Parse(until.Bytes)
		got := o.wire.take()
		slices.Sort(got)
		if want := []string{"d1 end_grant " + g.ID + " ticket_closed", "d1 end_session " + string(s.ID) + " ticket_closed"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		o.is(s, access.Ended)
		left, _ := o.d.Grants(t.Context(), o.anna, "d1")
		if len(left) != 1 || !left[0].Standing {
			t.Errorf("left: %+v", left)
		}
		// the device sends it once more, having missed the message
		if err := o.say(link.TypeGrant, link.GrantMade{Grant: until}); !errors.Is(err, grant.OtherTicket) {
			t.Errorf("got %v", err)
		}
	})
}

func TestGrantNeedsAPurpose(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for _, c := range []struct {
			name   string
			change func(*grant.Grant)
			want   error
		}{
			{"session that nobody asked for", func(g *grant.Grant) { g.Session = "s9" }, grant.OtherSession},
			{"another device's ticket", func(g *grant.Grant) { g.Ticket = "t2" }, grant.OtherTicket},
			{"unknown ticket", func(g *grant.Grant) { g.Ticket = "t9" }, grant.OtherTicket},
			{"another device", func(g *grant.Grant) { g.Ticket, g.Device = "t1", "d2" }, grant.OtherDevice},
			{"its ticket", func(g *grant.Grant) { g.Ticket = "t1" }, nil},
			{"standing", func(g *grant.Grant) { g.Holder, g.Standing, g.Attended = nil, true, grant.Tell }, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				before, _ := o.d.Grants(t.Context(), o.anna, "d1")
				err := o.say(link.TypeGrant, link.GrantMade{Grant: o.sign(c.change)})
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				after, _ := o.d.Grants(t.Context(), o.anna, "d1")
				if got := len(after) - len(before); got != map[bool]int{true: 1, false: 0}[c.want == nil] {
					t.Errorf("%d copies more", got)
				}
			})
		}
	})
}

func TestSameGrantIDWithOtherBytesIsRefused(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.says(link.TypeGrant, link.GrantMade{Grant: o.sign(func(g *grant.Grant) { g.ID, g.Ticket = "g", "t1" }), Spent: 10})
		wider := o.sign(func(g *grant.Grant) { g.ID, g.Ticket, g.Scopes = "g", "t1", []grant.Scope{grant.View, grant.Terminal} })
		if err := o.say(link.TypeGrant, link.GrantMade{Grant: wider}); !errors.Is(err, grant.Forged) {
			t.Errorf("got %v", err)
		}
		// the device corrects what is spent, upwards only
		same := o.sign(func(g *grant.Grant) { g.ID, g.Ticket = "g", "t1" })
		o.says(link.TypeGrant, link.GrantMade{Grant: same, Spent: 600})
		o.says(link.TypeGrant, link.GrantMade{Grant: same, Spent: 0})
		list, _ := o.d.Grants(t.Context(), o.anna, "d1")
		if len(list) != 1 || list[0].Spent != 600 {
			t.Errorf("%+v", list)
		}
	})
}

func TestLinkUpReconciles(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		waiting := o.ask(o.anna, "t1")
		open := o.ask(o.bert, "t1")
		gone := o.ask(o.boss, "t1")
		forBert := o.sign(func(g *grant.Grant) { g.Session, g.Holder.Account = string(open.ID), "bert" })
		o.says(link.TypeAskState, link.AskState{Session: string(open.ID), State: link.AskAllowed, Grant: &forBert})
		forBoss := o.sign(func(g *grant.Grant) { g.Session, g.Holder.Account = string(gone.ID), "boss" })
		o.says(link.TypeAskState, link.AskState{Session: string(gone.ID), State: link.AskAllowed, Grant: &forBoss})
		kept := o.sign(func(g *grant.Grant) { g.Ticket, g.Holder.Account = "t1", "bert" })
		o.says(link.TypeGrant, link.GrantMade{Grant: kept})
		ended := o.sign(func(g *grant.Grant) { g.Ticket = "t1" })
		o.says(link.TypeGrant, link.GrantMade{Grant: ended})
		endedGrant, _ := grant.Parse(ended.Bytes)
		// while the link was down: the server ended one, the device one, a session's grant is gone, one was made
		if err := o.store.Write(t.Context(), func(tx store.Tx) error {
			g, err := tx.Grant("d1", endedGrant.ID)
			if err != nil {
				return err
			}
			return tx.SaveGrant(g.End("revoked", false, o.now))
		}); err != nil {
			t.Fatal(err)
		}
		bossGrant, _ := grant.Parse(forBoss.Bytes)
		strange := o.sign(func(g *grant.Grant) { g.Session = "s9" })
		strangeGrant, _ := grant.Parse(strange.Bytes)
		o.wire.take()
		o.wire.asks = nil
		known, err := o.d.LinkUp(t.Context(), "d1", link.Proof{
			Grants: []grant.Signed{forBert, kept, ended, strange},
			Ended:  []link.GrantEnded{{ID: bossGrant.ID, Reason: "budget"}, {ID: "never seen"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(known.Ended)
		want := []string{endedGrant.ID, strangeGrant.ID}
		slices.Sort(want)
		if !slices.Equal(known.Ended, want) {
			t.Errorf("told of ended grants %v, want %v", known.Ended, want)
		}
		slices.Sort(known.Sessions)
		wantSessions := []string{string(waiting.ID), string(open.ID)}
		slices.Sort(wantSessions)
		if !slices.Equal(known.Sessions, wantSessions) {
			t.Errorf("told of sessions %v, want %v", known.Sessions, wantSessions)
		}
		o.is(open, access.Allowed)
		if got := o.is(gone, access.Ended); got.Reason != access.ByDeviceGone {
			t.Errorf("%+v", got)
		}
		if len(o.wire.asks) != 1 || o.wire.asks[0].Session != string(waiting.ID) || o.wire.asks[0].Organization != "Rossi IT" {
			t.Errorf("asked again: %+v", o.wire.asks)
		}
		// the device has applied it: nothing is left to tell
		if known, err = o.d.LinkUp(t.Context(), "d1", link.Proof{Grants: []grant.Signed{forBert, kept}}); err != nil || len(known.Ended) != 0 {
			t.Errorf("told again of %v, %v", known.Ended, err)
		}
		// allowed while the link was down
		yes := o.forSession(waiting)
		if _, err = o.d.LinkUp(t.Context(), "d1", link.Proof{Grants: []grant.Signed{forBert, kept, yes}}); err != nil {
			t.Fatal(err)
		}
		o.is(waiting, access.Allowed)
		// everything is gone: a fresh state folder
		if known, err = o.d.LinkUp(t.Context(), "d1", link.Proof{}); err != nil || len(known.Sessions) != 0 {
			t.Errorf("sessions %v, %v", known.Sessions, err)
		}
		if left, _ := o.d.Grants(t.Context(), o.anna, "d1"); len(left) != 0 {
			t.Errorf("grants are left: %+v", left)
		}
	})
}

func TestStandingGrantOpensOnlyAfterTheDeviceHasSaidSo(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		standing := o.sign(func(g *grant.Grant) { g.Holder, g.Standing, g.Attended, g.Budget = nil, true, grant.Ask, 0 })
		o.says(link.TypeGrant, link.GrantMade{Grant: standing})
		s := o.ask(o.anna, "t1")
		if _, err := o.d.LinkUp(t.Context(), "d1", link.Proof{Grants: []grant.Signed{standing}}); err != nil {
			t.Fatal(err)
		}
		_, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false)
		wantCode(t, err, desk.ErrConflict, "not_allowed_yet")
		o.says(link.TypeAskState, link.AskState{Session: string(s.ID), State: link.AskOpen})
		o.is(s, access.Allowed)
		if _, err := o.d.Authorise(t.Context(), o.anna, s.ID, grant.KindDesktop, false); err != nil {
			t.Errorf("got %v", err)
		}
		if p, err := o.d.Permission(t.Context(), o.anna, s.ID); err != nil || !p.Forever {
			t.Errorf("permission %+v, %v", p, err)
		}
	})
}

func TestDeviceRemovedEndsItsSessions(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		o.allowed(s)
		if err := o.d.DeviceRemoved(t.Context(), "d1"); err != nil {
			t.Fatal(err)
		}
		if got := o.is(s, access.Ended); got.Reason != access.ByRemoved {
			t.Errorf("%+v", got)
		}
		if left, _ := o.d.Grants(t.Context(), o.anna, ""); len(left) != 0 {
			t.Errorf("left: %+v", left)
		}
	})
}

func TestSweepEndsQuestionsThatNobodyAnswered(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		open := o.ask(o.bert, "t1")
		g := o.sign(func(g *grant.Grant) { g.Session, g.Holder.Account = string(open.ID), "bert" })
		o.says(link.TypeAskState, link.AskState{Session: string(open.ID), State: link.AskAllowed, Grant: &g})
		o.now = o.now.Add(access.AnswerWithin + time.Second)
		if err := o.d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := o.is(s, access.Ended); got.Reason != access.ByNoAnswer {
			t.Errorf("%+v", got)
		}
		o.is(open, access.Allowed)
	})
}

func TestClosedBrowserDoesNotKeepAPermissionOpen(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		idle, used := o.ask(o.anna, "t1"), o.ask(o.anna, "t3")
		o.allowed(idle)
		o.allowed(used)
		o.wire.open = map[string]int{string(used.ID): 1}
		o.wire.take()
		for range int(access.IdleAfter/time.Minute) + 1 {
			if err := o.d.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			o.is(idle, access.Allowed)
			o.now = o.now.Add(time.Minute)
		}
		if err := o.d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := o.is(idle, access.Ended); got.Reason != access.ByTechnician {
			t.Errorf("%+v", got)
		}
		o.is(used, access.Allowed)
		if got, want := o.wire.take(), []string{"d1 end_session " + string(idle.ID) + " technician"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		if left, _ := o.d.Grants(t.Context(), o.anna, "d1"); len(left) != 1 || left[0].Session != string(used.ID) {
			t.Errorf("left: %+v", left)
		}
	})
}

func TestWhoSeesTheHistory(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		s := o.ask(o.anna, "t1")
		for _, c := range []struct {
			a    desk.Actor
			want int
		}{{o.anna, 1}, {o.bert, 1}, {o.boss, 1}, {o.head, 1}, {o.lucia, -1}, {desk.Actor{}, -1}, {desk.Of(account.Account{ID: "x", Organization: "neri", Role: account.Responsible}, desk.ViaPortal, ""), 0}} {
			list, err := o.d.Sessions(t.Context(), c.a, Filter{})
			if c.want < 0 {
				if !errors.Is(err, desk.ErrDenied) {
					t.Errorf("%s: %v", c.a.Account, err)
				}
			} else if err != nil || len(list) != c.want {
				t.Errorf("%s sees %d, %v; want %d", c.a.Account, len(list), err, c.want)
			}
			_, err = o.d.Session(t.Context(), c.a, s.ID)
			if got := err == nil; got != (c.want == 1) {
				t.Errorf("%s reads it: %v", c.a.Account, err)
			}
		}
		if mine, _ := o.d.Sessions(t.Context(), o.bert, Filter{Mine: true}); len(mine) != 0 {
			t.Errorf("bert has %d of his own", len(mine))
		}
		if _, err := o.d.Grants(t.Context(), o.head, "d1"); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("grants: %v", err)
		}
	})
}

func TestMessagesThatMakeNoSenseChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		for _, m := range []link.Message{
			{Type: link.TypeAskState, Body: []byte(`{`)},
			{Type: link.TypeGrant, Body: []byte(`{"grant":{"bytes":"e30="}}`)},
			{Type: link.TypeSession, Body: []byte(`{"session":"s9","state":"ended"}`)},
			{Type: link.TypeChannelUp, Body: []byte(`{"channel":"c9"}`)},
			{Type: link.TypeOfferRefused, Body: []byte(`[]`)},
		} {
			if err := o.d.FromDevice(t.Context(), "d1", m); err == nil {
				t.Errorf("%s %s was taken", m.Type, m.Body)
			}
		}
		for _, m := range []link.Message{{Type: "of the future"}, {Type: link.TypeGrantEnded, Body: []byte(`{"id":"g9"}`)}} {
			if err := o.d.FromDevice(t.Context(), "d1", m); err != nil {
				t.Errorf("%s: %v", m.Type, err)
			}
		}
	})
}

func FuzzFromDevice(f *testing.F) {
	s := storetest.SQLite(f)
	d := New(desk.Options{Store: s, Bus: bus.New()})
	d.Reach(&wire{})
	for _, typ := range []string{link.TypeAskState, link.TypeGrant, link.TypeGrantEnded, link.TypeSession, link.TypeChannelUp, link.TypeOfferRefused} {
		f.Add(typ, []byte(`{"session":"s1","state":"allowed","grant":{"bytes":"e30=","signature":""},"channel":"c","id":"g","seconds":-1,"since":-9223372036854775808}`))
	}
	f.Fuzz(func(t *testing.T, typ string, body []byte) {
		if err := d.FromDevice(t.Context(), "d1", link.Message{Type: typ, Body: body}); err == nil && typ == link.TypeGrant {
			t.Error("a grant of an unknown device was taken")
		}
	})
}
