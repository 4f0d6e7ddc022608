package sign

import (
	"image"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{{-time.Second, "00:00"}, {252 * time.Second, "04:12"}, {59*time.Minute + 59*time.Second, "59:59"}, {3852 * time.Second, "1:04:12"}} {
		if got := clock(c.d); got != c.want {
			t.Errorf("clock(%v) = %q, want %q", c.d, got, c.want)
		}
	}
}

func TestInsideKeepsTheWholeSignOnOneScreen(t *testing.T) {
	screens := []image.Rectangle{image.Rect(0, 0, 1920, 1080), image.Rect(1920, 200, 3200, 1000)}
	for _, c := range []struct {
		name     string
		in, want image.Point
	}{
		{"fits", image.Pt(100, 100), image.Pt(100, 100)},
		{"left and above", image.Pt(-500, -90), image.Pt(0, 0)},
		{"between screens, mostly right", image.Pt(1800, 500), image.Pt(1920, 500)},
		{"above the lower screen", image.Pt(2300, 100), image.Pt(2300, 200)},
		{"far away", image.Pt(9000, 9000), image.Pt(2700, 952)},
	} {
		size := image.Pt(500, 48)
		got := inside(image.Rectangle{Min: c.in, Max: c.in.Add(size)}, screens)
		if want := (image.Rectangle{Min: c.want, Max: c.want.Add(size)}); got != want {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
	}
}

func TestLongNameIsCutNotTheButtons(t *testing.T) {
	texts := Texts{Sees: "A name that somebody made very, very, very long indeed to push things away sees your screen", Controls: "x", Paused: "Paused. Nobody sees or touches anything at all, not even a very long sentence.", Pause: "Pause", GoOn: "Go on", EndNow: "End now"}
	a, err := newArtist(texts, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []state{{}, {paused: true}} {
		p := a.paint(s, 480)
		if !p.end.In(p.img.Bounds()) || !p.pause.In(p.img.Bounds()) || p.pause.Overlaps(p.end) || p.img.Bounds().Dx() > 480 {
			t.Errorf("paused %v: buttons %v %v in %v", s.paused, p.pause, p.end, p.img.Bounds())
		}
	}
}

func BenchmarkPaint(b *testing.B) {
	a, err := newArtist(Texts{Sees: "Anna Bianchi sees your screen", Controls: "Anna Bianchi controls your computer", Paused: "Paused. Nobody sees or touches anything.", Pause: "Pause", GoOn: "Go on", EndNow: "End now"}, 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a.paint(state{elapsed: time.Minute}, 1920)
	}
}
