package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mlenv/resolve"
	"mlenv/resolve/fetch"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"

	"mlenv/resolve/secret"
	"mlenv/resolve/signing"
)

// inputs is what every command that starts from a model works on.
type inputs struct {
	Name   string // MODEL as given, fit to be shown
	Model  *model.Model
	Spec   *resolve.Spec
	Source *fetch.Source // nil for a directory
	opened *fetch.Opened
	signed *signing.Verified // nil if no signature was asked for
}

// Close releases the model's files, and removes those that were fetched.
func (in *inputs) Close() error { return in.opened.Close() }

// dir is the model's directory. That of a model that is fetched holds the files that were opened.
func (in *inputs) dir() string { return in.opened.Dir }

// remote reports whether the directory is gone when the command ends.
func (in *inputs) remote() bool { return in.opened.Remote }

// lockDir is the directory from which a lock of the model names its local files: the lock's own. The
// wheels of a model that is fetched lie in it alone: they are named as in the model.
func (in *inputs) lockDir(lock string) string {
	if in.remote() {
		return in.dir()
	}
	return filepath.Dir(lock)
}

// open reads and merges the model that the command's one argument names. The caller closes the
// inputs.
func (o *modelOptions) open(ctx context.Context, a *app, args []string) (*inputs, error) {
	name, err := oneArgument(args, o.command, "MODEL")
	if err != nil {
		return nil, err
	}
	opts, err := o.resolve()
	if err != nil {
		return nil, err
	}
	opened, err := a.openModel(ctx, name, o.fetch)
	if err != nil {
		return nil, err
	}
	spec, err := resolve.Model(opened.Model, opts)
	var signed *signing.Verified
	if err == nil {
		var found finding.List
		signed, found, err = o.key.verify(opened.Model.FS)
		spec.Findings = append(spec.Findings, found...)
	}
	if failed := opened.Failed(); failed != nil {
		err = failed // a file that could not be fetched is not a fault of the model
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	in := &inputs{Name: name, Model: opened.Model, Spec: spec, opened: opened, signed: signed}
	if fetch.Scheme(name) != "" {
		in.Name, in.Source = fetch.Shown(name), &opened.Source
	}
	return in, nil
}

// oneArgument gives the command's only argument.
func oneArgument(args []string, command, name string) (string, error) {
	switch len(args) {
	case 0:
		return "", &usageError{msg: name + " is missing"}
	case 1:
		return args[0], nil
	}
	return "", &usageError{msg: fmt.Sprintf("%s takes one %s, but there is also %q", command, name, secret.URL(args[1]))}
}

// resolve turns the options into what package resolve adds to the model.
func (o *modelOptions) resolve() (resolve.Options, error) {
	flags, err := o.file()
	code, codeErr := readCodePaths(o.codePaths)
	return resolve.Options{Flags: flags, Replace: o.replace, CodePaths: code, CondaAsPip: o.condaAsPip}, errors.Join(err, codeErr)
}

// readCodePaths hashes the code that the command line adds.
func readCodePaths(paths []string) ([]resolve.CodePath, error) {
	var out []resolve.CodePath
	var errs []error
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		digest, err := resolve.CodeDigest(model.Files(os.DirFS(filepath.Dir(abs))), filepath.Base(abs))
		if err != nil {
			errs = append(errs, fmt.Errorf("reading --code-paths %s: %w", p, err))
			continue
		}
		out = append(out, resolve.CodePath{Path: filepath.ToSlash(p), Digest: digest, From: []finding.Origin{flagOrigin("--code-paths " + p)}})
	}
	return out, errors.Join(errs...)
}
