package main

import (
	"fmt"
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
		"| 130 | interrupted by Ctrl-C (SIGINT) |\n| 143 | ended by SIGTERM |\n")
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
