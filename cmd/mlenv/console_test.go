package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strings"
	"testing"
	"unicode"

	"mlenv/imagebuild"
	"mlenv/render/changes"
	"mlenv/render/report"
	"mlenv/resolve/diff"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/model"
)

// hostile is what other people's files may have instead of a name.
const hostile = "x\x1b[2J\u009b31m\r\x07\n::error file=x::injected\n  ::add-mask::e\n\t::stop-commands::t\u2028::notice::y\u202e\u2066##vso[task.x]##[group]" +
	"https://user:a hunter2@host/?token=hunter2 \xff\x00"

// steers tells what of a text for people would steer a terminal or a CI system, or is a secret.
func steers(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "::"), strings.Contains(line, "##vso["), strings.Contains(line, "##["):
			return "gives an order: " + line
		case strings.Contains(line, "hunter2"):
			return "shows a secret: " + line
		}
		for _, r := range line {
			if unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar {
				return fmt.Sprintf("holds %U: %q", r, line)
			}
		}
	}
	return ""
}

// Everything that is printed for people is filtered: errors and hints, findings of every rule,
// warnings, notes and progress, and the reports and comparisons in the form for people.
func TestHostileTextIsFiltered(t *testing.T) {
	printed := map[string]func(a *app, c *console){
		"error": func(a *app, _ *console) { a.printError(context.Background(), errors.New(hostile)) },
		"joined": func(a *app, _ *console) {
			a.printError(context.Background(), errors.Join(errors.New(hostile), fmt.Errorf("%s: %w", hostile, fs.ErrPermission)))
		},
		"usage": func(a *app, _ *console) {
			a.printError(context.Background(), &usageError{msg: hostile, hint: hostile, command: "lock"})
		},
		"model's": func(a *app, _ *console) {
			a.printError(context.Background(), &model.Error{File: hostile, Line: 3, Msg: hostile, Hint: hostile})
		},
		"index's": func(a *app, _ *console) {
			a.printError(context.Background(), &index.NetworkError{URL: hostile, Err: errors.New(hostile)})
		},
		"not found": func(a *app, _ *console) { a.printError(context.Background(), &index.NotFoundError{File: hostile}) },
		"step": func(_ *app, c *console) {
			(&progress{out: c, fetch: map[string]*fetching{}}).say("fetching %s", hostile)
		},
		"told":         func(_ *app, c *console) { (&progress{out: c}).tell("note: %s %v", hostile, errors.New(hostile)) },
		"built":        func(_ *app, c *console) { (&progress{out: c}).build(imagebuild.Event{Done: true, Holds: hostile}) },
		"sending":      func(_ *app, c *console) { (&progress{out: c}).build(imagebuild.Event{Sending: hostile}) },
		"lock warns":   func(_ *app, c *console) { (&lockProgress{out: *c}).warn(hostile) },
		"lock's steps": func(_ *app, c *console) { (&lockProgress{out: *c, verbose: true}).event(index.Event{Name: hostile}) },
		"live line": func(_ *app, c *console) {
			var b strings.Builder
			(&liveLine{out: &b, width: func() int { return 1000 }}).write(func(int) string { return hostile })
			// The line itself begins with a carriage return, and ends by clearing what is left of the row.
			c.print("%s", painted(strings.TrimSuffix(strings.TrimPrefix(b.String(), "\r"), "\x1b[K")))
		},
	}
	for _, rule := range finding.Rules() {
		f := finding.New(rule.ID, hostile, []finding.Origin{{File: hostile, Line: 1, Text: hostile}, {File: hostile, Text: hostile}}, "%s", hostile)
		printed["finding "+string(rule.ID)] = func(a *app, c *console) {
			_ = a.report(finding.List{f}, finding.Error) // the error is that there are findings
			for _, format := range []string{"text", "github"} {
				data, err := (&report.Report{Findings: finding.List{f}}).Format(format, nil)
				if err != nil {
					t.Fatal(err)
				}
				text := string(data)
				if format == "github" { // its own commands
					text = strings.ReplaceAll(strings.ReplaceAll(text, "::error ", ""), "::warning ", "")
					text = strings.ReplaceAll(text, "::notice ", "")
				}
				c.print("%s", painted(text))
			}
		}
	}
	for what, f := range printed {
		var out strings.Builder
		f(&app{lookup: func(string) (string, bool) { return "", false }, stderr: &out}, plainConsole(&out))
		if what := strings.TrimSpace(out.String()); what == "" {
			t.Errorf("%s: nothing is printed", what)
		}
		if wrong := steers(out.String()); wrong != "" {
			t.Errorf("%s: %s", what, wrong)
		}
	}
}

func TestHostileTextInComparison(t *testing.T) {
	c := &diff.Changes{Old: diff.End{Kind: "model", Name: hostile}, New: diff.End{Kind: "model", Name: hostile}}
	c.Identity = []diff.Item{{Change: diff.Changed, Name: hostile, Old: hostile, New: hostile}}
	data, err := changes.Format(c, "text", nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := steers(strings.ReplaceAll(string(data), "hunter2", "")); wrong != "" {
		t.Error(wrong)
	}
}

// stderr is written to in console.go alone, so that no message can go around the filter.
func TestOnlyTheConsolePrints(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	seen := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") || e.Name() == "console.go" {
			continue
		}
		tree, err := parser.ParseFile(files, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			seen++
			for _, part := range append([]ast.Expr{call.Fun}, call.Args...) {
				ast.Inspect(part, func(n ast.Node) bool {
					if _, ok := n.(*ast.FuncLit); ok {
						return false // the calls in it are looked at by themselves
					}
					if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "stderr" || s.Sel.Name == "Stderr") && !mayUseStderr(call) {
						t.Errorf("%s: stderr is used here, not by the console", files.Position(call.Pos()))
					}
					return true
				})
			}
			return true
		})
	}
	if seen < 100 {
		t.Errorf("only %d calls were looked at", seen)
	}
}

// mayUseStderr lists the functions that take stderr without printing a message on it.
func mayUseStderr(call *ast.CallExpr) bool {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	switch name {
	case "isTerminal", "newLiveLine", "run", "Exit":
		return true
	}
	return false
}
