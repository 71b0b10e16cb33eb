package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/base"
	"mlenv/resolve/diff"
	"mlenv/resolve/dist"
	"mlenv/resolve/lock"
	"mlenv/resolve/pylock"
)

// lockCommandOptions are the flags of lock.
type lockCommandOptions struct {
	model modelOptions
	lock  lockOptions
	base  baseOptions
	out   outputOptions

	output          string
	check           bool
	upgrade         bool
	upgradePackages []string
	libc            string
}

func lockCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &lockCommandOptions{output: "pylock.toml"}
	s.text(&o.output, "output, o", "write to `FILE`, - for stdout")
	s.on(&o.check, "check", "write nothing; exit with 2 if the lock no longer fits the model")
	s.on(&o.upgrade, "upgrade", "ignore the existing lock")
	s.list(&o.upgradePackages, "upgrade-package", "do not keep the locked version of the package `NAME`")
	s.text(&o.libc, "libc", "lock for the C library `LIBC`, such as glibc:2.36 or musl:1.2 (default: the base's, else "+dist.DefaultLibc+")")
	o.out.bind(s)
	o.base.bind(s)
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "lock")
	return &cli.Command{
		Name:      "lock",
		Usage:     "decide every package of a model's environment, with hashes",
		ArgsUsage: "MODEL",
		Description: "Writes a lock (pylock.toml, PEP 751) of all packages that MODEL, a model directory or\n" +
			"its MLmodel file, needs on a platform. An existing lock is kept wherever it still fits, so\n" +
			"that changing one requirement does not move the rest. Needs no Python.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.lock(ctx, args, o) }),
	}
}

func (a *app) lock(ctx context.Context, args []string, o *lockCommandOptions) (err error) {
	in, err := o.model.open(args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := a.reportForLock(o.out, in.Spec.Findings); err != nil {
		return err
	}
	r := lockRequest{in: in, dir: filepath.Dir(o.output), keep: lock.Keep{UpgradeAll: o.upgrade, Upgrade: packageNames(o.upgradePackages)}}
	var old []byte
	if o.output != "-" {
		if r.keep.Lock, old, err = readLock(o.output); err != nil {
			return err
		}
	}
	if o.check && r.keep.Lock == nil {
		return &usageError{msg: "there is no lock " + o.output + " to be checked"}
	}
	if err := a.lockTargets(ctx, o, &r); err != nil {
		return err
	}
	defer collectLate()()
	show := a.lockProgress(o.out)
	r.warn = show.warn
	if r.client, err = a.indexClient(o.model.index, in.Spec, show.event); err != nil {
		return err
	}
	l, err := o.lock.solve(ctx, r)
	show.end()
	if err != nil {
		return err
	}
	if o.check {
		return a.checkLock(o.output, r.keep.Lock, l)
	}
	return a.writeLock(ctx, o.output, lockFile{l, r.keep.Lock, old}, show)
}

// lockFile is a lock to be written, and what is in its file before.
type lockFile struct {
	now, before *pylock.Lock
	text        []byte // of before
}

// writeLock writes a lock unless the file says the same already.
func (a *app) writeLock(ctx context.Context, output string, l lockFile, show *lockProgress) error {
	data := pylock.Format(l.now)
	switch {
	case output == "-":
		_, err := a.stdout.Write(data)
		return err
	case bytes.Equal(l.text, data):
		show.say("%s is up to date: %s", output, plural(len(l.now.Packages), "package"))
		return nil
	}
	if err := writeOutput(ctx, output, data); err != nil {
		return err
	}
	if l.before != nil {
		for _, change := range diff.Locks(l.before, l.now) {
			show.say("  %s", changeText(change))
		}
	}
	show.say("wrote %s: %s", output, plural(len(l.now.Packages), "package"))
	return nil
}

// lockTargets finds what is locked for: where a base is given, what it is like, else the flags'
// platforms. A C library that was asked for wins over both.
func (a *app) lockTargets(ctx context.Context, o *lockCommandOptions, r *lockRequest) (err error) {
	python := r.in.Spec.Python.Version
	var libc dist.Libc
	if o.libc != "" {
		if libc, err = dist.ParseLibc(o.libc); err != nil {
			return &usageError{msg: "--libc: " + err.Error()}
		}
	}
	if o.base.ref == "" {
		r.targets, err = defaultTargets(o.base, python, o.libc)
		return err
	}
	bases, findings, err := a.openBases(ctx, o.base, python)
	if err != nil {
		return err
	}
	if err := a.reportForLock(o.out, findings); err != nil {
		return err
	}
	r.bases = bases
	r.targets = base.Targets(bases)
	if o.libc == "" {
		return nil
	}
	for i := range r.targets {
		r.targets[i].Libc = libc
	}
	return nil
}

// checkLock compares what the lock is with what it would be now.
func (a *app) checkLock(name string, old, now *pylock.Lock) error {
	changes := diff.Locks(old, now)
	if len(changes) == 0 {
		return nil
	}
	s := a.console()
	s.print("%s no longer fits the model:", name)
	for _, change := range changes {
		s.print("  %s", changeText(change))
	}
	return &findingsError{count: len(changes)}
}

// collectLate has garbage collected seldom while there is little of it, as in locking from a full
// cache, and often once there is much: the pages of large projects, read by the dozen at once. It
// gives what undoes this.
func collectLate() (undo func()) {
	percent, limit := debug.SetGCPercent(400), debug.SetMemoryLimit(128<<20)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}
