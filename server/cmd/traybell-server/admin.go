package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
)

// command is what a sub-command does with the data: in the running server if there is one, else here.
// Its fields are its arguments; they travel as JSON.
type command interface {
	name() string
	do(ctx context.Context, in *instance) (string, error)
}

// commands makes an empty command by its name.
var commands = map[string]func() command{
	"token":         func() command { return &tokenArgs{} },
	"invite":        func() command { return &inviteArgs{} },
	"enrolment-key": func() command { return &enrolmentKeyArgs{} },
	"reset":         func() command { return &resetArgs{} },
	"import-mail":   func() command { return &importMailArgs{} },
	"verify":        func() command { return &verifyArgs{} },
	"link":          func() command { return &linkArgs{} },
}

func socketPath(data string) string { return filepath.Join(data, "admin.sock") }

// execute runs a command and returns what it prints.
func execute(ctx context.Context, data string, c command, log *slog.Logger) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(data, "keys")); err != nil {
		return "", fmt.Errorf("%s holds no server yet; start one with: traybell-server serve --data %s", data, data)
	}
	in, err := open(ctx, data, "", "", slog.New(slog.DiscardHandler))
	if errors.Is(err, errLocked) {
		return remote(ctx, data, c)
	}
	if err != nil {
		return "", err
	}
	defer in.close()
	return c.do(ctx, in)
}

// answer is what the running server says to a command.
type answer struct {
	Output string `json:"output,omitempty"`
	Error  string `json:"error,omitempty"`
}

func remote(ctx context.Context, data string, c command) (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	client := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialAdmin(ctx, socketPath(data))
	}}}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://admin/"+c.name(), bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("a server works with %s, but does not answer at its admin.sock: %w", data, err)
	}
	defer res.Body.Close()
	var a answer
	if err := json.NewDecoder(io.LimitReader(res.Body, 256<<20)).Decode(&a); err != nil {
		return "", fmt.Errorf("the running server answers %s: %w", res.Status, err)
	}
	if a.Error != "" {
		return "", errors.New(a.Error)
	}
	return a.Output, nil
}

// dialAdmin waits a little: a server that is just starting has the lock before it has the socket.
func dialAdmin(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// serveAdmin answers commands on the data folder's socket, which only the server's own OS user and
// root can open, until ctx ends.
func serveAdmin(ctx context.Context, in *instance, log *slog.Logger) (wait func(), err error) {
	path := socketPath(in.dir)
	os.Remove(path) // left behind by a crash; the folder's lock is ours
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{command}", func(w http.ResponseWriter, r *http.Request) {
		var a answer
		if err := func() error {
			make := commands[r.PathValue("command")]
			if make == nil {
				return fmt.Errorf("this server does not know the command %q; is it an older version?", r.PathValue("command"))
			}
			c := make()
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 192<<20)).Decode(c); err != nil {
				return err
			}
			var err error
			a.Output, err = c.do(r.Context(), in)
			return err
		}(); err != nil {
			a.Error = err.Error()
			var e *desk.Error
			if errors.As(err, &e) {
				a.Error = e.Text
			}
			log.Info("command refused", "err", err)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(a)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	stopped := context.AfterFunc(ctx, func() { srv.Close() })
	return func() { stopped(); srv.Close(); <-done }, nil
}
