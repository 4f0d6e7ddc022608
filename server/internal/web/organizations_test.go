package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/web/pictures/sample"
)

// pathOf finds the address behind a link's text.
func pathOf(t *testing.T, body, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no %s on the page", pattern)
	}
	return m[1]
}

func TestOrganizationIsMadeAndChanged(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	anna.post("/organizations/new", "name", " ").want(t, http.StatusUnprocessableEntity, "A name is needed")
	anna.post("/organizations/new", "name", "Studio Verdi").want(t, http.StatusUnprocessableEntity, "has this name already")
	page := strings.TrimSuffix(anna.post("/organizations/new", "name", "Àgora Salute").to(t, "/organizations/"), "?done=organization")
	anna.get("/organizations?q=agora").want(t, http.StatusOK, "Àgora Salute", "Tickets, Own device, Overview of devices")
	anna.post(page, "form", "plan", "plan", "tickets").to(t, page)
	anna.get("/organizations?q=agora").want(t, http.StatusOK, ">Tickets<")
	anna.post(page, "form", "brand", "name", "Agora", "phone", "06 1", "product", "Agora Help", "tray", strings.Repeat("x", 41)).want(t, http.StatusUnprocessableEntity, "at most 40 characters")
	anna.post(page, "form", "brand", "name", "Agora", "phone", "06 1", "product", "Agora Help", "tray", "Agora").to(t, page)
	anna.post(page, "form", "domains", "domains", "@Agora.example\nagora-salute.example").to(t, page)
	anna.get(page).want(t, http.StatusOK, "agora-salute.example\nagora.example", "Agora Help", "06 1")
	other := anna.post("/organizations/new", "name", "Bianca").to(t, "/organizations/")
	anna.post(strings.TrimSuffix(other, "?done=organization"), "form", "domains", "domains", "agora.example").want(t, http.StatusUnprocessableEntity, "belongs to another organization")
	anna.post(page, "form", "members", "zone", "Mars/Olympus").want(t, http.StatusUnprocessableEntity, "time zone is not known")
	anna.post(page, "form", "nothing").want(t, http.StatusUnprocessableEntity)
}

func TestResponsiblePersonNamesADeputy(t *testing.T) {
	carla, anna := open(t, portal, sample.Carla), open(t, portal, sample.Anna)
	own := carla.get("/organization").want(t, http.StatusOK, "Studio Verdi", "Carla Neri", "Speaks for the organization")
	page := pathOf(t, own.body, `action="(/organizations/[^/"]+)"`)
	deputy := pathOf(t, own.body, `<option value="([^"]+)">Lucia Rossi \(`)
	who := pathOf(t, own.body, `<option value="([^"]+)" selected>Carla Neri`)
	today := time.Now().UTC().Format(time.DateOnly)
	carla.post(page+"/absences", "who", who, "deputy", who, "from", today, "to", today).want(t, http.StatusUnprocessableEntity, "somebody else")
	carla.post(page+"/absences", "who", who, "deputy", deputy, "from", today, "to", "2001-01-01").want(t, http.StatusUnprocessableEntity)
	lucia := open(t, portal, sample.Lucia)
	lucia.get("/organization").want(t, http.StatusNotFound)
	carla.post(page+"/absences", "who", who, "deputy", deputy, "from", today, "to", today).to(t, "/organization")
	lucia.get("/organization").want(t, http.StatusOK, "Away today; deputy: Lucia Rossi")
	absence := pathOf(t, carla.get("/organization").body, `name="absence" value="([^"]+)"`)
	carla.post(page+"/absences/drop", "absence", absence).to(t, "/organization")
	lucia.get("/organization").want(t, http.StatusNotFound)

	// what an organization has bought and how it looks is not for its own people to change
	for _, form := range []string{"plan", "brand", "domains"} {
		carla.post(page, "form", form, "name", "Mine").want(t, http.StatusForbidden)
	}
	carla.post("/organizations/new", "name", "Mine").want(t, http.StatusForbidden)
	foreign := pathOf(t, anna.get("/organizations?q=weber").body, `href="(/organizations/[0-9a-f-]{36})"`)
	carla.get(foreign).want(t, http.StatusNotFound)
	carla.post(foreign, "form", "members", "all", "yes").want(t, http.StatusNotFound)
	lucia.get("/organizations").want(t, http.StatusForbidden)
	lucia.post(page, "form", "members", "all", "yes").want(t, http.StatusNotFound)
}
