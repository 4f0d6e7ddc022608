package inventory

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/shirou/gopsutil/v4/host"
)

func machineID(ctx context.Context) (string, error) {
	for _, p := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		b, err := os.ReadFile(p)
		if err == nil && len(strings.TrimSpace(string(b))) >= 32 {
			return string(b), nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return host.HostIDWithContext(ctx)
}

// osName is PRETTY_NAME of os-release(5).
func osName(ctx context.Context) string {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return platformName(ctx)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "PRETTY_NAME="); ok {
			if u, err := strconv.Unquote(v); err == nil {
				return u
			}
			return v
		}
	}
	return platformName(ctx)
}

// seats asks logind; without it utmp tells who is signed in.
func seats(ctx context.Context) []Seat {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if s, err := logind(ctx); err == nil {
		return s
	}
	return utmp(ctx)
}

func logind(ctx context.Context) ([]Seat, error) {
	// A bus that is not there must not be waited for.
	if _, err := os.Stat("/run/systemd/seats"); err != nil {
		return nil, err
	}
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var list []struct {
		ID   string
		UID  uint32
		User string
		Seat string
		Path dbus.ObjectPath
	}
	err = conn.Object("org.freedesktop.login1", "/org/freedesktop/login1").
		CallWithContext(ctx, "org.freedesktop.login1.Manager.ListSessions", 0).Store(&list)
	if err != nil {
		return nil, err
	}
	var out []Seat
	for _, l := range list {
		var p map[string]dbus.Variant
		err := conn.Object("org.freedesktop.login1", l.Path).
			CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, "org.freedesktop.login1.Session").Store(&p)
		if err != nil {
			continue // it has just ended
		}
		if class, _ := p["Class"].Value().(string); class != "user" {
			continue
		}
		s := Seat{UserID: strconv.FormatUint(uint64(l.UID), 10), User: l.User, Session: l.ID, State: Text, Desktop: "none"}
		s.TTY, _ = p["TTY"].Value().(string)
		typ, _ := p["Type"].Value().(string)
		if typ == "x11" || typ == "wayland" {
			s.Desktop = typ
			s.Display, _ = p["Display"].Value().(string)
			active, _ := p["Active"].Value().(bool)
			locked, _ := p["LockedHint"].Value().(bool)
			switch {
			case !active:
				s.State = Away
			case locked:
				s.State = Locked
			default:
				s.State = Active
			}
			if us, ok := p["IdleSinceHint"].Value().(uint64); ok && s.State == Locked {
				s.Since = int64(us)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func utmp(ctx context.Context) []Seat {
	us, err := host.UsersWithContext(ctx)
	if err != nil {
		return nil
	}
	var out []Seat
	for _, u := range us {
		full, err := user.Lookup(u.User)
		if err != nil {
			continue
		}
		out = append(out, Seat{UserID: full.Uid, User: u.User, State: Text, Desktop: "none", TTY: u.Terminal, Since: int64(u.Started) * 1e6})
	}
	return out
}
