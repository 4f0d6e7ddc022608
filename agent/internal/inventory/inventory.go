// Package inventory finds out what a device reports of itself and who is signed in at it.
//
// It hides gopsutil, logind and utmp. Everything it returns is shown to the employee as well ("What
// this computer reports"). Presence is what is now: it keeps no history. The service asks when the
// link comes up, each minute, and when a desktop comes or goes.
package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/traybell/traybell/shared/link"
	"github.com/traybell/traybell/shared/version"
)

// States of a person at the device.
const (
	Active = "active"
	Locked = "locked"
	Away   = "away" // switched to another user
	Text   = "text" // a console or a remote shell, no desktop
)

// Seat is one sign-in that the system knows of. Desktops that trays have registered are merged
// into it by People.
type Seat struct {
	UserID     string
	User       string
	Session    string // logind's id
	Display    string // X11
	XAuthority string
	Desktop    string // x11, wayland, windows, macos, none
	State      string
	Since      int64 // of State, Unix microseconds; 0 if the system does not tell it
	TTY        string
	Tray       bool // a tray of Traybell runs on it
}

// MachineID is a hash of this computer's machine id: it tells a cloned state folder from its
// original, and reveals nothing else.
func MachineID(ctx context.Context) (string, error) {
	id, err := machineID(ctx)
	if err != nil {
		return "", fmt.Errorf("read machine id: %w", err)
	}
	h := sha256.Sum256([]byte("traybell-machine-1\x00" + strings.ToLower(strings.TrimSpace(id))))
	return hex.EncodeToString(h[:]), nil
}

// Facts collects what the device reports, except Users, Can and Cannot, which change with who is
// there. What can't be read is left out. dir is a folder on the disk whose space is told.
func Facts(ctx context.Context, machine, dir string) link.Facts {
	f := link.Facts{
		OS: runtime.GOOS, OSName: osName(ctx), Arch: runtime.GOARCH, Agent: version.Version, MachineID: machine,
		CPUs: runtime.NumCPU(), Addresses: addresses(),
	}
	f.Hostname, _ = os.Hostname()
	f.OSID, f.OSVersion, f.OSBuild = osVersion(ctx)
	f.Restart = restart()
	if boot, err := host.BootTimeWithContext(ctx); err == nil && boot > 0 {
		f.BootAt = int64(boot) * 1e6
	}
	if cpus, err := cpu.InfoWithContext(ctx); err == nil && len(cpus) > 0 {
		f.CPU = strings.Join(strings.Fields(cpus[0].ModelName), " ")
	}
	f.Disks = disks(ctx)
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		f.MemoryMB = int64(m.Total >> 20)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		if d, err := disk.UsageWithContext(ctx, abs); err == nil {
			f.DiskMB, f.FreeMB = int64(d.Total>>20), int64(d.Free>>20)
		}
	}
	return f
}

func platformName(ctx context.Context) string {
	name, _, ver, err := host.PlatformInformationWithContext(ctx)
	if err != nil || name == "" {
		return runtime.GOOS
	}
	return strings.TrimSpace(name + " " + ver)
}

// maxDisks bounds what is told of a machine with many.
const maxDisks = 16

// disks lists the fixed disks, each once wherever it is mounted, the largest first.
func disks(ctx context.Context) []link.Disk {
	parts, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return nil
	}
	var out []link.Disk
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.Device] || slices.Contains([]string{"squashfs", "iso9660", "udf", "CDFS", "UDF", "devfs", "autofs"}, p.Fstype) {
			continue
		}
		u, err := disk.UsageWithContext(ctx, p.Mountpoint)
		if err != nil || u.Total < 256<<20 { // boot partitions and the like say nothing
			continue
		}
		seen[p.Device] = true
		out = append(out, link.Disk{Path: p.Mountpoint, SizeMB: int64(u.Total >> 20), FreeMB: int64(u.Free >> 20)})
	}
	slices.SortStableFunc(out, func(a, b link.Disk) int { return int(b.SizeMB - a.SizeMB) })
	return out[:min(len(out), maxDisks)]
}

// addresses lists the addresses of interfaces that are up, without loopback and link-local ones.
func addresses() []string {
	var out []string
	ifs, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		as, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range as {
			n, ok := a.(*net.IPNet)
			if ok && !n.IP.IsLinkLocalUnicast() && len(out) < 16 {
				out = append(out, n.IP.String())
			}
		}
	}
	return out
}

// Seats lists the sign-ins that the system knows of.
func Seats(ctx context.Context) []Seat { return seats(ctx) }

// Merge adds registered desktops to the system's seats. A registered desktop takes its lock state
// from the seat of the same logind session; without one, from the user's only graphical seat.
func Merge(seats, trays []Seat) []Seat {
	out := slices.Clone(seats)
	for _, t := range trays {
		t.Tray = true
		if t.State == "" {
			t.State = Active
		}
		match := -1
		graphical := 0
		for i, s := range out {
			if s.UserID != t.UserID || s.Tray {
				continue
			}
			if t.Session != "" && s.Session == t.Session {
				match, graphical = i, 1
				break
			}
			if s.Desktop != "" && s.Desktop != "none" && (s.Display == "" || t.Display == "" || s.Display == t.Display) {
				match = i
				graphical++
			}
		}
		if match >= 0 && graphical == 1 {
			s := out[match]
			t.State, t.Since, t.TTY = s.State, s.Since, s.TTY
			if t.State == Text {
				t.State = Active
			}
			if t.Session == "" {
				t.Session = s.Session
			}
			out[match] = t
			continue
		}
		out = append(out, t)
	}
	return out
}

// People folds seats into one line a person, the most present seat deciding.
func People(seats []Seat) []link.User {
	rank := map[string]int{Active: 0, Locked: 1, Away: 2, Text: 3}
	best := map[string]Seat{}
	var order []string
	for _, s := range seats {
		b, ok := best[s.UserID]
		if !ok {
			order = append(order, s.UserID)
		}
		if !ok || rank[s.State] < rank[b.State] || rank[s.State] == rank[b.State] && s.Tray && !b.Tray {
			best[s.UserID] = s
		}
	}
	slices.Sort(order)
	var out []link.User
	for _, id := range order {
		s := best[id]
		u := link.User{ID: id, Name: s.User, State: s.State, Since: s.Since, Desktop: s.Desktop}
		if u.Desktop == "" {
			u.Desktop = "none"
		}
		if full, err := user.LookupId(id); err == nil && full.Name != "" {
			u.Display, _, _ = strings.Cut(full.Name, ",")
		}
		out = append(out, u)
	}
	return out
}
