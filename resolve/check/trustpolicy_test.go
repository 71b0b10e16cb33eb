package check

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mlenv/resolve/finding"
)

func TestPolicyOfTrust(t *testing.T) {
	p, err := ParsePolicy("mlenv.yaml", []byte("verify:\n  require: [signature, rebuild]\nvulnerabilities:\n  threshold: high\n"))
	if err != nil || !slices.Equal(p.Verify, []string{"signature", "rebuild"}) || p.VulnerableFor != "high" {
		t.Errorf("%+v, %v", p, err)
	}
	for text, want := range map[string]string{
		"verify:\n  require: [luck]\n":           `mlenv.yaml:2: verify.require has no "luck"; it has signature, sbom, provenance, vex, rebuild`,
		"verify:\n  demand: [sbom]\n":            `mlenv.yaml:2: verify has no key "demand"; it has require`,
		"verify:\n  require: sbom\n":             "mlenv.yaml:2: verify.require must be a list",
		"vulnerabilities:\n  threshold: bad\n":   "mlenv.yaml:2: vulnerabilities.threshold must be one of low, moderate, high, critical",
		"vulnerabilities:\n  minimum: high\n":    `mlenv.yaml:2: vulnerabilities has no key "minimum"; it has threshold`,
		"vulnerabilities:\n  threshold: [low]\n": "mlenv.yaml:2: vulnerabilities.threshold must be text",
	} {
		if _, err := ParsePolicy("mlenv.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestThreshold(t *testing.T) {
	f := finding.New(finding.KnownVulnerability, "a CVE-1", nil, "m")
	malicious := finding.New(finding.MaliciousPackage, "a MAL-1", nil, "m")
	for _, tt := range []struct {
		threshold, severity string
		want                finding.Severity
	}{
		{"", "low", finding.Error}, {"low", "low", finding.Error}, {"high", "low", finding.Info}, {"high", "moderate", finding.Info},
		{"high", "high", finding.Error}, {"high", "critical", finding.Error}, {"critical", "", finding.Error}, {"critical", "odd", finding.Error},
	} {
		p := &Policy{VulnerableFor: tt.threshold}
		f.Vulnerability = &finding.Vulnerability{Severity: tt.severity}
		malicious.Vulnerability = f.Vulnerability
		for _, got := range p.Judge(finding.List{f, malicious}, time.Time{}) {
			want := tt.want
			if got.Rule == finding.MaliciousPackage {
				want = finding.Error
			}
			if got.Severity != want {
				t.Errorf("threshold %q, %s %q: %s, want %s", tt.threshold, got.Rule, tt.severity, got.Severity, want)
			}
		}
	}
}
