// Package catalogue holds every sentence that a person reads, in English, Italian, German and
// Russian, and gives it out by its id. All programs use it; none writes text of its own.
//
// Messages stand in messages/AREA.LANG.toml, one line "id" = "text" each, the id quoted and
// beginning with its area ("form.title"). A text may hold {{.Name}} placeholders. A message that
// depends on a number is a table ["id"] with the plural forms one, few, many, other that the language
// needs. A test keeps the four languages complete and their placeholders equal.
//
// A Printer is made once for a language and may be shared. An unknown id is a programming error: it
// comes out as the id itself, and the tests find it.
package catalogue

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed messages/*.toml
var files embed.FS

// Languages are the codes of the languages that are complete, the first being the fallback.
var Languages = []string{"en", "it", "de", "ru"}

// Names are the languages' own names, by code.
var Names = map[string]string{"en": "English", "it": "Italiano", "de": "Deutsch", "ru": "Русский"}

var matcher = language.NewMatcher([]language.Tag{language.English, language.Italian, language.German, language.Russian})

// Match picks the code of the best language for preferences in order; each is a BCP 47 tag, a
// POSIX locale (it_IT.UTF-8) or an Accept-Language header. Without a match it is English.
func Match(preferences ...string) string {
	var tags []language.Tag
	for _, p := range preferences {
		if !strings.ContainsAny(p, ",;") {
			p, _, _ = strings.Cut(p, ".") // it_IT.UTF-8
			p = strings.ReplaceAll(p, "_", "-")
		}
		if p == "" || p == "C" || p == "POSIX" {
			continue
		}
		if t, _, err := language.ParseAcceptLanguage(p); err == nil {
			tags = append(tags, t...)
		}
	}
	_, i, c := matcher.Match(tags...)
	if c == language.No {
		return Languages[0]
	}
	return Languages[i]
}

// Printer gives out messages in one language.
type Printer struct {
	code string
	loc  *i18n.Localizer
}

var (
	mu       sync.Mutex
	printers = map[string]*Printer{}
)

// For returns the printer of a language code; an unknown code gives English. Only that language is
// loaded, which matters to the tray's resident memory.
func For(code string) *Printer {
	if _, ok := Names[code]; !ok {
		code = Languages[0]
	}
	mu.Lock()
	defer mu.Unlock()
	if p := printers[code]; p != nil {
		return p
	}
	p, err := load(code)
	if err != nil {
		panic(err) // the files are embedded; a test loads every one
	}
	printers[code] = p
	return p
}

func load(code string) (*Printer, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	names, err := fs.Glob(files, "messages/*."+code+".toml")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if _, err := bundle.LoadMessageFileFS(files, n); err != nil {
			return nil, fmt.Errorf("load %s: %w", n, err)
		}
	}
	return &Printer{code: code, loc: i18n.NewLocalizer(bundle, code)}, nil
}

// Language is the printer's language code.
func (p *Printer) Language() string { return p.code }

// T returns the message with this id. args are pairs of placeholder name and value; the value of
// "Count" also chooses the plural form.
func (p *Printer) T(id string, args ...any) string {
	c := &i18n.LocalizeConfig{MessageID: id}
	if len(args) > 0 {
		data := make(map[string]any, len(args)/2)
		for i := 0; i+1 < len(args); i += 2 {
			k := fmt.Sprint(args[i])
			data[k] = args[i+1]
			if k == "Count" {
				c.PluralCount = args[i+1]
			}
		}
		c.TemplateData = data
	}
	s, err := p.loc.Localize(c)
	if err != nil && s == "" {
		return id
	}
	return s
}
