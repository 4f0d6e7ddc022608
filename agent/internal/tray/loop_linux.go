package tray

import (
	"context"

	"fyne.io/systray"

	"github.com/traybell/traybell/agent/internal/tray/icons"
)

// OnDesktop puts the icon on the desktop and calls run, whose end takes it away. cancel is called
// if the desktop takes it away.
//
// run starts when the item stands on the session's bus: what systray is told while it registers is
// neither in the properties it exports nor sent as a change, so that an icon set then was never seen.
func OnDesktop(ctx context.Context, cancel func(), run func(Face) error) error {
	var d *Desktop
	made := make(chan struct{})
	systray.SetTitle("Traybell")
	systray.SetIcon(icons.Outline())
	start, end := systray.RunWithExternalLoop(func() {
		d = NewDesktop(ctx)
		close(made)
	}, cancel)
	start()
	<-made
	defer end()
	return run(d)
}
