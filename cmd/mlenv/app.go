package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/urfave/cli/v2"
)

// app is what the commands share: the outside world. Tests put in another one, and so run every command
// within one process, many at once.
type app struct {
	lookup         func(key string) (string, bool) // the environment
	stdin          io.Reader
	stdout, stderr io.Writer

	verbose bool // print every step of a proof, too

	transport http.RoundTripper // to registries; nil: go-containerregistry's own

	now   func() time.Time // nil: the machine's clock
	began time.Time        // when the program was started; zero: nobody has said

	// How to wait before a request is tried again; zero: as long as it takes.
	sleep   func(context.Context, time.Duration) error // as long as an index or a registry asks
	backoff remote.Backoff                             // of registries

	networkTimeout int                              // seconds after which a silent server is given up; 0: each kind has its own
	say            func(format string, args ...any) // prints beside the progress of the command; nil: there is none
}

// bindNetwork declares the flag of all commands that ask servers.
func (a *app) bindNetwork(s *flagSet) {
	s.number(&a.networkTimeout, "network-timeout", "give up a server from which next to nothing comes for `SECONDS`; 0: 30 for package indexes, 120 for registries")
}

// commands is the list of all commands, in the order of the help: as one meets them on the way from a model
// to a container, what is beside the way last.
func (a *app) commands() []*cli.Command {
	return []*cli.Command{
		resolveCommand(a),
		checkCommand(a),
		lockCommand(a),
		diffCommand(a),
		dockerfileCommand(a),
		imageCommand(a),
		rebaseCommand(a),
		serveCommand(a),
		manifestCommand(a),
		sbomCommand(a),
		verifyCommand(a),
		fetchCommand(a),
		cacheCommand(a),
		completionCommand(a),
		helpCommand(a),
	}
}

// tree is the whole command tree.
func (a *app) tree() *cli.App {
	s, version := &flagSet{}, false
	s.on(&version, "version", "print the version")
	root := &cli.App{
		Name:        "mlenv",
		Usage:       "turn an MLflow Model into its environment: a spec, a lock, a Dockerfile, an image",
		HelpName:    "mlenv",
		Commands:    a.commands(),
		HideHelp:    true, // permute and writeHelp see to it
		HideVersion: true,
		Reader:      a.stdin,
		Writer:      a.stdout,
		ErrWriter:   a.stderr,
		Flags:       s.flags,
		// A requirement such as "numpy>=1,<2" holds commas: they never separate values.
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            noExit,
		OnUsageError:              asUsageError,
	}
	root.Action = s.action(func(context.Context, []string) error {
		if version {
			_, err := fmt.Fprintln(a.stdout, versionLine())
			return err
		}
		return writeHelp(a.stdout, []*cli.Command{{Name: "mlenv", Usage: root.Usage, Flags: root.Flags, Subcommands: root.Commands}})
	})
	settle(root.Commands)
	root.Setup()
	return root
}

// settle gives every command what the frame needs of it: usage errors that are printed like all
// others, and no help of package cli's, whose "help" subcommand would hide a model directory of
// that name. A command that only has subcommands prints its help.
func settle(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelp = true
		c.OnUsageError = asUsageError
		settle(c.Subcommands)
	}
}

func (a *app) run(ctx context.Context, args []string) error {
	root := a.tree()
	if len(args) > 0 && args[0] == completeWord {
		return a.complete(root, args[1:])
	}
	line, err := permute(root, args)
	switch {
	case err != nil:
		return err
	case line.help != nil:
		return writeHelp(a.stdout, line.help)
	}
	return root.RunContext(ctx, append([]string{root.Name}, line.args...))
}

// clock gives the time. What it is for, how long something took and how long to look for hints, decides
// about no file that is written.
func (a *app) clock() time.Time {
	if a.now != nil {
		return a.now()
	}
	return time.Now()
}

// env gives an environment variable, "" where it is not set.
func (a *app) env(key string) string {
	v, _ := a.lookup(key)
	return v
}
