package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/kardianos/service"
)

// underManager answers the service control manager where it started us, and runs in the foreground
// where a person did.
func underManager(ctx context.Context, run func(context.Context) error) error {
	if service.Interactive() {
		return run(ctx)
	}
	p := &program{run: run, done: make(chan error, 1)}
	s, err := newService(p)
	if err != nil {
		return err
	}
	if err := s.Run(); err != nil {
		return err
	}
	return nil
}

type program struct {
	run    func(context.Context) error
	cancel context.CancelFunc
	done   chan error
}

// Start implements service.Interface.
func (p *program) Start(service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.done <- p.run(ctx) }()
	return nil
}

// Stop implements service.Interface.
func (p *program) Stop(service.Service) error {
	p.cancel()
	return <-p.done
}

func defaultState() string {
	dir := os.Getenv("ProgramData")
	if dir == "" {
		dir = `C:\ProgramData`
	}
	return filepath.Join(dir, "Traybell")
}
