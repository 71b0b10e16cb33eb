package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	vex            string
	online         bool
	date           string
	listRules      bool
	explain        string
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
	s.text(&o.vex, "vex", "write the vulnerabilities that the policy excepts to `FILE`, as OpenVEX, so that scanners except them too")
	s.list(&o.base.names, "platform", "every locked package must have a wheel for `OS/ARCH`")
	s.text(&o.base.ref, "base", "the lock must fit the base `IMAGE`, and what wheels need of it must be there")
	s.on(&o.online, "online", "ask the index whether locked files are yanked or gone, and for licences; without --lock, whether the requirements can be met")
	bindTarget(s, &o.target, "say what the `PLATFORM` would refuse of the model's image, as mlenv image --target builds it")
	s.text(&o.date, "date", "check as of `YYYY-MM-DD` instead of today")
	s.on(&o.listRules, "list-rules", "print the rules and exit")
	s.text(&o.explain, "explain", "print what there is to say of the rule `RULE`, and exit")
	o.lock.bind(s, &o.model.index)
	o.model.bind(s, "check")
	o.model.key.bind(s)
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "check",
		Usage:     "find what would go wrong with a model before it is deployed",
		ArgsUsage: "MODEL...",
		Description: "Compares what MODEL, a directory, an MLmodel file or a URI, declares with what its files hold,\n" +
			"with a lock and with a policy. Needs no network unless --online is given. With --target it says\n" +
			"what a platform would refuse, and MODEL may be an image too. docs/rules.md\n" +
			"describes the rules, --explain one of them. Several MODELs are checked each for itself. Exits with 2\n" +
			"if there are findings at or above --fail-on.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.check(ctx, args, o) }),
	}
}

func (a *app) check(ctx context.Context, args []string, o *checkOptions) error {
	switch {
	case o.listRules:
		_, err := a.stdout.Write(listRules(finding.Rules()))
		return err
	case o.explain != "":
		return a.explainRule(o.explain)
	case len(args) > 1:
		return a.checkAll(ctx, args, o)
	}
	found, data, err := a.checkOne(ctx, args, o)
	if err != nil {
		return err
	}
	return a.finishCheck(ctx, o, data, found)
}

// checkOne checks one model, and returns how many findings count and the report. Rules whose inputs are
// missing, such as a lock, say that they did not run: silence must mean that all is well.
func (a *app) checkOne(ctx context.Context, args []string, o *checkOptions) (count int, data []byte, err error) {
	r := &checkRun{app: a, o: o}
	if err := r.prepare(args); err != nil {
		return 0, nil, err
	}
	found, err := r.check(ctx, args)
	if err != nil {
		return 0, nil, err
	}
	if err := r.writeVEX(ctx, found); err != nil {
		return 0, nil, err
	}
	if s := r.threshold(); s != "" {
		count = found.Findings.AtLeast(s)
	}
	data, err = r.report(found)
	return count, data, err
}

// checkAll checks several models, each for itself, and writes their reports in one: as text below each
// other, as JSON in a list.
func (a *app) checkAll(ctx context.Context, models []string, o *checkOptions) error {
	switch {
	case o.format == "sarif" || o.format == "junit":
		return &usageError{msg: "--format " + o.format + " is of one MODEL", hint: "run mlenv check once for each"}
	case o.vex != "":
		return &usageError{msg: "--vex is of one MODEL", hint: "run mlenv check once for each"}
	case o.lockFile != "":
		return &usageError{msg: "--lock is of one MODEL, but there is also " + strconv.Quote(models[1])}
	}
	var all [][]byte
	total := 0
	for _, model := range models {
		count, data, err := a.checkOne(ctx, []string{model}, o)
		if err != nil {
			return fmt.Errorf("checking %s: %w", model, err)
		}
		total += count
		if o.format == "text" {
			data = append([]byte(filepath.ToSlash(model)+":\n"), data...)
		}
		all = append(all, bytes.TrimRight(data, "\n"))
	}
	switch o.format {
	case "json":
		return a.finishCheck(ctx, o, slices.Concat([]byte("[\n"), bytes.Join(all, []byte(",\n")), []byte("\n]\n")), total)
	case "text":
		return a.finishCheck(ctx, o, append(bytes.Join(all, []byte("\n\n")), '\n'), total)
	}
	return a.finishCheck(ctx, o, append(bytes.Join(all, []byte("\n")), '\n'), total)
}

// finishCheck writes the report. The error is of the findings that count.
func (a *app) finishCheck(ctx context.Context, o *checkOptions, data []byte, count int) (err error) {
	if o.output == "-" {
		_, err = a.stdout.Write(data)
	} else {
		err = writeOutput(ctx, o.output, data)
	}
	if err == nil && count > 0 {
		err = &findingsError{count: count}
	}
	return err
}

// explainRule prints what there is to say of a rule.
func (a *app) explainRule(id string) error {
	rule, ok := finding.Lookup(finding.ID(id))
	if !ok {
		return &usageError{msg: fmt.Sprintf("there is no rule %q", id), hint: "mlenv check --list-rules prints them"}
	}
	_, err := fmt.Fprintf(a.stdout, "%s (%s, %s)\n\n%s.\n\n%s\n", rule.ID, rule.Category, rule.Severity,
		strings.ToUpper(rule.Summary[:1])+rule.Summary[1:], rule.Help)
	return err
}

// checkRun is one run of the command.
type checkRun struct {
	app   *app
	o     *checkOptions
	model string
	in    check.Input

	target *serving.Target // nil: none was given
}

// prepare reads everything but the model, so that what is wrong with the command line is said
// whatever the model is like.
func (r *checkRun) prepare(args []string) (err error) {
	if r.model, err = oneArgument(args, "check", "MODEL"); err != nil {
		return err
	}
	if r.target, err = readTarget(r.o.target); err != nil {
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
	}{{"osv", len(r.o.osv) > 0}, {"vex", r.o.vex != ""}, {"platform", len(r.o.base.names) > 0 && r.target == nil}} {
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

// report is the report of one model.
func (r *checkRun) report(found *check.Report) ([]byte, error) {
	out := &report.Report{
		Model: filepath.ToSlash(r.model), Tool: "mlenv " + versionNumber(), Ran: ranRules(r.in),
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
	return out.Format(r.o.format, paint)
}

// ranRules counts the rules that could be applied, and names the flags that would have let all be.
func ranRules(in check.Input) report.Ran {
	rules, lacking := check.NotRun(in)
	out := report.Ran{Rules: rules}
	for _, need := range []struct {
		check.Need
		flag string
	}{{check.NeedsLock, "--lock"}, {check.NeedsOnline, "--online"}, {check.NeedsBase, "--base"}, {check.NeedsAdvisories, "--osv"}, {check.NeedsPolicy, "--policy"}} {
		if n := lacking[need.Need]; n > 0 {
			out.NotRun += n
			out.Needs = append(out.Needs, need.flag)
		}
	}
	return out
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
