package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/secret"
)

// flagSet binds the flags of one command to the fields of a plain struct. A flag is declared
// together with the variable that it sets, and whatever runs afterwards sees the variables alone:
// a flag that is read but was never declared does not compile. Package cli's own context is seen
// in this file only.
type flagSet struct {
	flags []cli.Flag
	read  []func(*cli.Context)
}

// names takes "output, o" apart.
func names(text string) (name string, aliases []string) {
	all := strings.Split(text, ", ")
	return all[0], all[1:]
}

func (s *flagSet) add(f cli.Flag, read func(*cli.Context)) {
	s.flags = append(s.flags, f)
	s.read = append(s.read, read)
}

// text declares a flag with one value; what is in the variable is its default.
func (s *flagSet) text(to *string, name, usage string) {
	first, aliases := names(name)
	s.add(&cli.StringFlag{Name: first, Aliases: aliases, Usage: usage, Value: *to}, func(c *cli.Context) { *to = c.String(first) })
}

// list declares a flag that may be given several times.
func (s *flagSet) list(to *[]string, name, usage string) {
	first, aliases := names(name)
	s.add(&cli.StringSliceFlag{Name: first, Aliases: aliases, Usage: usage + " (repeatable)"}, func(c *cli.Context) { *to = c.StringSlice(first) })
}

// secret declares a flag whose value may hold a password, such as a URL.
func (s *flagSet) secret(to *secret.Text, name, usage string) {
	s.add(&cli.StringFlag{Name: name, Usage: usage}, func(c *cli.Context) { *to = secret.New(c.String(name)) })
}

// secrets declares a flag like that which may be given several times.
func (s *flagSet) secrets(to *[]secret.Text, name, usage string) {
	s.add(&cli.StringSliceFlag{Name: name, Usage: usage + " (repeatable)"}, func(c *cli.Context) {
		*to = nil
		for _, text := range c.StringSlice(name) {
			*to = append(*to, secret.New(text))
		}
	})
}

// number declares a flag with a number; what is in the variable is its default.
func (s *flagSet) number(to *int, name, usage string) {
	s.add(&cli.IntFlag{Name: name, Usage: usage, Value: *to}, func(c *cli.Context) { *to = c.Int(name) })
}

// on declares a flag without a value. It can only be switched on: there is no default of true to be undone.
func (s *flagSet) on(to *bool, name, usage string) {
	first, aliases := names(name)
	s.add(&cli.BoolFlag{Name: first, Aliases: aliases, Usage: usage, DisableDefaultText: true}, func(c *cli.Context) { *to = c.Bool(first) })
}

// oneOf declares a flag whose value must be one of words; the first of them is the default.
func (s *flagSet) oneOf(to *string, name, usage string, words ...string) {
	s.add(&cli.GenericFlag{
		Name:  name,
		Usage: usage + ": " + strings.Join(words, ", "),
		Value: &choice{words: words, value: words[0]},
	}, func(c *cli.Context) { *to = c.String(name) })
}

// optional declares a flag that may be given alone, which means the second of the words, or with one of them as in
// --name=word; the first is the default.
func (s *flagSet) optional(to *string, name, usage string, words ...string) {
	s.add(&optionalFlag{&cli.GenericFlag{
		Name: name, Usage: usage, Value: &implied{choice{words: words, value: words[0]}}, DefaultText: words[0],
	}}, func(c *cli.Context) { *to = c.String(name) })
}

// optionalFlag is a flag whose value, if there is one, follows an equals sign.
type optionalFlag struct{ *cli.GenericFlag }

// TakesValue says that the word after the flag is no value.
func (*optionalFlag) TakesValue() bool { return false }

// implied is a choice that is made by the flag alone.
type implied struct{ choice }

// IsBoolFlag tells package flag that the value may be left out, and is "true" then.
func (*implied) IsBoolFlag() bool { return true }

func (i *implied) Set(s string) error {
	if s == "true" {
		s = i.words[1]
	}
	return i.choice.Set(s)
}

// given notes whether a flag was on the command line, where a value that was chosen means something else
// than the same value by default.
func (s *flagSet) given(to *bool, name string) {
	s.read = append(s.read, func(c *cli.Context) { *to = c.IsSet(name) })
}

// action gives the cli action that fills the variables and then runs a function of the arguments.
// A usage error that does not say which command it is about is about this one: below it, nobody knows the
// command's name, and the message ends with how to get its help.
func (s *flagSet) action(run func(ctx context.Context, args []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		for _, read := range s.read {
			read(c)
		}
		err := run(c.Context, c.Args().Slice())
		for _, e := range split(err) {
			var usage *usageError
			if errors.As(e, &usage) && usage.command == "" {
				usage.command = commandOf(c)
			}
		}
		return err
	}
}

// commandOf is the path of the command that runs, without the root.
func commandOf(c *cli.Context) string {
	return strings.TrimSpace(strings.TrimPrefix(c.Command.HelpName, "mlenv"))
}

// asUsageError makes a usage error of what package cli says of a flag, which it calls by one dash.
func asUsageError(c *cli.Context, err error, _ bool) error {
	return &usageError{msg: strings.Replace(err.Error(), "for flag -", "for flag --", 1), command: commandOf(c)}
}

// noExit keeps package cli from ending the process: deferred functions remove temporary files.
func noExit(*cli.Context, error) {}

// choice is the value of a flag that takes one of a few words.
type choice struct {
	words []string
	value string
}

// Set takes one of the words.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("want %s", oneOf(c.words))
	}
	c.value = s
	return nil
}

// String gives the chosen word.
func (c *choice) String() string { return c.value }

func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
