package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"mlenv/resolve/diff"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/pylock"
)

func lockCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:      "lock",
		Usage:     "decide every package of a model's environment, with hashes",
		ArgsUsage: "MODEL",
		Description: "Writes a lock (pylock.toml, PEP 751) of all packages that MODEL, a model directory or\n" +
			"its MLmodel file, needs on a platform. An existing lock is kept wherever it still fits, so\n" +
			"that changing one requirement does not move the rest. Needs no Python.",
		Flags: slicesOf(
			[]cli.Flag{
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "pylock.toml", Usage: "write to `FILE`, - for stdout"},
				&cli.BoolFlag{Name: "check", Usage: "write nothing; exit with 2 if the lock no longer fits the model", DisableDefaultText: true},
				&cli.BoolFlag{Name: "upgrade", Usage: "keep nothing of the existing lock", DisableDefaultText: true},
				&cli.StringSliceFlag{Name: "upgrade-package", Usage: "do not keep the locked version of the package `NAME` (repeatable)"},
				&cli.StringFlag{Name: "libc", Usage: "lock for the C library `LIBC`, such as glibc:2.36 or musl:1.2 (default: the base's, else " + dist.DefaultLibc + ")"},
				&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors alone", DisableDefaultText: true},
				&cli.BoolFlag{Name: "verbose", Usage: "print every step", DisableDefaultText: true},
				strictFlag(),
			}, baseFlags(), lockFlags(), inputFlags()),
		Action: a.runLock,
	}
}

// slicesOf joins groups of flags.
func slicesOf(groups ...[]cli.Flag) (all []cli.Flag) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func (a *app) runLock(c *cli.Context) (err error) {
	in, err := a.readInputs(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := a.reportForLock(c, in.Spec.Findings); err != nil {
		return err
	}
	output := c.String("output")
	r := lockRequest{Inputs: in, Dir: filepath.Dir(output)}
	var old []byte
	if output != "-" {
		if r.Previous, old, err = readLock(output); err != nil {
			return err
		}
	}
	if c.Bool("check") && r.Previous == nil {
		return &usageError{msg: "there is no lock " + output + " to be checked", command: c.Command.Name}
	}
	if err := a.lockTargets(c, &r); err != nil {
		return err
	}
	defer collectLate()()
	show := a.lockProgress(c)
	if r.Client, err = a.indexClient(c, in.Spec, show.event); err != nil {
		return err
	}
	r.Warn = show.warn
	l, err := a.lockModel(c.Context, c, r)
	show.end()
	if err != nil {
		return err
	}
	if c.Bool("check") {
		return a.checkLock(output, r.Previous, l)
	}
	data := pylock.Format(l)
	switch {
	case output == "-":
		_, err = a.stdout.Write(data)
		return err
	case bytes.Equal(old, data):
		show.say("%s is up to date: %s", output, plural(len(l.Packages), "package"))
		return nil
	}
	if err := writeOutput(c.Context, output, data); err != nil {
		return err
	}
	if r.Previous != nil {
		for _, change := range diff.Locks(r.Previous, l) {
			show.say("  %s", changeText(change))
		}
	}
	show.say("wrote %s: %s", output, plural(len(l.Packages), "package"))
	return nil
}

// reportForLock prints what resolve found. With errors among it there is no environment to lock.
func (a *app) reportForLock(c *cli.Context, findings finding.List) error {
	var shown finding.List
	for _, f := range findings {
		if f.Severity == finding.Error || f.Severity == finding.Warning && (!c.Bool("quiet") || c.Bool("strict")) {
			shown = append(shown, f)
		}
	}
	return a.report(shown, c.Bool("strict"))
}

// lockTargets finds what is locked for: the flags', and where a base is given, the base's.
func (a *app) lockTargets(c *cli.Context, r *lockRequest) error {
	wanted, err := platforms(c)
	if err != nil {
		return err
	}
	python := r.Inputs.Spec.Python.Version
	libcText := c.String("libc")
	for _, p := range wanted {
		var t dist.Target
		if ref := c.String("base"); ref != "" {
			b, err := a.openBase(c.Context, ref, python.String(), p)
			if err != nil {
				return err
			}
			if err := a.reportForLock(c, b.Findings); err != nil {
				return err
			}
			if t, err = b.Base.Target(); err != nil {
				return err
			}
			if libcText != "" {
				if t.Libc, err = dist.ParseLibc(libcText); err != nil {
					return &usageError{msg: "--libc: " + err.Error(), command: c.Command.Name}
				}
			}
			r.BaseName = ref
			// Of several platforms each has a digest of its own; a lock names one only if there is one.
			if r.BaseDigest = b.Base.Digest; len(wanted) > 1 {
				r.BaseDigest = ""
			}
		} else {
			if python.IsZero() {
				return errNoPython
			}
			if t, err = dist.NewTarget(p.OS, p.Architecture, python, libcText); err != nil {
				return &usageError{msg: "--libc: " + err.Error(), command: c.Command.Name}
			}
		}
		r.Targets = append(r.Targets, t)
	}
	return nil
}

// checkLock compares what the lock is with what it would be now.
func (a *app) checkLock(name string, old, now *pylock.Lock) error {
	changes := diff.Locks(old, now)
	if len(changes) == 0 {
		return nil
	}
	fmt.Fprintf(a.stderr, "%s no longer fits the model:\n", name)
	for _, change := range changes {
		fmt.Fprintf(a.stderr, "  %s\n", changeText(change))
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
