package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport says which packages of ours each package may import, directly. A package below one
// of these obeys the same line, and packages below the same one may import each other.
var mayImport = map[string][]string{
	"templates":          {},
	"resolve/finding":    {},
	"resolve/cache":      {},
	"render":             {"resolve", "resolve/pylock", "resolve/serving", "resolve/pep508", "resolve/pep440", "templates"},
	"resolve":            {"resolve/finding", "resolve/model", "resolve/envfile", "resolve/pep508", "resolve/pep440"},
	"resolve/internal":   {},
	"resolve/model":      {"resolve/internal"},
	"resolve/envfile":    {"resolve/finding", "resolve/internal", "resolve/pep508", "resolve/pep440"},
	"resolve/pep440":     {},
	"resolve/pep508":     {"resolve/pep440"},
	"resolve/dist":       {"resolve/pep508", "resolve/pep440"},
	"resolve/index":      {"resolve/cache", "resolve/dist", "resolve/pep508", "resolve/pep440"},
	"resolve/pubgrub":    {},
	"resolve/pylock":     {"resolve/dist", "resolve/pep508", "resolve/pep440"},
	"resolve/lock":       {"resolve/index", "resolve/pubgrub", "resolve/pylock", "resolve/dist", "resolve/pep508", "resolve/pep440"},
	"resolve/serving":    {"resolve/pep508", "resolve/pep440"},
	"render/changes":     {"resolve/diff"},
	"render/report":      {"resolve/finding", "resolve", "resolve/check", "resolve/envfile"},
	"resolve/diff":       {"resolve/finding", "resolve", "resolve/model", "resolve/envfile", "resolve/signature", "resolve/pylock", "resolve/pep508", "resolve/pep440"},
	"resolve/check":      {"resolve/finding", "resolve", "resolve/pylock", "resolve/model", "resolve/envfile", "resolve/signature", "resolve/dist", "resolve/pep508", "resolve/pep440"},
	"resolve/signature":  {},
	"imagebuild":         {"resolve/pylock", "resolve/dist", "resolve/serving", "resolve/pep508", "resolve/pep440"},
	"imagebuild/wheel":   {"imagebuild/layer"},
	"imagebuild/layer":   {},
	"imagebuild/testing": {"imagebuild"},
}

// onlyIn says where else's packages may be used outside of cmd.
var onlyIn = map[string][]string{
	"github.com/urfave/cli/v2":               {},
	"github.com/google/go-containerregistry": {"imagebuild"},
	"github.com/rogpeppe/go-internal":        {},
	"net/http":                               {"imagebuild", "resolve/index"},
	"os/exec":                                {},
	"gopkg.in/yaml.v3":                       {"resolve", "render"},
	"github.com/pelletier/go-toml/v2":        {"resolve"},
	"golang.org/x/term":                      {},
	"github.com/vbauerster/mpb/v8":           {},
	"github.com/google/go-cmp":               {},
	"log":                                    {},
	"flag":                                   {},
}

// goFiles calls visit for every Go file of the module.
func goFiles(t *testing.T, visit func(name string) error) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(filepath.ToSlash(name)); {
		case err != nil:
			return err
		case d.IsDir() && (base == "testdata" || base != ".." && strings.HasPrefix(base, ".")):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(base, ".go"):
			return visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources parses every Go file of the module that is not a test, by package directory.
func sources(t *testing.T) map[string][]*ast.File {
	t.Helper()
	found := map[string][]*ast.File{}
	goFiles(t, func(name string) error {
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := strings.TrimPrefix(path.Dir(filepath.ToSlash(name)), "../../")
		found[pkg] = append(found[pkg], file)
		return nil
	})
	if len(found) < 8 {
		t.Fatalf("found only %d packages: is this the module?", len(found))
	}
	return found
}

func imports(f *ast.File) []string {
	var out []string
	for _, i := range f.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

// owner is the line of mayImport that a package obeys: its own or that of the nearest package
// above it.
func owner(pkg string) string {
	for p := pkg; p != "."; p = path.Dir(p) {
		if _, ok := mayImport[p]; ok && (p != "resolve" || pkg == "resolve") {
			return p
		}
	}
	return ""
}

func below(pkg, top string) bool { return pkg == top || strings.HasPrefix(pkg, top+"/") }

func TestImportsRunOneWay(t *testing.T) {
	for pkg, files := range sources(t) {
		if pkg == "cmd/mlenv" {
			continue
		}
		home := owner(pkg)
		if home == "" {
			t.Errorf("%s has no place in the design: add it to mayImport", pkg)
			continue
		}
		for _, f := range files {
			for _, i := range imports(f) {
				ours, ok := strings.CutPrefix(i, "mlenv/")
				if !ok || below(ours, home) && home != "resolve" {
					continue
				}
				if !slices.ContainsFunc(mayImport[home], func(top string) bool { return ours == top || top != "resolve" && below(ours, top) }) {
					t.Errorf("%s imports %s, which %s may not", pkg, ours, home)
				}
			}
		}
	}
}

func TestOtherPackagesStayWhereTheyBelong(t *testing.T) {
	for pkg, files := range sources(t) {
		if below(pkg, "cmd") || strings.HasSuffix(pkg, "test") {
			continue // the command may use everything, and so may packages for tests
		}
		for _, f := range files {
			for _, i := range imports(f) {
				for outside, tops := range onlyIn {
					if below(i, outside) && !slices.ContainsFunc(tops, func(top string) bool { return below(pkg, top) }) {
						t.Errorf("%s imports %s", pkg, i)
					}
				}
			}
		}
	}
}

// A library takes what it needs from its caller: it reads no environment variable and no stdin,
// and it prints nothing.
func TestLibrariesDoNotTouchTheOutside(t *testing.T) {
	forbidden := []string{
		"os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "os.Hostname", "os.Stdin", "os.Stdout", "os.Stderr",
		"os.Exit", "fmt.Print", "fmt.Println", "fmt.Printf",
	}
	for pkg, files := range sources(t) {
		if below(pkg, "cmd") || strings.HasSuffix(pkg, "test") {
			continue
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && slices.Contains(forbidden, x.Name+"."+s.Sel.Name) {
						t.Errorf("%s uses %s.%s", pkg, x.Name, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// Files stay small enough to be read in one sitting.
func TestFilesAreSmall(t *testing.T) {
	seen := 0
	goFiles(t, func(name string) error {
		data, err := os.ReadFile(name)
		if lines := strings.Count(string(data), "\n"); lines > 600 {
			t.Errorf("%s has %d lines", name, lines)
		}
		seen++
		return err
	})
	if seen < 50 {
		t.Fatalf("saw only %d files", seen)
	}
}
