package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

func permuteTree() *cli.App {
	root := &cli.App{
		Name:  "mlenv",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}}},
		Commands: []*cli.Command{
			{
				Name: "lock",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "output", Aliases: []string{"o"}},
					&cli.StringSliceFlag{Name: "platform"},
					&cli.BoolFlag{Name: "strict"},
					&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}},
				},
			},
			{
				Name:  "cache",
				Flags: []cli.Flag{&cli.StringFlag{Name: "dir"}},
				Subcommands: []*cli.Command{
					{Name: "prune", Flags: []cli.Flag{&cli.BoolFlag{Name: "all"}}},
					{Name: "clean", Aliases: []string{"rm"}},
				},
			},
		},
		HideHelp: true,

		DisableSliceFlagSeparator: true,
	}
	settle(root.Commands)
	root.Setup()
	return root
}

func TestPermute(t *testing.T) {
	tests := []struct {
		name, args string
		want       string // or, starting with "error: ", the message
	}{
		{"nothing", "", ""},
		{"flags before", "lock --strict -o x m", "lock --strict --output=x -- m"},
		{"flags after", "lock m --strict -o x", "lock --strict --output=x -- m"},
		{"flags around", "lock --strict m --output x", "lock --strict --output=x -- m"},
		{"equals sign", "lock m --output=x=y", "lock --output=x=y -- m"},
		{"single dash long", "lock m -output x", "lock --output=x -- m"},
		{"short with equals", "lock m -o=x", "lock --output=x -- m"},
		{"stdout as a value", "lock m -o -", "lock --output=- -- m"},
		{"dash as an argument", "lock - --strict", "lock --strict -- -"},
		{"empty value", "lock --output= m", "lock --output= -- m"},
		{"value that looks like a flag", "lock -o --strict m", "lock --output=--strict -- m"},
		{"repeated", "lock --platform a m --platform b", "lock --platform=a --platform=b -- m"},
		{"bool with value", "lock m --strict=false", "lock --strict=false -- m"},
		{"bool does not eat the argument", "lock --strict m", "lock --strict -- m"},
		{"end of flags", "lock --strict -- --output", "lock --strict -- --output"},
		{"end of flags, flags after it are arguments", "lock m -- -o x", "lock -- m -o x"},
		{"outer flag after the command", "lock m --quiet -o x", "--quiet lock --output=x -- m"},
		{"outer flag by its alias", "-q lock m", "--quiet lock -- m"},
		{"subcommand", "cache prune --all", "cache prune --all"},
		{"flag between the words", "cache --dir d prune --all", "cache --dir=d prune --all"},
		{"flag before the subcommand belongs to it too late", "cache prune --dir d --all", "cache --dir=d prune --all"},
		{"subcommand by its alias", "cache rm", "cache clean"},
		{"argument named like a command", "lock cache", "lock -- cache"},
		{"argument named like a flag", "lock output", "lock -- output"},
		{"help", "help", "help of mlenv"},
		{"help of a command", "help lock", "help of mlenv lock"},
		{"help of a subcommand", "help cache prune", "help of mlenv cache prune"},
		{"argument named help", "lock help", "lock -- help"},
		{"help flag after the argument", "lock m -h", "help of mlenv lock"},
		{"missing value", "lock m -o", "error: flag -o needs a value"},
		{"unknown flag", "lock m --outptu=3", "error: unknown flag --outptu"},
		{"unknown flag before a command", "--strict lock m", "error: unknown flag --strict"},
		{"unknown command", "lokc m", `error: unknown command "lokc"`},
		{"unknown subcommand", "cache prun", `error: unknown command "prun"`},
		{"command after the end of flags", "-- lock", `error: unknown command "lock"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := permute(permuteTree(), strings.Fields(test.args))
			text := strings.Join(got.args, " ")
			if got.help != nil {
				text = "help of " + commandName(got.help)
			}
			if err != nil {
				text = "error: " + err.Error()
			}
			if text != test.want {
				t.Errorf("permute(%q)\n got %s\nwant %s", test.args, text, test.want)
			}
		})
	}
}

// What permute makes must mean to package cli what the user wrote.
func TestPermuteReachesTheAction(t *testing.T) {
	type seen struct {
		Output   string
		Platform []string
		Strict   bool
		Jobs     int
		Args     []string
	}
	root := permuteTree()
	var got seen
	root.Command("lock").Action = func(c *cli.Context) error {
		got = seen{c.String("output"), c.StringSlice("platform"), c.Bool("strict"), c.Int("jobs"), c.Args().Slice()}
		return nil
	}
	args, err := permute(root, []string{"lock", "m", "--platform", "a", "-o", "-", "--strict", "--platform", "b,c", "-j=3", "--", "--x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Run(append([]string{"mlenv"}, args.args...)); err != nil {
		t.Fatal(err)
	}
	want := seen{"-", []string{"a", "b,c"}, true, 3, []string{"m", "--x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSuggestions(t *testing.T) {
	for arg, want := range map[string]string{
		"lock --platfrom x": "did you mean --platform?",
		"lcok":              "did you mean lock?",
		"cache purne":       "did you mean prune?",
		"lock --zzzzzz":     "",
	} {
		_, err := permute(permuteTree(), strings.Fields(arg))
		var usage *usageError
		if e, ok := err.(*usageError); ok {
			usage = e
		} else {
			t.Fatalf("%s: %v", arg, err)
		}
		if usage.hint != want {
			t.Errorf("%s: hint %q, want %q", arg, usage.hint, want)
		}
	}
}
