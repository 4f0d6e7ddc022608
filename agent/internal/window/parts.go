package window

import (
	"fmt"
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"
)

// Measures of every window, in Fyne's pixels.
const (
	wide      = 560
	margin    = 16
	inside    = wide - 2*margin
	gap       = 8
	label     = 152 // the form's label column
	labelSlim = 112 // the question's
)

// column stacks objects with a gap; hidden ones take no room.
type column struct{ gap float32 }

func (c column) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	y := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		h := o.MinSize().Height
		o.Move(fyne.NewPos(0, y))
		o.Resize(fyne.NewSize(size.Width, h))
		y += h + c.gap
	}
}

func (c column) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		if s.Height > 0 {
			s.Height += c.gap
		}
		m := o.MinSize()
		s.Height += m.Height
		s.Width = max(s.Width, m.Width)
	}
	return s
}

// sides puts a term of fixed width before its value. middle centres both on the row.
type sides struct {
	left   float32
	middle bool
}

func (s sides) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	l, r := objects[0], objects[1]
	lh, rh := l.MinSize().Height, r.MinSize().Height
	ly, ry := float32(0), float32(0)
	if s.middle {
		ly, ry = (size.Height-lh)/2, (size.Height-rh)/2
	} else if lh < 24 {
		ly = min(6, max(0, (rh-lh)/2))
	}
	l.Move(fyne.NewPos(0, ly))
	l.Resize(fyne.NewSize(s.left, lh))
	r.Move(fyne.NewPos(s.left+gap, ry))
	r.Resize(fyne.NewSize(size.Width-s.left-gap, rh))
}

func (s sides) MinSize(objects []fyne.CanvasObject) fyne.Size {
	l, r := objects[0].MinSize(), objects[1].MinSize()
	return fyne.NewSize(s.left+gap+r.Width, max(l.Height, r.Height, 20))
}

// flow sets objects side by side and breaks the line at width.
type flow struct{ width, gap float32 }

func (f flow) place(objects []fyne.CanvasObject, put func(fyne.CanvasObject, float32, float32, fyne.Size)) fyne.Size {
	var x, y, high, broad float32
	type spot struct {
		o fyne.CanvasObject
		x float32
		m fyne.Size
	}
	var row []spot
	end := func() {
		for _, s := range row {
			if put != nil {
				put(s.o, s.x, y+(high-s.m.Height)/2, s.m)
			}
		}
		row = row[:0]
	}
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		if x > 0 && x+m.Width > f.width {
			end()
			x, y, high = 0, y+high+4, 0
		}
		high = max(high, m.Height)
		row = append(row, spot{o, x, m})
		broad = max(broad, x+m.Width)
		x += m.Width + f.gap
	}
	end()
	return fyne.NewSize(broad, y+high)
}

func (f flow) Layout(objects []fyne.CanvasObject, _ fyne.Size) {
	f.place(objects, func(o fyne.CanvasObject, x, y float32, m fyne.Size) {
		o.Move(fyne.NewPos(x, y))
		o.Resize(m)
	})
}

func (f flow) MinSize(objects []fyne.CanvasObject) fyne.Size { return f.place(objects, nil) }

// ends sets the first objects from the left and the others, from index right on, at the right edge.
type ends struct{ right int }

func (e ends) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	x := float32(0)
	for _, o := range objects[:e.right] {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		o.Move(fyne.NewPos(x, (size.Height-m.Height)/2))
		o.Resize(m)
		x += m.Width + gap
	}
	x = size.Width
	for i := len(objects) - 1; i >= e.right; i-- {
		o := objects[i]
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		x -= m.Width
		o.Move(fyne.NewPos(x, (size.Height-m.Height)/2))
		o.Resize(m)
		x -= gap
	}
}

func (e ends) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var s fyne.Size
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		m := o.MinSize()
		s.Width += m.Width + gap
		s.Height = max(s.Height, m.Height)
	}
	s.Width -= gap
	return s
}

// inset gives its one object a margin.
type inset struct{ x, y float32 }

func (i inset) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	objects[0].Move(fyne.NewPos(i.x, i.y))
	objects[0].Resize(fyne.NewSize(size.Width-2*i.x, size.Height-2*i.y))
}

func (i inset) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return objects[0].MinSize().Add(fyne.NewSize(2*i.x, 2*i.y))
}

func stack(g float32, objects ...fyne.CanvasObject) *fyne.Container {
	return container.New(column{g}, objects...)
}

func pair(width float32, l, r fyne.CanvasObject) *fyne.Container {
	return container.New(sides{left: width, middle: true}, l, r)
}

func pairTop(width float32, l, r fyne.CanvasObject) *fyne.Container {
	return container.New(sides{left: width}, l, r)
}

func hairline() fyne.CanvasObject {
	r := canvas.NewRectangle(tone(line))
	r.SetMinSize(fyne.NewSize(1, 1))
	return r
}

// box sets its content on a ground with a hairline.
func box(ground ink, border bool, x, y float32, content fyne.CanvasObject) fyne.CanvasObject {
	r := canvas.NewRectangle(tone(ground))
	r.CornerRadius = 4
	if border {
		r.StrokeColor, r.StrokeWidth = tone(line), 1
	}
	return container.NewStack(r, container.New(inset{x, y}, content))
}

// para is a text that breaks at a fixed width, in one style.
type para struct {
	widget.BaseWidget
	text  string
	size  float32
	style fyne.TextStyle
	ink   ink
	width float32
	box   *fyne.Container
}

func newPara(text string, size float32, bold bool, i ink, width float32) *para {
	p := &para{text: text, size: size, style: fyne.TextStyle{Bold: bold}, ink: i, width: width, box: container.New(column{0})}
	p.fill()
	p.ExtendBaseWidget(p)
	return p
}

func (p *para) set(text string) {
	if text != p.text {
		p.text = text
		p.fill()
		p.box.Refresh()
	}
}

func (p *para) fill() {
	p.box.Objects = nil
	high := fyne.MeasureText("Ag", p.size, p.style).Height
	for _, l := range wrap(p.text, p.size, p.style, p.width) {
		t := canvas.NewText(l, tone(p.ink))
		t.TextSize, t.TextStyle = p.size, p.style
		p.box.Add(container.New(tall{max(high, 20*p.size/14)}, t))
	}
}

// tall gives one line of text its line height.
type tall struct{ high float32 }

func (l tall) Layout(o []fyne.CanvasObject, size fyne.Size) {
	m := o[0].MinSize()
	o[0].Move(fyne.NewPos(0, (size.Height-m.Height)/2))
	o[0].Resize(m)
}

func (l tall) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(o[0].MinSize().Width, l.high)
}

func (p *para) CreateRenderer() fyne.WidgetRenderer { return widget.NewSimpleRenderer(p.box) }

// wrap breaks text into lines no wider than width; a word that is wider is broken anywhere.
func wrap(text string, size float32, style fyne.TextStyle, width float32) []string {
	fits := func(s string) bool { return fyne.MeasureText(s, size, style).Width <= width }
	var lines []string
	for _, hard := range strings.Split(text, "\n") {
		cur := ""
		for _, word := range strings.Fields(hard) {
			next := word
			if cur != "" {
				next = cur + " " + word
			}
			if fits(next) {
				cur = next
				continue
			}
			if cur != "" {
				lines = append(lines, cur)
			}
			cur = ""
			for _, r := range word {
				if cur != "" && !fits(cur+string(r)) {
					lines = append(lines, cur)
					cur = ""
				}
				cur += string(r)
			}
		}
		lines = append(lines, cur)
	}
	return lines
}

// cut shortens a text to one line of width.
func cut(text string, size float32, bold bool, width float32) string {
	style := fyne.TextStyle{Bold: bold}
	if fyne.MeasureText(text, size, style).Width <= width {
		return text
	}
	r := []rune(text)
	for len(r) > 1 && fyne.MeasureText(string(r)+"…", size, style).Width > width {
		r = r[:len(r)-1]
	}
	return strings.TrimSpace(string(r)) + "…"
}

// term is the bold label of a row.
func term(text string, width float32) *para { return newPara(text, 13, true, ink1, width) }

// The faces of a press.
type face int

const (
	outlined face = iota
	solid
	danger
	link
	check
	radio
)

// press is everything that can be pressed: buttons, links, checks and radios. Space presses it;
// Return as well, unless quiet.
type press struct {
	widget.BaseWidget
	face    face
	text    string
	glyph   string // inner SVG of an icon, on a 24 × 24 ground
	on      bool
	off     bool // disabled
	quiet   bool
	slim    bool
	broad   float32 // least width
	focused bool
	over    bool
	tapped  func()
	escaped func()
	reveal  func()
}

func newPress(f face, text string, tapped func()) *press {
	p := &press{face: f, text: text, tapped: tapped}
	p.ExtendBaseWidget(p)
	return p
}

func button(text string, tapped func()) *press { return newPress(outlined, text, tapped) }
func slimButton(text string, tapped func()) *press {
	p := button(text, tapped)
	p.slim = true
	return p
}
func solidButton(text string, tapped func()) *press { return newPress(solid, text, tapped) }
func newLink(text string, tapped func()) *press     { return newPress(link, text, tapped) }

func newCheck(text string, on bool, changed func(bool)) *press {
	p := newPress(check, text, nil)
	p.on = on
	p.tapped = func() {
		p.on = !p.on
		p.Refresh()
		if changed != nil {
			changed(p.on)
		}
	}
	return p
}

// radios is a group of which one at most is on.
type radios struct {
	items   []*press
	values  []string
	changed func(string)
}

func newRadios(changed func(string)) *radios { return &radios{changed: changed} }

func (r *radios) add(value, text string) *press {
	p := newPress(radio, text, nil)
	p.tapped = func() {
		r.set(value)
		if r.changed != nil {
			r.changed(value)
		}
	}
	r.items, r.values = append(r.items, p), append(r.values, value)
	return p
}

func (r *radios) set(value string) {
	for i, p := range r.items {
		if on := r.values[i] == value; on != p.on {
			p.on = on
			p.Refresh()
		}
	}
}

func (r *radios) objects() []fyne.CanvasObject {
	var out []fyne.CanvasObject
	for _, p := range r.items {
		out = append(out, p)
	}
	return out
}

func (p *press) setText(s string) {
	if p.text != s {
		p.text = s
		p.Refresh()
	}
}

func (p *press) enable(yes bool) {
	if p.off == yes {
		p.off = !yes
		p.Refresh()
	}
}

func (p *press) Tapped(*fyne.PointEvent) { p.fire() }

func (p *press) fire() {
	if !p.off && p.tapped != nil {
		p.tapped()
	}
}

func (p *press) FocusGained() {
	p.focused = true
	p.Refresh()
	if p.reveal != nil {
		p.reveal()
	}
}

func (p *press) FocusLost()     { p.focused = false; p.Refresh() }
func (p *press) Disabled() bool { return p.off }
func (p *press) Enable()        { p.enable(true) }
func (p *press) Disable()       { p.enable(false) }

func (p *press) TypedRune(rune) {}

func (p *press) TypedKey(e *fyne.KeyEvent) {
	switch {
	case e.Name == fyne.KeySpace, (e.Name == fyne.KeyReturn || e.Name == fyne.KeyEnter) && !p.quiet && p.face < check:
		p.fire()
	case e.Name == fyne.KeyEscape && p.escaped != nil:
		p.escaped()
	}
}

func (p *press) MouseIn(*desktop.MouseEvent)    { p.over = true; p.Refresh() }
func (p *press) MouseMoved(*desktop.MouseEvent) {}
func (p *press) MouseOut()                      { p.over = false; p.Refresh() }

func (p *press) Cursor() desktop.Cursor {
	if p.face == link && !p.off {
		return desktop.PointerCursor
	}
	return desktop.DefaultCursor
}

func (p *press) CreateRenderer() fyne.WidgetRenderer {
	r := &pressRenderer{p: p, ring: canvas.NewRectangle(color.Transparent), ground: canvas.NewRectangle(color.Transparent),
		label: canvas.NewText("", color.Black), dot: canvas.NewCircle(color.Transparent), under: canvas.NewLine(color.Transparent),
		icon: canvas.NewImageFromResource(nil)}
	r.icon.FillMode = canvas.ImageFillContain
	r.objects = []fyne.CanvasObject{r.ring, r.ground, r.dot, r.icon, r.label, r.under}
	r.Refresh()
	return r
}

type pressRenderer struct {
	p            *press
	ring, ground *canvas.Rectangle
	dot          *canvas.Circle
	icon         *canvas.Image
	label        *canvas.Text
	under        *canvas.Line
	objects      []fyne.CanvasObject
	drawn        string
}

func (r *pressRenderer) Objects() []fyne.CanvasObject { return r.objects }
func (r *pressRenderer) Destroy()                     {}

func (r *pressRenderer) textSize() float32 {
	if r.p.slim || r.p.face == link {
		return 13
	}
	return 14
}

const (
	markSize = 16
	iconSize = 16
)

func (r *pressRenderer) MinSize() fyne.Size {
	t := fyne.MeasureText(r.p.text, r.textSize(), r.label.TextStyle)
	switch r.p.face {
	case link:
		return fyne.NewSize(t.Width, 20)
	case check, radio:
		return fyne.NewSize(markSize+8+t.Width, 24)
	}
	s := fyne.NewSize(t.Width+24, 32)
	if r.p.slim {
		s = fyne.NewSize(t.Width+20, 28)
	}
	if r.p.glyph != "" {
		s.Width += iconSize
		if r.p.text != "" {
			s.Width += 6
		}
	}
	s.Width = max(s.Width, r.p.broad)
	return s
}

func (r *pressRenderer) Layout(size fyne.Size) {
	t := fyne.MeasureText(r.p.text, r.textSize(), r.label.TextStyle)
	r.label.Resize(t)
	switch r.p.face {
	case link:
		r.label.Move(fyne.NewPos(0, (size.Height-t.Height)/2))
		r.under.Position1, r.under.Position2 = fyne.NewPos(0, size.Height-2), fyne.NewPos(t.Width, size.Height-2)
		r.around(fyne.NewPos(-3, 0), fyne.NewSize(t.Width+6, size.Height))
	case check, radio:
		y := (size.Height - markSize) / 2
		box, area := fyne.NewPos(0, y), fyne.NewSize(markSize, markSize)
		r.ground.Move(box)
		r.ground.Resize(area)
		r.dot.Move(box.AddXY(5, 5))
		r.dot.Resize(fyne.NewSize(markSize-10, markSize-10))
		r.icon.Move(box.AddXY(1, 1))
		r.icon.Resize(fyne.NewSize(markSize-2, markSize-2))
		r.label.Move(fyne.NewPos(markSize+8, (size.Height-t.Height)/2))
		r.around(fyne.NewPos(-3, y-3), fyne.NewSize(markSize+6, markSize+6))
	default:
		r.ground.Move(fyne.NewPos(0, 0))
		r.ground.Resize(size)
		w := t.Width
		if r.p.glyph != "" {
			w += iconSize
			if r.p.text != "" {
				w += 6
			}
		}
		x := (size.Width - w) / 2
		r.label.Move(fyne.NewPos(x, (size.Height-t.Height)/2))
		r.icon.Move(fyne.NewPos(x+w-iconSize, (size.Height-iconSize)/2))
		r.icon.Resize(fyne.NewSize(iconSize, iconSize))
		r.around(fyne.NewPos(-3, -3), size.AddWidthHeight(6, 6))
	}
}

func (r *pressRenderer) around(p fyne.Position, s fyne.Size) {
	r.ring.Move(p)
	r.ring.Resize(s)
}

func (r *pressRenderer) Refresh() {
	p := r.p
	ground, stroke, text := surface, control, ink1
	switch p.face {
	case solid:
		ground, stroke, text = accent, accent, onAccent
		if p.over {
			ground, stroke = accentStrong, accentStrong
		}
	case danger:
		ground, stroke, text = surface, control, critical
	case link:
		text = accent
	case check, radio:
		if p.on {
			ground, stroke = accent, accent
		}
	}
	if p.over && (p.face == outlined || p.face == danger) {
		ground = hover
	}
	if p.off {
		text = ink3
		if p.face == solid {
			ground, stroke = sunken, sunken
		} else {
			stroke = line
		}
	}
	r.ground.FillColor, r.ground.StrokeColor, r.ground.StrokeWidth, r.ground.CornerRadius = tone(ground), tone(stroke), 1, 4
	if p.face == link {
		r.ground.FillColor, r.ground.StrokeWidth = color.Transparent, 0
	}
	if p.face == radio {
		r.ground.CornerRadius = markSize / 2
	}
	r.dot.FillColor = color.Transparent
	if p.face == radio && p.on {
		r.dot.FillColor = tone(onAccent)
	}
	glyph, i := p.glyph, text
	if p.face == check {
		glyph, i = "", onAccent
		if p.on {
			glyph = glyphTick
		}
	}
	if drawn := fmt.Sprint(glyph, hex(i)); drawn != r.drawn {
		r.drawn = drawn
		r.icon.Resource = nil
		if glyph != "" {
			r.icon.Resource = icon24(glyph, i)
		}
		r.icon.Refresh()
	}
	r.icon.Hidden = glyph == ""
	r.label.Text, r.label.TextSize, r.label.Color = p.text, r.textSize(), tone(text)
	r.label.TextStyle = fyne.TextStyle{Bold: p.face == solid}
	r.under.StrokeWidth, r.under.StrokeColor = 0, tone(accent)
	r.under.Hidden = true
	if p.face == link && p.over {
		r.under.Hidden, r.under.StrokeWidth = false, 1
	}
	r.ring.FillColor, r.ring.StrokeColor, r.ring.StrokeWidth, r.ring.CornerRadius = color.Transparent, tone(accent), 2, 6
	r.ring.Hidden = !p.focused
	if p.face == radio {
		r.ring.CornerRadius = markSize/2 + 3
	}
	r.Layout(p.Size())
	for _, o := range r.objects {
		canvas.Refresh(o)
	}
}

// dropDown opens a menu under what was pressed, or above it where there is no room.
func dropDown(w fyne.Window, under *press, items []*fyne.MenuItem) {
	pos := fyne.CurrentApp().Driver().AbsolutePositionForObject(under)
	m := widget.NewPopUpMenu(fyne.NewMenu("", items...), w.Canvas())
	pos.Y += under.Size().Height
	if high := w.Canvas().Size().Height; pos.Y+m.MinSize().Height > high {
		pos.Y = max(0, high-m.MinSize().Height)
	}
	m.ShowAtPosition(pos)
}

// The icons of @tabler/icons (MIT) that we use, and the marks of our own.
const (
	glyphTick    = `<path d="M5 12l5 5l10 -10" stroke-width="3"/>`
	glyphDown    = `<path d="M6 9l6 6l6 -6"/>`
	glyphRight   = `<path d="M9 6l6 6l-6 6"/>`
	glyphAlert   = `<path d="M12 3a9 9 0 1 0 0.001 0"/><path d="M12 8v4"/><path d="M12 16h.01"/>`
	glyphEye     = `<path d="M12 10a2 2 0 1 0 0.001 0"/><path d="M21 12c-2.4 4 -5.4 6 -9 6c-3.6 0 -6.6 -2 -9 -6c2.4 -4 5.4 -6 9 -6c3.6 0 6.6 2 9 6"/>`
	glyphClip    = `<path d="M15 7l-6.5 6.5a1.5 1.5 0 0 0 3 3l6.5 -6.5a3 3 0 0 0 -6 -6l-6.5 6.5a4.5 4.5 0 0 0 9 9l6.5 -6.5"/>`
	markCritical = `<path d="M4.2.6h5.6l3.6 3.6v5.6l-3.6 3.6H4.2L.6 9.8V4.2z" fill="INK"/><path d="M7 3.4v4.2M7 10.2v.3" stroke="GROUND" stroke-width="1.8" stroke-linecap="round"/>`
	markHigh     = `<path d="M7 1.4 13.2 12.4H.8z" fill="INK" stroke="INK" stroke-width="1" stroke-linejoin="round"/>`
	markMedium   = `<path d="M7 1.2 12.8 7 7 12.8 1.2 7z" fill="none" stroke="INK" stroke-width="1.75" stroke-linejoin="round"/><path d="M7 2.4v9.2L2.4 7z" fill="INK"/>`
	markLow      = `<path d="M2 7h10" stroke="INK" stroke-width="2" stroke-linecap="round"/>`
	ringed       = `<circle cx="7" cy="7" r="5.5" fill="none" stroke="INK" stroke-width="1.75"/>`
	markNew      = `<path d="M12.5 7a5.5 5.5 0 0 1-.9 3M10 11.6a5.5 5.5 0 0 1-3.2.9M4.2 11.7A5.5 5.5 0 0 1 2 9.2M1.5 7a5.5 5.5 0 0 1 .9-3M4 2.4a5.5 5.5 0 0 1 3.2-.9M9.8 2.3A5.5 5.5 0 0 1 12 4.8" fill="none" stroke="INK" stroke-width="1.75"/>`
	markOpen     = ringed + `<path d="M7 3.6a3.4 3.4 0 0 1 0 6.8z" fill="INK"/>`
	markWaiting  = ringed + `<path d="M7 4v3.2l2 1.3" fill="none" stroke="INK" stroke-width="1.5" stroke-linecap="round"/>`
	markPaused   = ringed + `<path d="M5.6 5v4M8.4 5v4" stroke="INK" stroke-width="1.6" stroke-linecap="round"/>`
	markResolved = ringed + `<path d="m4.6 7.2 1.7 1.7 3.1-3.5" fill="none" stroke="INK" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/>`
	markClosed   = `<circle cx="7" cy="7" r="6.4" fill="INK"/><path d="m4.4 7.2 1.8 1.8 3.4-3.8" fill="none" stroke="GROUND" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/>`
)

var marks = map[string]struct {
	svg string
	ink ink
}{
	"critical": {markCritical, critical}, "high": {markHigh, high}, "medium": {markMedium, medium}, "low": {markLow, low},
	"new": {markNew, statusNew}, "open": {markOpen, statusOpen}, "waiting": {markWaiting, statusWaiting},
	"paused": {markPaused, statusPaused}, "resolved": {markResolved, statusResolved}, "closed": {markClosed, statusClosed},
}

func icon24(inner string, i ink) fyne.Resource {
	s := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24" height="24"><g fill="none" stroke="#%06x" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round">%s</g></svg>`, hex(i), inner)
	return fyne.NewStaticResource(fmt.Sprintf("i%08x.svg", hash(s)), []byte(s))
}

// hash names a drawing, because Fyne caches drawings by their name.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// mark draws the shape of a status or severity; live is the eye of somebody who is in.
func mark(name string) fyne.CanvasObject {
	img := canvas.NewImageFromResource(nil)
	img.FillMode = canvas.ImageFillContain
	setMark(img, name)
	return container.NewGridWrap(fyne.NewSize(14, 20), img)
}

func setMark(img *canvas.Image, name string) {
	if name == "live" {
		img.Resource = icon24(glyphEye, live)
		img.Refresh()
		return
	}
	m, ok := marks[name]
	if !ok {
		m = marks["low"]
	}
	inner := strings.NewReplacer("INK", fmt.Sprintf("#%06x", hex(m.ink)), "GROUND", fmt.Sprintf("#%06x", hex(surface))).Replace(m.svg)
	s := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 14 14" width="14" height="14">` + inner + `</svg>`
	img.Resource = fyne.NewStaticResource(fmt.Sprintf("m%08x.svg", hash(s)), []byte(s))
	img.Refresh()
}

// entry is a text field in which Tab moves on, also where several lines fit.
type entry struct {
	widget.Entry
	paste  func() bool // pastes a picture; false: there is none
	reveal func()
}

// FocusGained scrolls to the field.
func (e *entry) FocusGained() {
	e.Entry.FocusGained()
	if e.reveal != nil {
		e.reveal()
	}
}

func newEntry(hint string, lines int) *entry {
	e := &entry{}
	e.ExtendBaseWidget(e)
	e.PlaceHolder = hint
	if lines > 1 {
		e.MultiLine = true
		e.Wrapping = fyne.TextWrapWord
		e.SetMinRowsVisible(lines)
	}
	e.Scroll = fyne.ScrollNone
	if lines > 1 {
		e.Scroll = fyne.ScrollVerticalOnly
	}
	return e
}

func (e *entry) AcceptsTab() bool { return false }

func (e *entry) TypedShortcut(s fyne.Shortcut) {
	if paste, ok := s.(*fyne.ShortcutPaste); ok && e.paste != nil && paste.Clipboard != nil && paste.Clipboard.Content() == "" && e.paste() {
		return
	}
	e.Entry.TypedShortcut(s)
}

// wrong is the sentence under a field that keeps the form from being sent.
type wrong struct {
	box  *fyne.Container
	text *para
}

func newWrong(width float32) *wrong {
	img := canvas.NewImageFromResource(icon24(glyphAlert, critical))
	img.FillMode = canvas.ImageFillContain
	w := &wrong{text: newPara("", 13, false, critical, width-22)}
	w.box = container.New(sides{left: 14}, container.NewGridWrap(fyne.NewSize(14, 20), img), w.text)
	w.box.Hide()
	return w
}

func (w *wrong) visible() bool { return w.box.Visible() }

func (w *wrong) set(text string) {
	w.text.set(text)
	if text == "" {
		w.box.Hide()
	} else {
		w.box.Show()
	}
}
