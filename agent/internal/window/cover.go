package window

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"github.com/traybell/traybell/shared/catalogue"
)

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// Cover fills w with a picture over which the person drags to cover what nobody should see. done
// gets the covered picture as PNG, or nil if it is not to be attached.
func Cover(w fyne.Window, words *catalogue.Printer, img image.Image, done func([]byte)) {
	c := newCovered(img)
	undo := newLink(words.T("form.shot.undo"), c.undo)
	undo.Hide()
	c.changed = func() { undo.Hidden = len(c.rects) == 0; undo.Refresh() }
	cancel := button(words.T("word.cancel"), func() { done(nil) })
	attach := solidButton(words.T("form.shot.attach"), func() {
		b, err := c.png()
		if err != nil {
			b = nil // png.Encode fails on no image of ours
		}
		done(b)
	})
	attach.broad = 104
	broad := float32(960)
	head := stack(2, newPara(words.T("form.shot.hint"), 14, true, ink1, broad-2*margin), newPara(words.T("form.shot.how"), 13, false, ink2, broad-2*margin))
	foot := container.New(ends{1}, undo, cancel, attach)
	w.SetPadded(false)
	w.SetContent(container.NewStack(canvas.NewRectangle(tone(surface)), container.NewBorder(
		container.New(inset{margin, 12}, head), stack(0, hairline(), container.New(inset{margin, 12}, foot)), nil, nil, container.New(inset{margin, 0}, c))))
	b := img.Bounds()
	w.Resize(fyne.NewSize(broad, min(680, (broad-2*margin)*float32(b.Dy())/float32(max(1, b.Dx()))+130)))
	w.CenterOnScreen()
}

// covered is a picture with black rectangles over it.
type covered struct {
	widget.BaseWidget
	img     image.Image
	rects   []image.Rectangle // in the picture's pixels
	start   fyne.Position
	drag    bool
	now     fyne.Position
	changed func()
}

func newCovered(img image.Image) *covered {
	c := &covered{img: img}
	c.ExtendBaseWidget(c)
	return c
}

// fit is where the picture is drawn, and its scale.
func (c *covered) fit() (origin fyne.Position, scale float32) {
	b, s := c.img.Bounds(), c.Size()
	scale = min(s.Width/float32(max(1, b.Dx())), s.Height/float32(max(1, b.Dy())))
	return fyne.NewPos((s.Width-scale*float32(b.Dx()))/2, (s.Height-scale*float32(b.Dy()))/2), scale
}

func (c *covered) rect(a, b fyne.Position) image.Rectangle {
	o, scale := c.fit()
	if scale <= 0 {
		return image.Rectangle{}
	}
	at := func(p fyne.Position) image.Point {
		return image.Pt(int((p.X-o.X)/scale), int((p.Y-o.Y)/scale)).Add(c.img.Bounds().Min)
	}
	r := image.Rectangle{Min: at(a), Max: at(b)}.Canon()
	r.Max = r.Max.Add(image.Pt(1, 1))
	return r.Intersect(c.img.Bounds())
}

func (c *covered) Dragged(e *fyne.DragEvent) {
	if !c.drag {
		c.drag, c.start = true, e.Position.Subtract(e.Dragged)
	}
	c.now = e.Position
	c.Refresh()
}

func (c *covered) DragEnd() {
	if c.drag {
		c.drag = false
		if r := c.rect(c.start, c.now); !r.Empty() {
			c.rects = append(c.rects, r)
		}
		c.Refresh()
		if c.changed != nil {
			c.changed()
		}
	}
}

func (c *covered) undo() {
	if n := len(c.rects); n > 0 {
		c.rects = c.rects[:n-1]
		c.Refresh()
		if c.changed != nil {
			c.changed()
		}
	}
}

// png is the picture as it will be sent: what is covered is gone, not hidden.
func (c *covered) png() ([]byte, error) {
	b := c.img.Bounds()
	out := image.NewRGBA(b)
	draw.Draw(out, b, c.img, b.Min, draw.Src)
	for _, r := range c.rects {
		draw.Draw(out, r, image.Black, image.Point{}, draw.Src)
	}
	var buf bytes.Buffer
	err := png.Encode(&buf, out)
	return buf.Bytes(), err
}

func (c *covered) CreateRenderer() fyne.WidgetRenderer {
	img := canvas.NewImageFromImage(c.img)
	img.FillMode = canvas.ImageFillContain
	r := &coveredRenderer{c: c, img: img}
	r.Refresh()
	return r
}

type coveredRenderer struct {
	c       *covered
	img     *canvas.Image
	objects []fyne.CanvasObject
}

func (r *coveredRenderer) Objects() []fyne.CanvasObject { return r.objects }
func (r *coveredRenderer) Destroy()                     {}
func (r *coveredRenderer) MinSize() fyne.Size           { return fyne.NewSize(200, 120) }

func (r *coveredRenderer) Layout(size fyne.Size) {
	r.img.Resize(size)
	r.place()
}

func (r *coveredRenderer) place() {
	o, scale := r.c.fit()
	r.objects = []fyne.CanvasObject{r.img}
	add := func(rect image.Rectangle, open bool) {
		if rect.Empty() {
			return
		}
		box := canvas.NewRectangle(color.Black)
		if open {
			box.FillColor = color.NRGBA{A: 0xb0}
			box.StrokeColor, box.StrokeWidth = tone(accent), 2
		}
		min := rect.Min.Sub(r.c.img.Bounds().Min)
		box.Move(fyne.NewPos(o.X+float32(min.X)*scale, o.Y+float32(min.Y)*scale))
		box.Resize(fyne.NewSize(float32(rect.Dx())*scale, float32(rect.Dy())*scale))
		r.objects = append(r.objects, box)
	}
	for _, rect := range r.c.rects {
		add(rect, false)
	}
	if r.c.drag {
		add(r.c.rect(r.c.start, r.c.now), true)
	}
}

func (r *coveredRenderer) Refresh() {
	r.place()
	canvas.Refresh(r.c)
}
