package account

import (
	"errors"
	"testing"
)

func TestWhoADirectoryLetsIn(t *testing.T) {
	d := Directory{ID: "d", Organization: "o", Domains: []string{"a.example"}, Create: true, DefaultRole: Requester, Rules: []RoleRule{{"leads", Responsible}, {"CN=IT,DC=a", Technician}}}
	person := Identity{ID: "7", Email: "Lucia@A.example", Verified: true, Name: "Lucia"}
	local := Account{ID: "a", Organization: "o", Email: "lucia@a.example", Role: Requester, Password: "hash"}
	with := func(f func(*Directory, *Identity, *Account)) (Directory, Identity, Account) {
		d, i, a := d, person, Account{}
		f(&d, &i, &a)
		return d, i, a
	}
	for _, tt := range []struct {
		name string
		f    func(*Directory, *Identity, *Account)
		role Role
		err  error
	}{
		{"somebody new", func(*Directory, *Identity, *Account) {}, Requester, nil},
		{"a group's role", func(_ *Directory, i *Identity, _ *Account) { i.Groups = []Group{{"cn=leads,dc=a", "Leads"}} }, Responsible, nil},
		{"a customer's directory makes no staff", func(_ *Directory, i *Identity, _ *Account) { i.Groups = []Group{{"cn=it,dc=a", "it"}} }, Requester, nil},
		{"the provider's does", func(d *Directory, i *Identity, _ *Account) {
			d.Provider = true
			i.Groups = []Group{{"cn=it,dc=a", "it"}}
		}, Technician, nil},
		{"no group and no default", func(d *Directory, _ *Identity, _ *Account) { d.DefaultRole = "" }, "", ErrDirectoryNoRole},
		{"disabled", func(_ *Directory, i *Identity, _ *Account) { i.Disabled = true }, "", ErrDirectoryDisabled},
		{"not verified", func(_ *Directory, i *Identity, _ *Account) { i.Verified = false }, "", ErrDirectoryNoEmail},
		{"no address", func(_ *Directory, i *Identity, _ *Account) { i.Email = "" }, "", ErrDirectoryNoEmail},
		{"a foreign domain", func(_ *Directory, i *Identity, _ *Account) { i.Email = "lucia@b.example" }, "", ErrDirectoryForeign},
		{"a domain below", func(_ *Directory, i *Identity, _ *Account) { i.Email = "lucia@x.a.example" }, "", ErrDirectoryForeign},
		{"not invited", func(d *Directory, _ *Identity, _ *Account) { d.Create = false }, "", ErrDirectoryNotInvited},
		{"a local account of its own", func(d *Directory, _ *Identity, a *Account) { d.Create = false; *a = local }, Requester, nil},
		{"one of another organization", func(_ *Directory, _ *Identity, a *Account) { *a = local; a.Organization = "p" }, "", ErrDirectoryTaken},
		{"an administrator's", func(_ *Directory, _ *Identity, a *Account) { *a = local; a.Role = Administrator }, "", ErrDirectoryTaken},
		{"a disabled one", func(_ *Directory, _ *Identity, a *Account) { *a = local; a.Disabled = true }, "", ErrDirectoryTaken},
		{"one of another directory", func(_ *Directory, _ *Identity, a *Account) { *a = local; a.Directory, a.ExternalID = "e", "7" }, "", ErrDirectoryTaken},
		{"somebody else of this directory", func(_ *Directory, _ *Identity, a *Account) { *a = local; a.Directory, a.ExternalID = "d", "8" }, "", ErrDirectoryTaken},
		{"their own", func(_ *Directory, _ *Identity, a *Account) { *a = local; a.Directory, a.ExternalID = "d", "7" }, Requester, nil},
		{"without rules the role stays", func(d *Directory, _ *Identity, a *Account) { d.Rules = nil; *a = local; a.Role = Responsible }, Responsible, nil},
	} {
		d, i, known := with(tt.f)
		a, err := d.Admit(i, known, "it")
		if !errors.Is(err, tt.err) || a.Role != tt.role {
			t.Errorf("%s: got %q, %v", tt.name, a.Role, err)
		}
		if err == nil && (a.Password != "" || a.Directory != "d" || a.ExternalID != "7" || a.Email != "lucia@a.example" || a.Organization != "o") {
			t.Errorf("%s: got %+v", tt.name, a)
		}
	}
}

func TestDirectorySettingsAreChecked(t *testing.T) {
	l := LDAPPresets["ad"]
	l.Server, l.BindDN, l.Base = "dc.a.example", "t@a.example", "dc=a,dc=example"
	good := Directory{Kind: LDAP, Name: "A", Domains: []string{" @A.example", "a.example"}, DefaultRole: Requester, LDAP: l}
	if d, err := good.Check(); err != nil || len(d.Domains) != 1 || d.Domains[0] != "a.example" {
		t.Fatalf("%v %v", d.Domains, err)
	}
	for name, tt := range map[string]struct {
		f    func(*Directory)
		want error
	}{
		"no name":            {func(d *Directory) { d.Name = "" }, ErrName},
		"no domain":          {func(d *Directory) { d.Domains = nil }, ErrDirectoryDomains},
		"half a domain":      {func(d *Directory) { d.Domains = []string{"localhost"} }, ErrDirectoryDomains},
		"unprotected":        {func(d *Directory) { d.LDAP.TLS = "plain" }, ErrDirectoryTLS},
		"an address":         {func(d *Directory) { d.LDAP.Server = "ldap://dc.a.example" }, ErrDirectoryServer},
		"an attribute":       {func(d *Directory) { d.LDAP.IDAttribute = "x=*)(uid" }, ErrDirectorySetting},
		"no place for who":   {func(d *Directory) { d.LDAP.UserFilter = "(uid=x)" }, ErrDirectoryFilter},
		"no certificate":     {func(d *Directory) { d.LDAP.CA = "x" }, ErrDirectoryCA},
		"staff by default":   {func(d *Directory) { d.Provider, d.DefaultRole = true, Technician }, ErrDirectoryRole},
		"a customer's staff": {func(d *Directory) { d.Rules = []RoleRule{{"it", Administrator}} }, ErrDirectoryRole},
		"plain http":         {func(d *Directory) { d.Kind, d.OIDC = OIDC, OIDCSettings{Issuer: "http://a.example", ClientID: "x"} }, ErrDirectoryIssuer},
		"no client":          {func(d *Directory) { d.Kind, d.OIDC = OIDC, OIDCSettings{Issuer: "https://a.example"} }, ErrDirectorySetting},
		"another kind":       {func(d *Directory) { d.Kind = "saml" }, ErrDirectorySetting},
	} {
		d := good
		tt.f(&d)
		if _, err := d.Check(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
