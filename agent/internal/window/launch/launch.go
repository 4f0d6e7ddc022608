// Package launch starts Traybell's windows as programs of their own and follows whether they were
// drawn. It also knows what the login session says about its user: language and browser. The tray
// and the windows call it.
package launch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// Patience is how long a window may take until it says that it is drawn. Without OpenGL the toolkit
// hangs without a window or an exit code, so that time is the only sign.
const Patience = 5 * time.Second

// Window names one window.
type Window struct {
	Kind    string
	Session string // of a consent
	Socket  string // of the service; empty: as the environment says
}

// kinds are those of package content, which this package does not import to stay small.
var kinds = []string{"form", "consent", "tickets", "access", "history", "status", "about"}

// Parse reads the arguments of traybell-window and of the tray's page command.
func Parse(args []string) (Window, error) {
	var w Window
	var rest []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--socket" && i+1 < len(args):
			i++
			w.Socket = args[i]
		case strings.HasPrefix(a, "--socket="):
			w.Socket = strings.TrimPrefix(a, "--socket=")
		case strings.HasPrefix(a, "-"):
			return w, fmt.Errorf("unknown flag %s", a)
		default:
			rest = append(rest, a)
		}
	}
	if len(rest) == 0 || !slices.Contains(kinds, rest[0]) {
		return w, fmt.Errorf("one of %s is expected", strings.Join(kinds, ", "))
	}
	w.Kind = rest[0]
	switch {
	case w.Kind == "consent" && len(rest) == 2 && api.ValidID(rest[1]):
		w.Session = rest[1]
	case w.Kind == "consent":
		return w, errors.New("consent needs the id of a session")
	case len(rest) > 1:
		return w, fmt.Errorf("unexpected argument %q", rest[1])
	}
	return w, nil
}

// Args are the arguments that Parse reads.
func (w Window) Args() []string {
	args := []string{w.Kind}
	if w.Session != "" {
		args = append(args, w.Session)
	}
	if w.Socket != "" {
		args = append(args, "--socket", w.Socket)
	}
	return args
}

// Beside is the path of a program of ours, which stands beside the running one.
func Beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// ErrNotShown says that a window was not drawn in time and its program was ended.
var ErrNotShown = errors.New("the window was not drawn in time")

// Process is a window that is on the screen.
type Process struct {
	in   io.WriteCloser
	done chan struct{}
	kill func() error
}

// Start runs program with args and waits until it prints the line "shown". A program that has not
// done so within patience is ended, and the error is ErrNotShown; one that ends before gives its
// exit as error.
func Start(ctx context.Context, program string, args []string, patience time.Duration) (*Process, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{in: in, done: make(chan struct{}), kill: cmd.Process.Kill}
	shown := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		first := true
		for lines.Scan() {
			if first && lines.Text() == "shown" {
				first = false
				close(shown)
			}
		}
		err := cmd.Wait()
		close(p.done)
		ended <- err
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-shown:
		return p, nil
	case err := <-ended:
		select {
		case <-shown:
			return p, nil
		default:
		}
		if err == nil {
			err = errors.New("the window's program ended without a window")
		}
		return nil, err
	case <-t.C:
		p.kill()
		<-p.done
		return nil, ErrNotShown
	case <-ctx.Done():
		p.kill()
		<-p.done
		return nil, ctx.Err()
	}
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Raise asks the window to come to the front.
func (p *Process) Raise() error {
	_, err := io.WriteString(p.in, "raise\n")
	return err
}

// Close ends the program.
func (p *Process) Close() { p.kill() }

// Language is the code of the language that the session asks for.
func Language() string {
	var wishes []string
	wishes = append(wishes, strings.Split(os.Getenv("LANGUAGE"), ":")...)
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if s := os.Getenv(v); s != "" {
			wishes = append(wishes, s)
			break
		}
	}
	return catalogue.Match(append(wishes, systemLanguages()...)...)
}

// Browse opens an address in the user's browser: $BROWSER if it is set, else the desktop's.
func Browse(url string) error {
	if b := os.Getenv("BROWSER"); b != "" && runtime.GOOS != "windows" {
		name, _, _ := strings.Cut(b, ":")
		words := strings.Fields(name)
		if len(words) > 0 {
			at := slices.Index(words, "%s")
			if at < 0 {
				words = append(words, url)
			} else {
				words[at] = url
			}
			return detach(exec.Command(words[0], words[1:]...))
		}
	}
	return detach(opener(url))
}

func detach(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait()
	return nil
}

// tel is the address of a telephone number (RFC 3966), without what only people need to read it.
func tel(phone string) string {
	return "tel:" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '+' {
			return r
		}
		return -1
	}, phone)
}
