package window

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// ink names a colour by its role; the values are the portal's tokens.
type ink int

const (
	canvasGround ink = iota
	surface
	sunken
	hover
	line
	control
	ink1
	ink2
	ink3
	accent
	accentStrong
	accentSoft
	onAccent
	critical
	high
	medium
	mediumSoft
	low
	statusNew
	statusOpen
	statusWaiting
	statusPaused
	statusResolved
	statusClosed
	live
	onLive
	lastInk
)

func rgb(v uint32) color.NRGBA {
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xff}
}

var light = [lastInk]uint32{
	canvasGround: 0xf3f5f5, surface: 0xffffff, sunken: 0xe9edee, hover: 0xeef2f2, line: 0xd9dfe0, control: 0x7f8b90,
	ink1: 0x172023, ink2: 0x434f54, ink3: 0x5a666b,
	accent: 0x0a626e, accentStrong: 0x074a54, accentSoft: 0xdfeef0, onAccent: 0xffffff,
	critical: 0xb0221b, high: 0x9d430a, medium: 0x75570a, mediumSoft: 0xf6efd8, low: 0x566268,
	statusNew: 0x1e5ba3, statusOpen: 0x0a626e, statusWaiting: 0x83570a, statusPaused: 0x5d5785, statusResolved: 0x2b6a3b, statusClosed: 0x5a666b,
	live: 0x8d2768, onLive: 0xffffff,
}

var dark = [lastInk]uint32{
	canvasGround: 0x111719, surface: 0x192023, sunken: 0x0c1113, hover: 0x20292c, line: 0x2c363a, control: 0x6f7d83,
	ink1: 0xe5eaeb, ink2: 0xb6c0c4, ink3: 0x93a0a5,
	accent: 0x62c3ce, accentStrong: 0x8ad7df, accentSoft: 0x15353a, onAccent: 0x05252a,
	critical: 0xff9087, high: 0xf3a566, medium: 0xdcc063, mediumSoft: 0x302a14, low: 0xa0acb1,
	statusNew: 0x84b8f0, statusOpen: 0x62c3ce, statusWaiting: 0xe3b458, statusPaused: 0xb9b2e6, statusResolved: 0x82cb93, statusClosed: 0x93a0a5,
	live: 0xf09aca, onLive: 0x2f0a20,
}

// forced overrides what Fyne takes for the desktop's wish for light or dark.
var forced *fyne.ThemeVariant

// Variant forces light or dark for windows made from now on; nil follows the desktop.
func Variant(v *fyne.ThemeVariant) { forced = v }

// hex is the value of a role now, in the variant that the desktop asks for.
func hex(i ink) uint32 {
	v := fyne.CurrentApp().Settings().ThemeVariant()
	if forced != nil {
		v = *forced
	}
	if v == theme.VariantDark {
		return dark[i]
	}
	return light[i]
}

func tone(i ink) color.NRGBA { return rgb(hex(i)) }

// Theme is Fyne's theme with our tokens.
func Theme() fyne.Theme { return look{theme.DefaultTheme()} }

type look struct{ fyne.Theme }

func (l look) Color(n fyne.ThemeColorName, v fyne.ThemeVariant) color.Color {
	if forced != nil {
		v = *forced
	}
	t := light
	if v == theme.VariantDark {
		t = dark
	}
	switch n {
	case theme.ColorNameBackground, theme.ColorNameInputBackground, theme.ColorNameOverlayBackground, theme.ColorNameMenuBackground:
		return rgb(t[surface])
	case theme.ColorNameForeground:
		return rgb(t[ink1])
	case theme.ColorNamePlaceHolder, theme.ColorNameDisabled:
		return rgb(t[ink3])
	case theme.ColorNamePrimary, theme.ColorNameHyperlink:
		return rgb(t[accent])
	case theme.ColorNameForegroundOnPrimary:
		return rgb(t[onAccent])
	case theme.ColorNameInputBorder:
		return rgb(t[control])
	case theme.ColorNameSeparator:
		return rgb(t[line])
	case theme.ColorNameButton, theme.ColorNameDisabledButton, theme.ColorNameHeaderBackground:
		return rgb(t[canvasGround])
	case theme.ColorNameHover:
		return rgb(t[hover])
	case theme.ColorNameFocus, theme.ColorNameSelection, theme.ColorNamePressed:
		return rgb(t[accentSoft])
	case theme.ColorNameError:
		return rgb(t[critical])
	case theme.ColorNameWarning:
		return rgb(t[high])
	}
	return l.Theme.Color(n, v)
}

func (l look) Size(n fyne.ThemeSizeName) float32 {
	switch n {
	case theme.SizeNameText:
		return 14
	case theme.SizeNameCaptionText:
		return 13
	case theme.SizeNameInnerPadding:
		return 6
	case theme.SizeNamePadding, theme.SizeNameInputRadius, theme.SizeNameSelectionRadius:
		return 4
	case theme.SizeNameInlineIcon:
		return 18
	case theme.SizeNameScrollBar:
		return 10
	case theme.SizeNameScrollBarSmall:
		return 4
	}
	return l.Theme.Size(n)
}
