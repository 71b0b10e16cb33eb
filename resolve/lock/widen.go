package lock

import (
	"maps"

	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// facts yields every fact of a proof once, the given and the derived.
func facts(why *pubgrub.Derivation, yield func(*pubgrub.Derivation)) {
	seen := map[*pubgrub.Derivation]bool{}
	var walk func(d *pubgrub.Derivation)
	walk = func(d *pubgrub.Derivation) {
		if d == nil || seen[d] {
			return
		}
		seen[d] = true
		yield(d)
		walk(d.Left)
		walk(d.Right)
	}
	walk(why)
}

// widen gives the problem with more admitted, nil if there is nothing more to admit. PEP 440 lets
// a pre-release in where a requirement names one or nothing else satisfies it, PEP 592 a yanked
// version where one is pinned; for what packages require this counts only once there is no other
// way.
func (f *failure) widen() *Problem {
	p := *f.p.w.p
	p.prereleases, p.yanked = maps.Clone(p.prereleases), maps.Clone(p.yanked)
	wider := false
	admit := func(set *map[pep508.Name]bool, name pep508.Name) {
		if *set == nil {
			*set = map[pep508.Name]bool{}
		}
		if !(*set)[name] {
			(*set)[name] = true
			wider = true
		}
	}
	facts(f.why, func(d *pubgrub.Derivation) {
		n, ok := noteOf(d)
		if !ok || n.same {
			return
		}
		name := n.requirement.Name
		pr := f.p.w.project(name)
		final, pre, yanked := false, false, false
		for i, c := range pr.versions {
			if !n.requirement.Specifier.Match(c.version) {
				continue
			}
			final = final || !c.version.IsPrerelease()
			pre = pre || c.early == isPrerelease
			yanked = yanked || pr.why(i) == isYanked
		}
		if pre && (!final || n.requirement.Specifier.AllowsPrereleases()) {
			admit(&p.prereleases, name)
		}
		if _, pin := n.requirement.Specifier.Pin(); pin && yanked {
			admit(&p.yanked, name)
		}
	})
	if !wider {
		return nil
	}
	return &p
}

// noteOf is the requirement behind a given fact.
func noteOf(d *pubgrub.Derivation) (need, bool) {
	if d.Left != nil {
		return need{}, false
	}
	if d.Dependency != nil {
		n, ok := d.Dependency.Note.(need)
		return n, ok
	}
	n, ok := d.Note.(need)
	return n, ok
}
