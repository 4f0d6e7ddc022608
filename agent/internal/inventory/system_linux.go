package inventory

import (
	"bufio"
	"context"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/host"
)

// osVersion is ID and VERSION_ID of os-release(5), and the kernel's release.
func osVersion(ctx context.Context) (id, version, build string) {
	if f, err := os.Open("/etc/os-release"); err == nil {
		defer f.Close()
		id, version = release(f)
	}
	build, _ = host.KernelVersionWithContext(ctx)
	return id, version, build
}

func release(r io.Reader) (id, version string) {
	s := bufio.NewScanner(io.LimitReader(r, 64<<10))
	for s.Scan() {
		name, v, _ := strings.Cut(s.Text(), "=")
		if u, err := strconv.Unquote(v); err == nil {
			v = u
		}
		switch name {
		case "ID":
			id = strings.ToLower(strings.Trim(v, "'"))
		case "VERSION_ID":
			version = strings.Trim(v, "'")
		}
	}
	return id, version
}

// restart reads the mark that Debian's and Ubuntu's updates leave; elsewhere it is not known.
func restart() string {
	if _, err := os.Stat("/run/reboot-required"); err == nil {
		return "yes"
	}
	if _, err := os.Stat("/etc/debian_version"); err == nil {
		return "no"
	}
	return ""
}
