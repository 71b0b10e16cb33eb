package report

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"strings"

	"mlenv/resolve/finding"
)

// sarifSchema is the URL of the schema, as given in the standard.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifRule struct {
	ID               string          `json:"id"`
	HelpURI          string          `json:"helpUri,omitempty"`
	ShortDescription sarifText       `json:"shortDescription"`
	Help             sarifText       `json:"help"`
	Configuration    sarifLevel      `json:"defaultConfiguration"`
	Properties       sarifProperties `json:"properties"`
}

type sarifLevel struct {
	Level string `json:"level"`
}

type sarifProperties struct {
	Tags     []string `json:"tags"`
	Severity string   `json:"security-severity,omitempty"` // 0.0 to 10.0; code scanning shows it as low to critical
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    *int               `json:"ruleIndex,omitempty"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations,omitempty"`
	Related      []sarifLocation    `json:"relatedLocations,omitempty"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
	Message  *sarifText    `json:"message,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int        `json:"startLine"`
	Snippet   *sarifText `json:"snippet,omitempty"`
}

// sarif writes SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format).
func (r *Report) sarif() ([]byte, error) {
	name, version, _ := strings.Cut(r.Tool, " ")
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: name, Version: version, Rules: []sarifRule{}}
	index := map[finding.ID]int{}
	for i, rule := range r.Rules {
		index[rule.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(rule))
	}
	driver := &run.Tool.Driver
	for _, f := range r.Findings {
		run.Results = append(run.Results, r.sarifResult(f, driver.ruleOf(f, index)))
	}
	for _, e := range r.Excepted {
		result := r.sarifResult(e.Finding, driver.ruleOf(e.Finding, index))
		result.Suppressions = []sarifSuppression{{Kind: "external", Justification: e.Reason}}
		run.Results = append(run.Results, result)
	}
	return encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

func sarifRuleOf(rule finding.Rule) sarifRule {
	return sarifRule{
		ID:               string(rule.ID),
		ShortDescription: sarifText{sentence(rule.Summary)},
		Help:             sarifText{rule.Help},
		Configuration:    sarifLevel{level(rule.Severity)},
		Properties:       sarifProperties{Tags: []string{string(rule.Category)}},
	}
}

// severities are the scores by which code scanning ranks what is about security: the middle of the
// ranges that CVSS gives the words.
var severities = map[string]string{"low": "2.0", "moderate": "5.5", "high": "8.0", "critical": "9.5"}

// ruleOf returns the place of a finding's rule. Each vulnerability is a rule of its own below that of
// all, "known-vulnerability/CVE-2099-1": code scanning knows severities and links of rules alone.
func (d *sarifDriver) ruleOf(f finding.Finding, index map[finding.ID]int) *int {
	at, ok := index[f.Rule]
	if !ok {
		return nil
	}
	v := f.Vulnerability
	if v == nil {
		return &at
	}
	id := f.Rule + "/" + finding.ID(v.ID)
	if i, ok := index[id]; ok {
		return &i
	}
	rule := d.Rules[at]
	rule.ID, rule.HelpURI = string(id), "https://osv.dev/vulnerability/"+url.PathEscape(v.ID)
	rule.Properties.Tags = []string{"security", rule.Properties.Tags[0]}
	if rule.Properties.Severity = severities[v.Severity]; f.Rule == finding.MaliciousPackage {
		rule.Properties.Severity = "10.0"
	}
	index[id] = len(d.Rules)
	d.Rules = append(d.Rules, rule)
	return d.ruleOf(f, index)
}

func level(s finding.Severity) string {
	switch s {
	case finding.Error:
		return "error"
	case finding.Warning:
		return "warning"
	}
	return "note"
}

func (r *Report) sarifResult(f finding.Finding, rule *int) sarifResult {
	out := sarifResult{RuleID: string(f.Rule), RuleIndex: rule, Level: level(f.Severity), Message: sarifText{sentence(f.Message)}}
	if v := f.Vulnerability; v != nil && rule != nil {
		out.RuleID += "/" + v.ID
	}
	shown, ok := place(f)
	if !ok {
		// Code scanning only shows results with a location.
		shown = finding.Origin{File: "MLmodel"}
	}
	out.Locations = []sarifLocation{r.sarifLocation(shown)}
	for _, o := range others(f, shown) {
		if o.File == finding.CommandLine {
			continue
		}
		related := r.sarifLocation(o)
		related.Message = &sarifText{o.String()}
		out.Related = append(out.Related, related)
	}
	// The fingerprint does not include the line, so that a finding keeps it when lines move.
	sum := sha256.Sum256([]byte(string(f.Rule) + "\x00" + shown.File + "\x00" + f.Subject))
	out.Fingerprints = map[string]string{"ruleFileSubject/v1": hex.EncodeToString(sum[:16])}
	return out
}

func (r *Report) sarifLocation(o finding.Origin) sarifLocation {
	var l sarifLocation
	file := r.file(o)
	l.Physical.Artifact.URI = (&url.URL{Path: file}).String()
	if path.IsAbs(file) {
		l.Physical.Artifact.URI = (&url.URL{Scheme: "file", Path: file}).String()
	}
	if o.Line > 0 {
		l.Physical.Region = &sarifRegion{StartLine: o.Line}
		if o.Text != "" {
			l.Physical.Region.Snippet = &sarifText{o.Text}
		}
	}
	return l
}
