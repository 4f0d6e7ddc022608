package launch

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"
)

// Scheme is light or dark as the desktop asks for (XDG portal, org.freedesktop.appearance). A
// desktop that does not say gets light.
func Scheme() string {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	conn, err := Bus(ctx)
	if err != nil {
		return "light"
	}
	defer conn.Close()
	var v dbus.Variant
	o := conn.Object("org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop")
	if err := o.CallWithContext(ctx, "org.freedesktop.portal.Settings.Read", 0, "org.freedesktop.appearance", "color-scheme").Store(&v); err != nil {
		return "light"
	}
	for {
		inner, ok := v.Value().(dbus.Variant)
		if !ok {
			break
		}
		v = inner
	}
	if n, ok := v.Value().(uint32); ok && n == 1 {
		return "dark"
	}
	return "light"
}
