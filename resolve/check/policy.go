package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"mlenv/resolve/envfile"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep508"
)

// Policy holds an organisation's decisions about rules, packages and their sources. A nil Policy
// has none.
type Policy struct {
	Name string // the file, for findings

	Rules      map[finding.ID]finding.Severity // by rule id; "" turns the rule off
	Deny       []PackageRule
	Allow      []PackageRule // none: every package
	Licences   Licences
	Indexes    []Pattern // allowed; none: all
	Bases      []Pattern // allowed; none: all
	Exceptions []Exception
	CondaAsPip bool // take packages for conda as requirements for pip

	Verify        []string // what mlenv verify must find proven: VerifyWords
	VulnerableFor string   // the least severity of a vulnerability that counts: VulnerabilityWords; "": all
}

// VerifyWords are what a policy can demand of an image.
var VerifyWords = []string{"signature", "sbom", "provenance", "vex", "rebuild"}

// VulnerabilityWords are the severities of vulnerabilities, the least first (CVSS, "Qualitative
// Severity Rating Scale").
var VulnerabilityWords = []string{"low", "moderate", "high", "critical"}

// PackageRule matches a package, or some of its versions.
type PackageRule struct {
	pep508.Requirement
	Reason string
	Line   int
}

// Pattern is a prefix of URLs or image references.
type Pattern struct {
	Text string
	Line int
}

// Licences lists the allowed and denied licences by SPDX identifier, ignoring case.
type Licences struct {
	Allow, Deny []Pattern
}

// Exception suppresses findings of one rule until a date.
type Exception struct {
	Rule    finding.ID
	Subject string // the finding's subject; "" matches any
	Reason  string
	Until   time.Time // the last day on which it is valid
	Line    int
}

// severityWords are the values a policy can set for a rule.
var severityWords = map[string]finding.Severity{"off": "", "info": finding.Info, "warning": finding.Warning, "error": finding.Error}

// ParsePolicy reads a policy file. Every error is an *envfile.Error with its line; several are
// joined.
func ParsePolicy(name string, data []byte) (*Policy, error) {
	p := &policyReader{policy: &Policy{Name: name, Rules: map[finding.ID]finding.Severity{}}}
	root, err := decodePolicy(name, data)
	if err != nil {
		return nil, err
	}
	if root != nil {
		p.top(root)
	}
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.policy, nil
}

// decodePolicy returns the root of the document, or nil for an empty file.
func decodePolicy(name string, data []byte) (root *yaml.Node, err error) {
	defer func() {
		// yaml.v3 panics on some malformed input instead of returning an error.
		if r := recover(); r != nil {
			root, err = nil, &envfile.Error{File: name, Msg: "is not YAML"}
		}
	}()
	const most = 1 << 20
	if len(data) > most {
		return nil, &envfile.Error{File: name, Msg: "is larger than 1 MiB, which no policy is"}
	}
	var doc, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, yamlError(name, err)
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &envfile.Error{File: name, Line: second.Line, Msg: "holds more than one YAML document"}
	}
	return doc.Content[0], nil
}

// yamlError returns the parser's error with its line as a number.
func yamlError(name string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if n, _ := fmt.Sscanf(msg, "line %d: ", &line); n == 1 {
		_, msg, _ = strings.Cut(msg, ": ")
	}
	return &envfile.Error{File: name, Line: line, Msg: "is not YAML: " + msg}
}

// policyReader fills a Policy from YAML.
type policyReader struct {
	policy *Policy
	errs   []error
}

// fail records what is wrong with a node. Reading goes on, so that one run tells all that is wrong.
func (p *policyReader) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, &envfile.Error{File: p.policy.Name, Line: n.Line, Msg: fmt.Sprintf(format, args...)})
}

// pairs calls f for every entry of a mapping; a key that is there twice is an error.
func (p *policyReader) pairs(n *yaml.Node, what string, f func(key string, k, v *yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			p.fail(k, "a key of %s must be text", what)
			continue
		}
		if seen[k.Value] {
			p.fail(k, "the key %q appears twice", k.Value)
			continue
		}
		seen[k.Value] = true
		f(k.Value, k, v)
	}
}

// items calls f for every entry of a list.
func (p *policyReader) items(n *yaml.Node, what string, f func(*yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s must be a list", what)
		return
	}
	for _, item := range n.Content {
		f(item)
	}
}

// text reads a text that is not empty.
func (p *policyReader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || strings.TrimSpace(n.Value) == "" {
		p.fail(n, "%s must be text", what)
		return "", false
	}
	return strings.TrimSpace(n.Value), true
}

// top reads the keys of the policy. An unknown key is an error: a rule that was misspelt would protect
// nobody.
func (p *policyReader) top(root *yaml.Node) {
	p.pairs(root, "the policy", func(key string, k, v *yaml.Node) {
		switch key {
		case "version":
			if v.Value != "1" {
				p.fail(v, "version must be 1")
			}
		case "rules":
			p.rules(v)
		case "packages":
			p.packages(v)
		case "licences":
			p.pairs(v, "licences", func(key string, k, v *yaml.Node) {
				switch key {
				case "allow":
					p.policy.Licences.Allow = p.patterns(v, "licences.allow")
				case "deny":
					p.policy.Licences.Deny = p.patterns(v, "licences.deny")
				default:
					p.fail(k, "licences has no key %q; it has allow and deny", key)
				}
			})
		case "indexes":
			p.policy.Indexes = p.allowOnly(v, key)
		case "model-indexes":
			severity, ok := map[string]finding.Severity{"allow": "", "warn": finding.Warning, "refuse": finding.Error}[v.Value]
			if v.Kind != yaml.ScalarNode || !ok {
				p.fail(v, "model-indexes must be allow, warn or refuse")
			}
			p.policy.Rules[finding.ModelIndex] = severity
		case "bases":
			p.policy.Bases = p.allowOnly(v, key)
		case "conda-as-pip":
			if err := v.Decode(&p.policy.CondaAsPip); err != nil || v.ShortTag() != "!!bool" {
				p.fail(v, "conda-as-pip must be true or false")
			}
		case "exceptions":
			p.items(v, key, p.exception)
		case "verify", "vulnerabilities":
			p.trust(key, v)
		default:
			p.fail(k, "there is no key %q; a policy has version, rules, packages, licences, indexes, model-indexes, bases, conda-as-pip, exceptions, verify and vulnerabilities", key)
		}
	})
}

// trust reads what is demanded of images, and which vulnerabilities count.
func (p *policyReader) trust(what string, n *yaml.Node) {
	p.pairs(n, what, func(key string, k, v *yaml.Node) {
		switch {
		case what == "verify" && key == "require":
			p.items(v, "verify.require", func(item *yaml.Node) {
				if word, ok := p.text(item, "an entry of verify.require"); ok && !slices.Contains(VerifyWords, word) {
					p.fail(item, "verify.require has no %q; it has %s", word, strings.Join(VerifyWords, ", "))
				} else if ok {
					p.policy.Verify = append(p.policy.Verify, word)
				}
			})
		case what == "vulnerabilities" && key == "threshold":
			word, ok := p.text(v, "vulnerabilities.threshold")
			if ok && !slices.Contains(VulnerabilityWords, word) {
				p.fail(v, "vulnerabilities.threshold must be one of %s", strings.Join(VulnerabilityWords, ", "))
			}
			p.policy.VulnerableFor = word
		case what == "verify":
			p.fail(k, "verify has no key %q; it has require", key)
		default:
			p.fail(k, "vulnerabilities has no key %q; it has threshold", key)
		}
	})
}

// rules reads the severities of rules.
func (p *policyReader) rules(n *yaml.Node) {
	p.pairs(n, "rules", func(id string, k, v *yaml.Node) {
		if _, ok := finding.Lookup(finding.ID(id)); !ok {
			p.fail(k, "there is no rule %q", id)
			return
		}
		s, ok := severityWords[v.Value]
		if v.Kind != yaml.ScalarNode || !ok {
			p.fail(v, "%s must be off, info, warning or error", id)
			return
		}
		p.policy.Rules[finding.ID(id)] = s
	})
}

// packages reads the lists of denied and allowed packages.
func (p *policyReader) packages(n *yaml.Node) {
	p.pairs(n, "packages", func(key string, k, v *yaml.Node) {
		switch key {
		case "deny":
			p.policy.Deny = p.packageRules(v, "packages.deny")
		case "allow":
			p.policy.Allow = p.packageRules(v, "packages.allow")
		default:
			p.fail(k, "packages has no key %q; it has allow and deny", key)
		}
	})
}

// packageRules reads a list whose entries are requirements or mappings of package and reason.
func (p *policyReader) packageRules(n *yaml.Node, what string) []PackageRule {
	var out []PackageRule
	p.items(n, what, func(item *yaml.Node) {
		r := PackageRule{Line: item.Line}
		text, ok := "", false
		if item.Kind == yaml.MappingNode {
			p.pairs(item, what, func(key string, k, v *yaml.Node) {
				switch key {
				case "package":
					text, ok = p.text(v, key)
				case "reason":
					r.Reason, _ = p.text(v, key)
				default:
					p.fail(k, "an entry of %s has no key %q; it has package and reason", what, key)
				}
			})
			if !ok && text == "" {
				p.fail(item, "an entry of %s has no package", what)
			}
		} else {
			text, ok = p.text(item, "an entry of "+what)
		}
		if !ok {
			return
		}
		var err error
		if r.Requirement, err = pep508.Parse(text); err != nil || r.URL != "" || !r.Marker.IsZero() || len(r.Extras) > 0 {
			p.fail(item, "%q must be a package name, with versions such as <2 if not all are meant", text)
			return
		}
		out = append(out, r)
	})
	return out
}

// patterns reads a list of texts.
func (p *policyReader) patterns(n *yaml.Node, what string) []Pattern {
	var out []Pattern
	p.items(n, what, func(item *yaml.Node) {
		if text, ok := p.text(item, "an entry of "+what); ok {
			out = append(out, Pattern{Text: text, Line: item.Line})
		}
	})
	return out
}

// allowOnly reads a mapping that has only the list allow.
func (p *policyReader) allowOnly(n *yaml.Node, what string) []Pattern {
	var out []Pattern
	p.pairs(n, what, func(key string, k, v *yaml.Node) {
		if key != "allow" {
			p.fail(k, "%s has no key %q; it has allow", what, key)
			return
		}
		out = p.patterns(v, what+".allow")
	})
	return out
}

// exception reads an exception. It must have a reason and an end date, because exceptions without
// an end are forgotten and stay forever.
func (p *policyReader) exception(n *yaml.Node) {
	e := Exception{Line: n.Line}
	before := len(p.errs)
	p.pairs(n, "an exception", func(key string, k, v *yaml.Node) {
		switch key {
		case "rule":
			id, _ := p.text(v, key)
			e.Rule = finding.ID(id)
			if _, ok := finding.Lookup(e.Rule); !ok {
				p.fail(v, "there is no rule %q", e.Rule)
			}
		case "subject":
			e.Subject, _ = p.text(v, key)
		case "reason":
			e.Reason, _ = p.text(v, key)
		case "until":
			until, err := time.Parse(time.DateOnly, v.Value)
			if err != nil {
				p.fail(v, "until must be a day such as 2027-01-31")
			}
			e.Until = until
		default:
			p.fail(k, "an exception has no key %q; it has rule, subject, reason and until", key)
		}
	})
	if len(p.errs) > before {
		return
	}
	switch {
	case e.Rule == "":
		p.fail(n, "an exception has no rule")
	case e.Reason == "":
		p.fail(n, "an exception has no reason")
	case e.Until.IsZero():
		p.fail(n, "an exception has no until, the last day on which it counts")
	default:
		p.policy.Exceptions = append(p.policy.Exceptions, e)
	}
}
