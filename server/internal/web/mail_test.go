package web_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/web/pictures/sample"
)

func TestMailIsSetTestedAndWaits(t *testing.T) {
	if err := portal.MailServer(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	anna := open(t, portal, sample.Anna)
	anna.get("/tickets").want(t, 200, "Everything works; links can be copied")
	anna.post("/mail/banner", "back", "/devices").to(t, "/devices")
	if a := anna.get("/tickets"); strings.Contains(a.body, "Everything works; links can be copied") {
		t.Error("the banner was hidden and is there")
	}
	anna.post("/mail", "host", "", "security", "starttls", "from", "help@rossi-it.example").want(t, 422, "Name the mail server")
	anna.post("/mail", "host", "localhost", "port", "1", "security", "starttls", "user", "help", "password", "not-shown-7", "from", "help@rossi-it.example").to(t, "/mail?done=mail")
	if a := anna.get("/mail").want(t, 200, "Kept. Empty: it stays"); strings.Contains(a.body, "not-shown-7") {
		t.Error("the page shows the password")
	}
	anna.post("/mail/test", "to", "anna@rossi-it.example").want(t, 200, "Nobody answers at localhost, port 1")
	anna.post("/mail/remove").to(t, "/mail?done=mail.off")
	anna.get("/start").want(t, 200, "The first device")
	for _, who := range []string{sample.Lucia, sample.Carla, sample.Marco} {
		b := open(t, portal, who)
		for _, path := range []string{"/mail", "/mail/outbox", "/start"} {
			b.get(path).want(t, 403)
		}
		b.post("/mail", "host", "evil.example", "from", "x@evil.example", "security", "tls").want(t, 403)
	}
}

func TestHeldMailIsAcceptedWithOneClick(t *testing.T) {
	if err := portal.Stranger(t.Context()); err != nil {
		t.Fatal(err)
	}
	anna := open(t, portal, sample.Anna)
	page := anna.get("/mail/held").want(t, 200, "Is your help desk open on Saturday?", "nothing proves it", "A machine has sent it")
	at := strings.Index(page.body, "Is your help desk open on Saturday?")
	id := regexp.MustCompile(`name="mail" value="([^"]+)"`).FindStringSubmatch(page.body[at:])
	if id == nil {
		t.Fatal("there is nothing to press")
	}
	to := anna.post("/mail/held/accept", "mail", id[1]).to(t, "/tickets/")
	anna.get(to).want(t, 200, "We would like to become a customer.", "by mail")
	anna.post("/mail/held/accept", "mail", id[1]).want(t, 409)
	if a := anna.get("/mail/held"); strings.Contains(a.body, "Is your help desk open on Saturday?") {
		t.Error("the accepted mail still waits")
	}
	for _, who := range []string{sample.Lucia, sample.Carla, sample.Marco} {
		open(t, portal, who).get("/mail/held").want(t, 403)
		open(t, portal, who).post("/mail/held/accept", "mail", "x").want(t, 403)
	}
}
