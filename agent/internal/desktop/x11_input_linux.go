package desktop

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unicode"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/traybell/traybell/agent/internal/desktop/x11"
)

// xInput injects events through XTEST on a connection of its own, so that a key
// never waits behind a picture.
//
// A key is first looked for where the viewer's physical key is; when that key
// gives another character in this keyboard's layout, wherever the character is,
// with Shift or AltGr held as it needs; and a character that the layout lacks
// gets a spare keycode. So a technician with an American keyboard types right
// on an Italian or Russian computer, and keys of both hands stay apart.
type xInput struct {
	x        *xgb.Conn
	root     xproto.Window
	min, max int // keycodes
	width    int // keysyms of one keycode
	syms     []xproto.Keysym
	shift    byte // keycodes of modifiers, 0 when missing
	level3   byte
	level3On uint16 // its bit in the state
	numLock  uint16
	spares   []spare
	turn     uint64
	stale    atomic.Bool
	down     [256]bool
}

// A spare keycode is one the layout leaves empty.
type spare struct {
	code byte
	sym  xproto.Keysym // 0: not lent
	used uint64        // turn of its last use
}

const (
	symShiftL  = 0xffe1
	symLevel3  = 0xfe03
	symNumLock = 0xff7f
)

func openInput(name, authority string) (*xInput, error) {
	x, err := x11.Connect(name, authority)
	if err != nil {
		return nil, err
	}
	in := &xInput{x: x, root: xproto.Setup(x).DefaultScreen(x).Root}
	if err := in.start(); err != nil {
		x.Close()
		return nil, err
	}
	return in, nil
}

func (in *xInput) start() error {
	if !x11.Has(in.x, "XTEST") {
		return errors.New("the X server lacks the extension XTEST, without which nothing can be typed")
	}
	if err := in.load(); err != nil {
		return err
	}
	go func() { // ends with the connection
		for {
			ev, err := in.x.WaitForEvent()
			if ev == nil && err == nil {
				return
			}
			if _, ok := ev.(xproto.MappingNotifyEvent); ok {
				in.stale.Store(true)
			}
		}
	}()
	return nil
}

// load reads the keyboard's layout.
func (in *xInput) load() error {
	in.stale.Store(false)
	s := xproto.Setup(in.x)
	in.min, in.max = int(s.MinKeycode), int(s.MaxKeycode)
	m, err := xproto.GetKeyboardMapping(in.x, s.MinKeycode, byte(in.max-in.min+1)).Reply()
	if err != nil {
		return fmt.Errorf("read the keyboard's layout: %w", err)
	}
	mods, err := xproto.GetModifierMapping(in.x).Reply()
	if err != nil {
		return fmt.Errorf("read the keyboard's modifiers: %w", err)
	}
	in.width, in.syms = int(m.KeysymsPerKeycode), m.Keysyms
	in.shift, in.level3, in.level3On, in.numLock = 0, 0, 0, 0
	lent := map[byte]bool{}
	for _, s := range in.spares {
		lent[s.code] = true
	}
	for c := in.min; c <= in.max; c++ {
		empty := true
		for i := range in.width {
			empty = empty && in.sym(c, i) == 0
		}
		if empty && !lent[byte(c)] {
			in.spares = append(in.spares, spare{code: byte(c)})
			continue
		}
		switch {
		case in.sym(c, 0) == symShiftL && in.shift == 0:
			in.shift = byte(c)
		case in.sym(c, 0) == symLevel3 && in.level3 == 0:
			in.level3 = byte(c)
		}
	}
	per := int(mods.KeycodesPerModifier)
	for i, c := range mods.Keycodes {
		if c == 0 || per == 0 {
			continue
		}
		bit := uint16(1) << (i / per)
		for j := range in.width {
			switch in.sym(int(c), j) {
			case symLevel3:
				in.level3On = bit
			case symNumLock:
				in.numLock = bit
			}
		}
	}
	return nil
}

func (in *xInput) sym(code, i int) xproto.Keysym {
	if code < in.min || code > in.max || i < 0 || i >= in.width {
		return 0
	}
	if n := (code-in.min)*in.width + i; n < len(in.syms) {
		return in.syms[n]
	}
	return 0
}

// column is where the core protocol keeps level 0 to 3 of a group: the first two
// groups' lower levels, then their upper ones.
func column(group, level int) int { return level>>1*4 + group&1*2 + level&1 }

// at is the keysym of a key's level in a group; keys with one group serve all.
func (in *xInput) at(code, group, level int) xproto.Keysym {
	if group > 0 && in.sym(code, column(group, 0)) == 0 {
		group = 0
	}
	s := in.sym(code, column(group, level))
	if s == 0 && level == 1 { // a single letter stands for both cases
		if low := in.sym(code, column(group, 0)); low != 0 {
			if r := symRune(uint32(low)); unicode.ToUpper(r) != r {
				return xproto.Keysym(runeSym(unicode.ToUpper(r)))
			}
			return low
		}
	}
	return s
}

// swapped reports whether a lock reverses Shift for this key: Caps Lock for letters, Num Lock for the keypad.
func (in *xInput) swapped(code, group int, state uint16) bool {
	low, high := uint32(in.at(code, group, 0)), uint32(in.at(code, group, 1))
	if keypad(high) {
		return state&in.numLock != 0
	}
	if state&xproto.ModMaskLock == 0 {
		return false
	}
	a, b := symRune(low), symRune(high)
	return a != b && unicode.ToUpper(a) == b
}

// level is the level that a state of modifiers selects on a key.
func (in *xInput) level(code, group int, state uint16) int {
	l := 0
	if (state&xproto.ModMaskShift != 0) != in.swapped(code, group, state) {
		l = 1
	}
	if in.level3On != 0 && state&in.level3On != 0 {
		l += 2
	}
	return l
}

func (in *xInput) Press(keysym, scan uint32) (int, bool, error) {
	if in.stale.Load() {
		if err := in.load(); err != nil {
			return 0, false, err
		}
	}
	code := fromScan(scan)
	if code > in.max {
		code = 0
	}
	if keysym == 0 {
		if code == 0 {
			return 0, false, nil
		}
		return code, true, in.fake(xproto.KeyPress, byte(code))
	}
	p, err := xproto.QueryPointer(in.x, in.root).Reply()
	if err != nil {
		return 0, false, fmt.Errorf("read the keyboard's state: %w", err)
	}
	state := p.Mask
	group := int(state >> 13 & 3)
	if code != 0 && (same(uint32(in.at(code, group, in.level(code, group, state))), keysym) || modifier(keysym) && same(uint32(in.sym(code, 0)), keysym)) {
		return code, true, in.fake(xproto.KeyPress, byte(code))
	}
	if symRune(keysym) == 0 && !keypad(keysym) { // keys without a character don't depend on Shift: Shift+Tab is the Tab key
		if code != 0 && uint32(in.at(code, group, 0)) == keysym {
			return code, true, in.fake(xproto.KeyPress, byte(code))
		}
		for c := in.min; c <= in.max; c++ {
			if uint32(in.at(c, group, 0)) == keysym {
				return c, true, in.fake(xproto.KeyPress, byte(c))
			}
		}
	}
	best, bestLevel, bestCost := 0, 0, 99
	for c := in.min; c <= in.max; c++ {
		now := in.level(c, group, state)
		for l := range 4 {
			if !same(uint32(in.at(c, group, l)), keysym) {
				continue
			}
			cost := (l ^ now) & 1
			if (l^now)&2 != 0 {
				cost += 2
			}
			if cost < bestCost && (l < 2 || in.level3 != 0) {
				best, bestLevel, bestCost = c, l, cost
			}
		}
	}
	if best == 0 {
		c, err := in.lend(xproto.Keysym(keysym))
		if err != nil || c == 0 {
			return 0, false, err
		}
		return int(c), true, in.fake(xproto.KeyPress, c)
	}
	return best, true, in.pressAt(best, bestLevel, group, state)
}

// pressAt presses a key on a level, holding or letting go of Shift and AltGr around it.
func (in *xInput) pressAt(code, level, group int, state uint16) error {
	want := level ^ in.level(code, group, state)
	var undo []func() error
	change := func(bit uint16, key byte) error {
		if state&bit == 0 {
			if key == 0 {
				return nil
			}
			undo = append(undo, func() error { return in.fake(xproto.KeyRelease, key) })
			return in.fake(xproto.KeyPress, key)
		}
		for c, held := range in.down { // those we hold; the user's own hand on the keyboard is not ours to lift
			if !held || !in.gives(byte(c), bit) {
				continue
			}
			if err := in.fake(xproto.KeyRelease, byte(c)); err != nil {
				return err
			}
			undo = append(undo, func() error { return in.fake(xproto.KeyPress, byte(c)) })
		}
		return nil
	}
	if want&1 != 0 {
		if err := change(xproto.ModMaskShift, in.shift); err != nil {
			return err
		}
	}
	if want&2 != 0 {
		if err := change(in.level3On, in.level3); err != nil {
			return err
		}
	}
	err := in.fake(xproto.KeyPress, byte(code))
	for i := len(undo) - 1; i >= 0; i-- {
		err = errors.Join(err, undo[i]())
	}
	return err
}

// gives reports whether a key is Shift (of either side) or AltGr.
func (in *xInput) gives(code byte, bit uint16) bool {
	s := in.sym(int(code), 0)
	if bit == xproto.ModMaskShift {
		return s == symShiftL || s == symShiftL+1
	}
	return s == symLevel3
}

// lend maps a keysym to a spare keycode: the one that has it, else the one
// unused for longest, since programs may look at the mapping a little late.
func (in *xInput) lend(sym xproto.Keysym) (byte, error) {
	in.turn++
	oldest := -1
	for i := range in.spares {
		s := &in.spares[i]
		if s.sym == sym {
			s.used = in.turn
			return s.code, nil
		}
		if !in.down[s.code] && (oldest < 0 || s.used < in.spares[oldest].used) {
			oldest = i
		}
	}
	if oldest < 0 {
		return 0, nil
	}
	s := &in.spares[oldest]
	if err := xproto.ChangeKeyboardMappingChecked(in.x, 1, xproto.Keycode(s.code), 2, []xproto.Keysym{sym, sym}).Check(); err != nil {
		return 0, fmt.Errorf("map a spare key: %w", err)
	}
	s.sym, s.used = sym, in.turn
	return s.code, nil
}

func (in *xInput) Release(key int) error { return in.fake(xproto.KeyRelease, byte(key)) }

func (in *xInput) fake(kind, detail byte) error {
	switch kind {
	case xproto.KeyPress:
		in.down[detail] = true
	case xproto.KeyRelease:
		in.down[detail] = false
	}
	xtest.FakeInput(in.x, kind, detail, 0, in.root, 0, 0, 0)
	return nil
}

func (in *xInput) Move(x, y int) error {
	xtest.FakeInput(in.x, xproto.MotionNotify, 0, 0, in.root, int16(x), int16(y), 0)
	return nil
}

func (in *xInput) Button(n int, down bool) error {
	if down {
		return in.fakeButton(xproto.ButtonPress, n)
	}
	return in.fakeButton(xproto.ButtonRelease, n)
}

func (in *xInput) fakeButton(kind byte, n int) error {
	xtest.FakeInput(in.x, kind, byte(n), 0, in.root, 0, 0, 0)
	return nil
}

func (in *xInput) Sync() error {
	if _, err := xproto.GetInputFocus(in.x).Reply(); err != nil {
		return fmt.Errorf("wait for the X server: %w", err)
	}
	return nil
}

// close gives the lent keycodes back.
func (in *xInput) close() error {
	for _, s := range in.spares {
		if s.sym != 0 {
			xproto.ChangeKeyboardMapping(in.x, 1, xproto.Keycode(s.code), 2, []xproto.Keysym{0, 0})
		}
	}
	err := in.Sync()
	in.x.Close()
	return err
}
