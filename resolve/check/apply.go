package check

import (
	"slices"
	"strings"
	"time"

	"mlenv/resolve/finding"
)

// apply sets the severities of the policy, drops findings of rules that are off, and sets aside
// those that an exception covers.
func (p *Policy) apply(findings finding.List, today time.Time) *Report {
	r := &Report{}
	if p == nil {
		r.Findings = findings.Sorted()
		return r
	}
	used := make([]bool, len(p.Exceptions))
	for _, f := range findings.Sorted() {
		if !p.decide(&f) {
			continue
		}
		if i := p.excepting(f, today); i >= 0 {
			used[i] = true
			r.Excepted = append(r.Excepted, Excepted{Finding: f, Reason: p.Exceptions[i].Reason})
			continue
		}
		r.Findings = append(r.Findings, f)
	}
	for _, f := range p.exceptionFindings(used, today) {
		if p.decide(&f) {
			r.Findings = append(r.Findings, f)
		}
	}
	r.Findings = r.Findings.Sorted()
	return r
}

// Judge gives findings the severities of the policy, and leaves out those of rules that are off or
// that an exception covers on that day. It does not judge the policy's own exceptions, which may cover
// findings of another command. A nil policy changes nothing.
func (p *Policy) Judge(findings finding.List, today time.Time) finding.List {
	if p == nil {
		return findings
	}
	var out finding.List
	for _, f := range findings {
		if p.decide(&f) && p.excepting(f, today) < 0 {
			out = append(out, f)
		}
	}
	return out
}

// decide sets the severity that the policy gives, which is info for a vulnerability below its threshold;
// it is false where the rule is off.
func (p *Policy) decide(f *finding.Finding) bool {
	s, ok := p.Rules[f.Rule]
	if ok {
		f.Severity = s
	}
	if p.ignores(f) {
		f.Severity = finding.Info
	}
	return !ok || s != ""
}

// excepting returns the index of the exception that covers a finding, or -1.
func (p *Policy) excepting(f finding.Finding, today time.Time) int {
	return slices.IndexFunc(p.Exceptions, func(e Exception) bool {
		return e.Rule == f.Rule && (e.Subject == "" || matchesSubject(e.Subject, f.Subject)) && !e.ended(today)
	})
}

// matchesSubject reports whether a finding's subject is the wanted one or contains it as a word.
// The subject of a vulnerability names the package and all ids of the advisory ("numpy GHSA-x"); an
// exception may name either.
func matchesSubject(want, subject string) bool {
	return strings.EqualFold(want, subject) || slices.ContainsFunc(strings.Fields(subject),
		func(word string) bool { return strings.EqualFold(want, word) })
}

// ended reports whether the last day of the exception is over. If today is zero, no exception has
// ended.
func (e Exception) ended(today time.Time) bool {
	return !today.IsZero() && today.Format(time.DateOnly) > e.Until.Format(time.DateOnly)
}

// exceptionFindings reports exceptions that have ended, or that cover nothing: both would be forgotten, and
// hide a finding of another day.
func (p *Policy) exceptionFindings(used []bool, today time.Time) finding.List {
	var out finding.List
	for i, e := range p.Exceptions {
		origin := finding.Origin{File: p.Name, Line: e.Line, Text: "rule: " + string(e.Rule)}
		what := string(e.Rule)
		if e.Subject != "" {
			what += " of " + e.Subject
		}
		switch {
		case e.ended(today):
			out.Add(finding.ExceptionExpired, string(e.Rule), []finding.Origin{origin}, "the exception for %s ended on %s", what, e.Until.Format(time.DateOnly))
		case !used[i]:
			out.Add(finding.ExceptionUnused, string(e.Rule), []finding.Origin{origin}, "the exception for %s applies to no finding", what)
		}
	}
	return out
}

// policy applies the lists of the policy.
func (c *checker) policy() {
	if c.in.Policy == nil {
		return
	}
	c.policyPackages()
	c.policyIndexes()
	c.policyLicences()
	base := c.in.BaseName
	if base == "" && c.in.Lock != nil {
		base = c.in.Lock.Tool.BaseName
	}
	if base != "" && len(c.in.Policy.Bases) > 0 && !allowed(c.in.Policy.Bases, base) {
		c.find(finding.BaseNotAllowed, base, nil, "the base %s does not start with any of %s, which the policy allows", base, patternList(c.in.Policy.Bases))
	}
}

// policyPackages applies the policy to every package: the locked ones, or without a lock the
// required ones.
func (c *checker) policyPackages() {
	p := c.in.Policy
	for _, pkg := range c.packages() {
		for _, d := range p.Deny {
			if d.Name == pkg.name && pkg.overlaps(d.Specifier) {
				reason := ""
				if d.Reason != "" {
					reason = ": " + d.Reason
				}
				c.find(finding.PackageDenied, string(pkg.name), append(pkg.from, c.policyOrigin(d.Line, "deny "+d.String())),
					"%s is denied by the policy (%s)%s", pkg, d.Requirement, reason)
			}
		}
		if len(p.Allow) > 0 && !slices.ContainsFunc(p.Allow, func(a PackageRule) bool {
			return a.Name == pkg.name && pkg.within(a.Specifier)
		}) {
			c.find(finding.PackageNotAllowed, string(pkg.name), pkg.from, "%s is not among the packages that the policy allows", pkg)
		}
	}
}

// policyOrigin returns the origin of a line of the policy.
func (c *checker) policyOrigin(line int, text string) finding.Origin {
	return finding.Origin{File: c.in.Policy.Name, Line: line, Text: text}
}

// policyIndexes applies the policy to the indexes that the model names, and to those that the lock has its
// packages from: either may name one that the other does not.
func (c *checker) policyIndexes() {
	patterns := c.in.Policy.Indexes
	if len(patterns) == 0 {
		return
	}
	seen := map[string]bool{}
	report := func(url string, from []finding.Origin) {
		if url != "" && !seen[url] && !allowed(patterns, url) {
			seen[url] = true
			c.find(finding.IndexNotAllowed, url, from, "the index %s does not start with any of %s, which the policy allows", url, patternList(patterns))
		}
	}
	p := c.in.Spec.PackageIndex
	report(p.IndexURL, c.findText(p.IndexURL))
	for _, list := range [][]string{p.ExtraIndexURLs, p.FindLinks} {
		for _, url := range list {
			report(url, c.findText(url))
		}
	}
	if c.in.Lock == nil {
		return
	}
	for _, pkg := range c.in.Lock.Packages {
		report(pkg.Index, []finding.Origin{c.lockOrigin(pkg.Name)})
	}
}

// policyLicences applies the policy to the licences that were read.
func (c *checker) policyLicences() {
	l := c.in.Policy.Licences
	if len(l.Allow)+len(l.Deny) == 0 || c.in.Licences == nil || c.in.Lock == nil {
		return
	}
	for _, pkg := range c.in.Lock.Packages {
		expression, asked := c.in.Licences[pkg.Name]
		from := []finding.Origin{c.lockOrigin(pkg.Name)}
		switch {
		case !asked:
		case expression == "":
			c.find(finding.LicenceUnknown, string(pkg.Name), from, "the metadata of %s %s names no licence", pkg.Name, pkg.Version)
		case !l.admits(expression):
			c.find(finding.LicenceNotAllowed, string(pkg.Name), from, "%s %s has the licence %s, which the policy does not allow", pkg.Name, pkg.Version, expression)
		}
	}
}

// admits evaluates an SPDX expression: one side of OR must be allowed, or all sides of AND.
func (l Licences) admits(expression string) bool {
	for _, choice := range splitWord(expression, "OR") {
		ok := true
		for _, id := range splitWord(choice, "AND") {
			id, _, _ = strings.Cut(strings.Trim(strings.TrimSpace(id), "() "), " WITH ")
			ok = ok && l.admitsOne(id)
		}
		if ok {
			return true
		}
	}
	return false
}

// admitsOne decides on one licence: what is denied is never allowed, and a list of allowed ones denies all
// others.
func (l Licences) admitsOne(id string) bool {
	has := func(list []Pattern) bool {
		return slices.ContainsFunc(list, func(p Pattern) bool { return strings.EqualFold(p.Text, strings.TrimSpace(id)) })
	}
	return !has(l.Deny) && (len(l.Allow) == 0 || has(l.Allow))
}

// splitWord splits an SPDX expression at an operator. It ignores parentheses, as they are rare in
// practice. With a list of allowed licences that makes the result stricter, never more permissive.
func splitWord(s, word string) []string { return strings.Split(s, " "+word+" ") }

// allowed reports whether text equals a pattern or continues it at a separator: "https://a.example"
// does not match "https://a.example.org".
func allowed(patterns []Pattern, text string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool {
		rest, ok := strings.CutPrefix(text, strings.TrimSuffix(p.Text, "/"))
		return ok && (rest == "" || strings.ContainsRune("/:@", rune(rest[0])))
	})
}

// patternList joins patterns for a sentence.
func patternList(patterns []Pattern) string {
	var words []string
	for _, p := range patterns {
		words = append(words, p.Text)
	}
	return list(words)
}
