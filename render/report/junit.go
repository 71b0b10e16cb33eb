package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"

	"mlenv/resolve/finding"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name     string         `xml:"name,attr"`
	Class    string         `xml:"classname,attr"`
	Failures []junitFailure `xml:"failure"`
	Out      string         `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// junit writes JUnit XML, in the form documented by Jenkins' xUnit plugin and read by GitLab, Azure
// and others: a suite for each category and a case for each rule, which fails if there are findings
// at or above the threshold. It contains no times, so that reports are reproducible.
func (r *Report) junit() ([]byte, error) {
	all := junitSuites{Name: "mlenv check " + r.Model}
	for _, category := range finding.Categories() {
		suite := r.junitSuite(category)
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return nil, fmt.Errorf("writing the report as JUnit XML: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (r *Report) junitSuite(category finding.Category) junitSuite {
	suite := junitSuite{Name: string(category)}
	for _, rule := range r.Rules {
		if rule.Category != category {
			continue
		}
		suite.Tests++
		test := junitCase{Name: string(rule.ID), Class: "mlenv.check." + strings.ReplaceAll(string(category), " ", "-")}
		var passing []string
		for _, f := range r.Findings {
			switch {
			case f.Rule != rule.ID:
			case r.fails(f):
				test.Failures = append(test.Failures, r.junitFailure(f, rule))
			default:
				passing = append(passing, string(f.Severity)+": "+r.where(f)+f.Message)
			}
		}
		test.Out = strings.Join(passing, "\n")
		if len(test.Failures) > 0 {
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, test)
	}
	return suite
}

func (r *Report) fails(f finding.Finding) bool { return r.FailOn != "" && f.Severity.AtLeast(r.FailOn) }

func (r *Report) junitFailure(f finding.Finding, rule finding.Rule) junitFailure {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", r.where(f), sentence(f.Message))
	for _, o := range f.From {
		if o.Text != "" {
			fmt.Fprintf(&b, "  %s  %s\n", o.String(), o.Text)
		}
	}
	b.WriteString(rule.Help)
	return junitFailure{Type: string(f.Severity), Message: f.Message, Text: b.String()}
}

// where returns the position of a finding as a prefix: "models/x/MLmodel:12: ".
func (r *Report) where(f finding.Finding) string {
	o, ok := place(f)
	if !ok {
		return ""
	}
	o.File = r.file(o)
	return o.String() + ": "
}
