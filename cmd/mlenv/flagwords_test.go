package main

import (
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
)

// A library's message names no flag of the command: whoever embeds the library has none, and words with
// flags that stand in many places are forgotten when a flag changes. What a requirements file may
// say, in pip's words, is not a flag of mlenv's there.
func TestLibrariesNameNoFlags(t *testing.T) {
	inFiles := []string{"trusted-host", "find-links", "no-binary", "only-binary", "index-url", "extra-index-url", "constraint", "requirement"}
	var flags []string
	for _, c := range (&app{}).commands() {
		for _, f := range c.Flags {
			flags = append(flags, f.Names()[0])
		}
		for _, s := range c.Subcommands {
			for _, f := range s.Flags {
				flags = append(flags, f.Names()[0])
			}
		}
	}
	flag := regexp.MustCompile(`(?:^|[^\w-])--([a-z][a-z-]+)`)
	for _, root := range []string{"../../resolve", "../../render", "../../imagebuild"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Errorf("%s: %v", set.Position(lit.Pos()), err)
				}
				for _, m := range flag.FindAllStringSubmatch(text, -1) {
					// A literal that is the option of another program begins with it: "--port" of gunicorn.
					if slices.Contains(flags, m[1]) && !slices.Contains(inFiles, m[1]) && !strings.HasPrefix(text, "--") {
						t.Errorf("%s names the flag --%s: %q", set.Position(lit.Pos()), m[1], text)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
