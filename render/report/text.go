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

// Style is what a piece of text is, for whoever colours it.
type Style int

// The styles.
const (
	Heading Style = iota
	ErrorStyle
	WarningStyle
	NoteStyle
	Faint
)

// Paint colours text; nil leaves it as it is.
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

// group is the findings of one file.
type group struct {
	file     string // "" for those that stand nowhere
	findings []finding.Finding
}

// groups orders findings by file, MLmodel first, then by line.
func groups(findings []finding.Finding) []group {
	var out []group
	for _, f := range findings {
		o, _ := place(f)
		i := slices.IndexFunc(out, func(g group) bool { return g.file == o.File })
		if i < 0 {
			i = len(out)
			out = append(out, group{file: o.File})
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
	slices.SortStableFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(order(a.file), order(b.file)), cmp.Compare(a.file, b.file))
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

// text is for people: grouped by file, each line shown once, with what is meant underlined.
func (r *Report) text(paint Paint) []byte {
	if paint == nil {
		paint = func(_ Style, s string) string { return s }
	}
	var b strings.Builder
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
		}
		b.WriteByte('\n')
	}
	b.WriteString(r.summary())
	return []byte(b.String())
}

// excerpt returns the line, and below it carets under the subject, or under all of it.
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

// printableLines keeps a file of the model from steering the terminal or the log that shows a
// message of several lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable.Line(lines[i])
	}
	return strings.Join(lines, "\n")
}

func writeFinding(b *strings.Builder, f finding.Finding, shown finding.Origin, paint Paint) {
	severity := string(f.Severity)
	if f.Severity == finding.Info {
		severity = "note"
	}
	message := strings.ReplaceAll(printableLines(f.Message), "\n", "\n    ")
	if shown.Line > 0 && shown.Text == "" {
		message = fmt.Sprintf("line %d: %s", shown.Line, message)
	}
	fmt.Fprintf(b, "  %s %s %s\n", paint(severityStyle(f.Severity), severity+":"), message, paint(Faint, "["+string(f.Rule)+"]"))
	for _, o := range others(f, shown) {
		line := "    also " + printable.Line(o.String())
		if o.Text != "" && o.File != shown.File {
			line += ": " + printable.Line(o.Text)
		}
		fmt.Fprintln(b, paint(Faint, line))
	}
}

func (r *Report) summary() string {
	errors, warnings, notes := r.counts()
	s := "nothing found"
	if len(r.Findings) > 0 {
		s = plural(errors, "error") + ", " + plural(warnings, "warning") + ", " + plural(notes, "note")
	}
	if n := len(r.Excepted); n > 0 {
		s += " (" + plural(n, "finding") + " excepted by the policy)"
	}
	return s + "\n"
}
