package window

import (
	_ "embed"

	"fyne.io/fyne/v2"
)

// bell is assets/bell.svg as rendered by tray/render: drawing it here would cost 70 ms at each start.
//
//go:embed bell.png
var bell []byte

// Icon is the icon of our windows.
func Icon() fyne.Resource { return fyne.NewStaticResource("bell.png", bell) }
