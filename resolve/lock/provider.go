package lock

import (
	"errors"
	"strings"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pubgrub"
)

// item is a package as the solver counts them: a project, or a project with one of its extras. The
// latter has the same versions, and each needs the same version of the project itself, and what
// the extra adds.
type item struct {
	name  pep508.Name
	extra pep508.Name
}

// need is the note on a dependency.
type need struct {
	requirement *pep508.Requirement
	root        *Root // who wrote it, nil for a package's own requirement
	same        bool  // a project with an extra needs the project: not worth a word
}

// provider adapts a targetView to the solver.
type provider struct {
	w        *targetView
	ids      map[item]int
	items    []item
	projects []*project
	tried    []int // how many versions were read
	batched  []int // how many they were when some more were read ahead

	trying    int                // the version whose dependencies are being asked for
	waiting   waiting            // what is read ahead should that version be taken
	passed    []passed           // what cannot be used of what was tried
	requirers map[int][]requirer // by the package that they need
}

// waiting is what a version requires, to be read ahead once it is known that the version is taken.
type waiting struct {
	id    int
	needs []*pep508.Requirement
}

func newProvider(w *targetView) *provider {
	return &provider{w: w, ids: map[item]int{}, requirers: map[int][]requirer{}}
}

func (p *provider) id(it item) int {
	id, ok := p.ids[it]
	if !ok {
		id = len(p.items)
		p.ids[it] = id
		p.items = append(p.items, it)
		p.projects = append(p.projects, p.w.project(it.name))
		p.tried, p.batched = append(p.tried, 0), append(p.batched, 0)
	}
	return id
}

// Versions implements pubgrub.Provider.
func (p *provider) Versions(id int) (int, []pubgrub.Exclusion, error) {
	pr := p.projects[id]
	if pr.err != nil {
		return 0, nil, pr.err
	}
	n := len(pr.versions)
	var out []pubgrub.Exclusion
	if p.items[id].extra == "" {
		out = pr.constraints()
	}
	pre := pubgrub.NewSet(n)
	for i, c := range pr.versions {
		if c.early == isPrerelease {
			pre.Add(i)
		}
	}
	if !pre.Empty() {
		out = append(out, pubgrub.Exclusion{Versions: pre, Note: isPrerelease})
	}
	return n, out, nil
}

// Twin implements pubgrub.Twins.
func (p *provider) Twin(id int) (int, bool) {
	it := p.items[id]
	base, ok := p.ids[item{name: it.name}]
	return base, ok && it.extra != ""
}

// constraints gives what each constraint rules out.
func (pr *project) constraints() []pubgrub.Exclusion {
	var out []pubgrub.Exclusion
	for _, r := range pr.limits {
		set := pubgrub.NewSet(len(pr.versions))
		for i, c := range pr.versions {
			if !r.Specifier.Match(c.version) {
				set.Add(i)
			}
		}
		if !set.Empty() {
			out = append(out, pubgrub.Exclusion{Versions: set, Note: need{requirement: &r.Requirement, root: r}})
		}
	}
	return out
}

// allowed is the set of a project's versions that a specifier admits.
func (pr *project) allowed(s pep440.Specifiers) pubgrub.Set {
	key := s.String()
	set, ok := pr.sets[key]
	if !ok {
		set = pubgrub.NewSet(len(pr.versions))
		for i, c := range pr.versions {
			if s.Match(c.version) {
				set.Add(i)
			}
		}
		pr.sets[key] = set
	}
	return set
}

// dependencies turns a requirement into the solver's terms: one on the project and one for each
// extra.
func (p *provider) dependencies(out []pubgrub.Dependency, n need) ([]pubgrub.Dependency, error) {
	r := n.requirement
	if p.w.isBuilt(r.Name) {
		return out, nil
	}
	pr := p.w.project(r.Name)
	if pr.err != nil {
		return nil, pr.err
	}
	if pr.needsPre(r.Specifier) {
		return nil, &preError{pr.name}
	}
	d := pubgrub.Dependency{Allowed: pr.allowed(r.Specifier), Note: n}
	if n.root != nil && n.root.Soft {
		d.Allowed = pr.allowed(pep440.Specifiers{})
	} else if _, ok := r.Specifier.Pin(); ok || pr.pinned {
		d.Rank = pubgrub.Pinned
	}
	if n.root != nil && pr.near != nil {
		d.Rank = pubgrub.Pinned // else it would have to go with what others chose
	}
	if pr.direct != nil {
		d.Rank = pubgrub.Fixed
	}
	d.Package = p.id(item{name: r.Name})
	out = append(out, d)
	for _, x := range r.Extras {
		d.Package = p.id(item{r.Name, x})
		out = append(out, d)
	}
	return out, nil
}

// neighbours gives a version that does not count and those below it that are out for the same
// reason, so that they need not be tried one by one, nor explained so.
func (pr *project) neighbours(v int, why reason) (pubgrub.Set, reason) {
	set := pubgrub.NewSet(len(pr.versions))
	wheelless := why == wrongTags || why == onlySource
	for i := v; i >= 0; i-- {
		switch w := pr.why(i); {
		case w == why:
			set.Add(i)
		case wheelless && (w == wrongTags || w == onlySource):
			set.Add(i)
			why = wrongTags
		case pr.versions[i].early == usable:
			return set, why
		}
	}
	return set, why
}

// Dependencies implements pubgrub.Provider.
func (p *provider) Dependencies(id, v int) ([]pubgrub.Dependency, error) {
	if err := p.w.left.step(); err != nil {
		return nil, err
	}
	p.trying = v
	it, pr := p.items[id], p.projects[id]
	if why := pr.why(v); why != usable {
		set, why := pr.neighbours(v, why)
		return nil, p.passOver(id, &pubgrub.UnavailableError{Note: why, Versions: set})
	}
	p.tried[id]++
	m, err := p.w.meta(pr.versions[v])
	if out := (*pubgrub.UnavailableError)(nil); errors.As(err, &out) {
		return nil, p.passOver(id, out)
	}
	if err != nil {
		return nil, err
	}
	var out []pubgrub.Dependency
	if it.extra != "" {
		self := pubgrub.NewSet(len(pr.versions))
		self.Add(v)
		out = append(out, pubgrub.Dependency{Package: p.id(item{name: it.name}), Allowed: self, Note: need{same: true}})
	}
	rs := p.w.requirements(m, it.extra)
	p.readAhead(id, rs)
	for _, r := range rs {
		if p.w.isBuilt(r.Name) {
			continue
		}
		if r.URL != "" && !p.w.given(r) {
			return nil, p.passOver(id, &pubgrub.UnavailableError{Note: "it needs " + r.String() + ", a direct reference; write that among your own requirements to allow it"})
		}
		if out, err = p.dependencies(out, need{requirement: r}); err != nil {
			return nil, err
		}
		if p.w.p.Note != nil {
			needed := p.id(item{name: r.Name})
			p.requirers[needed] = append(p.requirers[needed], requirer{id, v})
		}
	}
	return out, nil
}

// given reports whether a direct reference of a package is one that a root makes too.
func (w *targetView) given(r *pep508.Requirement) bool {
	root := w.of(r.Name).direct
	if root == nil {
		return false
	}
	have, _, _ := strings.Cut(root.URL, "#")
	want, _, _ := strings.Cut(r.URL, "#")
	return have == want
}

// fewTries is how many versions of a package may be tried before it is doubtful that the next one will be
// taken.
const fewTries = 2

// readAhead has what a version requires read in the background. Once several versions of a package were
// tried, the next one will most likely fail too, and what it alone requires (the botocore that goes with
// each aiobotocore) is needed by nobody: then only the pages are read, which all versions share.
func (p *provider) readAhead(id int, rs []*pep508.Requirement) {
	if p.tried[id] > fewTries {
		p.waiting = waiting{id, rs}
		for _, r := range rs {
			p.w.prefetchPage(r.Name)
		}
		return
	}
	for _, r := range rs {
		p.w.prefetch(r)
	}
}

// Choose implements pubgrub.Provider.
func (p *provider) Choose(id int, allowed pubgrub.Set) int {
	if p.waiting.id != id { // the version that was tried last was taken, or there would be another one to try
		for _, r := range p.waiting.needs {
			p.w.prefetch(r)
		}
	}
	p.waiting = waiting{}
	pr := p.projects[id]
	v := pr.best(func(i int) bool { return allowed.Has(i) })
	// A package of which several versions were tried in vain will see many more: its metadata is
	// read in growing batches.
	if n := p.tried[id]; n >= 4 && n >= 2*p.batched[id] {
		p.batched[id] = n
		batch := min(n*2, 50)
		for i := range allowed.Down() {
			if i >= v || pr.why(i) != usable {
				continue
			}
			p.w.prefetchMetadata(pr.versions[i])
			if batch--; batch == 0 {
				break
			}
		}
	}
	return v
}
