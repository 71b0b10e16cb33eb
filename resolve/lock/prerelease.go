package lock

import (
	"errors"
	"maps"
	"slices"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Pre-releases count where a requirement names one, and where nothing else meets it (PEP 440). For the
// user's own requirements that is known from the start; what packages require is known only once
// they are tried. A package whose requirement only a pre-release meets is as good as any other: to pass
// it over would give an older version of it, in silence. So the search begins anew with the
// pre-releases of that project admitted, after its final releases. Should they have been taken and
// the package that asked for them not, then it begins anew once more, and without them.

// preError ends a search in which a requirement turned up that only pre-releases of a project meet.
type preError struct{ name pep508.Name }

func (e *preError) Error() string {
	return "only pre-releases of " + string(e.name) + " meet what is required"
}

// needsPre reports whether pre-releases, which do not count so far, are all that meets a requirement.
func (pr *project) needsPre(s pep440.Specifiers) bool {
	if !pr.pre || pr.finals || pr.barred {
		return false
	}
	var pres, finals []int
	for i, c := range pr.versions {
		switch {
		case c.early != usable && c.early != isPrerelease || !s.Match(c.version):
		case c.early == isPrerelease:
			pres = append(pres, i)
		default:
			finals = append(finals, i)
		}
	}
	if !slices.ContainsFunc(pres, pr.fits) {
		return false
	}
	for _, i := range slices.Backward(finals) { // the newest most likely counts
		if pr.why(i) == usable {
			return false
		}
	}
	return true
}

// fits reports whether a pre-release that does not count would, if it were asked for.
func (pr *project) fits(i int) bool {
	c := pr.versions[i]
	pr.filter.examine(c)
	return c.late == usable
}

// withPre is a problem in which pre-releases of a project are admitted because packages ask for them,
// or never for that reason.
func (p *Problem) withPre(name pep508.Name, admitted bool) *Problem {
	q := *p
	if q.prereleases = maps.Clone(p.prereleases); q.prereleases == nil {
		q.prereleases = map[pep508.Name]bool{}
	}
	q.prereleases[name] = admitted
	return &q
}

// trySettled is try, begun anew until it is settled which projects' pre-releases count.
func (s *session) trySettled(w *targetView) (*picks, *failure, error) {
	for {
		p, failure, err := w.try(w.p)
		next := w.p
		if more := (*preError)(nil); errors.As(err, &more) {
			next = w.p.withPre(more.name, true)
		} else if err == nil {
			if name, ok := p.needlessPre(); ok {
				next = w.p.withPre(name, false)
			}
		}
		if next == w.p {
			return p, failure, err
		}
		again := *s
		again.p = next
		left, near := w.left, w.near
		w = again.view(w.target, w.env, w.keep)
		w.left, w.near = left, near
	}
}

// needlessPre finds a project of which a pre-release was chosen because a package asked for one that
// itself was not chosen.
func (p *picks) needlessPre() (pep508.Name, bool) {
	for _, x := range p.list {
		if !x.project.finals || !x.candidate.version.IsPrerelease() {
			continue
		}
		needed := false
		for _, s := range p.asks(x.name) {
			final := x.project.best(func(i int) bool {
				return !x.project.versions[i].version.IsPrerelease() && s.Match(x.project.versions[i].version) && x.project.why(i) == usable
			})
			needed = needed || final < 0 || s.AllowsPrereleases()
		}
		if !needed {
			return x.name, true
		}
	}
	return "", false
}

// asks gives what the roots and the chosen packages require of a project.
func (p *picks) asks(name pep508.Name) []pep440.Specifiers {
	var out []pep440.Specifiers
	for i := range p.view.p.Roots {
		if r := &p.view.p.Roots[i]; r.Name == name && !r.Soft && p.view.applies(r) {
			out = append(out, r.Specifier)
		}
	}
	for _, x := range p.list {
		for _, r := range x.requires {
			if r.Name == name {
				out = append(out, r.Specifier)
			}
		}
	}
	return out
}
