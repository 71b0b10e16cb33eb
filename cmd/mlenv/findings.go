package main

import (
	"fmt"
	"strings"

	"mlenv/resolve"
)

// report prints findings on stderr, and gives an error for exit code 2 if there are errors among
// them, or with strict also warnings.
func (a *app) report(findings []resolve.Finding, strict bool) error {
	paint := a.painter(a.stderr)
	count := map[resolve.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
		fmt.Fprintf(a.stderr, "%s %s %s\n", paint(severityColour(f.Severity), string(f.Severity)+":"),
			f.Message, paint(faint, "["+f.Rule+"]"))
		width := 0
		for _, o := range f.From {
			width = max(width, len(place(o.File, o.Line)))
		}
		for _, o := range f.From {
			line := fmt.Sprintf("    %-*s  %s", width, place(o.File, o.Line), o.Text)
			fmt.Fprintln(a.stderr, paint(faint, strings.TrimRight(line, " ")))
		}
	}
	if len(findings) > 0 {
		fmt.Fprintf(a.stderr, "%s, %s, %s\n", plural(count[resolve.Error], "error"),
			plural(count[resolve.Warning], "warning"), plural(count[resolve.Info], "note"))
	}
	bad := count[resolve.Error]
	if strict {
		bad += count[resolve.Warning]
	}
	if bad > 0 {
		return &findingsError{count: bad}
	}
	return nil
}

func severityColour(s resolve.Severity) colour {
	switch s {
	case resolve.Error:
		return red
	case resolve.Warning:
		return yellow
	}
	return cyan
}

func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
