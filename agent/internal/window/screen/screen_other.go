//go:build !linux

package screen

import (
	"context"
	"errors"
	"image"
)

var errNotHere = errors.New("screenshots are not available on this system yet")

// Here reports whether the whole screen can be taken: not on this system yet.
func Here() bool { return false }

// Capture takes the whole screen.
func Capture(context.Context) (image.Image, error) { return nil, errNotHere }

// Clipboard reports whether pictures can be read from the clipboard: not on this system yet.
func Clipboard() bool { return false }

// Picture reads a PNG from the clipboard.
func Picture() ([]byte, error) { return nil, errNone }
