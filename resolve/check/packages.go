package check

import (
	"bufio"
	"bytes"
	"slices"

	"mlenv/resolve/finding"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// pkg is a package that rules check: a locked one, or a required one if there is no lock.
type pkg struct {
	name      pep508.Name
	version   pep440.Version    // locked or pinned version; zero if neither
	specifier pep440.Specifiers // of a required one
	from      []finding.Origin
}

// String returns "name version" or the requirement.
func (p pkg) String() string {
	if p.version.IsZero() {
		return string(p.name) + p.specifier.String()
	}
	return string(p.name) + " " + p.version.String()
}

// overlaps reports whether the version of the package may be in the set.
func (p pkg) overlaps(set pep440.Specifiers) bool {
	if p.version.IsZero() {
		return set.IsZero() || p.specifier.And(set).Satisfiable() && !p.specifier.IsZero()
	}
	return set.Match(p.version)
}

// within reports whether the version of the package is certain to be in the set.
func (p pkg) within(set pep440.Specifiers) bool {
	return set.IsZero() || !p.version.IsZero() && set.Match(p.version)
}

// packages returns the locked packages, or without a lock the required ones.
func (c *checker) packages() []pkg {
	var out []pkg
	if c.in.Lock != nil {
		for _, p := range c.in.Lock.Packages {
			out = append(out, pkg{name: p.Name, version: p.Version, from: []finding.Origin{c.lockOrigin(p.Name)}})
		}
		return out
	}
	for _, r := range c.in.Spec.Requirements {
		if r.Name == "" {
			continue
		}
		p := pkg{name: r.Name, specifier: r.Specifier, from: slices.Clone(r.From)}
		p.version, _ = r.Specifier.Pin()
		out = append(out, p)
	}
	return out
}

// locked returns the package with that name in the lock, or nil.
func (c *checker) locked(name pep508.Name) *pylock.Package {
	if c.in.Lock == nil {
		return nil
	}
	for i := range c.in.Lock.Packages {
		if c.in.Lock.Packages[i].Name == name {
			return &c.in.Lock.Packages[i]
		}
	}
	return nil
}

// lockName matches the line of a lock that begins a package.
var lockName = pattern.New(`^name\s*=\s*["']([^"']+)["']`)

// lockOrigin returns the origin of the line in the lock that names the package.
func (c *checker) lockOrigin(name pep508.Name) finding.Origin {
	o := finding.Origin{File: c.in.Lock.Name}
	if c.lockLines == nil {
		c.lockLines = map[pep508.Name]finding.Origin{}
		lines := bufio.NewScanner(bytes.NewReader(c.in.Lock.Data))
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			if m := lockName.FindStringSubmatch(lines.Text()); m != nil {
				found := pep508.NormalizeName(m[1])
				if _, ok := c.lockLines[found]; !ok {
					c.lockLines[found] = finding.Origin{File: c.in.Lock.Name, Line: n, Text: lines.Text()}
				}
			}
		}
	}
	if found, ok := c.lockLines[name]; ok {
		return found
	}
	return o
}
