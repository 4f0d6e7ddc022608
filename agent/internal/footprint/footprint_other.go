//go:build !linux

package footprint

import "runtime/debug"

// Shrink lets go of memory that only starting needed.
func Shrink() { debug.FreeOSMemory() }
