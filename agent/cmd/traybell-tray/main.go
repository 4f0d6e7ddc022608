// Command traybell-tray is Traybell's icon and menu in a login session.
//
//	traybell-tray [--socket PATH]
//	traybell-tray page KIND [SESSION] [--socket PATH]    one window as a page in the user's browser
//
// It opens the pages by itself where windows can't be drawn, where a screen reader runs, and always
// with TRAYBELL_UI=browser.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/traybell/traybell/agent/internal/page"
	"github.com/traybell/traybell/agent/internal/tray"
	"github.com/traybell/traybell/agent/internal/window/keep"
	"github.com/traybell/traybell/agent/internal/window/launch"
	"github.com/traybell/traybell/shared/catalogue"
)

func main() {
	// The tray runs all day and does little: memory is worth more than collector time.
	debug.SetGCPercent(25)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "traybell-tray:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, args []string) error {
	if len(args) > 0 && args[0] == "page" {
		w, err := launch.Parse(args[1:])
		if err != nil {
			return err
		}
		return servePage(ctx, log, w)
	}
	socket := ""
	switch {
	case len(args) == 2 && args[0] == "--socket":
		socket = args[1]
	case len(args) == 1 && strings.HasPrefix(args[0], "--socket="):
		socket = strings.TrimPrefix(args[0], "--socket=")
	case len(args) > 0:
		return fmt.Errorf("unknown arguments %q; usage: traybell-tray [--socket PATH]", args)
	}
	lock, err := single()
	if errors.Is(err, keep.ErrLocked) {
		log.Info("the tray of this login session runs already")
		return nil
	} else if err != nil {
		log.Warn("can't tell whether another tray runs", "err", err)
	} else {
		defer lock.Release()
	}
	return showTray(ctx, log, socket)
}

// single takes the lock of this login session.
func single() (*keep.Lock, error) {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		var err error
		if dir, err = keep.Folder(); err != nil {
			return nil, err
		}
	}
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r == '\\' {
			return '-'
		}
		return r
	}, os.Getenv("XDG_SESSION_ID")+os.Getenv("DISPLAY"))
	return keep.Take(filepath.Join(dir, "traybell-tray-"+name+".lock"))
}

func showTray(ctx context.Context, log *slog.Logger, socket string) error {
	words := catalogue.For(launch.Language())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notes := tray.NewNotes(ctx, log, words.T("notice.open"))
	go func() {
		select {
		case <-notes.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	o := tray.Options{Socket: socket, Words: words, Log: log, Notify: notes, Call: launch.Call, Open: opener(log)}
	if !launch.HasBus() {
		// Without a tray questions still come, and the application menu has the same entries.
		log.Info("this session has no tray")
		o.Face = tray.Blind{}
		return tray.Run(ctx, o)
	}
	return tray.OnDesktop(ctx, cancel, func(f tray.Face) error {
		o.Face = f
		return tray.Run(ctx, o)
	})
}

// pagesFor is how long pages open at once after a window could not be drawn: a person who is asked
// something must not wait for the same failure again.
const pagesFor = time.Hour

// opener shows a window, or the page in its place.
func opener(log *slog.Logger) func(context.Context, launch.Window) (tray.Shown, error) {
	var failed atomic.Int64 // Unix seconds
	return func(ctx context.Context, w launch.Window) (tray.Shown, error) {
		recently := time.Since(time.Unix(failed.Load(), 0)) < pagesFor
		if os.Getenv("TRAYBELL_UI") != "browser" && !recently && !launch.ScreenReader() {
			program, err := launch.Beside("traybell-window")
			if err != nil {
				return nil, err
			}
			p, err := launch.Start(ctx, program, w.Args(), launch.Patience)
			if err == nil {
				return p, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			failed.Store(time.Now().Unix())
			log.Warn("no window, the browser page opens instead", "err", err)
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p, err := launch.Start(ctx, self, append([]string{"page"}, w.Args()...), launch.Patience)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

func servePage(ctx context.Context, log *slog.Logger, w launch.Window) error {
	return page.Run(ctx, page.Options{Window: w, Language: launch.Language(), Log: log, Browse: launch.Browse,
		Ready: func() { fmt.Println("shown") }})
}
