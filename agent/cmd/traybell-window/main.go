// Command traybell-window shows one of Traybell's windows in the user's desktop session:
//
//	traybell-window form|tickets|access|history|status|about [--socket PATH]
//	traybell-window consent SESSION [--socket PATH]
//
// It prints the line "shown" once the window is drawn, so that whoever started it can open the
// browser page instead if that does not come; and it comes to the front when its standard input
// says "raise". It ends with its window.
package main

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"image/color"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"github.com/go-gl/glfw/v3.3/glfw"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/keep"
	"github.com/traybell/traybell/agent/internal/window/launch"
	"github.com/traybell/traybell/agent/internal/window/screen"
	"github.com/traybell/traybell/shared/catalogue"
)

func main() {
	a, err := launch.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "traybell-window:", err)
		os.Exit(2)
	}
	debug.SetGCPercent(400) // a window starts often and lives for minutes
	os.Exit(run(a, slog.New(slog.NewTextHandler(os.Stderr, nil))))
}

// early is how long the window waits for the service before it is drawn without its answers.
const early = 300 * time.Millisecond

// repaint is how long a desktop may take to paint what was behind a window.
const repaint = 300 * time.Millisecond

func run(a launch.Window, log *slog.Logger) int {
	words := catalogue.For(launch.Language())
	service := content.NewService(a.Socket, words.Language())
	first := make(chan answers, 1)
	go func() { first <- ask(service, words, a) }()
	scheme := make(chan string, 1)
	go func() { scheme <- launch.Scheme() }()

	if a.Kind == content.KindConsent {
		// The question must not take the keyboard from what the person is typing. GLFW keeps this
		// hint for the window that Fyne makes later; init here is the same as Fyne's own.
		if err := glfw.Init(); err != nil {
			fmt.Fprintln(os.Stderr, "traybell-window:", err)
			return 1
		}
		glfw.WindowHint(glfw.FocusOnShow, glfw.False)
		// Some desktops put a window without the focus behind the others; a question must be seen.
		glfw.WindowHint(glfw.Floating, glfw.True)
	}
	program := app.New() // without an id, for nothing is kept in Fyne's preferences
	if wish, ok := map[string]fyne.ThemeVariant{"light": theme.VariantLight, "dark": theme.VariantDark}[<-scheme]; ok {
		window.Variant(&wish)
	}
	program.Settings().SetTheme(window.Theme())
	program.SetIcon(window.Icon())
	w := program.NewWindow("Traybell")
	w.SetIcon(window.Icon())
	w.SetMaster()
	if a.Kind == content.KindConsent {
		leaveFocus(w)
	}

	o := window.Options{Service: service, Words: words, Log: log,
		Browse: func(url string) {
			if err := launch.Browse(url); err != nil {
				log.Error("open browser", "err", err)
			}
		},
		Open: func(kind string) { open(log, launch.Window{Kind: kind, Socket: a.Socket}) }}
	if dir, err := keep.Folder(); err == nil {
		o.Dir = dir
	} else {
		log.Warn("nothing can be kept for this user", "err", err)
	}
	if screen.Here() {
		o.Capture = func(ctx context.Context) (image.Image, error) {
			// The window has just gone; what was behind it is still being painted.
			t := time.NewTimer(repaint)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return screen.Capture(ctx)
		}
	}
	if screen.Clipboard() {
		o.Picture = screen.Picture
	}

	var got answers
	late := false
	wait := time.NewTimer(early)
	if a.Kind != content.KindForm {
		wait.Reset(window.Patience)
	}
	select {
	case got = <-first:
	case <-wait.C:
		late = true
	}
	o.Status, o.Report = got.status, got.report
	drawn, last := func() {}, func() {}
	switch a.Kind {
	case content.KindForm:
		v := window.NewForm(w, o)
		last = v.Wait
		w.SetOnDropped(func(_ fyne.Position, uris []fyne.URI) {
			for _, u := range uris {
				v.Attach(u.Path())
			}
		})
		if late {
			go func() {
				got := <-first
				fyne.Do(func() { v.Update(got.status, got.report) })
			}()
		}
	case content.KindConsent:
		if over := content.Gone(got.err); over != "" {
			got.consent.Over = over
		} else if got.err != nil {
			window.NewSheet(w, o, content.Unread(words, a.Kind, got.err))
			break
		}
		v := window.NewQuestion(w, o, got.consent)
		drawn = func() { v.Drawn(); go tick(v) }
	default:
		s := window.NewSheet(w, o, got.sheet)
		// Permissions are changed in these two: nobody may press their buttons from afar.
		if a.Kind == content.KindAccess || a.Kind == content.KindLink {
			go guard(service, log)
		}
		if a.Kind == content.KindAccess {
			go every(10*time.Second, s.Reload)
		}
	}
	w.CenterOnScreen()
	watch(w, func() {
		fmt.Println("shown")
		fit(w)
		drawn()
	})
	go commands(w)
	w.ShowAndRun()
	last()
	return 0
}

type answers struct {
	status  localapi.Status
	report  localapi.Report
	consent localapi.Consent
	sheet   content.Sheet
	err     error
}

// ask gets what the window shows, while the toolkit starts.
func ask(s *content.Service, words *catalogue.Printer, a launch.Window) answers {
	ctx, cancel := context.WithTimeout(context.Background(), window.Patience)
	defer cancel()
	var got answers
	switch a.Kind {
	case content.KindForm:
		if got.status, got.err = s.Status(ctx); got.err == nil {
			got.report, got.err = s.Report(ctx)
		}
	case content.KindConsent:
		var c *localapi.Client
		if c, got.err = s.Client(); got.err == nil {
			got.status, _ = c.Status(ctx) // only says whose technician it is
			got.consent, got.err = c.Consent(ctx, a.Session)
		}
	default:
		got.sheet = s.Sheet(ctx, words, a.Kind)
	}
	return got
}

func guard(s *content.Service, log *slog.Logger) {
	c, err := s.Client()
	if err == nil {
		err = c.Guard(context.Background())
	}
	if err != nil {
		log.Warn("no guard", "err", err)
	}
}

func tick(v *window.Question) { every(time.Second, func() { fyne.DoAndWait(v.Tick) }) }

func every(d time.Duration, do func()) {
	for range time.Tick(d) {
		do()
	}
}

// watch calls drawn once the window has been painted: a raster in its corner is asked for its
// picture while the first frame is made, and what Fyne is told then runs after that frame.
func watch(w fyne.Window, drawn func()) {
	var once sync.Once
	eye := canvas.NewRaster(func(int, int) image.Image {
		once.Do(func() {
			go func() {
				fyne.DoAndWait(func() {})
				fyne.Do(drawn)
			}()
		})
		return image.NewUniform(color.Transparent)
	})
	eye.SetMinSize(fyne.NewSize(1, 1))
	w.SetContent(container.NewStack(container.New(corner{}, eye), w.Content()))
}

// fit makes a window no higher than the screen has room for; what does not fit scrolls.
func fit(w fyne.Window) {
	m := glfw.GetPrimaryMonitor()
	if m == nil {
		return
	}
	const frame = 48 // of the window manager, in pixels
	_, _, _, high := m.GetWorkarea()
	scale, size := w.Canvas().Scale(), w.Canvas().Size()
	if room := float32(high-frame) / max(scale, 0.1); high > frame && size.Height > room {
		w.Resize(fyne.NewSize(size.Width, room))
		w.CenterOnScreen()
	}
}

// corner gives its object one pixel.
type corner struct{}

func (corner) Layout(o []fyne.CanvasObject, _ fyne.Size)      { o[0].Resize(fyne.NewSize(1, 1)) }
func (corner) MinSize(o []fyne.CanvasObject) (none fyne.Size) { return none }

// commands follows standard input, whose other end is the tray.
func commands(w fyne.Window) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if strings.TrimSpace(in.Text()) == "raise" {
			fyne.Do(w.RequestFocus)
		}
	}
}

// open starts another window beside this one; it outlives this one.
func open(log *slog.Logger, w launch.Window) {
	program, err := launch.Beside("traybell-window")
	if err == nil {
		cmd := exec.Command(program, w.Args()...)
		cmd.Stderr = os.Stderr
		err = cmd.Start()
	}
	if err != nil {
		log.Error("open window", "err", err)
	}
}

func init() { runtime.LockOSThread() } // GLFW belongs to the main thread
