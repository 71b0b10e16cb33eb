// Package pubgrub picks one version of every package that is needed, or explains why no choice
// fits. It knows packages and versions by number alone, so that it can serve any ecosystem.
//
// The algorithm is PubGrub (Natalie Weizenbaum, "PubGrub: Next-Generation Version Solving"): unit
// propagation and clause learning over incompatibilities, which are sets of terms that cannot all
// hold. The provider lists the versions of each package, so a term can be a bitset: one bit for
// each version and one more for "not selected". Thanks to that last bit, positive and negative
// terms have the same representation, and set operations are and, or and not on words. How
// versions compare does not matter here.
package pubgrub

import "errors"

// Provider supplies the packages to Solve. It assigns the package numbers; they index slices, so
// they should be dense. It is never called from several goroutines at once.
type Provider interface {
	// Versions returns how many versions package p has, and which of them can never be chosen.
	// It is called once for each package, as soon as something depends on it.
	Versions(p int) (n int, excluded []Exclusion, err error)
	// Dependencies returns what version v of p needs. An error that wraps *UnavailableError rules
	// out that version only; any other error ends the search. It is called once for each version
	// tried.
	Dependencies(p, v int) ([]Dependency, error)
	// Choose returns the version of p to try next, out of allowed, which is never empty.
	Choose(p int, allowed Set) int
}

// Twins is what a Provider may know, too: packages whose versions need the same version of another one,
// such as a project with an extra. Of such a package a version is tried that the other one can still have.
type Twins interface {
	// Twin returns the package whose versions those of p go with, one by one.
	Twin(p int) (q int, ok bool)
}

// Exclusion rules out versions of a package.
type Exclusion struct {
	Versions Set
	Note     any // the reason, passed through to the Derivation
}

// Dependency is something that a version, or the root, needs.
type Dependency struct {
	Package  int
	Allowed  Set  // the versions that satisfy it
	Optional bool // it holds only if something else selects the package (a constraint)
	Rank     Rank
	Note     any // the requirement, passed through to the Derivation
}

// Rank is how early a package should be decided.
type Rank int

// The ranks. A package has the highest rank of the dependencies on it seen so far.
const (
	Ordinary Rank = iota // by first appearance
	Pinned               // one version only
	Fixed                // a given file: there is nothing to choose
)

// UnavailableError reports that the dependencies of a version cannot be determined.
type UnavailableError struct {
	Note     any // the reason, passed through to the Derivation
	Versions Set // further versions that are ruled out for the same reason; may be nil
}

func (*UnavailableError) Error() string { return "version is not available" }

// NoSolutionError reports that a problem has no solution.
type NoSolutionError struct{ Why *Derivation }

func (*NoSolutionError) Error() string { return "no solution" }

// Derivation is the fact that Terms cannot all hold, with its proof. A fact is either given
// (Left is nil) or follows from two others. The proof of a failure ends in a fact without terms.
// Derivations are shared, so a proof is a directed acyclic graph.
type Derivation struct {
	Terms       []Term
	Left, Right *Derivation

	// Set for a given fact:
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

// Solve picks one version for each package that roots need. The result is indexed by package
// number and holds the index of the package's version, or -1 if it is not selected; packages beyond
// its end are not selected. The error is a *NoSolutionError or comes from the provider. The result
// depends on nothing but the provider's answers.
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

// unavailable returns the *UnavailableError that err wraps, or nil.
func unavailable(err error) *UnavailableError {
	var u *UnavailableError
	errors.As(err, &u)
	return u
}
