package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
)

// maxLogoForm bounds the form by which a logo is uploaded.
const maxLogoForm = account.MaxLogoBytes + 64<<10

// logoOf is the address of an organization's logo. It changes with the picture, so that browsers may keep it.
func logoOf(o account.Organization) string {
	if o.Logo == "" {
		return ""
	}
	return "/organizations/" + string(o.ID) + "/logo?v=" + o.Logo[:min(len(o.Logo), 16)]
}

// logo sends an organization's logo.
func (s *Server) logo(c *call) error {
	picture, err := s.o.People.Logo(c.ctx, c.actor, account.OrganizationID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "image/png")
	h.Set("Content-Length", strconv.Itoa(len(picture)))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if c.r.URL.Query().Get("v") != "" {
		h.Set("Cache-Control", "private, max-age=604800, immutable")
	}
	_, err = c.w.Write(picture)
	return err
}

// changeLogo takes a picture that is uploaded for the logo, or removes the logo.
func (s *Server) changeLogo(c *call) error {
	id := account.OrganizationID(c.r.PathValue("id"))
	file, remove, err := c.logoForm()
	if err != nil {
		return err
	}
	if remove {
		return s.organizationDone(c, id, s.o.People.DropLogo(c.ctx, c.actor, id), "saved")
	}
	return s.organizationDone(c, id, s.o.People.SetLogo(c.ctx, c.actor, id, file), "saved")
}

// logoForm reads the form: the file in it, or that the logo is to be removed.
func (c *call) logoForm() (file []byte, remove bool, err error) {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxLogoForm)
	typ, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if typ != "multipart/form-data" {
		if err := c.r.ParseForm(); err != nil {
			return nil, false, badForm(err)
		}
		return nil, c.r.PostFormValue("do") == "remove", nil
	}
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, false, badForm(err)
	}
	for range 10 {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return file, false, nil
		}
		if err != nil {
			return nil, false, badForm(err)
		}
		if p.FormName() != "logo" {
			continue
		}
		if file, err = io.ReadAll(io.LimitReader(p, account.MaxLogoBytes+1)); err != nil {
			return nil, false, badForm(err)
		}
	}
	return nil, false, desk.Fail(desk.ErrInvalid)
}
