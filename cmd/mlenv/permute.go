package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// level is one command on the way from the root to the command that runs, with the flags that
// were given to it.
type level struct {
	name  string
	flags []cli.Flag
	subs  []*cli.Command
	given []string
}

// permute orders a command line as package cli wants it, all flags of a command before its
// arguments, so that users may write them in any place. Which words are flags, which flags take
// a value and which words are subcommands comes from the command tree alone. Flags become
// "--name=value" under their first name; a flag of an outer command may follow an inner one; "--"
// ends the flags; "-" is an argument or a value. "help CMD" becomes "CMD --help".
func permute(root *cli.App, args []string) ([]string, error) {
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	levels := []*level{{name: root.Name, flags: root.Flags, subs: root.Commands}}
	var operands []string
	for len(args) > 0 {
		arg, rest := args[0], args[1:]
		inner := levels[len(levels)-1]
		switch {
		case arg == "--":
			operands, rest = append(operands, rest...), nil
		case len(arg) > 1 && arg[0] == '-':
			left, err := takeFlag(levels, arg, rest)
			if err != nil {
				return nil, err
			}
			rest = left
		case len(operands) == 0 && len(inner.subs) > 0:
			sub := find(inner.subs, arg)
			if sub == nil {
				return nil, unknownCommand(levels, arg)
			}
			levels = append(levels, &level{name: sub.Name, flags: sub.Flags, subs: sub.Subcommands})
		default:
			operands = append(operands, arg)
		}
		args = rest
	}
	return assemble(levels, operands)
}

// takeFlag records the flag arg, and its value where it takes one, at the innermost level that
// knows it, and gives what is left of the command line.
func takeFlag(levels []*level, arg string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
	for i := len(levels) - 1; i >= 0; i-- {
		first, takesValue, ok := lookupFlag(levels[i].flags, name)
		if !ok {
			continue
		}
		given := "--" + first
		switch {
		case takesValue && !hasValue && len(rest) == 0:
			return nil, &usageError{msg: fmt.Sprintf("flag %s needs a value", arg), command: path(levels)}
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

// lookupFlag finds a flag by any of its names and gives its first one. --help is known to every
// command, as package cli adds it only when the command runs.
func lookupFlag(flags []cli.Flag, name string) (first string, takesValue, ok bool) {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f.Names()[0], flagTakesValue(f), true
		}
	}
	if name == "help" || name == "h" {
		return "help", false, true
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

func assemble(levels []*level, operands []string) ([]string, error) {
	if inner := levels[len(levels)-1]; len(inner.subs) > 0 && len(operands) > 0 {
		return nil, unknownCommand(levels, operands[0])
	}
	var out []string
	for i, l := range levels {
		if i > 0 {
			out = append(out, l.name)
		}
		out = append(out, l.given...)
	}
	if len(operands) > 0 {
		out = append(append(out, "--"), operands...)
	}
	return out, nil
}

func path(levels []*level) string {
	var names []string
	for _, l := range levels[1:] {
		names = append(names, l.name)
	}
	return strings.Join(names, " ")
}

func unknownCommand(levels []*level, word string) error {
	var names []string
	for _, c := range levels[len(levels)-1].subs {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	e := &usageError{msg: fmt.Sprintf("unknown command %q", word), command: path(levels)}
	if near := nearest(word, names); near != "" {
		e.hint = "did you mean " + near + "?"
	}
	return e
}

func unknownFlag(levels []*level, arg, name string) error {
	var names []string
	for _, l := range levels {
		for _, f := range l.flags {
			names = append(names, f.Names()[0])
		}
	}
	e := &usageError{msg: fmt.Sprintf("unknown flag %s", strings.SplitN(arg, "=", 2)[0]), command: path(levels)}
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
