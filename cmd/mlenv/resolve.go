package main

import "github.com/urfave/cli/v2"

func resolveCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "resolve",
		Usage:     "merge what a model declares into one spec",
		ArgsUsage: "MODEL",
		Flags: append([]cli.Flag{
			choiceFlag("format", "output format", "yaml", "json", "requirements", "conda"),
		}, inputFlags()...),
		Action: func(c *cli.Context) error {
			_, err := a.readInputs(c)
			return err
		},
	}
}
