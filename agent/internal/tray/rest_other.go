//go:build !linux

package tray

import "runtime/debug"

// rest lets go of memory that only starting needed.
func rest() { debug.FreeOSMemory() }
