package agent

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
	// service side: parses nothing that a technician sends and links no GUI
	"agent/internal/keystore":  {"shared/"},
	"agent/internal/enrol":     {"agent/internal/keystore", "agent/internal/apiclient", "agent/internal/inventory", "shared/"},
	"agent/internal/apiclient": {"agent/internal/keystore", "shared/"},
	"agent/internal/uplink":    {"agent/internal/keystore", "agent/internal/apiclient", "shared/"},
	"agent/internal/outbox":    {"shared/"},
	"agent/internal/grants":    {"shared/"},
	"agent/internal/consent":   {"shared/"},
	"agent/internal/ledger":    {"shared/"},
	"agent/internal/inventory": {"shared/"},
	"agent/internal/spawn":     {"shared/"},
	"agent/internal/localapi":  {"shared/"},
	"agent/cmd/traybell-agent": {"agent/internal/keystore", "agent/internal/enrol", "agent/internal/apiclient", "agent/internal/uplink", "agent/internal/outbox", "agent/internal/grants", "agent/internal/consent", "agent/internal/ledger", "agent/internal/inventory", "agent/internal/spawn", "agent/internal/localapi", "shared/"},
	// session side: everything that a technician sends is parsed here, as the grant's OS user
	"agent/internal/rfb":         {},
	"agent/internal/encode":      {"agent/internal/rfb"},
	"agent/internal/desktop":     {"agent/internal/rfb", "agent/internal/encode"},
	"agent/internal/sign":        {},
	"agent/internal/terminal":    {"shared/link"},
	"agent/cmd/traybell-session": {"agent/internal/rfb", "agent/internal/encode", "agent/internal/desktop", "agent/internal/sign", "agent/internal/terminal", "agent/internal/spawn", "shared/"},
	// user side: clients of the local API
	"agent/internal/window":     {"agent/internal/localapi", "shared/"},
	"agent/internal/page":       {"agent/internal/localapi", "agent/internal/window", "shared/"},
	"agent/internal/tray":       {"agent/internal/localapi", "agent/internal/page", "shared/"},
	"agent/cmd/traybell-tray":   {"agent/internal/localapi", "agent/internal/tray", "agent/internal/page", "agent/internal/window", "shared/"},
	"agent/cmd/traybell-window": {"agent/internal/localapi", "agent/internal/window", "shared/"},
	"agent/bench":               {"agent/internal/", "shared/"},
}

func TestImportsFollowTheTable(t *testing.T) {
	checkImports(t, "agent", imports)
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
