//go:build !linux

package sign

import (
	"errors"
	"image"
	"runtime"
)

// Sign is a shown sign.
type Sign struct{}

// Show has no implementation here yet; its error reaches the technician before a desktop is offered.
func Show(Options) (*Sign, error) {
	name := map[string]string{"windows": "Windows", "darwin": "macOS"}[runtime.GOOS]
	if name == "" {
		name = runtime.GOOS
	}
	return nil, errors.New("the sign that says who sees the screen is not available on " + name + " yet")
}

// Controlling tells the sign whether input is used.
func (s *Sign) Controlling(bool) {}

// Paused tells the sign whether the session is paused.
func (s *Sign) Paused(bool) {}

// Rect is where the sign is.
func (s *Sign) Rect() image.Rectangle { return image.Rectangle{} }

// Clock is where the sign shows the time going on.
func (s *Sign) Clock() image.Rectangle { return image.Rectangle{} }

// Err receives why the sign could not be kept.
func (s *Sign) Err() <-chan error { return nil }

// Close takes the sign away.
func (s *Sign) Close() error { return nil }
