// Command render draws the SVG masters in assets into the PNG files that packages embed: the tray's
// icon in its four states, and the windows' icon. Run it in agent/: go run ./internal/tray/render.
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

// Sides in pixels: the tray's icon is 22 at twice the density.
const (
	traySide   = 44
	windowSide = 64
)

func main() {
	from := flag.String("from", "../assets", "folder of the masters")
	to := flag.String("to", "internal", "folder of the packages")
	flag.Parse()
	pictures := map[string]string{"bell.svg": "window/bell.png"}
	for _, name := range []string{"outline", "full", "dot", "eye"} {
		pictures["tray-"+name+".svg"] = "tray/icons/" + name + ".png"
	}
	for svg, out := range pictures {
		side := traySide
		if svg == "bell.svg" {
			side = windowSide
		}
		if err := render(filepath.Join(*from, svg), filepath.Join(*to, filepath.FromSlash(out)), side); err != nil {
			fmt.Fprintln(os.Stderr, "render:", err)
			os.Exit(1)
		}
	}
}

func render(svg, out string, side int) error {
	icon, err := oksvg.ReadIcon(svg, oksvg.StrictErrorMode)
	if err != nil {
		return fmt.Errorf("%s: %w", svg, err)
	}
	icon.SetTarget(0, 0, float64(side), float64(side))
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
