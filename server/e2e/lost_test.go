package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traybell/traybell/shared/api"
)

// proxy is a TCP relay between device and server that the test can cut.
type proxy struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	to    func() string
}

func startProxy(t *testing.T, to func() string) (port string, p *proxy) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p = &proxy{conns: map[net.Conn]bool{}, to: to}
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(a)
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, p
}

func (p *proxy) pass(a net.Conn) {
	defer a.Close()
	b, err := net.Dial("tcp", p.to())
	if err != nil {
		return
	}
	defer b.Close()
	p.mu.Lock()
	if p.cut {
		p.mu.Unlock()
		return
	}
	p.conns[a], p.conns[b] = true, true
	p.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			buf := make([]byte, 16<<10)
			for {
				n, err := pair[0].Read(buf)
				if _, werr := pair[1].Write(buf[:n]); err != nil || werr != nil {
					break
				}
			}
			done <- struct{}{}
		}()
	}
	<-done
	p.mu.Lock()
	delete(p.conns, a)
	delete(p.conns, b)
	p.mu.Unlock()
}

// set cuts the network or mends it.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			c.Close()
		}
	}
}

// disk is a small file system that the test can fill up.
func disk(t *testing.T, name string, megabytes int) string {
	t.Helper()
	dir := filepath.Join(folder(t), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=755", megabytes), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// fill leaves no room on the file system of dir; the returned function makes it again.
func fill(t *testing.T, dir string) func() {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); err != nil {
			if len(block) == 1 {
				break
			}
			block = block[:max(1, len(block)/16)]
		}
	}
	f.Close()
	return func() { os.Remove(path) }
}

// filed is what the test remembers of a ticket it has filed.
type filed struct {
	ticket  map[string]any
	files   [][]byte
	answers []string // states that the form was told, in order
	number  int64
}

// TestNothingIsLost files 300 tickets, a part of them with files, while both programs are killed,
// both disks fill up and the network is cut. In the end the server holds exactly these 300,
// unchanged, and nobody was told "sent" of one that was not there.
func TestNothingIsLost(t *testing.T) {
	needRoot(t)
	need(t, "mount")
	const count = 300
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRAYBELL_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("seed: TRAYBELL_TEST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))

	serverDisk, agentDisk := disk(t, "server", 96), disk(t, "agent", 64)
	var s *site
	port, net := startProxy(t, func() string { return s.listen })
	s = serve(t, filepath.Join(serverDisk, "data"), port)
	d := enrol(t, s, filepath.Join(agentDisk, "state"))

	var mu sync.Mutex // guards records
	records := make([]*filed, count)
	for i := range records {
		r := &filed{ticket: map[string]any{
			"id":      api.NewID(time.Now()),
			"title":   fmt.Sprintf("Ticket %03d: %s", i, strings.ReplaceAll(text(rng, 20), "\n", " ")),
			"text":    text(rng, rng.IntN(3000)),
			"email":   fmt.Sprintf("employee%d@example.com", i),
			"answers": map[string]any{"working": []string{"yes", "difficult", "no"}[rng.IntN(3)], "affected": "me"},
		}}
		if rng.IntN(4) == 0 {
			for range 1 + rng.IntN(2) {
				b := make([]byte, rng.IntN(40_000))
				for j := range b {
					b[j] = byte(rng.UintN(256))
				}
				r.files = append(r.files, b)
			}
		}
		r.ticket["files"] = len(r.files)
		records[i] = r
	}

	// One goroutine brings misfortune, four file tickets and try again as a person would.
	var wg sync.WaitGroup
	next := make(chan *filed)
	for range 4 {
		wg.Go(func() {
			for r := range next {
				r.file(t, d, &mu)
			}
		})
	}
	kills, cuts := 0, 0
	trouble := rand.New(rand.NewPCG(seed, 2))
	for i, r := range records {
		next <- r
		switch {
		case i == 60 || i == 180:
			net.set(true)
			cuts++
		case i == 75 || i == 195:
			net.set(false)
		case i == 110:
			free := fill(t, serverDisk)
			t.Log("the server's disk is full")
			t.Cleanup(free)
			after(t, 2*time.Second, free)
		case i == 230:
			free := fill(t, agentDisk)
			t.Log("the device's disk is full")
			t.Cleanup(free)
			after(t, 2*time.Second, free)
		case trouble.IntN(20) == 0:
			kills++
			if trouble.IntN(2) == 0 {
				s.stop(syscall.SIGKILL)
				s.up()
			} else {
				d.stop(syscall.SIGKILL)
				d.up()
			}
		}
	}
	close(next)
	wg.Wait()
	t.Logf("%d tickets filed; %d kills, %d cuts, two full disks", count, kills, cuts)
	within(t, 2*time.Minute, "the outbox is empty", func() bool {
		st, err := d.status()
		return err == nil && st.State == "ready" && st.Kept == 0 && st.FilesPending == 0
	})
	compare(t, s, records)
}

// after runs f once d has passed, without holding up the test, and before it ends.
func after(t *testing.T, d time.Duration, f func()) {
	timer := time.AfterFunc(d, f)
	t.Cleanup(func() { timer.Stop() })
}

// file hands a ticket in until the form is told "sent" or "kept", as a person who presses Try again.
func (r *filed) file(t *testing.T, d *device, mu *sync.Mutex) {
	id := r.ticket["id"].(string)
	deadline := time.Now().Add(3 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for time.Now().Before(deadline) {
		ok := true
		for i, b := range r.files {
			err := d.local("PUT", fmt.Sprintf("/v1/tickets/%s/files/%d", id, i), bytes.NewReader(b),
				map[string]string{"Traybell-Name": fmt.Sprintf("file%d.bin", i), "Content-Type": "application/octet-stream"}, nil)
			if err != nil {
				ok, last = false, err
				r.told(mu, err)
				break
			}
		}
		if ok {
			body, _ := json.Marshal(r.ticket)
			var answer struct {
				State  string `json:"state"`
				Number int64  `json:"number"`
				Code   string `json:"code"`
				Reason string `json:"reason"`
			}
			err := d.local("POST", "/v1/tickets?wait=1s", bytes.NewReader(body), map[string]string{"Content-Type": "application/json"}, &answer)
			last = err
			r.told(mu, err)
			if err == nil {
				mu.Lock()
				r.answers = append(r.answers, answer.State)
				if answer.State == "sent" {
					r.number = answer.Number
				}
				mu.Unlock()
				switch answer.State {
				case "sent", "kept":
					return
				case "refused":
					if answer.Code != "disk_full" {
						t.Errorf("ticket %s was refused: %s %s", id, answer.Code, answer.Reason)
						return
					}
				default:
					t.Errorf("ticket %s: the form was told %q", id, answer.State)
					return
				}
			}
		}
		if refused := (apiError{}); errors.As(last, &refused) && refused.status < 500 {
			t.Errorf("ticket %s: %v", id, last)
			return
		}
		<-tick.C
	}
	t.Errorf("ticket %s could not be handed in within 3 minutes: %v", id, last)
}

// told notes that the form was told "neither sent nor kept: the disk is full".
func (r *filed) told(mu *sync.Mutex, err error) {
	if full := (apiError{}); errors.As(err, &full) && strings.Contains(full.body, `"disk_full"`) {
		mu.Lock()
		r.answers = append(r.answers, "neither")
		mu.Unlock()
	}
}

func text(rng *rand.Rand, n int) string {
	letters := []rune("abcdefghijklmnop qrstuvwxyz äöüß àèìòù абвгд 🖨️ \n")
	var b strings.Builder
	for range n {
		b.WriteRune(letters[rng.IntN(len(letters))])
	}
	return strings.TrimSpace(b.String())
}

// compare checks that the server holds exactly the tickets of records.
func compare(t *testing.T, s *site, records []*filed) {
	t.Helper()
	token := administrator(t, s)
	type ticket struct {
		ID     string `json:"id"`
		Number int64  `json:"number"`
		Title  string `json:"title"`
	}
	got := map[string]ticket{}
	numbers := map[int64]bool{}
	cursor := ""
	for {
		var page struct {
			Tickets []ticket `json:"tickets"`
			Next    string   `json:"next"`
		}
		if err := s.api(token, "GET", "/api/v1/tickets?limit=100&cursor="+cursor, nil, &page); err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Tickets {
			if _, dup := got[k.ID]; dup || numbers[k.Number] {
				t.Errorf("ticket %s (#%d) stands twice", k.ID, k.Number)
			}
			got[k.ID], numbers[k.Number] = k, true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(got) != len(records) {
		t.Errorf("the server holds %d tickets, want exactly %d", len(got), len(records))
	}
	sent, kept, refused, files := 0, 0, 0, 0
	for _, r := range records {
		id := r.ticket["id"].(string)
		for _, a := range r.answers {
			switch a {
			case "sent":
				sent++
			case "kept":
				kept++
			case "neither", "refused":
				refused++
			}
		}
		k, ok := got[id]
		if !ok {
			t.Errorf("ticket %s is lost; the form was told %v", id, r.answers)
			continue
		}
		if r.number != 0 && r.number != k.Number {
			t.Errorf("ticket %s: the form was told #%d, the server has #%d", id, r.number, k.Number)
		}
		var full struct {
			Title string `json:"title"`
			Text  string `json:"text"`
			Email string `json:"email"`
			Files []struct {
				Index  int    `json:"index"`
				Size   int64  `json:"size"`
				SHA256 string `json:"sha256"`
			} `json:"files"`
		}
		if err := s.api(token, "GET", "/api/v1/tickets/"+id, nil, &full); err != nil {
			t.Fatal(err)
		}
		if full.Title != r.ticket["title"] || full.Text != r.ticket["text"] || full.Email != r.ticket["email"] {
			t.Errorf("ticket %s has changed: %q, %d bytes of text, %s", id, full.Title, len(full.Text), full.Email)
		}
		if len(full.Files) != len(r.files) {
			t.Errorf("ticket %s has %d files, want %d", id, len(full.Files), len(r.files))
			continue
		}
		for _, f := range full.Files {
			files++
			want := sha256.Sum256(r.files[f.Index])
			if f.SHA256 != fmt.Sprintf("%x", want) || f.Size != int64(len(r.files[f.Index])) {
				t.Errorf("ticket %s: file %d has changed", id, f.Index)
			}
		}
	}
	t.Logf("told: sent %d, kept %d, neither %d; %d files unchanged", sent, kept, refused, files)
	if sent == 0 || kept == 0 || refused == 0 {
		t.Error("the test has not seen all three truths: sent, kept, neither")
	}
}

// administrator makes the first administrator and a token for it, by the commands of the contract.
func administrator(t *testing.T, s *site) string {
	t.Helper()
	call(t, program(t, "traybell-server"), []string{"invite", "--data", s.data, "--role", "administrator", "--email", "ada@example.com"})
	return strings.TrimSpace(call(t, program(t, "traybell-server"), []string{"token", "--data", s.data, "--account", "ada@example.com"}))
}
