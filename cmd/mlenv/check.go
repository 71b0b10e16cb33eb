package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/render/report"
	"mlenv/resolve/check"
	"mlenv/resolve/check/gather"
	"mlenv/resolve/fetch"
	"mlenv/resolve/finding"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// checkOptions are the flags of check.
type checkOptions struct {
	model modelOptions
	lock  lockOptions
	base  baseOptions

	format, output string
	failOn         string
	lockFile       string
	policy         string
	osv            []string
	online         bool
	date           string
	listRules      bool
	target         string
}

func checkCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &checkOptions{output: "-"}
	s.oneOf(&o.format, "format", "output format", report.Formats...)
	s.text(&o.output, "output, o", "write the report to `FILE`, - for stdout")
	s.oneOf(&o.failOn, "fail-on", "exit with 2 if there are findings of this severity or worse", failOnWords...)
	s.text(&o.lockFile, "lock", "check the lock `FILE` too")
	s.text(&o.policy, "policy", "obey the policy `FILE` (docs/policy.md)")
	s.list(&o.osv, "osv", "look the lock's packages up in the OSV records of the folder or zip `PATH`")
	s.list(&o.base.names, "platform", "every locked package must have a wheel for `OS/ARCH`")
	s.text(&o.base.ref, "base", "the lock must fit the base `IMAGE`, and what wheels need of it must be there")
	s.on(&o.online, "online", "ask the index whether locked files are yanked or gone, and for licences; without --lock, whether the requirements can be met")
	bindTarget(s, &o.target, "say what the `PLATFORM` would refuse of the model's image, as mlenv image --target builds it")
	s.text(&o.date, "date", "check as of `YYYY-MM-DD` instead of today")
	s.on(&o.listRules, "list-rules", "print the rules and exit")
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "check")
	return &cli.Command{
		Name:      "check",
		Usage:     "find what would go wrong with a model before it is deployed",
		ArgsUsage: "MODEL",
		Description: "Compares what MODEL, a model directory or its MLmodel file, declares with what its files hold,\n" +
			"with a lock and with a policy. Needs no network unless --online is given. With --target it says\n" +
			"what a platform would refuse, and MODEL may be an image too. docs/rules.md describes the rules. Exits with 2 if there are findings at or above --fail-on.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.check(ctx, args, o) }),
	}
}

func (a *app) check(ctx context.Context, args []string, o *checkOptions) error {
	if o.listRules {
		_, err := a.stdout.Write(listRules(finding.Rules()))
		return err
	}
	r := &checkRun{app: a, o: o}
	if err := r.prepare(args); err != nil {
		return err
	}
	found, err := r.check(ctx, args)
	if err != nil {
		return err
	}
	if err := r.write(ctx, found); err != nil {
		return err
	}
	if s := r.threshold(); s != "" {
		if n := found.Findings.AtLeast(s); n > 0 {
			return &findingsError{count: n}
		}
	}
	return nil
}

// checkRun is one run of the command.
type checkRun struct {
	app   *app
	o     *checkOptions
	model string
	in    check.Input

	target   serving.Target
	targeted bool // there is one
}

// prepare reads everything but the model, so that what is wrong with the command line is said
// whatever the model is like.
func (r *checkRun) prepare(args []string) (err error) {
	if r.model, err = oneArgument(args, "check", "MODEL"); err != nil {
		return err
	}
	if r.target, r.targeted, err = readTarget(r.o.target); err != nil {
		return err
	}
	if r.in.Today, err = checkDate(r.o.date); err != nil {
		return err
	}
	if r.in.Policy, err = readPolicy(r.o.policy); err != nil {
		return err
	}
	r.o.model.obey(r.in.Policy)
	if r.o.lockFile != "" {
		if r.in.Lock, err = readCheckedLock(r.o.lockFile); err != nil {
			return err
		}
	}
	for _, flag := range []struct {
		name  string
		given bool
	}{{"osv", len(r.o.osv) > 0}, {"platform", len(r.o.base.names) > 0 && !r.targeted}} {
		if flag.given && r.in.Lock == nil && !r.o.online {
			return &usageError{msg: "--" + flag.name + " checks a lock: give it with --lock, or make one with --online"}
		}
	}
	r.in.Advisories, err = gather.Advisories(r.o.osv)
	return err
}

// checkDate is the day of checking: the flag's, else today (UTC).
func checkDate(text string) (time.Time, error) {
	if text == "" {
		return time.Now().UTC(), nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, &usageError{msg: fmt.Sprintf("--date %s is not a day such as 2027-01-31", text)}
	}
	return day, nil
}

func readCheckedLock(name string) (*check.Lock, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	lock, err := pylock.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return &check.Lock{Lock: lock, Name: filepath.ToSlash(name), Data: data}, nil
}

// check reads the model and applies the rules. A model whose files cannot be understood is a
// finding: a pipeline wants its report all the same.
func (r *checkRun) check(ctx context.Context, args []string) (_ *check.Report, err error) {
	if r.isImage() {
		return r.checkImage(ctx)
	}
	in, err := r.o.model.open(ctx, r.app, args)
	if err != nil {
		if found, ok := check.FromError(err, r.in.Policy, r.in.Today); ok && r.isModel() {
			return found, nil
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	r.in.Model, r.in.Spec = in.Model, in.Spec
	if r.in.Platform, err = r.refused(); err != nil {
		return nil, err
	}
	if err := r.gather(ctx, in); err != nil {
		return nil, err
	}
	return check.Run(r.in)
}

// isModel tells a model that is broken from a path at which there is none.
func (r *checkRun) isModel() bool {
	if fetch.Scheme(r.model) != "" {
		return true // what kept it from being fetched is no error of a file
	}
	_, err := os.Stat(filepath.Join(r.model, "MLmodel"))
	return err == nil || filepath.Base(r.model) == "MLmodel"
}

// threshold is the severity that fails the check, "" for none.
func (r *checkRun) threshold() finding.Severity {
	if r.o.failOn != "never" {
		return finding.Severity(r.o.failOn)
	}
	return ""
}

// write writes the report.
func (r *checkRun) write(ctx context.Context, found *check.Report) error {
	out := &report.Report{
		Model: filepath.ToSlash(r.model), Tool: "mlenv " + versionNumber(),
		Findings: found.Findings, Excepted: found.Excepted, Rules: finding.Rules(), FailOn: r.threshold(),
	}
	if r.in.Lock != nil && r.in.Lock.Name != "" {
		out.Outside = append(out.Outside, r.in.Lock.Name)
	}
	if r.in.Policy != nil {
		out.Outside = append(out.Outside, r.in.Policy.Name)
	}
	var paint report.Paint
	if r.o.output == "-" {
		paint = r.app.reportPaint()
	}
	data, err := out.Format(r.o.format, paint)
	if err != nil {
		return err
	}
	if r.o.output == "-" {
		_, err = r.app.stdout.Write(data)
		return err
	}
	return writeOutput(ctx, r.o.output, data)
}

// reportPaint gives the styles of a report their colours.
func (a *app) reportPaint() report.Paint {
	paint := a.painter(a.stdout)
	colours := map[report.Style]colour{report.Heading: bold, report.ErrorStyle: red,
		report.WarningStyle: yellow, report.NoteStyle: cyan, report.Faint: faint}
	return func(s report.Style, text string) string { return paint(colours[s], text) }
}

// listRules is the table of rules for people.
func listRules(rules []finding.Rule) []byte {
	width := 0
	for _, r := range rules {
		width = max(width, len(r.ID))
	}
	var b bytes.Buffer
	for i, category := range finding.Categories() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, category)
		for _, r := range rules {
			if r.Category == category {
				fmt.Fprintf(&b, "  %-*s  %-7s  %s\n", width, r.ID, r.Severity, r.Summary)
			}
		}
	}
	return b.Bytes()
}

// rulesReference is docs/rules.md.
func rulesReference(rules []finding.Rule) string {
	var b strings.Builder
	b.WriteString("# What mlenv check finds\n\n" +
		"Generated from the table of rules by `make golden`; `mlenv check --list-rules` prints it in short.\n" +
		"The severities are the defaults: [a policy](policy.md) changes them. Errors end `mlenv check` with\n" +
		"exit code 2, and so do warnings with `--fail-on warning`. `mlenv resolve` reports those rules that\n" +
		"concern the merging of a model's files.\n\n" +
		"A check needs no network but for `--online` and `--base`, and takes some 20 ms on the example models,\n" +
		"of which the rules are one to three (`go test -bench Examples ./resolve/check`).\n")
	for _, category := range finding.Categories() {
		name := string(category)
		fmt.Fprintf(&b, "\n## %s\n", strings.ToUpper(name[:1])+name[1:])
		for _, r := range slices.DeleteFunc(slices.Clone(rules), func(r finding.Rule) bool { return r.Category != category }) {
			fmt.Fprintf(&b, "\n### %s\n\n*%s*: %s.\n\n%s\n", r.ID, r.Severity, r.Summary, r.Help)
		}
	}
	return b.String()
}
