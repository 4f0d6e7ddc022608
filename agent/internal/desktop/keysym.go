package desktop

// Keysyms name characters in two ways: in ranges of 256 older than Unicode, and
// as 0x01000000 plus the character. Viewers use either.

// cyrillic is the order of KOI8-R letters from keysym 0x6c0 on, as X has them.
var cyrillic = []rune("юабцдефгхийклмнопярстужвьызшэщчъЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ")

var legacy = func() map[uint32]rune {
	m := map[uint32]rune{
		0x6a3: 'ё', 0x6b3: 'Ё', 0x20ac: '€', 0x6b0: '№', 0x6a4: 'є', 0x6b4: 'Є', 0x6a6: 'і', 0x6b6: 'І', 0x6a7: 'ї', 0x6b7: 'Ї', 0x6ad: 'ґ', 0x6bd: 'Ґ',
		0xaa9: '—', 0xaaa: '–', 0xad0: '‘', 0xad1: '’', 0xad2: '“', 0xad3: '”', 0xafe: '„', 0xafd: '‚', 0xae6: '•', 0xaae: '…', 0x13bc: 'Œ', 0x13bd: 'œ', 0x13be: 'Ÿ',
	}
	for i, r := range cyrillic {
		m[0x6c0+uint32(i)] = r
	}
	return m
}()

// symRune is the character of a keysym, 0 for keys without one.
func symRune(s uint32) rune {
	switch {
	case s >= 0x20 && s <= 0x7e || s >= 0xa0 && s <= 0xff:
		return rune(s)
	case s&0xff000000 == 0x01000000:
		return rune(s & 0xffffff)
	}
	return legacy[s]
}

// runeSym is a keysym for a character.
func runeSym(r rune) uint32 {
	if r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xff {
		return uint32(r)
	}
	return 0x01000000 | uint32(r)
}

// same reports whether two keysyms mean the same key or character.
func same(a, b uint32) bool {
	if a == b {
		return a != 0
	}
	r := symRune(a)
	return r != 0 && r == symRune(b)
}

// modifier reports whether a keysym is a key that changes others: Shift to Hyper, AltGr, the locks.
func modifier(s uint32) bool {
	return s >= 0xffe1 && s <= 0xffee || s >= 0xfe01 && s <= 0xfe0f || s == 0xff7e || s == 0xff7f
}

// extended maps the PC scan codes that come after an e0 byte to Linux key codes.
var extended = map[uint32]int{
	0x1c: 96, 0x1d: 97, 0x35: 98, 0x37: 99, 0x38: 100, 0x46: 119, 0x47: 102, 0x48: 103, 0x49: 104, 0x4b: 105, 0x4d: 106, 0x4f: 107,
	0x50: 108, 0x51: 109, 0x52: 110, 0x53: 111, 0x5b: 125, 0x5c: 126, 0x5d: 127, 0x5e: 116, 0x5f: 142, 0x63: 143,
	0x20: 113, 0x2e: 114, 0x30: 115, 0x22: 164, 0x24: 166, 0x19: 163, 0x10: 165, 0x32: 172, 0x21: 140, 0x6c: 155, 0x65: 217,
}

// fromScan is the X keycode of a PC scan code in the form 0x80|code for keys with
// e0; 0 when unknown. X servers on Linux number keys as the kernel does, plus 8.
func fromScan(scan uint32) int {
	switch {
	case scan == 0:
		return 0
	case scan < 0x59:
		return int(scan) + 8
	case scan&0x80 != 0:
		if c, ok := extended[scan&0x7f]; ok {
			return c + 8
		}
	}
	return 0
}

// keypad reports whether a keysym is a key of the number pad.
func keypad(s uint32) bool { return s >= 0xff80 && s <= 0xffbd }
