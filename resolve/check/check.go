// Package check compares what a model declares, what its files contain, what a lock pins and what a
// policy allows, and reports the differences as findings. It does no input or output of its own:
// files are read through the model's fs.FS, and the caller provides the date, the vulnerabilities
// and the releases.
package check

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mlenv/resolve"
	"mlenv/resolve/dist"
	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Input is what to check. Spec and Model are required. Rules whose input is missing report nothing.
type Input struct {
	Spec  *resolve.Spec
	Model *model.Model
	Lock  *Lock
	// NoSolution says why a lock is impossible. It is "" if one is possible or was not attempted.
	NoSolution string
	// Targets are the platforms that every locked package must fit. A zero Python means the
	// model's.
	Targets []dist.Target
	// Today is the date of the check. If it is zero, rules that depend on the date are skipped.
	Today time.Time
	// Advisories are known vulnerabilities.
	Advisories *Advisories
	// Upgrades are the versions of vulnerable packages that locking them anew gives, if it was tried;
	// zero for one that is no longer needed.
	Upgrades map[pep508.Name]pep440.Version
	// Libraries are the shared libraries in a base image and in the locked wheels, or nil if no
	// base was given.
	Libraries *Libraries
	// Releases are the files that an index lists for the locked packages.
	Releases map[pep508.Name][]dist.File
	// Licences are the SPDX expressions, or the nearest equivalent, of the locked packages whose
	// metadata was read; "" if the metadata names none.
	Licences map[pep508.Name]string
	// BaseName is the reference of the base image, or "" if none was given.
	BaseName string
	// Platform is what the platform that is to run the model's image would refuse, see serving.Target.
	Platform finding.List
	// Policy decides on rules and packages; nil is the default.
	Policy *Policy
}

// Lock is a lock and the name that findings use for it.
type Lock struct {
	*pylock.Lock
	Name string // "pylock.toml"; "" for a lock that is not in a file
	Data []byte // the text, for line numbers; may be nil
}

// Report is the result of Run.
type Report struct {
	Findings finding.List // worst first
	Excepted []Excepted   // findings that an exception of the policy covers
}

// Excepted is a finding that an exception of the policy covers.
type Excepted struct {
	finding.Finding
	Reason string
}

// Run applies every rule. Errors come from the file system only: what is wrong with the contents of
// files is a finding.
func Run(in Input) (*Report, error) {
	c := &checker{in: in, text: map[string][]string{}, lines: map[place]string{}}
	c.findings = slices.Concat(in.Spec.Findings, in.Platform)
	steps := []func(){
		c.requirements, c.buildDependencies, c.pythonEndOfLife,
		c.modelFiles, c.variables, c.flavors, c.code, c.imports, c.signature,
	}
	if in.NoSolution != "" {
		c.find(finding.UnsatisfiableEnvironment, "requirements", nil, "%s", in.NoSolution)
	}
	if in.Lock != nil {
		steps = append(steps, c.lock, c.targets, c.vulnerabilities, c.releases, c.libraries, c.accelerator)
	}
	for _, step := range steps {
		step()
	}
	c.policy()
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return in.Policy.apply(c.findings, in.Today), nil
}

// Image gives the report on an image of which nothing but its shape was looked at.
func Image(refused finding.List, p *Policy, today time.Time) *Report { return p.apply(refused, today) }

// FromError turns what is wrong with the form of a model's files into findings. It is false where
// err holds anything else, which no finding can say.
func FromError(err error, p *Policy, today time.Time) (*Report, bool) {
	var findings finding.List
	for _, e := range flatten(err) {
		var bad *envfile.Error
		if !errors.As(e, &bad) {
			return nil, false
		}
		message := bad.Msg
		if bad.Hint != "" {
			message += "; " + bad.Hint
		}
		findings.Add(ruleOf(bad), bad.File, []finding.Origin{{File: bad.File, Line: bad.Line}}, "%s", message)
	}
	if len(findings) == 0 {
		return nil, false
	}
	return p.apply(findings, today), true
}

// ruleOf returns the rule for an error in a file.
func ruleOf(e *envfile.Error) finding.ID {
	switch {
	case e.Kind == envfile.NotThere:
		return finding.MissingModelFile
	case e.Kind == envfile.Outside && e.File == "MLmodel":
		return finding.PathOutsideModel
	case e.Kind == envfile.Outside:
		return finding.LocalPath
	}
	return finding.UnreadableFile
}

// flatten returns the errors that were joined to err.
func flatten(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, one := range joined.Unwrap() {
				all = append(all, flatten(one)...)
			}
			return all
		}
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// checker collects findings.
type checker struct {
	in       Input
	findings finding.List
	errs     []error
	text     map[string][]string // lines of the files read for origins
	lines    map[place]string    // those of them that were shown, as they are shown

	lockLines map[pep508.Name]finding.Origin
	tree      sourceTree
}

// find reports a finding of a rule.
func (c *checker) find(rule finding.ID, subject string, from []finding.Origin, format string, args ...any) {
	c.findings.Add(rule, subject, from, format, args...)
}

// fail records an error that makes the check fail, such as a file that cannot be read.
func (c *checker) fail(err error) { c.errs = append(c.errs, err) }

// origin returns the Origin for a line of a file in the model, with its text.
func (c *checker) origin(file string, line int) finding.Origin {
	o := finding.Origin{File: file, Line: line}
	lines, ok := c.text[file]
	if !ok {
		if data, err := c.readStart(file); err == nil {
			lines = strings.Split(string(data), "\n")
		}
		c.text[file] = lines
	}
	if line > 0 && line <= len(lines) {
		// A line of megabytes may have a thousand findings: it is looked through once.
		at := place{file, line}
		text, ok := c.lines[at]
		if !ok {
			text = shown(lines[line-1])
			c.lines[at] = text
		}
		o.Text = text
	}
	return o
}

// place is a line of a file.
type place struct {
	file string
	line int
}

// shown returns a line as a report may show it: not too long, and without credentials.
func shown(line string) string {
	const most = 160
	line, _ = envfile.StripCredentials(strings.TrimSpace(line))
	if len(line) > most && utf8.RuneCountInString(line) > most {
		// Four bytes are the longest rune.
		line = string([]rune(line[:4*most])[:most]) + "…"
	}
	return line
}

// from returns the origin of a value in MLmodel.
func (c *checker) from(v model.Value) []finding.Origin {
	if v.Line == 0 {
		return []finding.Origin{{File: c.in.Model.MLmodel}}
	}
	return []finding.Origin{c.origin(v.File, v.Line)}
}

// list joins words for a sentence: "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
