package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/shared/catalogue"
)

// settingsView is the page of what belongs to the person who reads it.
type settingsView struct {
	Email, Role        string
	Data               string // address of the export of one's own data
	Name               field
	Languages          []languageChoice
	Themes             []choice
	HasTokens          bool
	Phone              *field // administrators: the number that tray and form show
	Invites            bool
	InviteLink         string
	InviteEmail        field
	InviteOrganization *field
	Roles              []choice
}

// settingsState is what a form of the page has left: its error or what can't be shown again.
type settingsState struct {
	status              int
	name, invite, phone string // errors
	inviteLink, inEmail string
}

func (s *Server) settings(c *call) error { return s.showSettings(c, settingsState{}) }

func (s *Server) showSettings(c *call, st settingsState) error {
	v := settingsView{Data: "/people/" + string(c.me.ID) + "/data.zip",
		Email: c.me.Email, Role: c.T("web.role." + string(c.me.Role)), HasTokens: c.actor.May(account.TokensManage), InviteLink: st.inviteLink,
		Name: field{Name: "name", Label: c.T("web.name"), Type: "text", Value: c.me.Name, Max: account.MaxName, Required: true, Auto: "name", Error: st.name},
	}
	for _, l := range catalogue.Languages {
		v.Languages = append(v.Languages, languageChoice{Code: l, Name: catalogue.Names[l], Current: l == c.me.Language})
	}
	for _, t := range []string{"auto", "light", "dark"} {
		v.Themes = append(v.Themes, choice{Code: t, Word: c.T("web.theme." + t), Current: t == c.theme})
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
