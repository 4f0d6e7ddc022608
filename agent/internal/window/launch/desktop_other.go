//go:build !linux

package launch

// HasBus reports whether the session can have a tray.
func HasBus() bool { return true }

// ScreenReader reports whether the desktop says that a screen reader runs: not known on this system
// yet. TRAYBELL_UI=browser opens the pages always.
func ScreenReader() bool { return false }

// Call dials a telephone number with the desktop's program for it; false: there is none.
func Call(phone string) bool { return detach(opener(tel(phone))) == nil }
