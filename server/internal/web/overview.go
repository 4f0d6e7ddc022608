package web

import (
	"encoding/csv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/link"
)

// overviewView is the page on which an organization sees what it has.
type overviewView struct {
	Results, Query               string
	Organizations                []choice
	Systems, States, Days, Sorts []choice
	Low, Restart, Filtered       bool
	Table, CSV                   string // the table's own date, and where the list can be had as a file
	Rows                         []overviewRow
	Plot                         []plotRow
	Legend                       []legend
	Cut                          string
}

type overviewRow struct {
	ID, Name, Organization, OS, Agent, Disk, Memory string
	Support                                         mark
	Ends                                            string
	Low, Restart                                    bool
	Online                                          bool
	Seen                                            when
}

// plotRow is one bar; Parts are its pieces in percent of the longest.
type plotRow struct {
	Name, Text, Href string
	Parts            []plotPart
}

type plotPart struct {
	Code     string
	X, Width string
}

type legend struct{ Code, Word, Href string }

var offlineDays = []int{0, 7, 30, 90}

func overviewFilter(q url.Values) deskdevice.OverviewFilter {
	f := deskdevice.OverviewFilter{Query: clip(q.Get("q"), 200), Organization: account.OrganizationID(clip(q.Get("organization"), 36)), System: clip(q.Get("system"), 200),
		Low: q.Get("low") == "1", Restart: q.Get("restart") == "1", Sort: "name"}
	if s := device.Support(q.Get("support")); slices.Contains(device.SupportStates, s) {
		f.Support = s
	}
	if n := atoi(q.Get("offline"), 0); slices.Contains(offlineDays, n) {
		f.OfflineDays = n
	}
	if s := q.Get("sort"); slices.Contains(deskdevice.Sorts, s) {
		f.Sort = s
	}
	return f
}

func (s *Server) overview(c *call) error {
	q := c.r.URL.Query()
	f := overviewFilter(q)
	o, err := s.o.Devices.Overview(c.ctx, c.actor, f)
	if err != nil {
		return err
	}
	v := overviewView{Results: c.T("word.results", "Count", len(o.Items)), Query: f.Query, Low: f.Low, Restart: f.Restart, Table: device.SupportTable,
		CSV: "/devices/overview.csv?" + q.Encode(), Filtered: len(o.Items) < o.All || f.Query != "" || f.Organization != ""}
	if o.Cut {
		v.Cut = c.T("devices.overview.cut", "Count", deskdevice.MaxOverview)
	}
	if c.actor.May(account.TicketsWork) {
		names, err := s.organizationNames(c)
		if err != nil {
			return err
		}
		for id, name := range names {
			v.Organizations = append(v.Organizations, choice{Code: string(id), Word: name, Current: id == f.Organization})
		}
		slices.SortFunc(v.Organizations, func(a, b choice) int { return strings.Compare(a.Word, b.Word) })
	}
	with := func(name, value string) string {
		u := url.Values{name: {value}}
		if f.Organization != "" {
			u.Set("organization", string(f.Organization))
		}
		return "/devices/overview?" + u.Encode()
	}
	for _, n := range o.Systems {
		v.Systems = append(v.Systems, choice{Code: n.System, Word: n.System, Current: n.System == f.System})
	}
	for _, st := range device.SupportStates {
		v.States = append(v.States, choice{Code: string(st), Word: c.T("devices.support." + string(st)), Current: st == f.Support})
		v.Legend = append(v.Legend, legend{string(st), c.T("devices.support."+string(st)) + ": " + strconv.Itoa(o.By[st]), with("support", string(st))})
	}
	for _, n := range offlineDays[1:] {
		v.Days = append(v.Days, choice{Code: strconv.Itoa(n), Word: c.T("devices.overview.days", "Count", n), Current: n == f.OfflineDays})
	}
	for _, n := range deskdevice.Sorts {
		if n != "organization" || len(v.Organizations) > 0 {
			v.Sorts = append(v.Sorts, choice{Code: n, Word: c.T("devices.sort." + n), Current: n == f.Sort})
		}
	}
	const bars = 12
	for _, n := range o.Systems[:min(len(o.Systems), bars)] {
		row := plotRow{Name: n.System, Text: strconv.Itoa(n.All), Href: with("system", n.System)}
		x := 0.0
		for _, st := range device.SupportStates {
			w := 100 * float64(n.By[st]) / float64(o.Systems[0].All)
			if w > 0 {
				row.Parts = append(row.Parts, plotPart{string(st), strconv.FormatFloat(x, 'f', 2, 64), strconv.FormatFloat(w, 'f', 2, 64)})
			}
			x += w
		}
		v.Plot = append(v.Plot, row)
	}
	const most = 1000
	for _, i := range o.Items[:min(len(o.Items), most)] {
		v.Rows = append(v.Rows, c.overviewRow(i))
	}
	if len(o.Items) > most {
		v.Cut = c.T("devices.overview.cut", "Count", most)
	}
	return c.show("overview", c.page("devices", c.T("devices.overview"), v))
}

func (c *call) overviewRow(i deskdevice.Item) overviewRow {
	d := c.deviceRow(i.Device)
	row := overviewRow{ID: d.ID, Name: d.Name, Organization: d.Organization, OS: i.System, Agent: i.Facts.Agent, Online: d.Online, Seen: d.Seen, Low: i.Low, Restart: i.Facts.Restart == "yes",
		Support: mark{string(i.Support), c.T("devices.support." + string(i.Support))}}
	if !i.Ends.IsZero() {
		row.Ends = c.day(i.Ends.Add(12 * time.Hour))
	}
	if i.HasDisk {
		row.Disk = c.T("devices.overview.free", "Free", c.gigabytes(i.Disk.FreeMB), "Percent", i.Disk.FreeMB*100/max(1, i.Disk.SizeMB))
	}
	if i.Facts.MemoryMB > 0 {
		row.Memory = c.gigabytes(i.Facts.MemoryMB)
	}
	return row
}

// overviewCSV is the same list as a file, all of it.
func (s *Server) overviewCSV(c *call) error {
	o, err := s.o.Devices.Overview(c.ctx, c.actor, overviewFilter(c.r.URL.Query()))
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c.w.Header().Set("Content-Disposition", `attachment; filename="devices.csv"`)
	w := csv.NewWriter(c.w)
	w.Write([]string{"name", "organization", "system", "version", "build", "support", "support_ends", "cpu", "cpus", "memory_mb", "disk", "disk_mb", "disk_free_mb", "restart_due", "agent", "online", "last_seen"})
	layout := "2006-01-02T15:04Z"
	if !c.actor.May(account.TicketsWork) {
		layout = time.DateOnly
	}
	for _, i := range o.Items {
		f := i.Facts
		ends, seen := "", i.SeenAt.UTC().Format(layout)
		if !i.Ends.IsZero() {
			ends = i.Ends.Format(time.DateOnly)
		}
		row := []string{i.Name, i.OrganizationName, f.OSName, f.OSVersion, f.OSBuild, string(i.Support), ends, f.CPU, strconv.Itoa(f.CPUs), strconv.FormatInt(f.MemoryMB, 10),
			i.Disk.Path, strconv.FormatInt(i.Disk.SizeMB, 10), strconv.FormatInt(i.Disk.FreeMB, 10), f.Restart, f.Agent, strconv.FormatBool(i.Online), seen}
		for n := range row {
			row[n] = cell(row[n])
		}
		w.Write(row)
	}
	w.Flush()
	return nil
}

// more is what newer devices report of themselves.
func (c *call) more(f link.Facts) (out []pair) {
	if f.CPU != "" {
		out = append(out, pair{c.T("devices.fact.cpu"), f.CPU})
	}
	if f.BootAt > 0 {
		out = append(out, pair{c.T("devices.fact.boot"), c.day(time.UnixMicro(f.BootAt))})
	}
	if f.Restart == "yes" {
		out = append(out, pair{c.T("devices.overview.restart"), c.T("devices.fact.yes")})
	}
	return out
}
