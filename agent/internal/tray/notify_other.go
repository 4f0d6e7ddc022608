//go:build !linux

package tray

import (
	"context"
	"log/slog"
)

// Notes shows no notifications on this system yet: menu and windows say the same.
type Notes struct{}

// NewNotes returns a silent notifier.
func NewNotes(_ context.Context, log *slog.Logger, _ string) *Notes {
	log.Info("notifications are not available on this system yet")
	return &Notes{}
}

// Lost is never closed: the system ends the tray with its session.
func (*Notes) Lost() <-chan struct{} { return nil }

// Notify implements Notifier.
func (*Notes) Notify(string, string, string, bool, func()) {}

// Withdraw implements Notifier.
func (*Notes) Withdraw(string) {}
