package main

import (
	"fmt"
	"mlenv/resolve/finding"
	"strings"
)

// report prints findings on stderr, and gives an error for exit code 2 if there are errors among
// them, or with strict also warnings.
func (a *app) report(findings finding.List, strict bool) error {
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
		s.print("%s, %s, %s", plural(findings.Count(finding.Error), "error"),
			plural(findings.Count(finding.Warning), "warning"), plural(findings.Count(finding.Info), "note"))
	}
	bad := findings.Count(finding.Error)
	if strict {
		bad += findings.Count(finding.Warning)
	}
	if bad > 0 {
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
