// Package finding describes problems in the user's files, and other things worth knowing about
// them: where they are, which rule found them, and how bad they are.
//
// All rules of mlenv are in one table, so that every finding can be listed, explained, linked from
// a report, and given another severity or silenced by a policy. Package finding imports package
// secret alone, which keeps passwords out of every finding, so that any package that reads files
// can use it.
package finding

import (
	"cmp"
	"fmt"
	"slices"

	"mlenv/resolve/secret"
)

// CommandLine is the File of an Origin on the command line.
const CommandLine = "command line"

// Origin is where an entry comes from.
type Origin struct {
	File string `json:"file" yaml:"file"`                     // slash-separated, relative to the model; or CommandLine
	Line int    `json:"line,omitempty" yaml:"line,omitempty"` // from 1; 0 for the file as a whole
	Text string `json:"text" yaml:"text"`                     // the entry as written, without credentials
}

// String returns "requirements.txt:3", or only the file if there is no line.
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

// Severity is how bad a finding is. An Error is what will fail, or what nobody can vouch for: commands
// stop at it. A Warning may work, and may not be what its author means. An Info is for whoever wonders.
type Severity string

// The severities, worst first.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// rank returns 0 for the worst severity. An unknown severity ranks as even worse, so that a misspelled one
// silences nothing.
func (s Severity) rank() int { return slices.Index([]Severity{Error, Warning, Info}, s) }

// AtLeast reports whether s is at least as bad as t.
func (s Severity) AtLeast(t Severity) bool { return s.rank() <= t.rank() }

// Finding is something that the owner of a model should know. Message is one sentence without a
// full stop, which names everything it is about, so that it can be read without the file.
type Finding struct {
	Rule     ID       `json:"rule" yaml:"rule"`
	Severity Severity `json:"severity" yaml:"severity"`
	Subject  string   `json:"subject" yaml:"subject"` // a package, file or key
	Message  string   `json:"message" yaml:"message"`
	From     []Origin `json:"from" yaml:"from"`
	// Vulnerability says more of a vulnerability; nil for all other findings.
	Vulnerability *Vulnerability `json:"vulnerability,omitempty" yaml:"vulnerability,omitempty"`
}

// Vulnerability is a known vulnerability of a package, under all the names that databases have for it.
type Vulnerability struct {
	ID       string   `json:"id" yaml:"id"`           // the CVE's, else that of the first record
	Aliases  []string `json:"aliases" yaml:"aliases"` // all other ids, sorted
	Package  string   `json:"package" yaml:"package"`
	Version  string   `json:"version" yaml:"version"`                       // that is locked
	Severity string   `json:"severity,omitempty" yaml:"severity,omitempty"` // "low", "moderate", "high" or "critical"; "" if unknown
	Fixed    string   `json:"fixed,omitempty" yaml:"fixed,omitempty"`       // the lowest version with the fix, "" if there is none
	Upgrade  string   `json:"upgrade,omitempty" yaml:"upgrade,omitempty"`   // what locking this package anew gives, if it was tried
}

// New returns a finding with the severity of its rule in the table. A rule that is not in the table
// is an Error, so that a forgotten entry shows up in tests. Everything the finding quotes is
// redacted: reports go to people and systems that must not see the secrets in a model.
func New(rule ID, subject string, from []Origin, format string, args ...any) Finding {
	severity := Error
	if r, ok := Lookup(rule); ok {
		severity = r.Severity
	}
	if from = slices.Clone(from); from == nil {
		from = []Origin{} // so that it is a list in JSON, not null
	}
	for i := range from {
		from[i].File, from[i].Text = secret.Redact(from[i].File), secret.Redact(from[i].Text)
	}
	return Finding{Rule: rule, Severity: severity, Subject: secret.Redact(subject),
		Message: secret.Redact(fmt.Sprintf(format, args...)), From: from}
}

// Equal reports whether two findings have the same contents. The severity does not count: it follows from
// the rule and the policy. Neither does what else is known of a vulnerability, which its id identifies.
func (f Finding) Equal(g Finding) bool {
	return f.Rule == g.Rule && f.Subject == g.Subject && f.Message == g.Message && slices.Equal(f.From, g.From)
}

// List is a list of findings. Packages append to it in any order; reports and commands sort it with
// Sorted before they show it.
type List []Finding

// Add appends a finding made by New.
func (l *List) Add(rule ID, subject string, from []Origin, format string, args ...any) {
	*l = append(*l, New(rule, subject, from, format, args...))
}

// Sorted returns the findings without duplicates, worst first. The order is total, so that two runs over
// the same files print the same bytes, in whatever order their goroutines have finished.
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

// Count returns how many findings have exactly this severity.
func (l List) Count(s Severity) int {
	n := 0
	for _, f := range l {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// AtLeast returns how many findings are at least as bad as s.
func (l List) AtLeast(s Severity) int {
	n := 0
	for _, f := range l {
		if f.Severity.AtLeast(s) {
			n++
		}
	}
	return n
}

// Worst returns the severity of the worst finding, or "" if there are none. It decides about the exit code.
func (l List) Worst() Severity {
	worst := Severity("")
	for _, f := range l {
		if worst == "" || f.Severity.AtLeast(worst) {
			worst = f.Severity
		}
	}
	return worst
}
