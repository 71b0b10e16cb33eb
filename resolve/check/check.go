// Package check compares what a model declares, what its files hold, what a lock pins and what a
// policy allows, and reports the differences as findings. It is pure: files are read through the
// model's fs.FS, and the date, the vulnerabilities and the releases come from the caller.
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
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Input is what is compared. Spec and Model are needed; rules whose input is missing are silent.
type Input struct {
	Spec  *resolve.Spec
	Model *model.Model
	Lock  *Lock
	// NoSolution says why no lock can be made, "" where one can or nobody has tried.
	NoSolution string
	// Targets are the platforms that every locked package must fit. A zero Python is the model's.
	Targets []dist.Target
	// Today is the day of checking; the zero Time leaves out what depends on it.
	Today time.Time
	// Advisories are known vulnerabilities.
	Advisories *Advisories
	// Libraries is what a base image and the locked wheels bring, nil where no base was given.
	Libraries *Libraries
	// Releases are the files that an index lists for the locked packages.
	Releases map[pep508.Name][]dist.File
	// Licences are the SPDX expressions, or what comes nearest, of locked packages whose metadata
	// was read; "" where it names none.
	Licences map[pep508.Name]string
	// BaseName is the reference of the base image, "" where none was given.
	BaseName string
	// Platform is what the platform that is to run the model's image would refuse, see serving.Target.
	Platform finding.List
	// Policy decides on rules and packages; nil is the default.
	Policy *Policy
}

// Lock is a lock file and the name under which findings speak of it.
type Lock struct {
	*pylock.Lock
	Name string // "pylock.toml"; "" for one that is in no file
	Data []byte // the text, for line numbers; may be nil
}

// Report is what Run finds.
type Report struct {
	Findings finding.List // worst first
	Excepted []Excepted   // those that the policy excepts
}

// Excepted is a finding that an exception of the policy covers.
type Excepted struct {
	finding.Finding
	Reason string
}

// Run applies every rule. The error is of the file system, never of what the files say.
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
		steps = append(steps, c.lock, c.targets, c.vulnerabilities, c.releases, c.libraries)
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

// ruleOf returns the rule that an error of a file breaks.
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

// flatten takes joined errors apart.
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

// fail notes an error that ends the check, such as a file that cannot be read.
func (c *checker) fail(err error) { c.errs = append(c.errs, err) }

// origin returns a place in a file of the model, with the text of the line.
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

// from returns the place of a value of MLmodel.
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
