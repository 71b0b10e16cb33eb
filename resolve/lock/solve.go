package lock

import (
	"errors"
	"fmt"
	"slices"

	"mlenv/resolve/index"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// pick is one project chosen for one target.
type pick struct {
	name      pep508.Name
	candidate *candidate
	project   *project
	needs     []pep508.Name // sorted
	requires  []*pep508.Requirement
}

// picks is the choice for one target, or for some patch releases of its Python.
type picks struct {
	view   *targetView
	list   []*pick   // by name
	patchy []decided // markers of the packages that tell patch releases apart
	holds  patches   // of the target's Python, on which the choice is what it is
	odd    []string  // what the user should know of the choice
	over   []string  // what newer versions were passed over, and why
}

func (p *picks) find(name pep508.Name) *pick {
	i, ok := slices.BinarySearchFunc(p.list, name, func(a *pick, n pep508.Name) int {
		switch {
		case a.name < n:
			return -1
		case a.name > n:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return p.list[i]
}

func (p *picks) versions() map[pep508.Name]pep440.Version {
	m := map[pep508.Name]pep440.Version{}
	for _, x := range p.list {
		m[x.name] = x.candidate.version
	}
	return m
}

// solveAll solves every target. The later ones prefer what the earlier ones chose, and if they
// cannot follow, the earlier ones try to follow them: one version everywhere is worth a second
// look.
func (s *session) solveAll() ([]*picks, error) {
	kept := s.previous()
	all, err := s.solveEach(kept, nil)
	if err != nil || len(all) < 2 || differences(all) == 0 {
		return all, err
	}
	again, err := s.solveEach(kept, all[len(all)-1].versions())
	if err != nil {
		return nil, err
	}
	if differences(again) < differences(all) {
		return again, nil
	}
	return all, nil
}

// solveEach solves the targets one after the other. Each prefers what was kept, then the given
// versions or, where there are none, those of the first target.
func (s *session) solveEach(kept, prefer map[pep508.Name]pep440.Version) ([]*picks, error) {
	var all []*picks
	for _, t := range s.p.Targets {
		patch, exact := patchOf(t)
		for left := anyPatch(); ; {
			keep := join(kept, prefer)
			if prefer == nil && len(all) > 0 {
				keep = join(kept, all[0].versions())
			}
			env := t.Environment()
			if !exact {
				patch = left.from
				env = onPatch(env, t.Python.Minor(), patch)
			}
			p, err := s.solve(s.view(t, env, keep))
			if errors.As(err, new(*NoSolutionError)) && left.from > 0 {
				break // the lock is not for these patch releases, and says so
			}
			if err != nil {
				return nil, err
			}
			p.holds = p.hold(patch)
			if !exact {
				p.holds = p.holds.and(left)
			}
			all = append(all, p)
			if left.from = p.holds.to; exact || left.from >= left.to {
				break
			}
		}
	}
	return all, nil
}

// join adds versions to those kept, which come first.
func join(kept, more map[pep508.Name]pep440.Version) map[pep508.Name]pep440.Version {
	m := map[pep508.Name]pep440.Version{}
	for n, v := range more {
		m[n] = v
	}
	for n, v := range kept {
		m[n] = v
	}
	return m
}

// differences counts the versions beyond one of each project.
func differences(all []*picks) int {
	n := 0
	first := map[pep508.Name]pep440.Version{}
	for _, p := range all {
		for _, x := range p.list {
			if v, ok := first[x.name]; !ok {
				first[x.name] = x.candidate.version
			} else if !v.Equal(x.candidate.version) {
				n++
			}
		}
	}
	return n
}

// previous gives the versions to be kept from the previous lock.
func (s *session) previous() map[pep508.Name]pep440.Version {
	keep := map[pep508.Name]pep440.Version{}
	if s.p.Keep.Lock == nil || s.p.Keep.UpgradeAll {
		return keep
	}
	for i := range s.p.Keep.Lock.Packages {
		p := &s.p.Keep.Lock.Packages[i]
		if _, twice := keep[p.Name]; twice || p.Version.IsZero() || slices.Contains(s.p.Keep.Upgrade, p.Name) {
			continue
		}
		keep[p.Name] = p.Version
	}
	return keep
}

// solve finds the choice for one target. If there is none among what is admitted at first, what
// only explicit requirements of packages admit (their pre-releases and pins of yanked versions)
// is admitted too, for those packages that the failure was about.
func (s *session) solve(w *targetView) (*picks, error) {
	for {
		p, failure, err := s.trySettled(w)
		if err == nil {
			return p, nil
		}
		if failure == nil {
			return nil, err
		}
		s, w = failure.p.w.session, failure.p.w
		if wider := failure.widen(); wider != nil {
			s.p = wider
			w = s.view(w.target, w.env, w.keep)
			continue
		}
		if hard, ok := withoutSoft(s.p); ok {
			// Hints and explanations are about what the user asked for.
			s.p = hard
			w = s.view(w.target, w.env, w.keep)
			continue
		}
		return nil, failure.explain()
	}
}

// withoutSoft drops the soft roots of a problem, and says whether there were any.
func withoutSoft(p *Problem) (*Problem, bool) {
	q := *p
	q.Roots = slices.DeleteFunc(slices.Clone(p.Roots), func(r Root) bool { return r.Soft })
	return &q, len(q.Roots) < len(p.Roots)
}

// failure is an unsolved attempt.
type failure struct {
	p          *provider
	why        *pubgrub.Derivation
	sourceOnly []pep508.Name // packages that the user requires and that have no wheel at all
}

// try runs the solver once.
func (w *targetView) try(p *Problem) (*picks, *failure, error) {
	pv := newProvider(w)
	var roots []pubgrub.Dependency
	var err error
	for i := range p.Roots {
		if r := &p.Roots[i]; w.applies(r) {
			w.prefetch(r.wanted())
		}
	}
	for i := range p.Roots {
		r := &p.Roots[i]
		if !w.applies(r) || r.Soft && !w.has(r.Name) {
			continue
		}
		if roots, err = pv.dependencies(roots, need{requirement: &r.Requirement, root: r}); err != nil {
			return nil, nil, err
		}
	}
	solution, err := pubgrub.Solve(pv, roots)
	if none := (*pubgrub.NoSolutionError)(nil); errors.As(err, &none) {
		return nil, &failure{p: pv, why: none.Why}, err
	}
	if err != nil {
		return nil, nil, err
	}
	return pv.picks(solution), nil, nil
}

// wanted is what of a root may be read ahead.
func (r *Root) wanted() *pep508.Requirement {
	if r.Soft {
		q := r.Requirement
		q.Specifier = pep440.Specifiers{}
		return &q
	}
	return &r.Requirement
}

// has reports whether some version of a project can be used at all. A page that cannot be had
// offline is as good as none.
func (w *targetView) has(name pep508.Name) bool {
	pr := w.project(name)
	if errors.As(pr.err, new(*index.OfflineError)) {
		return false
	}
	return pr.err != nil || pr.best(func(i int) bool { return pr.why(i) == usable }) >= 0
}

// picks reads a solution.
func (p *provider) picks(solution []int) *picks {
	out := &picks{view: p.w}
	if p.w.p.Note != nil {
		out.over = p.passedOver(solution)
	}
	byName := map[pep508.Name]*pick{}
	for id, v := range solution {
		if v < 0 {
			continue
		}
		it := p.items[id]
		pr := p.projects[id]
		x := byName[it.name]
		if x == nil {
			x = &pick{name: it.name, project: pr, candidate: pr.versions[v]}
			byName[it.name] = x
			out.list = append(out.list, x)
		}
		m, _ := p.w.meta(pr.versions[v]) // the solver has read it
		for _, r := range p.w.requirements(m, it.extra) {
			x.needs = append(x.needs, r.Name)
			x.requires = append(x.requires, r)
		}
		out.patchy = append(out.patchy, patchy(m, it.extra)...)
		if it.extra != "" && !slices.Contains(m.ProvidesExtra, it.extra) {
			out.odd = append(out.odd, fmt.Sprintf("%s %s has no extra %q", it.name, pr.versions[v].version, it.extra))
		}
	}
	for _, x := range out.list {
		slices.Sort(x.needs)
		x.needs = slices.Compact(x.needs)
		x.needs = slices.DeleteFunc(x.needs, func(n pep508.Name) bool { return n == x.name })
	}
	slices.SortFunc(out.list, func(a, b *pick) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out
}
