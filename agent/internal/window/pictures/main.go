// Command pictures renders every window of Traybell to PNG, in four languages, light and dark, so
// that a change can be looked at: go run ./internal/window/pictures -out DIR. It needs neither a
// display nor cgo.
package main

import (
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/theme"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/windowtest"
	"github.com/traybell/traybell/shared/catalogue"
)

func main() {
	out := flag.String("out", "", "folder for the pictures")
	langs := flag.String("languages", strings.Join(catalogue.Languages, ","), "languages to render")
	flag.Parse()
	if *out == "" {
		fmt.Fprintln(os.Stderr, "pictures: -out is missing")
		os.Exit(2)
	}
	if err := render(*out, strings.Split(*langs, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

type shade struct {
	fyne.Theme
	variant fyne.ThemeVariant
}

func (s shade) Color(n fyne.ThemeColorName, _ fyne.ThemeVariant) color.Color {
	return s.Theme.Color(n, s.variant)
}

func render(out string, langs []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pictures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	service, err := windowtest.New(dir)
	if err != nil {
		return err
	}
	defer service.Close()
	now := time.Date(2026, 11, 22, 12, 3, 0, 0, time.Local)
	service.Example(now)

	a := test.NewApp()
	defer a.Quit()
	for _, v := range []struct {
		name    string
		variant fyne.ThemeVariant
	}{{"light", theme.VariantLight}, {"dark", theme.VariantDark}} {
		window.Variant(&v.variant)
		a.Settings().SetTheme(shade{window.Theme(), v.variant})
		for _, lang := range langs {
			if !slices.Contains(catalogue.Languages, lang) {
				return fmt.Errorf("no language %q", lang)
			}
			for _, p := range pictures(service, lang, now) {
				w := test.NewWindow(nil)
				p.fill(w)
				name := filepath.Join(out, fmt.Sprintf("window-%s-%s-%s.png", p.name, lang, v.name))
				if err := save(name, w.Canvas().Capture()); err != nil {
					return err
				}
				w.Close()
			}
		}
	}
	return nil
}

type picture struct {
	name string
	fill func(fyne.Window)
}

func pictures(service *windowtest.Service, lang string, now time.Time) []picture {
	p := catalogue.For(lang)
	o := window.Options{Service: content.NewService(service.Path, lang), Words: p, Status: service.Status, Report: service.Report,
		Now: func() time.Time { return now },
		Go:  func(f func()) { f() }, Do: func(f func()) { f() },
		Capture: func(context.Context) (image.Image, error) { return desktop(), nil },
		Picture: func() ([]byte, error) { return nil, os.ErrNotExist }}
	filled := content.NewForm(now)
	filled.Title, filled.Email, filled.Name, filled.Phone = "Printer on the 2nd floor prints blank pages", "l.rossi@studioverdi.it", "Lucia Rossi", "051 765 4321"
	filled.Answers.Working, filled.Answers.Affected = "difficult", "me"
	sheet := func(kind string) func(fyne.Window) {
		return func(w fyne.Window) { window.NewSheet(w, o, o.Service.Sheet(context.Background(), p, kind)) }
	}
	linked := func(verbs ...string) func(fyne.Window) {
		return func(w fyne.Window) {
			s := content.NewService(service.Path, lang)
			service.Code = "K7QMX-2XFDP"
			for _, v := range verbs {
				if _, err := s.Do(context.Background(), p, content.Action{Verb: v, Arg: service.Code}); err != nil {
					panic(err)
				}
			}
			o := o
			o.Service = s
			window.NewSheet(w, o, s.Sheet(context.Background(), p, content.KindLink))
		}
	}
	after := func(filed localapi.Filed) func(fyne.Window) {
		return func(w fyne.Window) {
			window.NewForm(w, o).Show(filled, content.After(p, o.Status, filled, filed, nil))
		}
	}
	return []picture{
		{"form", func(w fyne.Window) { window.NewFilled(w, o, filled, true) }},
		{"form-empty", func(w fyne.Window) { window.NewForm(w, o) }},
		{"form-errors", func(w fyne.Window) {
			f := filled
			f.Title, f.Email = "", "l.rossi@studioverdi"
			f.Answers.Security = true
			v := window.NewFilled(w, o, f, false)
			v.Submit()
		}},
		{"form-severity", func(w fyne.Window) { window.NewFilled(w, o, filled, true).Unfold() }},
		{"form-help", func(w fyne.Window) { window.NewFilled(w, o, filled, true).OfferHelp() }},
		{"cover", func(w fyne.Window) { window.Cover(w, p, desktop(), func([]byte) {}) }},
		{"sent", after(localapi.Filed{State: localapi.FiledSent, Number: 1042, FilesPending: 1})},
		{"kept", after(localapi.Filed{State: localapi.FiledKept})},
		{"neither", after(localapi.Filed{State: localapi.FiledRefused, Code: localapi.CodeDiskFull})},
		{"consent", func(w fyne.Window) { window.NewQuestion(w, o, service.Consents[windowtest.Session]) }},
		{"consent-allowed", func(w fyne.Window) { window.NewQuestion(w, o, service.Consents[windowtest.Session]).Over("allowed") }},
		{"consent-silence", func(w fyne.Window) { window.NewQuestion(w, o, service.Consents[windowtest.Session]).Over("silence") }},
		{"tickets", sheet(content.KindTickets)},
		{"access", sheet(content.KindAccess)},
		{"history", sheet(content.KindHistory)},
		{"status", sheet(content.KindStatus)},
		{"about", sheet(content.KindAbout)},
		{"link", sheet(content.KindLink)},
		{"link-ask", linked(content.LookLink)},
		{"link-next", linked(content.LookLink, content.ClaimLink)},
	}
}

// desktop is a picture of a screen, for the window in which parts of it are covered.
func desktop() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 1280, 800))
	fill := func(r image.Rectangle, c color.Color) {
		draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
	}
	fill(img.Bounds(), color.NRGBA{0x55, 0x70, 0x7b, 0xff})
	fill(image.Rect(120, 90, 900, 620), color.NRGBA{0xff, 0xff, 0xff, 0xff})
	fill(image.Rect(120, 90, 900, 120), color.NRGBA{0xd9, 0xdf, 0xe0, 0xff})
	for y := 160; y < 580; y += 30 {
		fill(image.Rect(150, y, 150+300+(y*37)%380, y+10), color.NRGBA{0xb0, 0xb8, 0xbb, 0xff})
	}
	return img
}

func save(name string, img image.Image) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := png.Encode(f, img); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
