package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
)

func flagOrigin(text string) finding.Origin {
	return finding.Origin{File: finding.CommandLine, Text: text}
}

// readFlagFile reads what the input flags declare as the lines of one requirements file, so that
// they obey the same grammar, and are rid of credentials in the same way, as the files of a model.
func readFlagFile(c *cli.Context) (*envfile.File, error) {
	var lines []string
	var errs []error
	option := func(name string, values ...string) {
		for _, v := range values {
			if strings.ContainsAny(v, " \t\r\n") {
				errs = append(errs, &usageError{msg: fmt.Sprintf("--%s %q holds white space", name, v), command: c.Command.Name})
				continue
			}
			lines = append(lines, "--"+name+" "+v)
		}
	}
	if u := c.String("index-url"); u != "" {
		option("index-url", u)
	}
	option("extra-index-url", c.StringSlice("extra-index-url")...)
	option("find-links", c.StringSlice("find-links")...)
	lines = append(lines, c.StringSlice("pip-requirements")...)
	lines = append(lines, c.StringSlice("extra-pip-requirements")...)
	for _, f := range c.StringSlice("constraint") {
		lines = append(lines, "-c "+f)
	}
	file, err := envfile.ParseRequirementArgs(func(name string) (fs.File, error) { return os.Open(name) }, lines)
	errs = append(errs, err)
	python := c.String("python")
	if python != "" {
		errs = append(errs, checkPython(c.Command.Name, python))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if python != "" {
		file.Python = []envfile.Declaration{{Value: python, From: flagOrigin("--python " + python)}}
	}
	// Credentials are in place on the command line; only in a file of the model are they a finding.
	file.CredentialsIn = nil
	return file, nil
}

// checkPython wants at least a minor version: 3.11 or 3.11.7.
func checkPython(command, version string) error {
	v, err := pep440.Parse(version)
	if err != nil || len(v.Release()) < 2 {
		return &usageError{msg: fmt.Sprintf("--python %s is not a Python version such as 3.11 or 3.11.7", version), command: command}
	}
	return nil
}
