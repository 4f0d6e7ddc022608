package device

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/link"
)

// MaxOverview is how many devices an overview reads; beyond it says so and asks for a filter.
const MaxOverview = 20_000

// Sorts are the orders of an overview: what needs attention first, then names.
var Sorts = []string{"name", "support", "disk", "seen", "system", "agent", "organization"}

// OverviewFilter chooses among the devices that the actor may see all of. Zero fields choose all.
type OverviewFilter struct {
	Query        string
	Organization account.OrganizationID
	System       string // Item.System
	Support      device.Support
	Low          bool // a disk is nearly full
	OfflineDays  int  // not seen for so many days
	Restart      bool // a restart is due
	Sort         string
}

// Item is one device of an overview.
type Item struct {
	device.Device
	System  string // with its major version: "Debian 12", "Windows 11"
	Support device.Support
	Ends    time.Time // of support; zero: not known
	Disk    link.Disk // the fullest
	HasDisk bool
	Low     bool
}

// SystemCount is one row of the plot: how many devices run a system, by how its support stands.
type SystemCount struct {
	System string
	All    int
	By     map[device.Support]int
}

// Overview is what an organization has.
type Overview struct {
	Items   []Item
	All     int           // before filters
	Systems []SystemCount // of all, the most first
	By      map[device.Support]int
	Low     int
	Cut     bool // there are more than MaxOverview
}

// Overview lists the devices of the actor's organizations with how they stand. It is for those who see all of
// them by right and plan; when a device was seen is told to the day to all but technicians.
func (d *Devices) Overview(ctx context.Context, a desk.Actor, f OverviewFilter) (o Overview, err error) {
	if !a.May(account.DevicesView) || len(f.Query) > 200 {
		return o, desk.Fail(desk.ErrDenied)
	}
	now := d.o.Time()
	var list []device.Device
	err = d.o.Read(ctx, func(tx store.Tx) error {
		home, err := desk.Home(tx, a)
		if err != nil {
			return err
		}
		if !home.Has().Assets {
			return store.ErrNotFound
		}
		list, err = tx.Devices(store.DeviceFilter{Within: a.Within(), Organization: f.Organization, Query: strings.TrimSpace(f.Query), Limit: MaxOverview + 1})
		return err
	})
	if err != nil {
		return o, err
	}
	if o.Cut = len(list) > MaxOverview; o.Cut {
		list = list[:MaxOverview]
	}
	o.All, o.By = len(list), map[device.Support]int{}
	systems := map[string]*SystemCount{}
	for _, dev := range list {
		i := Item{Device: coarse(a, dev), System: device.System(dev.Facts)}
		i.Support, i.Ends = device.SupportOf(dev.Facts, now)
		i.Disk, i.HasDisk = device.FullestDisk(dev.Facts)
		i.Low = i.HasDisk && device.Low(i.Disk)
		s := systems[i.System]
		if s == nil {
			s = &SystemCount{System: i.System, By: map[device.Support]int{}}
			systems[i.System] = s
		}
		s.All++
		s.By[i.Support]++
		o.By[i.Support]++
		if i.Low {
			o.Low++
		}
		if f.System != "" && i.System != f.System || f.Support != "" && i.Support != f.Support || f.Low && !i.Low || f.Restart && dev.Facts.Restart != "yes" ||
			f.OfflineDays > 0 && (dev.Online || now.Sub(dev.SeenAt) < time.Duration(f.OfflineDays)*24*time.Hour) {
			continue
		}
		o.Items = append(o.Items, i)
	}
	for _, s := range systems {
		o.Systems = append(o.Systems, *s)
	}
	slices.SortFunc(o.Systems, func(a, b SystemCount) int { return cmp.Or(b.All-a.All, strings.Compare(a.System, b.System)) })
	slices.SortStableFunc(o.Items, order(f.Sort))
	return o, nil
}

// MaySeeAll reports whether the actor has the overview.
func (d *Devices) MaySeeAll(ctx context.Context, a desk.Actor) bool {
	return a.May(account.DevicesView) && d.o.Read(ctx, func(tx store.Tx) error {
		home, err := desk.Home(tx, a)
		if err == nil && !home.Has().Assets {
			err = store.ErrNotFound
		}
		return err
	}) == nil
}

func order(by string) func(a, b Item) int {
	name := func(a, b Item) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) }
	free := func(i Item) float64 {
		if !i.HasDisk {
			return 2
		}
		return float64(i.Disk.FreeMB) / float64(i.Disk.SizeMB)
	}
	first := func(a, b Item) int {
		switch by {
		case "support":
			return cmp.Or(slices.Index(device.SupportStates, a.Support)-slices.Index(device.SupportStates, b.Support), a.Ends.Compare(b.Ends))
		case "disk":
			return cmp.Compare(free(a), free(b))
		case "seen":
			return a.SeenAt.Compare(b.SeenAt)
		case "system":
			return strings.Compare(a.System, b.System)
		case "agent":
			return strings.Compare(a.Facts.Agent, b.Facts.Agent)
		case "organization":
			return strings.Compare(a.OrganizationName, b.OrganizationName)
		}
		return 0
	}
	return func(a, b Item) int { return cmp.Or(first(a, b), name(a, b)) }
}

// coarse takes from a device when exactly it was seen: presence is not surveillance. Technicians need it, and
// others are told the day.
func coarse(a desk.Actor, dev device.Device) device.Device {
	if a.May(account.TicketsWork) || dev.SeenAt.IsZero() {
		return dev
	}
	y, m, day := dev.SeenAt.UTC().Date()
	dev.SeenAt = time.Date(y, m, day, 12, 0, 0, 0, time.UTC) // noon: the same day nearly everywhere
	return dev
}
