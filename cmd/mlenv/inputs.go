package main

import (
	"github.com/urfave/cli/v2"

	"mlenv/resolve"
	"mlenv/resolve/model"
)

// inputs is what every command that starts from a model works on.
type inputs struct {
	Path  string // MODEL as given
	Model *model.Model
	Spec  *resolve.Spec
}

// inputFlags are the flags of every command that resolves a model.
func inputFlags() []cli.Flag {
	return nil
}

// readInputs reads and merges the model that the command's one argument names.
func (a *app) readInputs(c *cli.Context) (*inputs, error) {
	return nil, &usageError{msg: "not built yet"}
}
