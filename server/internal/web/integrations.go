package web

import (
	"errors"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
)

// integrationsView is the list of programs that have accounts.
type integrationsView struct {
	Rows               []integrationRow
	Name, Organization field
}

type integrationRow struct{ ID, Name, Organization, Text string }

func (s *Server) integrations(c *call) error { return s.showIntegrations(c, http.StatusOK, nil) }

func (s *Server) showIntegrations(c *call, status int, problem error) error {
	list, err := s.o.People.Integrations(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := integrationsView{
		Name:         field{Name: "name", Label: c.T("web.name"), Type: "text", Value: c.r.PostFormValue("name"), Max: account.MaxName, Required: true, Auto: "off"},
		Organization: field{Name: "organization", Label: c.T("web.organization"), Hint: c.T("rights.api.organization"), Type: "text", Value: c.r.PostFormValue("organization"), Max: account.MaxName, Auto: "off"},
	}
	if problem != nil {
		v.Name.Error = desk.Text(problem, c.Language())
	}
	for _, i := range list {
		text := c.T("rights.api.tokens", "Count", len(i.Tokens))
		v.Rows = append(v.Rows, integrationRow{ID: string(i.ID), Name: i.Name, Organization: i.OrganizationName, Text: text})
	}
	return c.showAs(status, "integrations", c.page("integrations", c.T("rights.api"), v))
}

func (s *Server) makeIntegration(c *call) error {
	i, err := s.o.People.CreateIntegration(c.ctx, c.actor, c.r.PostFormValue("name"), c.r.PostFormValue("organization"))
	if errors.Is(err, desk.ErrInvalid) {
		return s.showIntegrations(c, http.StatusUnprocessableEntity, err)
	}
	if err != nil {
		return err
	}
	return c.redirect("/integrations/" + string(i.ID))
}

// integrationView is the page of one program's account.
type integrationView struct {
	ID, Name, Text string
	New            string // a fresh token, shown once
	List           tokenList
	Form           tokenForm
}

func (s *Server) integration(c *call) error { return s.showIntegration(c, http.StatusOK, "", nil) }

func (s *Server) showIntegration(c *call, status int, fresh string, problem error) error {
	i, err := s.o.People.Integration(c.ctx, c.actor, account.ID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	own := "/integrations/" + string(i.ID)
	v := integrationView{ID: string(i.ID), Name: i.Name, New: fresh, Text: c.T("rights.api.everywhere"),
		List: tokenList{own + "/tokens/end", c.tokenLines(i.Tokens)}, Form: c.tokenForm(c.actor.Rights.And(account.TokenRights), fresh == "")}
	if len(i.Limits.Organizations) > 0 {
		v.Text = c.T("rights.api.within", "Organization", i.OrganizationName)
	}
	if problem != nil {
		v.Form.Name.Error = desk.Text(problem, c.Language())
	}
	return c.showAs(status, "integration", c.page("integrations", i.Name, v))
}

func (s *Server) makeIntegrationToken(c *call) error {
	n, err := c.newToken()
	if err != nil {
		return err
	}
	_, secret, err := s.o.People.CreateIntegrationToken(c.ctx, c.actor, account.ID(c.r.PathValue("id")), n)
	if errors.Is(err, desk.ErrInvalid) {
		return s.showIntegration(c, http.StatusUnprocessableEntity, "", err)
	}
	if err != nil {
		return err
	}
	return s.showIntegration(c, http.StatusOK, secret, nil)
}

func (s *Server) endIntegrationToken(c *call) error {
	id := c.r.PathValue("id")
	if err := s.o.People.DeleteIntegrationToken(c.ctx, c.actor, account.ID(id), c.r.PostFormValue("token")); err != nil {
		return err
	}
	return c.redirect("/integrations/" + id + "?done=token")
}

func (s *Server) removeIntegration(c *call) error {
	id := c.r.PathValue("id")
	if c.r.PostFormValue("sure") != "yes" {
		return c.redirect("/integrations/" + id)
	}
	if err := s.o.People.RemoveIntegration(c.ctx, c.actor, account.ID(id)); err != nil {
		return err
	}
	return c.redirect("/integrations?done=integration")
}
