package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/secret"
)

func flagOrigin(text string) finding.Origin {
	return finding.Origin{File: finding.CommandLine, Text: text}
}

// file reads what the options declare as the lines of one requirements file, so that they obey the
// same grammar, and are rid of credentials in the same way, as the files of a model.
func (o *modelOptions) file() (*envfile.File, error) {
	var lines []string
	var errs []error
	option := func(name string, values ...secret.Text) {
		for _, v := range values {
			// White space splits a URL, and its password, in two.
			if strings.ContainsFunc(v.Reveal(), unicode.IsSpace) {
				errs = append(errs, &usageError{msg: fmt.Sprintf("--%s %q holds white space", name, v)})
				continue
			}
			lines = append(lines, "--"+name+" "+v.Reveal())
		}
	}
	if o.index.url.Reveal() != "" {
		option("index-url", o.index.url)
	}
	option("extra-index-url", o.index.extra...)
	option("find-links", o.index.findLinks...)
	lines = append(lines, o.requirements...)
	lines = append(lines, o.extra...)
	for _, f := range o.constraints {
		lines = append(lines, "-c "+f)
	}
	file, err := envfile.ParseRequirementArgs(func(name string) (fs.File, error) { return os.Open(name) }, lines)
	errs = append(errs, err)
	if o.python != "" {
		errs = append(errs, checkPython(o.python))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if o.python != "" {
		file.Python = []envfile.Declaration{{Value: o.python, From: flagOrigin("--python " + o.python)}}
	}
	// Credentials are in place on the command line; only in a file of the model are they a finding.
	file.CredentialsIn = nil
	return file, nil
}

// checkPython wants at least a minor version: 3.11 or 3.11.7.
func checkPython(version string) error {
	v, err := pep440.Parse(version)
	if err != nil || v.Minor() == "" {
		return &usageError{msg: fmt.Sprintf("--python %s is not a Python version such as 3.11 or 3.11.7", version)}
	}
	return nil
}
