// Package pubgrub picks one version of every package that is needed, or explains why no choice
// fits. It knows packages and versions by number alone, so that it can serve any ecosystem.
//
// The algorithm is PubGrub (Natalie Weizenbaum, "PubGrub: Next-Generation Version Solving"): unit
// propagation and clause learning over incompatibilities, sets of terms that cannot all hold.
// The versions of a package are a finite list that the provider gives, so a term is a bitset: one
// bit for each version and one more for "not selected". With that last bit positive and negative
// terms are one thing, and the whole algebra is and, or and not on words. How versions compare
// does not matter here.
package pubgrub

import "errors"

// Provider knows the packages. It numbers them as it meets them; the numbers index slices, so they
// should be dense. It need not be safe for use from several goroutines.
type Provider interface {
	// Versions says how many versions package p has, and which of them can never be chosen. It
	// is called once for each package, as soon as something depends on it.
	Versions(p int) (n int, excluded []Exclusion, err error)
	// Dependencies gives what version v of p needs. An error that wraps *UnavailableError rules out
	// that version alone; any other ends the search. It is called once for each version tried.
	Dependencies(p, v int) ([]Dependency, error)
	// Choose picks from allowed, which is never empty, the version of p to try next.
	Choose(p int, allowed Set) int
}

// Exclusion rules out versions of a package.
type Exclusion struct {
	Versions Set
	Note     any // why, for whoever explains a failure
}

// Dependency says what a version, or the root, needs.
type Dependency struct {
	Package  int
	Allowed  Set  // the versions that satisfy it
	Optional bool // it holds only if something else selects the package (a constraint)
	Rank     Rank
	Note     any // the requirement, for whoever explains a failure
}

// Rank says how early a package should be decided.
type Rank int

// The ranks. A package has the highest that any dependency on it was seen with.
const (
	Ordinary Rank = iota // by first appearance
	Pinned               // one version only
	Fixed                // a given file: nothing to choose
)

// UnavailableError is the error of a version whose dependencies cannot be known.
type UnavailableError struct {
	Note     any // why, for whoever explains a failure
	Versions Set // more versions that are ruled out for the same reason; may be nil
}

func (*UnavailableError) Error() string { return "version is not available" }

// NoSolutionError is the error of a problem that has no solution.
type NoSolutionError struct{ Why *Derivation }

func (*NoSolutionError) Error() string { return "no solution" }

// Derivation is a fact with its proof: that Terms cannot all hold. A fact is either given
// (Left is nil) or follows from two others. The proof of a failure ends in a fact without terms.
// Derivations are shared: the proof is a directed graph without cycles.
type Derivation struct {
	Terms       []Term
	Left, Right *Derivation

	// Of a given fact:
	Package    int         // what depends or is excluded; -1 for the root
	Versions   Set         // of Package
	Dependency *Dependency // nil: Versions are excluded
	Note       any         // why they are excluded
}

// Term says that a version out of Versions is selected or, if Negative, that none of them is.
type Term struct {
	Package  int
	Versions Set
	Negative bool
}

// Solve picks one version for each package that roots need. The result holds, for each package by
// number, the index of its version, or -1; packages above its end are not selected. The error is
// a *NoSolutionError or what the provider reported. The same provider answers give the same result.
func Solve(p Provider, roots []Dependency) ([]int, error) {
	s := &solver{provider: p}
	for i := range roots {
		if err := s.addDependency(-1, 0, &roots[i]); err != nil {
			return nil, err
		}
	}
	s.queue = s.queue[:0]
	for i := range s.packages {
		s.queue = append(s.queue, i)
	}
	for {
		if err := s.propagate(); err != nil {
			return nil, err
		}
		s.reorder()
		next := s.next()
		if next < 0 {
			return s.solution(), nil
		}
		if err := s.decide(next); err != nil {
			return nil, err
		}
	}
}

// unavailable finds out that an error only rules out versions.
func unavailable(err error) *UnavailableError {
	var u *UnavailableError
	errors.As(err, &u)
	return u
}
