package web_test

import (
	"archive/zip"
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/web/pictures/sample"
)

func TestResponsiblePersonNamesEmployees(t *testing.T) {
	carla := open(t, portal, sample.Carla)
	carla.get("/people").want(t, http.StatusOK, "Lucia Rossi", "Carla Neri", "Invite people")
	if body := carla.get("/people").body; strings.Contains(body, "Weber") || strings.Contains(body, "Anna Bianchi") {
		t.Error("people of others are shown")
	}
	form := carla.get("/people/invite").want(t, http.StatusOK, `value="requester"`)
	if strings.Contains(form.body, `value="technician"`) || strings.Contains(form.body, `value="responsible"`) {
		t.Error("more roles are offered than may be given")
	}
	carla.post("/people/invite", "people", "", "role", "requester").want(t, http.StatusUnprocessableEntity)
	got := carla.post("/people/invite", "people", "email,name\nd.f@studioverdi.example,Dario Fo\n"+sample.Lucia+"\nnobody", "role", "requester").want(t, http.StatusOK, "d.f@studioverdi.example", "/invitation#token=", "has an account already", "This is not an e-mail address")
	first := pathOf(t, got.body, `/invitation#token=([A-Za-z0-9_-]+)<`)
	carla.post("/people/invite", "people", "x@studioverdi.example,,administrator", "role", "requester").want(t, http.StatusUnprocessableEntity, "not allowed")
	dario := pathOf(t, carla.get("/people?q=dario").want(t, http.StatusOK, "Invited").body, `href="(/people/[0-9a-f-]{36})"`)

	// a fresh link ends the earlier one, and withdrawing ends both
	again := pathOf(t, carla.post(dario, "do", "invite").want(t, http.StatusOK).body, `/invitation#token=([A-Za-z0-9_-]+)<`)
	door := open(t, portal, "")
	door.post("/invitation", "token", first, "step", "check").want(t, http.StatusUnprocessableEntity)
	carla.post(dario, "do", "revoke").to(t, dario)
	door.post("/invitation", "token", again, "step", "check").want(t, http.StatusUnprocessableEntity)
	carla.get(dario).want(t, http.StatusOK, "Disabled", "No link works now")

	anna, lucia := open(t, portal, sample.Anna), open(t, portal, sample.Lucia)
	otto := pathOf(t, anna.get("/people?q=otto").body, `href="(/people/[0-9a-f-]{36})"`)
	carla.get(otto).want(t, http.StatusNotFound)
	carla.post(otto, "do", "disable").want(t, http.StatusNotFound)
	lucia.get("/people").want(t, http.StatusForbidden)
	lucia.get(dario).want(t, http.StatusNotFound)
	boss := pathOf(t, carla.get("/people?role=responsible").body, `href="(/people/[0-9a-f-]{36})"`)
	carla.post(boss, "do", "disable").want(t, http.StatusForbidden)
}

func TestLastAdministratorStays(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	self := pathOf(t, anna.get("/people?role=administrator").body, `href="(/people/[0-9a-f-]{36})"`)
	for _, do := range []string{"disable", "role", "forget"} {
		anna.post(self, "do", do, "role", "requester", "sure", "yes").want(t, http.StatusForbidden)
	}
	anna.get(self).want(t, http.StatusOK, "Download data")
}

func TestTicketsSurviveTheirRequester(t *testing.T) {
	on, err := sample.New(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	f, err := on.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	anna, lucia := open(t, on, sample.Anna), open(t, on, sample.Lucia)
	page := pathOf(t, anna.get("/people?q=lucia").body, `href="(/people/[0-9a-f-]{36})"`)
	ticket := "/tickets/" + strconv.FormatInt(f.Ticket, 10)
	anna.get(ticket).want(t, http.StatusOK, "Lucia Rossi", sample.Lucia)

	archive := lucia.get(page+"/data.zip").want(t, http.StatusOK)
	z, err := zip.NewReader(bytes.NewReader([]byte(archive.body)), int64(len(archive.body)))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range z.File {
		r, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if part.Name == "tickets.json" && !strings.Contains(string(b), `"number": `+strconv.FormatInt(f.Ticket, 10)) || part.Name == "account.json" && !strings.Contains(string(b), sample.Lucia) {
			t.Errorf("%s lacks something: %.300s", part.Name, b)
		}
	}
	open(t, on, sample.Otto).get(page+"/data.zip").want(t, http.StatusNotFound)

	anna.post(page, "do", "forget").to(t, page) // not without the tick
	anna.post(page, "do", "forget", "sure", "yes").to(t, "/people?done=forgotten")
	left := anna.get(ticket).want(t, http.StatusOK, "Former employee")
	if strings.Contains(left.body, "<b>Lucia Rossi</b>") || strings.Contains(left.body, sample.Lucia) {
		t.Error("the ticket still names her")
	}
	lucia.get("/tickets").to(t, "/sign-in")
	if strings.Contains(anna.get("/people?q=lucia").body, sample.Lucia) {
		t.Error("she is still listed")
	}
	if _, err := on.Token(t.Context(), sample.Lucia); err == nil {
		t.Error("she still signs in")
	}
	if strings.Contains(anna.get("/tickets?q="+sample.Lucia).body, "/tickets/"+strconv.FormatInt(f.Ticket, 10)+`"`) {
		t.Error("the ticket is still found by her name")
	}
	anna.post("/people/invite", "people", sample.Lucia, "role", "requester", "organization", "Studio Verdi").want(t, http.StatusOK, "/invitation#token=")
}
