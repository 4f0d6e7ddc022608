package launch

import (
	"context"
	"errors"
	"os"

	"github.com/godbus/dbus/v5"
)

// Bus connects to the session's bus. Without an address nothing is tried: godbus would start a bus
// of its own, which nobody else listens to and nobody ends.
func Bus(ctx context.Context) (*dbus.Conn, error) {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		run := os.Getenv("XDG_RUNTIME_DIR")
		if run == "" {
			return nil, errors.New("this session has no bus")
		}
		if _, err := os.Stat(run + "/bus"); err != nil {
			return nil, errors.New("this session has no bus")
		}
	}
	return dbus.ConnectSessionBus(dbus.WithContext(ctx))
}
