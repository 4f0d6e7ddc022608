package device_test

import (
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/link"
)

func TestSupportOfSystems(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		id, version string
		want        device.Support
		end         string
	}{
		{"debian", "12", device.Supported, "2028-06-30"},
		{"debian", "11", device.SupportEnded, "2026-08-31"},
		{"debian", "", device.SupportUnknown, ""},
		{"ubuntu", "22.04", device.SupportEnding, "2027-04-01"},
		{"ubuntu", "22", device.SupportUnknown, ""},
		{"rocky", "9.4", device.Supported, "2032-05-31"},
		{"fedora", "43", device.SupportEnding, "2026-12-09"},
		{"windows", "19045", device.SupportEnded, "2025-10-14"},
		{"windows", "26200", device.Supported, "2027-10-12"},
		{"windows-server", "26100", device.Supported, "2034-10-10"},
		{"macos", "13.7.8", device.SupportEnded, "2025-09-15"},
		{"macos", "26.1", device.SupportUnknown, ""},
		{"arch", "", device.SupportUnknown, ""},
	} {
		got, end := device.SupportOf(link.Facts{OSID: tt.id, OSVersion: tt.version}, now)
		day := ""
		if !end.IsZero() {
			day = end.Format(time.DateOnly)
		}
		if got != tt.want || day != tt.end {
			t.Errorf("%s %s: got %s until %q, want %s until %q", tt.id, tt.version, got, day, tt.want, tt.end)
		}
	}
	last := time.Date(2028, 6, 30, 23, 59, 0, 0, time.UTC)
	if got, _ := device.SupportOf(link.Facts{OSID: "debian", OSVersion: "12"}, last); got != device.SupportEnding {
		t.Errorf("on its last day it is %s", got)
	}
}

func TestTheFullestDiskIsTold(t *testing.T) {
	d, ok := device.FullestDisk(link.Facts{Disks: []link.Disk{{Path: "/", SizeMB: 1000, FreeMB: 500}, {Path: "/home", SizeMB: 4000, FreeMB: 399}}})
	if !ok || d.Path != "/home" || !device.Low(d) {
		t.Errorf("got %+v, %t", d, ok)
	}
	if _, ok := device.FullestDisk(link.Facts{}); ok {
		t.Error("a disk that nobody has told")
	}
	if d, ok := device.FullestDisk(link.Facts{DiskMB: 10, FreeMB: 1}); !ok || device.Low(d) {
		t.Errorf("an agent of before: %+v, %t", d, ok)
	}
}
