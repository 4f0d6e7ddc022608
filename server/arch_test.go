package server

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/traybell/traybell/"

// imports is the import table of this module: what a package below the key may import of ours.
// The longest matching key decides. Test files are free within the module.
//
// Files are parsed rather than listed by the go command, whose answer is cached by go test and
// sees one operating system only.
var imports = map[string][]string{
	// rules: pure values and functions
	"server/internal/account":    {"shared/grant", "shared/api"},
	"server/internal/letter":     {},
	"server/internal/device":     {"server/internal/account", "shared/link", "shared/grant", "shared/api"},
	"server/internal/ticket":     {"server/internal/account", "server/internal/device", "server/internal/ticket/sla", "shared/api", "shared/catalogue"},
	"server/internal/ticket/sla": {"server/internal/account", "shared/api"},
	"server/internal/access":     {"server/internal/account", "server/internal/device", "server/internal/ticket", "shared/grant", "shared/link", "shared/api"},
	// use cases: none calls another noun's
	"server/internal/desk":        {"server/internal/account", "server/internal/device", "server/internal/ticket", "server/internal/ticket/sla", "server/internal/access", "server/internal/store", "server/internal/bus", "shared/"},
	"server/internal/desk/audit":  {"server/internal/desk", "server/internal/account", "server/internal/store", "server/internal/bus", "shared/"},
	"server/internal/desk/mail":   {"server/internal/desk", "server/internal/account", "server/internal/ticket", "server/internal/store", "server/internal/bus", "shared/"},
	"server/internal/desk/start":  {"server/internal/desk", "server/internal/account", "server/internal/store"},
	"server/internal/desk/people": {"server/internal/desk", "server/internal/account", "server/internal/store", "server/internal/bus", "shared/"},
	"server/internal/desk/device": {"server/internal/desk", "server/internal/account", "server/internal/device", "server/internal/store", "server/internal/bus", "shared/"},
	"server/internal/desk/ticket": {"server/internal/desk", "server/internal/account", "server/internal/letter", "server/internal/device", "server/internal/ticket", "server/internal/ticket/sla", "server/internal/store", "server/internal/bus", "server/internal/blob", "shared/"},
	"server/internal/desk/access": {"server/internal/desk", "server/internal/account", "server/internal/device", "server/internal/ticket", "server/internal/access", "server/internal/store", "server/internal/bus", "shared/"},
	// data
	"server/internal/store":           {"server/internal/account", "server/internal/device", "server/internal/ticket", "server/internal/ticket/sla", "server/internal/access", "shared/"},
	"server/internal/store/storetest": {"server/internal/store"},
	"server/internal/blob":            {},
	// directories in which people have their passwords: foreign servers, no data of ours
	"server/internal/directory": {"server/internal/account"},
	// live
	"server/internal/relay": {"shared/"},
	"server/internal/bus":   {},
	// edges: use cases and rules, never the store
	"server/internal/api":           {"server/internal/desk", "server/internal/desk/", "server/internal/account", "server/internal/device", "server/internal/ticket", "server/internal/ticket/sla", "server/internal/access", "server/internal/relay", "server/internal/bus", "shared/"},
	"server/internal/web":           {"server/internal/desk", "server/internal/desk/", "server/internal/account", "server/internal/device", "server/internal/ticket", "server/internal/ticket/sla", "server/internal/access", "server/internal/relay", "server/internal/bus", "shared/"},
	"server/internal/mail":          {"server/internal/letter", "server/internal/desk", "server/internal/desk/", "server/internal/account", "server/internal/ticket", "shared/"},
	"server/internal/mail/mailtest": {},
	"server/internal/httpd":         {"server/internal/desk", "server/internal/desk/", "server/internal/account", "server/internal/device", "server/internal/ticket", "server/internal/ticket/sla", "server/internal/access", "server/internal/relay", "server/internal/bus", "server/internal/api", "server/internal/web", "shared/"},
	"server/internal/servertest":    {"server/internal/", "shared/"},
	"server/cmd":                    {"server/internal/", "shared/"},
	"server/cmd/traybell":           {"shared/"},
	"server/bench":                  {"server/internal/", "shared/"},
	"server/e2e":                    {"shared/"},
	// people for tests and samples
	"server/internal/desk/people/peopletest": {"server/internal/desk", "server/internal/desk/people"},
	// programs beside the package they belong to
	"server/internal/web/pictures": {"server/internal/", "shared/"},
}

func TestImportsFollowTheTable(t *testing.T) {
	checkImports(t, "server", imports)
}

// checkImports parses every Go file below the current folder, on whatever system it is for.
func checkImports(t *testing.T, name string, table map[string][]string) {
	files, packages := 0, map[string]bool{}
	err := filepath.WalkDir(".", func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || e.Name() == "testdata" || e.Name() == "dist") {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		pkg := path.Join(name, filepath.ToSlash(filepath.Dir(file)))
		key := ""
		for k := range table {
			if (pkg == k || strings.HasPrefix(pkg, k+"/")) && len(k) > len(key) {
				key = k
			}
		}
		if key == "" {
			if pkg != name {
				t.Errorf("%s stands in no line of the import table", pkg)
			}
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		packages[pkg] = true
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			ours, ok := strings.CutPrefix(p, module)
			if !ok || ours == pkg || allowed(ours, table[key]) {
				continue
			}
			t.Errorf("%s imports %s; the line %q allows %v", file, ours, key, table[key])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files were looked at", files)
	}
	t.Logf("%d files in %d packages", files, len(packages))
}

func allowed(p string, list []string) bool {
	for _, a := range list {
		if p == a || strings.HasSuffix(a, "/") && strings.HasPrefix(p, a) {
			return true
		}
	}
	return p == "shared/version"
}
