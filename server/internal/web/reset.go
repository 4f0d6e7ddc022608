package web

import (
	"errors"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// forgottenView asks for the address to which a link is mailed, and then says so of any address.
type forgottenView struct {
	Email field
	Sent  string
}

func (s *Server) forgotten(c *call) error {
	return s.showForgotten(c, http.StatusOK, "", "")
}

func (s *Server) showForgotten(c *call, status int, sent, problem string) error {
	v := forgottenView{Sent: sent}
	v.Email = field{Name: "email", Label: c.T("web.email"), Type: "email", Value: clip(c.r.PostFormValue("email"), account.MaxEmail), Auto: "username", Max: account.MaxEmail, Required: true, Focus: true, Error: problem}
	return c.showAs(status, "forgotten", c.page("", c.T("account.forgotten"), v))
}

func (s *Server) askReset(c *call) error {
	email := c.r.PostFormValue("email")
	err := s.o.People.ForgotPassword(c.ctx, email, c.address())
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrLimited) {
		return s.showForgotten(c, http.StatusUnprocessableEntity, "", desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	return s.showForgotten(c, http.StatusOK, clip(email, account.MaxEmail), "")
}

// resetView is the page that a mailed link opens.
type resetView struct {
	Asks     bool // for the token, which stands behind the link's #
	Secret   string
	Email    string
	Factor   bool // a new second factor; else a new password
	Password field
	Error    string
}

func (s *Server) reset(c *call) error {
	return c.show("reset", c.page("", c.T("account.reset"), resetView{Asks: true}))
}

func (s *Server) followReset(c *call) error {
	get := c.r.PostFormValue
	token := clip(get("token"), 400)
	kind, a, err := s.o.People.ResetLink(c.ctx, token)
	if errors.Is(err, desk.ErrInvalid) {
		return c.showAs(http.StatusUnprocessableEntity, "reset", c.page("", c.T("account.reset"), resetView{Asks: true, Error: c.T("web.error.link")}))
	}
	if err != nil {
		return err
	}
	v := resetView{Secret: token, Email: a.Email, Factor: kind == people.FactorLink}
	v.Password = field{Name: "password", Label: c.T("web.password"), Auto: "current-password"}
	if get("step") != "follow" {
		return c.show("reset", c.page("", c.T("account.reset"), v))
	}
	var step people.Step
	next := "/settings/security/new-password"
	if v.Factor {
		next = "/tickets"
		step, err = s.o.People.FollowFactorLink(c.ctx, token, people.Credentials{Password: get("password"), Language: c.Language(), Address: c.address(), UserAgent: c.r.UserAgent()})
	} else {
		step, err = s.o.People.FollowPasswordLink(c.ctx, token, c.address(), c.r.UserAgent())
	}
	if status, text := c.refused(err); text != "" {
		v.Error = text
		return c.showAs(status, "reset", c.page("", c.T("account.reset"), v))
	}
	if err != nil {
		return err
	}
	return c.halfway(step, next)
}

// newPasswordView sets a password in the place of a forgotten one.
type newPasswordView struct{ Password field }

func (s *Server) newPassword(c *call) error {
	may, err := s.o.People.MaySetPassword(c.ctx, c.actor)
	if err != nil {
		return err
	}
	if !may {
		return c.redirect("/settings/security")
	}
	return s.showNewPassword(c, http.StatusOK, "")
}

func (s *Server) showNewPassword(c *call, status int, problem string) error {
	v := newPasswordView{field{Name: "password", Label: c.T("web.password.new"), Hint: c.T("web.password.hint"), Auto: "new-password", Error: problem}}
	return c.showAs(status, "new-password", c.page("settings", c.T("account.newpassword"), v))
}

func (s *Server) saveNewPassword(c *call) error {
	err := s.o.People.NewPassword(c.ctx, c.actor, c.r.PostFormValue("password"))
	if isPasswordError(err) {
		return s.showNewPassword(c, http.StatusUnprocessableEntity, desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	return c.redirect("/tickets?done=password")
}

// lostFactorView asks whose second factor is lost.
type lostFactorView struct{ Email field }

func (s *Server) lostFactor(c *call) error {
	if !c.actor.May(account.PeopleManage) {
		return desk.Fail(desk.ErrDenied)
	}
	return s.showLostFactor(c, http.StatusOK, "")
}

func (s *Server) showLostFactor(c *call, status int, problem string) error {
	v := lostFactorView{field{Name: "email", Label: c.T("web.email"), Type: "email", Value: clip(c.r.FormValue("email"), account.MaxEmail), Max: account.MaxEmail, Required: true, Auto: "off", Error: problem}}
	return c.showAs(status, "lost-factor", c.page("settings", c.T("account.lostfactor"), v))
}

// resetFactor lets somebody who has lost their second factor set up a new one.
func (s *Server) resetFactor(c *call) error {
	if !c.actor.May(account.PeopleManage) {
		return desk.Fail(desk.ErrDenied)
	}
	err := s.o.People.ResetFactor(c.ctx, c.actor, c.r.PostFormValue("email"))
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) || errors.Is(err, desk.ErrNotFound) {
		return s.showLostFactor(c, http.StatusUnprocessableEntity, desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	return c.redirect("/settings?done=factor.reset")
}
