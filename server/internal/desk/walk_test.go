package desk_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unasked are the use cases that ask for no right, with the reason. A new one that takes an actor asks for a right, or
// gets a line here.
var unasked = map[string]string{
	"device.Devices.ConfirmOwner":     ofOwn,
	"device.Devices.MayOwn":           ofOwn,
	"device.Devices.Owned":            ofOwn,
	"device.Devices.StartOwner":       ofOwn,
	"people.People.AppPicture":        halfway,
	"people.People.AskPasskey":        halfway,
	"people.People.AskSMS":            halfway,
	"people.People.BeginApp":          halfway,
	"people.People.BeginPasskey":      halfway,
	"people.People.BeginSMS":          halfway,
	"people.People.ChangePassword":    ofOwn,
	"people.People.ChangeProfile":     ofOwn,
	"people.People.ConfirmApp":        halfway,
	"people.People.ConfirmPasskey":    halfway,
	"people.People.ConfirmSMS":        halfway,
	"people.People.DeleteToken":       ofOwn,
	"people.People.EndLogin":          ofOwn,
	"people.People.EndOtherLogins":    ofOwn,
	"people.People.Factors":           ofOwn,
	"people.People.Keep":              sealed,
	"people.People.Kept":              sealed,
	"people.People.Logins":            ofOwn,
	"people.People.MaySetPassword":    halfway,
	"people.People.Me":                ofOwn,
	"people.People.NewPassword":       halfway,
	"people.People.NewRecoveryCodes":  ofOwn,
	"people.People.RecoveryCodesLeft": ofOwn,
	"people.People.RemoveFactor":      ofOwn,
	"people.People.RenameFactor":      ofOwn,
	"people.People.SignOut":           ofOwn,
	"people.People.StepUp":            ofOwn,
	"people.People.Tokens":            ofOwn,
	"ticket.Tickets.Similar":          ofHome,
	"ticket.Tickets.Urgent":           ofHome,
}

// The reasons.
const (
	ofOwn   = "it loads and changes by the actor's own account id only, for which nobody needs a right"
	halfway = "the own account only; the actor may be half-way through signing in and have no right yet"
	sealed  = "it seals and opens what belongs to the actor's own login"
	ofHome  = "it says a number or yes about the actor's own organization, no ticket"
)

// asks are the methods of desk.Actor by which a use case asks what its actor may do.
var asks = []string{"May", "MayIn", "Need", "Within", "Everywhere", "RightsIn", "Staff", "Administrator"}

// useCase is a function of one of the packages, and what its body says.
type useCase struct {
	exported, actor bool
	asks            bool
	calls           []string // of the same package
}

// TestEveryUseCaseAsks goes through the use cases: each that takes an actor asks for a right, by itself or in a
// function of its package that it calls, or stands in unasked.
func TestEveryUseCaseAsks(t *testing.T) {
	found := map[string]bool{}
	n := 0
	for _, noun := range nouns(t) {
		funcs := parse(t, noun)
		if len(funcs) == 0 {
			t.Errorf("%s has no functions", noun)
		}
		for name, f := range funcs {
			if !f.exported || !f.actor {
				continue
			}
			n++
			id := noun + "." + name
			_, listed := unasked[id]
			found[id] = true
			switch checked := reaches(funcs, name, map[string]bool{}); {
			case !checked && !listed:
				t.Errorf("%s takes an actor and asks for no right: let it ask, or give the reason in unasked", id)
			case checked && listed:
				t.Errorf("%s asks for a right: take it off the list", id)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(unasked)) {
		if !found[id] {
			t.Errorf("%s does not exist any more: take it off the list", id)
		}
	}
	if n < 60 {
		t.Errorf("only %d use cases were found", n)
	}
}

// TestAUseCaseThatAsksNothingIsFound shows the walk one that asks and one that does not.
func TestAUseCaseThatAsksNothingIsFound(t *testing.T) {
	funcs := read(t, "x.go", `package x
type X struct{}
func (x *X) Good(a desk.Actor) error { return x.through(a) }
func (x *X) through(a desk.Actor) error { if !a.May(account.AuditView) { return desk.ErrDenied }; return nil }
func (x *X) Bad(a desk.Actor) error { return x.other(a) }
func (x *X) other(a desk.Actor) error { return y.through(a) }
func (x *X) Without() error { return nil }
`)
	for name, want := range map[string]bool{"X.Good": true, "X.Bad": false} {
		if f := funcs[name]; !f.exported || !f.actor || reaches(funcs, name, map[string]bool{}) != want {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if funcs["X.Without"].actor {
		t.Error("a use case without an actor is taken for one with it")
	}
}

func nouns(t *testing.T) (list []string) {
	t.Helper()
	dirs, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if noun := filepath.Dir(d); !slices.Contains(list, noun) {
			list = append(list, noun)
		}
	}
	return list
}

func parse(t *testing.T, dir string) map[string]useCase {
	t.Helper()
	all := map[string]useCase{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != dir:
			return fs.SkipDir
		case !e.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			maps.Copy(all, read(t, path, nil))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// read finds the functions of a file, by "Type.Method" or "function".
func read(t *testing.T, path string, source any) map[string]useCase {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]useCase{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		name, receiver, typ := f.Name.Name, "", ""
		if f.Recv != nil && len(f.Recv.List) == 1 {
			x := f.Recv.List[0].Type
			if star, ok := x.(*ast.StarExpr); ok {
				x = star.X
			}
			if id, ok := x.(*ast.Ident); ok {
				typ = id.Name
			}
			if len(f.Recv.List[0].Names) == 1 {
				receiver = f.Recv.List[0].Names[0].Name
			}
			name = typ + "." + name
		}
		u := useCase{exported: f.Name.IsExported() && ast.IsExported(typ), actor: takesActor(f)}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "System" && !isDesk(s.X) { // only the command line
				u.asks = true
			}
			c, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch to := c.Fun.(type) {
			case *ast.Ident:
				u.calls = append(u.calls, to.Name)
			case *ast.SelectorExpr:
				if slices.Contains(asks, to.Sel.Name) {
					u.asks = true
				}
				if x, ok := to.X.(*ast.Ident); ok && x.Name == receiver && receiver != "" {
					u.calls = append(u.calls, typ+"."+to.Sel.Name)
				}
			}
			return true
		})
		all[name] = u
	}
	return all
}

func takesActor(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		if s, ok := p.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Actor" {
			return true
		}
	}
	return false
}

// reaches reports whether a function asks, or one that it calls.
func reaches(funcs map[string]useCase, name string, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	f := funcs[name]
	return f.asks || slices.ContainsFunc(f.calls, func(c string) bool { return reaches(funcs, c, seen) })
}

// isDesk tells the package's desk.System() from an actor's System.
func isDesk(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "desk"
}
