package encode

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/traybell/traybell/agent/internal/rfb"
)

func noise(f *Frame, r image.Rectangle, rnd *rand.Rand) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			f.Pix[y*f.W+x] = rnd.Uint32() & 0xffffff
		}
	}
}

func smooth(w, h int) *Frame {
	f := NewFrame(w, h)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range f.Pix {
		x, y := float64(i%w), float64(i/w)
		n := rnd.IntN(9) - 4
		c := func(v float64) uint32 { return uint32(max(0, min(255, int(v)+n))) }
		f.Pix[i] = c(128+100*math.Sin(x/40)*math.Cos(y/30))<<16 | c(128+90*math.Sin((x+y)/60))<<8 | c(60+y/2)
	}
	return f
}

func TestChangedFindsExactlyTheDifference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		w, h := 1+rnd.IntN(300), 1+rnd.IntN(300)
		ref := NewFrame(w, h)
		noise(ref, ref.Bounds(), rnd)
		cur := NewFrame(w, h)
		cur.CopyFrom(ref, ref.Bounds())
		for range rnd.IntN(5) {
			x, y := rnd.IntN(w), rnd.IntN(h)
			noise(cur, image.Rect(x, y, min(w, x+1+rnd.IntN(90)), min(h, y+1+rnd.IntN(90))), rnd)
		}
		dirty := NewTiles(w, h)
		dirty.Touch(cur.Bounds())
		for _, b := range Changed(nil, cur, ref, dirty) {
			for _, edge := range []image.Rectangle{{b.Min, image.Pt(b.Max.X, b.Min.Y+1)}, {image.Pt(b.Min.X, b.Max.Y-1), b.Max}, {b.Min, image.Pt(b.Min.X+1, b.Max.Y)}, {image.Pt(b.Max.X-1, b.Min.Y), b.Max}} {
				if same(cur, ref, edge) {
					t.Fatalf("box %v is larger than the change", b)
				}
			}
			ref.CopyFrom(cur, b)
		}
		if !same(cur, ref, cur.Bounds()) {
			t.Fatalf("%d×%d: a change was missed", w, h)
		}
	}
}

func same(a, b *Frame, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		if !equal(a.Pix[y*a.W+r.Min.X:y*a.W+r.Max.X], b.Pix[y*b.W+r.Min.X:y*b.W+r.Max.X]) {
			return false
		}
	}
	return true
}

func TestRectsCoverAllBoxes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 1))
	for range 300 {
		w, h := 64+rnd.IntN(3000), 64+rnd.IntN(400)
		f := NewFrame(w, h)
		if rnd.IntN(2) == 0 {
			noise(f, image.Rect(0, 0, w/2, h), rnd)
		}
		tiles := NewTiles(w, h)
		var boxes []image.Rectangle
		for row := range tiles.Rows {
			for c := range tiles.Cols {
				tile := tiles.Rect(c, row)
				if rnd.IntN(3) == 0 {
					continue
				}
				b := tile
				if rnd.IntN(2) == 0 {
					b.Min.X += rnd.IntN(tile.Dx())
					b.Max.Y -= rnd.IntN(tile.Dy())
				}
				boxes = append(boxes, b)
			}
		}
		rects := Rects(nil, f, boxes, true)
		for _, b := range boxes {
			in := false
			for _, r := range rects {
				in = in || b.In(r.Rectangle)
			}
			if !in {
				t.Fatalf("box %v is in no rectangle of %v", b, rects)
			}
		}
		for _, r := range rects {
			if r.Dx() > 2048 || !r.In(f.Bounds()) {
				t.Fatalf("rectangle %v", r)
			}
		}
		if len(rects) > len(boxes) {
			t.Fatalf("%d boxes became %d rectangles", len(boxes), len(rects))
		}
	}
}

func TestScrollIsFound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 1))
	for _, d := range []int{-300, -40, -13, -1, 1, 7, 26, 200} {
		ref := NewFrame(900, 700)
		noise(ref, image.Rect(0, 0, 900, 700), rnd)
		cur := NewFrame(900, 700)
		cur.CopyFrom(ref, ref.Bounds())
		page := image.Rect(101, 53, 801, 653)
		dst := page.Intersect(page.Add(image.Pt(0, d)))
		src := dst.Add(image.Pt(0, -d))
		for y := range dst.Dy() {
			copy(cur.Pix[(dst.Min.Y+y)*900+dst.Min.X:][:dst.Dx()], ref.Pix[(src.Min.Y+y)*900+src.Min.X:][:dst.Dx()])
		}
		for y := page.Min.Y; y < page.Max.Y; y++ {
			if y < dst.Min.Y || y >= dst.Max.Y {
				noise(cur, image.Rect(page.Min.X, y, page.Max.X, y+1), rnd)
			}
		}
		var s Scroller
		moves := s.Find(nil, cur, ref, page)
		area := 0
		for _, m := range moves {
			m.Apply(ref)
			area += m.Dst.Dx() * m.Dst.Dy()
		}
		if area < dst.Dx()*dst.Dy()*9/10 {
			t.Errorf("shift %d: moves %v cover %d pixels of %d", d, moves, area, dst.Dx()*dst.Dy())
		}
		if !same(cur, ref, dst) {
			t.Errorf("shift %d: the moves %v give another picture", d, moves)
		}
	}
}

func TestNoScrollInUnrelatedPictures(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 1))
	a, b := NewFrame(400, 300), NewFrame(400, 300)
	noise(a, a.Bounds(), rnd)
	noise(b, b.Bounds(), rnd)
	var s Scroller
	if m := s.Find(nil, a, b, a.Bounds()); len(m) > 0 {
		t.Errorf("moves %v", m)
	}
}

func TestJPEGIsReadByTheStandardDecoder(t *testing.T) {
	f := smooth(333, 221)
	var e Encoder
	for _, c := range []struct {
		r       image.Rectangle
		quality int
		atLeast float64
	}{
		{image.Rect(0, 0, 333, 221), 79, 35}, {image.Rect(5, 7, 6, 8), 79, 30}, {image.Rect(1, 1, 18, 34), 50, 30},
		{image.Rect(100, 100, 333, 117), 95, 36}, {image.Rect(0, 0, 333, 221), 15, 25}, {image.Rect(0, 0, 333, 221), 100, 36},
	} {
		b := e.JPEG(nil, f, c.r, c.quality)
		if b[0] != 0x90 {
			t.Fatalf("control %#x", b[0])
		}
		skip := 2
		for i := 1; i < 3 && b[i]&0x80 != 0; i++ {
			skip++
		}
		img, err := jpeg.Decode(bytes.NewReader(b[skip:]))
		if err != nil {
			t.Fatalf("%v q%d: %v", c.r, c.quality, err)
		}
		if img.Bounds().Size() != c.r.Size() {
			t.Fatalf("%v became %v", c.r, img.Bounds())
		}
		sum := 0.0
		for y := range c.r.Dy() {
			for x := range c.r.Dx() {
				r, g, bl, _ := img.At(x, y).RGBA()
				p := f.Pix[(c.r.Min.Y+y)*f.W+c.r.Min.X+x]
				for _, d := range []int{int(r>>8) - int(p>>16&0xff), int(g>>8) - int(p>>8&0xff), int(bl>>8) - int(p&0xff)} {
					sum += float64(d * d)
				}
			}
		}
		psnr := 10 * math.Log10(255*255/(sum/float64(3*c.r.Dx()*c.r.Dy())+1e-9))
		t.Logf("%v q%d: %d bytes, %.1f dB", c.r, c.quality, len(b), psnr)
		if psnr < c.atLeast {
			t.Errorf("%v q%d: %.1f dB, want %.0f", c.r, c.quality, psnr, c.atLeast)
		}
	}
}

func TestJPEGSurvivesExtremes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 1))
	f := NewFrame(64, 64)
	for i := range f.Pix { // black and white noise: the largest coefficients there are
		f.Pix[i] = 0xffffff * uint32(rnd.IntN(2))
	}
	var e Encoder
	for q := 1; q <= 100; q++ {
		b := e.JPEG(nil, f, f.Bounds(), q)
		skip := 2
		for i := 1; i < 3 && b[i]&0x80 != 0; i++ {
			skip++
		}
		if _, err := jpeg.Decode(bytes.NewReader(b[skip:])); err != nil {
			t.Fatalf("quality %d: %v", q, err)
		}
	}
}

// page is a frame of text-like pixels for benchmarks.
func page(w, h int) *Frame {
	f := NewFrame(w, h)
	f.Fill(f.Bounds(), 0xffffff)
	rnd := rand.New(rand.NewPCG(9, 1))
	for y := 4; y+10 < h; y += 16 {
		for x := 10; x+8 < w-w/4; x += 8 {
			if rnd.IntN(6) == 0 {
				continue
			}
			for range 14 {
				f.Pix[(y+rnd.IntN(10))*w+x+rnd.IntN(7)] = []uint32{0x101010, 0x606060, 0xa0a0a0, 0x303090}[rnd.IntN(4)]
			}
		}
	}
	return f
}

func BenchmarkTightText(b *testing.B) {
	f := page(1920, 1080)
	var e Encoder
	tiles := NewTiles(1920, 1080)
	tiles.Touch(f.Bounds())
	var boxes []image.Rectangle
	for row := range tiles.Rows {
		for c := range tiles.Cols {
			boxes = append(boxes, tiles.Rect(c, row))
		}
	}
	n := 0
	for b.Loop() {
		n = 0
		for _, r := range Rects(nil, f, boxes, true) {
			n += len(e.Tight(nil, f, r.Rectangle, rfb.Native, 1))
		}
	}
	b.ReportMetric(float64(n)/1000, "kB/frame")
}

func BenchmarkJPEGPhoto(b *testing.B) {
	f := smooth(1920, 1080)
	var e Encoder
	var out []byte
	for b.Loop() {
		out = e.JPEG(out[:0], f, f.Bounds(), 79)
	}
	b.ReportMetric(float64(len(out))/1000, "kB/frame")
}

// BenchmarkJPEGStandard is the standard library's encoder on the same picture, to compare with.
func BenchmarkJPEGStandard(b *testing.B) {
	f := smooth(1920, 1080)
	img := image.NewRGBA(f.Bounds())
	for i, p := range f.Pix {
		img.Pix[i*4], img.Pix[i*4+1], img.Pix[i*4+2], img.Pix[i*4+3] = byte(p>>16), byte(p>>8), byte(p), 255
	}
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 79}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.Len())/1000, "kB/frame")
}

func BenchmarkChangedNothing(b *testing.B) {
	f, g := page(1920, 1080), page(1920, 1080)
	tiles := NewTiles(1920, 1080)
	tiles.Touch(f.Bounds())
	for b.Loop() {
		if len(Changed(nil, f, g, tiles)) != 0 {
			b.Fatal("changed")
		}
	}
}

func BenchmarkScrollSearch(b *testing.B) {
	f := page(1920, 1080)
	g := NewFrame(1920, 1080)
	copy(g.Pix, f.Pix[16*1920:])
	var s Scroller
	for b.Loop() {
		s.Forget(f.Bounds())
		if len(s.Find(nil, g, f, f.Bounds())) == 0 {
			b.Fatal("not found")
		}
	}
}

func BenchmarkRects(b *testing.B) {
	f := smooth(1920, 1080)
	tiles := NewTiles(1920, 1080)
	tiles.Touch(f.Bounds())
	var boxes []image.Rectangle
	for row := range tiles.Rows {
		for c := range tiles.Cols {
			boxes = append(boxes, tiles.Rect(c, row))
		}
	}
	for b.Loop() {
		Rects(nil, f, boxes, true)
	}
}
