package api_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/api"
	"github.com/traybell/traybell/server/internal/servertest"
	wire "github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// seat is a device's side: its link, answered by hand.
type seat struct {
	t    *testing.T
	d    *servertest.Device
	link *servertest.Link
}

func sit(t *testing.T, s *servertest.Server, d *servertest.Device) *seat {
	l, _ := d.Link(t, link.Proof{})
	stuck := time.AfterFunc(30*time.Second, func() { l.Close() }) // a message that never comes fails the test
	t.Cleanup(func() { stuck.Stop(); l.Close() })
	servertest.Eventually(t, "the link is up", func() bool { return s.Relay.Online(d.ID) })
	return &seat{t, d, l}
}

// next reads until a message of that type comes.
func (s *seat) next(typ string, v any) {
	s.t.Helper()
	for {
		m, err := s.link.Read()
		if err != nil {
			s.t.Fatalf("wait for %s: %v", typ, err)
		}
		if m.Type == typ {
			if err := m.Decode(v); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
}

func (s *seat) say(typ string, body any) {
	s.t.Helper()
	if err := s.link.Write(typ, body); err != nil {
		s.t.Fatal(err)
	}
}

// allow answers a question with yes.
func (s *seat) allow(q link.Ask, scopes ...grant.Scope) {
	s.t.Helper()
	g, err := grant.Sign(grant.Grant{
		ID: wire.NewID(time.Now()), Device: s.d.ID, As: "lucia", AsID: "1000", Scopes: scopes, Holder: &grant.Holder{Account: q.Account, Name: q.Name, Organization: q.Organization},
		Session: q.Session, MadeAt: time.Now().UnixMicro(), Budget: 3600, MadeBy: "lucia", How: "window",
	}, s.d.GrantKey)
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(link.TypeAskState, link.AskState{Session: q.Session, State: link.AskAllowed, User: "lucia", Grant: &g})
}

// dial opens a channel of a session as the command line does.
func dial(t *testing.T, s *servertest.Server, token, path string) (net.Conn, error) {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", "127.0.0.1:"+u.Port(), &tls.Config{RootCAs: s.Roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return link.RequestUpgrade(c, u.Host, path, http.Header{"Authorization": {"Bearer " + token}})
}

func wantProblem(t *testing.T, err error, status int, code string) {
	t.Helper()
	u, ok := errors.AsType[*link.UpgradeError](err)
	if !ok {
		t.Errorf("got %v, want %d %s", err, status, code)
		return
	}
	var p wire.Problem
	if json.Unmarshal(u.Body, &p); u.Status != status || p.Code != code || u.Type != "application/problem+json" || p.Detail == "" {
		t.Errorf("got %d %s %s, want %d %s", u.Status, u.Type, u.Body, status, code)
	}
}

func state(t *testing.T, p *servertest.Person, id string, want access.State) (se api.Session) {
	t.Helper()
	servertest.Eventually(t, "the session is "+string(want), func() bool {
		se = api.Session{}
		if status, problem := p.Call(t, http.MethodGet, "/api/v1/sessions/"+id, nil, &se); status != http.StatusOK {
			t.Fatalf("%d %v", status, problem)
		}
		return se.State == want
	})
	return se
}

func TestSessionFromTheQuestionToTheEnd(t *testing.T) {
	s := servertest.Start(t)
	s.Administrator(t)
	anna := s.Person(t, account.Technician, "anna@example.com", "")
	d := s.Enrol(t, "PC-114", "Studio Verdi")
	filed := d.File(t, "Printer prints blank pages")
	body := map[string]any{"device": d.ID, "ticket": filed.Number, "scopes": []string{"view", "terminal"}}
	body["ticket"] = filed.ID
	servertest.Eventually(t, "the first link is gone", func() bool { return !s.Relay.Online(d.ID) })
	if status, p := anna.Call(t, http.MethodPost, "/api/v1/sessions", body, nil); status != http.StatusConflict || p.Code != wire.CodeOffline {
		t.Errorf("offline: %d %v", status, p)
	}
	seat := sit(t, s, d)
	var asked api.Session
	if status, p := anna.Call(t, http.MethodPost, "/api/v1/sessions", body, &asked); status != http.StatusCreated || asked.State != access.Asking {
		t.Fatalf("ask: %d %v %+v", status, p, asked)
	}
	var q link.Ask
	seat.next(link.TypeAsk, &q)
	if q.Session != asked.ID || q.Name != "anna" || q.Organization != servertest.Provider || q.TicketTitle != "Printer prints blank pages" || q.User != "lucia" {
		t.Errorf("the person reads %+v", q)
	}
	path := "/api/v1/sessions/" + asked.ID + "/channels/"
	_, err := dial(t, s, anna.Token, path+"desktop")
	wantProblem(t, err, http.StatusConflict, "not_allowed_yet")

	seat.say(link.TypeAskState, link.AskState{Session: q.Session, State: link.AskShown, User: "lucia", Seconds: 60, Words: "OLIVE TRAIN SILVER MOON"})
	servertest.Eventually(t, "the words are told", func() bool { return state(t, anna, asked.ID, access.Asking).Words == "OLIVE TRAIN SILVER MOON" })
	seat.allow(q, grant.View, grant.Terminal)
	open := state(t, anna, asked.ID, access.Allowed)
	if open.Until < time.Now().UnixMicro() || !slices.Equal(open.Granted, []grant.Scope{grant.View, grant.Terminal}) || open.User != "lucia" {
		t.Errorf("%+v", open)
	}

	// what was not allowed, and who was not allowed
	_, err = dial(t, s, anna.Token, path+"desktop?control=1")
	wantProblem(t, err, http.StatusForbidden, "scope_not_granted")
	_, err = dial(t, s, anna.Token, path+"files")
	wantProblem(t, err, http.StatusForbidden, "scope_not_granted")
	_, err = dial(t, s, "tb_wrong", path+"desktop")
	wantProblem(t, err, http.StatusUnauthorized, wire.CodeUnauthorized)
	bert := s.Person(t, account.Technician, "bert@example.com", "")
	_, err = dial(t, s, bert.Token, path+"desktop")
	wantProblem(t, err, http.StatusForbidden, "session_not_yours")
	lucia := s.Person(t, account.Requester, "lucia@studioverdi.it", "Studio Verdi")
	_, err = dial(t, s, lucia.Token, path+"desktop")
	wantProblem(t, err, http.StatusNotFound, wire.CodeNotFound)
	if status, _ := lucia.Call(t, http.MethodGet, "/api/v1/sessions", nil, nil); status != http.StatusForbidden {
		t.Errorf("a requester lists sessions: %d", status)
	}

	// the device refuses
	type result struct {
		conn net.Conn
		err  error
	}
	open2 := make(chan result, 1)
	go func() {
		c, err := dial(t, s, anna.Token, path+"desktop")
		open2 <- result{c, err}
	}()
	var o link.Offer
	seat.next(link.TypeOffer, &o)
	seat.say(link.TypeOfferRefused, link.OfferRefused{Channel: o.Channel, Code: "no_sign", Text: "no sign"})
	wantProblem(t, (<-open2).err, http.StatusConflict, "no_sign")

	// and opens
	go func() {
		c, err := dial(t, s, anna.Token, path+"terminal")
		open2 <- result{c, err}
	}()
	seat.next(link.TypeOffer, &o)
	if o.Kind != grant.KindTerminal || o.Account != string(anna.Account.ID) || o.Session != asked.ID || o.Ticket != filed.ID || o.Control {
		t.Errorf("offer %+v", o)
	}
	far := d.Upgrade(t, link.ChannelPath, link.ChannelScheme+" "+o.Token)
	far.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { far.Close() })
	seat.say(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
	near := <-open2
	if near.err != nil {
		t.Fatal(near.err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() { near.conn.Write(big) }()
	got := make([]byte, len(big))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, big) {
		t.Errorf("up: %v", err)
	}
	go func() { far.Write([]byte("$ ")) }()
	if _, err := io.ReadFull(near.conn, got[:2]); err != nil || string(got[:2]) != "$ " {
		t.Errorf("down: %q %v", got[:2], err)
	}
	if used := state(t, anna, asked.ID, access.Active).Used; !slices.Equal(used, []string{"terminal"}) {
		t.Errorf("used %v", used)
	}
	var grants struct{ Grants []api.Grant }
	if status, p := anna.Call(t, http.MethodGet, "/api/v1/grants?device="+d.ID, nil, &grants); status != http.StatusOK || len(grants.Grants) != 1 || grants.Grants[0].Left < 3500 || grants.Grants[0].As != "lucia" {
		t.Errorf("grants: %d %v %+v", status, p, grants)
	}

	// leaving closes it on both sides
	if status, p := anna.Call(t, http.MethodPost, "/api/v1/sessions/"+asked.ID+"/leave", map[string]string{"outcome": "later"}, nil); status != http.StatusNoContent {
		t.Errorf("leave: %d %v", status, p)
	}
	for name, c := range map[string]net.Conn{"technician": near.conn, "device": far} {
		if _, err := c.Read(got[:1]); err == nil {
			t.Errorf("the %s's end is open", name)
		}
	}
	var end link.EndSession
	seat.next(link.TypeEndSession, &end)
	if end.Session != asked.ID {
		t.Errorf("ended %+v", end)
	}
	var list struct {
		Sessions []api.Session
		Next     string
	}
	if status, _ := bert.Call(t, http.MethodGet, "/api/v1/sessions?device="+d.ID+"&ticket="+filed.ID, nil, &list); status != http.StatusOK || len(list.Sessions) != 1 || list.Sessions[0].State != access.Ended || list.Sessions[0].Outcome != "later" || list.Next != "" {
		t.Errorf("history: %d %+v", status, list)
	}
	_, err = dial(t, s, anna.Token, path+"desktop")
	wantProblem(t, err, http.StatusConflict, "session_over")
}

func TestClosingATicketClosesItsChannels(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	d := s.Enrol(t, "PC-114", "Studio Verdi")
	filed := d.File(t, "Printer")
	seat := sit(t, s, d)
	var asked api.Session
	if status, p := admin.Call(t, http.MethodPost, "/api/v1/sessions", map[string]any{"device": d.ID, "ticket": filed.ID}, &asked); status != http.StatusCreated {
		t.Fatal(status, p)
	}
	var q link.Ask
	seat.next(link.TypeAsk, &q)
	seat.allow(q, grant.View, grant.Control)
	state(t, admin, asked.ID, access.Allowed)
	near := make(chan net.Conn, 1)
	go func() {
		c, err := dial(t, s, admin.Token, "/api/v1/sessions/"+asked.ID+"/channels/desktop?control=1")
		if err != nil {
			t.Error(err)
		}
		near <- c
	}()
	var o link.Offer
	seat.next(link.TypeOffer, &o)
	far := d.Upgrade(t, link.ChannelPath, link.ChannelScheme+" "+o.Token)
	far.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { far.Close() })
	seat.say(link.TypeChannelUp, link.ChannelUp{Channel: o.Channel})
	c := <-near
	if err := s.Tickets.ChangeStatus(t.Context(), admin.Actor, "", "closed", ""); err == nil {
		t.Fatal("no ticket was closed")
	}
	k, err := s.Tickets.ByNumber(t.Context(), admin.Actor, filed.Number)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tickets.ChangeStatus(t.Context(), admin.Actor, k.Ticket.ID, "closed", ""); err != nil {
		t.Fatal(err)
	}
	var end link.EndSession
	seat.next(link.TypeEndSession, &end)
	if end.Session != asked.ID || end.Reason != access.ByTicketClosed {
		t.Errorf("the device was told %+v", end)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the technician's end is open")
	}
	if se := state(t, admin, asked.ID, access.Ended); se.Reason != access.ByTicketClosed {
		t.Errorf("%+v", se)
	}
}
