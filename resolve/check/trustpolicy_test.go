package check

import (
	"slices"
	"strings"
	"testing"
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
