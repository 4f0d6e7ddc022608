// Package sign shows the always-visible sign: who sees or controls this screen,
// since when, and the buttons that pause or end it. No sign, no desktop channel.
//
// It promises that while a Sign exists its window is on the screen, whole and
// above all others, movable but not hideable; when that can't be kept, Err says
// so and the caller must close the desktop channel. It draws by itself, without
// a window toolkit. The session program is its caller, and protects the sign's
// buttons from the technician's own clicks with desktop.Guard(sign.Rect).
package sign

import (
	"fmt"
	"image"
	"log/slog"
	"time"
)

// Texts are what the sign says, already translated; Sees and Controls hold the
// technician's name. The first sentence of Paused is set in bold.
type Texts struct{ Sees, Controls, Paused, Pause, GoOn, EndNow string }

// Options of a sign. OnPause is called with true for a press on Pause and false
// on Go on, OnEnd for End now and for Ctrl+Alt+Shift+E; both on a goroutine of
// their own, one call at a time. The sign shows a pause only when told by Paused.
type Options struct {
	Display    string
	XAuthority string
	Texts      Texts
	Since      time.Time
	OnPause    func(bool)
	OnEnd      func()
	Logger     *slog.Logger
}

// state is what the sign shows at a moment.
type state struct {
	controlling, paused bool
	elapsed             time.Duration
	hover               part
}

// part is a place on the sign.
type part int

const (
	body part = iota
	pauseButton
	endButton
)

// clock writes a duration as 04:12 or 1:04:12.
func clock(d time.Duration) string {
	s := int(max(0, d) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// inside moves a rectangle so that it lies wholly on one screen: the one that
// holds most of it, else the nearest. Screens must not be empty.
func inside(r image.Rectangle, screens []image.Rectangle) image.Rectangle {
	best, bestArea, bestWay := screens[0], -1, 0
	for _, s := range screens {
		i := r.Intersect(s)
		area := i.Dx() * i.Dy()
		c := r.Min.Add(r.Max).Div(2)
		way := max(s.Min.X-c.X, c.X-s.Max.X, 0) + max(s.Min.Y-c.Y, c.Y-s.Max.Y, 0)
		if area > bestArea || area == bestArea && way < bestWay {
			best, bestArea, bestWay = s, area, way
		}
	}
	at := r.Min
	at.X = max(best.Min.X, min(at.X, best.Max.X-r.Dx()))
	at.Y = max(best.Min.Y, min(at.Y, best.Max.Y-r.Dy()))
	return image.Rectangle{Min: at, Max: at.Add(r.Size())}
}
