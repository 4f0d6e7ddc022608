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
	"agent/internal/state":     {"shared/"},
	"agent/internal/keystore":  {"agent/internal/state", "shared/"},
	"agent/internal/apiclient": {"agent/internal/keystore", "shared/"},
	"agent/internal/enrol":     {"agent/internal/keystore", "agent/internal/apiclient", "agent/internal/inventory", "agent/internal/state", "shared/"},
	"agent/internal/uplink":    {"agent/internal/keystore", "agent/internal/apiclient", "shared/"},
	"agent/internal/outbox":    {"agent/internal/keystore", "agent/internal/apiclient", "agent/internal/state", "shared/"},
	"agent/internal/grants":    {"agent/internal/state", "shared/"},
	"agent/internal/consent":   {"shared/"},
	"agent/internal/ledger":    {"agent/internal/state", "shared/"},
	"agent/internal/inventory": {"shared/"},
	"agent/internal/spawn":     {"shared/"},
	"agent/internal/localapi":  {"shared/"},
	// service and tray: programs that wait all day
	"agent/internal/footprint": {},
	// the service puts its side together
	"agent/internal/service": {"agent/internal/footprint", "agent/internal/state", "agent/internal/keystore", "agent/internal/apiclient", "agent/internal/uplink", "agent/internal/outbox", "agent/internal/grants",
		"agent/internal/consent", "agent/internal/ledger", "agent/internal/inventory", "agent/internal/spawn", "agent/internal/localapi", "shared/"},
	"agent/cmd/traybell-agent": {"agent/internal/service", "agent/internal/state", "agent/internal/keystore", "agent/internal/enrol", "agent/internal/apiclient", "agent/internal/inventory", "agent/internal/localapi", "shared/"},
	// session side: everything that a technician sends is parsed here, as the grant's OS user
	"agent/internal/rfb":         {"agent/internal/rfb"},
	"agent/internal/encode":      {"agent/internal/rfb"},
	"agent/internal/desktop":     {"agent/internal/rfb", "agent/internal/encode", "agent/internal/desktop/"},
	"agent/internal/sign":        {"agent/internal/desktop/x11"},
	"agent/internal/terminal":    {"shared/link"},
	"agent/cmd/traybell-session": {"agent/internal/desktop", "agent/internal/sign", "agent/internal/terminal", "agent/internal/spawn", "shared/"},
	// user side: clients of the local API
	"agent/internal/window":     {"agent/internal/localapi", "agent/internal/window", "agent/internal/window/", "shared/"},
	"agent/internal/page":       {"agent/internal/localapi", "agent/internal/window/", "shared/"},
	"agent/internal/tray":       {"agent/internal/footprint", "agent/internal/localapi", "agent/internal/page", "agent/internal/tray/", "agent/internal/window/launch", "shared/"},
	"agent/cmd/traybell-tray":   {"agent/internal/localapi", "agent/internal/tray", "agent/internal/page", "agent/internal/window/", "shared/"},
	"agent/cmd/traybell-window": {"agent/internal/localapi", "agent/internal/window", "agent/internal/window/", "shared/"},
	"agent/bench":               {"agent/internal/", "shared/"},
}

// notHere are trees that no program of a side may reach, whatever stands between: the permanent tray
// must not carry Fyne, and the service no GUI, no X and no terminal.
var notHere = map[string][]string{
	"agent/cmd/traybell-agent":   {"fyne.io/", "github.com/jezek/xgb", "github.com/creack/pty", "github.com/coder/websocket"},
	"agent/cmd/traybell-session": {"fyne.io/", "modernc.org/sqlite", "github.com/go-resty"},
	"agent/cmd/traybell-tray":    {"fyne.io/fyne", "modernc.org/sqlite"},
}

// TestProgramsCarryNoStrangers follows each program's imports through our own packages.
func TestProgramsCarryNoStrangers(t *testing.T) {
	for program, banned := range notHere {
		seen := map[string]bool{}
		var walk func(pkg string)
		walk = func(pkg string) {
			if seen[pkg] {
				return
			}
			seen[pkg] = true
			files, _ := filepath.Glob(filepath.Join(strings.TrimPrefix(pkg, "agent/"), "*.go"))
			for _, file := range files {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
				if err != nil {
					t.Fatal(err)
				}
				for _, spec := range f.Imports {
					p, _ := strconv.Unquote(spec.Path.Value)
					for _, b := range banned {
						if strings.HasPrefix(p, b) {
							t.Errorf("%s carries %s by %s", program, p, file)
						}
					}
					if ours, ok := strings.CutPrefix(p, module); ok && strings.HasPrefix(ours, "agent/") {
						walk(ours)
					}
				}
			}
		}
		walk(program)
		if len(seen) < 2 {
			t.Errorf("%s: nothing was followed", program)
		}
	}
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
