package audit_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/audit"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/shared/catalogue"
)

// TestEveryActionHasWords finds each action that the use cases record and asks for its words in every language.
func TestEveryActionHasWords(t *testing.T) {
	known := map[string]bool{}
	for _, a := range audit.Actions {
		known[a] = true
	}
	recorded := actionsIn(t, "..")
	if len(recorded) < 40 {
		t.Fatalf("only %d actions were found: %v", len(recorded), recorded)
	}
	for _, a := range recorded {
		if !known[a] {
			t.Errorf("%s is recorded but does not stand in audit.Actions (desk/audit/actions.go)", a)
		}
	}
	for _, a := range audit.Actions {
		if !slices.Contains(recorded, a) && !strings.HasPrefix(a, "session.") {
			t.Errorf("%s stands in audit.Actions but nothing records it", a)
		}
		for _, language := range catalogue.Languages {
			if catalogue.For(language).T("log."+a) == "log."+a {
				t.Errorf(`"log.%s" is missing in shared/catalogue/messages/log.%s.toml`, a, language)
			}
		}
	}
}

var actionShape = regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)

// actionsIn reads the first argument of every call of Record below a folder. Where it is a variable, the texts
// of that shape in the same function count; "session." + state stands for all states.
func actionsIn(t *testing.T, dir string) (list []string) {
	t.Helper()
	constants := map[string]string{}
	var functions []*ast.FuncDecl
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				functions = append(functions, d)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
						for i, n := range v.Names {
							if s, ok := text(v.Values[i]); ok {
								constants[n.Name] = s
							}
						}
					}
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) < 3 {
				return true
			}
			if s, ok := c.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "Record" {
				return true
			}
			switch a := c.Args[0].(type) {
			case *ast.BasicLit:
				s, _ := text(a)
				list = append(list, s)
				return true
			case *ast.Ident:
				if s := constants[a.Name]; s != "" {
					list = append(list, s)
					return true
				}
			case *ast.BinaryExpr:
				if s, ok := text(a.X); ok && s == "session." {
					return true // the states of a session; audit.Actions holds them
				}
			}
			found := false
			ast.Inspect(f, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if s, ok := text(e); ok && actionShape.MatchString(s) {
						list, found = append(list, s), true
					}
				}
				return true
			})
			if found || f.Name.Name == "Record" {
				return true
			}
			for _, caller := range functions { // it is handed in
				ast.Inspect(caller, func(n ast.Node) bool {
					c, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					if s, ok := c.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != f.Name.Name {
						return true
					}
					for _, arg := range c.Args {
						if s, ok := text(arg); ok && actionShape.MatchString(s) {
							list, found = append(list, s), true
						}
					}
					return true
				})
			}
			if !found {
				t.Errorf("%s records an action that this test can't read", f.Name.Name)
			}
			return true
		})
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func text(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// people of two organizations beside the provider's
type cast struct {
	provider, verdi, blu   account.Organization
	admin, carla, otto, me desk.Actor
}

func (f *fixture) cast(t *testing.T) *cast {
	t.Helper()
	c := &cast{}
	if err := f.base.Store.Write(t.Context(), func(tx store.Tx) error {
		for i, o := range []*account.Organization{&c.provider, &c.verdi, &c.blu} {
			*o = account.Organization{ID: account.OrganizationID(fmt.Sprintf("o%d", i)), Name: []string{"Rossi IT", "Studio Verdi", "Blu"}[i], Provider: i == 0, CreatedAt: f.now, Version: 1}
			if err := tx.InsertOrganization(*o); err != nil {
				return err
			}
		}
		for i, p := range []struct {
			a    *desk.Actor
			name string
			role account.Role
			of   account.Organization
		}{{&c.admin, "Anna Bianchi", account.Administrator, c.provider}, {&c.carla, "Carla Neri", account.Responsible, c.verdi}, {&c.otto, "Otto Blu", account.Responsible, c.blu}, {&c.me, "Lucia Rossi", account.Requester, c.verdi}} {
			a := account.Account{ID: account.ID(fmt.Sprintf("a%d", i)), Organization: p.of.ID, Email: fmt.Sprintf("a%d@example.com", i), Name: p.name, Language: "en", Role: p.role, CreatedAt: f.now, Version: 1}
			if err := tx.InsertAccount(a); err != nil {
				return err
			}
			*p.a = desk.Of(a, desk.ViaPortal, fmt.Sprintf("192.0.2.%d", i))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) does(t *testing.T, a desk.Actor, action, object, name string, detail any) {
	t.Helper()
	if err := f.base.Change(t.Context(), a, func(c *desk.Change) error { return c.Record(action, object, name, detail) }); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Second)
}

func (f *fixture) list(t *testing.T, a desk.Actor, filter audit.Filter) (actions []string) {
	t.Helper()
	p, err := f.log.List(t.Context(), a, filter)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Rows {
		actions = append(actions, r.Action+" "+r.ObjectName)
	}
	return actions
}

func TestLogIsReadByThoseWhoMay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		c := f.cast(t)
		f.does(t, c.admin, "account.reset", "account:"+string(c.me.Account), "Lucia Rossi", nil) // the provider's act on Verdi's person
		f.does(t, c.me, "account.signed_in", c.me.Ref(), "Lucia Rossi", map[string]any{"login": "l1"})
		f.does(t, c.otto, "account.signed_in", c.otto.Ref(), "Otto Blu", nil)
		f.does(t, c.admin.InPlaceOf(c.me.Account), "account.exported", "account:"+string(c.me.Account), "Lucia Rossi", nil)
		for _, k := range []struct {
			name   string
			who    desk.Actor
			filter audit.Filter
			want   []string
		}{
			{"the administrator sees all", c.admin, audit.Filter{}, []string{"account.exported Lucia Rossi", "account.signed_in Otto Blu", "account.signed_in Lucia Rossi", "account.reset Lucia Rossi"}},
			{"the responsible person sees their organization's", c.carla, audit.Filter{}, []string{"account.exported Lucia Rossi", "account.signed_in Lucia Rossi", "account.reset Lucia Rossi"}},
			{"whatever organization they ask for", c.carla, audit.Filter{Organization: c.blu.ID}, []string{"account.exported Lucia Rossi", "account.signed_in Lucia Rossi", "account.reset Lucia Rossi"}},
			{"or actor", c.carla, audit.Filter{Who: c.otto.Ref()}, nil},
			{"others their own acts", c.me, audit.Filter{}, []string{"account.signed_in Lucia Rossi"}},
			{"and no one else's", c.me, audit.Filter{Who: c.otto.Ref()}, nil},
			{"by a part of the name", c.admin, audit.Filter{Who: "OTTO"}, []string{"account.signed_in Otto Blu"}},
			{"by nobody's name", c.admin, audit.Filter{Who: "nobody"}, nil},
			{"by object's name", c.admin, audit.Filter{Object: "otto blu"}, []string{"account.signed_in Otto Blu"}},
			{"by organization", c.admin, audit.Filter{Organization: "Blu"}, []string{"account.signed_in Otto Blu"}},
			{"by action", c.admin, audit.Filter{Action: "account.reset"}, []string{"account.reset Lucia Rossi"}},
			{"by acting-for", c.admin, audit.Filter{ActingFor: c.me.Ref()}, []string{"account.exported Lucia Rossi"}},
			{"by address", c.admin, audit.Filter{Address: "192.0.2.2"}, []string{"account.signed_in Otto Blu"}},
			{"by words", c.admin, audit.Filter{Text: "ANGEMELDET", Language: "de"}, []string{"account.signed_in Otto Blu", "account.signed_in Lucia Rossi"}},
			{"by detail", c.admin, audit.Filter{Text: `"l1"`}, []string{"account.signed_in Lucia Rossi"}},
			{"by time", c.admin, audit.Filter{From: f.now.Add(-3 * time.Second), To: f.now.Add(-time.Second)}, []string{"account.signed_in Otto Blu", "account.signed_in Lucia Rossi"}},
		} {
			k.filter.Limit = 500
			var got []string
			for _, a := range f.list(t, k.who, k.filter) {
				if !strings.HasPrefix(a, "audit.") {
					got = append(got, a)
				}
			}
			if !slices.Equal(got, k.want) {
				t.Errorf("%s: got %q, want %q", k.name, got, k.want)
			}
		}
		if _, err := f.log.List(t.Context(), desk.Actor{}, audit.Filter{}); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("nobody reads: %v", err)
		}
		if _, err := f.log.List(t.Context(), c.admin, audit.Filter{Text: strings.Repeat("x", 201)}); !errors.Is(err, desk.ErrInvalid) {
			t.Errorf("an endless filter: %v", err)
		}
		// Where the provider's people sit is not the customer's to know.
		p, err := f.log.List(t.Context(), c.carla, audit.Filter{Action: "account.reset"})
		if err != nil || len(p.Rows) != 1 || p.Rows[0].Address != "" || p.Rows[0].ActorName != "Anna Bianchi" {
			t.Errorf("got %+v, %v", p.Rows, err)
		}
		p, err = f.log.List(t.Context(), c.admin, audit.Filter{Action: "account.exported"})
		if err != nil || len(p.Rows) != 1 || p.Rows[0].ActingFor != c.me.Ref() || p.Rows[0].ActingForName != "Lucia Rossi" {
			t.Errorf("got %+v, %v", p.Rows, err)
		}
		f.chain(t)
		if r := f.verify(t); r.Problem != "" {
			t.Error(r)
		}
	})
}

func TestReadingTheLogIsRecordedOnceAnHour(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	c := f.cast(t)
	viewed := func(who desk.Actor) int {
		t.Helper()
		p, err := f.log.List(t.Context(), desk.System(), audit.Filter{Action: audit.ActionViewed, Who: who.Ref()})
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Rows)
	}
	for range 3 {
		f.list(t, c.admin, audit.Filter{Text: "x"})
		f.now = f.now.Add(time.Minute)
	}
	f.list(t, c.admin, audit.Filter{Text: "x", Before: "0192"}) // another page of the same
	if n := viewed(c.admin); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	f.list(t, c.admin, audit.Filter{Text: "y"})
	f.list(t, c.carla, audit.Filter{})
	f.list(t, c.me, audit.Filter{}) // their own acts
	if a, b, m := viewed(c.admin), viewed(c.carla), viewed(c.me); a != 2 || b != 1 || m != 0 {
		t.Errorf("got %d, %d, %d", a, b, m)
	}
	f.now = f.now.Add(time.Hour)
	f.list(t, c.admin, audit.Filter{Text: "y"})
	if n := viewed(c.admin); n != 3 {
		t.Errorf("%d entries after an hour, want 3", n)
	}
}

func TestPagesMeetWithoutGap(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	c := f.cast(t)
	for i := range 1200 {
		if err := f.base.Change(t.Context(), c.me, func(ch *desk.Change) error {
			return ch.Record("ticket.filed", fmt.Sprintf("ticket:%d", i), fmt.Sprintf("#%d", i), map[string]any{"number": i})
		}); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(time.Millisecond)
	}
	for _, text := range []string{"", "number"} {
		seen, pages := 0, 0
		filter := audit.Filter{Action: "ticket.filed", Text: text, Limit: 100}
		for {
			p, err := f.log.List(t.Context(), c.admin, filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range p.Rows {
				if want := fmt.Sprintf("#%d", 1199-seen); r.ObjectName != want {
					t.Fatalf("text %q: got %s, want %s", text, r.ObjectName, want)
				}
				seen++
			}
			pages++
			if filter.Before = p.Next; p.Next == "" {
				break
			}
		}
		if seen != 1200 || pages != 12 {
			t.Errorf("text %q: %d rows on %d pages", text, seen, pages)
		}
	}
	n := 0
	if err := f.log.Export(t.Context(), c.admin, audit.Filter{Action: "ticket.filed"}, "csv", func(r audit.Row) error {
		if want := fmt.Sprintf("#%d", n); r.ObjectName != want {
			return fmt.Errorf("got %s, want %s", r.ObjectName, want)
		}
		n++
		return nil
	}); err != nil || n != 1200 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := f.log.Export(t.Context(), c.me, audit.Filter{}, "csv", nil); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("a requester exports: %v", err)
	}
	if p, err := f.log.List(t.Context(), desk.System(), audit.Filter{Action: audit.ActionExported}); err != nil || len(p.Rows) != 1 {
		t.Errorf("the export was recorded %d times, %v", len(p.Rows), err)
	}
}
