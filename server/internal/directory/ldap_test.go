package directory_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/directory"
	"github.com/traybell/traybell/server/internal/directory/directorytest"
)

func names(groups []account.Group) (list []string) {
	for _, g := range groups {
		list = append(list, g.Name)
	}
	slices.Sort(list)
	return list
}

func TestLDAPAgainstARealServer(t *testing.T) {
	s := directorytest.Start(t)
	var l directory.LDAP
	good := s.Settings()
	with := func(f func(*account.LDAPSettings)) account.LDAPSettings {
		s := good
		f(&s)
		return s
	}
	find := func(set account.LDAPSettings, user string) (account.Identity, error) {
		return l.Find(t.Context(), set, directorytest.Secret, account.Who{Name: user})
	}
	if err := l.Check(good); err != nil {
		t.Fatal(err)
	}

	t.Run("a password is checked by StartTLS and by LDAPS", func(t *testing.T) {
		for name, set := range map[string]account.LDAPSettings{"starttls": good, "ldaps": with(func(l *account.LDAPSettings) { l.Server, l.TLS = s.Secure, account.LDAPS })} {
			i, err := l.SignIn(t.Context(), set, directorytest.Secret, "lucia", directorytest.Password)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if i.Email != "l.rossi@studioverdi.example" || i.Name != "Lucia Rossi" || !i.Verified || i.Disabled || len(i.ID) != 36 || !slices.Equal(names(i.Groups), []string{"staff"}) {
				t.Errorf("%s: got %+v", name, i)
			}
			if _, err := l.SignIn(t.Context(), set, directorytest.Secret, "lucia", directorytest.Password+"x"); !errors.Is(err, account.ErrDirectoryPassword) {
				t.Errorf("%s: a wrong password: %v", name, err)
			}
		}
	})
	t.Run("an empty password is no sign-in", func(t *testing.T) {
		if _, err := l.SignIn(t.Context(), good, directorytest.Secret, "lucia", ""); !errors.Is(err, account.ErrDirectoryPassword) {
			t.Errorf("got %v", err)
		}
		if _, err := l.Find(t.Context(), good, "", account.Who{Name: "lucia"}); !errors.Is(err, account.ErrDirectoryBind) {
			t.Errorf("a search account without a password: %v", err)
		}
	})
	t.Run("what is typed is no filter", func(t *testing.T) {
		for _, user := range []string{"*", "lucia)(uid=*", "*)(|(uid=*", "\\2a", "lucia\x00", "l*", "(", "Otto Weber (Büro)"} {
			if i, err := find(good, user); !errors.Is(err, account.ErrDirectoryNoUser) {
				t.Errorf("%q finds %q, %v", user, i.Name, err)
			}
		}
		byName := with(func(l *account.LDAPSettings) { l.UserFilter = "(cn={user})" })
		if i, err := find(byName, "Otto Weber (Büro)"); err != nil || i.Email != "o.weber@studioverdi.example" {
			t.Errorf("a name with brackets: %+v %v", i, err)
		}
	})
	t.Run("groups in groups, in a circle", func(t *testing.T) {
		want := []string{"board", "leads", "managers"}
		for _, how := range []string{account.GroupsMember, account.GroupsMemberOf} {
			i, err := find(with(func(l *account.LDAPSettings) { l.Groups = how }), "carla")
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			if got := slices.DeleteFunc(names(i.Groups), func(s string) bool { return s == "staff" }); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", how, got, want)
			}
		}
	})
	t.Run("somebody is found again by what never changes", func(t *testing.T) {
		i, err := find(good, "otto")
		if err != nil {
			t.Fatal(err)
		}
		again, err := l.Find(t.Context(), good, directorytest.Secret, account.Who{ID: i.ID})
		if err != nil || again.ID != i.ID || again.Email != i.Email {
			t.Errorf("got %+v, %v", again, err)
		}
		narrowed := with(func(l *account.LDAPSettings) {
			l.UserFilter = "(&(uid={user})(memberOf=cn=leads," + directorytest.Groups + "))"
		})
		if _, err := l.Find(t.Context(), narrowed, directorytest.Secret, account.Who{ID: i.ID}); !errors.Is(err, account.ErrDirectoryNoUser) {
			t.Errorf("somebody who does not fit the filter any more: %v", err)
		}
	})
	t.Run("a disabled person", func(t *testing.T) {
		s.Disable(t, "otto")
		if i, err := find(good, "otto"); err != nil || !i.Disabled {
			t.Errorf("got %+v, %v", i, err)
		}
		s.Enable(t, "otto")
		if i, err := find(good, "otto"); err != nil || i.Disabled {
			t.Errorf("enabled again: %+v, %v", i, err)
		}
	})
	t.Run("errors say what is wrong", func(t *testing.T) {
		other := directorytest.NewAuthority(t)
		for _, tt := range []struct {
			name   string
			set    account.LDAPSettings
			secret string
			user   string
			want   error
		}{
			{"nobody", good, directorytest.Secret, "nobody", account.ErrDirectoryNoUser},
			{"several", with(func(l *account.LDAPSettings) { l.UserFilter = "(|(uid={user})(uid=otto))" }), directorytest.Secret, "lucia", account.ErrDirectorySeveral},
			{"wrong search password", good, "wrong", "lucia", account.ErrDirectoryBind},
			{"wrong search account", with(func(l *account.LDAPSettings) { l.BindDN = "cn=nobody," + directorytest.Base }), directorytest.Secret, "lucia", account.ErrDirectoryBind},
			{"wrong base", with(func(l *account.LDAPSettings) { l.Base = "dc=other" }), directorytest.Secret, "lucia", account.ErrDirectoryBase},
			{"foreign authority", with(func(l *account.LDAPSettings) { l.CA = other.PEM }), directorytest.Secret, "lucia", account.ErrDirectoryCertificate},
			{"no authority given", with(func(l *account.LDAPSettings) { l.CA = "" }), directorytest.Secret, "lucia", account.ErrDirectoryCertificate},
			{"other name", with(func(l *account.LDAPSettings) { l.Server = strings.Replace(l.Server, "localhost", "127.0.0.1", 1) }), directorytest.Secret, "lucia", account.ErrDirectoryCertificate},
			{"foreign authority by LDAPS", with(func(l *account.LDAPSettings) { l.CA, l.Server, l.TLS = other.PEM, s.Secure, account.LDAPS }), directorytest.Secret, "lucia", account.ErrDirectoryCertificate},
			{"unprotected", with(func(l *account.LDAPSettings) { l.TLS = "" }), directorytest.Secret, "lucia", account.ErrDirectoryTLS},
			{"no such attribute", with(func(l *account.LDAPSettings) { l.IDAttribute = "objectSid" }), directorytest.Secret, "lucia", account.ErrDirectoryNoID},
			{"nobody there", with(func(l *account.LDAPSettings) { l.Server = "localhost:1" }), directorytest.Secret, "lucia", account.ErrDirectoryUnreachable},
		} {
			if _, err := l.Find(t.Context(), tt.set, tt.secret, account.Who{Name: tt.user}); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
	})
}

// A server that offers no StartTLS never sees a password.
func TestLDAPStaysSilentWithoutTLS(t *testing.T) {
	n, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	got := make(chan []byte, 1)
	go func() {
		c, err := n.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 4096)
		k, _ := c.Read(b)
		all := slices.Clone(b[:k])
		// "unavailable" to the extended request with message id 1
		c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x78, 0x07, 0x0a, 0x01, 0x34, 0x04, 0x00, 0x04, 0x00})
		for {
			k, err := c.Read(b)
			all = append(all, b[:k]...)
			if err != nil {
				got <- all
				return
			}
		}
	}()
	set := account.LDAPPresets["openldap"]
	set.Server, set.BindDN, set.Base = n.Addr().String(), directorytest.SearchDN, directorytest.Base
	if _, err := (directory.LDAP{}).SignIn(t.Context(), set, directorytest.Secret, "lucia", directorytest.Password); !errors.Is(err, account.ErrDirectoryUnreachable) {
		t.Errorf("got %v", err)
	}
	sent := string(<-got)
	if !strings.Contains(sent, "1.3.6.1.4.1.1466.20037") || strings.Contains(sent, directorytest.Secret) || strings.Contains(sent, "cn=traybell") {
		t.Errorf("sent %q", sent)
	}
}

func TestLDAPFiltersAreChecked(t *testing.T) {
	var l directory.LDAP
	good := account.LDAPPresets["ad"]
	good.BindDN, good.Base = "traybell@example.com", "dc=example,dc=com"
	if err := l.Check(good); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(*account.LDAPSettings){
		"user filter":     func(l *account.LDAPSettings) { l.UserFilter = "(uid={user}" },
		"disabled filter": func(l *account.LDAPSettings) { l.DisabledFilter = "disabled" },
	} {
		s := good
		f(&s)
		if err := l.Check(s); !errors.Is(err, account.ErrDirectoryFilter) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
