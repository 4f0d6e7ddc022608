package account

import (
	"bytes"
	"errors"
	"image"
	_ "image/gif"  // decoded by image.Decode
	_ "image/jpeg" // decoded by image.Decode
	"image/png"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // decoded by image.Decode
)

// Bounds of a logo.
const (
	MaxLogoBytes  = 2 << 20   // of the file that is uploaded
	maxLogoPixels = 6_000_000 // of the picture in it
	LogoWidth     = 512       // of the picture that is kept, at most
	LogoHeight    = 160
)

// ErrLogo says which pictures a logo can be made of.
var ErrLogo = errors.New("a logo is a PNG, JPEG, GIF or WebP picture of at most 2 MB and 6 megapixels")

// Logo decodes a picture that somebody uploaded and encodes it anew as a PNG of at most LogoWidth × LogoHeight. Nothing
// of the file but its pixels is kept. Its size is looked at before a pixel is decoded.
func Logo(file []byte) ([]byte, error) {
	if len(file) > MaxLogoBytes {
		return nil, ErrLogo
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil || c.Width < 1 || c.Height < 1 || c.Width > maxLogoPixels || c.Height > maxLogoPixels/c.Width {
		return nil, ErrLogo
	}
	src, _, err := image.Decode(bytes.NewReader(file)) // of a GIF: the first frame
	if err != nil {
		return nil, ErrLogo
	}
	b := src.Bounds()
	if b.Dx() < 1 || b.Dy() < 1 {
		return nil, ErrLogo
	}
	w, h := fit(b.Dx(), b.Dy())
	dst := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(dst, dst.Bounds(), src, b, draw.Src, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, dst); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// fit is the largest size of the same shape within a logo's bounds; small pictures stay as they are.
func fit(w, h int) (int, int) {
	if w > LogoWidth {
		w, h = LogoWidth, h*LogoWidth/w
	}
	if h > LogoHeight {
		w, h = w*LogoHeight/h, LogoHeight
	}
	return max(w, 1), max(h, 1)
}
