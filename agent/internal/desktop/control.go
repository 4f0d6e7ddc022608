package desktop

import (
	"image"
	"time"

	"github.com/traybell/traybell/agent/internal/rfb"
)

// hands is what one viewer holds down. Desktop.inMu guards it.
type hands struct {
	keys    map[uint64]int // by the viewer's name of the key: what to release
	buttons uint16         // carried out
	seen    uint16         // as the viewer last said, carried out or not
}

// keyName is how a viewer names a key when it releases it: by scan code, else by keysym.
func keyName(k rfb.KeyEvent) uint64 {
	if k.XT != 0 {
		return uint64(k.XT)
	}
	return 1<<32 | uint64(k.Keysym)
}

// listening returns where to inject, or nil when nothing may be injected now.
// The caller holds inMu.
func (d *Desktop) listening() input {
	if d.o.ViewOnly || d.deaf {
		return nil
	}
	return d.disp.Input()
}

func (d *Desktop) key(v *viewer, k rfb.KeyEvent) error {
	d.inMu.Lock()
	defer d.inMu.Unlock()
	in := d.listening()
	if in == nil {
		return nil
	}
	name := keyName(k)
	if !k.Down {
		code, held := v.hands.keys[name]
		if !held {
			return nil
		}
		delete(v.hands.keys, name)
		return in.Release(code)
	}
	if code, held := v.hands.keys[name]; held { // the viewer's keyboard repeats
		if modifier(k.Keysym) {
			return nil // letting go of Alt for a moment would open a menu
		}
		if err := in.Release(code); err != nil {
			return err
		}
	}
	code, ok, err := in.Press(k.Keysym, k.XT)
	if err != nil || !ok {
		delete(v.hands.keys, name)
		return err
	}
	if v.hands.keys == nil {
		v.hands.keys = map[uint64]int{}
	}
	v.hands.keys[name] = code
	d.carried(time.Now())
	return nil
}

func (d *Desktop) pointer(v *viewer, p rfb.PointerEvent) error {
	d.inMu.Lock()
	defer d.inMu.Unlock()
	was := v.hands.seen
	v.hands.seen = p.Buttons
	in := d.listening()
	if in == nil {
		return nil
	}
	size := d.disp.Size()
	at := image.Pt(max(0, min(p.X, size.X-1)), max(0, min(p.Y, size.Y-1)))
	v.placed.Store(int64(at.X)<<32 | int64(at.Y))
	v.placedAt.Store(time.Now().UnixNano())
	if err := in.Move(at.X, at.Y); err != nil {
		return err
	}
	guarded := false
	for _, g := range d.guards {
		guarded = guarded || at.In(g())
	}
	for n := range 9 {
		bit := uint16(1) << n
		switch {
		case p.Buttons&bit != 0 && was&bit == 0 && !guarded:
			v.hands.buttons |= bit
			if err := in.Button(n+1, true); err != nil {
				return err
			}
		case p.Buttons&bit == 0 && v.hands.buttons&bit != 0:
			v.hands.buttons &^= bit
			if err := in.Button(n+1, false); err != nil {
				return err
			}
		}
	}
	d.carried(time.Now())
	return nil
}

// letGo releases everything a viewer holds, and returns when that is done. The caller holds inMu.
func (d *Desktop) letGo(v *viewer) error {
	in := d.disp.Input()
	if in == nil {
		return nil
	}
	for name, code := range v.hands.keys {
		delete(v.hands.keys, name)
		if err := in.Release(code); err != nil {
			return err
		}
	}
	for n := range 9 {
		if bit := uint16(1) << n; v.hands.buttons&bit != 0 {
			v.hands.buttons &^= bit
			if err := in.Button(n+1, false); err != nil {
				return err
			}
		}
	}
	return in.Sync()
}
