package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/secret"
)

// level is one command on the way from the root to the command that runs, with the flags that
// were given to it.
type level struct {
	command *cli.Command
	given   []string
}

// invocation is a command line in the order that package cli wants.
type invocation struct {
	args []string
	help []*cli.Command // the path of the command whose help is asked for, nil if none is
}

// permute orders a command line as package cli wants it, all flags of a command before its
// arguments, so that users may write them in any place. Which words are flags, which flags take
// a value and which words are subcommands comes from the command tree alone. Flags become
// "--name=value" under their first name; a flag of an outer command may follow an inner one; "--"
// ends the flags; "-" is an argument or a value. "help CMD" is "CMD --help".
func permute(root *cli.App, args []string) (invocation, error) {
	top := &cli.Command{Name: root.Name, Usage: root.Usage, Flags: root.Flags, Subcommands: root.Commands}
	levels := []*level{{command: top}}
	help := false
	if len(args) > 0 && args[0] == "help" {
		args, help = args[1:], true
	}
	var operands []string
	for len(args) > 0 {
		arg, rest := args[0], args[1:]
		inner := levels[len(levels)-1].command
		switch {
		case arg == "--":
			operands, rest = append(operands, rest...), nil
		case arg == "--help" || arg == "-h" || arg == "-help":
			help = true
		case len(arg) > 1 && arg[0] == '-':
			left, err := takeFlag(levels, arg, rest)
			if err != nil {
				return invocation{}, err
			}
			rest = left
		case len(operands) == 0 && len(inner.Subcommands) > 0:
			sub := find(inner.Subcommands, arg)
			if sub == nil {
				return invocation{}, unknownCommand(levels, arg)
			}
			levels = append(levels, &level{command: sub})
		default:
			operands = append(operands, arg)
		}
		args = rest
	}
	if inner := levels[len(levels)-1].command; len(inner.Subcommands) > 0 && len(operands) > 0 {
		return invocation{}, unknownCommand(levels, operands[0])
	}
	if help {
		return invocation{help: commandPath(levels)}, nil
	}
	return invocation{args: assemble(levels, operands)}, nil
}

// takeFlag records the flag arg, and its value where it takes one, at the innermost level that
// knows it, and gives what is left of the command line.
func takeFlag(levels []*level, arg string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
	for i := len(levels) - 1; i >= 0; i-- {
		first, takesValue, ok := lookupFlag(levels[i].command.Flags, name)
		if !ok {
			continue
		}
		given := "--" + first
		switch {
		case takesValue && !hasValue && len(rest) == 0:
			return nil, &usageError{msg: fmt.Sprintf("flag %s needs a value", arg), command: words(levels)}
		case takesValue && !hasValue:
			given, rest = given+"="+rest[0], rest[1:]
		case hasValue:
			given += "=" + value
		}
		levels[i].given = append(levels[i].given, given)
		return rest, nil
	}
	return nil, unknownFlag(levels, arg, name)
}

// lookupFlag finds a flag by any of its names and gives its first one.
func lookupFlag(flags []cli.Flag, name string) (first string, takesValue, ok bool) {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f.Names()[0], flagTakesValue(f), true
		}
	}
	return "", false, false
}

func flagTakesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return !ok || d.TakesValue()
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func assemble(levels []*level, operands []string) []string {
	var out []string
	for i, l := range levels {
		if i > 0 {
			out = append(out, l.command.Name)
		}
		out = append(out, l.given...)
	}
	if len(operands) > 0 {
		out = append(append(out, "--"), operands...)
	}
	return out
}

func commandPath(levels []*level) []*cli.Command {
	var path []*cli.Command
	for _, l := range levels {
		path = append(path, l.command)
	}
	return path
}

// words is the path of commands without the root, as a usageError wants it.
func words(levels []*level) string { return commandName(commandPath(levels[1:])) }

func unknownCommand(levels []*level, word string) error {
	var names []string
	for _, c := range levels[len(levels)-1].command.Subcommands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	e := &usageError{msg: fmt.Sprintf("unknown command %q", secret.URL(word)), command: words(levels)}
	if near := nearest(word, names); near != "" {
		e.hint = "did you mean " + near + "?"
	}
	return e
}

func unknownFlag(levels []*level, arg, name string) error {
	var names []string
	for _, l := range levels {
		for _, f := range l.command.Flags {
			names = append(names, f.Names()[0])
		}
	}
	e := &usageError{msg: fmt.Sprintf("unknown flag %s", strings.SplitN(arg, "=", 2)[0]), command: words(levels)}
	if near := nearest(name, names); near != "" {
		e.hint = "did you mean --" + near + "?"
	}
	return e
}

// nearest gives the name that differs least from word, "" if none is near.
func nearest(word string, names []string) string {
	best, bestDistance := "", 3
	for _, n := range names {
		if d := distance(word, n); d < bestDistance && d < len(n) {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
