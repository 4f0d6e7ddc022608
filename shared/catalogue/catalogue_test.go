package catalogue

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

var placeholder = regexp.MustCompile(`\{\{\s*\.(\w+)\s*\}\}`)

// read returns id -> texts (one, or the plural forms) of one file.
func read(t *testing.T, name string) map[string]map[string]string {
	t.Helper()
	b, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := toml.Unmarshal(b, &raw); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	out := map[string]map[string]string{}
	for id, v := range raw {
		switch v := v.(type) {
		case string:
			out[id] = map[string]string{"other": v}
		case map[string]any:
			out[id] = map[string]string{}
			for form, text := range v {
				s, ok := text.(string)
				if !ok {
					t.Errorf("%s: %q must be written as one quoted key", name, id)
					continue
				}
				out[id][form] = s
			}
		default:
			t.Errorf("%s: %q is neither text nor plural forms", name, id)
		}
	}
	return out
}

func names(texts map[string]string) []string {
	var out []string
	for _, s := range texts {
		for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
			if !slices.Contains(out, m[1]) {
				out = append(out, m[1])
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestEveryLanguageIsComplete(t *testing.T) {
	english, err := fs.Glob(files, "messages/*.en.toml")
	if err != nil || len(english) == 0 {
		t.Fatalf("no English messages: %v", err)
	}
	all, _ := fs.Glob(files, "messages/*.toml")
	if len(all) != len(english)*len(Languages) {
		t.Errorf("%d files for %d areas in %d languages", len(all), len(english), len(Languages))
	}
	seen := map[string]string{}
	for _, name := range english {
		area := strings.TrimSuffix(strings.TrimPrefix(name, "messages/"), ".en.toml")
		want := read(t, name)
		for id := range want {
			if first, _, _ := strings.Cut(id, "."); first != area {
				t.Errorf("%s: %q does not begin with its area", name, id)
			}
			if other, dup := seen[id]; dup {
				t.Errorf("%q stands in %s and %s", id, other, name)
			}
			seen[id] = name
		}
		for _, code := range Languages[1:] {
			file := "messages/" + area + "." + code + ".toml"
			got := read(t, file)
			for id, texts := range want {
				other, ok := got[id]
				if !ok {
					t.Errorf("%s: %q is missing", file, id)
					continue
				}
				if g, w := names(other), names(texts); !slices.Equal(g, w) {
					t.Errorf("%s: %q has the placeholders %v, English %v", file, id, g, w)
				}
				for form, s := range other {
					if strings.TrimSpace(s) == "" {
						t.Errorf("%s: %q (%s) is empty", file, id, form)
					}
				}
				if len(texts) > 1 && code == "ru" {
					for _, form := range []string{"one", "few", "many", "other"} {
						if other[form] == "" {
							t.Errorf("%s: %q lacks the form %s", file, id, form)
						}
					}
				}
			}
			for id := range got {
				if _, ok := want[id]; !ok {
					t.Errorf("%s: %q does not exist in English", file, id)
				}
			}
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		prefs []string
		want  string
	}{
		{nil, "en"}, {[]string{""}, "en"}, {[]string{"C"}, "en"}, {[]string{"it_IT.UTF-8"}, "it"},
		{[]string{"de-AT"}, "de"}, {[]string{"ru"}, "ru"}, {[]string{"fr"}, "en"},
		{[]string{"fr-FR,fr;q=0.9,de;q=0.8,en;q=0.5"}, "de"}, {[]string{"", "ru_RU"}, "ru"},
		{[]string{"\xff\xfe"}, "en"},
	} {
		if got := Match(tt.prefs...); got != tt.want {
			t.Errorf("Match(%q) = %s, want %s", tt.prefs, got, tt.want)
		}
	}
}

func TestPrinter(t *testing.T) {
	for code, want := range map[string]string{"en": "Refuse", "it": "Rifiuta", "de": "Ablehnen", "ru": "Отказать"} {
		if got := For(code).T("word.refuse"); got != want {
			t.Errorf("%s: got %q, want %q", code, got, want)
		}
	}
	if got := For("en").T("no.such.message"); got != "no.such.message" {
		t.Errorf("an unknown id gives %q", got)
	}
	for n, want := range map[int]string{1: "1 результат", 3: "3 результата", 7: "7 результатов"} {
		if got := For("ru").T("word.results", "Count", n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
