package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/servertest"
)

func TestAccountsAreInvitedAndChanged(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	lucia := s.Person(t, account.Requester, "lucia@verdi.it", "Studio Verdi")
	type reply struct {
		ID, Name, Role, Email, Token string
		Disabled                     bool
	}
	call := func(method, path, token, body string, want int) (out reply) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/api/v1"+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		res, err := s.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s %s %s: status %d, want %d", method, path, body, res.StatusCode, want)
		}
		json.NewDecoder(res.Body).Decode(&out)
		return out
	}
	if i := call("POST", "/accounts", admin.Token, `{"email":"New@Verdi.it","role":"requester","organization":"Studio Verdi","name":"Nina"}`, 201); i.Email != "new@verdi.it" || i.Token == "" {
		t.Errorf("invited %+v", i)
	}
	call("POST", "/accounts", admin.Token, `{"email":"lucia@verdi.it","role":"requester","organization":"Studio Verdi"}`, 409)
	call("POST", "/accounts", lucia.Token, `{"email":"friend@verdi.it","role":"requester"}`, 403)
	path := "/accounts/" + string(lucia.Account.ID)
	if a := call("PATCH", path, admin.Token, `{"name":"Lucia Gialli"}`, 200); a.Name != "Lucia Gialli" {
		t.Errorf("renamed %+v", a)
	}
	if a := call("PATCH", path, admin.Token, `{"role":"responsible"}`, 200); a.Role != "responsible" {
		t.Errorf("with another role %+v", a)
	}
	call("PATCH", path, admin.Token, `{}`, 422)
	call("PATCH", path, admin.Token, `{"role":"requester","disabled":true}`, 422)
	if a := call("GET", path, admin.Token, "", 200); a.Role != "responsible" || a.Disabled {
		t.Errorf("after two refused changes %+v", a)
	}
	if a := call("PATCH", path, admin.Token, `{"disabled":true}`, 200); !a.Disabled {
		t.Errorf("disabled %+v", a)
	}
	call("GET", path, lucia.Token, "", 401)
	if a := call("PATCH", path, admin.Token, `{"disabled":false}`, 200); a.Disabled {
		t.Errorf("enabled %+v", a)
	}
	call("PATCH", "/accounts/"+string(admin.Account.ID), admin.Token, `{"disabled":true}`, 403)
}
