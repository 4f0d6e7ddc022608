// Package service is the running device service: it wires the parts together and carries the
// decisions that need several of them, such as "this offer, by that grant, while nobody is asked".
//
// It authorises, splices and kills; it parses nothing that a technician sends and draws nothing.
// What a server sends can ask, end and offer, never grant: grants are made in api.go alone, for a
// peer of the local API whom the kernel has named. The command `traybell-agent run` is its caller.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traybell/traybell/agent/internal/grants"
	"github.com/traybell/traybell/agent/internal/inventory"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/agent/internal/state"
)

// Options of Run.
type Options struct {
	State  string // state folder
	Socket string // of the local API
	Folder string // where the session program, the tray and the windows stand
	Logger *slog.Logger
	Clock  grants.Clock // zero: the system's

	// Reaper says that this process exists for the service alone: what a session program that died
	// leaves behind becomes a child of this process, and every child that it does not know is killed.
	Reaper bool
	// Seats lists sign-ins besides registered trays; nil asks the system.
	Seats func(context.Context) []inventory.Seat
	// Machine is the hash of the machine id; empty asks the system.
	Machine string
	// Home is the home folder of session programs; empty is that of their OS user. Tests set it, because
	// the login scripts of whoever runs them may take their time or leave locks behind when killed.
	Home string
}

// Service is a running device service.
type Service struct {
	o     Options
	trays *trays
	dev   atomic.Pointer[device] // nil until the computer is enrolled

	settled func()          // the service knows whether this computer is enrolled
	known   <-chan struct{} // closed by settled; callers who come earlier wait
}

// enrolmentPoll is how often a service that is not enrolled looks whether it is now.
const enrolmentPoll = 2 * time.Second

// Run serves until ctx ends, and leaves no process behind.
func Run(ctx context.Context, o Options) error {
	if o.Clock.Now == nil {
		o.Clock = grants.SystemClock()
	}
	if o.Seats == nil {
		o.Seats = inventory.Seats
	}
	if o.Machine == "" {
		m, err := inventory.MachineID(ctx)
		if err != nil {
			return err
		}
		o.Machine = m
	}
	if err := os.MkdirAll(o.State, 0o755); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if o.Reaper {
		if err := spawn.AdoptOrphans(); err != nil {
			return fmt.Errorf("become the reaper of orphans: %w", err)
		}
	}
	l, err := localapi.Listen(o.Socket)
	if err != nil {
		return err
	}
	known := make(chan struct{})
	s := &Service{o: o, trays: newTrays(), settled: sync.OnceFunc(func() { close(known) }), known: known}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	defer work.Wait()
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    32 << 10,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	work.Go(func() {
		<-ctx.Done()
		srv.Close()
	})
	failed := make(chan error, 1)
	work.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
			cancel()
		}
	})
	o.Logger.Info("service runs", "socket", o.Socket)
	err = s.live(ctx)
	cancel()
	work.Wait()
	select {
	case ferr := <-failed:
		return fmt.Errorf("serve the local API: %w", ferr)
	default:
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// live waits for the enrolment and then is the device, until ctx ends.
func (s *Service) live(ctx context.Context) error {
	id, err := s.identity(ctx)
	if err != nil {
		return err
	}
	d, err := newDevice(ctx, s, id)
	if err != nil {
		return err
	}
	s.dev.Store(d)
	s.settled()
	s.trays.dirty()
	defer d.close()
	return d.run(ctx)
}

// identity returns who this device is, waiting for `traybell-agent enrol` if need be.
func (s *Service) identity(ctx context.Context) (keystore.Identity, error) {
	told := false
	for {
		id, err := keystore.Load(s.o.State, s.o.Machine)
		switch {
		case errors.Is(err, keystore.ErrCloned):
			s.o.Logger.Warn("state folder comes from another computer, its keys are dropped")
			if err := s.setAside(); err != nil {
				return id, err
			}
		case err != nil && !errors.Is(err, keystore.ErrNone):
			return id, err
		case err == nil && id.Enrolled:
			return id, nil
		}
		s.settled()
		if !told {
			s.o.Logger.Info("not enrolled yet, waiting for traybell-agent enrol")
			told = true
		}
		t := time.NewTimer(enrolmentPoll)
		select {
		case <-ctx.Done():
			t.Stop()
			return id, ctx.Err()
		case <-t.C:
		}
	}
}

// reap kills what session programs that died have left behind.
func (s *Service) reap() {
	if s.o.Reaper {
		spawn.ReapOrphans()
	}
}

// setAside keeps what a cloned folder holds out of the way: its tickets belong to the original,
// which still has them, and its grants to nobody.
func (s *Service) setAside() error {
	aside := filepath.Join(s.o.State, "cloned-"+s.o.Clock.Now().UTC().Format("20060102T150405"))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return fmt.Errorf("set aside a cloned state: %w", err)
	}
	for _, n := range []string{state.Name, state.Name + "-wal", state.Name + "-shm", "outbox"} {
		err := os.Rename(filepath.Join(s.o.State, n), filepath.Join(aside, n))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set aside a cloned state: %w", err)
		}
	}
	return nil
}

type peerKey struct{}

// withPeer asks the kernel once a connection who is at its other end.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	p, err := localapi.PeerOf(c)
	if err != nil {
		return ctx // handlers refuse a request without a peer
	}
	return context.WithValue(ctx, peerKey{}, p)
}
