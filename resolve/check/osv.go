package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Advisories are the known vulnerabilities of packages in the PyPI ecosystem.
type Advisories struct {
	byName map[pep508.Name][]advisory
	Count  int // of records read, without those of other ecosystems
}

// advisory is the part of a record that is about one package.
type advisory struct {
	ids      []string // its own id first, then the aliases
	summary  string
	severity string // "HIGH"; "" if unknown
	ranges   [][]osvEvent
	versions []string
}

// osvRecord has the fields of an Open Source Vulnerability record that are used.
type osvRecord struct {
	ID        string
	Aliases   []string
	Withdrawn string
	Summary   string
	Affected  []struct {
		Package  struct{ Ecosystem, Name string }
		Ranges   []osvRange
		Versions []string
	}
	DatabaseSpecific struct{ Severity any } `json:"database_specific"`
}

// osvRange is a range of affected versions: events in order.
type osvRange struct {
	Type   string
	Events []osvEvent
}

// osvEvent is where a range begins or ends; one field is set.
type osvEvent struct {
	Introduced   string
	Fixed        string
	LastAffected string `json:"last_affected"`
	Limit        string
}

// maxRecord is how much of a record is read, in bytes; no honest one is as large.
const maxRecord = 16 << 20

// ReadAdvisories reads every *.json file in a folder, or in an archive opened as a file system, in
// the format of the Open Source Vulnerability schema. The error names the records that cannot be
// read.
func ReadAdvisories(fsys fs.FS) (*Advisories, error) {
	a := &Advisories{byName: map[pep508.Name][]advisory{}}
	var errs []error
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".json") {
			return err
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxRecord))
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if !bytes.Contains(data, []byte("PyPI")) {
			return nil // most of a whole database is about other ecosystems, and need not be parsed
		}
		var r osvRecord
		if err := json.Unmarshal(data, &r); err != nil {
			errs = append(errs, fmt.Errorf("reading %s: it is no record of the OSV format: %w", name, err))
			return nil
		}
		a.add(r)
		return nil
	})
	return a, errors.Join(append(errs, err)...)
}

// add files a record under the packages that it is about, unless it was withdrawn. Ranges of commits mean
// nothing for what is installed from an index.
func (a *Advisories) add(r osvRecord) {
	if r.Withdrawn != "" {
		return
	}
	used := false
	for _, affected := range r.Affected {
		ecosystem, _, _ := strings.Cut(affected.Package.Ecosystem, ":")
		if ecosystem != "PyPI" {
			continue
		}
		used = true
		one := advisory{ids: append([]string{r.ID}, r.Aliases...), summary: r.Summary, versions: affected.Versions}
		one.severity, _ = r.DatabaseSpecific.Severity.(string)
		for _, ranged := range affected.Ranges {
			if ranged.Type == "ECOSYSTEM" || ranged.Type == "SEMVER" {
				one.ranges = append(one.ranges, ranged.Events)
			}
		}
		name := pep508.NormalizeName(affected.Package.Name)
		a.byName[name] = append(a.byName[name], one)
	}
	if used {
		a.Count++
	}
}

// affects reports whether a version is affected, as in the schema's section "Evaluation": it must
// be listed or in a range.
func (a advisory) affects(v pep440.Version) bool {
	for _, text := range a.versions {
		if listed, err := pep440.Parse(text); err == nil && listed.Equal(v) {
			return true
		}
	}
	return slices.ContainsFunc(a.ranges, func(events []osvEvent) bool { return inRange(events, v) })
}

// inRange evaluates the events of a range in the order of their versions.
func inRange(events []osvEvent, v pep440.Version) bool {
	type point struct {
		version pep440.Version // zero sorts before all others
		kind    int            // introduced comes before fixed and last_affected of the same version
	}
	var points []point
	for _, e := range events {
		for kind, text := range []string{e.Introduced, e.Fixed, e.LastAffected, e.Limit} {
			if text == "" || text == "*" {
				continue
			}
			p := point{kind: kind}
			if text != "0" {
				var err error
				if p.version, err = pep440.Parse(text); err != nil {
					continue
				}
			}
			points = append(points, p)
		}
	}
	slices.SortStableFunc(points, func(a, b point) int { return a.version.Compare(b.version) })
	affected := false
	for _, p := range points {
		order := v.Compare(p.version)
		switch {
		case p.kind == 0 && order >= 0:
			affected = true
		case p.kind == 2 && order > 0, (p.kind == 1 || p.kind == 3) && order >= 0:
			affected = false
		}
	}
	return affected
}

// fixed returns the lowest version above v that has the fix, or "" if none is known.
func (a advisory) fixed(v pep440.Version) string {
	var best pep440.Version
	for _, events := range a.ranges {
		for _, e := range events {
			if f, err := pep440.Parse(e.Fixed); err == nil && f.Compare(v) > 0 && (best.IsZero() || f.Compare(best) < 0) {
				best = f
			}
		}
	}
	if best.IsZero() {
		return ""
	}
	return best.String()
}

// vulnerabilities looks up the locked packages. Several databases may describe the same
// vulnerability, so records that share an id become one finding.
func (c *checker) vulnerabilities() {
	if c.in.Advisories == nil {
		return
	}
	for _, p := range c.in.Lock.Packages {
		if p.Version.IsZero() {
			continue
		}
		var found []advisory
		for _, a := range c.in.Advisories.byName[p.Name] {
			if a.affects(p.Version) {
				found = join(found, a)
			}
		}
		for _, a := range found {
			c.vulnerability(p.Name, p.Version, a)
		}
	}
}

// join merges an advisory into the one that it shares an id with, or appends it.
func join(found []advisory, a advisory) []advisory {
	for i := range found {
		have := &found[i]
		if !slices.ContainsFunc(a.ids, func(id string) bool { return slices.Contains(have.ids, id) }) {
			continue
		}
		for _, id := range a.ids {
			if !slices.Contains(have.ids, id) {
				have.ids = append(have.ids, id)
			}
		}
		have.ranges = append(slices.Clone(have.ranges), a.ranges...)
		if have.summary == "" {
			have.summary = a.summary
		}
		if have.severity == "" {
			have.severity = a.severity
		}
		return found
	}
	a.ids = slices.Clone(a.ids)
	return append(found, a)
}

// vulnerability reports an advisory about a locked package. Ids that begin with MAL- are of packages that were
// made to do harm.
func (c *checker) vulnerability(name pep508.Name, v pep440.Version, a advisory) {
	slices.Sort(a.ids)
	rule, what := finding.KnownVulnerability, "has the vulnerability"
	if slices.ContainsFunc(a.ids, func(id string) bool { return strings.HasPrefix(id, "MAL-") }) {
		rule, what = finding.MaliciousPackage, "is malicious:"
	}
	message := fmt.Sprintf("%s %s %s %s", name, v, what, strings.Join(a.ids, ", "))
	if a.severity != "" {
		message += " (" + strings.ToLower(a.severity) + ")"
	}
	if a.summary != "" {
		message += ": " + strings.TrimSuffix(strings.Join(strings.Fields(a.summary), " "), ".")
	}
	known := a.known(name, v)
	if known.Fixed != "" {
		message += "; fixed in " + known.Fixed
	}
	if upgrade, tried := c.in.Upgrades[name]; tried {
		known.Upgrade = upgrade.String()
		message += "; " + a.upgraded(v, upgrade)
	}
	c.find(rule, string(name)+" "+strings.Join(a.ids, " "), []finding.Origin{c.lockOrigin(name)}, "%s", message)
	c.findings[len(c.findings)-1].Vulnerability = known
}

// known is what a finding says of the advisory beside its message.
func (a advisory) known(name pep508.Name, v pep440.Version) *finding.Vulnerability {
	out := &finding.Vulnerability{ID: a.ids[0], Package: string(name), Version: v.String(), Severity: strings.ToLower(a.severity), Fixed: a.fixed(v)}
	if i := slices.IndexFunc(a.ids, func(id string) bool { return strings.HasPrefix(id, "CVE-") }); i >= 0 {
		out.ID = a.ids[i]
	}
	if out.Severity == "medium" { // as some databases call it
		out.Severity = "moderate"
	}
	out.Aliases = slices.DeleteFunc(slices.Clone(a.ids), func(id string) bool { return id == out.ID })
	return out
}

// upgraded says what locking the package anew was found to give.
func (a advisory) upgraded(v, upgrade pep440.Version) string {
	switch {
	case upgrade.IsZero():
		return "the environment was locked anew without it"
	case upgrade.Equal(v):
		return "what else is required allows no other version"
	case a.affects(upgrade):
		return "locking it anew gives " + upgrade.String() + ", which has it too"
	}
	return "locking it anew gives " + upgrade.String() + ", which has not"
}

// ignores reports whether a finding is of a vulnerability below the threshold. One whose severity
// nobody has said never is, nor is malice.
func (p *Policy) ignores(f *finding.Finding) bool {
	if f.Rule != finding.KnownVulnerability || f.Vulnerability == nil || p.VulnerableFor == "" {
		return false
	}
	at := slices.Index(VulnerabilityWords, f.Vulnerability.Severity)
	return at >= 0 && at < slices.Index(VulnerabilityWords, p.VulnerableFor)
}

// Vulnerable returns the packages of a lock that have a known vulnerability, in its order.
func (a *Advisories) Vulnerable(l *pylock.Lock) (out []pep508.Name) {
	if a == nil {
		return nil
	}
	for _, p := range l.Packages {
		if !p.Version.IsZero() && slices.ContainsFunc(a.byName[p.Name], func(one advisory) bool { return one.affects(p.Version) }) {
			out = append(out, p.Name)
		}
	}
	return out
}

// Add adds the advisories of another database.
func (a *Advisories) Add(b *Advisories) {
	if a.byName == nil {
		a.byName = map[pep508.Name][]advisory{}
	}
	for name, list := range b.byName {
		a.byName[name] = append(a.byName[name], list...)
	}
	a.Count += b.Count
}
