package finding

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestRulesAreComplete(t *testing.T) {
	seen := map[ID]bool{}
	for _, r := range Rules() {
		if seen[r.ID] || r.Summary == "" || r.Help == "" || r.Severity.rank() < 0 {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
	for id := range constants(t) {
		if !seen[id] {
			t.Errorf("the table lacks %s", id)
		}
	}
	if len(seen) != len(constants(t)) {
		t.Errorf("%d rules for %d ids", len(seen), len(constants(t)))
	}
}

// constants reads the ids of ids.go with the names of their constants.
func constants(t *testing.T) map[ID]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "ids.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[ID]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			out[ID(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))] = v.Names[0].Name
		}
		return true
	})
	return out
}

// A rule that nothing reports would be a promise that docs/rules.md does not keep.
func TestEveryRuleIsReported(t *testing.T) {
	used := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "finding" {
					used[s.Sel.Name] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, name := range constants(t) {
		if !used[name] {
			t.Errorf("no code reports %s (%s)", id, name)
		}
	}
}

// Every rule is found by some test: its id stands in a test's source or data.
func TestEveryRuleIsTested(t *testing.T) {
	found := map[string]bool{}
	word := regexp.MustCompile(`[a-z]+(-[a-z]+)+`)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go") && !strings.Contains(filepath.ToSlash(name), "/testdata/"):
			return nil
		}
		data, err := os.ReadFile(name)
		for _, m := range word.FindAllString(string(data), -1) {
			found[m] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules() {
		if !found[string(r.ID)] {
			t.Errorf("no test finds %s", r.ID)
		}
	}
}

func TestListIsSortedAndCounted(t *testing.T) {
	at := func(line int) []Origin { return []Origin{{File: "a", Line: line}} }
	l := List{
		New(YankedRelease, "b", at(2), "two"),
		New(UnreadableFile, "a", nil, "one"),
		New(YankedRelease, "b", at(2), "two"),
		New(YankedRelease, "b", at(1), "two"),
		New(DuplicateRequirement, "c", nil, "three"),
	}
	want := List{l[1], l[3], l[0], l[4]}
	if got := l.Sorted(); !reflect.DeepEqual(got, want) {
		t.Errorf("sorted %+v, want %+v", got, want)
	}
	if l.Count(Warning) != 3 || l.AtLeast(Warning) != 4 || l.AtLeast(Info) != 5 || l.Worst() != Error || l[4:].Worst() != Info || (List{}).Worst() != "" {
		t.Errorf("%d %d %d %q", l.Count(Warning), l.AtLeast(Warning), l.AtLeast(Info), l.Worst())
	}
	if got := (Origin{File: "x", Line: 3}).String() + (Origin{File: "y"}).String(); got != "x:3y" {
		t.Error(got)
	}
}
