package launch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"
)

// The test program is the window of its own tests: what it does is told by its last argument.
func TestMain(m *testing.M) {
	switch os.Args[len(os.Args)-1] {
	case "window-shown":
		fmt.Println("shown")
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			if in.Text() == "raise" {
				os.Exit(0)
			}
		}
		os.Exit(1)
	case "window-chatty":
		fmt.Println("not yet")
		fmt.Println("shown")
		io.Copy(io.Discard, os.Stdin)
	case "window-hangs":
		io.Copy(io.Discard, os.Stdin)
	case "window-dies":
		os.Exit(3)
	case "window-leaves":
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestStart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const patience = 10 * time.Second
	p, err := Start(context.Background(), self, []string{"window-shown"}, patience)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
		t.Fatal("it ended by itself")
	default:
	}
	if err := p.Raise(); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Error("raise did not reach it")
	}

	p, err = Start(context.Background(), self, []string{"window-chatty"}, patience)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	<-p.Done()

	if _, err := Start(context.Background(), self, []string{"window-hangs"}, 300*time.Millisecond); !errors.Is(err, ErrNotShown) {
		t.Errorf("a window that hangs: %v", err)
	}
	for _, how := range []string{"window-dies", "window-leaves"} {
		if _, err := Start(context.Background(), self, []string{how}, patience); err == nil || errors.Is(err, ErrNotShown) {
			t.Errorf("%s: %v", how, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Start(ctx, self, []string{"window-hangs"}, patience); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
	if _, err := Start(context.Background(), self+".missing", nil, patience); err == nil {
		t.Error("a missing program was started")
	}
}

func TestParse(t *testing.T) {
	const id = "019a0000-0000-7000-8000-000000000001"
	for _, tt := range []struct {
		args []string
		want Window
		ok   bool
	}{
		{[]string{"form"}, Window{Kind: "form"}, true},
		{[]string{"form", "--socket", "/x"}, Window{Kind: "form", Socket: "/x"}, true},
		{[]string{"--socket=/x", "consent", id}, Window{Kind: "consent", Session: id, Socket: "/x"}, true},
		{[]string{"consent"}, Window{}, false},
		{[]string{"consent", "../../etc"}, Window{}, false},
		{[]string{"form", "extra"}, Window{}, false},
		{[]string{"--help"}, Window{}, false},
		{[]string{"nonsense"}, Window{}, false},
		{nil, Window{}, false},
	} {
		got, err := Parse(tt.args)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v", tt.args, got, err)
		}
		if tt.ok {
			if again, err := Parse(got.Args()); err != nil || again != got {
				t.Errorf("%q comes back as %+v, %v", got.Args(), again, err)
			}
		}
	}
}

func TestLanguage(t *testing.T) {
	for _, v := range []string{"LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"} {
		t.Setenv(v, "")
	}
	t.Setenv("LANG", "it_IT.UTF-8")
	if got := Language(); got != "it" {
		t.Errorf("got %s", got)
	}
	t.Setenv("LC_MESSAGES", "de_AT.UTF-8")
	if got := Language(); got != "de" {
		t.Errorf("got %s", got)
	}
	t.Setenv("LANGUAGE", "fr:ru")
	if got := Language(); got != "ru" {
		t.Errorf("got %s", got)
	}
}

func TestTel(t *testing.T) {
	if got := tel("+39 (051) 123-4567 ext"); got != "tel:+390511234567" {
		t.Errorf("got %s", got)
	}
}

func TestKindsAreThoseOfTheWindows(t *testing.T) {
	if !slices.Contains(kinds, "form") || len(kinds) != 7 {
		t.Errorf("kinds: %v", kinds)
	}
}
