package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// TestNothingIsLostWhenTheServiceIsKilled files tickets with a file each while the real service is
// killed again and again and the server cuts answers. A form that gets no answer tries again with the
// same id, as the window does.
func TestNothingIsLostWhenTheServiceIsKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := newRig(t)
	var mu sync.Mutex
	faults := true
	r.srv.fault = func(req *http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		if !faults || !strings.HasPrefix(req.URL.Path, "/api/v1/device/tickets") {
			return 0
		}
		switch rnd.IntN(6) {
		case 0:
			return -1
		case 1:
			return 503
		}
		return 0
	}
	dir := t.TempDir()
	agent := filepath.Join(programs, "traybell-agent")
	enrol := exec.Command(agent, "enrol", "-", "--state", dir)
	enrol.Stdin = strings.NewReader(r.srv.key().String())
	if out, err := enrol.CombinedOutput(); err != nil {
		t.Fatalf("enrol: %v: %s", err, out)
	}
	start := func() *exec.Cmd {
		c := exec.Command(agent, "run", "--state", dir)
		c.Stderr = r.logs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	drain := make(chan struct{})
	defer close(drain)
	go func() {
		for {
			select {
			case <-r.srv.links:
			case <-drain:
				return
			}
		}
	}()
	service := start()
	const tickets = 60
	type told struct {
		form  localapi.Ticket
		file  []byte
		state string
	}
	results := make(chan told, tickets)
	work := make(chan int, tickets)
	for i := range tickets {
		work <- i
	}
	close(work)
	var forms sync.WaitGroup
	for range 4 {
		forms.Go(func() {
			for i := range work {
				f := form(fmt.Sprintf("Ticket %d", i))
				f.Text = strings.Repeat(fmt.Sprintf("%d äöü ", i), 50)
				f.Files = 1
				b := bytes.Repeat([]byte{byte(i)}, 1000+i*997)
				st := fileUntilTold(dir, f, b)
				if st == localapi.FiledSent {
					r.srv.mu.Lock()
					_, there := r.srv.tickets[f.ID]
					r.srv.mu.Unlock()
					if !there {
						t.Errorf("%s was called sent and is not there", f.Title)
					}
				}
				results <- told{f, b, st}
			}
		})
	}
	done := make(chan struct{})
	go func() { forms.Wait(); close(done) }()
	kills := 0
loop:
	for {
		mu.Lock()
		wait := time.Duration(30+rnd.IntN(400)) * time.Millisecond
		mu.Unlock()
		select {
		case <-done:
			break loop
		case <-time.After(wait):
			service.Process.Signal(syscall.SIGKILL)
			service.Wait()
			kills++
			service = start()
		}
	}
	close(results)
	mu.Lock()
	faults = false
	mu.Unlock()
	r.eventually("everything has arrived", func() bool {
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		return len(r.srv.tickets) >= tickets && len(r.srv.files) >= tickets
	})
	service.Process.Signal(os.Interrupt)
	service.Wait()
	t.Logf("%d kills", kills)
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	if len(r.srv.tickets) != tickets || len(r.srv.order) != tickets {
		t.Errorf("%d tickets at the server, want %d", len(r.srv.order), tickets)
	}
	for x := range results {
		got := r.srv.tickets[x.form.ID]
		if got.Title != x.form.Title || got.Text != x.form.Text || len(got.Files) != 1 {
			t.Errorf("%s arrived changed", x.form.Title)
		}
		if sha256.Sum256(r.srv.files[x.form.ID+"/0"]) != sha256.Sum256(x.file) {
			t.Errorf("the file of %s arrived changed", x.form.Title)
		}
	}
	if kills < 3 {
		t.Errorf("%d kills prove little", kills)
	}
}

// fileUntilTold files a form until the service has said one of the three truths.
func fileUntilTold(dir string, f localapi.Ticket, file []byte) string {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		c, err := localapi.Dial(localapi.Path(dir))
		if err == nil {
			err = c.PutFile(ctx, f.ID, 0, "file.bin", "", bytes.NewReader(file))
			if err == nil {
				var got localapi.Filed
				if got, err = c.File(ctx, f, 50*time.Millisecond); err == nil && got.State != localapi.FiledRefused {
					c.Close()
					return got.State
				}
			}
			c.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return "never"
}

// small makes a folder on a disk of a few megabytes.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk needs root (%v); internal/outbox tests the same by a limit on file sizes", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0x2) })
	return dir
}

func TestFullDiskKeepsNothingAndSaysSo(t *testing.T) {
	r := newRig(t)
	disk := small(t, "3m")
	if b, err := os.ReadFile(filepath.Join(r.dir, "identity")); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(filepath.Join(disk, "identity"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	r.dir = disk
	r.srv.fault = func(*http.Request) int { return 503 }
	r.run(true)
	ctx := context.Background()
	if f, err := r.person.File(ctx, form("Before"), 0); err != nil || f.State != localapi.FiledKept {
		t.Fatalf("got %+v, %v, want kept", f, err)
	}
	// A file that is larger than the disk leaves nothing behind.
	big := form("Big")
	big.Files = 1
	err := r.person.PutFile(ctx, big.ID, 0, "big", "", bytes.NewReader(make([]byte, 5<<20)))
	var p api.Problem
	if !errors.As(err, &p) || p.Code != localapi.CodeDiskFull {
		t.Fatalf("got %v, want %s", err, localapi.CodeDiskFull)
	}
	if left, _ := os.ReadDir(filepath.Join(disk, "outbox")); len(left) != 0 {
		t.Errorf("%d parts are left", len(left))
	}
	// A disk without a byte left.
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 64<<10)
	for n := len(chunk); n > 0; {
		if _, err := ballast.Write(chunk[:n]); err != nil {
			n /= 2
		}
	}
	full := form("Full")
	full.Text = strings.Repeat("x", 40_000)
	got, err := r.person.File(ctx, full, 0)
	if err != nil || got.State != localapi.FiledRefused || got.Code != localapi.CodeDiskFull || !strings.Contains(got.Reason, "disk is full") {
		t.Fatalf("got %+v, %v, want refused for a full disk", got, err)
	}
	ts, err := r.person.Tickets(ctx)
	if err != nil || len(ts) != 1 {
		t.Errorf("%d tickets are listed (%v), want the one from before", len(ts), err)
	}
	// Ending access needs no disk.
	if err := r.person.End(ctx, localapi.End{}); err != nil {
		t.Errorf("end: %v", err)
	}
	ballast.Close()
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	if got, err := r.person.File(ctx, full, 0); err != nil || got.State != localapi.FiledKept {
		t.Errorf("with space again: got %+v, %v, want kept", got, err)
	}
	r.stop()
	r.srv.mu.Lock()
	r.srv.fault = nil
	r.srv.mu.Unlock()
	r.run(false)
	r.eventually("both arrive", func() bool {
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		return len(r.srv.order) == 2
	})
}

// TestKilledSessionProgramLeavesNothingToTheTechnician kills the session program from its own terminal:
// what runs there must neither live on nor become a process that is no technician's.
func TestKilledSessionProgramLeavesNothingToTheTechnician(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	agent := filepath.Join(programs, "traybell-agent")
	enrol := exec.Command(agent, "enrol", "-", "--state", dir)
	enrol.Stdin = strings.NewReader(r.srv.key().String())
	if out, err := enrol.CombinedOutput(); err != nil {
		t.Fatalf("enrol: %v: %s", err, out)
	}
	service := exec.Command(agent, "run", "--state", dir)
	service.Stderr = r.logs
	service.Env = append(os.Environ(), "DISPLAY=")
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		service.Process.Signal(os.Interrupt)
		service.Wait()
	})
	l := r.srv.link()
	out, err := exec.Command(agent, "grants", "add", "--standing", "--scopes", "terminal,admin", "--state", dir, "--json").Output()
	var g localapi.Grant
	if err != nil || json.Unmarshal(out, &g) != nil {
		t.Fatalf("add a standing grant: %v: %s", err, out)
	}
	conn, refused := r.srv.offer(l, link.Offer{Channel: "c1", Token: "t1", Session: "s1", Grant: g.ID, Account: "anna", Name: "Anna", Kind: grant.KindTerminal})
	if refused != nil {
		t.Fatalf("refused: %+v", refused)
	}
	c := newConsole(t, conn)
	c.typed("echo rea''dy\n")
	c.until("ready") // this machine's own profile runs first, for as long as it likes
	c.typed("setsid sh -c 'trap \"\" TERM HUP; echo $$ > " + dir + "/pid; sleep 1003' </dev/null >/dev/null 2>&1 & until test -s " + dir + "/pid; do sleep 0.1; done; kill -9 $PPID\n")
	var pid string
	r.eventually("the session has ended", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		pid = strings.TrimSpace(string(b))
		out, _ := exec.Command(agent, "sessions", "--state", dir, "--json").Output()
		return err == nil && pid != "" && strings.TrimSpace(string(out)) == "[]"
	})
	r.eventually("what it left behind is gone", func() bool {
		_, err := os.Stat("/proc/" + pid)
		return err != nil
	})
}
