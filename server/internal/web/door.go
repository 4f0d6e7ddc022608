package web

import (
	"errors"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/shared/catalogue"
)

// signInView is the sign-in page.
type signInView struct {
	Email    field
	Password field
	Next     string
	Error    string
	Sites    []choice // OpenID providers that have a button
	SSO      bool     // somebody's address may lead to one
}

func (s *Server) signIn(c *call) error {
	next := local(c.r.URL.Query().Get("next"), "/")
	if c.me.ID != "" {
		return c.redirect(next)
	}
	done, err := s.o.People.Initialised(c.ctx)
	if err != nil {
		return err
	}
	if !done {
		return c.redirect("/first")
	}
	return s.showSignIn(c, http.StatusOK, signInView{Next: next}, "")
}

func (s *Server) showSignIn(c *call, status int, v signInView, email string) error {
	v.Email = field{Name: "email", Label: c.T("web.email"), Type: "email", Value: email, Auto: "username", Max: account.MaxEmail, Required: true, Focus: email == ""}
	v.Password = field{Name: "password", Label: c.T("web.password"), Auto: "current-password"}
	sites, sso, err := s.o.People.DirectoryChoices(c.ctx)
	if err != nil {
		return err
	}
	v.SSO = sso
	for _, d := range sites {
		v.Sites = append(v.Sites, choice{Code: "/sign-in/directories/" + string(d.ID) + "?next=" + escape(v.Next), Word: c.T("directory.with", "Name", d.Name)})
	}
	return c.showAs(status, "signin", c.page("", c.T("web.signin"), v))
}

func (s *Server) doSignIn(c *call) error {
	get := c.r.PostFormValue
	v := signInView{Next: local(get("next"), "/")}
	if get("step") == "sso" {
		ok, err := s.byDomain(c, get("email"), v.Next)
		if ok || err != nil {
			return err
		}
		v.Error = c.T("directory.sso.none")
		return s.showSignIn(c, http.StatusUnprocessableEntity, v, get("email"))
	}
	step, err := s.o.People.SignIn(c.ctx, people.Credentials{Email: get("email"), Password: get("password"), Language: c.Language(), Address: c.address(), UserAgent: c.r.UserAgent(), Browser: c.browserText()})
	switch {
	case errors.Is(err, desk.ErrLimited):
		v.Error = c.T("web.error.limited")
		return s.showSignIn(c, http.StatusTooManyRequests, v, get("email"))
	case errors.Is(err, desk.ErrConflict), isDirectoryError(err): // the password was right, or was not looked at
		v.Error = desk.Text(err, c.Language())
		return s.showSignIn(c, http.StatusUnprocessableEntity, v, get("email"))
	case errors.Is(err, desk.ErrDenied):
		v.Error = c.T("web.error.password")
		return s.showSignIn(c, http.StatusUnprocessableEntity, v, get("email"))
	case err != nil:
		return err
	}
	return c.halfway(step, v.Next)
}

// halfway lets a browser whose first factor is proven go on to the second one.
func (c *call) halfway(step people.Step, next string) error {
	c.setCookie(stepCookie, step.Token, account.StepLife, false)
	to := "/second-factor"
	if len(step.Factors) == 0 {
		to = "/factors/new"
	}
	if next != "/" {
		to += "?next=" + escape(next)
	}
	return c.redirect(to)
}

// signIn puts a complete sign-in into the browser, in the place of the half-way one.
func (c *call) signIn(in people.SignedIn) {
	c.setCookie(stepCookie, "", 0, false)
	c.setCookie(loginCookie, in.Token, account.LoginLife, false)
	c.setCookie(browserCookie, c.s.o.People.Browser(in.Account.ID), people.BrowserLife, false)
}

// enter puts a fresh sign-in into the browser.
func (c *call) enter(in people.SignedIn, next string) error {
	c.signIn(in)
	return c.redirect(next)
}

func (s *Server) signOut(c *call) error {
	if err := s.o.People.SignOut(c.ctx, c.actor); err != nil {
		return err
	}
	c.setCookie(loginCookie, "", 0, false)
	return c.redirect("/sign-in?done=signedout")
}

// firstView is the page of the first administrator.
type firstView struct {
	Asks                      bool // for the token
	Secret                    string
	Organization, Name, Email field
	Password                  field
	Error                     string
}

func (s *Server) first(c *call) error {
	done, err := s.o.People.Initialised(c.ctx)
	if err != nil {
		return err
	}
	if done {
		return c.redirect("/sign-in")
	}
	token := clip(c.r.URL.Query().Get("token"), 400)
	asks := token == "" || s.o.People.CheckFirst(c.ctx, token) != nil
	return s.showFirst(c, http.StatusOK, firstView{Asks: asks}, people.NewAccount{}, "", token, nil)
}

func (s *Server) showFirst(c *call, status int, v firstView, n people.NewAccount, organization, token string, problem error) error {
	if organization == "" {
		if b := s.brand.name(c); b != "Traybell" {
			organization = b
		}
	}
	v.Secret = token
	v.Organization = field{Name: "organization", Label: c.T("web.first.organization"), Hint: c.T("web.first.organization.hint"), Type: "text", Value: organization, Max: account.MaxName, Required: true, Auto: "organization"}
	v.Name = field{Name: "name", Label: c.T("web.name"), Type: "text", Value: n.Name, Max: account.MaxName, Required: true, Auto: "name"}
	v.Email = field{Name: "email", Label: c.T("web.email"), Type: "email", Value: n.Email, Max: account.MaxEmail, Required: true, Auto: "username"}
	v.Password = field{Name: "password", Label: c.T("web.password"), Hint: c.T("web.password.hint"), Auto: "new-password"}
	if v.Error = c.fieldErrors(problem, &v.Name, &v.Email, &v.Password); errors.Is(problem, errLink) {
		v.Error = c.T("web.error.link")
	}
	return c.showAs(status, "first", c.page("", c.T("web.first"), v))
}

// fieldErrors puts an error beside the field that it is about, or returns its text.
func (c *call) fieldErrors(err error, name, email, password *field) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, account.ErrName) && name != nil:
		name.Error = desk.Text(err, c.Language())
	case errors.Is(err, account.ErrEmail) && email != nil:
		email.Error = c.T("web.error.email")
	case isPasswordError(err) && password != nil:
		password.Error = desk.Text(err, c.Language())
	default:
		return desk.Text(err, c.Language())
	}
	return ""
}

func isPasswordError(err error) bool {
	return errors.Is(err, account.ErrPasswordShort) || errors.Is(err, account.ErrPasswordLong) || errors.Is(err, account.ErrPasswordKinds) || errors.Is(err, account.ErrPasswordCommon)
}

func (s *Server) makeFirst(c *call) error {
	get := c.r.PostFormValue
	token := clip(get("token"), 400)
	if err := s.o.People.CheckFirst(c.ctx, token); err != nil {
		if !errors.Is(err, desk.ErrInvalid) {
			return err
		}
		return s.showFirst(c, http.StatusUnprocessableEntity, firstView{Asks: true}, people.NewAccount{}, "", "", errLink)
	}
	if get("step") != "make" {
		return s.showFirst(c, http.StatusOK, firstView{}, people.NewAccount{}, "", token, nil)
	}
	n := people.NewAccount{Email: get("email"), Name: get("name"), Password: get("password"), Language: c.Language(), Address: c.address(), UserAgent: c.r.UserAgent()}
	in, err := s.o.People.FirstAdministrator(c.ctx, token, get("organization"), n)
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) {
		return s.showFirst(c, http.StatusUnprocessableEntity, firstView{}, n, get("organization"), token, err)
	}
	if err != nil {
		return err
	}
	s.brand.forget()
	return c.halfway(in, "/")
}

// invitationView is the page that an invitation's link opens.
type invitationView struct {
	Asks                            bool
	Secret, Error                   string
	Email, Organization, Role, Code string
	Name, Password                  field
}

func (s *Server) invitation(c *call) error {
	return c.show("invitation", c.page("", c.T("web.invitation"), invitationView{Asks: true, Code: clip(c.r.URL.Query().Get("token"), 400)}))
}

func (s *Server) acceptInvitation(c *call) error {
	get := c.r.PostFormValue
	token := clip(get("token"), 400)
	i, err := s.o.People.Invitation(c.ctx, token)
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrNotFound) {
		return c.showAs(http.StatusUnprocessableEntity, "invitation", c.page("", c.T("web.invitation"), invitationView{Asks: true, Error: c.T("web.error.link")}))
	}
	if err != nil {
		return err
	}
	v := invitationView{
		Secret: token, Email: i.Email, Organization: i.OrganizationName, Role: c.T("web.role." + string(i.Role)),
		Name:     field{Name: "name", Label: c.T("web.name"), Type: "text", Value: get("name"), Max: account.MaxName, Required: true, Auto: "name", Focus: true},
		Password: field{Name: "password", Label: c.T("web.password"), Hint: c.T("web.password.hint"), Auto: "new-password"},
	}
	status := http.StatusOK
	if get("step") == "accept" {
		in, err := s.o.People.AcceptInvitation(c.ctx, token, people.NewAccount{Name: get("name"), Password: get("password"), Language: c.Language(), Address: c.address(), UserAgent: c.r.UserAgent()})
		if err == nil {
			return c.halfway(in, "/")
		}
		if !errors.Is(err, desk.ErrInvalid) && !errors.Is(err, desk.ErrConflict) {
			return err
		}
		status, v.Error = http.StatusUnprocessableEntity, c.fieldErrors(err, &v.Name, nil, &v.Password)
	}
	return c.showAs(status, "invitation", c.page("", c.T("web.invitation"), v))
}

// language changes the language of the door.
func (s *Server) language(c *call) error {
	l := c.r.PostFormValue("language")
	if _, ok := catalogue.Names[l]; ok {
		c.setCookie(languageCookie, l, account.LoginLife, false)
	}
	return c.redirect(local(c.r.PostFormValue("back"), "/sign-in"))
}
