package device

import (
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/shared/link"
)

// Support says whether a system's maker still mends it.
type Support string

// The states of support.
const (
	Supported      Support = "supported"
	SupportEnding  Support = "ending" // within SoonEnds
	SupportEnded   Support = "ended"
	SupportUnknown Support = "unknown" // the table does not know the system, or its maker names no date
)

// SupportStates lists them, what needs attention first.
var SupportStates = []Support{SupportEnded, SupportEnding, SupportUnknown, Supported}

// SoonEnds is how long before its end support is said to end soon.
const SoonEnds = 180 * 24 * time.Hour

// SupportTable is the day on which the dates below were taken from their makers' pages.
const SupportTable = "2026-04-24"

// ends are the days on which general support ends: the last day of security updates that need no extra
// contract. Debian's is that of its long-term support. Windows' is that of Home and Pro, by build; the
// editions Enterprise and Education have a year more.
var ends = map[string]map[string]string{
	"windows": {
		"9600": "2023-01-10", "10240": "2017-05-09", "10586": "2017-10-10", "14393": "2018-04-10", "15063": "2018-10-09", "16299": "2019-04-09", "17134": "2019-11-12",
		"17763": "2020-11-10", "18362": "2020-12-08", "18363": "2021-05-11", "19041": "2021-12-14", "19042": "2022-05-10", "19043": "2022-12-13", "19044": "2023-06-13",
		"19045": "2025-10-14", "22000": "2023-10-10", "22621": "2024-10-08", "22631": "2025-11-11", "26100": "2026-10-13", "26200": "2027-10-12",
	},
	"windows-server": {
		"7601": "2020-01-14", "9200": "2023-10-10", "9600": "2023-10-10", "14393": "2027-01-12", "17763": "2029-01-09", "20348": "2031-10-14", "25398": "2025-10-24", "26100": "2034-10-10",
	},
	// Apple names no dates; the three newest are mended, and a version that is no longer among them has ended.
	"macos":  {"10": "2022-09-12", "11": "2023-09-26", "12": "2024-09-16", "13": "2025-09-15"},
	"debian": {"8": "2020-06-30", "9": "2022-06-30", "10": "2024-06-30", "11": "2026-08-31", "12": "2028-06-30", "13": "2030-06-30"},
	"ubuntu": {
		"14.04": "2019-04-02", "16.04": "2021-04-02", "18.04": "2023-05-31", "20.04": "2025-05-31", "22.04": "2027-04-01", "22.10": "2023-07-20", "23.04": "2024-01-20", "23.10": "2024-07-12",
		"24.04": "2029-05-31", "24.10": "2025-07-10", "25.04": "2026-01-17", "25.10": "2026-07-01", "26.04": "2031-04-30",
	},
	"rhel":      {"6": "2020-11-30", "7": "2024-06-30", "8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
	"rocky":     {"8": "2029-05-31", "9": "2032-05-31", "10": "2035-05-31"},
	"almalinux": {"8": "2029-03-01", "9": "2032-05-31", "10": "2035-05-31"},
	"centos":    {"6": "2020-11-30", "7": "2024-06-30", "8": "2021-12-31", "9": "2027-05-31"},
	"fedora":    {"37": "2023-12-05", "38": "2024-05-21", "39": "2024-11-26", "40": "2025-05-13", "41": "2025-12-15", "42": "2026-05-13", "43": "2026-12-09"},
}

// SupportOf says how a device's system stands at a time, and on which day its support ends or ended; zero
// when that is not known.
func SupportOf(f link.Facts, now time.Time) (Support, time.Time) {
	table := ends[f.OSID]
	day, ok := table[f.OSVersion]
	if !ok { // "9.4" is a 9
		major, _, _ := strings.Cut(f.OSVersion, ".")
		if n, err := strconv.Atoi(major); err == nil && f.OSID != "ubuntu" {
			day, ok = table[strconv.Itoa(n)]
		}
	}
	end, err := time.Parse(time.DateOnly, day)
	if !ok || err != nil {
		return SupportUnknown, time.Time{}
	}
	switch left := end.AddDate(0, 0, 1).Sub(now); {
	case left <= 0:
		return SupportEnded, end
	case left <= SoonEnds:
		return SupportEnding, end
	}
	return Supported, end
}

// System is a system's name with the version that people speak of: "Debian GNU/Linux 12", "Windows 11 Pro".
func System(f link.Facts) string {
	if name, _, ok := strings.Cut(f.OSName, " ("); ok { // a code name
		return name
	}
	if f.OSName != "" {
		return f.OSName
	}
	return f.OS
}

// LowDisk is the share of a disk that should be free, in percent.
const LowDisk = 10

// FullestDisk is the disk with the smallest share of free space; false when none is known.
func FullestDisk(f link.Facts) (d link.Disk, ok bool) {
	all := f.Disks
	if len(all) == 0 && f.DiskMB > 0 { // an agent of before
		all = []link.Disk{{SizeMB: f.DiskMB, FreeMB: f.FreeMB}}
	}
	for _, x := range all {
		if x.SizeMB > 0 && (!ok || x.FreeMB*d.SizeMB < d.FreeMB*x.SizeMB) {
			d, ok = x, true
		}
	}
	return d, ok
}

// Low reports whether a disk has less free space than it should.
func Low(d link.Disk) bool { return d.SizeMB > 0 && d.FreeMB*100 < d.SizeMB*LowDisk }
