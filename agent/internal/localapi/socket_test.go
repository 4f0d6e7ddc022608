package localapi

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestDialSaysThatNobodyAnswers(t *testing.T) {
	if _, err := Dial(filepath.Join(t.TempDir(), "agent.sock")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want %v", err, ErrNotRunning)
	}
}

func TestKernelTellsThePeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s", "agent.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(path); err == nil {
		t.Error("a second service listens on the same socket")
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("{}")) }))
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Status(context.Background()); err != nil {
		t.Fatal(err)
	}
	conn, err := dialSocket(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := PeerOf(conn)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.PID, os.Getpid(); got != want || !p.Self {
		t.Errorf("got %+v, want process %d and ourselves", p, want)
	}
}
