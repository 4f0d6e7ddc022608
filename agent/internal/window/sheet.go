package window

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"github.com/traybell/traybell/agent/internal/window/content"
)

// Sheet is a window that lists things: tickets, access, history, status, about.
type Sheet struct {
	o    Options
	w    fyne.Window
	kind string
	busy bool
}

// NewSheet fills w with what sh says.
func NewSheet(w fyne.Window, o Options, sh content.Sheet) *Sheet {
	o.defaults()
	s := &Sheet{o: o, w: w, kind: sh.Kind}
	s.show(sh, "")
	return s
}

// Reload reads the list again and shows it.
func (s *Sheet) Reload() { s.reload("") }

func (s *Sheet) reload(notice string) {
	s.o.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		sh := s.o.Service.Sheet(ctx, s.o.Words, s.kind)
		s.o.Do(func() { s.show(sh, notice) })
	})
}

func (s *Sheet) act(a content.Action) {
	switch a.Verb {
	case content.Close:
		s.w.Close()
		return
	case content.Reload:
		s.reload("")
		return
	case content.New:
		if s.o.Open != nil {
			s.o.Open(a.Arg)
		}
		return
	case content.Open:
		if s.o.Browse != nil {
			s.o.Browse(a.Arg)
		}
		return
	}
	if s.busy {
		return
	}
	s.busy = true
	s.o.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		notice, err := s.o.Service.Do(ctx, s.o.Words, a)
		if err != nil {
			notice = content.Trouble(s.o.Words, err)
		}
		sh := s.o.Service.Sheet(ctx, s.o.Words, s.kind)
		s.o.Do(func() { s.busy = false; s.show(sh, notice) })
	})
}

func (s *Sheet) press(a content.Action, slim bool) *press {
	p := button(a.Label, func() { s.act(a) })
	if a.Danger {
		p.face = danger
	}
	p.slim = slim
	return p
}

func (s *Sheet) show(sh content.Sheet, notice string) {
	s.w.SetTitle(sh.Title)
	var rows []fyne.CanvasObject
	if notice != "" {
		rows = append(rows, box(canvasGround, true, 10, 6, newPara(notice, 13, true, ink1, inside-20)))
	}
	if sh.Intro != "" {
		i := ink2
		if sh.Failed {
			i = ink1
		}
		rows = append(rows, newPara(sh.Intro, 13, false, i, inside))
	}
	if sh.Empty != "" {
		rows = append(rows, newPara(sh.Empty, 14, false, ink1, inside))
	}
	if e := sh.Entry; e != nil {
		in := newEntry(e.Hint, 1)
		send := func(string) {
			a := e.Action
			a.Arg = in.Text
			s.act(a)
		}
		in.OnSubmitted = send
		b := button(e.Action.Label, func() { send("") })
		b.face = solid
		rows = append(rows, pairTop(label, newPara(e.Label, 13, false, ink2, label), in), container.New(ends{1}, newPara("", 13, false, ink2, 1), b))
		defer s.w.Canvas().Focus(in)
	}
	for i, sec := range sh.Sections {
		if i > 0 || sh.Entry != nil {
			rows = append(rows, hairline())
		}
		if sec.Heading != "" {
			rows = append(rows, newPara(sec.Heading, 14, true, ink1, inside))
		}
		if sec.Note != "" {
			rows = append(rows, newPara(sec.Note, 13, false, ink2, inside))
		}
		for j, r := range sec.Rows {
			if j > 0 && r.Label == "" {
				rows = append(rows, hairline())
			}
			rows = append(rows, s.row(r))
		}
	}
	var left, right []fyne.CanvasObject
	for i, a := range sh.Actions {
		p := s.press(a, false)
		if i == len(sh.Actions)-1 {
			p.broad = 104
			right = append(right, p)
		} else {
			left = append(left, p)
		}
	}
	foot := container.New(ends{len(left)}, append(left, right...)...)
	page(s.w, formHigh, stack(gap, rows...), foot)
}

func (s *Sheet) row(r content.Row) fyne.CanvasObject {
	if r.Label != "" {
		value := stack(0, newPara(r.Text, 13, false, ink1, right))
		for _, n := range r.Notes {
			value.Add(newPara(n, 13, false, ink3, right))
		}
		return pairTop(label, newPara(r.Label, 13, false, ink2, label), value)
	}
	width := float32(inside)
	var acts []fyne.CanvasObject
	for _, a := range r.Actions {
		p := s.press(a, true)
		if a.Verb == content.Open {
			p = newLink(a.Label, func() { s.act(a) })
		}
		acts = append(acts, p)
		width -= p.MinSize().Width + gap
	}
	if r.Mark != "" {
		width -= 14 + gap
	}
	i := ink1
	if r.Mark == "live" {
		i = live
	}
	texts := stack(0, newPara(r.Text, 14, r.Strong, i, width))
	for _, n := range r.Notes {
		texts.Add(newPara(n, 13, false, ink2, width))
	}
	objects := []fyne.CanvasObject{texts}
	if r.Mark != "" {
		m := mark(r.Mark)
		objects = []fyne.CanvasObject{container.New(column{0}, m), texts}
	}
	return container.New(beside{len(objects)}, append(objects, acts...)...)
}

// beside sets a mark and texts from the top left, and actions at the middle of the right edge.
type beside struct{ right int }

func (b beside) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	ends(b).Layout(objects, size)
	for _, o := range objects[:b.right] {
		o.Move(fyne.NewPos(o.Position().X, 0))
	}
}

func (b beside) MinSize(objects []fyne.CanvasObject) fyne.Size { return ends(b).MinSize(objects) }
