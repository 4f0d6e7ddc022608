package web

import (
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/shared/catalogue"
)

// settingsView is the page of what belongs to the person who reads it.
type settingsView struct {
	Email, Role              string
	Name                     field
	Languages                []languageChoice
	Themes                   []choice
	TOTP                     bool
	TOTPPassword             field
	Recovery                 string // how many recovery codes are left
	OldPassword, NewPassword field
	Logins                   []loginView
	HasTokens                bool
	NewToken                 string
	Tokens                   []tokenView
	Phone                    *field // administrators: the number that tray and form show
	Invites                  bool
	InviteLink               string
	InviteEmail              field
	InviteOrganization       *field
	Roles                    []choice
}

type loginView struct {
	ID, Icon, Browser, Text string
	Current                 bool
}

type tokenView struct{ ID, Name, Text string }

// settingsState is what a form of the page has left: its error or what can't be shown again.
type settingsState struct {
	status                        int
	name, old, password           string // errors
	totp, invite, phone           string
	newToken, inviteLink, inEmail string
}

func (s *Server) settings(c *call) error { return s.showSettings(c, settingsState{}) }

func (s *Server) showSettings(c *call, st settingsState) error {
	v := settingsView{
		Email: c.me.Email, Role: c.T("web.role." + string(c.me.Role)), TOTP: c.me.TOTP, HasTokens: c.actor.May(account.TokensManage), NewToken: st.newToken, InviteLink: st.inviteLink,
		Name:         field{Name: "name", Label: c.T("web.name"), Type: "text", Value: c.me.Name, Max: account.MaxName, Required: true, Auto: "name", Error: st.name},
		TOTPPassword: field{Name: "totp-password", Label: c.T("web.totp.remove.password"), Auto: "current-password", Error: st.totp},
		OldPassword:  field{Name: "old", Label: c.T("web.password.old"), Auto: "current-password", Error: st.old},
		NewPassword:  field{Name: "new", Label: c.T("web.password.new"), Hint: c.T("web.password.hint"), Auto: "new-password", Error: st.password},
	}
	for _, l := range catalogue.Languages {
		v.Languages = append(v.Languages, languageChoice{Code: l, Name: catalogue.Names[l], Current: l == c.me.Language})
	}
	for _, t := range []string{"auto", "light", "dark"} {
		v.Themes = append(v.Themes, choice{Code: t, Word: c.T("web.theme." + t), Current: t == c.theme})
	}
	if c.me.TOTP {
		n, err := s.o.People.RecoveryCodesLeft(c.ctx, c.actor)
		if err != nil {
			return err
		}
		v.Recovery = c.T("web.totp.left", "Count", n)
	}
	logins, err := s.o.People.Logins(c.ctx, c.actor)
	if err != nil {
		return err
	}
	for _, l := range logins {
		browser, icon := c.browser(l.UserAgent)
		v.Logins = append(v.Logins, loginView{ID: l.ID, Icon: icon, Browser: browser, Current: l.Current, Text: c.T("web.logins.seen", "Address", l.Address, "When", c.date(l.SeenAt))})
	}
	if v.HasTokens {
		tokens, err := s.o.People.Tokens(c.ctx, c.actor)
		if err != nil {
			return err
		}
		for _, k := range tokens {
			t := tokenView{ID: k.ID, Name: k.Name, Text: c.T("web.tokens.never", "Made", c.date(k.CreatedAt))}
			if !k.SeenAt.IsZero() {
				t.Text = c.T("web.tokens.used", "Made", c.date(k.CreatedAt), "Used", c.date(k.SeenAt))
			}
			v.Tokens = append(v.Tokens, t)
		}
	}
	if c.actor.May(account.SettingsManage) {
		list, err := s.o.People.Organizations(c.ctx, c.actor)
		if err != nil {
			return err
		}
		v.Phone = &field{Name: "phone", Label: c.T("web.supportphone"), Hint: c.T("web.supportphone.hint"), Type: "tel", Max: account.MaxName, Auto: "off", Error: st.phone}
		for _, o := range list {
			if o.Provider {
				v.Phone.Value = o.SupportPhone
			}
		}
	}
	v.Invites = c.actor.May(account.PeopleManage)
	if v.Invites {
		v.InviteEmail = field{Name: "email", Label: c.T("web.email"), Type: "email", Value: st.inEmail, Max: account.MaxEmail, Required: true, Auto: "off", Error: st.invite}
		for _, r := range account.Roles {
			if account.MayInvite(c.actor.Rights, c.actor.Reach, r, c.actor.Organization) {
				v.Roles = append(v.Roles, choice{Code: string(r), Word: c.T("web.role." + string(r))})
			}
		}
		if c.actor.Reach.All || len(c.actor.Reach.Organizations) > 1 {
			v.InviteOrganization = &field{Name: "organization", Label: c.T("web.organization"), Type: "text", Max: account.MaxName, Auto: "off"}
		}
	}
	status := st.status
	if status == 0 {
		status = http.StatusOK
	}
	return c.showAs(status, "settings", c.page("settings", c.T("web.settings"), v))
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

func (s *Server) saveProfile(c *call) error {
	if t := c.r.PostFormValue("theme"); t == "auto" || t == "light" || t == "dark" {
		c.setCookie(themeCookie, t, 365*24*time.Hour, true)
	}
	err := s.o.People.ChangeProfile(c.ctx, c.actor, c.r.PostFormValue("name"), c.r.PostFormValue("language"))
	if errors.Is(err, desk.ErrInvalid) {
		return s.showSettings(c, settingsState{status: http.StatusUnprocessableEntity, name: desk.Text(err, c.Language())})
	}
	if err != nil {
		return err
	}
	return c.redirect("/settings?done=saved")
}

func (s *Server) savePassword(c *call) error {
	err := s.o.People.ChangePassword(c.ctx, c.actor, c.r.PostFormValue("old"), c.r.PostFormValue("new"))
	st := settingsState{status: http.StatusUnprocessableEntity}
	switch {
	case err == nil:
		return c.redirect("/settings?done=password")
	case errors.Is(err, desk.ErrDenied):
		st.old = c.T("web.error.password.old")
	case errors.Is(err, desk.ErrInvalid), errors.Is(err, desk.ErrLimited):
		st.password = desk.Text(err, c.Language())
	default:
		return err
	}
	return s.showSettings(c, st)
}

// authenticatorView is the setting up of the authenticator app, and then its recovery codes.
type authenticatorView struct {
	Picture template.URL
	Secret  string
	Error   string
	Codes   []string
}

func (s *Server) beginTOTP(c *call) error {
	setup, err := s.o.People.BeginTOTP(c.ctx, c.actor)
	if err != nil {
		return err
	}
	s.setups.put(c.actor.Login, setup, c.now)
	return s.showTOTP(c, http.StatusOK, setup, "")
}

func (s *Server) showTOTP(c *call, status int, setup people.TOTPSetup, problem string) error {
	c.policy = policyPicture
	v := authenticatorView{Picture: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(setup.QR)), Error: problem}
	for i := 0; i < len(setup.Secret); i += 4 {
		v.Secret += setup.Secret[i:min(i+4, len(setup.Secret))] + " "
	}
	v.Secret = strings.TrimSpace(v.Secret)
	return c.showAs(status, "authenticator", c.page("settings", c.T("web.totp.begin"), v))
}

func (s *Server) confirmTOTP(c *call) error {
	setup, ok := s.setups.get(c.actor.Login, c.now)
	if !ok {
		return c.redirect("/settings")
	}
	codes, err := s.o.People.ConfirmTOTP(c.ctx, c.actor, c.r.PostFormValue("code"))
	switch {
	case errors.Is(err, desk.ErrDenied):
		return s.showTOTP(c, http.StatusUnprocessableEntity, setup, c.T("web.error.code"))
	case errors.Is(err, desk.ErrLimited):
		return s.showTOTP(c, http.StatusTooManyRequests, setup, c.T("web.error.limited"))
	case err != nil:
		return err
	}
	s.setups.drop(c.actor.Login)
	return c.show("authenticator", c.page("settings", c.T("web.totp.codes"), authenticatorView{Codes: codes}))
}

func (s *Server) removeTOTP(c *call) error {
	err := s.o.People.RemoveTOTP(c.ctx, c.actor, c.r.PostFormValue("totp-password"))
	if errors.Is(err, desk.ErrDenied) || errors.Is(err, desk.ErrLimited) {
		return s.showSettings(c, settingsState{status: http.StatusUnprocessableEntity, totp: c.T("web.error.password.old")})
	}
	if err != nil {
		return err
	}
	return c.redirect("/settings?done=totp.off")
}

func (s *Server) savePhone(c *call) error {
	err := s.o.People.SetSupportPhone(c.ctx, c.actor, strings.TrimSpace(c.r.PostFormValue("phone")))
	if errors.Is(err, desk.ErrInvalid) {
		return s.showSettings(c, settingsState{status: http.StatusUnprocessableEntity, phone: desk.Text(err, c.Language())})
	}
	if err != nil {
		return err
	}
	return c.redirect("/settings?done=phone#support")
}

func (s *Server) endLogin(c *call) error {
	if err := s.o.People.EndLogin(c.ctx, c.actor, c.r.PostFormValue("login")); err != nil {
		return err
	}
	return c.redirect("/settings?done=login#logins")
}

func (s *Server) makeToken(c *call) error {
	if !c.actor.May(account.TokensManage) {
		return desk.Fail(desk.ErrDenied)
	}
	_, secret, err := s.o.People.CreateToken(c.ctx, c.actor, c.r.PostFormValue("name"), 0)
	if err != nil {
		return err
	}
	return s.showSettings(c, settingsState{newToken: secret})
}

func (s *Server) endToken(c *call) error {
	if err := s.o.People.DeleteToken(c.ctx, c.actor, c.r.PostFormValue("token")); err != nil {
		return err
	}
	return c.redirect("/settings?done=token#tokens")
}

func (s *Server) invite(c *call) error {
	get := c.r.PostFormValue
	_, token, err := s.o.People.Invite(c.ctx, c.actor, people.NewInvitation{Email: get("email"), Role: account.Role(get("role")), Organization: get("organization")})
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) {
		return s.showSettings(c, settingsState{status: http.StatusUnprocessableEntity, invite: desk.Text(err, c.Language()), inEmail: get("email")})
	}
	if err != nil {
		return err
	}
	return s.showSettings(c, settingsState{inviteLink: strings.TrimSuffix(s.o.PublicURL, "/") + "/invitation#token=" + token})
}
