package main

import (
	"fmt"
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

// packages is the design: every package with its one sentence, and exactly which packages of ours it
// imports. A new import is a decision, made here. The table in docs/how-it-works.md is written from it.
var packages = []struct {
	path, does string
	imports    string // below mlenv/, sorted, separated by spaces
}{
	{"imagebuild", "Recipe, Build, Publish.",
		"imagebuild/base imagebuild/compile imagebuild/image imagebuild/layer imagebuild/pyc imagebuild/sink imagebuild/wheel resolve/cache resolve/dist resolve/finding resolve/pattern resolve/pylock resolve/secret resolve/serving"},
	{"imagebuild/attach", "Puts documents about an image beside it in a registry, and reads and verifies them.",
		"imagebuild/image resolve/signing"},
	{"imagebuild/base", "Inspects a base, chooses the default, makes one of the host's Python.",
		"imagebuild/image imagebuild/layer resolve/cache resolve/dist resolve/finding resolve/pattern resolve/pep440 resolve/pep508 resolve/serving"},
	{"imagebuild/base/basetest", "Base images for tests.",
		"imagebuild/layer"},
	{"imagebuild/compile", "Compiles modules with the CPython of a base, taken out of it and confined.",
		"imagebuild/layer imagebuild/pyc resolve/cache"},
	{"imagebuild/engine", "Runs one container on Docker or podman, and asks the server in it.",
		"imagebuild/sink"},
	{"imagebuild/image", "Names, opens and reads images wherever they lie; Remote is the one way to speak to registries.",
		"resolve/pattern resolve/secret resolve/serving"},
	{"imagebuild/layer", "Files into layers.",
		""},
	{"imagebuild/memo", "Notes about layers in registries: those that images carry, and those of a repository of their own.",
		"imagebuild imagebuild/base imagebuild/image imagebuild/layer imagebuild/sink resolve/cache"},
	{"imagebuild/pyc", "Makes compiled modules the same bytes whoever compiled them.",
		""},
	{"imagebuild/sink", "Where images go: registries, layouts, tarballs, engines.",
		"imagebuild/image imagebuild/layer resolve/cache"},
	{"imagebuild/verify", "Finds out whether an image is what it claims to be, by signatures and by making it again.",
		"imagebuild imagebuild/attach imagebuild/base imagebuild/compile imagebuild/image resolve resolve/dist resolve/model resolve/pylock resolve/serving resolve/signing"},
	{"imagebuild/wheel", "One wheel into the files that installing it gives.",
		"imagebuild/layer resolve/finding resolve/pattern resolve/pep440"},
	{"render", "Says every file of a build context: its bytes, or where they come from.",
		"resolve resolve/pattern resolve/pep508 resolve/pylock resolve/serving templates"},
	{"render/changes", "Documents about the differences of two environments, in every format.",
		"render/printable resolve/diff"},
	{"render/deploy", "Manifests that run an image on a platform.",
		"resolve/pattern templates"},
	{"render/printable", "Text from outside, made fit for a terminal and for a CI system's log.",
		""},
	{"render/provenance", "Says what an image was made of and by whom, in the form of SLSA.",
		"resolve/secret"},
	{"render/report", "Documents about the findings of a check, in every format.",
		"render/printable resolve/check resolve/finding"},
	{"render/sbom", "A lock and a base as bills of materials, in SPDX and CycloneDX.",
		"resolve/dist resolve/pattern resolve/pep508 resolve/pylock resolve/secret"},
	{"render/vex", "Says which known vulnerabilities do not matter, in OpenVEX.",
		""},
	{"resolve", "Merges what a model declares into one typed Spec.",
		"resolve/envfile resolve/finding resolve/internal/source resolve/model resolve/pep440 resolve/pep508 resolve/secret"},
	{"resolve/cache", "The one directory on disk: sections, atomic files, memos.",
		"resolve/pattern"},
	{"resolve/check", "Compares a model with its lock, base, index and policy, by the rules.",
		"resolve resolve/check/pyimports resolve/dist resolve/envfile resolve/finding resolve/model resolve/pattern resolve/pep440 resolve/pep508 resolve/pylock resolve/signature"},
	{"resolve/check/gather", "Collects what a check compares a model with beyond it: index, wheels, advisories.",
		"resolve/check resolve/dist resolve/index resolve/internal/zipdir resolve/pep508 resolve/pylock"},
	{"resolve/check/pyimports", "Finds the imports of Python sources without running them.",
		"resolve/pattern"},
	{"resolve/diff", "The only differ: of models, locks and images.",
		"resolve resolve/envfile resolve/model resolve/pattern resolve/pep440 resolve/pep508 resolve/pylock resolve/signature"},
	{"resolve/dist", "Distribution file names, tags, metadata, and the Target that they must fit.",
		"resolve/pep440 resolve/pep508"},
	{"resolve/envfile", "Parses requirements files, conda.yaml and python_env.yaml into positioned entries.",
		"resolve/finding resolve/internal/source resolve/pattern resolve/pep440 resolve/pep508 resolve/secret"},
	{"resolve/fetch", "Opens a model wherever it lives: folder, models:/, runs:/, mlflow-artifacts:.",
		"resolve/internal/ini resolve/internal/retry resolve/model resolve/pattern resolve/secret"},
	{"resolve/fetch/bucket", "Reads models in object stores: S3, Google Cloud Storage, Azure.",
		"resolve/fetch resolve/internal/ini resolve/pattern"},
	{"resolve/fetch/fetchtest", "An MLflow server for tests, which fails as it is told to.",
		""},
	{"resolve/finding", "What is wrong with the user's files: origin, rule, severity, list.",
		"resolve/secret"},
	{"resolve/index", "Client of the Simple API: credentials, retries, hash checks.",
		"resolve/cache resolve/dist resolve/internal/retry resolve/internal/zipdir resolve/pattern resolve/pep440 resolve/pep508 resolve/secret"},
	{"resolve/index/indextest", "A package index for tests, which fails as it is told to.",
		""},
	{"resolve/internal/ini", "Reads the INI files in which other tools keep their settings.",
		""},
	{"resolve/internal/retry", "How long clients wait before they try again, and for how long a server may ask them to.",
		""},
	{"resolve/internal/source", "Reads the text of a model's files, bounded and with positions.",
		"resolve/pattern resolve/secret"},
	{"resolve/internal/zipdir", "Reads the directory of a zip archive as a stream, which no claim in it makes large.",
		""},
	{"resolve/lock", "Spec and Target in, Lock out.",
		"resolve resolve/dist resolve/finding resolve/index resolve/pep440 resolve/pep508 resolve/pubgrub resolve/pylock resolve/serving"},
	{"resolve/model", "Reads an MLflow Model; its file system holds only what counts.",
		"resolve/internal/source resolve/secret"},
	{"resolve/pattern", "Regular expressions that are compiled when they are first used.",
		""},
	{"resolve/pep440", "Versions and specifiers.",
		""},
	{"resolve/pep508", "Names, requirements and markers.",
		"resolve/pep440"},
	{"resolve/pubgrub", "Picks one version of every package, or explains why none fits; knows nothing of Python.",
		""},
	{"resolve/pylock", "Reads and writes pylock.toml; Select is the only chooser of what is installed.",
		"resolve/dist resolve/internal/source resolve/pep440 resolve/pep508 resolve/secret"},
	{"resolve/secret", "Keeps passwords and tokens out of what is shown and stored.",
		"resolve/pattern"},
	{"resolve/serving", "What a server needs and how it is started: the runtime contract, once.",
		"resolve resolve/finding resolve/model resolve/pattern resolve/pep440 resolve/pep508 resolve/pylock templates"},
	{"resolve/signature", "Signatures and examples, as MLflow enforces them.",
		"resolve/pattern"},
	{"resolve/signing", "Signs and verifies statements about images and models, with keys.",
		""},
	{"templates", "Holds the embedded templates.",
		""},
}

// onlyIn says where else's packages may be used outside of cmd.
var onlyIn = map[string][]string{
	"github.com/urfave/cli/v2":               {},
	"github.com/google/go-containerregistry": {"imagebuild"},
	"github.com/rogpeppe/go-internal":        {},
	"net/http":                               {"imagebuild", "resolve/fetch", "resolve/index", "resolve/internal/retry"},
	"os/exec":                                {"imagebuild/compile"},
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

func below(pkg, top string) bool { return pkg == top || strings.HasPrefix(pkg, top+"/") }

func TestImportsAreFrozen(t *testing.T) {
	have := sources(t)
	delete(have, "cmd/mlenv")
	for _, p := range packages {
		var list []string
		for _, f := range have[p.path] {
			for _, i := range imports(f) {
				if ours, ok := strings.CutPrefix(i, "mlenv/"); ok {
					list = append(list, ours)
				}
			}
		}
		slices.Sort(list)
		if got := strings.Join(slices.Compact(list), " "); got != p.imports {
			t.Errorf("%s imports\n\t%q, not\n\t%q", p.path, got, p.imports)
		}
		delete(have, p.path)
	}
	for pkg := range have {
		t.Errorf("%s has no place in the design: add it to packages", pkg)
	}
}

// The table of packages in docs/how-it-works.md.
func TestPackageTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("| package | what it is for |\n|---|---|\n| `cmd/mlenv` | Binds flags to plain structs, supplies the outside world, chooses words and exit codes. |\n")
	for _, p := range packages {
		if !strings.HasSuffix(p.path, "test") {
			fmt.Fprintf(&b, "| `%s` | %s |\n", p.path, p.does)
		}
	}
	goldenPart(t, "../../docs/how-it-works.md", "packages", b.String())
}

// The flags are bound in one place: nothing else in the command sees a Context of urfave/cli, and no
// package below the command knows urfave/cli at all.
func TestOnlyFlagsKnowTheContext(t *testing.T) {
	const library, bindsFlags = "github.com/urfave/cli/v2", "cmd/mlenv/flags.go"
	seen := false
	goFiles(t, func(name string) error {
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(filepath.ToSlash(name), "../../")
		if path.Dir(name) != "cmd/mlenv" {
			if slices.Contains(imports(file), library) {
				t.Errorf("%s imports %s", name, library)
			}
			return nil
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Context" {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "cli" {
				seen = seen || name == bindsFlags
				if name != bindsFlags {
					t.Errorf("%s names cli.Context", name)
				}
			}
			return true
		})
		return nil
	})
	if !seen {
		t.Errorf("%s does not name cli.Context: where are the flags bound?", bindsFlags)
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
