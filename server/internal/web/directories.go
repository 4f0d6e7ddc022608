package web

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/shared/api"
)

const (
	flowCookie  = "__Host-traybell-directory" // between leaving for a provider and coming back
	roleRows    = 3                           // empty rows for groups
	maxRoleRows = 100
)

// directoriesView is the list of the places where people have their passwords.
type directoriesView struct{ Rows []directoryRow }

type directoryRow struct {
	ID, Name, Kind, Organization, Domains, State string
	Enabled                                      bool
}

func (s *Server) directories(c *call) error {
	list, err := s.o.People.Directories(c.ctx, c.actor)
	if err != nil {
		return err
	}
	names, err := s.organizationNames(c)
	if err != nil {
		return err
	}
	v := directoriesView{}
	for _, d := range list {
		row := directoryRow{ID: string(d.ID), Name: d.Name, Kind: c.T("directory.kind." + string(d.Kind)), Organization: names[d.Organization], Domains: strings.Join(d.Domains, ", "), State: c.T("directory.off"), Enabled: d.Enabled}
		if d.Enabled {
			row.State = c.T("directory.on")
		}
		v.Rows = append(v.Rows, row)
	}
	return c.show("directories", c.page("directories", c.T("directory.directories"), v))
}

// directoryView is the form of a directory.
type directoryView struct {
	ID, Version, Kind string
	New, LDAP         bool
	Stored            bool // a secret is there
	Name, Domains     field
	Organizations     []choice
	Connection        []field // server or issuer, and who asks
	TLS               []choice
	CA                string
	Secret            field
	Search            []field // LDAP: the attributes and filters
	Groups            []choice
	More              []field // OIDC
	TrustEmail        bool
	Redirect          string
	DefaultRoles      []choice
	Rules             []ruleRow
	Enabled, Create   bool
	Button            bool
	User              field
	Error             string
	Found             []pair
	Tested            string
	Refused           string
}

type ruleRow struct {
	N     int
	Group string
	Roles []choice
}

func (s *Server) newDirectory(c *call) error {
	if !c.actor.May(account.DirectoriesManage) {
		return desk.Fail(desk.ErrDenied)
	}
	d := account.Directory{ID: account.DirectoryID(api.NewID(c.now)), Kind: account.LDAP, Enabled: true, Create: true, Button: true, DefaultRole: account.Requester}
	switch kind := c.r.URL.Query().Get("kind"); kind {
	case "oidc":
		d.Kind = account.OIDC
	case "ad":
		d.LDAP = account.LDAPPresets["ad"]
	default:
		d.LDAP = account.LDAPPresets["openldap"]
	}
	return s.showDirectory(c, http.StatusOK, d, directoryView{})
}

func (s *Server) directory(c *call) error {
	d, err := s.o.People.Directory(c.ctx, c.actor, account.DirectoryID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	return s.showDirectory(c, http.StatusOK, d, directoryView{Stored: d.Secret != ""})
}

func (s *Server) showDirectory(c *call, status int, d account.Directory, v directoryView) error {
	text := func(name, label, value string, required, hint bool) field {
		f := field{Name: name, Label: c.T("directory." + label), Type: "text", Value: value, Max: 1000, Required: required, Auto: "off"}
		if hint {
			f.Hint = c.T("directory." + label + ".hint")
		}
		return f
	}
	v.ID, v.Version, v.Kind, v.New, v.LDAP = string(d.ID), strconv.FormatInt(d.Version, 10), string(d.Kind), d.Version == 0, d.Kind == account.LDAP
	v.Name, v.Domains = text("name", "name", d.Name, true, true), text("domains", "own_domains", strings.Join(d.Domains, " "), true, true)
	v.Name.Max = account.MaxName
	list, err := s.o.People.Organizations(c.ctx, c.actor)
	if err != nil {
		return err
	}
	for _, o := range list {
		v.Organizations = append(v.Organizations, choice{Code: string(o.ID), Word: o.Name, Current: o.ID == d.Organization})
	}
	l, o := d.LDAP, d.OIDC
	if v.LDAP {
		v.Connection = []field{text("server", "server_name", l.Server, true, true), text("bind_dn", "bind_dn", l.BindDN, true, true)}
		v.CA = l.CA
		for _, k := range []string{account.LDAPS, account.StartTLS} {
			v.TLS = append(v.TLS, choice{Code: k, Word: c.T("directory.tls." + k), Current: k == l.TLS})
		}
		v.Secret = field{Name: "secret", Label: c.T("directory.bind_password"), Auto: "off"}
		v.Search = []field{text("base", "search_base", l.Base, true, true), text("user_filter", "user_filter", l.UserFilter, true, true), text("id_attribute", "id_attribute", l.IDAttribute, true, true), text("email_attribute", "email_attribute", l.EmailAttribute, true, false),
			text("name_attribute", "name_attribute", l.NameAttribute, true, false), text("disabled_filter", "disabled_filter", l.DisabledFilter, false, true), text("group_base", "group_base", l.GroupBase, false, true)}
		for _, k := range []string{account.GroupsChain, account.GroupsMember, account.GroupsMemberOf} {
			v.Groups = append(v.Groups, choice{Code: k, Word: c.T("directory.groups." + k), Current: k == l.Groups})
		}
		v.User = text("user", "test_user", c.r.PostFormValue("user"), false, true)
	} else {
		v.Connection = []field{text("issuer", "issuer_address", o.Issuer, true, true), text("client_id", "client_id", o.ClientID, true, false)}
		v.CA = o.CA
		v.Secret = field{Name: "secret", Label: c.T("directory.client_secret"), Auto: "off"}
		v.More = []field{text("scopes", "scopes", o.Scopes, false, true), text("groups_claim", "groups_claim", o.GroupsClaim, false, true)}
		v.TrustEmail = o.TrustEmail
		v.Redirect = s.redirectURI(d.ID)
	}
	if v.Stored {
		v.Secret.Hint = c.T("directory.secret.stored")
	}
	v.DefaultRoles = append(v.DefaultRoles, choice{Word: c.T("directory.role.none"), Current: d.DefaultRole == ""})
	for _, r := range []account.Role{account.Requester, account.Responsible} {
		v.DefaultRoles = append(v.DefaultRoles, choice{Code: string(r), Word: c.T("web.role." + string(r)), Current: r == d.DefaultRole})
	}
	for i := range min(len(d.Rules)+roleRows, maxRoleRows) {
		row := ruleRow{N: i + 1}
		role := account.Responsible
		if i < len(d.Rules) {
			row.Group, role = d.Rules[i].Group, d.Rules[i].Role
		}
		for _, r := range account.Roles {
			row.Roles = append(row.Roles, choice{Code: string(r), Word: c.T("web.role." + string(r)), Current: r == role})
		}
		v.Rules = append(v.Rules, row)
	}
	v.Enabled, v.Create, v.Button = d.Enabled, d.Create, d.Button
	title := d.Name
	if v.New {
		title = c.T("directory.new." + v.Kind)
	}
	return c.showAs(status, "directory", c.page("directories", title, v))
}

// directoryForm reads the form. A password field that was left empty keeps what is stored.
func (c *call) directoryForm() (d account.Directory, secret *string) {
	get := c.r.PostFormValue
	d = account.Directory{ID: account.DirectoryID(get("id")), Kind: account.DirectoryKind(get("kind")), Name: get("name"), Organization: account.OrganizationID(get("organization")),
		Domains: strings.Fields(strings.ReplaceAll(get("domains"), ",", " ")), Enabled: get("enabled") != "", Create: get("create") != "", Button: get("button") != "", DefaultRole: account.Role(get("default_role"))}
	d.Version, _ = strconv.ParseInt(get("version"), 10, 64) // none: a new one
	groups, roles := c.r.PostForm["group"], c.r.PostForm["role"]
	for i, g := range groups {
		if strings.TrimSpace(g) != "" && i < len(roles) && i < maxRoleRows {
			d.Rules = append(d.Rules, account.RoleRule{Group: g, Role: account.Role(roles[i])})
		}
	}
	if d.Kind == account.LDAP {
		d.LDAP = account.LDAPSettings{Server: get("server"), TLS: get("tls"), CA: get("ca"), BindDN: get("bind_dn"), Base: get("base"), UserFilter: get("user_filter"), IDAttribute: get("id_attribute"), EmailAttribute: get("email_attribute"),
			NameAttribute: get("name_attribute"), Groups: get("groups"), GroupBase: get("group_base"), DisabledFilter: get("disabled_filter")}
	} else {
		d.OIDC = account.OIDCSettings{Issuer: get("issuer"), ClientID: get("client_id"), CA: get("ca"), Scopes: get("scopes"), GroupsClaim: get("groups_claim"), TrustEmail: get("trust_email") != ""}
	}
	if v := get("secret"); v != "" {
		secret = &v
	}
	return d, secret
}

func (s *Server) saveDirectory(c *call) error {
	d, secret := c.directoryForm()
	v := directoryView{Stored: c.r.PostFormValue("stored") != ""}
	if c.r.PostFormValue("do") == "test" {
		t, err := s.o.People.TestDirectory(c.ctx, c.actor, d, secret, strings.TrimSpace(c.r.PostFormValue("user")))
		if err != nil && !errors.Is(err, desk.ErrInvalid) && !isDirectoryError(err) {
			return err
		}
		status := http.StatusOK
		switch {
		case err != nil:
			status, v.Error = http.StatusUnprocessableEntity, desk.Text(err, c.Language())
		case d.Kind == account.OIDC:
			v.Tested = c.T("directory.tested.oidc")
		default:
			v.Tested = c.T("directory.tested")
			add := func(label, value string) { v.Found = append(v.Found, pair{c.T(label), value}) }
			add("web.name", t.Identity.Name)
			add("web.email", t.Identity.Email)
			var groups []string
			for _, g := range t.Identity.Groups {
				groups = append(groups, g.Name)
			}
			add("directory.groups", strings.Join(groups, ", "))
			if t.Refused != nil {
				v.Refused = desk.Text(t.Refused, c.Language())
			} else {
				add("web.role", c.T("web.role."+string(t.Role)))
			}
		}
		return s.showDirectory(c, status, d, v)
	}
	saved, err := s.o.People.SaveDirectory(c.ctx, c.actor, d, secret)
	if errors.Is(err, desk.ErrInvalid) {
		v.Error = desk.Text(err, c.Language())
		return s.showDirectory(c, http.StatusUnprocessableEntity, d, v)
	}
	if err != nil {
		return err
	}
	return c.redirect("/directories/" + string(saved.ID) + "?done=directory")
}

func isDirectoryError(err error) bool {
	var e *desk.Error
	return errors.As(err, &e) && strings.HasPrefix(e.Code, "directory.")
}

func (s *Server) removeDirectory(c *call) error {
	if err := s.o.People.DeleteDirectory(c.ctx, c.actor, account.DirectoryID(c.r.PathValue("id"))); err != nil {
		return err
	}
	return c.redirect("/directories?done=directory.removed")
}

// Signing in by an OpenID provider.

func (s *Server) redirectURI(id account.DirectoryID) string {
	return strings.TrimSuffix(s.o.PublicURL, "/") + "/sign-in/directories/" + string(id) + "/back"
}

// leaveForProvider sends the browser to a provider. What it needs when it comes back goes along in a sealed cookie.
func (s *Server) leaveForProvider(c *call) error {
	id := account.DirectoryID(c.r.PathValue("id"))
	location, kept, err := s.o.People.BeginProvider(c.ctx, id, s.redirectURI(id), local(c.r.URL.Query().Get("next"), "/"), c.address())
	if errors.Is(err, desk.ErrLimited) || isDirectoryError(err) {
		return s.showSignIn(c, http.StatusUnprocessableEntity, signInView{Next: "/tickets", Error: desk.Text(err, c.Language())}, "")
	}
	if err != nil {
		return err
	}
	c.setCookie(flowCookie, kept, people.FlowLife, false)
	return c.redirect(location)
}

// backFromProvider takes the provider's answer. It works once: the cookie goes first.
func (s *Server) backFromProvider(c *call) error {
	kept := ""
	if k, err := c.r.Cookie(flowCookie); err == nil {
		kept = k.Value
	}
	c.setCookie(flowCookie, "", 0, false)
	q := c.r.URL.Query()
	answer := url.Values{}
	for _, name := range []string{"state", "code", "iss", "error"} {
		if v := q.Get(name); v != "" && len(v) <= 4000 {
			answer.Set(name, v)
		}
	}
	a, next, err := s.o.People.FromProvider(c.ctx, people.FromProvider{Directory: account.DirectoryID(c.r.PathValue("id")), Kept: kept, Answer: answer, Language: c.Language(), Address: c.address()})
	var step people.Step
	if err == nil {
		step, err = s.o.People.Begin(c.ctx, a.ID, c.address(), c.r.UserAgent())
	}
	if errors.Is(err, desk.ErrDenied) || errors.Is(err, desk.ErrConflict) || isDirectoryError(err) {
		return s.showSignIn(c, http.StatusUnprocessableEntity, signInView{Next: "/tickets", Error: desk.Text(err, c.Language())}, "")
	}
	if err != nil {
		return err
	}
	return c.halfway(step, local(next, "/"))
}

// byDomain goes to the provider to which an address's domain belongs, whether or not there is an account. ok is false when
// there is none: then a password is asked for as ever.
func (s *Server) byDomain(c *call, email, next string) (ok bool, err error) {
	choice, err := s.o.People.DirectoryFor(c.ctx, email)
	if errors.Is(err, desk.ErrNotFound) || err == nil && choice.Kind != account.OIDC {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// A form may not send the browser elsewhere (form-action), so that this page does by a header and shows a link.
	to := "/sign-in/directories/" + string(choice.ID) + "?next=" + escape(next)
	c.w.Header().Set("Refresh", "0; url="+to)
	return true, c.show("leave", c.page("", c.T("directory.leave"), leaveView{Name: choice.Name, Href: to}))
}

type leaveView struct{ Name, Href string }
