// Command render draws the SVG masters of the tray's icon into the PNG files that package icons
// embeds: go run ./internal/tray/render -from ../assets -to internal/tray/icons.
package main

import (
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/fyne-io/oksvg"
	"github.com/srwiley/rasterx"
)

// side of the icon, in pixels: 22 at twice the density.
const side = 44

func main() {
	from := flag.String("from", "../assets", "folder of the masters")
	to := flag.String("to", "internal/tray/icons", "folder of the pictures")
	flag.Parse()
	for _, name := range []string{"outline", "full", "dot", "eye"} {
		if err := render(filepath.Join(*from, "tray-"+name+".svg"), filepath.Join(*to, name+".png")); err != nil {
			fmt.Fprintln(os.Stderr, "render:", err)
			os.Exit(1)
		}
	}
}

func render(svg, out string) error {
	icon, err := oksvg.ReadIcon(svg, oksvg.StrictErrorMode)
	if err != nil {
		return fmt.Errorf("%s: %w", svg, err)
	}
	icon.SetTarget(0, 0, side, side)
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	icon.Draw(rasterx.NewDasher(side, side, rasterx.NewScannerGV(side, side, img, img.Bounds())), 1)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := png.Encode(f, img); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
