package main

import (
	"strings"
	"testing"

	"mlenv/resolve/check"
)

// docs/rules.md is generated from the table of rules.
func TestRulesReference(t *testing.T) {
	golden(t, "../../docs/rules.md", rulesReference(check.Rules()))
}

func TestListRules(t *testing.T) {
	out, _, code := command(t, nil, "check", "--list-rules")
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	seen := map[string]bool{}
	for _, r := range check.Rules() {
		if r.Summary == "" || r.Help == "" || seen[r.ID] || !strings.Contains(out, "  "+r.ID+" ") {
			t.Errorf("%+v", r)
		}
		seen[r.ID] = true
	}
	if len(seen) < 60 {
		t.Errorf("only %d rules", len(seen))
	}
}
