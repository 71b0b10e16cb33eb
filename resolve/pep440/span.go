package pep440

// span is a half-open interval of keys: lo is included, hi is not. An empty hi means no upper
// bound.
type span struct{ lo, hi string }

func (s span) has(key string) bool { return key >= s.lo && (s.hi == "" || key < s.hi) }

// keyMin is the key of 0.dev0, the lowest version there is.
var keyMin = (&parts{release: []string{"0"}, dev: "0"}).key()

// span returns the versions that "op p" matches; key is p's key. For != it returns the span of ==.
func (p *parts) span(op, key string) span {
	switch op {
	case ">=":
		return span{lo: key}
	case "<=":
		next := p.next()
		return span{hi: next.key()}
	case "<":
		// PEP 440: "<p" excludes pre-releases of p, unless p is a pre-release itself.
		if p.pre != 0 || p.dev != "" {
			return span{hi: key}
		}
		first := parts{epoch: p.epoch, release: p.release, post: p.post, dev: "0"}
		return span{hi: first.key()}
	case ">":
		return span{lo: p.after()}
	case "~=":
		return span{lo: key, hi: p.prefix(p.release[:len(p.release)-1]).hi}
	}
	if p.local != "" {
		return span{lo: key, hi: key + "\x00"}
	}
	next := p.next()
	return span{lo: key, hi: next.key()}
}

// next returns the first version after p and all its local versions.
func (p *parts) next() parts {
	next := parts{epoch: p.epoch, release: p.release, pre: p.pre, preN: p.preN, post: p.post, dev: "0"}
	switch {
	case p.dev != "":
		next.dev = increment(p.dev)
	case p.post != "":
		next.post = increment(p.post)
	default:
		next.post = "0"
	}
	return next
}

// after returns the lower bound of ">p". PEP 440 excludes local versions of p, and post releases of
// p unless p is one. There is no first version after those of a final release, so the bound is a
// key of no version.
func (p *parts) after() string {
	switch {
	case p.dev != "" || p.post != "":
		next := p.next()
		return next.key()
	case p.pre != 0:
		next := parts{epoch: p.epoch, release: p.release, pre: p.pre, preN: increment(p.preN), dev: "0"}
		return next.key()
	}
	return string(p.appendPre(nil)) + keyAfter
}

// prefix returns the versions of p's epoch whose release begins with the given one: "==release.*".
func (p *parts) prefix(release []string) span {
	first := parts{epoch: p.epoch, release: release, dev: "0"}
	last := len(release) - 1
	past := first
	past.release = append(append([]string(nil), release[:last]...), increment(release[last]))
	return span{lo: first.key(), hi: past.key()}
}

// Satisfiable reports whether any version at all could satisfy the set, published or not, including
// pre-releases and local versions. It never returns false for a set that has a solution.
func (s Specifiers) Satisfiable() bool {
	for i := range s.clauses {
		if s.clauses[i].Op == "===" {
			return s.satisfiableText(&s.clauses[i])
		}
	}
	return new(Conjunction).narrow(s.clauses)
}

// satisfiableText is Satisfiable for a set with a "===" clause, which leaves its own text as the
// only candidate.
func (s Specifiers) satisfiableText(only *Clause) bool {
	for i := range s.clauses {
		c := &s.clauses[i]
		switch {
		case c.Op == "===":
			if !equalFold(c.Version, only.Version) {
				return false
			}
		case only.version.IsZero() || c.span.has(only.version.key) == (c.Op == "!="):
			return false
		}
	}
	return true
}
