package account

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"
)

// picture is a red picture of a size.
func picture(w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := 0; i < len(m.Pix); i += 4 {
		m.Pix[i], m.Pix[i+3] = 200, 255
	}
	return m
}

func encoded(encode func(*bytes.Buffer) error) []byte {
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func pngOf(m image.Image) []byte {
	return encoded(func(b *bytes.Buffer) error { return png.Encode(b, m) })
}

// a lossless WebP of one pixel
const webp = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

func TestLogoIsEncodedAnewWithinItsBounds(t *testing.T) {
	small, err := base64.StdEncoding.DecodeString(webp)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		file []byte
		w, h int
	}{
		{"a small PNG", pngOf(picture(40, 20)), 40, 20},
		{"a wide PNG", pngOf(picture(2000, 100)), 512, 25},
		{"a high PNG", pngOf(picture(100, 1600)), 10, 160},
		{"a large JPEG", encoded(func(b *bytes.Buffer) error { return jpeg.Encode(b, picture(1024, 640), nil) }), 256, 160},
		{"a GIF", encoded(func(b *bytes.Buffer) error { return gif.Encode(b, picture(30, 30), nil) }), 30, 30},
		{"a WebP", small, 1, 1},
		{"a line", pngOf(picture(6000, 1)), 512, 1},
	} {
		out, err := Logo(c.file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		m, err := png.Decode(bytes.NewReader(out))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if m.Bounds().Dx() != c.w || m.Bounds().Dy() != c.h {
			t.Errorf("%s: %v, want %d × %d", c.name, m.Bounds(), c.w, c.h)
		}
	}
	out, err := Logo(pngOf(picture(1024, 320)))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := png.Decode(bytes.NewReader(out))
	if got := color.NRGBAModel.Convert(m.At(256, 80)); got != (color.NRGBA{200, 0, 0, 255}) {
		t.Errorf("the middle is %v", got)
	}
}

// What stands behind a picture's end, and what its comments say, is not kept.
func TestLogoKeepsNothingButPixels(t *testing.T) {
	out, err := Logo(append(pngOf(picture(8, 8)), "<script>alert(1)</script>"...))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("script")) {
		t.Error("the tail of the file was kept")
	}
}

// bomb is a PNG that says it is w × h and holds nothing.
func bomb(w, h uint32) []byte {
	head := append([]byte("IHDR"), make([]byte, 13)...)
	binary.BigEndian.PutUint32(head[4:], w)
	binary.BigEndian.PutUint32(head[8:], h)
	head[12], head[13] = 8, 6
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(head))
}

func TestLogoRefusesWhatIsNone(t *testing.T) {
	for name, file := range map[string][]byte{
		"nothing":          nil,
		"text":             []byte("hello"),
		"an SVG":           []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`),
		"a cut PNG":        pngOf(picture(40, 20))[:60],
		"a huge PNG":       bomb(60_000, 60_000),
		"an endless PNG":   bomb(1<<31-1, 1<<31-1),
		"too many pixels":  bomb(3000, 2001),
		"too large a file": append(pngOf(picture(1, 1)), make([]byte, MaxLogoBytes)...),
	} {
		if _, err := Logo(file); !errors.Is(err, ErrLogo) {
			t.Errorf("%s: got %v, want ErrLogo", name, err)
		}
	}
}

func FuzzLogo(f *testing.F) {
	small, _ := base64.StdEncoding.DecodeString(webp)
	f.Add(small)
	f.Add(pngOf(picture(4, 4)))
	f.Add(bomb(9, 9))
	f.Add(encoded(func(b *bytes.Buffer) error { return gif.Encode(b, picture(3, 3), nil) }))
	f.Add(encoded(func(b *bytes.Buffer) error { return jpeg.Encode(b, picture(3, 3), nil) }))
	f.Fuzz(func(t *testing.T, file []byte) {
		out, err := Logo(file)
		if err != nil {
			return
		}
		c, err := png.DecodeConfig(bytes.NewReader(out))
		if err != nil || c.Width > LogoWidth || c.Height > LogoHeight {
			t.Errorf("%v, %v", c, err)
		}
	})
}
