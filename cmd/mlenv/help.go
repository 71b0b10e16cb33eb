package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

// helpCommand stands in the list of commands; permute has turned "help CMD" into "CMD --help"
// before it could run.
func helpCommand(*app) *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		ArgsUsage: "[COMMAND]",
	}
}

// writeHelp prints the help of the last command of a path that begins with the root.
func writeHelp(w io.Writer, path []*cli.Command) error {
	c := path[len(path)-1]
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s: %s\n\nUsage:\n  %s\n", commandName(path), c.Usage, usageLine(path))
	if c.Description != "" {
		fmt.Fprintf(t, "\n%s\n", c.Description)
	}
	if len(c.Subcommands) > 0 {
		fmt.Fprint(t, "\nCommands:\n")
		for _, sub := range c.Subcommands {
			if !sub.Hidden {
				fmt.Fprintf(t, "  %s\t%s\n", sub.Name, sub.Usage)
			}
		}
	}
	fmt.Fprint(t, "\nFlags:\n")
	for _, f := range c.Flags {
		if row, ok := describeFlag(f); ok {
			fmt.Fprintf(t, "  %s\t%s\n", row.names, row.usage)
		}
	}
	fmt.Fprint(t, "  --help, -h\tshow this help\n")
	return t.Flush()
}

func commandName(path []*cli.Command) string {
	var names []string
	for _, c := range path {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

func usageLine(path []*cli.Command) string {
	c := path[len(path)-1]
	line := commandName(path)
	if len(c.Subcommands) > 0 {
		line += " COMMAND"
	}
	if len(c.Flags) > 0 || len(c.Subcommands) > 0 {
		line += " [flags]"
	}
	if c.ArgsUsage != "" {
		line += " " + c.ArgsUsage
	}
	return line
}

// flagRow is a flag as the help and the reference show it.
type flagRow struct{ names, usage string }

// describeFlag gives the row of a flag, false for a hidden one. The value's name is the word in
// backquotes of the flag's usage, as package flag has it.
func describeFlag(f cli.Flag) (flagRow, bool) {
	d, ok := f.(cli.DocGenerationFlag)
	if v, can := f.(cli.VisibleFlag); !ok || can && !v.IsVisible() {
		return flagRow{}, false
	}
	var names []string
	for _, n := range f.Names() {
		names = append(names, dashes(n))
	}
	row := flagRow{strings.Join(names, ", "), d.GetUsage()}
	if !d.TakesValue() {
		return row, true
	}
	value := "VALUE"
	if parts := strings.Split(row.usage, "`"); len(parts) == 3 {
		value, row.usage = parts[1], strings.Join(parts, "")
	}
	row.names += " " + value
	if text := strings.Trim(d.GetDefaultText(), `"`); text != "" {
		row.usage += " (default: " + text + ")"
	}
	return row, true
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
