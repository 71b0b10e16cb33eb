package main

import (
	"context"
	"fmt"
	"path/filepath"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/resolve/diff"
	"mlenv/resolve/finding"
	"mlenv/resolve/lock"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// findLock reads the lock that was given, or makes one.
func (r *imageRun) findLock(ctx context.Context) error {
	file := r.o.lockFile
	r.locked.Files = r.client
	if file == "" {
		if r.o.locked {
			return &usageError{msg: "--locked needs --lock FILE"}
		}
		made, err := r.makeLock(ctx, nil)
		if err != nil {
			return err
		}
		r.locked.Lock = made
		r.locked.Dir, err = filepath.Abs(r.in.dir())
		return err
	}
	l, text, err := mustReadLock(file)
	if err != nil {
		return err
	}
	r.locked = imagebuild.Locked{Lock: l, Text: text, Files: r.client}
	if r.locked.Dir, err = filepath.Abs(r.in.lockDir(file)); err != nil {
		return err
	}
	if r.locked.ModelDir, err = filepath.Abs(r.in.dir()); err != nil {
		return err
	}
	if err := lock.Serves(l, r.in.Spec, serving.Kind(r.o.lock.serve)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := r.o.lock.olderThan(l, base.Targets(r.bases)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := lock.ForBackend(l, r.o.model.index.torch); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if r.o.locked && (l.Tool.SpecDigest != r.in.Spec.Digest || r.o.lock.decide() || r.o.model.index.decide()) {
		return r.checkLocked(ctx, file)
	}
	return nil
}

// checkLocked solves again from the lock that was given, which must not change.
func (r *imageRun) checkLocked(ctx context.Context, file string) error {
	now, err := r.makeLock(ctx, r.locked.Lock)
	if err != nil {
		return err
	}
	r.progress.pause()
	for _, change := range diff.Locks(r.locked.Lock, now) {
		f := finding.New(finding.LockOutOfDate, file, nil, "%s", changeText(change))
		f.Severity = finding.Error // --locked wants no other
		r.findings = append(r.findings, f)
	}
	return r.checkLock(file, r.locked.Lock, now)
}

// makeLock resolves the model for the bases.
func (r *imageRun) makeLock(ctx context.Context, previous *pylock.Lock) (*pylock.Lock, error) {
	show := r.lockProgress(r.o.out)
	r.besides.set(show.say)
	defer r.besides.set(r.progress.tell)
	r.onIndex.set(show.event)
	defer r.onIndex.set(r.progress.index)
	defer show.end()
	return r.o.lock.solve(ctx, lockRequest{
		in: r.in, client: r.client, index: r.o.model.index, targets: base.Targets(r.bases), bases: r.bases, dir: r.in.dir(), warn: show.warn,
		keep: lock.Keep{Lock: previous},
	})
}
