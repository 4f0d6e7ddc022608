package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
)

// securityView is the page of what protects the reader's own account.
type securityView struct {
	Factors                  []factorLine
	Recovery                 string // how many recovery codes are left
	FewCodes                 bool
	OldPassword, NewPassword field
	HasPassword              bool
	Logins                   []loginView
	Others                   bool // there are other logins
	Error                    string
}

type factorLine struct {
	ID, Icon, Name, Kind, Text string
	Rename                     field
	Last                       bool // the only one: it can't be removed
}

type loginView struct {
	ID, Icon, Browser, Text string
	Current                 bool
}

var factorIcons = map[account.FactorKind]string{account.App: "i-device-mobile", account.Passkey: "i-fingerprint", account.SMS: "i-message"}

func (s *Server) security(c *call) error {
	return s.showSecurity(c, http.StatusOK, securityView{})
}

func (s *Server) showSecurity(c *call, status int, v securityView) error {
	v.HasPassword = c.me.Password != ""
	v.OldPassword = field{Name: "old", Label: c.T("web.password.old"), Auto: "current-password", Error: v.OldPassword.Error}
	v.NewPassword = field{Name: "new", Label: c.T("web.password.new"), Hint: c.T("web.password.hint"), Auto: "new-password", Error: v.NewPassword.Error}
	factors, err := s.o.People.Factors(c.ctx, c.actor)
	if err != nil {
		return err
	}
	for _, f := range factors {
		l := factorLine{ID: f.ID, Icon: factorIcons[f.Kind], Name: f.Name, Kind: c.T("account." + string(f.Kind)), Last: len(factors) == 1, Text: c.T("account.set", "When", c.date(f.CreatedAt))}
		if !f.SeenAt.IsZero() {
			l.Text = c.T("account.used", "Set", c.date(f.CreatedAt), "Used", c.date(f.SeenAt))
		}
		if f.Shown != "" {
			l.Kind += ", " + f.Shown
		}
		if l.Name == "" {
			l.Name, l.Kind = l.Kind, ""
		}
		l.Rename = field{Name: "name", Value: f.Name, Max: 60}
		v.Factors = append(v.Factors, l)
	}
	n, err := s.o.People.RecoveryCodesLeft(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v.Recovery, v.FewCodes = c.T("account.codes.left", "Count", n), n < 3
	logins, err := s.o.People.Logins(c.ctx, c.actor)
	if err != nil {
		return err
	}
	for _, l := range logins {
		browser, icon := c.browser(l.UserAgent)
		v.Logins = append(v.Logins, loginView{ID: l.ID, Icon: icon, Browser: browser, Current: l.Current, Text: c.T("web.logins.seen", "Address", l.Address, "When", c.date(l.SeenAt))})
		v.Others = v.Others || !l.Current
	}
	return c.showAs(status, "security", c.page("settings", c.T("account.security"), v))
}

// browser tells the browser and system of a login as far as it says so itself.
func (c *call) browser(ua string) (name, icon string) {
	find := func(list ...string) string {
		for i := 0; i+1 < len(list); i += 2 {
			if strings.Contains(ua, list[i]) {
				return list[i+1]
			}
		}
		return ""
	}
	browser := find("Edg/", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "Chrome/", "Chrome", "Chromium/", "Chromium", "Safari/", "Safari")
	system := find("Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Windows", "Windows", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	icon = "i-device-desktop"
	if slices.Contains([]string{"Android", "iPhone", "iPad"}, system) {
		icon = "i-device-mobile"
	}
	if browser == "" || system == "" {
		return c.T("web.logins.other"), icon
	}
	return c.T("web.logins.browser", "Browser", browser, "System", system), icon
}

func (s *Server) savePassword(c *call) error {
	err := s.o.People.ChangePassword(c.ctx, c.actor, c.r.PostFormValue("old"), c.r.PostFormValue("new"))
	var v securityView
	switch {
	case err == nil:
		return c.redirect("/settings/security?done=password")
	case errors.Is(err, desk.ErrDenied):
		v.OldPassword.Error = c.T("web.error.password.old")
	case errors.Is(err, desk.ErrInvalid), errors.Is(err, desk.ErrLimited):
		v.NewPassword.Error = desk.Text(err, c.Language())
	default:
		return err
	}
	return s.showSecurity(c, http.StatusUnprocessableEntity, v)
}

func (s *Server) renameFactor(c *call) error {
	if err := s.o.People.RenameFactor(c.ctx, c.actor, c.r.PostFormValue("factor"), c.r.PostFormValue("name")); err != nil {
		return err
	}
	return c.redirect("/settings/security?done=saved")
}

func (s *Server) removeFactor(c *call) error {
	err := s.o.People.RemoveFactor(c.ctx, c.actor, c.r.PostFormValue("factor"))
	if errors.Is(err, desk.ErrConflict) {
		return s.showSecurity(c, http.StatusUnprocessableEntity, securityView{Error: desk.Text(err, c.Language())})
	}
	if err != nil {
		return err
	}
	return c.redirect("/settings/security?done=factor.off")
}

func (s *Server) makeCodes(c *call) error {
	codes, err := s.o.People.NewRecoveryCodes(c.ctx, c.actor)
	if err != nil {
		return err
	}
	return c.show("recovery", c.page("settings", c.T("account.codes"), factorView{Codes: codes, Next: "/settings/security"}))
}

func (s *Server) endLogin(c *call) error {
	if err := s.o.People.EndLogin(c.ctx, c.actor, c.r.PostFormValue("login")); err != nil {
		return err
	}
	return c.redirect("/settings/security?done=login#logins")
}

func (s *Server) endOtherLogins(c *call) error {
	if err := s.o.People.EndOtherLogins(c.ctx, c.actor); err != nil {
		return err
	}
	return c.redirect("/settings/security?done=others#logins")
}
