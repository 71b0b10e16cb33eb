package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/diff"
	"mlenv/resolve/finding"
	"mlenv/resolve/lock"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// findLock reads the lock that was given, or makes one.
func (r *imageRun) findLock(ctx context.Context) error {
	file := r.c.String("lock")
	if file == "" {
		if r.c.Bool("locked") {
			return &usageError{msg: "--locked needs --lock FILE", command: r.c.Command.Name}
		}
		made, err := r.makeLock(ctx, nil)
		if err != nil {
			return err
		}
		// Where this machine keeps other files than the model's is none of the image's business.
		r.lock, r.lockText = made, pylock.Format(pylock.Portable(made))
		r.lockDir, err = filepath.Abs(r.in.dir())
		return err
	}
	var err error
	if r.lock, r.lockText, err = readLock(file); err != nil {
		return err
	}
	if r.lock == nil {
		return &os.PathError{Op: "reading the lock", Path: file, Err: os.ErrNotExist}
	}
	if r.lockDir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return err
	}
	if err := lock.Serves(r.lock, r.in.Spec, serving.Kind(r.c.String("serve"))); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r.c.Bool("locked") && (r.lock.Tool.SpecDigest != r.in.Spec.Digest || decidesVersions(r.c)) {
		return r.checkLocked(ctx, file)
	}
	return nil
}

// decidesVersions tells whether flags that the Spec knows nothing of may make another lock.
func decidesVersions(c *cli.Context) bool {
	for _, name := range []string{"exclude-newer", "pre", "no-binary", "only-binary"} {
		if c.IsSet(name) {
			return true
		}
	}
	return false
}

// checkLocked solves again from the lock that was given, which must not change.
func (r *imageRun) checkLocked(ctx context.Context, file string) error {
	now, err := r.makeLock(ctx, r.lock)
	if err != nil {
		return err
	}
	r.progress.pause()
	for _, change := range diff.Locks(r.lock, now) {
		f := finding.New(finding.LockOutOfDate, file, nil, "%s", changeText(change))
		f.Severity = finding.Error // --locked wants no other
		r.findings = append(r.findings, f)
	}
	return r.checkLock(file, r.lock, now)
}

// makeLock resolves the model for the bases.
func (r *imageRun) makeLock(ctx context.Context, previous *pylock.Lock) (*pylock.Lock, error) {
	targets, err := r.targets()
	if err != nil {
		return nil, err
	}
	show := r.lockProgress(r.c)
	defer show.end()
	r.progress.locking(show)
	defer r.progress.locking(nil)
	req := lockRequest{Inputs: r.in, Targets: targets, Previous: previous, Dir: r.in.dir(), Client: r.client, Warn: show.warn}
	if req.BaseName = r.bases[0].Name; len(r.bases) == 1 {
		req.BaseDigest = r.bases[0].Base.Digest
	}
	return r.lockModel(ctx, r.c, req)
}
