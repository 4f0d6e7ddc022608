package inventory

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"github.com/shirou/gopsutil/v4/host"
)

// osVersion tells a server from a workstation by its name; the build number is both version and build.
func osVersion(ctx context.Context) (id, version, build string) {
	v := windows.RtlGetVersion()
	n := strconv.FormatUint(uint64(v.BuildNumber), 10)
	id = "windows"
	if name, _, _, err := host.PlatformInformationWithContext(ctx); err == nil && strings.Contains(name, "Server") {
		id = "windows-server"
	}
	return id, n, n
}

// restart looks for the keys by which Windows Update and servicing mark a restart that is due.
func restart() string {
	for _, path := range []string{
		`SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired`,
		`SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`,
	} {
		k, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE)
		if err == nil {
			k.Close()
			return "yes"
		}
		if !errors.Is(err, registry.ErrNotExist) {
			return ""
		}
	}
	return "no"
}
