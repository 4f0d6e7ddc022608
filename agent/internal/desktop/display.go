package desktop

import (
	"errors"
	"image"

	"github.com/traybell/traybell/agent/internal/encode"
	"github.com/traybell/traybell/agent/internal/rfb"
)

// display is a screen of this computer. One goroutine calls Wait all the time;
// the other methods are called by one goroutine at a time, and Close last.
type display interface {
	// Wait blocks until something changed. After pictureChanged it is silent
	// about the picture until the next Grab. An error is final.
	Wait() (event, error)

	// Grab brings the frame up to date, reading what changed, or everything. What
	// changed wholly inside quiet it only keeps for a later Grab, if nothing else
	// changed. errSizeChanged means: again.
	Grab(all bool, quiet []image.Rectangle) (grabbed, error)

	// Windows updates a viewer's notes of where windows are and returns those
	// that moved since. The number names the state of the notes; 0 is none.
	Windows(since uint64, into map[uint32]image.Rectangle) (uint64, []encode.Move)

	// Cursor is the pointer's present shape.
	Cursor() (rfb.Cursor, error)

	// Pointer is where the pointer is.
	Pointer() (image.Point, error)

	// WatchPointer calls moved whenever the pointer moves, whoever moves it,
	// until the returned function is called.
	WatchPointer(moved func()) (stop func(), err error)

	// Size is the screen's present size.
	Size() image.Point

	// Input is the way to inject events, nil where nothing may be injected.
	Input() input

	Close() error
}

// input injects keys and pointer events. Its methods are called by one goroutine at a time.
type input interface {
	// Press presses the key that gives the keysym, or with keysym 0 the physical
	// key of the PC scan code, and returns what Release needs; false when there is no such key.
	Press(keysym, scan uint32) (key int, ok bool, err error)
	Release(key int) error
	Move(x, y int) error
	Button(n int, down bool) error // from 1
	Sync() error                   // returns when everything injected has been carried out
}

type event int

const (
	pictureChanged event = iota + 1
	cursorChanged
	sizeChanged
)

type grabbed struct {
	frame   *encode.Frame
	dirty   []image.Rectangle
	resized bool
	kept    bool // something inside the quiet rectangles waits for a later Grab
}

var errSizeChanged = errors.New("the screen's size changed")
