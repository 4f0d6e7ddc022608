package sample

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// Customer is an organization with a logo and a template made of it, and one of its people.
type Customer struct{ Organization, Person string }

// Brand gives the portal's first customer a logo, and keeps its settings as a template.
func (p *Portal) Brand(ctx context.Context) (c Customer, err error) {
	list, err := p.People.Organizations(ctx, desk.System())
	if err != nil {
		return c, err
	}
	for _, o := range list {
		if o.Name != "Studio Verdi" {
			continue
		}
		c.Organization = string(o.ID)
		if err := p.People.SetLogo(ctx, desk.System(), o.ID, logo()); err != nil {
			return c, err
		}
		if _, err := p.People.KeepTemplate(ctx, desk.System(), o.ID, "Small office"); err != nil {
			return c, err
		}
	}
	found, _, err := p.People.AccountPage(ctx, desk.System(), people.AccountFilter{Query: Lucia})
	if err != nil || len(found) == 0 {
		return c, err
	}
	c.Person = string(found[0].ID)
	return c, nil
}

// logo is a picture of three green bars.
func logo() []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 360, 96))
	green := image.NewUniform(color.NRGBA{22, 120, 72, 255})
	for i := range 3 {
		draw.Draw(m, image.Rect(i*120, 16*i, i*120+100, 96), green, image.Point{}, draw.Src)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err) // a picture in memory
	}
	return b.Bytes()
}
