package main

import (
	"time"

	"github.com/traybell/traybell/agent/internal/sign"
	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/shared/grant"
)

// showSign puts the sign on the screen, if it is not there. It stays until the last channel that
// showed it calls dropSign.
func (s *session) showSign() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sign != nil {
		s.signed++
		return nil
	}
	sees := "agent.sign.terminal"
	for _, sc := range s.start.Scopes {
		if sc == grant.View {
			sees = "agent.sign.sees"
		}
	}
	name := s.start.Name
	if name == "" {
		name = s.start.Organization
	}
	text := func(id string) string { return s.say.T(id, "Name", name) }
	sg, err := sign.Show(sign.Options{
		Display: s.start.Display, XAuthority: s.start.XAuthority,
		Texts: sign.Texts{
			Sees: text(sees), Controls: text("agent.sign.controls"), Paused: text("agent.sign.paused"),
			Pause: text("agent.sign.pause"), GoOn: text("agent.sign.go_on"), EndNow: text("agent.sign.end_now"),
		},
		Since:   time.UnixMicro(s.start.Since),
		OnPause: func(on bool) { s.tell(spawn.Message{Type: spawn.Pause, On: on}) },
		OnEnd:   func() { s.tell(spawn.Message{Type: spawn.End}) },
		Logger:  s.log,
	})
	if err != nil {
		return err
	}
	sg.Paused(s.paused)
	s.sign, s.signed = sg, 1
	for _, d := range s.desktops {
		d.d.Guard(sg.Rect)
		d.d.Quiet(sg.Clock)
	}
	s.work.Go(func() {
		err, lost := <-sg.Err()
		if !lost {
			return
		}
		s.log.Warn("the sign is lost", "err", err)
		s.mu.Lock()
		if s.sign == sg {
			s.sign = nil
		}
		for _, d := range s.desktops {
			d.d.Close() // no sign, no desktop channel
		}
		s.mu.Unlock()
		s.tell(spawn.Message{Type: spawn.SignLost})
	})
	return nil
}

// dropSign takes the sign away when no channel is left under it.
func (s *session) dropSign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signed--; s.signed == 0 && s.sign != nil {
		s.sign.Close()
		s.sign = nil
	}
}
