package screen

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// Here reports whether the whole screen can be taken: on X11. A Wayland desktop shows an X client
// nothing of other windows.
func Here() bool {
	return os.Getenv("DISPLAY") != "" && os.Getenv("WAYLAND_DISPLAY") == "" && os.Getenv("XDG_SESSION_TYPE") != "wayland"
}

// Capture takes the whole screen.
func Capture(ctx context.Context) (image.Image, error) {
	type result struct {
		img image.Image
		err error
	}
	done := make(chan result, 1)
	go func() {
		img, err := capture()
		done <- result{img, err}
	}()
	select {
	case r := <-done:
		return r.img, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connect opens the user's display. xgb's own log would say on standard error what err says too.
func connect() (*xgb.Conn, error) {
	xgb.Logger.SetOutput(io.Discard)
	return xgb.NewConn()
}

func capture() (image.Image, error) {
	c, err := connect()
	if err != nil {
		return nil, fmt.Errorf("open display: %w", err)
	}
	defer c.Close()
	s := xproto.Setup(c).DefaultScreen(c)
	if s.RootDepth != 24 && s.RootDepth != 32 {
		return nil, fmt.Errorf("a screen of depth %d can't be taken", s.RootDepth)
	}
	w, h := int(s.WidthInPixels), int(s.HeightInPixels)
	r, err := xproto.GetImage(c, xproto.ImageFormatZPixmap, xproto.Drawable(s.Root), 0, 0, s.WidthInPixels, s.HeightInPixels, 0xffffffff).Reply()
	if err != nil {
		return nil, fmt.Errorf("read the screen: %w", err)
	}
	if len(r.Data) < w*h*4 {
		return nil, errors.New("the screen has an unknown pixel format")
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	big := xproto.Setup(c).ImageByteOrder == xproto.ImageOrderMSBFirst
	for i := 0; i < w*h*4; i += 4 {
		p := r.Data[i : i+4 : i+4]
		q := img.Pix[i : i+4 : i+4]
		if big {
			q[0], q[1], q[2] = p[1], p[2], p[3]
		} else {
			q[0], q[1], q[2] = p[2], p[1], p[0]
		}
		q[3] = 0xff
	}
	return img, nil
}

// Clipboard reports whether pictures can be read from the clipboard.
func Clipboard() bool { return os.Getenv("DISPLAY") != "" }

// patience bounds the wait for the program that owns the clipboard.
const patience = time.Second

// Picture reads a PNG from the clipboard (ICCCM §2, with INCR for large ones).
func Picture() ([]byte, error) {
	c, err := connect()
	if err != nil {
		return nil, fmt.Errorf("open display: %w", err)
	}
	defer c.Close()
	atom := func(name string) xproto.Atom {
		r, e := xproto.InternAtom(c, false, uint16(len(name)), name).Reply()
		if e != nil {
			err = e
			return 0
		}
		return r.Atom
	}
	selection, target, property, incr := atom("CLIPBOARD"), atom("image/png"), atom("TRAYBELL_PICTURE"), atom("INCR")
	if err != nil {
		return nil, err
	}
	s := xproto.Setup(c).DefaultScreen(c)
	win, err := xproto.NewWindowId(c)
	if err != nil {
		return nil, err
	}
	if err := xproto.CreateWindowChecked(c, 0, win, s.Root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly, s.RootVisual,
		xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange}).Check(); err != nil {
		return nil, err
	}
	xproto.ConvertSelection(c, win, selection, target, property, xproto.TimeCurrentTime)

	events := make(chan xgb.Event)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			e, err := c.WaitForEvent()
			if e == nil && err == nil {
				return // the connection is closed
			}
			if e == nil {
				continue
			}
			select {
			case events <- e:
			case <-stop:
				return
			}
		}
	}()
	take := func() (xproto.Atom, []byte, error) {
		r, err := xproto.GetProperty(c, true, win, property, xproto.GetPropertyTypeAny, 0, maxPicture/4).Reply()
		if err != nil {
			return 0, nil, err
		}
		return r.Type, r.Value, nil
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	var all []byte
	chunks := false
	for {
		select {
		case <-t.C:
			return nil, errNone
		case e := <-events:
			switch e := e.(type) {
			case xproto.SelectionNotifyEvent:
				if e.Property == 0 {
					return nil, errNone
				}
				kind, b, err := take()
				if err != nil {
					return nil, err
				}
				if kind != incr {
					return b, nil
				}
				chunks = true
			case xproto.PropertyNotifyEvent:
				if !chunks || e.State != xproto.PropertyNewValue || e.Atom != property {
					continue
				}
				_, b, err := take()
				if err != nil {
					return nil, err
				}
				if len(b) == 0 {
					return all, nil
				}
				if all = append(all, b...); len(all) > maxPicture {
					return nil, errors.New("the picture in the clipboard is too large")
				}
				t.Reset(patience)
			}
		}
	}
}
