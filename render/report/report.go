// Package report formats the findings of a check for people and pipelines: as text, JSON, SARIF
// 2.1.0, JUnit XML or GitHub's workflow commands.
package report

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mlenv/resolve/check"
	"mlenv/resolve/finding"
)

// Report is the input of a report.
type Report struct {
	Model    string // the model as the user named it, slash-separated
	Tool     string // "mlenv 1.2.3"; the first word is the tool's name
	Findings finding.List
	Excepted []check.Excepted
	FailOn   finding.Severity // the threshold; "" if nothing fails
	Rules    []finding.Rule   // all rules that were checked
	// Ran is how many rules were applied; if its Rules is 0, the report does not mention it.
	Ran Ran
	// Outside are the files of origins that are not in the model, such as the lock.
	Outside []string
}

// Ran is how many rules there are, and how many of them could not be applied.
type Ran struct {
	Rules, NotRun int
	Needs         []string // what the rules that were not run need, in the caller's words
}

// Formats lists the names that Format takes; the first is the default.
var Formats = []string{"text", "json", "sarif", "junit", "github"}

// Format formats the report in one of Formats. Paint is used for text only, and may be nil.
func (r *Report) Format(format string, paint Paint) ([]byte, error) {
	switch format {
	case "text":
		return r.text(paint), nil
	case "json":
		return r.json()
	case "sarif":
		return r.sarif()
	case "junit":
		return r.junit()
	case "github":
		return r.github(), nil
	}
	return nil, fmt.Errorf("there is no format %q", format)
}

// file returns the path of an origin's file, relative to the user's working directory.
func (r *Report) file(o finding.Origin) string {
	if o.File == "" || slices.Contains(r.Outside, o.File) || o.File == finding.CommandLine {
		return o.File
	}
	return path.Join(r.directory(), o.File)
}

// directory returns the model's directory. The user may have given the path of MLmodel instead.
func (r *Report) directory() string {
	if path.Base(r.Model) == "MLmodel" {
		return path.Dir(r.Model)
	}
	return r.Model
}

// place returns the first origin of a finding that is in a file. Reports show the finding there.
func place(f finding.Finding) (finding.Origin, bool) {
	for _, o := range f.From {
		if o.File != finding.CommandLine && o.File != "" {
			return o, true
		}
	}
	return finding.Origin{}, false
}

// others returns the origins of a finding other than the one where it is shown: "conda.yaml:7".
func others(f finding.Finding, shown finding.Origin) []finding.Origin {
	var out []finding.Origin
	for _, o := range f.From {
		if o != shown && o.File != "" {
			out = append(out, o)
		}
	}
	return out
}

// rule returns the description of a rule, or the zero Rule if it is not in the table.
func (r *Report) rule(id finding.ID) finding.Rule {
	i := slices.IndexFunc(r.Rules, func(rule finding.Rule) bool { return rule.ID == id })
	if i < 0 {
		return finding.Rule{}
	}
	return r.Rules[i]
}

func (r *Report) counts() (errors, warnings, infos int) {
	return r.Findings.Count(finding.Error), r.Findings.Count(finding.Warning), r.Findings.Count(finding.Info)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// sentence adds a full stop to a message unless it ends with a full stop or a question mark.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}
