package main

import (
	"strings"
	"testing"

	"mlenv/resolve/finding"
)

// docs/rules.md is generated from the table of rules.
func TestRulesReference(t *testing.T) {
	golden(t, "../../docs/rules.md", rulesReference(finding.Rules()))
}

func TestListRules(t *testing.T) {
	out, _, code := command(t, nil, "check", "--list-rules")
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	seen := map[string]bool{}
	for _, r := range finding.Rules() {
		if r.Summary == "" || r.Help == "" || seen[string(r.ID)] || !strings.Contains(out, "  "+string(r.ID)+" ") {
			t.Errorf("%+v", r)
		}
		seen[string(r.ID)] = true
	}
	if len(seen) < 60 {
		t.Errorf("only %d rules", len(seen))
	}
}
