package access

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// Every state meets every event. A dash is ErrEvent, an x is ErrOver.
const table = `
            shown   nobody  locked  refused  allowed  active  paused  ended  withdraw   leave
asking      asking  nobody  locked  refused  allowed  -       -       ended  withdrawn  withdrawn
nobody      asking  nobody  locked  refused  allowed  -       -       ended  withdrawn  withdrawn
locked      asking  nobody  locked  refused  allowed  -       -       ended  withdrawn  withdrawn
allowed     -       -       -       -        allowed  active  paused  ended  ended      ended
active      -       -       -       -        active   active  paused  ended  ended      ended
paused      -       -       -       -        paused   active  paused  ended  ended      ended
ended       x       x       x       x        x        x       x       x      x          x
refused     x       x       x       x        x        x       x       x      x          x
withdrawn   x       x       x       x        x        x       x       x      x          x`

func TestEveryStateMeetsEveryEvent(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	events := strings.Fields(lines[0])
	if len(events) != len(Events) || len(lines)-1 != len(States) {
		t.Fatalf("the table has %d states and %d events, the package %d and %d", len(lines)-1, len(events), len(States), len(Events))
	}
	for i, line := range lines[1:] {
		f := strings.Fields(line)
		from := State(f[0])
		if from != States[i] {
			t.Fatalf("line %d is of %s, want %s", i, from, States[i])
		}
		for j, want := range f[1:] {
			got, err := from.Next(Event(events[j]))
			switch want {
			case "-":
				if !errors.Is(err, ErrEvent) || got != from {
					t.Errorf("%s × %s: got %s, %v; want no change and ErrEvent", from, events[j], got, err)
				}
			case "x":
				if !errors.Is(err, ErrOver) || got != from {
					t.Errorf("%s × %s: got %s, %v; want no change and ErrOver", from, events[j], got, err)
				}
			default:
				if err != nil || got != State(want) {
					t.Errorf("%s × %s: got %s, %v; want %s", from, events[j], got, err, want)
				}
			}
		}
	}
	if _, err := State("").Next(EventAllowed); err == nil {
		t.Error("a session without a state can be allowed")
	}
	if _, err := Asking.Next(""); err == nil {
		t.Error("no event is taken for one")
	}
}

func TestEachStateIsOfOneSort(t *testing.T) {
	for _, s := range States {
		n := 0
		for _, is := range []bool{s.Waiting(), s.Open(), s.Over()} {
			if is {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is of %d sorts", s, n)
		}
	}
}

func session(t *testing.T) Session {
	t.Helper()
	s, err := Ask("s1", account.Technician.Rights(), "anna", "Anna Bianchi", device.Device{ID: "d1", Name: "PC-114"}, ticket.Ticket{ID: "t1", Number: 1042, Title: "Printer"}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func given(change func(*grant.Grant)) grant.Grant {
	g := grant.Grant{
		Version: 1, ID: "g1", Device: "d1", As: "lucia", AsID: "1000", Scopes: []grant.Scope{grant.View, grant.Control},
		Holder:  &grant.Holder{Account: "anna", Name: "Anna Bianchi", Organization: "Rossi IT"},
		Session: "s1", MadeAt: now.UnixMicro(), Budget: 3600, MadeBy: "lucia", How: "window",
	}
	if change != nil {
		change(&g)
	}
	return g
}

func copied(change func(*grant.Grant)) Grant {
	return Grant{Grant: given(change), SpentAt: now}
}

func TestWhoMayAsk(t *testing.T) {
	for _, r := range account.Roles {
		_, err := Ask("s", r.Rights(), "a", "A", device.Device{}, ticket.Ticket{}, nil, now)
		if got, want := err == nil, r == account.Technician || r == account.Administrator; got != want {
			t.Errorf("%s asks: %v", r, err)
		}
	}
}

func TestAskedScopesAreKnownAndOrdered(t *testing.T) {
	for _, c := range []struct {
		name  string
		asked []grant.Scope
		want  []grant.Scope
		err   error
	}{
		{"nothing said", nil, []grant.Scope{grant.View, grant.Control}, nil},
		{"ordered once", []grant.Scope{grant.Terminal, grant.View, grant.Terminal}, []grant.Scope{grant.View, grant.Terminal}, nil},
		{"control shows what it controls", []grant.Scope{grant.Control}, []grant.Scope{grant.View, grant.Control}, nil},
		{"unknown", []grant.Scope{grant.View, "webcam"}, nil, ErrScopes},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Ask("s", account.Technician.Rights(), "a", "A", device.Device{}, ticket.Ticket{}, c.asked, now)
			if !errors.Is(err, c.err) || !slices.Equal(s.Scopes, c.want) {
				t.Errorf("got %v, %v; want %v, %v", s.Scopes, err, c.want, c.err)
			}
		})
	}
}

func TestAnswerTellsWhatTheTechnicianSees(t *testing.T) {
	s := session(t)
	s, err := s.Answer(link.AskState{State: link.AskShown, User: "lu\x1bcia\u202e", Seconds: 41, Words: "OLIVE TRAIN SILVER MOON"}, nil, now)
	if err != nil || s.User != "lucia" || s.Words != "OLIVE TRAIN SILVER MOON" || !s.Deadline.Equal(now.Add(41*time.Second)) {
		t.Errorf("shown: %+v, %v", s, err)
	}
	if _, err := s.Answer(link.AskState{State: link.AskAllowed}, nil, now); !errors.Is(err, grant.NoGrant) {
		t.Errorf("allowed without a grant: %v", err)
	}
	g := given(nil)
	allowed, err := s.Answer(link.AskState{State: link.AskAllowed}, &g, now.Add(time.Second))
	if err != nil || allowed.State != Allowed || allowed.Grant != "g1" || !allowed.Deadline.IsZero() || !allowed.AllowedAt.Equal(now.Add(time.Second)) {
		t.Errorf("allowed: %+v, %v", allowed, err)
	}
	refused, err := s.Answer(link.AskState{State: link.AskRefused, Reason: "<script>"}, nil, now)
	if err != nil || refused.State != Refused || refused.Reason != "other" || refused.EndedAt.IsZero() {
		t.Errorf("refused: %+v, %v", refused, err)
	}
	if again, err := refused.Answer(link.AskState{State: link.AskAllowed}, &g, now); !errors.Is(err, ErrOver) || again.Grant != "" {
		t.Errorf("allowed after a refusal: %v", err)
	}
	if _, err := s.Answer(link.AskState{State: "else"}, nil, now); !errors.Is(err, ErrEvent) {
		t.Errorf("unknown state: %v", err)
	}
}

func TestReportMovesAnOpenSession(t *testing.T) {
	g := given(nil)
	s, err := session(t).Answer(link.AskState{State: link.AskAllowed}, &g, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ say, want string }{{"active", "active"}, {"paused", "paused"}, {"active", "active"}, {"ended", "ended"}} {
		if s, err = s.Report(link.SessionState{State: step.say, Reason: "person"}, now); err != nil || s.State != State(step.want) {
			t.Fatalf("%s: %s, %v", step.say, s.State, err)
		}
	}
	if s.Reason != ByPerson || !s.EndedAt.Equal(now) {
		t.Errorf("ended: %+v", s)
	}
	if _, err := s.Report(link.SessionState{State: "active"}, now); !errors.Is(err, ErrOver) {
		t.Errorf("revived: %v", err)
	}
}

func TestOpenedIsKeptOnce(t *testing.T) {
	g := given(nil)
	s, _ := session(t).Answer(link.AskState{State: link.AskAllowed}, &g, now)
	s, err := s.Opened(grant.KindDesktop, true, now)
	if err != nil || s.State != Active {
		t.Errorf("%s, %v", s.State, err)
	}
	s, _ = s.Opened(grant.KindTerminal, false, now)
	s, _ = s.Opened(grant.KindDesktop, false, now)
	if want := []string{"desktop", "control", "terminal"}; !slices.Equal(s.Used, want) {
		t.Errorf("used %v, want %v", s.Used, want)
	}
}

func TestLeaveTakesTheQuestionBackOrEnds(t *testing.T) {
	s := session(t)
	if left, err := s.Leave("", now); err != nil || left.State != Withdrawn {
		t.Errorf("asking: %s, %v", left.State, err)
	}
	if _, err := s.Leave("won", now); !errors.Is(err, ErrOutcome) {
		t.Errorf("outcome: %v", err)
	}
	g := given(nil)
	s, _ = s.Answer(link.AskState{State: link.AskAllowed}, &g, now)
	if left, err := s.Leave(Solved, now); err != nil || left.State != Ended || left.Outcome != Solved || left.Reason != ByTechnician {
		t.Errorf("open: %+v, %v", left, err)
	}
}

func TestWhoMayEnd(t *testing.T) {
	s := session(t)
	for _, c := range []struct {
		by   account.ID
		role account.Role
		ok   bool
	}{{"anna", account.Technician, true}, {"bert", account.Technician, false}, {"bert", account.Administrator, true}, {"anna", account.Requester, false}} {
		if got := s.MayEnd(c.by, c.role.Rights()) == nil; got != c.ok {
			t.Errorf("%s as %s: %v", c.by, c.role, got)
		}
	}
}

func TestQuestionWithoutAnAnswerIsOver(t *testing.T) {
	s := session(t)
	if s.Unanswered(now.Add(AnswerWithin)) || !s.Unanswered(now.Add(AnswerWithin+time.Second)) {
		t.Error("the limit is not where it should be")
	}
	s.Deadline = now.Add(time.Hour)
	if s.Unanswered(now.Add(30 * time.Minute)) {
		t.Error("the device says that it is still on the screen")
	}
	g := given(nil)
	s, _ = s.Answer(link.AskState{State: link.AskAllowed}, &g, now)
	if s.Unanswered(now.Add(24 * time.Hour)) {
		t.Error("an allowed session waits for nobody")
	}
}

func TestPermitsChoosesTheGrantOrSaysWhyNot(t *testing.T) {
	g := given(nil)
	open, err := session(t).Answer(link.AskState{State: link.AskAllowed}, &g, now)
	if err != nil {
		t.Fatal(err)
	}
	byTicket := copied(func(g *grant.Grant) { g.ID, g.Session, g.Ticket = "g2", "", "t1" })
	newer := copied(func(g *grant.Grant) { g.ID, g.Session, g.Ticket, g.MadeAt = "g3", "", "t1", g.MadeAt+1 })
	standing := copied(func(g *grant.Grant) {
		g.ID, g.Session, g.Holder, g.Standing, g.Attended, g.Budget = "g4", "", nil, true, grant.Ask, 0
	})
	ended := copied(nil).End("revoked", true, now)
	spent := copied(nil)
	spent.Spent = 3600
	old := copied(nil)
	old.SpentAt = now.Add(-time.Hour)
	for _, c := range []struct {
		name    string
		session Session
		by      account.ID
		role    account.Role
		kind    grant.Kind
		control bool
		target  string
		grants  []Grant
		want    string
		err     error
	}{
		{"of the session", open, "anna", account.Technician, grant.KindDesktop, true, "", []Grant{standing, byTicket, copied(nil)}, "g1", nil},
		{"of the ticket, the newer", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{byTicket, newer, standing}, "g3", nil},
		{"standing", open, "anna", account.Administrator, grant.KindDesktop, false, "", []Grant{standing}, "g4", nil},
		{"none", open, "anna", account.Technician, grant.KindDesktop, false, "", nil, "", grant.NoGrant},
		{"revoked", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{ended}, "", grant.Revoked},
		{"a live one beside a revoked one", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{ended, byTicket}, "g2", nil},
		{"spent", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{spent}, "", grant.Expired},
		{"spent by the clock", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{old}, "", grant.Expired},
		{"scope", open, "anna", account.Technician, grant.KindTerminal, false, "", []Grant{copied(nil), spent}, "", grant.Scopeless},
		{"control not granted", open, "anna", account.Technician, grant.KindDesktop, true, "", []Grant{copied(func(g *grant.Grant) { g.Scopes = []grant.Scope{grant.View} })}, "", grant.Scopeless},
		{"target", open, "anna", account.Technician, grant.KindForward, false, "db:5432", []Grant{copied(func(g *grant.Grant) { g.Scopes = []grant.Scope{grant.Forward} })}, "", grant.OtherTarget},
		{"another's grant tells nothing", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{copied(func(g *grant.Grant) { g.Holder.Account = "bert" })}, "", grant.NoGrant},
		{"another device's", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{copied(func(g *grant.Grant) { g.Device = "d2" })}, "", grant.NoGrant},
		{"another session's", open, "anna", account.Technician, grant.KindDesktop, false, "", []Grant{copied(func(g *grant.Grant) { g.Session = "s2" })}, "", grant.OtherSession},
		{"another technician", open, "bert", account.Administrator, grant.KindDesktop, false, "", []Grant{copied(nil)}, "", ErrNotYours},
		{"no technician any more", open, "anna", account.Requester, grant.KindDesktop, false, "", []Grant{copied(nil)}, "", ErrNotYours},
		{"not answered", session(t), "anna", account.Technician, grant.KindDesktop, false, "", []Grant{copied(nil)}, "", ErrNotOpen},
		{"unknown kind", open, "anna", account.Technician, "webcam", false, "", []Grant{copied(nil)}, "", grant.Scopeless},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := c.session.Permits(c.by, c.role.Rights(), c.kind, c.control, c.target, c.grants, now)
			if !errors.Is(err, c.err) || g.ID != c.want {
				t.Errorf("got %q, %v; want %q, %v", g.ID, err, c.want, c.err)
			}
		})
	}
	for _, over := range []State{Ended, Refused, Withdrawn} {
		s := open
		s.State = over
		if _, err := s.Permits("anna", account.Technician.Rights(), grant.KindDesktop, false, "", []Grant{copied(nil)}, now); !errors.Is(err, ErrOver) {
			t.Errorf("%s: %v", over, err)
		}
	}
}

func TestBears(t *testing.T) {
	s := session(t)
	for _, c := range []struct {
		name   string
		change func(*grant.Grant)
		want   error
	}{
		{"its own", nil, nil},
		{"its ticket's", func(g *grant.Grant) { g.Session, g.Ticket = "", "t1" }, nil},
		{"standing", func(g *grant.Grant) { g.Session, g.Holder, g.Standing, g.Attended = "", nil, true, grant.Tell }, nil},
		{"another device's", func(g *grant.Grant) { g.Device = "d2" }, grant.OtherDevice},
		{"another technician's", func(g *grant.Grant) { g.Holder.Account = "bert" }, grant.OtherHolder},
		{"another session's", func(g *grant.Grant) { g.Session = "s2" }, grant.OtherSession},
		{"another ticket's", func(g *grant.Grant) { g.Session, g.Ticket = "", "t2" }, grant.OtherTicket},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.Bears(given(c.change)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestCopyVerifies(t *testing.T) {
	pub, key, _ := ed25519.GenerateKey(nil)
	other, _, _ := ed25519.GenerateKey(nil)
	signed, err := grant.Sign(given(nil), key)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Copy(signed, "d1", pub, 10, now)
	if err != nil || g.ID != "g1" || g.Spent != 10 {
		t.Errorf("got %+v, %v", g, err)
	}
	if _, err := Copy(signed, "d2", pub, 0, now); !errors.Is(err, grant.OtherDevice) {
		t.Errorf("other device: %v", err)
	}
	if _, err := Copy(signed, "d1", other, 0, now); !errors.Is(err, grant.Forged) {
		t.Errorf("other key: %v", err)
	}
	if g, _ := Copy(signed, "d1", pub, -1<<40, now); g.Spent != 0 {
		t.Errorf("a device gave %d s back", -g.Spent)
	}
}

func TestLeftFollowsTheClock(t *testing.T) {
	g := copied(nil)
	if left, _ := g.Left(now.Add(time.Minute)); left != 59*time.Minute {
		t.Errorf("left %v", left)
	}
	if left, forever := g.Left(now.Add(time.Hour)); left != 0 || forever {
		t.Errorf("left %v, %v", left, forever)
	}
	if live := g.Live(now.Add(-time.Hour)); live.Spent != 0 {
		t.Errorf("a clock that was set back gave %d s", -live.Spent)
	}
	g.Grant.Budget, g.Standing = 0, true
	if _, forever := g.Left(now); !forever {
		t.Error("a standing grant without a budget ends")
	}
	ended := g.End("revoked", false, now)
	if again := ended.End("budget", true, now.Add(time.Hour)); !again.EndedAt.Equal(now) || again.Reason != "revoked" || !again.Told {
		t.Errorf("ended again: %+v", again)
	}
}
