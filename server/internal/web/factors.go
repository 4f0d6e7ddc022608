package web

import (
	"errors"
	"net"
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
	s.Browser = c.browserText()
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
	Ways      []wayView
	Why       string // a passkey can't be made here
	Number    field
	Sent      string // to which a code is under way
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
		next = local(next, "/")
	} else {
		next = "/settings/security"
	}
	err = f(a, factorView{SigningUp: signingUp, Next: next})
	if errors.Is(err, desk.ErrStepUp) && c.me.ID == "" {
		return desk.Fail(desk.ErrDenied)
	}
	return err
}

// wayView is a kind of second factor to choose, or why it can't be.
type wayView struct{ Href, Icon, Name, Text, Why string }

func (s *Server) chooseFactor(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error {
		if err := desk.NeedFresh(a, c.now); err != nil && !v.SigningUp {
			return err
		}
		next := "?" + url.Values{"next": {v.Next}}.Encode()
		app := wayView{Href: "/factors/new/app" + next, Icon: factorIcons[account.App], Name: c.T("account.app"), Text: c.T("account.app.text")}
		key := wayView{Href: "/factors/new/passkey" + next, Icon: factorIcons[account.Passkey], Name: c.T("account.passkey"), Text: c.T("account.passkey.text"), Why: s.noPasskey(c)}
		text := wayView{Href: "/factors/new/sms" + next, Icon: factorIcons[account.SMS], Name: c.T("account.sms"), Text: c.T("account.sms.lead")}
		has, err := s.o.People.HasSMS(c.ctx)
		if err != nil {
			return err
		}
		if !has {
			text.Why = c.T("account.sms.unset")
		}
		v.Ways = []wayView{app, key, text}
		return c.show("factor-choose", c.page("settings", c.T("account.choose"), v))
	})
}

// noPasskey tells why browsers can't make passkeys here; empty: they can.
func (s *Server) noPasskey(c *call) string {
	host, err := s.o.People.PasskeyHost()
	if err != nil {
		return desk.Text(err, c.Language())
	}
	if asked, _, err := net.SplitHostPort(c.r.Host); (err == nil && asked != host) || (err != nil && c.r.Host != host) {
		return c.T("account.passkey.elsewhere", "Address", s.o.PublicURL)
	}
	return ""
}

func (s *Server) newPasskey(c *call) error {
	return s.factorPage(c, func(_ desk.Actor, v factorView) error { return s.showPasskey(c, http.StatusOK, v, "") })
}

func (s *Server) showPasskey(c *call, status int, v factorView, problem string) error {
	v.Error, v.Name = problem, c.factorName()
	if v.Why = s.noPasskey(c); v.Why != "" && v.Error == "" {
		status = http.StatusConflict
	}
	return c.showAs(status, "factor-passkey", c.page("settings", c.T("account.passkey"), v))
}

func (s *Server) beginPasskey(c *call) error {
	return s.factorPage(c, func(a desk.Actor, _ factorView) error {
		options, err := s.o.People.BeginPasskey(c.ctx, a)
		return c.json(options, err)
	})
}

// json answers a script with JSON.
func (c *call) json(b []byte, err error) error {
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, err = c.w.Write(b)
	return err
}

func (s *Server) confirmPasskey(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error {
		d, err := s.o.People.ConfirmPasskey(c.ctx, a, c.r.PostFormValue("name"), c.r.PostFormValue("answer"))
		if status, text := c.refused(err); text != "" {
			return s.showPasskey(c, status, v, text)
		}
		if err != nil {
			return err
		}
		return s.factorDone(c, v, d)
	})
}

func (s *Server) newSMS(c *call) error {
	return s.factorPage(c, func(_ desk.Actor, v factorView) error { return s.showSMS(c, http.StatusOK, v, "") })
}

func (s *Server) showSMS(c *call, status int, v factorView, problem string) error {
	v.Error = problem
	number := clip(c.r.PostFormValue("number"), 40)
	v.Number = field{Name: "number", Label: c.T("account.sms.number"), Hint: c.T("account.sms.number.hint"), Type: "tel", Value: number, Max: 40, Required: true, Auto: "tel"}
	if v.Sent == "" {
		v.Number.Error = problem
	}
	v.Name = c.factorName()
	return c.showAs(status, "factor-sms", c.page("settings", c.T("account.sms"), v))
}

func (s *Server) sendSMS(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error {
		err := s.o.People.BeginSMS(c.ctx, a, c.r.PostFormValue("number"))
		if status, text := c.refused(err); text != "" {
			return s.showSMS(c, status, v, text)
		}
		if err != nil {
			return err
		}
		v.Sent = clip(c.r.PostFormValue("number"), 40)
		return s.showSMS(c, http.StatusOK, v, "")
	})
}

func (s *Server) confirmSMS(c *call) error {
	return s.factorPage(c, func(a desk.Actor, v factorView) error {
		d, err := s.o.People.ConfirmSMS(c.ctx, a, c.r.PostFormValue("name"), c.r.PostFormValue("code"))
		if status, text := c.refused(err); text != "" {
			v.Sent = clip(c.r.PostFormValue("number"), 40)
			return s.showSMS(c, status, v, text)
		}
		if err != nil {
			return err
		}
		return s.factorDone(c, v, d)
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
