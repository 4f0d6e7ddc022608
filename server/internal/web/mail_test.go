package web_test

import (
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
