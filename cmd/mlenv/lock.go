package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

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
	dryRun          bool
	upgrade         bool
	upgradePackages []string
	libc            string
}

func lockCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &lockCommandOptions{output: "pylock.toml"}
	s.text(&o.output, "output, o", "write to `FILE`, - for stdout")
	s.on(&o.check, "check", "write nothing; exit with 2 if the lock no longer fits the model")
	s.on(&o.dryRun, "dry-run", "write nothing; print how much there is to download, and how large the image will be")
	s.on(&o.upgrade, "upgrade", "ignore the existing lock")
	s.list(&o.upgradePackages, "upgrade-package", "do not keep the locked version of the package `NAME`")
	s.text(&o.libc, "libc", "lock for the C library `LIBC`, such as glibc:2.36 or musl:1.2 (default: the base's, else "+dist.DefaultLibc+")")
	o.out.bind(s)
	o.base.bind(s)
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "lock")
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "lock",
		Usage:     "decide every package of a model's environment, with hashes",
		ArgsUsage: "MODEL",
		Description: "Writes a lock (pylock.toml, PEP 751) of all packages that MODEL, a directory, an MLmodel\n" +
			"file or a URI, needs on a platform. An existing lock is kept wherever it still fits, so\n" +
			"that changing one requirement does not move the rest. Needs no Python.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.lock(ctx, args, o) }),
	}
}

func (a *app) lock(ctx context.Context, args []string, o *lockCommandOptions) (err error) {
	a.verbose = o.out.verbose
	if err := o.out.read(&o.model); err != nil {
		return err
	}
	in, err := o.model.open(ctx, a, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := a.reportForLock(o.out, in.Spec.Findings); err != nil {
		return err
	}
	r := lockRequest{in: in, dir: in.lockDir(o.output), keep: lock.Keep{UpgradeAll: o.upgrade, Upgrade: packageNames(o.upgradePackages)}}
	var old []byte
	if o.output != "-" {
		if r.keep.Lock, old, err = readLock(o.output); err != nil {
			return err
		}
	}
	if !o.upgrade {
		o.model.index.keep(r.keep.Lock)
	}
	r.index = o.model.index
	if o.check && r.keep.Lock == nil {
		return &usageError{msg: "there is no lock " + o.output + " to be checked"}
	}
	show := a.lockProgress(o.out)
	a.say, r.warn = show.say, show.warn
	if o.out.verbose {
		r.note = func(text string) { show.say("passed over: %s", text) }
	}
	if err := a.lockTargets(ctx, o, &r); err != nil {
		return err
	}
	defer collectLate()() // from here on, most memory is that of pages and metadata
	began := a.clock()
	if r.client, err = a.indexClient(o.model.index, in, show.event); err != nil {
		return err
	}
	l, err := o.lock.solve(ctx, r)
	show.end()
	if err != nil {
		return err
	}
	if err := o.checkNames(r.keep.Lock, l, show); err != nil {
		return err
	}
	if o.check {
		return a.checkLock(o.output, r.keep.Lock, l)
	}
	if o.dryRun {
		return a.forecast(ctx, forecaster{lock: l, dir: r.dir, client: r.client, in: in}, r)
	}
	if !pylock.ValidFileName(o.output) && o.output != "-" {
		show.warn(fmt.Sprintf("pip and uv take a lock only under the name pylock.toml or pylock.NAME.toml (PEP 751), not %s", filepath.Base(o.output)))
	}
	summary := lockSummary(l, r.client.Locations(), a.clock().Sub(began))
	return a.writeLock(ctx, o.output, lockFile{l, r.keep.Lock, old, summary}, show)
}

// lockFile is a lock to be written, and what is in its file before. A file that says the same already is
// not touched: its time would have make and CI systems build again.
type lockFile struct {
	now, before *pylock.Lock
	text        []byte // of before
	summary     string // of now
}

// lockSummary says how much was locked, for what, from where, and in which time.
func lockSummary(l *pylock.Lock, from []string, took time.Duration) string {
	t := l.Tool
	text := plural(len(l.Packages), "package") + " for Python " + t.Python.String()
	for i, target := range t.Targets {
		text += []string{" on ", ", "}[min(i, 1)] + target.Platform() + " (" + target.Libc.String() + ")"
	}
	if !t.ExcludeNewer.IsZero() {
		text += ", uploaded before " + t.ExcludeNewer.UTC().Format(time.RFC3339)
	}
	if len(from) > 0 {
		text += ", from " + strings.Join(from, " and ")
	}
	for _, x := range t.Indexes {
		text += fmt.Sprintf(", %s from %s", strings.Join(texts(x.Packages), ", "), x.URL)
	}
	if t.TorchBackend != "" {
		text += ", PyTorch for " + t.TorchBackend
	}
	return fmt.Sprintf("%s, in %.1f s", text, took.Seconds())
}

// checkNames makes sure that what flags say of packages is said of packages that there are: a
// mistyped name would have no effect, in silence. What --no-binary names may well be missing, if the
// same flags are given for many models; there only what looks like a mistake is worth a warning.
func (o *lockCommandOptions) checkNames(before, now *pylock.Lock, show *lockProgress) error {
	var names []string
	for _, l := range []*pylock.Lock{now, before} {
		for i := 0; l != nil && i < len(l.Packages); i++ {
			names = append(names, string(l.Packages[i].Name))
		}
	}
	for _, n := range packageNames(slices.Concat(o.lock.noBinary, o.lock.onlyBinary)) {
		if near := nearest(string(n), names); near != "" && n[0] != ':' && !slices.Contains(names, string(n)) {
			show.warn(fmt.Sprintf("no package %s is locked, which --no-binary or --only-binary names; did you mean %s?", n, near))
		}
	}
	for _, n := range packageNames(o.upgradePackages) {
		if slices.Contains(names, string(n)) {
			continue
		}
		e := &usageError{msg: fmt.Sprintf("--upgrade-package %s: neither the lock nor the model's environment has a package of that name", n)}
		if near := nearest(string(n), names); near != "" {
			e.hint = "did you mean " + near + "?"
		}
		return e
	}
	return nil
}

// writeLock writes a lock unless the file says the same already.
func (a *app) writeLock(ctx context.Context, output string, l lockFile, show *lockProgress) error {
	data := pylock.Format(l.now)
	switch {
	case output == "-":
		_, err := a.stdout.Write(data)
		return err
	case bytes.Equal(l.text, data):
		show.say("%s is up to date: %s", output, l.summary)
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
	show.say("wrote %s: %s", output, l.summary)
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

// checkLock compares what the lock is with what it would be now. "Now" keeps what the lock has wherever it
// fits, so that a new release on the index makes no lock out of date.
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
