//go:build !linux

package tray

import (
	"context"

	"fyne.io/systray"
)

// OnDesktop puts the icon on the desktop and calls run, whose end takes it away. cancel is called
// if the desktop takes it away. It must be called on the main thread, whose loop it is.
func OnDesktop(ctx context.Context, cancel func(), run func(Face) error) error {
	ended := make(chan error, 1)
	systray.Run(func() {
		systray.SetTitle("Traybell")
		d := NewDesktop(ctx)
		go func() {
			ended <- run(d)
			systray.Quit()
		}()
	}, cancel)
	return <-ended
}
