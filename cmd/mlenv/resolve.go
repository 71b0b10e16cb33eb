package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"mlenv/resolve"
)

func resolveCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "resolve",
		Usage:     "merge what a model declares into one spec",
		ArgsUsage: "MODEL",
		Description: "Prints the merged environment of MODEL, a model directory or its MLmodel file.\n" +
			"Where its files disagree is said on stderr. Exits with 2 if there are errors among that.",
		Flags: append([]cli.Flag{
			choiceFlag("format", "output format", "yaml", "json", "requirements", "conda"),
			strictFlag(),
		}, inputFlags()...),
		Action: func(c *cli.Context) error {
			in, err := a.readInputs(c)
			if err != nil {
				return err
			}
			text, err := formatSpec(in.Spec, c.String("format"))
			if err == nil {
				_, err = a.stdout.Write(text)
			}
			if err := errors.Join(err, in.Close()); err != nil {
				return err
			}
			return a.report(in.Spec.Findings, c.Bool("strict"))
		},
	}
}

func formatSpec(s *resolve.Spec, format string) ([]byte, error) {
	switch format {
	case "json":
		return s.JSON()
	case "requirements":
		return s.RequirementsTxt(), nil
	case "conda":
		return s.CondaYAML()
	}
	return s.YAML()
}
