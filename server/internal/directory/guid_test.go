package directory

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/traybell/traybell/server/internal/account"
)

// Active Directory's objectGUID: sixteen bytes whose first three fields are in little-endian order.
func TestObjectGUIDIsReadAndSearchedFor(t *testing.T) {
	s := account.LDAPPresets["ad"]
	raw := "\x90\x39\x9a\xab\x5c\x37\x6d\x4c\x8e\x4f\x00\x2a\x28\x29\x5c\xff"
	id := textID(&ldap.Entry{Attributes: []*ldap.EntryAttribute{{Name: "objectGuid", Values: []string{raw}, ByteValues: [][]byte{[]byte(raw)}}}}, s)
	if want := "ab9a3990-375c-4c6d-8e4f-002a28295cff"; id != want {
		t.Errorf("got %s, want %s", id, want)
	}
	filter, err := idFilter(s, id)
	if want := `(objectGUID=\90\39\9a\ab\5c\37\6d\4c\8e\4f\00\2a\28\29\5c\ff)`; filter != want || err != nil {
		t.Errorf("got %s, %v; want %s", filter, err, want)
	}
	for _, bad := range []string{"", "x", "ab9a3990", id + "-00", "*"} {
		if f, err := idFilter(s, bad); err == nil {
			t.Errorf("%q gives %s", bad, f)
		}
	}
	if got := textID(&ldap.Entry{Attributes: []*ldap.EntryAttribute{{Name: "objectGUID", ByteValues: [][]byte{[]byte("short")}}}}, s); got != "" {
		t.Errorf("a short value gives %q", got)
	}
}

// Whatever is typed stays one value of the filter.
func FuzzUserFilter(f *testing.F) {
	for _, s := range []string{"lucia", "*", "a)(uid=*", "\\", "\x00", "(", "é", "\xff"} {
		f.Add(s)
	}
	s := account.LDAPSettings{UserFilter: "(&(objectClass=person)(uid={user}))"}
	f.Fuzz(func(t *testing.T, user string) {
		p, err := ldap.CompileFilter(userFilter(s, user))
		if err != nil {
			t.Fatalf("%q: %v", user, err)
		}
		if len(p.Children) != 2 || len(p.Children[1].Children) != 2 {
			if user != "" && !strings.ContainsRune(user, 0) {
				t.Errorf("%q changes the filter's shape", user)
			}
			return
		}
		if p.Children[1].Tag != ldap.FilterEqualityMatch {
			t.Errorf("%q is no equality", user)
		}
	})
}
