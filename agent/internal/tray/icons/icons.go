// Package icons holds the tray's icon in its four states, rendered from the masters in assets by
// package render.
package icons

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"runtime"
)

// The states as PNG, 44 × 44.
var (
	//go:embed outline.png
	outline []byte
	//go:embed full.png
	full []byte
	//go:embed dot.png
	dot []byte
	//go:embed eye.png
	eye []byte
)

// Outline: the server is not reached, tickets are kept.
func Outline() []byte { return native(outline) }

// Full: ready.
func Full() []byte { return native(full) }

// Dot: a new answer.
func Dot() []byte { return native(dot) }

// Eye: somebody can see the screen.
func Eye() []byte { return native(eye) }

// native is the icon as the platform's tray wants it: on Windows a PNG inside an ICO.
func native(png []byte) []byte {
	if runtime.GOOS != "windows" {
		return png
	}
	var b bytes.Buffer
	for _, v := range []any{uint16(0), uint16(1), uint16(1), uint8(44), uint8(44), uint16(0), uint16(1), uint16(32), uint32(len(png)), uint32(22)} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.Write(png)
	return b.Bytes()
}
