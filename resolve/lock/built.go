package lock

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
	"mlenv/resolve/pylock"
)

// SolveWithout is Solve for an environment into which something else builds some packages from
// source, as a Dockerfile can. They, and what they need, are left out of the lock. What is required of
// them, by the user or by packages of the lock, is given beside it, sorted by name.
func SolveWithout(ctx context.Context, index Index, p Problem, built []pep508.Name) (*pylock.Lock, []pep508.Requirement, error) {
	p.built = built
	return p.solve(ctx, index)
}

// isBuilt reports whether a package is left to be built.
func (w *targetView) isBuilt(name pep508.Name) bool { return slices.Contains(w.p.built, name) }

// builds gives what the roots and all that was chosen require of the packages that are built.
func builds(all []*picks) []pep508.Requirement {
	var out []pep508.Requirement
	add := func(w *targetView, r *pep508.Requirement) {
		if !w.isBuilt(r.Name) {
			return
		}
		k := slices.IndexFunc(out, func(o pep508.Requirement) bool { return o.Name == r.Name })
		if k < 0 {
			k = len(out)
			out = append(out, pep508.Requirement{Name: r.Name, Spelling: string(r.Name)})
		}
		out[k].Specifier = out[k].Specifier.And(r.Specifier)
		out[k].Extras = append(out[k].Extras, r.Extras...)
		slices.Sort(out[k].Extras)
		out[k].Extras = slices.Compact(out[k].Extras)
	}
	for _, p := range all {
		for i := range p.view.p.Roots {
			if r := &p.view.p.Roots[i]; !r.Soft && p.view.applies(r) {
				add(p.view, &r.Requirement)
			}
		}
		for _, x := range p.list {
			for _, r := range x.requires {
				add(p.view, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b pep508.Requirement) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// buildable lists the packages that a failure is about, or that the user requires, of which no version
// that would do has a fitting wheel, but some have a source distribution: those that building would
// help with.
func (f *failure) buildable() []pep508.Name {
	var names []pep508.Name
	add := func(pr *project, allowed pubgrub.Set) {
		if _, hopeless := pr.hopeless(allowed); hopeless && pr.direct == nil && pr.hasSource(allowed) {
			names = append(names, pr.name)
		}
	}
	facts(f.why, func(d *pubgrub.Derivation) {
		if n, ok := noteOf(d); ok && d.Dependency != nil && !n.same {
			add(f.p.projects[d.Dependency.Package], d.Dependency.Allowed)
		}
	})
	w := f.p.w
	for i := range w.p.Roots {
		r := &w.p.Roots[i]
		if r.Soft || r.URL != "" || !w.applies(r) || w.isBuilt(r.Name) {
			continue
		}
		if pr := w.project(r.Name); pr.err == nil {
			add(pr, pr.allowed(r.Specifier))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hasSource reports whether one of the versions has a file that is no wheel and is for the target's
// Python.
func (pr *project) hasSource(allowed pubgrub.Set) bool {
	for i := range allowed.Down() {
		for _, f := range pr.versions[i].files {
			if !f.Wheel && pr.filter.python(f.RequiresPython) {
				return true
			}
		}
	}
	return false
}

// unobtainable says of the user's other requirements that nothing meets them, whatever else is chosen:
// whoever mends one requirement after another wants to know of all at once. It gives the packages
// that have source distributions alone, too.
func (f *failure) unobtainable(taking []Root) (lines []string, sourceOnly []pep508.Name) {
	s := &explanation{f: f}
	w := f.p.w
	for i := range w.p.Roots {
		r := &w.p.Roots[i]
		if r.Soft || r.URL != "" || !w.applies(r) || w.isBuilt(r.Name) {
			continue
		}
		pr := w.project(r.Name)
		if pr.err != nil || pr.direct != nil {
			continue
		}
		allowed := pr.allowed(r.Specifier)
		d := &pubgrub.Dependency{Package: f.p.id(item{name: r.Name}), Allowed: allowed, Note: need{requirement: &r.Requirement, root: r}}
		why, all := pr.hopeless(allowed)
		if why == onlySource {
			sourceOnly = append(sourceOnly, r.Name)
		}
		if slices.ContainsFunc(taking, func(o Root) bool { return sameRoot(&o, r) }) {
			continue
		}
		line := s.fact(&pubgrub.Derivation{Package: -1, Dependency: d, Note: d.Note})
		switch {
		case allowed.Empty():
		case all:
			line += ", but " + s.excluded(&pubgrub.Derivation{Package: d.Package, Versions: allowed, Note: why})
		default:
			continue
		}
		lines = append(lines, fmt.Sprintf("Besides, %s.", line))
	}
	return lines, sourceOnly
}

// hopeless reports whether none of the versions has a wheel that fits the target, and why the newest
// of them has not.
func (pr *project) hopeless(allowed pubgrub.Set) (why reason, ok bool) {
	for i := range allowed.Down() {
		switch w := pr.why(i); {
		case w != onlySource && w != wrongTags && w != wrongPython:
			return usable, false
		case why == usable:
			why = w
		}
	}
	return why, why != usable
}
