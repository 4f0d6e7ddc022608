package sign

import (
	"errors"
	"image"
	"strconv"
	"time"

	"github.com/jezek/xgb/composite"
	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/shape"
	"github.com/jezek/xgb/xproto"

	"github.com/traybell/traybell/agent/internal/desktop/x11"
)

// keep brings the window back to where it belongs, above all others. It reports
// whether to look again soon, and an error when patience is at its end.
func (s *Sign) keep() (again bool, err error) {
	why := s.trouble()
	if why == "" {
		s.coveredSince = time.Time{}
		return false, nil
	}
	if s.coveredSince.IsZero() {
		s.coveredSince = time.Now()
	} else if time.Since(s.coveredSince) > patience {
		return false, errors.New(why)
	}
	if s.shapes {
		shape.Mask(s.x, shape.SoSet, shape.SkBounding, s.win, 0, 0, xproto.PixmapNone)
	}
	xproto.MapWindow(s.x, s.win)
	s.place(*s.rect.Load())
	s.raise()
	return true, nil
}

// trouble says what keeps the whole sign from being seen; empty when nothing.
func (s *Sign) trouble() string {
	want := *s.rect.Load()
	g, err := xproto.GetGeometry(s.x, xproto.Drawable(s.win)).Reply()
	if err != nil {
		return "its window is gone"
	}
	if is := image.Rect(int(g.X), int(g.Y), int(g.X)+int(g.Width), int(g.Y)+int(g.Height)); is != want {
		return "another program moves it away"
	}
	if a, err := xproto.GetWindowAttributes(s.x, s.win).Reply(); err != nil || a.MapState != xproto.MapStateViewable {
		return "another program hides it"
	}
	if s.shapes {
		if e, err := shape.QueryExtents(s.x, s.win).Reply(); err == nil && e.BoundingShaped {
			return "another program cut it"
		}
	}
	tree, err := xproto.QueryTree(s.x, s.root).Reply()
	if err != nil {
		return "the windows can't be listed"
	}
	above := false
	for _, w := range tree.Children {
		if w == s.win {
			above = true
			continue
		}
		if above && s.covers(w, want) {
			return "another window keeps covering it"
		}
	}
	return ""
}

// covers reports whether a window that lies above the sign hides some of it. The
// overlay that a compositing manager draws all windows on doesn't.
func (s *Sign) covers(w xproto.Window, r image.Rectangle) bool {
	g, err := xproto.GetGeometry(s.x, xproto.Drawable(w)).Reply()
	if err != nil {
		return false // gone meanwhile
	}
	b := 2 * int(g.BorderWidth)
	if !image.Rect(int(g.X), int(g.Y), int(g.X)+int(g.Width)+b, int(g.Y)+int(g.Height)+b).Overlaps(r) {
		return false
	}
	a, err := xproto.GetWindowAttributes(s.x, w).Reply()
	if err != nil || a.MapState != xproto.MapStateViewable || a.Class == xproto.WindowClassInputOnly {
		return false
	}
	return !s.overlay(w)
}

func (s *Sign) overlay(w xproto.Window) bool {
	name := "_NET_WM_CM_S" + strconv.Itoa(s.x.DefaultScreen)
	atom, err := xproto.InternAtom(s.x, true, uint16(len(name)), name).Reply()
	if err != nil || atom.Atom == 0 {
		return false
	}
	if o, err := xproto.GetSelectionOwner(s.x, atom.Atom).Reply(); err != nil || o.Owner == 0 {
		return false // asking for the overlay would make one
	}
	if !x11.Has(s.x, "Composite") {
		return false
	}
	if _, err := composite.QueryVersion(s.x, 0, 4).Reply(); err != nil {
		return false
	}
	o, err := composite.GetOverlayWindow(s.x, s.root).Reply()
	if err != nil {
		return false
	}
	composite.ReleaseOverlayWindow(s.x, s.root)
	return o.OverlayWin == w
}

// readScreens finds the monitors, the primary one first.
func (s *Sign) readScreens() {
	s.screens = nil
	if !x11.Has(s.x, "RANDR") {
		s.readWhole()
		return
	}
	var primary randr.Output
	if p, err := randr.GetOutputPrimary(s.x, s.root).Reply(); err == nil {
		primary = p.Output
	}
	if r, err := randr.GetScreenResourcesCurrent(s.x, s.root).Reply(); err == nil {
		for _, c := range r.Crtcs {
			i, err := randr.GetCrtcInfo(s.x, c, r.ConfigTimestamp).Reply()
			if err != nil || i.Width == 0 || i.Height == 0 {
				continue
			}
			m := image.Rect(int(i.X), int(i.Y), int(i.X)+int(i.Width), int(i.Y)+int(i.Height))
			s.screens = append(s.screens, m)
			for _, o := range i.Outputs {
				if o == primary {
					last := len(s.screens) - 1
					s.screens[0], s.screens[last] = s.screens[last], s.screens[0]
				}
			}
		}
	}
	monitors := s.screens
	s.readWhole()
	all := s.screens[0]
	kept := monitors[:0]
	for _, m := range monitors {
		if m = m.Intersect(all); !m.Empty() {
			kept = append(kept, m)
		}
	}
	if len(kept) > 0 {
		s.screens = kept
	}
}

// readWhole takes all of the X screen for one monitor.
func (s *Sign) readWhole() {
	screen := xproto.Setup(s.x).DefaultScreen(s.x)
	s.screens = []image.Rectangle{image.Rect(0, 0, int(screen.WidthInPixels), int(screen.HeightInPixels))}
	if g, err := xproto.GetGeometry(s.x, xproto.Drawable(s.root)).Reply(); err == nil { // it may have changed since
		s.screens[0].Max = image.Pt(int(g.Width), int(g.Height))
	}
}
