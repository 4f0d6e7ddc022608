package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/directory/directorytest"
	"github.com/traybell/traybell/server/internal/web/pictures/sample"
	"github.com/traybell/traybell/shared/api"
)

var hidden = regexp.MustCompile(`name="(id|version)" value="([^"]*)"`)

func TestDirectoriesAreAddedTestedAndRemoved(t *testing.T) {
	l := directorytest.Start(t)
	b := open(t, portal, sample.Anna)
	form := b.get("/directories/new?kind=openldap")
	values := []string{"kind", "ldap", "name", "Contoso <b>", "domains", "contoso.example, contoso.org", "tls", "starttls", "server", l.Plain, "ca", l.CA, "bind_dn", directorytest.SearchDN, "base", directorytest.Base, "secret", directorytest.Secret,
		"user_filter", "(uid={user})", "id_attribute", "entryUUID", "email_attribute", "mail", "name_attribute", "cn", "groups", "member", "default_role", "requester", "group", "board", "role", "responsible", "enabled", "yes"}
	for _, m := range hidden.FindAllStringSubmatch(form.body, -1) {
		values = append(values, m[1], m[2])
	}
	organization := regexp.MustCompile(`<option value="([^"]+)">Weber Bau`).FindStringSubmatch(form.body)
	if form.StatusCode != http.StatusOK || organization == nil {
		t.Fatalf("%s: %s", form.Status, form.body)
	}
	values = append(values, "organization", organization[1])
	tested := b.post("/directories", append(values, "do", "test", "user", "carla")...)
	for _, want := range []string{"Carla Neri", "c.neri@studioverdi.example", "board, leads, managers, staff", "not of a domain that belongs to it"} {
		if !strings.Contains(ordered(tested.body), want) {
			t.Errorf("the test does not say %q: %s", want, tested.Status)
		}
	}
	if strings.Contains(tested.body, directorytest.Secret) {
		t.Error("the page shows the password")
	}
	wrong := b.post("/directories", append(append([]string{}, values...), "do", "test", "user", "nobody")...)
	if wrong.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(wrong.body, "has nobody of this name") {
		t.Errorf("somebody unknown: %s", wrong.Status)
	}
	saved := b.post("/directories", append(values, "do", "save")...)
	to := saved.Header.Get("Location")
	if saved.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/directories/") {
		t.Fatalf("%s %s", saved.Status, saved.body)
	}
	page := b.get(to)
	if !strings.Contains(page.body, "contoso.example contoso.org") || !strings.Contains(page.body, "Contoso &lt;b&gt;") || strings.Contains(page.body, directorytest.Secret) {
		t.Errorf("the page of the directory: %s", page.Status)
	}
	if list := b.get("/directories"); !strings.Contains(list.body, "contoso.org") {
		t.Errorf("the list: %s", list.Status)
	}
	path, _, _ := strings.Cut(to, "?")
	if gone := b.post(path + "/remove"); gone.StatusCode != http.StatusSeeOther {
		t.Errorf("remove: %s", gone.Status)
	}
	if again := b.get(path); again.StatusCode != http.StatusNotFound {
		t.Errorf("after removing: %s", again.Status)
	}
	for _, who := range []string{sample.Marco, sample.Carla, sample.Lucia} {
		other := open(t, portal, who)
		for _, path := range []string{"/directories", "/directories/new", "/directories/" + filled.Directory} {
			if res := other.get(path); res.StatusCode != http.StatusForbidden {
				t.Errorf("%s at %s: %s", who, path, res.Status)
			}
		}
		if res := other.post("/directories", values...); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s saves: %s", who, res.Status)
		}
		if res := other.post("/directories/" + filled.Directory + "/remove"); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s removes: %s", who, res.Status)
		}
	}
}

// ordered puts the groups of the page into order.
func ordered(body string) string {
	return regexp.MustCompile(`(staff|board|leads|managers)(, (staff|board|leads|managers)){3}`).ReplaceAllString(body, "board, leads, managers, staff")
}

func TestSigningInByAnOpenIDProvider(t *testing.T) {
	id := api.NewID(time.Now())
	p := directorytest.StartProvider(t, portal.URL+"/sign-in/directories/"+id+"/back")
	secret := directorytest.ClientSecret
	otto, err := portal.Actor(t.Context(), sample.Otto)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := portal.People.SaveDirectory(t.Context(), desk.System(), account.Directory{ID: account.DirectoryID(id), Kind: account.OIDC, Name: "Contoso", Organization: otto.Organization, Domains: []string{"contoso.example"},
		Enabled: true, Button: true, Create: true, DefaultRole: account.Requester, Rules: []account.RoleRule{{Group: "leads", Role: account.Responsible}}, OIDC: p.Settings()}, &secret); err != nil {
		t.Fatal(err)
	}
	b := open(t, portal, "")
	page := b.get("/sign-in?next=/devices")
	link := regexp.MustCompile(`href="(/sign-in/directories/` + id + `[^"]*)"`).FindStringSubmatch(page.body)
	if link == nil || !strings.Contains(page.body, "Sign in with Contoso") {
		t.Fatalf("no button: %s", page.body)
	}

	// By the address as well, whether or not there is such an account.
	known, unknown := b.post("/sign-in", "step", "sso", "email", "carla@contoso.example", "next", "/devices"), b.post("/sign-in", "step", "sso", "email", "nobody@contoso.example", "next", "/devices")
	if !strings.HasPrefix(known.Header.Get("Refresh"), "0; url=/sign-in/directories/"+id) || known.body != unknown.body || known.Header.Get("Refresh") != unknown.Header.Get("Refresh") {
		t.Errorf("by domain: %q %q", known.Header.Get("Refresh"), unknown.Header.Get("Refresh"))
	}
	if res := b.post("/sign-in", "step", "sso", "email", "a@nowhere.example"); res.StatusCode != http.StatusUnprocessableEntity || res.Header.Get("Refresh") != "" {
		t.Errorf("a foreign domain: %s", res.Status)
	}

	leave := func(b *browser) string {
		t.Helper()
		res := b.get(strings.ReplaceAll(link[1], "&amp;", "&"))
		if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), p.Issuer) {
			t.Fatalf("%s %s", res.Status, res.body)
		}
		return res.Header.Get("Location")
	}
	back := func(u *url.URL) string { return strings.TrimPrefix(u.String(), portal.URL) }

	answer := back(p.Approve(t, leave(b), "carla"))
	other := open(t, portal, "") // the answer is nothing to a browser that did not ask
	if res := other.get(answer); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(res.body, "does not belong to a sign-in") {
		t.Errorf("another browser: %s", res.Status)
	}
	in := b.get(answer)
	if in.StatusCode != http.StatusSeeOther || !strings.HasPrefix(in.Header.Get("Location"), "/factors/new") {
		t.Fatalf("%s %s %s", in.Status, in.Header.Get("Location"), in.body)
	}
	if res := b.get("/devices"); res.StatusCode == http.StatusOK {
		t.Error("signed in without a second factor")
	}
	if res := b.get(answer); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the same answer again: %s", res.Status)
	}
	list, err := portal.People.Accounts(t.Context(), desk.System())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, a := range list {
		if a.Email == "carla@contoso.example" {
			found = a.Role == account.Responsible && string(a.Directory) == id && a.Organization == otto.Organization
		}
	}
	if !found {
		t.Error("no account of the right role was made")
	}

	if res := b.get(back(p.Approve(t, leave(b), "unverified"))); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(res.body, "no verified e-mail address") {
		t.Errorf("an address that is not verified: %s", res.Status)
	}
	cross := back(p.Approve(t, leave(b), "carla"))
	if res := b.get(strings.Replace(cross, id, filled.Directory, 1)); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("at the address of another directory: %s", res.Status)
	}
}
