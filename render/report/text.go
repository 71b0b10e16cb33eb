package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mlenv/render/printable"
	"mlenv/resolve/finding"
)

// Style is the meaning of a piece of text, which decides its colour.
type Style int

// The styles.
const (
	Heading Style = iota
	ErrorStyle
	WarningStyle
	NoteStyle
	Faint
)

// Paint colours text. Nil means no colours.
type Paint func(Style, string) string

func severityStyle(s finding.Severity) Style {
	switch s {
	case finding.Error:
		return ErrorStyle
	case finding.Warning:
		return WarningStyle
	}
	return NoteStyle
}

// group is the findings of one severity in one file.
type group struct {
	severity finding.Severity
	file     string // "" for findings without a position
	findings []finding.Finding
}

// groups orders findings by severity, the worst first, then by file, MLmodel first, then by line.
func groups(findings []finding.Finding) []group {
	var out []group
	for _, f := range findings {
		o, _ := place(f)
		i := slices.IndexFunc(out, func(g group) bool { return g.file == o.File && g.severity == f.Severity })
		if i < 0 {
			i = len(out)
			out = append(out, group{severity: f.Severity, file: o.File})
		}
		out[i].findings = append(out[i].findings, f)
	}
	order := func(file string) int {
		switch file {
		case "MLmodel":
			return 0
		case "":
			return 2
		}
		return 1
	}
	worse := func(a, b finding.Severity) int {
		switch {
		case a == b:
			return 0
		case a.AtLeast(b):
			return -1
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b group) int {
		return cmp.Or(worse(a.severity, b.severity), cmp.Compare(order(a.file), order(b.file)), cmp.Compare(a.file, b.file))
	})
	for _, g := range out {
		slices.SortStableFunc(g.findings, func(a, b finding.Finding) int {
			x, _ := place(a)
			y, _ := place(b)
			return cmp.Compare(x.Line, y.Line)
		})
	}
	return out
}

// text formats the report for people. Findings are grouped by file, and each line is shown once,
// with the subject underlined.
func (r *Report) text(paint Paint) []byte {
	if paint == nil {
		paint = func(_ Style, s string) string { return s }
	}
	var b strings.Builder
	helped := map[finding.ID]bool{} // what helps against a rule is said once
	for _, g := range groups(r.Findings) {
		title := g.file
		if title == "" {
			title = "the model as a whole"
		}
		fmt.Fprintln(&b, paint(Heading, printable.Line(title)))
		shown := finding.Origin{Line: -1}
		for _, f := range g.findings {
			o, _ := place(f)
			if o.Line > 0 && o.Text != "" && o != shown {
				b.WriteString(excerpt(f, o, paint))
			}
			shown = o
			writeFinding(&b, f, o, paint)
			if help := r.rule(f.Rule).Help; help != "" && !helped[f.Rule] {
				helped[f.Rule] = true
				fmt.Fprintf(&b, "    %s %s\n", paint(Faint, "help:"), help)
			}
		}
		b.WriteByte('\n')
	}
	b.WriteString(r.summary())
	return []byte(b.String())
}

// excerpt returns the line, and below it carets under the subject or, if that is not in the line,
// under the whole line.
func excerpt(f finding.Finding, o finding.Origin, paint Paint) string {
	number := fmt.Sprintf("%5d | ", o.Line)
	text := strings.Join(strings.Fields(printable.Line(o.Text)), " ")
	start, width := 0, utf8.RuneCountInString(text)
	if i := strings.Index(strings.ToLower(text), strings.ToLower(f.Subject)); i >= 0 && f.Subject != "" && len(strings.ToLower(text)) == len(text) {
		start, width = utf8.RuneCountInString(text[:i]), utf8.RuneCountInString(f.Subject)
	}
	caret := strings.Repeat(" ", utf8.RuneCountInString(number)-2) + "| " + strings.Repeat(" ", start) +
		paint(severityStyle(f.Severity), strings.Repeat("^", max(width, 1)))
	return paint(Faint, number) + text + "\n" + caret + "\n"
}

// printableLines escapes control characters in a message of several lines, so that a file of the
// model cannot control the terminal or log that shows it.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable.Line(lines[i])
	}
	return strings.Join(lines, "\n")
}

func writeFinding(b *strings.Builder, f finding.Finding, shown finding.Origin, paint Paint) {
	message := strings.ReplaceAll(printableLines(f.Message), "\n", "\n    ")
	if shown.Line > 0 && shown.Text == "" {
		message = fmt.Sprintf("line %d: %s", shown.Line, message)
	}
	fmt.Fprintf(b, "  %s %s %s\n", paint(severityStyle(f.Severity), string(f.Severity)+":"), message, paint(Faint, "["+string(f.Rule)+"]"))
	for _, o := range others(f, shown) {
		line := "    also " + printable.Line(o.String())
		if o.Text != "" && o.File != shown.File {
			line += ": " + printable.Line(o.Text)
		}
		fmt.Fprintln(b, paint(Faint, line))
	}
}

// summary counts the findings, and the rules that could not find any.
func (r *Report) summary() string {
	errors, warnings, infos := r.counts()
	s := "0 findings"
	if len(r.Findings) > 0 {
		s = plural(errors, "error") + ", " + plural(warnings, "warning") + ", " + fmt.Sprintf("%d info", infos)
	}
	if n := len(r.Excepted); n > 0 {
		s += " (" + plural(n, "finding") + " excepted by the policy)"
	}
	if r.Ran.Rules > 0 {
		s += fmt.Sprintf("; %d rules", r.Ran.Rules)
	}
	if r.Ran.NotRun > 0 {
		s += fmt.Sprintf(", %d not run: they need %s", r.Ran.NotRun, orList(r.Ran.Needs))
	}
	return s + "\n"
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
