package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/traybell/traybell/shared/catalogue"
)

//go:embed templates/*.html
var templateFiles embed.FS

// frames are the templates that a page is put into; all others are pages.
var frames = []string{"templates/layout.html", "templates/parts.html"}

// renderer holds each page's template in each language.
type renderer struct {
	pages map[string]map[string]*template.Template // language -> page
}

func newRenderer(a *assets) (*renderer, error) {
	r := &renderer{pages: map[string]map[string]*template.Template{}}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, language := range catalogue.Languages {
		p := catalogue.For(language)
		base, err := template.New("").Funcs(template.FuncMap{
			"t":     p.T,
			"asset": a.url,
			"icon": func(name string) template.HTML {
				return template.HTML(`<svg class="i" aria-hidden="true"><use href="` + template.HTMLEscapeString(a.url("icons.svg")+"#"+name) + `"/></svg>`)
			},
		}).ParseFS(templateFiles, frames...)
		if err != nil {
			return nil, fmt.Errorf("parse the frame: %w", err)
		}
		set := map[string]*template.Template{}
		for _, name := range names {
			if name == frames[0] || name == frames[1] {
				continue
			}
			c, err := base.Clone()
			if err == nil {
				_, err = c.ParseFS(templateFiles, name)
			}
			if err != nil {
				return nil, fmt.Errorf("parse %s: %w", name, err)
			}
			set[strings.TrimSuffix(path.Base(name), ".html")] = c
		}
		r.pages[language] = set
	}
	return r, nil
}

// page is what every frame needs besides the page's own Body.
type page struct {
	Name       string // of the template
	Lang       string
	Theme      string // auto, light, dark
	Title      string
	Brand      string // the organization that runs the server
	BrandLine  string
	Logo       string // address of the picture in place of the bell; empty: the bell
	Place      string // which menu entry is the current one
	Menu       []menuEntry
	Create     bool // the reader can create tickets
	MainCreate bool // Create ticket is the page's one main action
	Who        who
	Notice     *notice
	Banner     *mailBanner // no mail server is set
	Path       string
	Languages  []languageChoice
	Body       any
}

// onPhone is how many menu entries stand in a phone's bar, beside Create and More.
const onPhone = 3

// Bar are the menu entries that stand in a phone's bar.
func (p page) Bar() []menuEntry { return p.Menu[:min(len(p.Menu), onPhone)] }

// Rest are the menu entries that a phone shows under More.
func (p page) Rest() []menuEntry { return p.Menu[min(len(p.Menu), onPhone):] }

type menuEntry struct {
	Href, Icon, Text, Short string
	Count                   int
	Current                 bool
}

type who struct{ Name, Role, Initials string }

type notice struct{ Kind, Icon, Text string }

type languageChoice struct {
	Code, Name string
	Current    bool
}

// frame tells which template a page is put into.
type frame string

const (
	inFrame frame = "frame" // menu and page
	inDoor  frame = "door"  // a page without a menu
	alone   frame = "page"  // the page brings its own
)

// write renders a page and sends it whole, or nothing of it.
func (r *renderer) write(w http.ResponseWriter, status int, in frame, name string, p page) error {
	t := r.pages[p.Lang][name]
	if t == nil {
		return fmt.Errorf("no page %q in %q", name, p.Lang)
	}
	p.Name = name
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, string(in), p); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}

// The small things that several pages show.

// mark is a status or severity: shape and word.
type mark struct{ Code, Word string }

// when is a time as the reader sees it.
type when struct{ ISO, Text string }

// choice is one of several: an option, a button, a check box.
type choice struct {
	Code, Word  string
	Rule        string // severity: by which rule
	Verb        string // status: what the requester presses
	Why         string // disabled: why
	Current     bool
	Disabled    bool
	NeedsReason bool
}

// field is one line of a form.
type field struct {
	Name, Label, Hint, Type, Value, Auto, Error string
	Max                                         int
	Required, Focus                             bool
}

// pair is a name with its value.
type pair struct{ Name, Value string }

// line is one statement with its icon.
type line struct{ Kind, Icon, Text string }
