package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

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

// inputFlags are the flags of every command that resolves a model.
func inputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "extra-pip-requirements", Usage: "add the requirement `REQ`, or the file of \"-r FILE\" (repeatable)"},
		&cli.StringSliceFlag{Name: "pip-requirements", Usage: "replace the model's requirements by `REQ`, or by the file of \"-r FILE\" (repeatable)"},
		&cli.StringSliceFlag{Name: "constraint", Usage: "apply the constraints `FILE` (repeatable)"},
		&cli.StringSliceFlag{Name: "code-paths", Usage: "add the file or directory of code `PATH` (repeatable)"},
		&cli.StringFlag{Name: "python", Usage: "use Python `VERSION` instead of the model's"},
		&cli.StringFlag{Name: "index-url", Usage: "take packages from the index `URL` instead of the model's"},
		&cli.StringSliceFlag{Name: "extra-index-url", Usage: "take packages from the index `URL` too (repeatable)"},
		&cli.StringSliceFlag{Name: "find-links", Usage: "take packages from the folder or page `LOCATION` too (repeatable)"},
	}
}

// strictFlag makes warnings count as errors; see report.
func strictFlag() cli.Flag {
	return &cli.BoolFlag{Name: "strict", Usage: "count warnings as errors", DisableDefaultText: true}
}

// readInputs reads and merges the model that the command's one argument names. The caller closes
// the inputs.
func (a *app) readInputs(c *cli.Context) (*inputs, error) {
	path, err := oneArgument(c, "MODEL")
	if err != nil {
		return nil, err
	}
	opts, err := readOptions(c)
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
func oneArgument(c *cli.Context, name string) (string, error) {
	switch c.NArg() {
	case 0:
		return "", &usageError{msg: name + " is missing", command: c.Command.Name}
	case 1:
		return c.Args().First(), nil
	}
	return "", &usageError{msg: fmt.Sprintf("%s takes one %s, but there is also %q", c.Command.Name, name, c.Args().Get(1)),
		command: c.Command.Name}
}

// readOptions turns the input flags into what resolve adds to the model.
func readOptions(c *cli.Context) (resolve.Options, error) {
	flags, err := readFlagFile(c)
	code, codeErr := readCodePaths(c.StringSlice("code-paths"))
	return resolve.Options{Flags: flags, Replace: c.IsSet("pip-requirements"), CodePaths: code}, errors.Join(err, codeErr)
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
