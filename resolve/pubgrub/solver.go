package pubgrub

import "fmt"

// incompat is a set of terms that cannot all hold, at most one for each package.
type incompat struct {
	terms []term
	// contradicted means that a term is false on the current trail. Propagation skips the
	// incompatibility until backtracking undoes that.
	contradicted bool

	left, right *incompat // what a derived incompatibility follows from, else nil
	from        int       // Derivation.Package, of a given incompatibility
	dependency  *Dependency
	note        any
}

type term struct {
	pkg int
	set Set
}

func (i *incompat) term(pkg int) (Set, bool) {
	for _, t := range i.terms {
		if t.pkg == pkg {
			return t.set, true
		}
	}
	return nil, false
}

// state is what the solver knows about one package.
type state struct {
	known     bool
	n         int
	all       Set   // every version and "not selected"
	current   Set   // what the trail has left of all
	trail     []int // indexes of the package's assignments in solver.trail
	decided   bool
	incompats []*incompat
	order     int // of first appearance
	rank      Rank
	tried     map[int]bool // versions whose dependencies are known
	conflicts
	queued bool // it is in the decision queue, as entry
	entry  queueEntry
}

// assignment narrows the versions of one package to set.
type assignment struct {
	pkg      int
	level    int
	set      Set
	cause    *incompat
	decision bool
}

// contradiction remembers at which decision level an incompatibility was marked as contradicted.
type contradiction struct {
	incompat *incompat
	level    int
}

type solver struct {
	provider       Provider
	packages       []*state
	seen           []int // package numbers in order of first appearance
	trail          []assignment
	level          int
	decisions      []int // the package decided at each level, from the first on
	contradictions []contradiction
	queue          []int // packages whose incompatibilities are to be propagated
	merged         map[mergeKey][]*incompat
	pending        entryHeap // packages to be decided
	reordered      []int     // packages whose priority changed since the last reorder
}

type mergeKey struct{ from, to int }

func (s *solver) pkg(p int) *state {
	for len(s.packages) <= p {
		s.packages = append(s.packages, &state{})
	}
	return s.packages[p]
}

// register returns the state of package p, and asks the provider for its versions the first time.
func (s *solver) register(p int, rank Rank) (*state, error) {
	st := s.pkg(p)
	st.rank = max(st.rank, rank)
	if st.known {
		return st, nil
	}
	n, excluded, err := s.provider.Versions(p)
	if err != nil {
		return nil, err
	}
	st.known, st.n, st.all = true, n, full(n)
	st.current = st.all
	st.order = len(s.seen)
	st.tried = map[int]bool{}
	s.seen = append(s.seen, p)
	for _, x := range excluded {
		s.add(&incompat{terms: []term{{p, x.Versions}}, from: p, note: x.Note})
	}
	return st, nil
}

func (s *solver) add(i *incompat) {
	for _, t := range i.terms {
		st := s.packages[t.pkg]
		st.incompats = append(st.incompats, i)
	}
}

// addDependency records that version v of package from (the root if -1) needs d.
func (s *solver) addDependency(from, v int, d *Dependency) error {
	st, err := s.register(d.Package, d.Rank)
	if err != nil {
		return err
	}
	if len(d.Allowed) != len(st.all) {
		return fmt.Errorf("package %d has %d versions, a set of %d words does not fit", d.Package, st.n, len(d.Allowed))
	}
	bad := st.all.Minus(d.Allowed)
	if d.Optional {
		bad.Remove(st.n)
	}
	// A package that needs itself, usually with an extra, is no problem unless it needs another
	// version of itself.
	if from == d.Package {
		if !d.Allowed.Has(v) {
			self := NewSet(st.n)
			self.Add(v)
			s.add(&incompat{terms: []term{{from, self}}, from: from, dependency: d})
		}
		return nil
	}
	if bad.Empty() {
		return nil
	}
	i := &incompat{from: from, dependency: d}
	if from >= 0 {
		if s.merge(from, v, d, bad) {
			return nil
		}
		self := NewSet(s.packages[from].n)
		self.Add(v)
		i.terms = append(i.terms, term{from, self})
		key := mergeKey{from, d.Package}
		if s.merged == nil {
			s.merged = map[mergeKey][]*incompat{}
		}
		s.merged[key] = append(s.merged[key], i)
	}
	// If no version is allowed, bad is everything: the term would always hold, and the version
	// itself is impossible.
	if !bad.Equal(st.all) {
		i.terms = append(i.terms, term{d.Package, bad})
	}
	if len(i.terms) == 0 {
		return &NoSolutionError{Why: derivation(s, i)}
	}
	s.add(i)
	return nil
}

// merge adds v to an existing incompatibility if another version of the same package has the same
// dependency. Thousands of versions with equal dependencies then cost one incompatibility, and an
// explanation can name them together.
func (s *solver) merge(from, v int, d *Dependency, bad Set) bool {
	for _, i := range s.merged[mergeKey{from, d.Package}] {
		if i.dependency.Optional != d.Optional {
			continue
		}
		if len(i.terms) == 2 && i.terms[1].set.Equal(bad) ||
			len(i.terms) == 1 && bad.Equal(s.packages[d.Package].all) {
			i.terms[0].set.Add(v)
			i.contradicted = false
			return true
		}
	}
	return false
}

type relation int

const (
	inconclusive relation = iota
	satisfied
	almost // all terms hold but one
	contradicted
)

// relate compares an incompatibility with the trail. For almost, open is the undetermined term.
func (s *solver) relate(i *incompat) (rel relation, open *term) {
	unsatisfied := 0
	for k := range i.terms {
		t := &i.terms[k]
		current := s.packages[t.pkg].current
		if current.SubsetOf(t.set) {
			continue
		}
		if current.Disjoint(t.set) {
			return contradicted, nil
		}
		unsatisfied++
		open = t
	}
	switch unsatisfied {
	case 0:
		return satisfied, nil
	case 1:
		return almost, open
	}
	return inconclusive, nil
}

// propagate derives what follows from the packages in the queue, until nothing changes.
func (s *solver) propagate() error {
	for len(s.queue) > 0 {
		p := s.queue[len(s.queue)-1]
		s.queue = s.queue[:len(s.queue)-1]
		// Newest first: what was learned last is the most likely to lead somewhere.
		list := s.packages[p].incompats
		for k := len(list) - 1; k >= 0; k-- {
			i := list[k]
			if i.contradicted {
				continue
			}
			rel, open := s.relate(i)
			switch rel {
			case contradicted:
				i.contradicted = true
				s.contradictions = append(s.contradictions, contradiction{i, s.level})
			case almost:
				s.derive(open, i)
				s.queue = append(s.queue, open.pkg)
			case satisfied:
				learned, err := s.resolve(i)
				if err != nil {
					return err
				}
				rel, open := s.relate(learned)
				if rel != almost {
					return fmt.Errorf("learned incompatibility is in relation %d", rel)
				}
				s.derive(open, learned)
				s.queue = append(s.queue[:0], open.pkg)
			}
			if rel == satisfied {
				break
			}
		}
	}
	return nil
}

// derive narrows a package: all other terms of cause hold, so the open term must be false.
func (s *solver) derive(open *term, cause *incompat) {
	st := s.packages[open.pkg]
	s.assign(assignment{pkg: open.pkg, level: s.level, set: st.current.Minus(open.set), cause: cause})
}

func (s *solver) assign(a assignment) {
	st := s.packages[a.pkg]
	st.current = a.set
	st.trail = append(st.trail, len(s.trail))
	st.decided = st.decided || a.decision
	s.trail = append(s.trail, a)
	s.enqueue(st)
}

// backtrack undoes everything above a decision level.
func (s *solver) backtrack(level int) {
	for len(s.trail) > 0 && s.trail[len(s.trail)-1].level > level {
		a := s.trail[len(s.trail)-1]
		s.trail = s.trail[:len(s.trail)-1]
		st := s.packages[a.pkg]
		st.trail = st.trail[:len(st.trail)-1]
		if a.decision {
			st.decided = false
		}
		st.current = st.all
		if k := len(st.trail); k > 0 {
			st.current = s.trail[st.trail[k-1]].set
			s.enqueue(st)
		}
	}
	for k := len(s.contradictions); k > 0 && s.contradictions[k-1].level > level; k-- {
		s.contradictions[k-1].incompat.contradicted = false
		s.contradictions = s.contradictions[:k-1]
	}
	s.level, s.decisions = level, s.decisions[:level]
}

// candidates are the versions of package p of which one is to be tried.
func (s *solver) candidates(p int) Set {
	current := s.packages[p].current
	if twins, ok := s.provider.(Twins); ok {
		if q, ok := twins.Twin(p); ok && q < len(s.packages) && s.packages[q].known {
			if both := current.And(s.packages[q].current); !both.Empty() {
				return both
			}
		}
	}
	return current
}

// decide tries a version of package p.
func (s *solver) decide(p int) error {
	st := s.packages[p]
	v := s.provider.Choose(p, s.candidates(p))
	if v < 0 || v >= st.n || !st.current.Has(v) {
		return fmt.Errorf("version %d of package %d was chosen, which is not allowed", v, p)
	}
	self := NewSet(st.n)
	self.Add(v)
	s.queue = append(s.queue[:0], p)
	if !st.tried[v] {
		st.tried[v] = true
		dependencies, err := s.provider.Dependencies(p, v)
		if u := unavailable(err); u != nil {
			s.enqueue(st)
			if len(u.Versions) == len(self) {
				self = self.Or(u.Versions)
			}
			s.add(&incompat{terms: []term{{p, self}}, from: p, note: u.Note})
			return nil
		}
		if err != nil {
			return err
		}
		for i := range dependencies {
			if err := s.addDependency(p, v, &dependencies[i]); err != nil {
				return err
			}
		}
	}
	// Do not decide on a version that leads straight to a conflict: propagation will rule it out
	// without a decision level that would have to be undone.
	if s.impossible(p, v) {
		s.enqueue(st)
		return nil
	}
	s.level++
	s.decisions = append(s.decisions, p)
	s.assign(assignment{pkg: p, level: s.level, set: self, decision: true})
	return nil
}

// impossible reports whether selecting version v of p would satisfy an incompatibility. It counts
// as a conflict for the order of decisions, as the version was tried and failed.
func (s *solver) impossible(p, v int) bool {
	for _, i := range s.packages[p].incompats {
		hit := true
		for _, t := range i.terms {
			if t.pkg == p {
				hit = hit && t.set.Has(v)
			} else {
				hit = hit && s.packages[t.pkg].current.SubsetOf(t.set)
			}
			if !hit {
				break
			}
		}
		if hit {
			i.contradicted = false
			s.recordConflict(p, i)
			return true
		}
	}
	return false
}

func (s *solver) solution() []int {
	picked := make([]int, len(s.packages))
	for p, st := range s.packages {
		picked[p] = -1
		if st.decided {
			picked[p] = st.current.Max()
		}
	}
	return picked
}
