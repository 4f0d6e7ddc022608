package web_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/web/pictures/sample"
	"github.com/traybell/traybell/shared/catalogue"
)

// TestTechnicianIsLimitedOnTheirPage narrows a technician by the form of their page, and widens them again.
func TestTechnicianIsLimitedOnTheirPage(t *testing.T) {
	anna, marco := open(t, portal, sample.Anna), open(t, portal, sample.Marco)
	list, _, err := portal.People.AccountPage(t.Context(), desk.System(), people.AccountFilter{Role: account.Technician, Query: sample.Marco})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	own := "/people/" + string(list[0].ID)
	organizations, err := portal.People.Organizations(t.Context(), desk.System())
	if err != nil {
		t.Fatal(err)
	}
	other := organizations[slices.IndexFunc(organizations, func(o account.Organization) bool { return !o.Provider && o.Name != "Studio Verdi" })]

	marco.get(ticketPath(filled.Ticket)).want(t, http.StatusOK)
	anna.get(own).want(t, http.StatusOK, `name="where" value="all" checked`, other.Name)
	anna.post(own, "do", "find", "where", "some", "find", "no such name").want(t, http.StatusOK, "No organization is called so.")
	anna.post(own, "do", "limit", "where", "some").want(t, http.StatusUnprocessableEntity, "Tick at least one organization.")
	anna.post(own, "do", "limit", "where", "some", "organization", string(other.ID)).to(t, own+"?done=limited")
	anna.get(own).want(t, http.StatusOK, `name="where" value="some" checked`, `value="`+string(other.ID)+`" checked`)
	marco.get(ticketPath(filled.Ticket)).want(t, http.StatusNotFound)
	marco.post(own, "do", "limit", "where", "all").want(t, http.StatusForbidden)
	anna.post(own, "do", "limit", "where", "all").to(t, own+"?done=limited")
	marco.get(ticketPath(filled.Ticket)).want(t, http.StatusOK)
}

// TestEveryRightOfATokenHasWords: the form of a token shows words in every language, no ids.
func TestEveryRightOfATokenHasWords(t *testing.T) {
	for _, l := range catalogue.Languages {
		for _, r := range account.TokenRights.List() {
			if id := "rights.word." + string(r); catalogue.For(l).T(id) == id {
				t.Errorf("%s is missing in %s", id, l)
			}
		}
	}
}
