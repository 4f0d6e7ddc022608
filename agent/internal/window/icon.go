package window

import (
	_ "embed"

	"fyne.io/fyne/v2"
)

// bell is a copy of assets/bell.svg; a test keeps them equal.
//
//go:embed bell.svg
var bell []byte

// Icon is the icon of our windows.
func Icon() fyne.Resource { return fyne.NewStaticResource("bell.svg", bell) }
