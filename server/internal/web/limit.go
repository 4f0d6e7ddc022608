package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// limitView is the part of a technician's page that says for which organizations they work.
type limitView struct {
	Some          bool // only for those that are ticked
	Organizations []choice
	Search        bool // there are too many to show them all
	Find          string
	Hint, Error   string
}

// limitShown is how many organizations the part offers beside those that are ticked.
const limitShown = 30

// limitView fills the part, or is nil for whoever may not narrow m. With a form it keeps what was ticked.
func (s *Server) limitView(c *call, m people.MemberView, form *limitView) (*limitView, error) {
	if m.Role != account.Technician || m.Self || !m.Manage || !c.actor.Everywhere(account.PeopleManage) {
		return nil, nil
	}
	v := &limitView{Some: len(m.Limits.Organizations) > 0}
	ticked := m.Limits.Organizations
	if form != nil {
		v, ticked = form, nil
		for _, o := range c.r.PostForm["organization"] {
			ticked = append(ticked, account.OrganizationID(o))
		}
	}
	list, err := s.o.People.Organizations(c.ctx, c.actor)
	if err != nil {
		return nil, err
	}
	v.Search = len(list) > limitShown
	find := strings.ToLower(v.Find)
	shown, found := 0, 0
	var others []choice
	for _, o := range list {
		one := choice{Code: string(o.ID), Word: o.Name, Current: slices.Contains(ticked, o.ID)}
		if one.Current {
			v.Organizations = append(v.Organizations, one)
		}
		if !strings.Contains(strings.ToLower(o.Name), find) {
			continue
		}
		found++
		if !one.Current && shown < limitShown {
			others = append(others, one)
			shown++
		}
	}
	v.Organizations = append(v.Organizations, others...)
	switch {
	case found == 0:
		v.Hint = c.T("rights.limit.nothing")
	case found > len(v.Organizations):
		v.Hint = c.T("rights.limit.more")
	}
	return v, nil
}

// limit narrows a technician to the ticked organizations, or looks for more to tick.
func (s *Server) limit(c *call, id account.ID) error {
	form := &limitView{Some: c.r.PostFormValue("where") == "some", Find: strings.TrimSpace(clip(c.r.PostFormValue("find"), 100))}
	if c.r.PostFormValue("do") == "find" {
		return s.showPerson(c, http.StatusOK, personView{Limit: form})
	}
	var to []account.OrganizationID
	if form.Some {
		for _, o := range c.r.PostForm["organization"] {
			to = append(to, account.OrganizationID(o))
		}
		if len(to) == 0 { // an empty list would widen
			form.Error = c.T("rights.limit.empty")
			return s.showPerson(c, http.StatusUnprocessableEntity, personView{Limit: form})
		}
	}
	err := s.o.People.Limit(c.ctx, c.actor, id, to)
	if errors.Is(err, desk.ErrInvalid) {
		form.Error = desk.Text(err, c.Language())
		return s.showPerson(c, http.StatusUnprocessableEntity, personView{Limit: form})
	}
	if err != nil {
		return err
	}
	return c.redirect("/people/" + string(id) + "?done=limited")
}
