package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// docs/cli.md is generated from the command tree.
func TestCLIReference(t *testing.T) {
	golden(t, "../../docs/cli.md", cliReference((&app{}).tree()))
}

func cliReference(root *cli.App) string {
	var b strings.Builder
	b.WriteString("# The mlenv command line\n\nGenerated from the command tree by `make golden`.\n\n" +
		"Flags may stand before and after arguments; `--` ends them. Results go to stdout, findings,\n" +
		"progress and hints to stderr.\n\n" +
		"| exit code | meaning |\n|---|---|\n| 0 | fine |\n| 1 | could not do it |\n| 2 | findings at or above the threshold |\n" +
		"| 130 | interrupted by Ctrl-C (SIGINT) |\n| 134 | a fault of mlenv, or no more memory (SIGABRT); where there is too little to start with, Go ends it with 2 and `fatal error:` on stderr |\n| 143 | ended by SIGTERM |\n")
	b.WriteString("\n## mlenv\n\n" + sentence(root.Usage) + "\n")
	writeFlags(&b, root.Flags)
	writeCommands(&b, root.Commands, []*cli.Command{{Name: root.Name}})
	return b.String()
}

func writeCommands(b *strings.Builder, commands []*cli.Command, path []*cli.Command) {
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		path := append(slices.Clone(path), c)
		fmt.Fprintf(b, "\n## %s\n\n```\n%s\n```\n\n%s\n", commandName(path), usageLine(path), sentence(c.Usage))
		if c.Description != "" {
			fmt.Fprintf(b, "\n%s\n", strings.ReplaceAll(c.Description, "\n  ", "\n    "))
		}
		writeFlags(b, c.Flags)
		writeCommands(b, c.Subcommands, path)
	}
}

func writeFlags(b *strings.Builder, flags []cli.Flag) {
	first := true
	for _, f := range flags {
		row, ok := describeFlag(f)
		if !ok {
			continue
		}
		if first {
			b.WriteString("\n| flag | meaning |\n|---|---|\n")
			first = false
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", row.names, strings.ReplaceAll(row.usage, "|", "\\|"))
	}
}

// sentence makes a usage line one.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// docs/go-packages.md shows the example that the tests run: the whole tool in 50 lines. If it takes
// more, a step between two stages is in the wrong place.
func TestGoPackages(t *testing.T) {
	const file = "../../examples/go-packages/example_test.go"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "buildAndPush" {
			continue
		}
		code := string(text[fset.Position(f.Pos()).Offset:fset.Position(f.End()).Offset])
		if n := strings.Count(code, "\n") + 1; n > 50 {
			t.Errorf("%s has %d lines, more than 50", f.Name.Name, n)
		}
		goldenPart(t, "../../docs/go-packages.md", "example", "```go\n"+code+"\n```\n")
		return
	}
	t.Fatalf("%s has no buildAndPush", file)
}

// goldenPart holds one part of a document, between two comments, against what it should be.
func goldenPart(t *testing.T, name, part, want string) {
	t.Helper()
	begin, end := "<!-- "+part+": written by make golden -->\n", "<!-- end of "+part+" -->\n"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the %s", name, part)
	}
	golden(t, name, before+begin+want+end+after)
}
