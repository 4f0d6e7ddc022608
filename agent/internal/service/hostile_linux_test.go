package service

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// made is a grant that stands in the device's store before the service starts, made with the
// device's own key, as an act of the person would have made it.
func (r *rig) made(g grant.Grant) grants.Entry {
	r.t.Helper()
	ctx := context.Background()
	id, err := keystore.Load(r.dir, machine)
	if err != nil {
		r.t.Fatal(err)
	}
	db, err := state.Open(ctx, r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	s, err := grants.New(ctx, db, id.GrantKey, id.Device, r.clock)
	if err != nil {
		r.t.Fatal(err)
	}
	if g.As == "" {
		g.As, g.AsID = userName(me()), me()
	}
	if g.Holder == nil && !g.Standing {
		g.Holder = &grant.Holder{Account: "anna", Name: "Anna Bianchi", Organization: "Rossi IT"}
	}
	if g.Budget == 0 && !g.Standing {
		g.Budget = 3600
	}
	g.MadeBy, g.How = g.As, "command"
	e, err := s.Make(ctx, g, 1042)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// tamper changes the store as somebody with the disk in their hands would.
func (r *rig) tamper(query string, args ...any) {
	r.t.Helper()
	db, err := state.Open(context.Background(), r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query, args...); err != nil {
		r.t.Fatal(err)
	}
}

// signed is a grant by any key, with bytes that any writer might make.
func signed(t *testing.T, g grant.Grant, key ed25519.PrivateKey, change func(map[string]any)) grant.Signed {
	t.Helper()
	g.Version = 1
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
	}
	return grant.Signed{Bytes: b, Signature: ed25519.Sign(key, append([]byte("traybell-grant-1\x00"), b...))}
}

// wish is one thing that a hostile server asks for.
type wish struct {
	kind    grant.Kind
	control bool
	target  string
}

var wishes = []wish{
	{kind: grant.KindDesktop}, {kind: grant.KindDesktop, control: true}, {kind: grant.KindTerminal},
	{kind: grant.KindForward, target: "127.0.0.1:22"}, {kind: grant.KindFiles}, {kind: grant.KindSSH}, {kind: "shell"},
}

func all() []grant.Scope {
	return []grant.Scope{grant.View, grant.Control, grant.Clipboard, grant.Files, grant.Terminal, grant.Forward, grant.Admin}
}

// TestHostileServerGetsNothing plays a server with valid keys and full rights over itself. Each way of
// cheating has a twin in which the same wish, by a grant that is live, is carried out.
func TestHostileServerGetsNothing(t *testing.T) {
	_, serverKey, _ := ed25519.GenerateKey(nil)
	type attempt struct {
		grant  string // id that offers name
		change func(*link.Offer)
		codes  []string // what may come back, by the kind of wish
		sent   []any    // messages before the offers
	}
	for _, tt := range []struct {
		name string
		try  func(r *rig) attempt // before the service runs
	}{
		{"no grant", func(r *rig) attempt { return attempt{grant: api.NewID(time.Now()), codes: []string{"no_grant"}} }},
		{"a grant that the server signs itself", func(r *rig) attempt {
			g := grant.Grant{ID: api.NewID(time.Now()), Device: r.srv.device, As: "root", AsID: me(), Scopes: all(), Session: "s1", Budget: 60, MadeAt: 1,
				Holder: &grant.Holder{Account: "anna", Name: "Anna"}, MadeBy: "root", How: "window"}
			return attempt{grant: g.ID, codes: []string{"no_grant"}, sent: []any{
				link.GrantMade{Grant: signed(r.t, g, serverKey, nil)},
				link.AskState{Session: "s1", State: link.AskAllowed, Grant: ptr(signed(r.t, g, serverKey, nil))},
			}}
		}},
		{"a grant of another device", func(r *rig) attempt {
			_, other, _ := ed25519.GenerateKey(nil)
			g := grant.Grant{ID: api.NewID(time.Now()), Device: "another", As: "root", AsID: me(), Scopes: all(), Session: "s1", Budget: 60, MadeAt: 1,
				Holder: &grant.Holder{Account: "anna", Name: "Anna"}, MadeBy: "root", How: "window"}
			return attempt{grant: g.ID, codes: []string{"no_grant"}, sent: []any{link.GrantMade{Grant: signed(r.t, g, other, nil)}}}
		}},
		{"a grant of this device that its store does not have", func(r *rig) attempt {
			id, err := keystore.Load(r.dir, machine)
			if err != nil {
				r.t.Fatal(err)
			}
			g := grant.Grant{ID: api.NewID(time.Now()), Device: id.Device, As: "root", AsID: me(), Scopes: all(), Session: "s1", Budget: 60, MadeAt: 1,
				Holder: &grant.Holder{Account: "anna", Name: "Anna"}, MadeBy: "root", How: "window"}
			return attempt{grant: g.ID, codes: []string{"no_grant"}, sent: []any{link.GrantMade{Grant: signed(r.t, g, id.GrantKey, nil)}}}
		}},
		{"a live grant widened on the wire", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: []grant.Scope{grant.Clipboard}})
			wide := e.Grant
			wide.Scopes = all()
			return attempt{grant: e.Grant.ID, codes: []string{"scope_not_granted"}, sent: []any{
				link.GrantMade{Grant: grant.Signed{Bytes: signed(r.t, wide, serverKey, nil).Bytes, Signature: e.Signed.Signature}}}}
		}},
		{"a live grant with an unknown field on the wire", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: []grant.Scope{grant.Clipboard}})
			return attempt{grant: e.Grant.ID, codes: []string{"scope_not_granted"}, sent: []any{
				link.GrantMade{Grant: signed(r.t, e.Grant, serverKey, func(m map[string]any) { m["also"] = "admin" })}}}
		}},
		{"expired", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: all(), Budget: 100})
			r.tamper(`update permission set spent = 100`)
			return attempt{grant: e.Grant.ID, codes: []string{"grant_expired"}}
		}},
		{"revoked", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: all()})
			r.tamper(`update permission set ended_at = 1, reason = 'revoked'`)
			return attempt{grant: e.Grant.ID, codes: []string{"grant_revoked"}}
		}},
		{"of another session", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s0", Scopes: all()})
			return attempt{grant: e.Grant.ID, codes: []string{"grant_of_other_session"}}
		}},
		{"of another ticket", func(r *rig) attempt {
			e := r.made(grant.Grant{Ticket: "ticket-0", Scopes: all()})
			return attempt{grant: e.Grant.ID, codes: []string{"grant_of_other_ticket"}}
		}},
		{"of another technician", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: all()})
			return attempt{grant: e.Grant.ID, change: func(o *link.Offer) { o.Account = "mallory" }, codes: []string{"grant_of_other_holder"}}
		}},
		{"widened on the disk", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: []grant.Scope{grant.Clipboard}})
			wide := e.Grant
			wide.Scopes = all()
			b, _ := json.Marshal(wide)
			r.tamper(`update permission set bytes = $1`, b)
			return attempt{grant: e.Grant.ID, codes: []string{"grant_forged"}}
		}},
		{"unknown field on the disk", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: all()})
			r.tamper(`update permission set bytes = $1`, bytes.Replace(e.Signed.Bytes, []byte(`{"v":1`), []byte(`{"x":1,"v":1`), 1))
			return attempt{grant: e.Grant.ID, codes: []string{"grant_malformed"}}
		}},
		{"malformed offer", func(r *rig) attempt {
			e := r.made(grant.Grant{Session: "s1", Scopes: all()})
			return attempt{grant: e.Grant.ID, change: func(o *link.Offer) { o.Token = "a\r\nHost: evil" }, codes: []string{"grant_malformed"}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := tt.try(r)
			r.run(false)
			for _, m := range a.sent {
				typ := link.TypeGrant
				if _, ok := m.(link.AskState); ok {
					typ = link.TypeAskState
				}
				if err := r.link.conn.Write(typ, m); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for _, order := range [][]wish{wishes, reversed(wishes)} {
				for _, w := range order {
					o := r.offerFor(grant.Grant{ID: a.grant}, "s1", w.kind)
					o.Control, o.Target = w.control, w.target
					if a.change != nil {
						a.change(&o)
					}
					conn, refused := r.srv.offer(r.link, o)
					if conn != nil {
						t.Fatalf("%s was opened", w.kind)
					}
					if !slices.Contains(a.codes, refused.Code) {
						t.Errorf("%s: got %s, want one of %v", w.kind, refused.Code, a.codes)
					}
					n++
				}
			}
			r.nothingHappened(n)
		})
	}
}

func ptr[T any](v T) *T { return &v }

func reversed(w []wish) []wish {
	w = slices.Clone(w)
	slices.Reverse(w)
	return w
}

// nothingHappened checks that no process was started, no connection dialled, and that each of n offers
// stands on the ledger.
func (r *rig) nothingHappened(n int) {
	r.t.Helper()
	for _, p := range spawn.Descendants(os.Getpid()) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p))
		if strings.HasPrefix(spawn.Program, strings.TrimSpace(string(b))) && len(b) > 1 {
			r.t.Errorf("process %d was started: %s", p, b)
		}
	}
	r.srv.mu.Lock()
	if r.srv.dialled != 0 {
		r.t.Errorf("%d connections were dialled", r.srv.dialled)
	}
	r.srv.mu.Unlock()
	if ss, err := r.person.Sessions(context.Background()); err != nil || len(ss) != 0 {
		r.t.Errorf("sessions: %v, %v", ss, err)
	}
	refused := 0
	for _, e := range r.ledger() {
		switch e.Event {
		case ledger.OfferRefused:
			refused++
		case ledger.Opened, ledger.Used, ledger.Allowed:
			r.t.Errorf("the ledger has %+v", e)
		}
	}
	if refused != n {
		r.t.Errorf("%d refusals on the ledger, want %d", refused, n)
	}
}

func TestLiveGrantOfThePersonOpens(t *testing.T) {
	for _, tt := range []struct {
		name string
		g    grant.Grant
	}{
		{"for this session", grant.Grant{Session: "s1", Scopes: scopes()}},
		{"until the ticket is closed", grant.Grant{Ticket: "ticket-1", Scopes: scopes()}},
		{"standing, and nobody is there", grant.Grant{Standing: true, Attended: grant.Ask, Scopes: scopes()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e := r.made(tt.g)
			r.run(false)
			o := r.offerFor(e.Grant, "s1", grant.KindTerminal)
			conn, refused := r.srv.offer(r.link, o)
			if refused != nil {
				t.Fatalf("refused: %+v", refused)
			}
			c := newConsole(t, conn)
			c.typed("echo op''en\n")
			c.until("open")
			if _, again := r.srv.offer(r.link, o); again == nil || again.Code != string(grant.Replayed) {
				t.Errorf("the same offer again: got %+v, want %s", again, grant.Replayed)
			}
			other := r.offerFor(e.Grant, "s1", grant.KindTerminal)
			other.Token = o.Token
			if _, again := r.srv.offer(r.link, other); again == nil || again.Code != string(grant.Replayed) {
				t.Errorf("the same token again: got %+v, want %s", again, grant.Replayed)
			}
			conn.Close()
		})
	}
}

func TestRootNeedsTheScopeAdmin(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Session: "s1", As: "root", AsID: "0", Scopes: []grant.Scope{grant.View, grant.Terminal, grant.Files}})
	r.run(false)
	_, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused == nil || refused.Code != string(grant.Scopeless) {
		t.Errorf("got %+v, want %s", refused, grant.Scopeless)
	}
}

func TestStandingGrantAsksFirstWhileSomebodyIsThere(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Standing: true, Attended: grant.Ask, Scopes: scopes()})
	r.run(false)
	ev := r.sit(localapi.Tray{Desktop: "x11", Language: "en"})
	waitEvent(t, ev, "status")
	_, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused == nil || refused.Code != string(grant.AskFirst) {
		t.Errorf("got %+v, want %s", refused, grant.AskFirst)
	}
	r.ask("s2", []grant.Scope{grant.View})
	if q := waitEvent(t, ev, "consent"); !q.Consent.Standing {
		t.Error("the question does not say that a standing permission exists")
	}
}

func TestWhatHasEndedIsAppliedBeforeAnyOffer(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Ticket: "ticket-1", Scopes: scopes()})
	r.srv.welcome.Ended = []string{e.Grant.ID, "unknown"}
	r.run(false)
	_, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused == nil || refused.Code != string(grant.Revoked) {
		t.Errorf("got %+v, want %s", refused, grant.Revoked)
	}
}

func TestEndsOfTheServerCloseChannels(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(r *rig, e grants.Entry) error
		by   string
	}{
		{"the technician leaves", func(r *rig, e grants.Entry) error {
			return r.link.conn.Write(link.TypeEndSession, link.EndSession{Session: "s1", Reason: "technician"})
		}, "technician"},
		{"the ticket is closed", func(r *rig, e grants.Entry) error {
			return r.link.conn.Write(link.TypeEndGrant, link.EndGrant{ID: e.Grant.ID, Reason: "ticket_closed"})
		}, "ticket_closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			e := r.made(grant.Grant{Ticket: "ticket-1", Scopes: scopes()})
			r.run(false)
			conn, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
			if refused != nil {
				t.Fatalf("refused: %+v", refused)
			}
			c := newConsole(t, conn)
			c.typed("echo op''en\n")
			c.until("open")
			before := time.Now()
			if err := tt.end(r, e); err != nil {
				t.Fatal(err)
			}
			for {
				if _, _, err := link.ReadTerminal(conn, c.buf); err != nil {
					break
				}
			}
			if took := time.Since(before); took > 2*time.Second {
				t.Errorf("closing took %s, want 2 s at most", took)
			}
			for {
				st := as[link.SessionState](t, r.link.next(t, link.TypeSession))
				if st.State == "ended" {
					if st.Reason != tt.by {
						t.Errorf("ended by %s, want %s", st.Reason, tt.by)
					}
					break
				}
			}
		})
	}
}

func TestChannelsCloseWhenTheBudgetIsSpent(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Ticket: "ticket-1", Scopes: scopes(), Budget: 3})
	r.run(false)
	conn, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	buf := make([]byte, link.MaxTerminalFrame)
	for {
		if _, _, err := link.ReadTerminal(conn, buf); err != nil {
			break
		}
	}
	ended := as[link.GrantEnded](t, r.link.next(t, link.TypeGrantEnded))
	if ended.ID != e.Grant.ID || ended.Reason != grants.Budget {
		t.Errorf("got %+v, want the end of the budget", ended)
	}
	if over := time.UnixMicro(ended.At).Sub(time.UnixMicro(e.Grant.MadeAt)); over < 3*time.Second || over > 5*time.Second {
		t.Errorf("it ended after %s, want 3 s", over)
	}
	if _, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal)); refused == nil || refused.Code != string(grant.Expired) {
		t.Errorf("afterwards: got %+v, want %s", refused, grant.Expired)
	}
}

func TestSessionEndsWhenItsPersonSignsOut(t *testing.T) {
	d := &device{s: &Service{o: Options{Clock: grants.SystemClock()}, trays: newTrays()}, sessions: map[string]*session{}}
	now := time.Unix(1_790_000_000, 0)
	d.s.o.Clock.Now = func() time.Time { return now }
	s := &session{id: "s1", asID: "4001"}
	unattended := &session{id: "s2", asID: "4002"}
	d.sessions["s1"], d.sessions["s2"] = s, unattended
	here, nobody := []link.User{{ID: "4001"}}, []link.User{{ID: "4009"}}
	for _, step := range []struct {
		after  time.Duration
		people []link.User
		absent bool
	}{
		{0, here, false}, {time.Minute, nobody, true}, {signedOut / 2, here, false}, {time.Minute, nobody, true}, {signedOut - time.Second, nobody, true},
	} {
		now = now.Add(step.after)
		d.leavings(context.Background(), step.people)
		if got := !s.absent.IsZero(); got != step.absent {
			t.Fatalf("absent: got %v, want %v", got, step.absent)
		}
	}
	if unattended.seated || !unattended.absent.IsZero() {
		t.Error("a session that began with nobody there counts as left")
	}
}
