package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/traybell/traybell/agent/internal/enrol"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/service"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
)

// memory is what the service tries to stay under: a device has better uses for it.
const memory = 16 << 20

type runCmd struct {
	where
	Socket string `help:"Socket of the local API; without it STATE/agent.sock, or the installed service's." placeholder:"PATH"`
	Debug  bool   `help:"Log more."`
}

func (c *runCmd) Run(a *app) error {
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	socket := c.Socket
	if socket == "" {
		socket = localapi.Path(c.State)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	err = underManager(a.ctx, func(ctx context.Context) error {
		return service.Run(ctx, service.Options{State: c.folder(), Socket: socket, Folder: filepath.Dir(exe), Logger: log, Reaper: true})
	})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errors.New(a.say.T("agent.service.root"))
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New(a.say.T("agent.run.already", "Path", socket))
	}
	return err
}

// folder is the state folder.
func (w where) folder() string {
	if w.State == "" {
		return defaultState()
	}
	return w.State
}

type enrolCmd struct {
	where
	Key     string `arg:"" help:"The enrolment key (tb1_…), or - to read it from standard input."`
	Replace bool   `help:"Enrol anew although this computer belongs to a server already."`
}

func (c *enrolCmd) Run(a *app) error {
	text := c.Key
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(a.in, 8192))
		if err != nil {
			return fmt.Errorf("read the enrolment key: %w", err)
		}
		text = string(b)
	}
	key, err := api.ParseEnrolmentKey(strings.TrimSpace(text))
	if err != nil {
		return errors.New(a.say.T("agent.enrol.key"))
	}
	machine, err := inventory.MachineID(a.ctx)
	if err != nil {
		return err
	}
	dir := c.folder()
	id, err := enrol.Enrol(a.ctx, enrol.Options{
		State: dir, Machine: machine, Key: key, Facts: inventory.Facts(a.ctx, machine, existing(dir)), Now: time.Now(), Replace: c.Replace,
	})
	var p api.Problem
	switch {
	case errors.Is(err, enrol.ErrEnrolled):
		return errors.New(a.say.T("agent.enrol.already", "Server", id.Server.URL))
	case errors.Is(err, fs.ErrPermission):
		return errors.New(a.say.T("agent.service.root"))
	case state.Full(err):
		return errors.New(a.say.T("agent.error.disk_full"))
	case errors.As(err, &p):
		return errors.New(a.say.T("agent.enrol.refused", "Reason", p.Error()))
	case errors.Is(err, keystore.ErrCloned):
		return errors.New(a.say.T("agent.enrol.cloned"))
	case err != nil:
		return errors.New(a.say.T("agent.enrol.unreachable", "Server", key.URL, "Reason", err.Error()))
	}
	a.print("agent.enrol.done", "Name", id.Name, "Organization", id.Organization)
	return nil
}

// existing is the nearest folder above p that exists.
func existing(p string) string {
	for {
		if _, err := os.Stat(p); err == nil {
			return p
		}
		up := filepath.Dir(p)
		if up == p {
			return p
		}
		p = up
	}
}
