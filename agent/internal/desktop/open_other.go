//go:build !linux

package desktop

import (
	"errors"
	"runtime"
)

// openDisplay has no implementation here yet.
func openDisplay(Options) (display, error) {
	name := map[string]string{"windows": "Windows", "darwin": "macOS"}[runtime.GOOS]
	if name == "" {
		name = runtime.GOOS
	}
	return nil, errors.New("showing the screen is not available on " + name + " yet")
}
