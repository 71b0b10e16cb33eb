package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"mlenv/resolve"
)

// resolveOptions are the flags of resolve.
type resolveOptions struct {
	model  modelOptions
	out    outputOptions
	format string
}

func resolveCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &resolveOptions{}
	s.oneOf(&o.format, "format", "output format", "yaml", "json", "requirements", "conda")
	o.out.bindStrict(s)
	o.model.bind(s, "resolve")
	return &cli.Command{
		Name:      "resolve",
		Usage:     "merge what a model declares into one spec",
		ArgsUsage: "MODEL",
		Description: "Prints the merged environment of MODEL: a directory, an MLmodel file or a URI.\n" +
			"Disagreements between its files are reported on stderr. Exits with 2 if there are errors\n" +
			"among them.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.resolve(ctx, args, o) }),
	}
}

func (a *app) resolve(ctx context.Context, args []string, o *resolveOptions) error {
	in, err := o.model.open(ctx, a, args)
	if err != nil {
		return err
	}
	text, err := formatSpec(in.Spec, o.format)
	if err == nil {
		_, err = a.stdout.Write(text)
	}
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	return a.report(in.Spec.Findings, o.out.threshold())
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
