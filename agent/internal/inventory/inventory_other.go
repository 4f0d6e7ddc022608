//go:build windows || darwin

package inventory

import (
	"context"

	"github.com/shirou/gopsutil/v4/host"
)

func machineID(ctx context.Context) (string, error) { return host.HostIDWithContext(ctx) }

func osName(ctx context.Context) string { return platformName(ctx) }

// seats knows nobody: on these systems the people are those whose tray has registered.
func seats(context.Context) []Seat { return nil }
