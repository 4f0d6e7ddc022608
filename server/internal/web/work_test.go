package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/web/pictures/sample"
)

func TestTodayPhoneAndTime(t *testing.T) {
	anna, lucia := open(t, portal, sample.Anna), open(t, portal, sample.Lucia)
	anna.get("/today").want(t, http.StatusOK, "Answer first", "Everything is encrypted")
	lucia.get("/today").want(t, http.StatusForbidden)
	anna.post("/tickets/phone", "name", "", "title", "Mouse").want(t, http.StatusUnprocessableEntity)
	a := anna.post("/tickets/phone", "name", "Greta Weber", "title", "Mouse is dead", "answered", "yes").want(t, http.StatusSeeOther)
	path, _, _ := strings.Cut(a.Header.Get("Location"), "?")
	anna.get(path).want(t, http.StatusOK, "Mouse is dead", "Greta Weber", "has answered on the phone", "Times due")
	anna.post(path+"/time", "minutes", "0").want(t, http.StatusUnprocessableEntity)
	anna.post(path+"/time", "minutes", "75", "note", "new battery", "billable", "yes").to(t, path)
	anna.get(path).want(t, http.StatusOK, "1 h 15 min", "new battery")
	anna.post(path+"/watch", "on", "yes").to(t, path)
	anna.get(path).want(t, http.StatusOK, "Stop watching")
	lucia.post(path+"/time", "minutes", "5").want(t, http.StatusNotFound)
}

func TestSetUpOfTickets(t *testing.T) {
	anna, marco := open(t, portal, sample.Anna), open(t, portal, sample.Carla)
	for _, part := range []string{"categories", "queues", "contracts", "calendars", "organizations", "replies", "duty"} {
		checkPage(t, anna.get("/administration/tickets/"+part).want(t, http.StatusOK), "en")
		marco.get("/administration/tickets/"+part).want(t, http.StatusForbidden)
	}
	const at = "/administration/tickets/"
	anna.get(at+"nothing").want(t, http.StatusNotFound)
	marco.post(at+"queues", "name", "Mine").want(t, http.StatusForbidden)
	anna.post(at+"queues", "name", " ").want(t, http.StatusUnprocessableEntity)
	anna.post(at+"queues", "name", "Telephones").to(t, at+"queues")
	anna.get(at+"queues").want(t, http.StatusOK, "Telephones")
	anna.post(at+"calendars", "name", "Nights", "zone", "Europe/Bologna", "day-1", "22:00-06:00").want(t, http.StatusUnprocessableEntity, "time zone")
	anna.post(at+"calendars", "name", "Nights", "zone", "Europe/Rome", "day-1", "25:00-06:00").want(t, http.StatusUnprocessableEntity)
	anna.post(at+"calendars", "name", "Nights", "zone", "Europe/Rome", "day-1", "22:00–06:00, 12:00-13:00", "holidays", "25.12. Natale\n06.04.2026 Pasquetta").to(t, at+"calendars")
	anna.get(at+"calendars").want(t, http.StatusOK, "22:00-06:00, 12:00-13:00", "06.04.2026 Pasquetta")
	anna.post(at+"duty", "scope", "all", "zone", "Europe/Rome", "who-0", "nobody", "day-0", "1", "from-0", "08:00", "to-0", "18:00").want(t, http.StatusUnprocessableEntity)
	anna.post(at+"contracts", "name", "x", "calendar", "y", "first-high", "soon").want(t, http.StatusUnprocessableEntity)
	anna.post(at+"categories", "text-en", "Telephony", "kind", "").to(t, at+"categories")
	anna.get("/tickets/new").want(t, http.StatusOK, "Telephony")
}

// TestReadingAnApprovalDecidesNothing: a scanner that opens the mail's link, and a form from elsewhere, leave it open.
func TestReadingAnApprovalDecidesNothing(t *testing.T) {
	carla, lucia, out := open(t, portal, sample.Carla), open(t, portal, sample.Lucia), open(t, portal, "")
	path := "/approvals/" + filled.Approval
	carla.get(path+"?do=approve&hash=x").want(t, http.StatusOK, "Shared folder Accounting on SRV-DOCS: none → read and change", "Davide Ferri", "Approve", "Decline")
	if a := out.get(path); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/sign-in") {
		t.Errorf("a stranger got %d", a.StatusCode)
	}
	out.post(path, "do", "approve").want(t, http.StatusUnauthorized)
	lucia.get(path).want(t, http.StatusOK, "Waiting for")
	if a := lucia.get(path); strings.Contains(a.body, `value="approve"`) {
		t.Error("the requester is offered to approve")
	}
	carla.post(path, "do", "approve", "hash", "0").want(t, http.StatusUnprocessableEntity, "changed")
	carla.get(path+"?v=0").want(t, http.StatusOK, "changed since the mail was sent")
	carla.get("/approvals").want(t, http.StatusOK, "Waiting for your decision", "Shared folder Accounting")
}

func TestColleaguesTrouble(t *testing.T) {
	carla := open(t, portal, sample.Carla)
	carla.get("/tickets/similar?title=printer+prints+blank+pages").want(t, http.StatusOK, "colleague reported something similar", "Me too")
	if a := carla.get("/tickets/similar?title=unicorn+in+the+garden"); strings.Contains(a.body, "colleague") {
		t.Error("a unicorn was reported")
	}
}

func TestListShowsViewsAndChangesSeveral(t *testing.T) {
	anna := open(t, portal, sample.Anna)
	for _, view := range []string{"mine", "nobody", "late", "held", "queue-x"} {
		anna.get("/tickets?view="+view).want(t, http.StatusOK)
	}
	anna.get("/tickets?view=held").want(t, http.StatusOK, "Access to the folder Accounting")
	anna.get("/tickets?sort=due&dir=asc").want(t, http.StatusOK, "Due")
	a := anna.post("/tickets/bulk", "do", "severity:low", "n", "999999", "back", "/tickets?view=mine").want(t, http.StatusSeeOther)
	anna.get(a.Header.Get("Location")).want(t, http.StatusOK, "0 tickets were changed", "1 stayed as it was")
	anna.post("/tickets/bulk", "do", "nonsense").want(t, http.StatusUnprocessableEntity)
}
