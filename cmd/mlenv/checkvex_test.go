package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVulnerabilities checks a lock with a hole: what an upgrade was found to give, the threshold of
// the policy, what scanners are told of an exception, and how code scanning shows it.
func TestVulnerabilities(t *testing.T) {
	w := newImageWorld(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	osv := filepath.Dir(write("osv/a.json", `{"id": "GHSA-a", "aliases": ["CVE-2099-1"], "database_specific": {"severity": "MODERATE"}, "affected": [{"package": {"ecosystem": "PyPI", "name": "churn"},
		"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5"}]}]}]}`))
	lock := filepath.Join(dir, "pylock.toml")
	if _, errs, code := command(t, w.env, "lock", w.model, "--index-url", w.index.URL, "--constraint", write("old.txt", "churn<2\n"), "-o", lock); code != 0 {
		t.Fatal(errs)
	}
	check := func(args ...string) (out string, code int) {
		t.Helper()
		out, errs, code := command(t, w.env, append([]string{"check", w.model, "--lock", lock, "--osv", osv, "--index-url", w.index.URL, "--date", "2026-01-02"}, args...)...)
		if code == exitFailure {
			t.Fatal(errs)
		}
		return out, code
	}
	if out, code := check("--online"); code != exitFindings || !strings.Contains(out, "CVE-2099-1, GHSA-a (moderate); fixed in 1.5; locking it anew gives 2.0, which has not") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, _ := check("--online", "--constraint", filepath.Join(dir, "old.txt")); !strings.Contains(out, "what else is required allows no other version") {
		t.Errorf("with a constraint\n%s", out)
	}
	for threshold, want := range map[string]int{"high": 0, "moderate": exitFindings} {
		if out, code := check("--policy", write("threshold.yaml", "vulnerabilities:\n  threshold: "+threshold+"\nrules:\n  known-vulnerability: error\n")); code != want || !strings.Contains(out, "CVE-2099-1") {
			t.Errorf("threshold %s: exit code %d\n%s", threshold, code, out)
		}
	}
	except := write("except.yaml", "exceptions:\n  - {rule: known-vulnerability, subject: GHSA-a, reason: never called, until: 2027-01-01}\n")
	file := filepath.Join(dir, "vex.json")
	if out, code := check("--policy", except, "--vex", file); code != 0 {
		t.Errorf("excepted: exit code %d\n%s", code, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name": "CVE-2099-1"`, `"GHSA-a"`, `"@id": "pkg:pypi/churn@1.0"`, `"impact_statement": "never called"`, `"timestamp": "2026-01-02T00:00:00Z"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	out, _ := check("--format", "sarif")
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct{ Rules []map[string]any }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &log); err != nil {
		t.Fatal(err)
	}
	for _, r := range log.Runs[0].Results {
		rule := log.Runs[0].Tool.Driver.Rules[r.RuleIndex]
		if rule["id"] != r.RuleID {
			t.Errorf("the rule of %s is %v", r.RuleID, rule["id"])
		}
		if r.RuleID == "known-vulnerability/CVE-2099-1" {
			properties := rule["properties"].(map[string]any)
			if rule["helpUri"] != "https://osv.dev/vulnerability/CVE-2099-1" || properties["security-severity"] != "5.5" {
				t.Errorf("the rule is %v", rule)
			}
			return
		}
	}
	t.Errorf("no result of the vulnerability in\n%s", out)
}
