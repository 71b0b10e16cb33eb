package pubgrub

import "sort"

// satisfier returns the index of the earliest assignment after which the trail satisfies t. The
// whole trail must satisfy t. Assignments only ever narrow a package, so a binary search finds it.
func (s *solver) satisfier(t term) int {
	trail := s.packages[t.pkg].trail
	k := sort.Search(len(trail), func(k int) bool { return s.trail[trail[k]].set.SubsetOf(t.set) })
	return trail[k]
}

// resolve finds the root cause of a conflict. Starting from a satisfied incompatibility, it merges
// in the causes of the latest assignments until it has an incompatibility that could have been
// noticed at an earlier decision level. It backtracks to that level and returns the
// incompatibility it learned; all of its terms but one hold there.
func (s *solver) resolve(i *incompat) (*incompat, error) {
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
		// rest is what must already hold for the package before a, so that i is satisfied after a.
		var rest term
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
			s.conflictAt(a.level, i)
			s.backtrack(previous)
			return i, nil
		}
		i = s.resolvent(i, a.cause, rest)
	}
	return nil, &NoSolutionError{Why: derivation(s, i)}
}

// resolvent combines two incompatibilities that share rest's package into one that no longer
// depends on it: whichever version of that package is selected, one of the two applies.
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

// derivation returns the proof of an incompatibility in exported form. An incompatibility that is
// used several times becomes one shared Derivation: written out as a tree, the proof could grow
// exponentially.
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
			// A set that includes "not selected" is easier to explain by the versions it leaves out.
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
