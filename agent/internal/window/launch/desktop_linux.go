package launch

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// HasBus reports whether the session has a bus, and with it possibly a tray.
func HasBus() bool {
	conn, err := Bus(context.Background())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// ScreenReader reports whether the desktop says that a screen reader runs. Our windows tell it
// nothing; the browser pages do.
func ScreenReader() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	conn, err := Bus(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	var v dbus.Variant
	err = conn.Object("org.a11y.Bus", "/org/a11y/bus").CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get",
		dbus.FlagNoAutoStart, "org.a11y.Status", "ScreenReaderEnabled").Store(&v)
	on, ok := v.Value().(bool)
	return err == nil && ok && on
}

// Call dials a telephone number with the desktop's program for it; false: there is none.
func Call(phone string) bool {
	out, err := exec.Command("xdg-mime", "query", "default", "x-scheme-handler/tel").Output()
	if err != nil || strings.TrimSpace(string(out)) == "" {
		return false
	}
	return Browse(tel(phone)) == nil
}
