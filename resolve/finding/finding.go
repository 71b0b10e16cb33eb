// Package finding says what is wrong with the user's files, or worth knowing about them: where it
// stands, by which rule it was found, and how bad it is.
//
// There is one table of rules for all of mlenv, so that every finding can be listed, given another
// severity or silenced by a policy, explained, and linked from a report. Package finding imports
// package secret alone, which keeps passwords out of every finding: whoever reads files reports by it.
package finding

import (
	"cmp"
	"fmt"
	"slices"

	"mlenv/resolve/secret"
)

// CommandLine is the File of an Origin that is a flag.
const CommandLine = "command line"

// Origin is where an entry was written.
type Origin struct {
	File string `json:"file" yaml:"file"`                     // slash-separated, relative to the model; or CommandLine
	Line int    `json:"line,omitempty" yaml:"line,omitempty"` // from 1; 0 for the file as a whole
	Text string `json:"text" yaml:"text"`                     // the entry as written, without credentials
}

// String is "requirements.txt:3", or the file alone where there is no line.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Compare orders origins by file, line and text.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(cmp.Compare(o.File, p.File), cmp.Compare(o.Line, p.Line), cmp.Compare(o.Text, p.Text))
}

// Severity says how bad a finding is.
type Severity string

// The severities, worst first.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// rank is 0 for the worst severity; an unknown one is worse than all.
func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Info}, s) }

// AtLeast reports whether s is as bad as t or worse.
func (s Severity) AtLeast(t Severity) bool { return s.rank() <= t.rank() }

// Finding is something that the model's owner should know.
type Finding struct {
	Rule     ID       `json:"rule" yaml:"rule"`
	Severity Severity `json:"severity" yaml:"severity"`
	Subject  string   `json:"subject" yaml:"subject"` // a package, file or key
	Message  string   `json:"message" yaml:"message"`
	From     []Origin `json:"from" yaml:"from"`
}

// New gives a finding with the severity that its rule has in the table; one that is not in the
// table would be an Error, which no test lets pass. What it quotes is redacted: a report goes to
// people and systems who may not see the secrets of those who wrote the model.
func New(rule ID, subject string, from []Origin, format string, args ...any) Finding {
	severity := Error
	if r, ok := Lookup(rule); ok {
		severity = r.Severity
	}
	if from = slices.Clone(from); from == nil {
		from = []Origin{} // a list in JSON, never null
	}
	for i := range from {
		from[i].File, from[i].Text = secret.Redact(from[i].File), secret.Redact(from[i].Text)
	}
	return Finding{Rule: rule, Severity: severity, Subject: secret.Redact(subject),
		Message: secret.Redact(fmt.Sprintf(format, args...)), From: from}
}

// Equal reports whether two findings say the same of the same places.
func (f Finding) Equal(g Finding) bool {
	return f.Rule == g.Rule && f.Subject == g.Subject && f.Message == g.Message && slices.Equal(f.From, g.From)
}

// List is a list of findings.
type List []Finding

// Add appends a finding of the rule; see New.
func (l *List) Add(rule ID, subject string, from []Origin, format string, args ...any) {
	*l = append(*l, New(rule, subject, from, format, args...))
}

// Sorted returns the findings worst first, each once.
func (l List) Sorted() List {
	out := slices.Clone(l)
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Severity.rank(), b.Severity.rank()),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Subject, b.Subject),
			slices.CompareFunc(a.From, b.From, Origin.Compare), cmp.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(out, Finding.Equal)
}

// Count returns how many findings have exactly that severity.
func (l List) Count(s Severity) int {
	n := 0
	for _, f := range l {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// AtLeast counts the findings that are as bad as a severity or worse.
func (l List) AtLeast(s Severity) int {
	n := 0
	for _, f := range l {
		if f.Severity.AtLeast(s) {
			n++
		}
	}
	return n
}

// Worst returns the severity of the worst finding, "" where there is none.
func (l List) Worst() Severity {
	worst := Severity("")
	for _, f := range l {
		if worst == "" || f.Severity.AtLeast(worst) {
			worst = f.Severity
		}
	}
	return worst
}
