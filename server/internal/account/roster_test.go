package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestRoster(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Invitee
	}{
		{"addresses", "a@b.it\n\n c@d.it, e@f.it ;g@h.it\na@B.it", []Invitee{{Line: 1, Email: "a@b.it"}, {Line: 3, Email: "c@d.it"}, {Line: 3, Email: "e@f.it"}, {Line: 3, Email: "g@h.it"}}},
		{"CSV", "\ufeffemail,name,role,language\na@b.it,\"Rossi, Anna\",requester,it\nc@d.it,Carla", []Invitee{{2, "a@b.it", "Rossi, Anna", "requester", "it"}, {3, "c@d.it", "Carla", "", ""}}},
		{"semicolons", "a@b.it;Anna;;de", []Invitee{{1, "a@b.it", "Anna", "", "de"}}},
		{"no address", "a@b.it\nAnna", []Invitee{{Line: 1, Email: "a@b.it"}, {Line: 2, Email: "Anna"}}},
		{"nothing", " \n", nil},
	} {
		got, err := ParseRoster(c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	var many strings.Builder
	for i := range MaxRoster + 1 {
		many.WriteString(strings.Repeat("a", i+1) + "@b.it\n")
	}
	for _, bad := range []string{many.String(), "a@b.it,\"Anna"} {
		if _, err := ParseRoster(bad); !errors.Is(err, ErrRoster) {
			t.Errorf("%.20q: %v, want ErrRoster", bad, err)
		}
	}
}

func FuzzParseRoster(f *testing.F) {
	f.Add("email;name\na@b.it;\"A;B\"\n")
	f.Add("a@b.it c@d.it")
	f.Fuzz(func(t *testing.T, s string) {
		list, err := ParseRoster(s)
		if err != nil && list != nil {
			t.Error("an error and a list")
		}
		if len(list) > MaxRoster {
			t.Errorf("%d people", len(list))
		}
		for _, v := range list {
			if v.Email == "" || v.Line < 1 {
				t.Errorf("%+v", v)
			}
		}
	})
}
