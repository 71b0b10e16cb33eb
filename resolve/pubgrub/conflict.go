package pubgrub

import "sort"

// satisfier is the index of the first assignment after which the trail satisfies a term that it
// does satisfy in the end.
func (s *solver) satisfier(t term) int {
	trail := s.packages[t.pkg].trail
	k := sort.Search(len(trail), func(k int) bool { return s.trail[trail[k]].set.SubsetOf(t.set) })
	return trail[k]
}

// resolve finds the cause of a conflict: it replaces a satisfied incompatibility by what it
// follows from until that would have been noticed at an earlier decision level, goes back there
// and gives the incompatibility learned, of which all terms but one then hold.
func (s *solver) resolve(i *incompat) (*incompat, error) {
	s.conflictAt(i)
	for derived := false; len(i.terms) > 0; derived = true {
		last, previous := -1, 0
		var lastTerm term
		for _, t := range i.terms {
			k := s.satisfier(t)
			if k > last {
				if last >= 0 {
					previous = max(previous, s.trail[last].level)
				}
				last, lastTerm = k, t
			} else {
				previous = max(previous, s.trail[k].level)
			}
		}
		a := s.trail[last]
		var rest term // what must hold of the package before a for i to be satisfied after it
		if !a.decision {
			set, _ := a.cause.term(a.pkg)
			rest = term{a.pkg, lastTerm.set.Or(set)}
			if !rest.set.Equal(s.packages[a.pkg].all) {
				previous = max(previous, s.trail[s.satisfier(rest)].level)
			}
		}
		if a.decision || previous < a.level {
			if derived {
				s.add(i)
			}
			s.backtrack(previous)
			return i, nil
		}
		i = s.resolvent(i, a.cause, rest)
	}
	return nil, &NoSolutionError{Why: derivation(s, i)}
}

// resolvent joins two incompatibilities that share the package of rest: whatever that package
// is, one of them applies.
func (s *solver) resolvent(i, cause *incompat, rest term) *incompat {
	r := &incompat{left: i, right: cause}
	r.terms = make([]term, 0, len(i.terms)+len(cause.terms)-1)
	for _, t := range i.terms {
		if t.pkg == rest.pkg {
			continue
		}
		if set, ok := cause.term(t.pkg); ok {
			t.set = t.set.And(set)
		}
		r.terms = append(r.terms, t)
	}
	for _, t := range cause.terms {
		if t.pkg == rest.pkg {
			continue
		}
		if _, ok := i.term(t.pkg); !ok {
			r.terms = append(r.terms, t)
		}
	}
	if !rest.set.Equal(s.packages[rest.pkg].all) {
		r.terms = append(r.terms, rest)
	}
	return r
}

// derivation exports the proof of an incompatibility.
func derivation(s *solver, root *incompat) *Derivation {
	done := map[*incompat]*Derivation{}
	var export func(i *incompat) *Derivation
	export = func(i *incompat) *Derivation {
		if d := done[i]; d != nil {
			return d
		}
		d := &Derivation{Package: i.from, Dependency: i.dependency, Note: i.note}
		done[i] = d
		for _, t := range i.terms {
			st := s.packages[t.pkg]
			out := Term{Package: t.pkg, Versions: t.set.Clone()}
			if t.set.Has(st.n) {
				out.Negative, out.Versions = true, st.all.Minus(t.set)
			}
			d.Terms = append(d.Terms, out)
		}
		if i.left != nil {
			d.Left, d.Right = export(i.left), export(i.right)
			return d
		}
		if i.from >= 0 {
			set, _ := i.term(i.from)
			d.Versions = set.Clone()
		}
		return d
	}
	return export(root)
}
