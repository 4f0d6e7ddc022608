package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/servertest"
	wire "github.com/traybell/traybell/shared/api"
)

func TestAccountsAreNarrowedToADirectory(t *testing.T) {
	s := servertest.Start(t)
	admin, other := s.Administrator(t), s.Person(t, account.Responsible, "boss@verdi.example", "Verdi")
	lucia := s.Person(t, account.Requester, "lucia@verdi.example", "Verdi")
	secret := "x"
	l := account.LDAPPresets["ad"]
	l.Server, l.BindDN, l.Base = "dc.verdi.example", "traybell@verdi.example", "dc=verdi,dc=example"
	d, err := s.People.SaveDirectory(t.Context(), desk.System(), account.Directory{ID: account.DirectoryID(wire.NewID(time.Now())), Kind: account.LDAP, Name: "Verdi", Organization: other.Account.Organization, Domains: []string{"verdi.example"}, LDAP: l}, &secret)
	if err != nil {
		t.Fatal(err)
	}
	type names struct {
		Directories []struct{ ID, Name string }
	}
	for who, want := range map[*servertest.Person]int{admin: 1, other: 1, lucia: 0} {
		var got names
		if status, _ := who.Call(t, http.MethodGet, "/api/v1/directories", nil, &got); status != http.StatusOK || len(got.Directories) != want {
			t.Errorf("%s: %d %+v", who.Account.Email, status, got)
		}
	}
	for filter, want := range map[string]int{"": 3, "?directory=local": 3, "?directory=" + string(d.ID): 0} {
		var got struct{ Accounts []struct{ Email string } }
		if status, _ := admin.Call(t, http.MethodGet, "/api/v1/accounts"+filter, nil, &got); status != http.StatusOK || len(got.Accounts) != want {
			t.Errorf("%q: %d %+v", filter, status, got)
		}
	}
}
