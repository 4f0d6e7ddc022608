package web

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// peopleView is the list of accounts.
type peopleView struct {
	Self, Query       string
	Invite            string // where the form is; empty: not theirs
	Own               bool   // the reader's own organization only
	Roles             []choice
	Directories       []choice
	Organization      string // id by which the list is narrowed
	OrganizationName  string
	Rows              []personRow
	Next              string
	Empty, ClearHref  string
	Filtered, Crumb   bool
	OrganizationsHref string
}

type personRow struct {
	ID, Name, Email, Organization, Role, State, Kind, Icon string
}

// formerName is how somebody is called who was forgotten, in the reader's language.
func (c *call) formerName(name string) string {
	if name == "" {
		return c.T("people.former")
	}
	return name
}

// state tells in a word whether somebody can sign in.
func (c *call) state(a account.Account) (kind, icon, text string) {
	switch {
	case a.Disabled:
		return "tb-off", "i-circle-x", c.T("people.state.disabled")
	case a.RegisteredAt.IsZero() && a.Directory == "":
		return "tb-warn", "i-mail", c.T("people.state.invited")
	}
	return "tb-good", "i-circle-check", c.T("people.state.active")
}

func (s *Server) people(c *call) error {
	q := c.r.URL.Query()
	f := people.AccountFilter{Query: clip(q.Get("q"), 200), Role: account.Role(q.Get("role")), Organization: account.OrganizationID(clip(q.Get("organization"), 36)), Directory: account.DirectoryID(clip(q.Get("directory"), 36)), After: q.Get("after")}
	if !slices.Contains(account.Roles, f.Role) {
		f.Role = ""
	}
	list, next, err := s.o.People.AccountPage(c.ctx, c.actor, f)
	if err != nil {
		return err
	}
	v := peopleView{Query: f.Query, Own: !c.actor.Role.Staff(), Organization: string(f.Organization), Filtered: f.Query != "" || f.Role != "" || f.Directory != ""}
	home := c.actor.Organization
	if f.Organization != "" {
		home = f.Organization
		o, err := s.o.People.OrganizationView(c.ctx, c.actor, home)
		if err != nil {
			return err
		}
		v.OrganizationName = o.Name
	}
	if len(s.o.People.MayGive(c.actor, home)) > 0 {
		v.Invite = "/people/invite"
		if f.Organization != "" {
			v.Invite += "?organization=" + string(f.Organization)
		}
	}
	v.Roles = []choice{{Word: c.T("people.role.all")}}
	for _, r := range account.Roles {
		if !v.Own || !r.Staff() {
			v.Roles = append(v.Roles, choice{Code: string(r), Word: c.T("web.role." + string(r)), Current: r == f.Role})
		}
	}
	if c.actor.May(account.DirectoriesManage) {
		dirs, err := s.o.People.Directories(c.ctx, c.actor)
		if err != nil {
			return err
		}
		for _, d := range dirs {
			v.Directories = append(v.Directories, choice{Code: string(d.ID), Word: d.Name, Current: d.ID == f.Directory})
		}
	}
	for _, a := range list {
		row := personRow{ID: string(a.ID), Name: c.formerName(a.Name), Email: a.Email, Organization: a.OrganizationName, Role: c.T("web.role." + string(a.Role))}
		row.Kind, row.Icon, row.State = c.state(a)
		v.Rows = append(v.Rows, row)
	}
	if next != "" {
		n := c.r.URL.Query()
		n.Set("after", next)
		v.Next = "/people?" + n.Encode()
	}
	if len(list) == 0 {
		v.Empty = c.T("people.none")
		if v.Filtered {
			v.Empty, v.ClearHref = c.T("people.nomatch"), "/people"
			if f.Organization != "" {
				v.ClearHref += "?organization=" + string(f.Organization)
			}
		}
	}
	return c.show("people", c.page(c.peoplePlace(), c.T("people.people"), v))
}

// peoplePlace is the menu entry under which people stand for the reader.
func (c *call) peoplePlace() string {
	if c.actor.Role.Staff() {
		return "people"
	}
	return "organization"
}

// inviteView is the form by which people are invited, and what became of it.
type inviteView struct {
	Own          bool
	Text, Error  string
	Organization *field
	Roles        []choice
	Done         []invitedRow
	Failed       []invitedRow
}

type invitedRow struct{ ID, Email, Link, Error string }

func (s *Server) inviteForm(c *call) error { return s.showInvite(c, http.StatusOK, inviteView{}) }

func (s *Server) showInvite(c *call, status int, v inviteView) error {
	home := account.OrganizationID(clip(c.r.URL.Query().Get("organization"), 36))
	name := c.r.PostFormValue("organization")
	if home == "" {
		home = c.actor.Organization
	}
	o, err := s.o.People.OrganizationView(c.ctx, c.actor, home)
	if err != nil {
		return err
	}
	if name == "" {
		name = o.Name
	}
	v.Own = !c.actor.Role.Staff()
	may := s.o.People.MayGive(c.actor, home)
	if len(may) == 0 {
		return desk.Fail(desk.ErrDenied)
	}
	for _, r := range may {
		v.Roles = append(v.Roles, choice{Code: string(r), Word: c.T("web.role." + string(r)), Current: c.r.PostFormValue("role") == string(r)})
	}
	if !v.Own {
		v.Organization = &field{Name: "organization", Label: c.T("web.organization"), Type: "text", Value: name, Max: account.MaxName, Required: true, Auto: "off"}
	}
	return c.showAs(status, "people-invite", c.page(c.peoplePlace(), c.T("people.invite"), v))
}

func (s *Server) invitePeople(c *call) error {
	text := c.r.PostFormValue("people")
	list, err := account.ParseRoster(text)
	if err == nil && len(list) == 0 {
		err = account.ErrEmail
	}
	if err != nil {
		return s.showInvite(c, http.StatusUnprocessableEntity, inviteView{Text: text, Error: desk.Text(err, c.Language())})
	}
	organization := ""
	if c.actor.Role.Staff() {
		organization = c.r.PostFormValue("organization")
	}
	done, err := s.o.People.InviteSeveral(c.ctx, c.actor, list, account.Role(c.r.PostFormValue("role")), organization)
	if err != nil {
		return err
	}
	v := inviteView{}
	var again []string
	for _, d := range done {
		if d.Err != nil {
			v.Failed = append(v.Failed, invitedRow{Email: d.Email, Error: desk.Text(d.Err, c.Language())})
			again = append(again, d.Email)
			continue
		}
		v.Done = append(v.Done, invitedRow{ID: "link-" + strconv.Itoa(len(v.Done)), Email: d.Email, Link: s.invitationLink(d.Token)})
	}
	v.Text = strings.Join(again, "\n")
	status := http.StatusOK
	if len(v.Done) == 0 {
		status = http.StatusUnprocessableEntity
	}
	return s.showInvite(c, status, v)
}

func (s *Server) invitationLink(token string) string {
	return strings.TrimSuffix(s.o.PublicURL, "/") + "/invitation#token=" + token
}

// personView is the page of one account.
type personView struct {
	ID, Name                string
	State, Kind, Icon       string
	Own, Manage, Self       bool
	Invited, Disabled       bool
	Factor                  bool // it has a second factor that can be reset
	Facts                   []pair
	Roles                   []choice
	Link                    string // a fresh invitation's, shown once
	Error                   string
	Invitation, TicketsHref string
	Limit                   *limitView // for whoever may narrow this technician
}

func (s *Server) person(c *call) error { return s.showPerson(c, http.StatusOK, personView{}) }

func (s *Server) showPerson(c *call, status int, v personView) error {
	m, err := s.o.People.Member(c.ctx, c.actor, account.ID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	v.ID, v.Name, v.Own, v.Manage, v.Self, v.Disabled = string(m.ID), c.formerName(m.Name), !c.actor.Role.Staff(), m.Manage, m.Self, m.Disabled
	v.Invited = m.RegisteredAt.IsZero() && m.Directory == ""
	v.Factor = m.Manage && m.SecondFactor && !m.Disabled
	v.Kind, v.Icon, v.State = c.state(m.Account)
	fact := func(id, value string) {
		if value != "" {
			v.Facts = append(v.Facts, pair{c.T(id), value})
		}
	}
	if m.Name != "" {
		fact("web.email", m.Email)
	}
	fact("web.organization", m.OrganizationName)
	fact("web.role", c.T("web.role."+string(m.Role)))
	fact("people.since", c.date(m.CreatedAt))
	if !v.Invited && m.Directory == "" {
		word := "people.factor.none"
		if m.SecondFactor {
			word = "people.factor.set"
		}
		fact("people.factor", c.T(word))
	}
	if m.Invitation.ID != "" {
		v.Invitation = c.T("people.invitation.until", "Made", c.date(m.Invitation.CreatedAt), "Until", c.moment(m.Invitation.ExpiresAt))
		if !m.Invitation.ExpiresAt.After(c.now) {
			v.Invitation = c.T("people.invitation.over", "Until", c.moment(m.Invitation.ExpiresAt))
		}
	}
	for _, r := range m.Roles {
		v.Roles = append(v.Roles, choice{Code: string(r), Word: c.T("web.role." + string(r)), Current: r == m.Role})
	}
	if v.Limit, err = s.limitView(c, m, v.Limit); err != nil {
		return err
	}
	return c.showAs(status, "person", c.page(c.peoplePlace(), v.Name, v))
}

func (s *Server) changePerson(c *call) error {
	id := account.ID(c.r.PathValue("id"))
	var err error
	done := ""
	switch c.r.PostFormValue("do") {
	case "role":
		done, err = "role", s.o.People.ChangeRole(c.ctx, c.actor, id, account.Role(c.r.PostFormValue("role")))
	case "disable":
		done, err = "disabled", s.o.People.Disable(c.ctx, c.actor, id)
	case "enable":
		done, err = "enabled", s.o.People.Enable(c.ctx, c.actor, id)
	case "factor":
		var m people.MemberView
		if m, err = s.o.People.Member(c.ctx, c.actor, id); err == nil {
			done, err = "factor.reset", s.o.People.ResetFactor(c.ctx, c.actor, m.Email)
		}
	case "revoke":
		done, err = "revoked", s.o.People.RevokeInvitation(c.ctx, c.actor, id)
	case "invite":
		token, err := s.o.People.InviteAgain(c.ctx, c.actor, id)
		if errors.Is(err, desk.ErrConflict) {
			return s.showPerson(c, http.StatusConflict, personView{Error: desk.Text(err, c.Language())})
		}
		if err != nil {
			return err
		}
		return s.showPerson(c, http.StatusOK, personView{Link: s.invitationLink(token)})
	case "limit", "find":
		return s.limit(c, id)
	case "forget":
		if c.r.PostFormValue("sure") != "yes" {
			return c.redirect("/people/" + string(id))
		}
		if err := s.o.People.Forget(c.ctx, c.actor, id); err == nil {
			return c.redirect("/people?done=forgotten")
		} else if !errors.Is(err, desk.ErrConflict) {
			return err
		} else {
			return s.showPerson(c, http.StatusConflict, personView{Error: desk.Text(err, c.Language())})
		}
	default:
		return badForm(errors.New("which form?"))
	}
	if errors.Is(err, desk.ErrConflict) || errors.Is(err, desk.ErrInvalid) {
		return s.showPerson(c, http.StatusConflict, personView{Error: desk.Text(err, c.Language())})
	}
	if err != nil {
		return err
	}
	return c.redirect("/people/" + string(id) + "?done=" + done)
}

// personData is what the server holds about a person, as a ZIP archive: theirs to take along.
func (s *Server) personData(c *call) error {
	d, err := s.o.People.Export(c.ctx, c.actor, account.ID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, part := range []struct {
		name string
		body any
	}{{"account.json", map[string]any{"account": d.Account, "logins": d.Logins}}, {"tickets.json", d.Tickets}} {
		w, err := z.Create(part.name)
		if err != nil {
			return err
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(part.body); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="traybell-data.zip"`)
	_, err = c.w.Write(b.Bytes())
	return err
}
