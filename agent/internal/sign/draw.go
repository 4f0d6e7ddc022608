package sign

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The colours of the product; plum is reserved for "somebody is in right now".
var (
	surface   = color.RGBA{0xff, 0xff, 0xff, 0xff}
	plum      = color.RGBA{0x8d, 0x27, 0x68, 0xff}
	plumDark  = color.RGBA{0x6f, 0x1c, 0x51, 0xff}
	ink       = color.RGBA{0x17, 0x20, 0x23, 0xff}
	ink2      = color.RGBA{0x43, 0x4f, 0x54, 0xff}
	control   = color.RGBA{0x7f, 0x8b, 0x90, 0xff}
	hoverGrey = color.RGBA{0xee, 0xf2, 0xf2, 0xff}
)

// artist draws signs in one scale: 1 is 96 dots an inch.
type artist struct {
	scale         float64
	regular, bold font.Face
	texts         Texts
}

func newArtist(t Texts, scale float64) (*artist, error) {
	a := &artist{scale: scale, texts: t}
	for _, f := range []struct {
		ttf  []byte
		face *font.Face
	}{{goregular.TTF, &a.regular}, {gobold.TTF, &a.bold}} {
		parsed, err := opentype.Parse(f.ttf)
		if err != nil {
			return nil, fmt.Errorf("read font: %w", err)
		}
		if *f.face, err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: 14 * scale, DPI: 72, Hinting: font.HintingFull}); err != nil {
			return nil, fmt.Errorf("read font: %w", err)
		}
	}
	return a, nil
}

func (a *artist) px(n float64) int { return int(math.Round(n * a.scale)) }

func width(f font.Face, s string) int { return font.MeasureString(f, s).Ceil() }

// picture is a drawn sign, and where its buttons and its clock are.
type picture struct {
	img        *image.RGBA
	pause, end image.Rectangle
	clock      image.Rectangle // empty when none is shown
	digits     int             // length of the clock's text
}

func (p picture) at(pt image.Point) part {
	switch {
	case pt.In(p.pause):
		return pauseButton
	case pt.In(p.end):
		return endButton
	}
	return body
}

// paint draws a state, at most maxWidth wide: a longer text is cut.
func (a *artist) paint(s state, maxWidth int) picture {
	button := a.texts.Pause
	if s.paused {
		button = a.texts.GoOn
	}
	pad, gap, icon := a.px(14), a.px(8), a.px(20)
	height := a.px(48)
	widest := max(width(a.regular, a.texts.Pause), width(a.regular, a.texts.GoOn)) // so that the sign doesn't change its size under a click
	pauseW, endW := widest+a.px(26), width(a.bold, a.texts.EndNow)+a.px(26)
	right := pauseW + endW + gap + a.px(10)
	time := clock(s.elapsed)
	timeW := width(a.regular, strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, time))
	pausedStrong, pausedRest := a.texts.Paused, ""
	if i := strings.Index(pausedStrong, ". "); i >= 0 {
		pausedStrong, pausedRest = pausedStrong[:i+1], pausedStrong[i+2:]
	}
	strong, rest := a.texts.Sees, ""
	switch {
	case s.paused:
		strong, rest = pausedStrong, pausedRest
	case s.controlling:
		strong = a.texts.Controls
	}
	room := maxWidth - pad - icon - gap - gap - timeW - a.px(32) - right
	strong = a.cut(a.bold, strong, room)
	rest = a.cut(a.regular, rest, room-width(a.bold, strong)-gap)
	// As wide as the longest of what it may say, so that the buttons stay where they are.
	used := max(width(a.bold, a.texts.Sees), width(a.bold, a.texts.Controls), width(a.bold, pausedStrong)+a.px(6)+width(a.regular, pausedRest)-gap-timeW)
	w := min(maxWidth, pad+icon+gap+used+gap+timeW+a.px(32)+right)
	img := image.NewRGBA(image.Rect(0, 0, w, height))
	border := plum
	if s.paused {
		border = ink
	}
	draw.Draw(img, img.Bounds(), image.NewUniform(border), image.Point{}, draw.Src)
	draw.Draw(img, img.Bounds().Inset(a.px(2)), image.NewUniform(surface), image.Point{}, draw.Src)

	x, base := pad, a.base(height)
	fore := plum
	if s.paused {
		fore = ink
		a.bars(img, image.Pt(x, (height-icon)/2), ink)
	} else {
		a.eye(img, image.Pt(x, (height-icon)/2), plum)
	}
	x += icon + gap
	x = a.text(img, a.bold, strong, x, base, fore)
	if rest != "" {
		a.text(img, a.regular, rest, x+a.px(6), base, ink)
	}
	p := picture{img: img, digits: len(time)}
	if !s.paused {
		p.clock = image.Rect(x+gap, a.px(8), x+gap+timeW, height-a.px(8))
		a.text(img, a.regular, time, p.clock.Min.X, base, ink2)
	}
	top, bottom := (height-a.px(32))/2, (height+a.px(32))/2
	p.end = image.Rect(w-a.px(10)-endW, top, w-a.px(10), bottom)
	p.pause = image.Rect(p.end.Min.X-gap-pauseW, top, p.end.Min.X-gap, bottom)
	fill, endFill := surface, plum
	if s.hover == pauseButton {
		fill = hoverGrey
	}
	if s.hover == endButton {
		endFill = plumDark
	}
	a.round(img, p.pause, control)
	a.round(img, p.pause.Inset(a.px(1)), fill)
	a.text(img, a.regular, button, p.pause.Min.X+(pauseW-width(a.regular, button))/2, base, ink)
	a.round(img, p.end, endFill)
	a.text(img, a.bold, a.texts.EndNow, p.end.Min.X+(endW-width(a.bold, a.texts.EndNow))/2, base, surface)
	return p
}

// tick draws another time into a painted sign; false when it must be painted anew.
func (a *artist) tick(p picture, elapsed time.Duration) bool {
	text := clock(elapsed)
	if p.clock.Empty() || len(text) != p.digits {
		return false
	}
	draw.Draw(p.img, p.clock, image.NewUniform(surface), image.Point{}, draw.Src)
	a.text(p.img, a.regular, text, p.clock.Min.X, a.base(p.img.Bounds().Dy()), ink2)
	return true
}

func (a *artist) base(height int) int { return height/2 + a.px(5) }

// cut shortens s to fit into room, with an ellipsis.
func (a *artist) cut(f font.Face, s string, room int) string {
	if width(f, s) <= room {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && width(f, string(r)+"…") > room {
		r = r[:len(r)-1]
	}
	if len(r) == 0 {
		return ""
	}
	return string(r) + "…"
}

func (a *artist) text(img *image.RGBA, f font.Face, s string, x, y int, c color.Color) int {
	d := font.Drawer{Dst: img, Src: image.NewUniform(c), Face: f, Dot: fixed.P(x, y)}
	d.DrawString(s)
	return d.Dot.X.Ceil()
}

// round fills a rectangle with rounded corners.
func (a *artist) round(img *image.RGBA, r image.Rectangle, c color.RGBA) {
	radius := 4 * a.scale
	cx, cy := float64(r.Min.X+r.Max.X)/2, float64(r.Min.Y+r.Max.Y)/2
	hw, hh := float64(r.Dx())/2-radius, float64(r.Dy())/2-radius
	shade(img, r, c, func(x, y float64) float64 {
		return math.Hypot(max(math.Abs(x-cx)-hw, 0), max(math.Abs(y-cy)-hh, 0)) - radius
	})
}

// shade blends c over img where distance, to the edge of a shape and negative inside, says so.
func shade(img *image.RGBA, r image.Rectangle, c color.RGBA, distance func(x, y float64) float64) {
	r = r.Intersect(img.Bounds())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			cover := max(0, min(1, 0.5-distance(float64(x)+0.5, float64(y)+0.5)))
			if cover == 0 {
				continue
			}
			old := img.RGBAAt(x, y)
			mix := func(o, n uint8) uint8 { return uint8(math.Round(float64(o)*(1-cover) + float64(n)*cover)) }
			img.SetRGBA(x, y, color.RGBA{mix(old.R, c.R), mix(old.G, c.G), mix(old.B, c.B), 0xff})
		}
	}
}

type pt struct{ x, y float64 }

// eye draws the eye of the icon set, on a grid of 24.
func (a *artist) eye(img *image.RGBA, at image.Point, c color.RGBA) {
	k := 20 * a.scale / 24
	var lid []pt
	for _, b := range [][4]pt{
		{{21, 12}, {18.6, 16}, {15.6, 18}, {12, 18}}, {{12, 18}, {8.4, 18}, {5.4, 16}, {3, 12}},
		{{3, 12}, {5.4, 8}, {8.4, 6}, {12, 6}}, {{12, 6}, {15.6, 6}, {18.6, 8}, {21, 12}},
	} {
		for i := range 9 {
			t := float64(i) / 8
			u := 1 - t
			f := func(p, q, r, s float64) float64 { return u*u*u*p + 3*u*u*t*q + 3*u*t*t*r + t*t*t*s }
			lid = append(lid, pt{f(b[0].x, b[1].x, b[2].x, b[3].x), f(b[0].y, b[1].y, b[2].y, b[3].y)})
		}
	}
	const stroke = 1.0 // half the width of the line
	box := image.Rectangle{Min: at, Max: at.Add(image.Pt(a.px(20), a.px(20)))}
	shade(img, box, c, func(x, y float64) float64 {
		x, y = (x-float64(at.X))/k, (y-float64(at.Y))/k
		d := math.Abs(math.Hypot(x-12, y-12) - 2)
		for i := 1; i < len(lid); i++ {
			d = min(d, toSegment(x, y, lid[i-1], lid[i]))
		}
		return (d - stroke) * k
	})
}

func toSegment(x, y float64, p, q pt) float64 {
	dx, dy := q.x-p.x, q.y-p.y
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = max(0, min(1, ((x-p.x)*dx+(y-p.y)*dy)/l))
	}
	return math.Hypot(x-p.x-t*dx, y-p.y-t*dy)
}

// bars draws the two bars of a pause.
func (a *artist) bars(img *image.RGBA, at image.Point, c color.RGBA) {
	k := 20 * a.scale / 24
	for _, left := range []float64{5, 14} {
		r := image.Rect(at.X+int(math.Round(left*k)), at.Y+int(math.Round(4*k)), at.X+int(math.Round((left+5)*k)), at.Y+int(math.Round(20*k)))
		a.round(img, r, c)
		a.round(img, r.Inset(a.px(1.6)), surface)
	}
}

// untilTick is how long a shown time stays right.
func untilTick(elapsed time.Duration) time.Duration {
	return time.Second - max(0, elapsed)%time.Second
}
