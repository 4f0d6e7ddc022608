package spawn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/traybell/traybell/shared/grant"
)

// TestMain also plays the session program: the test binary stands under its name in a folder.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == Program {
		play()
		return
	}
	os.Exit(m.Run())
}

// play is a session program that tells who it is, starts what detaches itself, and echoes channels.
func play() {
	c, err := Inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		m, f, err := c.Receive()
		if err != nil {
			os.Exit(0)
		}
		switch m.Type {
		case Start:
			groups, _ := os.Getgroups()
			c.Send(Message{Type: Used, What: fmt.Sprintf("uid=%d gid=%d groups=%v", os.Getuid(), os.Getgid(), groups), Text: strings.Join(os.Environ(), "\n")}, nil)
			// A daemon twice forked, in a session of its own.
			exec.Command("setsid", "sh", "-c", "(setsid sleep 1000 &) ; (trap '' TERM HUP; sleep 1001 &)").Start()
			c.Send(Message{Type: Opened, Channel: "start"}, nil)
		case Open:
			go func() {
				io.Copy(f, f)
				f.Close()
			}()
			c.Send(Message{Type: Opened, Channel: m.Channel}, nil)
		case Freeze: // hang instead of ending
			select {}
		case End:
			os.Exit(0)
		}
	}
}

// folder holds the test binary under the session program's name, readable by everybody.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "traybell-spawn-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, Program), b, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

type run struct {
	p      *Process
	in     chan Message
	exited chan struct{}
}

func start(t *testing.T, uid string) *run {
	t.Helper()
	t.Setenv("SECRET_OF_THE_SERVICE", "x")
	r := &run{in: make(chan Message, 100), exited: make(chan struct{})}
	var err error
	r.p, err = New(context.Background(), Options{Folder: folder(t), UserID: uid, Start: Message{Session: "s1", Scopes: []grant.Scope{grant.View}, Display: ":7", XAuthority: "/x"},
		Logger: slog.New(slog.DiscardHandler), Message: func(m Message) { r.in <- m }, Exited: func() { close(r.exited) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.p.End(0) })
	return r
}

func (r *run) next(t *testing.T, typ string) Message {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case m := <-r.in:
			if m.Type == typ {
				return m
			}
		case <-limit:
			t.Fatalf("no %s", typ)
		}
	}
}

func TestProgramRunsAsTheUserWithNothingOfTheService(t *testing.T) {
	uid, name := strconv.Itoa(os.Geteuid()), ""
	if os.Geteuid() == 0 {
		uid, name = "65534", "nobody"
	}
	r := start(t, uid)
	m := r.next(t, Used)
	if !strings.HasPrefix(m.What, "uid="+uid+" ") || os.Geteuid() == 0 && strings.Contains(m.What+" ", " 0 ") {
		t.Errorf("got %s, want user %s without root's groups", m.What, uid)
	}
	env := strings.Split(m.Text, "\n")
	for _, want := range []string{"DISPLAY=:7", "XAUTHORITY=/x"} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing in %v", want, env)
		}
	}
	if name != "" && !slices.Contains(env, "USER="+name) {
		t.Errorf("got %v, want USER=%s", env, name)
	}
	if strings.Contains(m.Text, "SECRET") {
		t.Error("the service's environment was inherited")
	}
	f, err := r.p.Open(Message{Channel: "c1", Kind: grant.KindTerminal})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r.next(t, Opened).Channel != "c1" {
	}
	fmt.Fprintln(f, "there and back")
	if line, err := bufio.NewReader(f).ReadString('\n'); err != nil || line != "there and back\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestEndLeavesNothingBehind(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(r *run)
	}{
		{"asked to end", func(r *run) { r.p.End(time.Second) }},
		{"hanging", func(r *run) { r.p.Send(Message{Type: Freeze}); r.p.End(200 * time.Millisecond) }},
		{"stopped", func(r *run) { unix.Kill(r.p.PID(), unix.SIGSTOP); r.p.End(200 * time.Millisecond) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, strconv.Itoa(os.Geteuid()))
			var below []int
			limit := time.After(10 * time.Second)
			for sleeps := 0; sleeps < 2; {
				select {
				case <-limit:
					t.Fatal("the daemons do not start")
				case <-time.After(10 * time.Millisecond):
				}
				below, sleeps = Descendants(r.p.PID()), 0
				for _, p := range below {
					if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p)); string(b) == "sleep\n" {
						sleeps++
					}
				}
			}
			for _, p := range below {
				if in, err := DescendsFrom(p, r.p.PID()); err != nil || !in {
					t.Errorf("process %d does not descend from its session: %v", p, err)
				}
			}
			before := time.Now()
			if tt.name == "asked to end" {
				// A program that exits by itself leaves orphans to its reaper, which is us.
				if err := AdoptOrphans(); err != nil {
					t.Fatal(err)
				}
			}
			tt.end(r)
			<-r.exited
			ReapOrphans()
			if took := time.Since(before); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			for _, p := range below {
				if _, state, err := parent(p); err == nil && state != 'Z' {
					t.Errorf("process %d goes on in state %c", p, state)
				}
			}
		})
	}
}

func TestOthersDoNotDescendFromASession(t *testing.T) {
	r := start(t, strconv.Itoa(os.Geteuid()))
	for _, pid := range []int{1, os.Getpid(), os.Getppid()} {
		if in, err := DescendsFrom(pid, r.p.PID()); err != nil || in {
			t.Errorf("process %d: %v, %v", pid, in, err)
		}
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := DescendsFrom(gone.Process.Pid, r.p.PID()); err == nil {
		t.Error("a process that is gone is believed")
	}
}

func TestOnlyTheServiceStartsTheProgram(t *testing.T) {
	exe := filepath.Join(folder(t), Program)
	c := exec.Command(exe)
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "only the Traybell service") {
		t.Errorf("got %v: %s", err, out)
	}
	c = exec.Command(exe)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	c.ExtraFiles = []*os.File{r}
	if out, err := c.CombinedOutput(); err == nil {
		t.Errorf("a pipe is taken for the control socket: %s", out)
	}
	r.Close()
}

func TestPasswdLines(t *testing.T) {
	const file = "root:x:0:0:root:/root:/bin/bash\nbroken\nlucia:x:4001:4002:Lucia Rossi,,,:/home/lucia:/bin/zsh\nnoshell:x:4003:4003::/:\nbad:x:4004:x::/:/bin/sh\n"
	for _, tt := range []struct {
		uid  string
		want Account
		ok   bool
	}{
		{"4001", Account{"lucia", 4001, 4002, "/home/lucia", "/bin/zsh"}, true},
		{"4003", Account{"noshell", 4003, 4003, "/", "/bin/sh"}, true},
		{"4004", Account{}, false},
		{"4009", Account{}, false},
	} {
		got, ok := parsePasswd(strings.NewReader(file), tt.uid)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.uid, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzPasswd(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "0")
	f.Add("::::::\n", "")
	f.Fuzz(func(t *testing.T, file, uid string) {
		a, ok := parsePasswd(strings.NewReader(file), uid)
		if ok && (a.Shell == "" || strconv.FormatUint(uint64(a.UID), 10) != strings.TrimLeft(uid, "+0") && a.UID != 0) {
			t.Errorf("%q of %q gives %+v", uid, file, a)
		}
	})
}
