package web_test

import (
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
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

// What a plan lacks is absent from menu and routes, and comes back with it.
func TestPlanSwitchesWhatMembersSee(t *testing.T) {
	on, err := sample.New(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	f, err := on.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	anna, lucia, carla := open(t, on, sample.Anna), open(t, on, sample.Lucia), open(t, on, sample.Carla)
	page := pathOf(t, anna.get("/organizations?q=verdi").body, `href="(/organizations/[0-9a-f-]{36})"`)
	ticket := "/tickets/" + strconv.FormatInt(f.Ticket, 10)
	device := "/devices/" + f.Device
	// where says which of these pages a member's menu leads to, and which answer.
	where := func(b *browser, paths ...string) (out string) {
		t.Helper()
		home := b.get("/settings").want(t, http.StatusOK)
		for _, p := range paths {
			inMenu := strings.Contains(home.body, `<a href="`+p+`"`) || p == "/tickets/new" && strings.Contains(home.body, `id="create"`)
			answer := b.get(p)
			if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s: status %d", p, answer.StatusCode)
			}
			if answer.StatusCode == http.StatusOK {
				out += p + " "
			}
			if inMenu != (answer.StatusCode == http.StatusOK) && (p == "/tickets" || p == "/devices" || p == "/tickets/new") {
				t.Errorf("%s: menu %v, answer %d", p, inMenu, answer.StatusCode)
			}
		}
		return strings.TrimSpace(out)
	}
	for _, c := range []struct {
		plan         []string
		lucia, carla string
		home         string
	}{
		{[]string{"tickets", "device", "assets"}, "/tickets /tickets/new " + ticket + " /devices " + device, "/tickets /tickets/new " + ticket + " /devices " + device, "/tickets"},
		{[]string{"tickets"}, "/tickets /tickets/new " + ticket, "/tickets /tickets/new " + ticket, "/tickets"},
		{[]string{"device"}, "/devices " + device, "/devices", "/devices"},
		{[]string{"assets"}, "", "/devices " + device, "/settings"},
		{nil, "", "", "/settings"},
	} {
		form := []string{"form", "plan"}
		for _, p := range c.plan {
			form = append(form, "plan", p)
		}
		anna.post(page, form...).to(t, page)
		if got := where(lucia, "/tickets", "/tickets/new", ticket, "/devices", device); got != c.lucia {
			t.Errorf("%v: the requester reaches %q, want %q", c.plan, got, c.lucia)
		}
		if got := where(carla, "/tickets", "/tickets/new", ticket, "/devices", device); got != c.carla {
			t.Errorf("%v: the responsible person reaches %q, want %q", c.plan, got, c.carla)
		}
		lucia.get("/").to(t, c.home)
		lucia.get("/search?q=printer").want(t, http.StatusOK)
		status := http.StatusNotFound
		if slices.Contains(c.plan, "tickets") {
			status = http.StatusSeeOther
		}
		lucia.post("/tickets/new", "title", "Paper is out").want(t, status)
	}
	anna.get(ticket).want(t, http.StatusOK) // staff is not bound by a customer's plan
}

func TestMembersSeeEachOthersTicketsIfTheirOrganizationSaysSo(t *testing.T) {
	on, err := sample.New(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	f, err := on.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := on.Account(t.Context(), "d.ferri@studioverdi.example", "Davide Ferri", "Studio Verdi"); err != nil {
		t.Fatal(err)
	}
	davide, carla, otto := open(t, on, "d.ferri@studioverdi.example"), open(t, on, sample.Carla), open(t, on, sample.Otto)
	ticket := "/tickets/" + strconv.FormatInt(f.Ticket, 10)
	davide.get(ticket).want(t, http.StatusNotFound)
	davide.get("/tickets").want(t, http.StatusOK, "0 results")
	page := pathOf(t, carla.get("/organization").body, `action="(/organizations/[^/"]+)"`)
	carla.post(page, "form", "members", "all", "yes", "zone", "Europe/Rome").to(t, "/organization")
	davide.get(ticket).want(t, http.StatusOK, "You can read what colleagues have filed.")
	if body := davide.get("/tickets").body; strings.Contains(body, "0 results") {
		t.Error("the list stays empty")
	}
	davide.get("/tickets?of=me").want(t, http.StatusOK, "0 results")
	davide.post(ticket+"/status", "status", "closed").want(t, http.StatusForbidden)
	if body := davide.get(ticket).body; strings.Contains(body, "<textarea") {
		t.Error("a colleague is offered to answer")
	}
	otto.get(ticket).want(t, http.StatusNotFound)
	carla.post(page, "form", "members", "zone", "Europe/Rome").to(t, "/organization")
	davide.get(ticket).want(t, http.StatusNotFound)
}

func TestNewOrganizationStartsWithATemplate(t *testing.T) {
	anna, marco := open(t, portal, sample.Anna), open(t, portal, sample.Marco)
	done := func(to string) string { to, _, _ = strings.Cut(to, "?"); return to }
	model := done(anna.post("/organizations/new", "name", "Model").to(t, "/organizations/"))
	anna.post(model, "form", "plan", "plan", "device").to(t, model)
	anna.post(model, "form", "brand", "name", "Model", "phone", "06 77", "product", "Model Help", "tray", "Help").to(t, model)
	anna.post(model, "form", "members", "all", "yes", "zone", "Europe/Rome").to(t, model)
	marco.post(model+"/template", "template", "Small office").want(t, http.StatusForbidden)
	anna.post(model+"/template", "template", "").want(t, http.StatusUnprocessableEntity)
	anna.post(model+"/template", "template", "Small office").to(t, model)
	anna.post(model+"/template", "template", "Small office").want(t, http.StatusUnprocessableEntity, "A template has this name already")
	form := anna.get("/organizations/new").want(t, http.StatusOK, "Small office", "Own device", "Time zone: Europe/Rome", "06 77", "Model Help")
	template := pathOf(t, form.body, `<option value="([^"]+)">Small office`)

	fresh := done(anna.post("/organizations/new", "name", "Fresh", "template", template).to(t, "/organizations/"))
	anna.get(fresh).want(t, http.StatusOK, `value="06 77"`, `value="Model Help"`, `value="Help"`, `value="Europe/Rome"`, `name="all" value="yes" checked`, `value="device" checked`)
	if strings.Contains(anna.get(fresh).body, `value="tickets" checked`) {
		t.Error("the plan is not the template's")
	}
	marco.post("/organizations/templates/remove", "template", template).want(t, http.StatusForbidden)
	anna.post("/organizations/templates/remove", "template", template).to(t, "/organizations/new")
	anna.post("/organizations/new", "name", "Late", "template", template).want(t, http.StatusUnprocessableEntity, "removed meanwhile")
	anna.get("/organizations?q=late").want(t, http.StatusOK, "No organization fits")
	anna.get(fresh).want(t, http.StatusOK, `value="06 77"`)
}
