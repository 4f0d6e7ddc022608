package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// holder is who sets up a second factor: somebody signed in, or somebody half-way at the door. Others are sent to
// sign in.
func (c *call) holder() (a desk.Actor, signingUp, ok bool, err error) {
	if c.me.ID != "" {
		return c.actor, false, true, nil
	}
	step, ok, err := c.step()
	if err != nil || !ok || step.Login.State != account.LoginSetup {
		return a, false, false, err
	}
	return step.Actor(), true, true, nil
}

// step is the half-way login of the browser, if it has one. Its pages speak the person's language.
func (c *call) step() (s people.Step, ok bool, err error) {
	k, err := c.r.Cookie(stepCookie)
	if err != nil || k.Value == "" || len(k.Value) > 200 {
		return s, false, nil
	}
	s, err = c.s.o.People.Step(c.ctx, k.Value)
	if errors.Is(err, desk.ErrDenied) {
		return s, false, nil
	}
	return s, err == nil, err
}

// factorView is the setting up of a second factor, and then its recovery codes.
type factorView struct {
	SigningUp bool
	Next      string
	Picture   string // address of the QR code
	Secret    string
	Name      field
	Error     string
	Codes     []string
	Address   string // of the sign-in page, at the end of a sign-up
}

// factorPage serves a page on which a factor is set up.
func (s *Server) factorPage(c *call, f func(a desk.Actor, v factorView) error) error {
	a, signingUp, ok, err := c.holder()
	if err != nil {
		return err
	}
	if !ok {
		return c.redirect("/sign-in?next=" + escape("/settings/security"))
	}
	next := c.r.FormValue("next")
	if signingUp {
		next = local(next, "/tickets")
	} else {
		next = "/settings/security"
	}
	err = f(a, factorView{SigningUp: signingUp, Next: next})
	if errors.Is(err, desk.ErrStepUp) && c.me.ID == "" {
		return desk.Fail(desk.ErrDenied)
	}
	return err
}

func (s *Server) chooseFactor(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error {
		return c.redirect("/factors/new/app?" + url.Values{"next": {v.Next}}.Encode())
	})
}

func (s *Server) newApp(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error { return s.showApp(c, a, http.StatusOK, v, "") })
}

func (s *Server) showApp(c *call, a desk.Actor, status int, v factorView, problem string) error {
	setup, err := s.o.People.BeginApp(c.ctx, a)
	if err != nil {
		return err
	}
	v.Picture, v.Error = "/factors/new/app.png", problem
	for i := 0; i < len(setup.Secret); i += 4 {
		v.Secret += setup.Secret[i:min(i+4, len(setup.Secret))] + " "
	}
	v.Secret = strings.TrimSpace(v.Secret)
	v.Name = c.factorName()
	return c.showAs(status, "factor-app", c.page("settings", c.T("account.app"), v))
}

// factorName asks how a factor is called where there are several.
func (c *call) factorName() field {
	return field{Name: "name", Label: c.T("account.name"), Hint: c.T("account.name.hint"), Type: "text", Value: clip(c.r.PostFormValue("name"), 60), Max: 60, Auto: "off"}
}

func (s *Server) appPicture(c *call) error {
	return s.factorPage(c, func(a desk.Actor, _ factorView) error {
		b, err := s.o.People.AppPicture(c.ctx, a)
		if err != nil {
			return err
		}
		c.w.Header().Set("Content-Type", "image/png")
		_, err = c.w.Write(b)
		return err
	})
}

func (s *Server) confirmApp(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error {
		d, err := s.o.People.ConfirmApp(c.ctx, a, c.r.PostFormValue("name"), c.r.PostFormValue("code"))
		if status, text := c.refused(err); text != "" {
			return s.showApp(c, a, status, v, text)
		}
		if err != nil {
			return err
		}
		return s.factorDone(c, v, d)
	})
}

// refused is the status and text of a proof that can be tried again on the same page.
func (c *call) refused(err error) (int, string) {
	switch {
	case errors.Is(err, desk.ErrLimited):
		return http.StatusTooManyRequests, desk.Text(err, c.Language())
	case errors.Is(err, desk.ErrDenied), errors.Is(err, desk.ErrInvalid), errors.Is(err, desk.ErrConflict):
		return http.StatusUnprocessableEntity, desk.Text(err, c.Language())
	}
	return 0, ""
}

// factorDone shows the recovery codes of a first factor, once, and where to sign in from now on.
func (s *Server) factorDone(c *call, v factorView, d people.Done) error {
	if d.SignedIn != nil {
		c.signIn(*d.SignedIn)
	}
	if len(d.Codes) == 0 {
		return c.redirect("/settings/security?done=factor")
	}
	v.Codes = d.Codes
	v.Address = strings.TrimSuffix(s.o.PublicURL, "/") + "/sign-in"
	return c.show("recovery", c.page("settings", c.T("account.codes"), v))
}
