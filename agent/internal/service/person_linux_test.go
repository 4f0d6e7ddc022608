package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// TestSessionCanNotActForThePerson gives a technician a terminal and lets them try, by the agent's own
// command, what only the person may do.
func TestSessionCanNotActForThePerson(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Session: "s1", Scopes: scopes()})
	r.run(false)
	ev := r.sit(localapi.Tray{Desktop: "text", Language: "en"})
	conn, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	c := newConsole(t, conn)
	agent := filepath.Join(programs, "traybell-agent")
	script := filepath.Join(r.dir, "try.sh")
	body := fmt.Sprintf(`#!/bin/sh
export LANG=C
for i in 1 2 3 4 5 6 7 8 9 10; do
  %[1]s consents --state %[2]s > %[2]s/consents.out 2>&1; echo "consents=$?" > %[2]s/result
  %[1]s allow s2 --state %[2]s > %[2]s/allow.out 2>&1; echo "allow=$?" >> %[2]s/result
  %[1]s refuse s2 --state %[2]s > %[2]s/refuse.out 2>&1; echo "refuse=$?" >> %[2]s/result
  %[1]s grants add --standing --scopes view --state %[2]s > %[2]s/add.out 2>&1; echo "add=$?" >> %[2]s/result
  %[1]s resume s1 --state %[2]s > %[2]s/resume.out 2>&1; echo "resume=$?" >> %[2]s/result
  timeout 2 %[1]s watch --state %[2]s > %[2]s/watch.out 2>&1
  echo done >> %[2]s/result
  exit
done
`, agent, r.dir)
	if err := os.WriteFile(script, []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
	// Detached and later, so that it runs while the question is open and typing is dropped.
	c.typed("(setsid sh -c 'while [ ! -e " + r.dir + "/go ]; do sleep 0.05; done; exec " + script + "' </dev/null >/dev/null 2>&1 &); echo rea''dy\n")
	c.until("ready")
	other := r.ask("s2", []grant.Scope{grant.View})
	_ = other
	waitEvent(t, ev, "consent")
	if err := os.WriteFile(filepath.Join(r.dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var result string
	r.eventually("the technician's attempts are through", func() bool {
		b, err := os.ReadFile(filepath.Join(r.dir, "result"))
		result = string(b)
		return err == nil && strings.Contains(result, "done")
	})
	for _, what := range []string{"consents", "allow", "refuse", "add", "resume", "watch"} {
		out, _ := os.ReadFile(filepath.Join(r.dir, what+".out"))
		if !strings.Contains(string(out), "remote session") {
			t.Errorf("%s: got %q, want the refusal of a remote session", what, out)
		}
		if what != "watch" && !strings.Contains(result, what+"=1") {
			t.Errorf("%s did not fail: %q", what, result)
		}
	}
	n := 0
	for _, l := range r.ledger() {
		if l.Event == ledger.Denied && l.Code == localapi.CodeFromSession {
			n++
		}
	}
	if n < 6 {
		t.Errorf("%d refusals on the ledger, want 6 at least", n)
	}
	// The twin: the question is still open, and the person's own window could answer it. In this process
	// that is tried after the technician has gone.
	conn.Close()
	if err := r.person.End(context.Background(), localapi.End{Session: "s1"}); err != nil {
		t.Fatal(err)
	}
	if err := r.allow("s2", localapi.Allow{Scopes: []grant.Scope{grant.View}, For: "session"}); err != nil {
		t.Errorf("the person's own answer: %v", err)
	}
}

// TestOtherProgramsCanNotAnswerWhileATechnicianHasHands covers what is started by injected input: it
// descends from no session, but it is no window of ours either.
func TestOtherProgramsCanNotAnswerWhileATechnicianHasHands(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Session: "s1", Scopes: scopes()})
	r.run(false)
	ev := r.sit(localapi.Tray{Desktop: "text", Language: "en"})
	conn, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	defer conn.Close()
	r.ask("s2", []grant.Scope{grant.View})
	waitEvent(t, ev, "consent")
	err := r.person.Shown(context.Background(), "s2")
	if err == nil || !strings.Contains(err.Error(), localapi.CodeFromSession) {
		t.Errorf("got %v, want %s", err, localapi.CodeFromSession)
	}
	// Ending stays as easy as ever.
	if err := r.person.End(context.Background(), localapi.End{}); err != nil {
		t.Error(err)
	}
}

func TestTypingIsDroppedWhileAQuestionIsOpen(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Session: "s1", Scopes: scopes()})
	r.run(false)
	ev := r.sit(localapi.Tray{Desktop: "text", Language: "en"})
	conn, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindTerminal))
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	c := newConsole(t, conn)
	c.typed("echo rea''dy\n")
	c.until("ready")
	r.ask("s2", []grant.Scope{grant.View})
	waitEvent(t, ev, "consent")
	// The freeze goes the way of the session's control socket; it is there when a typed command has no
	// effect any more. Try until one is dropped.
	file := filepath.Join(r.dir, "typed")
	n := 0
	r.eventually("typing is dropped", func() bool {
		n++
		c.typed(fmt.Sprintf("echo %d > %s\n", n, file))
		<-time.After(300 * time.Millisecond)
		b, _ := os.ReadFile(file)
		return strings.TrimSpace(string(b)) != fmt.Sprint(n)
	})
	if err := r.link.conn.Write(link.TypeWithdraw, link.Withdraw{Session: "s2"}); err != nil {
		t.Fatal(err)
	}
	waitEvent(t, ev, "consent_over")
	r.eventually("typing counts again", func() bool {
		n++
		c.typed(fmt.Sprintf("echo %d > %s\n", n, file))
		<-time.After(200 * time.Millisecond)
		b, _ := os.ReadFile(file)
		return strings.TrimSpace(string(b)) == fmt.Sprint(n)
	})
}

func TestWhoIsAsked(t *testing.T) {
	seat := func(id, state string) inventory.Seat {
		return inventory.Seat{UserID: id, User: "user-" + id, Desktop: "x11", Display: ":9", State: state, Since: 77}
	}
	for _, tt := range []struct {
		name  string
		seats []inventory.Seat
		user  string // asked for
		want  string // state
		as    string
	}{
		{"nobody is signed in", nil, "", link.AskNobody, ""},
		{"the one at the screen", []inventory.Seat{seat("4001", inventory.Active)}, "", "put", "user-4001"},
		{"locked", []inventory.Seat{seat("4001", inventory.Locked)}, "", link.AskLocked, "user-4001"},
		{"switched away", []inventory.Seat{seat("4001", inventory.Away)}, "", link.AskLocked, "user-4001"},
		{"the active one of two", []inventory.Seat{seat("4001", inventory.Away), seat("4002", inventory.Active)}, "", "put", "user-4002"},
		{"the one who is meant", []inventory.Seat{seat("4001", inventory.Active), seat("4002", inventory.Active)}, "user-4001", "put", "user-4001"},
		{"the one who is meant is not there", []inventory.Seat{seat("4001", inventory.Active)}, "user-4009", link.AskNobody, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.seats = func(context.Context) []inventory.Seat { return tt.seats }
			r.run(false)
			if err := r.link.conn.Write(link.TypeAsk, link.Ask{Session: "s1", Account: "anna", Name: "Anna\u202e\nBianchi", User: tt.user, Scopes: []grant.Scope{grant.View, "everything", grant.Admin}}); err != nil {
				t.Fatal(err)
			}
			if tt.want == "put" {
				r.eventually("the question waits", func() bool {
					qs, err := r.person.Consents(context.Background())
					return err == nil && len(qs) == 1
				})
				qs, err := r.person.Consents(context.Background())
				if err != nil || qs[0].Name != "Anna Bianchi" || !slices.Equal(qs[0].Scopes, []grant.Scope{grant.View}) {
					t.Errorf("got %+v, %v", qs, err)
				}
				if err := r.person.Shown(context.Background(), "s1"); err != nil {
					t.Fatal(err)
				}
				st := as[link.AskState](t, r.link.next(t, link.TypeAskState))
				if st.State != link.AskShown || st.User != tt.as || len(strings.Fields(st.Words)) != 4 || st.Seconds < 50 {
					t.Errorf("got %+v", st)
				}
				if err := r.person.Refuse(context.Background(), "s1", localapi.Refuse{Reason: "unknown_person"}); err != nil {
					t.Fatal(err)
				}
				if st := as[link.AskState](t, r.link.next(t, link.TypeAskState)); st.State != link.AskRefused || st.Reason != "unknown_person" {
					t.Errorf("got %+v", st)
				}
				if !r.recorded(ledger.Refused, "unknown_person") {
					t.Error("the no is not on the ledger")
				}
				return
			}
			st := as[link.AskState](t, r.link.next(t, link.TypeAskState))
			if st.State != tt.want || st.User != tt.as || tt.want == link.AskLocked && st.Since != 77 {
				t.Errorf("got %+v, want %s of %q", st, tt.want, tt.as)
			}
		})
	}
}

func TestStandingGrantOpensWhereNobodyIs(t *testing.T) {
	r := newRig(t)
	e := r.made(grant.Grant{Standing: true, Attended: grant.Ask, Scopes: scopes()})
	r.run(false)
	r.ask("s1", []grant.Scope{grant.View, grant.Terminal})
	st := as[link.AskState](t, r.link.next(t, link.TypeAskState))
	if st.State != link.AskOpen || st.Grant == nil || string(st.Grant.Bytes) != string(e.Signed.Bytes) {
		t.Errorf("got %+v, want %s with the standing grant", st, link.AskOpen)
	}
}

func TestFormsWordMakesTheGrantForItsTicketOnly(t *testing.T) {
	r := newRig(t)
	r.seats = func(context.Context) []inventory.Seat {
		return []inventory.Seat{{UserID: me(), User: userName(me()), Desktop: "x11", State: inventory.Active}}
	}
	r.run(false)
	f := form("Help me")
	f.Help = "2"
	if got, err := r.person.File(context.Background(), f, 5*time.Second); err != nil || got.State != localapi.FiledSent {
		t.Fatalf("got %+v, %v", got, err)
	}
	ask := func(session, ticket string, sc ...grant.Scope) {
		t.Helper()
		if err := r.link.conn.Write(link.TypeAsk, link.Ask{Session: session, Account: "anna", Name: "Anna", Ticket: ticket, Scopes: sc}); err != nil {
			t.Fatal(err)
		}
	}
	ask("s1", f.ID, grant.View, grant.Control)
	st := as[link.AskState](t, r.link.next(t, link.TypeAskState))
	if st.State != link.AskAllowed || st.Grant == nil {
		t.Fatalf("got %+v, want %s", st, link.AskAllowed)
	}
	g, err := grant.Verify(*st.Grant, r.srv.grantKey)
	if err != nil || g.Ticket != f.ID || g.How != "form" || g.Budget > 7200 || g.Budget < 7100 {
		t.Errorf("got %+v, %v", g, err)
	}
	ask("s2", f.ID, grant.View, grant.Terminal)
	r.eventually("commands are asked for", func() bool { qs, err := r.person.Consents(context.Background()); return err == nil && len(qs) == 1 })
	if err := r.person.End(context.Background(), localapi.End{}); err != nil {
		t.Fatal(err)
	}
	if err := r.link.conn.Write(link.TypeAsk, link.Ask{Session: "s3", Account: "otto", Name: "Otto", Ticket: f.ID, Scopes: []grant.Scope{grant.View}}); err != nil {
		t.Fatal(err)
	}
	r.eventually("after End now the form's word no longer holds", func() bool {
		qs, err := r.person.Consents(context.Background())
		return err == nil && len(qs) == 1 && qs[0].Session == "s3"
	})
}

// xvfb starts a virtual screen for the test.
func xvfb(t *testing.T, display string) {
	t.Helper()
	if _, err := exec.LookPath("Xvfb"); err != nil {
		t.Fatal("Xvfb is missing; tools/setup/setup test installs it")
	}
	cmd := exec.Command("Xvfb", display, "-screen", "0", "640x480x24", "-nolisten", "tcp", "-noreset")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	limit := time.After(15 * time.Second)
	for {
		if c, err := net.Dial("unix", "/tmp/.X11-unix/X"+strings.TrimPrefix(display, ":")); err == nil {
			c.Close()
			return
		}
		select {
		case <-limit:
			t.Fatal("Xvfb does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestDesktopUnderAGrant(t *testing.T) {
	xvfb(t, ":151")
	r := newRig(t)
	e := r.made(grant.Grant{Session: "s1", Scopes: []grant.Scope{grant.View}})
	r.run(false)
	o := r.offerFor(e.Grant, "s1", grant.KindDesktop)
	if os.Getenv("DISPLAY") == "" {
		if _, refused := r.srv.offer(r.link, o); refused == nil || refused.Code != codeNoDesktop {
			t.Fatalf("without a desktop: got %+v, want %s", refused, codeNoDesktop)
		}
		r.eventually("the session without a desktop can be ended", func() bool {
			return r.person.End(context.Background(), localapi.End{Session: "s1"}) == nil
		})
		r.stop()
		e = r.made(grant.Grant{Session: "s1", Scopes: []grant.Scope{grant.View}})
		r.run(false)
	}
	ev := r.sit(localapi.Tray{Display: ":151", Desktop: "x11", Language: "it"})
	waitEvent(t, ev, "status")
	o = r.offerFor(e.Grant, "s1", grant.KindDesktop)
	o.Control = true
	if _, refused := r.srv.offer(r.link, o); refused == nil || refused.Code != string(grant.Scopeless) {
		t.Errorf("control under a grant to look: got %+v, want %s", refused, grant.Scopeless)
	}
	conn, refused := r.srv.offer(r.link, r.offerFor(e.Grant, "s1", grant.KindDesktop))
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	greeting := make([]byte, 12)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "RFB 003.008\n" {
		t.Fatalf("got %q, %v, want the greeting of RFB 3.8", greeting, err)
	}
	names, err := exec.Command("xwininfo", "-display", ":151", "-root", "-tree").Output()
	if err == nil && !strings.Contains(string(names), "traybell") && !strings.Contains(strings.ToLower(string(names)), "sign") {
		t.Logf("windows on the screen:\n%s", names)
	}
	r.eventually("the tray knows that somebody sees", func() bool {
		ss, err := r.person.Sessions(context.Background())
		return err == nil && len(ss) == 1 && ss[0].Sees
	})
	if err := r.person.Pause(context.Background(), "s1"); err != nil {
		t.Fatal(err)
	}
	if ss, err := r.person.Sessions(context.Background()); err != nil || !ss[0].Paused || ss[0].Sees {
		t.Errorf("paused: %+v, %v", ss, err)
	}
	before := time.Now()
	if err := r.person.EndGrant(context.Background(), e.Grant.ID); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, conn)
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("closing took %s, want 2 s at most", took)
	}
	if !r.recorded(ledger.Paused, "") || !r.recorded(ledger.GrantEnded, grants.Revoked) {
		t.Error("pause or end is not on the ledger")
	}
}

// TestOtherUsersSeeNothing runs the real service as root and speaks to it as two unprivileged users.
func TestOtherUsersSeeNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as two users")
	}
	r := newRig(t)
	dir, err := os.MkdirTemp("", "traybell-users-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(programs, "traybell-agent")
	enrol := exec.Command(agent, "enrol", "-", "--state", dir)
	enrol.Stdin = strings.NewReader(r.srv.key().String())
	if out, err := enrol.CombinedOutput(); err != nil {
		t.Fatalf("enrol: %v: %s", err, out)
	}
	run := exec.Command(agent, "run", "--state", dir)
	run.Stderr = r.logs
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run.Process.Signal(os.Interrupt)
		run.Wait()
	})
	l := r.srv.link()
	as := func(uid int, args ...string) *exec.Cmd {
		c := exec.Command("setpriv", append([]string{"--reuid", fmt.Sprint(uid), "--regid", fmt.Sprint(uid), "--clear-groups", agent}, append(args, "--state", dir)...)...)
		c.Env = []string{"LANG=C", "PATH=" + os.Getenv("PATH")}
		return c
	}
	const lucia, carla = 64001, 64002
	watch := as(lucia, "watch")
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watch.Process.Kill(); watch.Wait() })
	other := as(carla, "watch")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	out, err := as(lucia, "ticket", "--title", "Secret of Lucia", "--email", "l@example.org", "--json").CombinedOutput()
	var filed localapi.Filed
	if err != nil || json.Unmarshal(out, &filed) != nil || filed.State != localapi.FiledSent {
		t.Fatalf("ticket: %v: %s", err, out)
	}
	if out, _ := as(carla, "tickets").CombinedOutput(); strings.Contains(string(out), "Secret") {
		t.Errorf("the other user sees %s", out)
	}
	if out, _ := as(lucia, "tickets").CombinedOutput(); !strings.Contains(string(out), "Secret") {
		t.Errorf("the user does not see their own ticket: %s", out)
	}
	r.eventually("both are there", func() bool {
		out, _ := as(lucia, "report", "--json").Output()
		return strings.Contains(string(out), `"64001"`) && strings.Contains(string(out), `"64002"`)
	})
	if err := l.conn.Write(link.TypeAsk, link.Ask{Session: "s1", Account: "anna", Name: "Anna", Ticket: filed.ID, Scopes: []grant.Scope{grant.View}}); err != nil {
		t.Fatal(err)
	}
	r.eventually("Lucia has the question", func() bool {
		out, _ := as(lucia, "consents", "--json").Output()
		return strings.Contains(string(out), `"s1"`)
	})
	if out, _ := as(carla, "consents", "--json").Output(); strings.Contains(string(out), "s1") {
		t.Errorf("the other user has the question: %s", out)
	}
	if out, err := as(carla, "allow", "s1").CombinedOutput(); err == nil {
		t.Errorf("the other user answers: %s", out)
	}
	if out, err := as(carla, "grants", "add", "--standing", "--scopes", "view").CombinedOutput(); err == nil {
		t.Errorf("a plain user makes a standing grant: %s", out)
	}
	if out, err := as(lucia, "allow", "s1").CombinedOutput(); err != nil {
		t.Errorf("allow: %v: %s", err, out)
	}
	if out, _ := as(lucia, "grants", "--json").Output(); !strings.Contains(string(out), "Anna") {
		t.Errorf("Lucia's grants: %s", out)
	}
	if out, _ := as(carla, "grants", "--json").Output(); strings.Contains(string(out), "Anna") {
		t.Errorf("the other user sees grants: %s", out)
	}
	if out, err := exec.Command(agent, "grants", "add", "--standing", "--scopes", "view,terminal", "--as", "nobody", "--state", dir, "--json").CombinedOutput(); err != nil || !strings.Contains(string(out), `"standing":true`) {
		t.Errorf("root's standing grant: %v: %s", err, out)
	}
}

// TestAnswersStandWhereTheServerAsksAgain cuts the link around answers, as a network does.
func TestAnswersStandWhereTheServerAsksAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(r *rig) error // by the person, while the link is up
		want string
	}{
		{"a yes for this session", func(r *rig) error {
			return r.allow("s1", localapi.Allow{Scopes: []grant.Scope{grant.View}, For: "session"})
		}, link.AskAllowed},
		{"a yes for the ticket", func(r *rig) error {
			return r.allow("s1", localapi.Allow{Scopes: []grant.Scope{grant.View}, For: "ticket"})
		}, link.AskAllowed},
		{"a no", func(r *rig) error {
			return r.person.Refuse(context.Background(), "s1", localapi.Refuse{Reason: "later"})
		}, link.AskRefused},
		{"a question that is still open", func(r *rig) error { return r.person.Shown(context.Background(), "s1") }, link.AskShown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.srv.welcome.Sessions = []string{"s1"}
			r.run(false)
			ev := r.sit(localapi.Tray{Desktop: "text", Language: "en"})
			waitEvent(t, ev, "status")
			r.ask("s1", []grant.Scope{grant.View})
			waitEvent(t, ev, "consent")
			if err := tt.act(r); err != nil {
				t.Fatal(err)
			}
			r.link.raw.Close()
			r.link = r.srv.link()
			r.ask("s1", []grant.Scope{grant.View})
			if st := as[link.AskState](t, r.link.next(t, link.TypeAskState)); st.State != tt.want {
				t.Errorf("got %+v, want %s", st, tt.want)
			}
			if qs, err := r.person.Consents(context.Background()); err != nil || len(qs) > 1 || tt.want != link.AskShown && len(qs) > 0 {
				t.Errorf("the person has %+v, %v", qs, err)
			}
		})
	}
}
