package inventory

import (
	"context"

	"github.com/shirou/gopsutil/v4/host"
)

func osVersion(ctx context.Context) (id, version, build string) {
	if _, _, v, err := host.PlatformInformationWithContext(ctx); err == nil {
		version = v
	}
	build, _ = host.KernelVersionWithContext(ctx)
	return "macos", version, build
}

// restart is not known: macOS leaves no mark that can be read without asking its update service.
func restart() string { return "" }
