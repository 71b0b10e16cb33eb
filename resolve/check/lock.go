package check

import (
	"slices"

	"mlenv/resolve"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// lock compares the lock with the Spec.
func (c *checker) lock() {
	l, s := c.in.Lock, c.in.Spec
	whole := []finding.Origin{{File: l.Name}}
	if d := l.Tool.SpecDigest; d != "" && d != s.Digest {
		c.find(finding.LockOutOfDate, l.Name, whole, "%s was made for other requirements than the model has now", l.Name)
	}
	python := s.Python.Version
	known := !python.IsZero()
	if locked := l.Tool.Python; !locked.IsZero() && known && locked.Minor() != python.Minor() {
		c.find(finding.LockPythonDiffers, "python", append(whole, s.Python.From...), "%s was made for Python %s, but the model wants %s", l.Name, locked, python)
	} else if known && !(dist.Target{Python: python}).FitsPython(l.RequiresPython) {
		c.find(finding.LockPythonDiffers, "python", append(whole, s.Python.From...), "%s is for Python %s, but the model wants %s", l.Name, l.RequiresPython, python)
	}
	for _, r := range s.Requirements {
		c.lockedRequirement(r)
	}
	for _, r := range s.Constraints {
		if p := c.locked(r.Name); p != nil {
			c.lockedVersion(r, p)
		}
	}
	for i := range l.Packages {
		c.hashes(&l.Packages[i])
	}
}

// lockedRequirement checks that a requirement that applies is in the lock, in a version that it allows.
func (c *checker) lockedRequirement(r resolve.Requirement) {
	if r.Name == "" || !c.applies(r.Marker) {
		return
	}
	p := c.locked(r.Name)
	if p == nil {
		c.find(finding.RequirementNotLocked, string(r.Name), r.From, "%s is not in %s", r.Line(), c.in.Lock.Name)
		return
	}
	if r.URL == "" && r.Path == "" {
		c.lockedVersion(r, p)
	}
}

// lockedVersion checks that the locked version is one that a requirement or a constraint allows.
func (c *checker) lockedVersion(r resolve.Requirement, p *pylock.Package) {
	if p.Version.IsZero() || r.Specifier.Match(p.Version) {
		return
	}
	c.find(finding.LockedVersionExcluded, string(r.Name), append(slices.Clone(r.From), c.lockOrigin(p.Name)),
		"%s is required, but the lock has %s", r.Line(), p.Version)
}

// applies reports whether a marker is true for one of the targets, or for Linux if there are none.
func (c *checker) applies(m pep508.Marker) bool {
	if m.IsZero() {
		return true
	}
	targets := c.in.Targets
	if len(targets) == 0 {
		targets = []dist.Target{{OS: "linux", Arch: "amd64"}}
	}
	return slices.ContainsFunc(targets, func(t dist.Target) bool { return m.Eval(c.withPython(t).Environment()) })
}

// withPython returns the target, with the model's Python if it has none.
func (c *checker) withPython(t dist.Target) dist.Target {
	if t.Python.IsZero() {
		t.Python = c.in.Spec.Python.Version
	}
	return t
}

// strong are the hash algorithms that are considered secure.
var strong = []string{"sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512", "blake2b"}

// hashes reports the files of a package that have no strong hash: an index, or whoever stands between, could
// exchange them.
func (c *checker) hashes(p *pylock.Package) {
	weak := func(name string, hashes map[string]string) {
		for _, algorithm := range strong {
			if hashes[algorithm] != "" {
				return
			}
		}
		c.find(finding.HashMissing, string(p.Name), []finding.Origin{c.lockOrigin(p.Name)}, "%s has no strong hash", name)
	}
	for _, w := range p.Wheels {
		weak(w.Name, w.Hashes)
	}
	if p.Sdist != nil {
		weak(p.Sdist.Name, p.Sdist.Hashes)
	}
	if p.Archive != nil {
		weak(string(p.Name)+"'s archive", p.Archive.Hashes)
	}
}

// targets checks that there is a wheel of every package that a target installs.
func (c *checker) targets() {
	for _, t := range c.in.Targets {
		t = c.withPython(t)
		if t.Python.IsZero() {
			continue
		}
		_, unbuilt := c.in.Lock.Choose(t)
		for _, u := range unbuilt {
			p := u.Package
			c.find(finding.NoFittingWheel, string(p.Name), []finding.Origin{c.lockOrigin(p.Name)},
				"%s %s cannot be installed on %s with Python %s: %s", p.Name, p.Version, t, t.Python, whyNot(u))
		}
	}
}

// whyNot returns the reason why no wheel of a package fits.
func whyNot(u pylock.Unbuilt) string {
	switch u.Why {
	case pylock.OtherPython:
		return "it requires Python " + u.Package.RequiresPython.String()
	case pylock.OtherTargets, pylock.NotAWheel:
		return "none of its wheels fits"
	}
	return "it has only a source distribution"
}

// releases compares the locked files with those that an index lists now.
func (c *checker) releases() {
	if c.in.Releases == nil {
		return
	}
	for i := range c.in.Lock.Packages {
		p := &c.in.Lock.Packages[i]
		files, asked := c.in.Releases[p.Name]
		if !asked {
			continue
		}
		from := []finding.Origin{c.lockOrigin(p.Name)}
		for _, w := range p.Wheels {
			n := slices.IndexFunc(files, func(f dist.File) bool { return f.Filename == w.Name })
			if n < 0 {
				c.find(finding.ReleaseGone, string(p.Name), from, "the index no longer lists %s", w.Name)
				continue
			}
			if files[n].Yanked {
				reason := ""
				if r := files[n].YankedReason; r != "" {
					reason = ": " + r
				}
				c.find(finding.YankedRelease, string(p.Name), from, "%s %s was yanked%s", p.Name, p.Version, reason)
				break
			}
		}
	}
}
