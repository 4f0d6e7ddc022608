// Command typecheck checks the types of programs that need cgo on another system, without its
// compiler and headers: it lists the packages with cgo on and checks them with a fake package C.
// Errors outside our own packages are ignored, because bodies there are not looked at.
//
// usage: typecheck -dir MODULE GOOS/GOARCH…
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const own = "github.com/traybell/traybell/"

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	ImportMap  map[string]string
}

func main() {
	dir := flag.String("dir", ".", "the module whose packages are checked")
	flag.Parse()
	failed := false
	for _, target := range flag.Args() {
		goos, arch, ok := strings.Cut(target, "/")
		if !ok {
			fmt.Fprintln(os.Stderr, "typecheck: a target is written GOOS/GOARCH")
			os.Exit(2)
		}
		n, errs, err := check(*dir, goos, arch)
		if err != nil {
			fmt.Fprintln(os.Stderr, "typecheck:", err)
			os.Exit(1)
		}
		for _, e := range errs {
			fmt.Fprintf(os.Stderr, "%s: %v\n", target, e)
			failed = true
		}
		fmt.Printf("typecheck %s: %d packages of ours, %d errors\n", target, n, len(errs))
		if n == 0 {
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func check(dir, goos, arch string) (int, []error, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,ImportMap", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=1", "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, nil, fmt.Errorf("go list: %w", err)
	}
	fset := token.NewFileSet()
	done := map[string]*types.Package{"unsafe": types.Unsafe}
	var errs []error
	ours := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ours, errs, nil
		} else if err != nil {
			return 0, nil, err
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		mine := strings.HasPrefix(p.ImportPath, own)
		var files []*ast.File
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return 0, nil, err
			}
			files = append(files, f)
		}
		conf := types.Config{
			FakeImportC:      true,
			IgnoreFuncBodies: !mine,
			Sizes:            types.SizesFor("gc", arch),
			Importer:         mapped{p.ImportMap, done},
			Error: func(err error) {
				if mine {
					errs = append(errs, err)
				}
			},
		}
		checked, _ := conf.Check(p.ImportPath, fset, files, nil) // errors were collected above
		done[p.ImportPath] = checked
		if mine {
			ours++
		}
	}
}

type mapped struct {
	names map[string]string
	done  map[string]*types.Package
}

func (m mapped) Import(path string) (*types.Package, error) {
	if to, ok := m.names[path]; ok {
		path = to
	}
	if p := m.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s was not listed before its importer", path)
}
