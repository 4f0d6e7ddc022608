// Package window draws Traybell's windows with Fyne's widgets: the form, the question before remote
// help, and the windows that list things. What they say and do is data of package content; this
// package gives it the look of the portal's tokens, in light and dark.
//
// It does not import fyne/app, so that tests and pictures run with fyne/test and without cgo.
// cmd/traybell-window gives it a window on a real desktop; everything here runs on Fyne's own
// goroutine unless a comment says otherwise.
package window

import (
	"context"
	"image"
	"log/slog"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/shared/catalogue"
)

// Options is what a window needs from outside.
type Options struct {
	Service *content.Service
	Words   *catalogue.Printer
	Status  localapi.Status // as known when the window opens
	Report  localapi.Report
	Dir     string           // where drafts and details are kept; empty: nowhere
	Now     func() time.Time // default time.Now
	Log     *slog.Logger

	Capture func(context.Context) (image.Image, error) // the whole screen; nil: no screenshots here
	Picture func() ([]byte, error)                     // a PNG from the clipboard; nil: none here
	Open    func(kind string)                          // another window
	Browse  func(url string)

	Go func(func()) // runs what waits for the service; default: a goroutine
	Do func(func()) // runs what changes the window; default: fyne.Do
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Go == nil {
		o.Go = func(f func()) { go f() }
	}
	if o.Do == nil {
		o.Do = fyne.Do
	}
	if o.Words == nil {
		o.Words = catalogue.For("en")
	}
}

// Patience bounds a call to the service behind a button.
const Patience = 20 * time.Second

// page sets the content of a window: what scrolls, and below it what does not. grow makes the window
// larger, as far as high, once the body has grown.
func page(w fyne.Window, high float32, body, foot fyne.CanvasObject) (grow func()) {
	w.SetPadded(false)
	ground := canvas.NewRectangle(tone(surface))
	low := container.New(inset{margin, 12}, foot)
	scroll := container.NewVScroll(container.New(inset{margin, 12}, body))
	w.SetContent(container.NewStack(ground, container.New(above{}, scroll, stack(0, hairline(), low))))
	reveal(scroll, body)
	need := func() float32 { return min(high, body.MinSize().Height+24+low.MinSize().Height+1) }
	w.Resize(fyne.NewSize(wide, need()))
	return func() {
		reveal(scroll, body) // what came since
		body.Refresh()
		if now := w.Canvas().Size(); need() > now.Height+1 {
			w.Resize(fyne.NewSize(max(wide, now.Width), need()))
		}
	}
}

// reveal scrolls to what gets the focus, so that keys alone reach everything on a small screen.
func reveal(scroll *container.Scroll, o fyne.CanvasObject) {
	show := func(o fyne.CanvasObject) {
		d := fyne.CurrentApp().Driver()
		y := d.AbsolutePositionForObject(o).Y - d.AbsolutePositionForObject(scroll).Y // in the view
		down := y + o.Size().Height + gap - scroll.Size().Height
		switch {
		case y < gap:
			scroll.ScrollToOffset(fyne.NewPos(0, max(0, scroll.Offset.Y+y-gap)))
		case down > 0:
			scroll.ScrollToOffset(fyne.NewPos(0, scroll.Offset.Y+down))
		}
	}
	switch o := o.(type) {
	case *press:
		o.reveal = func() { show(o) }
	case *entry:
		o.reveal = func() { show(o) }
	case *fyne.Container:
		for _, c := range o.Objects {
			reveal(scroll, c)
		}
	}
}

// above gives the second object its height and the first the rest.
type above struct{}

func (above) Layout(o []fyne.CanvasObject, size fyne.Size) {
	foot := o[1].MinSize().Height
	o[0].Move(fyne.NewPos(0, 0))
	o[0].Resize(fyne.NewSize(size.Width, size.Height-foot))
	o[1].Move(fyne.NewPos(0, size.Height-foot))
	o[1].Resize(fyne.NewSize(size.Width, foot))
}

func (above) MinSize(o []fyne.CanvasObject) fyne.Size {
	a, b := o[0].MinSize(), o[1].MinSize()
	return fyne.NewSize(max(a.Width, b.Width), a.Height+b.Height)
}

// heading is the one line that says what a window is about.
func heading(text string) *para { return newPara(text, 16, true, ink1, inside) }
