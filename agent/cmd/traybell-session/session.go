package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/desktop"
	"github.com/traybell/traybell/agent/internal/sign"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/agent/internal/terminal"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

// handsFor is how long after the last input the sign says that somebody controls.
const handsFor = 3 * time.Second

// session is what runs for one technician. Its fields are guarded by mu.
type session struct {
	control *spawn.Conn
	log     *slog.Logger
	start   spawn.Message
	say     *catalogue.Printer
	gate    terminal.Gate
	work    sync.WaitGroup

	mu       sync.Mutex
	sign     *sign.Sign
	signed   int              // channels that are under the sign
	desktops map[bool]*screen // by whether input is carried out
	channels map[string]context.CancelFunc
	frozen   bool
	paused   bool
}

// screen is an open desktop and how many channels show it.
type screen struct {
	d       *desktop.Desktop
	viewers int
	saw     bool // the record knows
	hands   bool
	closed  chan struct{} // when no channel shows it any more
}

// run carries out what the service says until the control socket closes or it says end.
func run(control *spawn.Conn, log *slog.Logger) error {
	defer control.Close()
	m, f, err := control.Receive()
	if f != nil {
		f.Close()
	}
	if err != nil || m.Type != spawn.Start {
		return fmt.Errorf("no start: %w", err)
	}
	s := &session{
		control: control, log: log.With("session", m.Session), start: m, say: catalogue.For(m.Language),
		desktops: map[bool]*screen{}, channels: map[string]context.CancelFunc{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer s.close()
	defer cancel()
	for {
		m, f, err := control.Receive()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		switch m.Type {
		case spawn.Open:
			if f == nil {
				s.refuse(m.Channel, "failed", errors.New("no channel came with the word open"))
				continue
			}
			cctx, stop := context.WithCancel(ctx)
			s.mu.Lock()
			s.channels[m.Channel] = stop
			s.mu.Unlock()
			s.work.Go(func() {
				defer stop()
				s.open(cctx, m, f)
			})
		case spawn.Shut:
			s.mu.Lock()
			stop := s.channels[m.Channel]
			s.mu.Unlock()
			if stop != nil {
				stop()
			}
		case spawn.Freeze:
			s.hold(&s.frozen, m.On)
		case spawn.Pause:
			s.hold(&s.paused, m.On)
		case spawn.End:
			return nil
		}
		if f != nil && m.Type != spawn.Open {
			f.Close()
		}
	}
}

// close ends every channel and takes the sign away.
func (s *session) close() {
	s.mu.Lock()
	for _, d := range s.desktops {
		d.d.Close()
	}
	for _, stop := range s.channels {
		stop()
	}
	s.mu.Unlock()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sign != nil {
		s.sign.Close()
	}
}

// tell sends the service a message. An error means that the service is gone; run notices by itself.
func (s *session) tell(m spawn.Message) { s.control.Send(m, nil) }

func (s *session) refuse(channel, code string, err error) {
	s.log.Warn("channel not opened", "code", code, "err", err)
	s.tell(spawn.Message{Type: spawn.Refused, Channel: channel, Code: code, Text: err.Error()})
}

// hold freezes, pauses or lets go on.
func (s *session) hold(which *bool, on bool) {
	s.mu.Lock()
	*which = on
	frozen, paused := s.frozen, s.paused
	for _, d := range s.desktops {
		d.d.Freeze(frozen)
		d.d.Pause(paused)
	}
	if s.sign != nil {
		s.sign.Paused(paused)
	}
	s.mu.Unlock()
	s.gate.Hold(frozen || paused)
}

// open serves one channel until it ends.
func (s *session) open(ctx context.Context, m spawn.Message, f *os.File) {
	conn, err := net.FileConn(f)
	f.Close()
	defer func() {
		s.mu.Lock()
		delete(s.channels, m.Channel)
		s.mu.Unlock()
	}()
	if err != nil {
		s.refuse(m.Channel, "failed", err)
		return
	}
	defer conn.Close()
	switch m.Kind {
	case grant.KindDesktop:
		err = s.desktop(ctx, m, conn)
	case grant.KindTerminal:
		err = s.terminal(ctx, m, conn)
	default:
		s.refuse(m.Channel, "not_available", errors.New("channels of this kind are not available yet"))
		return
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, desktop.ErrClosed) {
		s.log.Warn("channel ended", "kind", m.Kind, "err", err)
	}
	s.tell(spawn.Message{Type: spawn.Closed, Channel: m.Channel})
}

// desktop shows the screen to one viewer.
func (s *session) desktop(ctx context.Context, m spawn.Message, conn net.Conn) error {
	if s.start.Display == "" {
		s.refuse(m.Channel, "no_desktop", errors.New("this person has no desktop that can be shown now"))
		return nil
	}
	if err := s.showSign(); err != nil {
		s.refuse(m.Channel, "no_sign", err)
		return nil
	}
	defer s.dropSign()
	d, err := s.screen(m.Control)
	if err != nil {
		s.refuse(m.Channel, "no_desktop", err)
		return nil
	}
	defer s.leaveScreen(m.Control)
	s.tell(spawn.Message{Type: spawn.Opened, Channel: m.Channel})
	return d.Serve(ctx, conn)
}

// screen opens the desktop, once for looking and once for helping.
func (s *session) screen(control bool) (*desktop.Desktop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.desktops[control]; d != nil {
		d.viewers++
		return d.d, nil
	}
	d, err := desktop.Open(desktop.Options{
		Display: s.start.Display, XAuthority: s.start.XAuthority, ViewOnly: !control,
		Name: s.start.User, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	if s.sign != nil {
		d.Guard(s.sign.Rect)
		d.Quiet(s.sign.Clock)
	}
	d.Freeze(s.frozen)
	d.Pause(s.paused)
	sc := &screen{d: d, viewers: 1, closed: make(chan struct{})}
	s.desktops[control] = sc
	s.work.Go(func() { s.watch(sc, control) })
	return d, nil
}

func (s *session) leaveScreen(control bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sc := s.desktops[control]
	if sc == nil {
		return
	}
	if sc.viewers--; sc.viewers == 0 {
		delete(s.desktops, control)
		sc.d.Close()
		close(sc.closed)
	}
}

// watch tells sign and service what a desktop is used for, while it is open.
func (s *session) watch(sc *screen, control bool) {
	over := time.NewTimer(time.Hour)
	defer over.Stop()
	shown, open := false, true
	for open {
		select {
		case <-sc.d.Use():
		case <-over.C:
		case <-sc.closed:
			open = false
		}
		s.mu.Lock()
		sg := s.sign
		s.mu.Unlock()
		seen, hands := sc.d.Used()
		if !seen.IsZero() && !sc.saw {
			sc.saw = true
			s.tell(spawn.Message{Type: spawn.Used, What: "saw"})
		}
		if !hands.IsZero() && !sc.hands {
			sc.hands = true
			s.tell(spawn.Message{Type: spawn.Used, What: "controlled"})
		}
		using := open && time.Since(hands) < handsFor
		if control && using != shown && sg != nil {
			shown = using
			sg.Controlling(using)
		}
		if using {
			over.Reset(time.Until(hands.Add(handsFor)) + time.Millisecond)
		}
	}
}

// terminal runs a login shell. Where a desktop exists, the sign tells of it as well; where the sign
// can't be shown, commands still run: nothing of the screen is seen.
func (s *session) terminal(ctx context.Context, m spawn.Message, conn net.Conn) error {
	if s.start.Display != "" {
		if err := s.showSign(); err != nil {
			s.log.Warn("no sign for a terminal", "err", err)
		} else {
			defer s.dropSign()
		}
	}
	s.tell(spawn.Message{Type: spawn.Opened, Channel: m.Channel})
	return terminal.Serve(ctx, conn, terminal.Options{
		Shell: s.start.Shell, Home: s.start.Home, Env: os.Environ(), Gate: &s.gate,
		Used: func() { s.tell(spawn.Message{Type: spawn.Used, What: "terminal"}) },
	})
}
