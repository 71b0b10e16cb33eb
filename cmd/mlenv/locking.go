package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/diff"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// lockFlags are the flags of every command that decides versions.
func lockFlags() []cli.Flag {
	return []cli.Flag{
		choiceFlag("serve", "add what this server needs", string(serving.MLflow), string(serving.MLServer), string(serving.None)),
		&cli.BoolFlag{Name: "no-index", Usage: "take packages from --find-links alone", DisableDefaultText: true},
		&cli.BoolFlag{Name: "offline", Usage: "use the cache and local files alone", DisableDefaultText: true},
		choiceFlag("index-strategy", "with several indexes, take a package from the first that has it, or from all", string(index.FirstIndex), string(index.UnsafeBestMatch)),
		&cli.BoolFlag{Name: "pre", Usage: "admit pre-releases of every package", DisableDefaultText: true},
		&cli.StringFlag{Name: "exclude-newer", Usage: "ignore files uploaded after `TIME`: 2025-01-31 (to the end of that day, UTC) or 2025-01-31T12:00:00Z"},
		&cli.StringSliceFlag{Name: "no-binary", Usage: "use no wheels of the package `NAME`, or :all: (repeatable)"},
		&cli.StringSliceFlag{Name: "only-binary", Usage: "use wheels of the package `NAME` in spite of --no-binary, or :all: (repeatable)"},
	}
}

// lockRequest is what a lock is made of, beside the flags.
type lockRequest struct {
	Inputs     *inputs
	Targets    []dist.Target
	BaseName   string // reference of the base image, "" for none
	BaseDigest string
	Previous   *pylock.Lock // kept where it still fits; may be nil
	Dir        string       // directory of the lock; local files are named from there
	Client     *index.Client // the run's only one, so that all of it sees the same moment of the indexes
	Warn       func(string)
}

// lockModel decides all packages of a model. The error is a *lock.NoSolution where there is none.
func (a *app) lockModel(ctx context.Context, c *cli.Context, r lockRequest) (*pylock.Lock, error) {
	p, err := a.lockProblem(c, r)
	if err != nil {
		return nil, err
	}
	return lock.Solve(ctx, r.Client, p)
}

// lockProblem turns flags and Spec into what lock.Solve takes.
func (a *app) lockProblem(c *cli.Context, r lockRequest) (lock.Problem, error) {
	o := lock.Options{
		Targets: r.Targets, ModelDir: r.Inputs.dir(), Dir: r.Dir, Serve: serving.Kind(c.String("serve")),
		Base:   lock.Base{Name: r.BaseName, Digest: r.BaseDigest},
		Limits: lock.Limits{Pre: c.Bool("pre"), NoBinary: c.StringSlice("no-binary"), OnlyBinary: c.StringSlice("only-binary")},
		Keep:   lock.Keep{Lock: r.Previous, UpgradeAll: c.Bool("upgrade")},
		Warn:   r.Warn,
	}
	for _, n := range c.StringSlice("upgrade-package") {
		o.Keep.Upgrade = append(o.Keep.Upgrade, pep508.NormalizeName(n))
	}
	var err error
	if o.Limits.Cutoff, err = parseCutoff(c); err != nil {
		return lock.Problem{}, err
	}
	return lock.FromSpec(r.Inputs.Spec, o)
}

// parseCutoff reads --exclude-newer.
func parseCutoff(c *cli.Context) (time.Time, error) {
	s := c.String("exclude-newer")
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, &usageError{msg: fmt.Sprintf("--exclude-newer %s is neither a date such as 2025-01-31 nor a time such as 2025-01-31T12:00:00Z", s), command: c.Command.Name}
	}
	return t.AddDate(0, 0, 1), nil
}

// dir is the model's directory.
func (in *inputs) dir() string {
	if info, err := os.Stat(in.Path); err == nil && !info.IsDir() {
		return filepath.Dir(in.Path)
	}
	return in.Path
}

// readLock reads the lock at a path, nil if there is none.
func readLock(path string) (*pylock.Lock, []byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	l, err := pylock.Parse(path, data)
	return l, data, err
}

// changeText words one difference between a lock and an older one.
func changeText(i diff.Item) string {
	switch i.Change {
	case diff.Added:
		return fmt.Sprintf("%s: not locked, now %s", i.Name, i.New)
	case diff.Removed:
		return fmt.Sprintf("%s: %s, now not needed", i.Name, i.Old)
	}
	return fmt.Sprintf("%s: %s, now %s", i.Name, i.Old, i.New)
}
