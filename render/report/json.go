package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"mlenv/resolve/finding"
)

// SchemaVersion is the version of the JSON form.
const SchemaVersion = 1

type jsonReport struct {
	SchemaVersion int            `json:"schemaVersion"`
	Model         string         `json:"model"`
	Summary       jsonSummary    `json:"summary"`
	Findings      []jsonFinding  `json:"findings"`
	Excepted      []jsonExcepted `json:"excepted"`
}

type jsonSummary struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Info     int `json:"info"`
}

type jsonFinding struct {
	Rule     finding.ID       `json:"rule"`
	Category string           `json:"category"`
	Severity finding.Severity `json:"severity"`
	Subject  string           `json:"subject"`
	Message  string           `json:"message"`
	Help     string           `json:"help"`
	From     []finding.Origin `json:"from"`
}

type jsonExcepted struct {
	jsonFinding
	Reason string `json:"reason"`
}

func (r *Report) json() ([]byte, error) {
	out := jsonReport{SchemaVersion: SchemaVersion, Model: r.Model, Findings: []jsonFinding{}, Excepted: []jsonExcepted{}}
	out.Summary.Errors, out.Summary.Warnings, out.Summary.Info = r.counts()
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, r.jsonFinding(f))
	}
	for _, e := range r.Excepted {
		out.Excepted = append(out.Excepted, jsonExcepted{r.jsonFinding(e.Finding), e.Reason})
	}
	return encode(out)
}

func (r *Report) jsonFinding(f finding.Finding) jsonFinding {
	rule := r.rule(f.Rule)
	out := jsonFinding{f.Rule, string(rule.Category), f.Severity, f.Subject, f.Message, rule.Help, f.From}
	if out.From == nil {
		out.From = []finding.Origin{}
	}
	return out
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("writing the report as JSON: %w", err)
	}
	return b.Bytes(), nil
}
