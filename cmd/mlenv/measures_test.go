package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// The most lines of a function and of a file, and the most fields of a struct, in code that is no
// test. What grows past them lacks a name for some part of it.
const (
	maxFuncLines    = 60
	maxFileLines    = 500
	maxStructFields = 16
)

func TestMeasures(t *testing.T) {
	goFiles(t, func(name string) error {
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(filepath.ToSlash(name), "../../")
		lines := func(n ast.Node) int { return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1 }
		if n := fset.File(file.Pos()).LineCount(); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", name, n, maxFileLines)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if has := lines(n); has > maxFuncLines {
					t.Errorf("%s: %s has %d lines, more than %d", name, n.Name.Name, has, maxFuncLines)
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && s.Fields.NumFields() > maxStructFields {
					t.Errorf("%s: %s has %d fields, more than %d", name, n.Name.Name, s.Fields.NumFields(), maxStructFields)
				}
			}
			return true
		})
		return nil
	})
}
