package tray

import (
	"context"
	"runtime"
	"strings"

	"fyne.io/systray"

	"github.com/traybell/traybell/agent/internal/tray/icons"
)

// order is every entry that the menu can have, as systray makes it once; entries that a view lacks
// are hidden. Separators stand where they always are.
var order = []Item{{ID: EntryEnd}, {ID: EntryQuestion}, {ID: EntryState}, {}, {ID: EntryForm}, {ID: EntryTickets}, {},
	{ID: EntryAccess, Items: []Item{{ID: EntryOpen}, {ID: EntryChange}, {ID: EntryHistory}}}, {ID: EntryCall}, {ID: EntryLink}, {ID: EntryStatus}, {ID: EntryAbout}}

// Desktop is the real tray, by fyne.io/systray.
type Desktop struct {
	entries map[string]*systray.MenuItem
	now     map[string]Item // as shown
	clicks  chan string
	icon    Icon
	tip     string
}

// NewDesktop makes the icon and an empty menu, from systray's onReady. A left click opens the same
// menu, which is systray's way unless told otherwise. Clicks come out of Clicks until ctx ends.
func NewDesktop(ctx context.Context) *Desktop {
	d := &Desktop{entries: map[string]*systray.MenuItem{}, now: map[string]Item{}, clicks: make(chan string, 16), icon: -1}
	for _, i := range order {
		if i.ID == "" {
			systray.AddSeparator()
			continue
		}
		m := systray.AddMenuItem("", "")
		d.add(ctx, i.ID, m)
		for _, sub := range i.Items {
			d.add(ctx, sub.ID, m.AddSubMenuItem("", ""))
		}
	}
	return d
}

// add follows one entry. systray drops a click while nobody receives, so that each entry has a
// goroutine that only hands on.
func (d *Desktop) add(ctx context.Context, id string, m *systray.MenuItem) {
	m.Hide()
	d.entries[id] = m
	go func() {
		for {
			select {
			case <-m.ClickedCh:
				select {
				case d.clicks <- id:
				default: // sixteen clicks wait already
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Clicks are the ids of chosen entries.
func (d *Desktop) Clicks() <-chan string { return d.clicks }

// Apply shows v.
func (d *Desktop) Apply(v View) {
	if v.Icon != d.icon {
		d.icon = v.Icon
		setIcon(map[Icon]func() []byte{Outline: icons.Outline, Full: icons.Full, Dot: icons.Dot, Eye: icons.Eye}[v.Icon]())
	}
	if v.Tip != d.tip {
		d.tip = v.Tip
		systray.SetTooltip(v.Tip)
	}
	shown := map[string]bool{}
	var walk func([]Item)
	walk = func(items []Item) {
		for _, i := range items {
			m := d.entries[i.ID]
			if m == nil {
				continue
			}
			shown[i.ID] = true
			was, there := d.now[i.ID]
			if !there || was.Title != i.Title {
				m.SetTitle(label(i.Title))
			}
			if i.Info && !was.Info {
				m.Disable()
			} else if !i.Info && was.Info {
				m.Enable()
			}
			if !there {
				m.Show()
			}
			d.now[i.ID] = i
			walk(i.Items)
		}
	}
	walk(v.Items)
	for id, m := range d.entries {
		if _, there := d.now[id]; there && !shown[id] {
			delete(d.now, id)
			m.Enable()
			m.Hide()
		}
	}
}

// setIcon survives the end of the session's bus, for which systray panics; the tray is about to end.
func setIcon(b []byte) {
	defer func() { _ = recover() }()
	systray.SetIcon(b)
}

// label is a title as the menu protocol wants it, where a single underline marks a key.
func label(title string) string {
	if runtime.GOOS == "linux" {
		return strings.ReplaceAll(title, "_", "__")
	}
	return title
}
