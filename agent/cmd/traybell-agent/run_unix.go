//go:build linux || darwin

package main

import (
	"context"
	"runtime"
)

// underManager runs the service in the foreground: the manager sends a signal to end it.
func underManager(ctx context.Context, run func(context.Context) error) error { return run(ctx) }

func defaultState() string {
	if runtime.GOOS == "darwin" {
		return "/Library/Application Support/Traybell"
	}
	return "/var/lib/traybell"
}
