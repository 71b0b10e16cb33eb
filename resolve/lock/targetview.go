package lock

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"mlenv/resolve/dist"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// session is one call of Solve.
type session struct {
	ctx        context.Context
	index      Index
	p          *Problem
	prefetches *sync.WaitGroup
	warned     map[string]bool
	known      *known
}

// note tells what versions were passed over, once each.
func (s *session) note(text string) {
	if !s.warned[text] {
		s.warned[text] = true
		s.p.Note(text)
	}
}

func (s *session) warn(format string, args ...any) {
	m := fmt.Sprintf(format, args...)
	if s.p.Warn != nil && !s.warned[m] {
		s.warned[m] = true
		s.p.Warn(m)
	}
}

// targetView is the packages as one target of one problem sees them. Projects are loaded
// on first use, either by the solver or by a prefetch that runs ahead of it.
type targetView struct {
	*session
	p      *Problem // hides the session's, which may be widened while prefetches still read
	target dist.Target
	tags   dist.TagSet
	env    pep508.Environment

	asked map[pep508.Name]*asked           // by roots and constraints that apply
	keep  map[pep508.Name]pep440.Version   // versions to be tried first
	near  map[pep508.Name][]pep440.Version // versions whose neighbours are to be tried first
	left  *work                            // nil: no bound

	noBinary, onlyBinary nameSet

	mu         sync.Mutex
	projects   map[pep508.Name]*building
	prefetched map[string]bool
}

// nameSet is the value of an option that takes names, or ":all:".
type nameSet map[pep508.Name]bool

func newNameSet(list []string) nameSet {
	s := nameSet{}
	for _, name := range list {
		if name != ":all:" {
			name = string(pep508.NormalizeName(name))
		}
		s[pep508.Name(name)] = true
	}
	return s
}

func (s nameSet) has(name pep508.Name) bool { return s[":all:"] || s[name] }

// asked is what roots and constraints say of one project.
type asked struct {
	roots, limits []*Root
	direct        *Root               // that fixes it by a URL or path; nil: none
	hashes        map[string]bool     // that are demanded, in lower case
	soft          []pep440.Specifiers // preferences of soft roots
}

// add takes one of the roots or constraints.
func (a *asked) add(r *Root) {
	if r.URL != "" {
		a.direct = r
	}
	for _, h := range r.Hashes {
		if a.hashes == nil {
			a.hashes = map[string]bool{}
		}
		a.hashes[strings.ToLower(h)] = true
	}
	if r.Soft && !r.Specifier.IsZero() {
		a.soft = append(a.soft, r.Specifier)
	}
}

// of gives what is said of a project, never nil.
func (w *targetView) of(name pep508.Name) *asked {
	if a := w.asked[name]; a != nil {
		return a
	}
	return &asked{}
}

type building struct {
	once    sync.Once
	project *project
}

// view returns the view of a target, with markers evaluated in env.
func (s *session) view(t dist.Target, env pep508.Environment, keep map[pep508.Name]pep440.Version) *targetView {
	w := &targetView{
		session: s, p: s.p, target: t, tags: t.TagSet(), env: env,
		asked: map[pep508.Name]*asked{}, noBinary: newNameSet(s.p.Limits.NoBinary), onlyBinary: newNameSet(s.p.Limits.OnlyBinary), keep: keep, projects: map[pep508.Name]*building{}, prefetched: map[string]bool{},
	}
	for k, list := range [][]Root{s.p.Roots, s.p.Constraints} {
		for i := range list {
			r := &list[i]
			if !w.applies(r) {
				continue
			}
			a := w.asked[r.Name]
			if a == nil {
				a = &asked{}
				w.asked[r.Name] = a
			}
			if a.add(r); k == 0 {
				a.roots = append(a.roots, r)
			} else {
				a.limits = append(a.limits, r)
			}
		}
	}
	return w
}

// applies reports whether a root's marker holds on the target.
func (w *targetView) applies(r *Root) bool { return r.Marker.Eval(w.env) }

func (w *targetView) project(name pep508.Name) *project {
	w.mu.Lock()
	b := w.projects[name]
	if b == nil {
		b = &building{}
		w.projects[name] = b
	}
	w.mu.Unlock()
	b.once.Do(func() { b.project = w.load(name) })
	return b.project
}

// requirements gives what a version needs on the target, by itself (extra "") or for one extra in
// addition.
func (w *targetView) requirements(m *dist.Metadata, extra pep508.Name) []*pep508.Requirement {
	var out []*pep508.Requirement
	env := w.env
	if extra != "" {
		env.Extras = []pep508.Name{extra}
	}
	for i := range m.RequiresDist {
		r := &m.RequiresDist[i]
		if r.Marker.IsZero() {
			if extra == "" {
				out = append(out, r)
			}
			continue
		}
		if extra != "" && (!r.Marker.UsesExtra() || r.Marker.Eval(w.env)) {
			continue
		}
		if r.Marker.Eval(env) {
			out = append(out, r)
		}
	}
	return out
}

// prefetch reads ahead: what a requirement will probably pick, and what that needs, in the
// background. The solver then finds most of what it asks for already there.
func (w *targetView) prefetch(r *pep508.Requirement) {
	if w.isBuilt(r.Name) {
		return
	}
	var b strings.Builder
	b.WriteString(string(r.Name))
	for _, x := range r.Extras {
		b.WriteString("," + string(x))
	}
	if !r.Specifier.IsZero() {
		b.WriteString(";" + r.Specifier.String())
	}
	key := b.String()
	w.mu.Lock()
	seen := w.prefetched[key]
	w.prefetched[key] = true
	w.mu.Unlock()
	if seen || w.ctx.Err() != nil || w.left.done() {
		return
	}
	w.prefetches.Add(1)
	go func() {
		defer w.prefetches.Done()
		pr := w.project(r.Name)
		i := pr.best(func(i int) bool {
			return pr.versions[i].early == usable && r.Specifier.Match(pr.versions[i].version) && pr.why(i) == usable
		})
		if i < 0 || w.ctx.Err() != nil {
			return
		}
		m, err := w.meta(pr.versions[i])
		if err != nil {
			return
		}
		w.follow(m, "")
		for _, x := range r.Extras {
			w.follow(m, x)
		}
	}()
}

// prefetchPage reads what versions a project has in the background.
func (w *targetView) prefetchPage(name pep508.Name) {
	w.mu.Lock()
	known := w.projects[name] != nil
	w.mu.Unlock()
	if known || w.isBuilt(name) || w.ctx.Err() != nil || w.left.done() {
		return
	}
	w.prefetches.Add(1)
	go func() {
		defer w.prefetches.Done()
		w.project(name)
	}()
}

func (w *targetView) follow(m *dist.Metadata, extra pep508.Name) {
	for _, r := range w.requirements(m, extra) {
		w.prefetch(r)
	}
}

// prefetchMetadata reads the metadata of a version in the background.
func (w *targetView) prefetchMetadata(c *candidate) {
	if w.left.done() {
		return
	}
	w.prefetches.Add(1)
	go func() {
		defer w.prefetches.Done()
		if w.ctx.Err() == nil {
			w.meta(c)
		}
	}()
}
