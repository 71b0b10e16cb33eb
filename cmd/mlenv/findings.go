package main

import (
	"fmt"
	"strings"
	"time"

	"mlenv/resolve/finding"
)

// judge prints findings with the severities of the policy. The error is of those that end the command;
// then it says what would let it go on, since nothing will be written.
func (a *app) judge(o outputOptions, findings finding.List) error {
	err := a.report(a.shown(o, findings), o.threshold())
	if err != nil {
		let := "--fail-on never goes on all the same, and so does a policy that lowers their rules (--policy FILE, docs/policy.md)"
		if o.strict {
			let = "without --strict, warnings do not count"
		}
		s := a.console()
		s.print("%s nothing was written; %s", s.paint(cyan, "hint:"), let)
	}
	return err
}

// shown are the findings that are printed, as the policy has them.
func (a *app) shown(o outputOptions, findings finding.List) finding.List {
	var shown finding.List
	for _, f := range o.rules.Judge(findings, time.Now().UTC()) {
		if !o.quiet || f.Severity == finding.Error || o.threshold() != "" && f.Severity.AtLeast(o.threshold()) {
			shown = append(shown, f)
		}
	}
	return shown
}

// report prints findings on stderr, and returns an error for exit code 2 if some of them are of the
// severity or worse; with "" none is.
func (a *app) report(findings finding.List, failOn finding.Severity) error {
	s := a.console()
	for _, f := range findings {
		s.print("%s %s %s", s.paint(severityColour(f.Severity), string(f.Severity)+":"),
			f.Message, s.paint(faint, "["+string(f.Rule)+"]"))
		width := 0
		for _, o := range f.From {
			width = max(width, len(o.String()))
		}
		for _, o := range f.From {
			line := fmt.Sprintf("    %-*s  %s", width, o.String(), o.Text)
			s.print("%s", s.paint(faint, strings.TrimRight(line, " ")))
		}
	}
	if len(findings) > 0 {
		s.print("%s, %s, %d info", plural(findings.Count(finding.Error), "error"),
			plural(findings.Count(finding.Warning), "warning"), findings.Count(finding.Info))
	}
	if failOn == "" {
		return nil
	}
	if bad := findings.AtLeast(failOn); bad > 0 {
		return &findingsError{count: bad}
	}
	return nil
}

func severityColour(s finding.Severity) colour {
	switch s {
	case finding.Error:
		return red
	case finding.Warning:
		return yellow
	}
	return cyan
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
