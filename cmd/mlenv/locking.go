package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"mlenv/imagebuild/base"
	"mlenv/resolve/diff"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// lockRequest is what a lock is made of, beside the options that decide about versions.
type lockRequest struct {
	in      *inputs
	client  *index.Client
	targets []dist.Target
	bases   []*base.Found // that the targets are of; none where no base was looked into
	index   indexOptions  // what the client was made of
	dir     string        // directory of the lock; local files are named from there
	keep    lock.Keep
	warn    func(string)
	note    func(string) // of newer versions that were passed over; may be nil
}

// solve decides all packages of a model. The error is a *lock.NoSolutionError where there is none.
func (o *lockOptions) solve(ctx context.Context, r lockRequest) (*pylock.Lock, error) {
	p, err := o.problem(r)
	if err != nil {
		return nil, err
	}
	return lock.Solve(ctx, r.client, p)
}

// solveBuilding is solve for an environment that a build completes: packages that are published as
// source only are left out of the lock, with what is required of them beside it.
func (o *lockOptions) solveBuilding(ctx context.Context, r lockRequest) (*pylock.Lock, []pep508.Requirement, error) {
	p, err := o.problem(r)
	if err != nil {
		return nil, nil, err
	}
	var built []pep508.Name
	for {
		l, needs, err := lock.SolveWithout(ctx, r.client, p, built)
		none := noSolution(err)
		if none == nil {
			return l, needs, err
		}
		more := slices.DeleteFunc(none.Buildable, func(n pep508.Name) bool { return slices.Contains(built, n) })
		if len(more) == 0 {
			return nil, nil, err
		}
		built = append(built, more...)
	}
}

// problem is what is to be solved.
func (o *lockOptions) problem(r lockRequest) (lock.Problem, error) {
	limits, err := o.limits()
	if err != nil {
		return lock.Problem{}, err
	}
	indexes, err := r.index.recorded()
	if err != nil {
		return lock.Problem{}, err
	}
	name, digest := base.Recorded(r.bases)
	return lock.FromSpec(r.in.Spec, lock.Options{
		Targets: r.targets, ModelDir: r.in.dir(), Dir: r.dir, DirIsTemporary: r.in.remote() && r.dir == r.in.dir(), Serve: serving.Kind(o.serve),
		Base: lock.Base{Name: name, Digest: digest}, Indexes: indexes, Limits: limits, Keep: r.keep, Warn: r.warn, Note: r.note,
	})
}

// olderThan makes sure that a lock that was given holds to --exclude-newer.
func (o *lockOptions) olderThan(l *pylock.Lock, targets []dist.Target) error {
	cutoff, err := parseCutoff(o.newer)
	if err != nil {
		return err
	}
	return lock.OlderThan(l, cutoff, targets)
}

// defaultTargets are the platforms to lock for where no base says what they are like. libc is "" for
// the default.
func defaultTargets(o baseOptions, python pep440.Version, libc string) ([]dist.Target, error) {
	wanted, err := o.platforms()
	if err != nil {
		return nil, err
	}
	if python.IsZero() {
		return nil, base.ErrNoPython
	}
	var out []dist.Target
	for _, p := range wanted {
		t, err := dist.NewTarget(p.OS, p.Architecture, python, libc)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// reportForLock prints the errors and warnings that resolve found. With errors among it there is no environment
// to lock, unless the user says otherwise.
func (a *app) reportForLock(o outputOptions, findings finding.List) error {
	var shown finding.List
	for _, f := range o.rules.Judge(findings, time.Now().UTC()) {
		if f.Severity != finding.Info {
			shown = append(shown, f)
		}
	}
	return a.judge(o, shown)
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

// mustReadLock is readLock for a lock that has to be there.
func mustReadLock(path string) (*pylock.Lock, []byte, error) {
	l, data, err := readLock(path)
	if err == nil && l == nil {
		err = &fs.PathError{Op: "reading the lock", Path: path, Err: fs.ErrNotExist}
	}
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
