package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mlenv/resolve"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// inputs is what every command that starts from a model works on.
type inputs struct {
	Path  string // MODEL as given
	Model *model.Model
	Spec  *resolve.Spec
}

// Close releases the model's files.
func (in *inputs) Close() error { return in.Model.Close() }

// dir is the model's directory.
func (in *inputs) dir() string {
	if info, err := os.Stat(in.Path); err == nil && !info.IsDir() {
		return filepath.Dir(in.Path)
	}
	return in.Path
}

// open reads and merges the model that the command's one argument names. The caller closes the
// inputs.
func (o *modelOptions) open(args []string) (*inputs, error) {
	path, err := oneArgument(args, o.command, "MODEL")
	if err != nil {
		return nil, err
	}
	opts, err := o.resolve()
	if err != nil {
		return nil, err
	}
	m, err := model.Open(path)
	if err != nil {
		return nil, err
	}
	spec, err := resolve.Model(m, opts)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return &inputs{Path: path, Model: m, Spec: spec}, nil
}

// oneArgument gives the command's only argument.
func oneArgument(args []string, command, name string) (string, error) {
	switch len(args) {
	case 0:
		return "", &usageError{msg: name + " is missing"}
	case 1:
		return args[0], nil
	}
	return "", &usageError{msg: fmt.Sprintf("%s takes one %s, but there is also %q", command, name, args[1])}
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
