package main

import (
	"encoding/binary"
	"io"
	"sync"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// leaveFocus asks the window manager not to give w the keyboard when it appears: _NET_WM_USER_TIME
// of 0 (EWMH), which GLFW does not know. It has to stand on the window before it is mapped. Fyne
// offers no such moment, but it asks for the icon then, on the main thread.
func leaveFocus(w fyne.Window) {
	w.SetIcon(&lateIcon{Resource: w.Icon(), asked: func() {
		w.(driver.NativeWindow).RunNative(func(c any) {
			if x, ok := c.(driver.X11WindowContext); ok && x.WindowHandle != 0 {
				userTime(xproto.Window(x.WindowHandle))
			}
		})
	}})
}

// lateIcon tells when it is looked at.
type lateIcon struct {
	fyne.Resource
	once  sync.Once
	asked func()
}

func (i *lateIcon) Content() []byte {
	i.once.Do(i.asked)
	return i.Resource.Content()
}

func userTime(w xproto.Window) {
	xgb.Logger.SetOutput(io.Discard)
	c, err := xgb.NewConn()
	if err != nil {
		return // the hint to GLFW remains
	}
	defer c.Close()
	const name = "_NET_WM_USER_TIME"
	atom, err := xproto.InternAtom(c, false, uint16(len(name)), name).Reply()
	if err != nil {
		return
	}
	var zero [4]byte
	binary.NativeEndian.PutUint32(zero[:], 0)
	xproto.ChangePropertyChecked(c, xproto.PropModeReplace, w, atom.Atom, xproto.AtomCardinal, 32, 1, zero[:]).Check()
}
