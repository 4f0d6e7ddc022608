//go:build windows || darwin

package service

import "runtime/debug"

// rest gives back memory that only starting or a session needed.
func rest() { debug.FreeOSMemory() }
