package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// organizationsView is the list of customers.
type organizationsView struct {
	Query, Results   string
	New              bool
	Rows             []organizationRow
	Next             string
	Empty, ClearHref string
}

type organizationRow struct {
	ID, Name, Plan    string
	Licensed, Devices int64
	Provider          bool
}

func (s *Server) organizationList(c *call) error {
	if !c.actor.May(account.PeopleView) {
		return desk.Fail(desk.ErrDenied)
	}
	query := clip(c.r.URL.Query().Get("q"), 200)
	list, next, err := s.o.People.OrganizationPage(c.ctx, c.actor, people.OrganizationFilter{Query: query, After: c.r.URL.Query().Get("after")})
	if err != nil {
		return err
	}
	v := organizationsView{Query: query, New: c.actor.May(account.OrganizationsManage) && c.actor.Reach.All}
	for _, o := range list {
		v.Rows = append(v.Rows, organizationRow{ID: string(o.ID), Name: o.Name, Plan: c.plan(o.Organization), Licensed: o.Licensed, Devices: o.Devices, Provider: o.Provider})
	}
	if next != "" {
		v.Next = "/organizations?q=" + escape(query) + "&after=" + next
	}
	if len(list) == 0 {
		v.Empty = c.T("people.organizations.none")
		if query != "" {
			v.Empty, v.ClearHref = c.T("people.organizations.nomatch"), "/organizations"
		}
	}
	return c.show("organizations", c.page("organizations", c.T("people.organizations"), v))
}

// plan puts into words what an organization's members get.
func (c *call) plan(o account.Organization) string {
	if o.Provider {
		return c.T("people.plan.provider")
	}
	var out []string
	for _, k := range planWords(o.Plan) {
		if k.on {
			out = append(out, c.T("people.plan."+k.word))
		}
	}
	if len(out) == 0 {
		return c.T("people.plan.none")
	}
	return strings.Join(out, ", ")
}

type planWord struct {
	word string
	on   bool
}

func planWords(p account.Plan) []planWord {
	return []planWord{{"tickets", p.Tickets}, {"device", p.OwnDevice}, {"assets", p.Assets}}
}

// newOrganizationView is the form of a new customer, with what it can start with.
type newOrganizationView struct {
	Name      field
	Templates []choice
	Error     string
}

func (s *Server) newOrganization(c *call) error {
	return s.showNewOrganization(c, http.StatusOK, "", "")
}

func (s *Server) showNewOrganization(c *call, status int, name, problem string) error {
	list, err := s.o.People.Templates(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := newOrganizationView{Name: field{Name: "name", Label: c.T("people.organization.name"), Type: "text", Value: name, Max: account.MaxName, Required: true, Focus: true, Auto: "off", Error: problem}}
	chosen := c.r.PostFormValue("template")
	for _, m := range list {
		v.Templates = append(v.Templates, choice{Code: m.ID, Word: m.Name, Rule: c.template(m), Current: m.ID == chosen})
	}
	return c.showAs(status, "organization-new", c.page("organizations", c.T("people.organization.new"), v))
}

// template puts into words what a template sets.
func (c *call) template(m account.Template) string {
	parts := []string{c.plan(account.Organization{Plan: m.Plan})}
	if m.MembersSeeAll {
		parts = append(parts, c.T("people.members.all"))
	}
	for _, p := range []pair{{"people.zone", m.TimeZone}, {"people.phone", m.SupportPhone}, {"people.product", m.ProductName}, {"people.tray", m.TrayTitle}} {
		if p.Value != "" {
			parts = append(parts, c.T(p.Name)+": "+p.Value)
		}
	}
	return strings.Join(parts, " · ")
}

func (s *Server) makeOrganization(c *call) error {
	name := c.r.PostFormValue("name")
	o, err := s.o.People.CreateOrganizationFrom(c.ctx, c.actor, name, c.r.PostFormValue("template"))
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) {
		return s.showNewOrganization(c, http.StatusUnprocessableEntity, name, desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	return c.redirect("/organizations/" + string(o.ID) + "?done=organization")
}

// keepTemplate keeps an organization's settings for new ones.
func (s *Server) keepTemplate(c *call) error {
	id := account.OrganizationID(c.r.PathValue("id"))
	_, err := s.o.People.KeepTemplate(c.ctx, c.actor, id, c.r.PostFormValue("template"))
	return s.organizationDone(c, id, err, "template")
}

func (s *Server) dropTemplate(c *call) error {
	if err := s.o.People.DropTemplate(c.ctx, c.actor, c.r.PostFormValue("template")); err != nil {
		return err
	}
	return c.redirect("/organizations/new?done=template.removed")
}

// organizationView is the page of one organization.
type organizationView struct {
	ID, Name, Lead string
	Own            bool // the reader's own: without the way back to all
	Manage, Sell   bool
	Keep           *field // as a template
	Provider       bool
	Error          string
	Licensed       string
	Facts          []pair
	Speakers       []speaker
	Absences       []absenceRow
	Responsible    []choice
	Deputies       []choice
	From, To       string
	Fields         []field // name, phone, brand
	Plan           []choice
	Domains        string
	MembersSeeAll  bool
	Zone           string
	Logo           string
	Keys           []keyRow
	KeysHref       string
	PeopleHref     string
	DevicesHref    string
}

type speaker struct{ Name, Text string }

type absenceRow struct{ ID, Who, Text string }

// ownOrganization is the responsible person's way to the page of their organization.
func (s *Server) ownOrganization(c *call) error {
	if !c.actor.MayIn(account.OrganizationsManage, c.actor.Organization) {
		return errNotFound
	}
	return s.showOrganization(c, http.StatusOK, c.actor.Organization, "")
}

func (s *Server) organization(c *call) error {
	return s.showOrganization(c, http.StatusOK, account.OrganizationID(c.r.PathValue("id")), "")
}

func (s *Server) showOrganization(c *call, status int, id account.OrganizationID, problem string) error {
	o, err := s.o.People.OrganizationView(c.ctx, c.actor, id)
	if err != nil {
		return err
	}
	v := organizationView{ID: string(o.ID), Name: o.Name, Own: !c.actor.Staff(), Manage: o.Manage, Sell: o.Sell, Provider: o.Provider, Error: problem,
		Licensed: c.T("people.licensed", "Count", o.Licensed), MembersSeeAll: o.MembersSeeAll, Zone: o.TimeZone, Domains: strings.Join(o.Domains, "\n"), Logo: logoOf(o.Organization), PeopleHref: "/people"}
	if !v.Own {
		v.PeopleHref = "/people?organization=" + string(o.ID)
	}
	fact := func(id, value string) { v.Facts = append(v.Facts, pair{c.T(id), value}) }
	fact("people.licensed.label", v.Licensed)
	fact("web.devices", c.T("people.devices", "Count", o.Devices))
	if !o.Provider {
		fact("people.plan", c.plan(o.Organization))
	}
	if !o.Sell && len(o.Domains) > 0 {
		fact("people.domains", strings.Join(o.Domains, ", "))
	}
	names := map[account.ID]string{}
	for _, r := range o.Responsible {
		names[r.ID] = r.Name
		v.Responsible = append(v.Responsible, choice{Code: string(r.ID), Word: r.Name, Current: r.ID == c.me.ID})
	}
	members, _, err := s.o.People.AccountPage(c.ctx, c.actor, people.AccountFilter{Organization: o.ID, Limit: 500})
	if err != nil {
		return err
	}
	for _, m := range members {
		if !m.Disabled && !m.Role.Staff() {
			names[m.ID] = m.Name
			v.Deputies = append(v.Deputies, choice{Code: string(m.ID), Word: m.Name + " (" + m.Email + ")"})
		}
	}
	for _, r := range o.Responsible {
		sp := speaker{Name: r.Name, Text: c.T("people.speaks.self")}
		if by := o.Speaks[r.ID]; by != r.ID {
			sp.Text = c.T("people.speaks.deputy", "Name", names[by])
		}
		v.Speakers = append(v.Speakers, sp)
	}
	for _, b := range o.Absences {
		v.Absences = append(v.Absences, absenceRow{ID: b.ID, Who: b.Name, Text: c.T("people.absence.text", "From", c.dayOf(b.From), "To", c.dayOf(b.To), "Name", b.DeputyName)})
	}
	v.From = string(o.Today)
	if o.Sell {
		text := func(name, label, value string, max int, required bool) {
			f := field{Name: name, Label: c.T(label), Type: "text", Value: value, Max: max, Required: required, Auto: "off"}
			if !required {
				f.Hint = c.T(label + ".hint")
			}
			v.Fields = append(v.Fields, f)
		}
		text("name", "people.organization.name", o.Name, account.MaxName, true)
		text("phone", "people.phone", o.SupportPhone, account.MaxName, false)
		text("product", "people.product", o.ProductName, account.MaxName, false)
		text("tray", "people.tray", o.TrayTitle, account.MaxTrayTitle, false)
		for _, k := range planWords(o.Plan) {
			v.Plan = append(v.Plan, choice{Code: k.word, Word: c.T("people.plan." + k.word), Rule: c.T("people.plan." + k.word + ".hint"), Current: k.on})
		}
	}
	if o.Sell && c.actor.Reach.All {
		v.Keep = &field{Name: "template", Label: c.T("people.template.name"), Type: "text", Value: o.Name, Max: account.MaxName, Required: true, Auto: "off"}
	}
	if c.actor.MayIn(account.EnrolmentManage, o.ID) {
		keys, err := s.o.Devices.EnrolmentKeys(c.ctx, c.actor)
		if err != nil {
			return err
		}
		v.KeysHref = "/devices/enrol?organization=" + escape(o.Name)
		for _, k := range keys {
			if k.Organization == o.ID {
				v.Keys = append(v.Keys, keyRow{ID: k.ID, Name: o.Name, Text: c.T("web.keys.text", "Made", c.date(k.CreatedAt), "Left", k.Uses-k.Used, "Uses", k.Uses, "Until", c.moment(k.ExpiresAt))})
			}
		}
	}
	place := "organizations"
	if v.Own {
		place = "organization"
	}
	return c.showAs(status, "organization", c.page(place, o.Name, v))
}

// dayOf is a day of an organization's calendar as people read it.
func (c *call) dayOf(d account.Day) string {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return string(d)
	}
	r := c.reader
	r.zone = t.Location()
	return r.day(t)
}

// changeOrganization saves one of the page's forms.
func (s *Server) changeOrganization(c *call) error {
	id := account.OrganizationID(c.r.PathValue("id"))
	get := func(name string) *string { v := c.r.PostFormValue(name); return &v }
	var n people.OrganizationChange
	switch c.r.PostFormValue("form") {
	case "brand":
		n.Name, n.SupportPhone, n.ProductName, n.TrayTitle = get("name"), get("phone"), get("product"), get("tray")
	case "plan":
		has := func(word string) bool {
			for _, v := range c.r.PostForm["plan"] {
				if v == word {
					return true
				}
			}
			return false
		}
		n.Plan = &account.Plan{Tickets: has("tickets"), OwnDevice: has("device"), Assets: has("assets")}
	case "domains":
		list := strings.FieldsFunc(c.r.PostFormValue("domains"), func(r rune) bool { return strings.ContainsRune(" ,;\r\n\t", r) })
		n.Domains = &list
	case "members":
		all := c.r.PostFormValue("all") == "yes"
		n.MembersSeeAll, n.TimeZone = &all, get("zone")
	default:
		return badForm(errors.New("which form?"))
	}
	_, err := s.o.People.ChangeOrganization(c.ctx, c.actor, id, n)
	return s.organizationDone(c, id, err, "saved")
}

// organizationDone leads back to the page after a form, or shows it with what was wrong.
func (s *Server) organizationDone(c *call, id account.OrganizationID, err error, done string) error {
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) {
		return s.showOrganization(c, http.StatusUnprocessableEntity, id, desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	s.brand.forget()
	to := "/organizations/" + string(id)
	if !c.actor.Staff() {
		to = "/organization"
	}
	return c.redirect(to + "?done=" + done)
}

func (s *Server) addAbsence(c *call) error {
	id := account.OrganizationID(c.r.PathValue("id"))
	get := c.r.PostFormValue
	err := s.o.People.AddAbsence(c.ctx, c.actor, account.Absence{Organization: id, Account: account.ID(get("who")), Deputy: account.ID(get("deputy")), From: account.Day(get("from")), To: account.Day(get("to"))})
	return s.organizationDone(c, id, err, "deputy")
}

func (s *Server) dropAbsence(c *call) error {
	id := account.OrganizationID(c.r.PathValue("id"))
	return s.organizationDone(c, id, s.o.People.DropAbsence(c.ctx, c.actor, id, c.r.PostFormValue("absence")), "deputy.back")
}
