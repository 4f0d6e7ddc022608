package main

import (
	"context"
	"time"

	"golang.org/x/sys/windows"
)

// raw passes every key on as it is and lets the console obey escape sequences; it returns what undoes
// that. Without a console it does nothing.
func raw() (restore func(), err error) {
	in, out := windows.Handle(windows.Stdin), windows.Handle(windows.Stdout)
	var oldIn, oldOut uint32
	if windows.GetConsoleMode(in, &oldIn) != nil || windows.GetConsoleMode(out, &oldOut) != nil {
		return func() {}, nil
	}
	mode := oldIn&^(windows.ENABLE_ECHO_INPUT|windows.ENABLE_LINE_INPUT|windows.ENABLE_PROCESSED_INPUT) | windows.ENABLE_VIRTUAL_TERMINAL_INPUT
	if err := windows.SetConsoleMode(in, mode); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(out, oldOut|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING|windows.ENABLE_PROCESSED_OUTPUT); err != nil {
		windows.SetConsoleMode(in, oldIn)
		return nil, err
	}
	return func() {
		windows.SetConsoleMode(in, oldIn)
		windows.SetConsoleMode(out, oldOut)
	}, nil
}

// sizes tells the size of the console now and whenever it changes, until ctx ends. Windows sends no
// signal for it.
func sizes(ctx context.Context, tell func(columns, rows int)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	columns, rows := 0, 0
	for {
		var i windows.ConsoleScreenBufferInfo
		if windows.GetConsoleScreenBufferInfo(windows.Handle(windows.Stdout), &i) == nil {
			if c, r := int(i.Window.Right-i.Window.Left)+1, int(i.Window.Bottom-i.Window.Top)+1; c != columns || r != rows {
				columns, rows = c, r
				tell(c, r)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
