package main

import "github.com/urfave/cli/v2"

// helpCommand stands in the list of commands; permute has turned "help CMD" into "CMD --help"
// before it could run.
func helpCommand(*app) *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		ArgsUsage: "[COMMAND]",
	}
}
