package pubgrub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// universe is a Provider over a table. need[p][v] lists what version v of package p needs.
type universe struct {
	need     [][][]Dependency
	excluded [][]Exclusion
	broken   map[[2]int]bool // versions without metadata
	asked    map[[2]int]bool
	hint     func(p int, allowed Set) int
}

func (u *universe) Versions(p int) (int, []Exclusion, error) {
	if u.excluded == nil {
		return len(u.need[p]), nil, nil
	}
	return len(u.need[p]), u.excluded[p], nil
}

func (u *universe) Dependencies(p, v int) ([]Dependency, error) {
	if u.asked == nil {
		u.asked = map[[2]int]bool{}
	}
	if u.asked[[2]int{p, v}] {
		return nil, fmt.Errorf("dependencies of %d@%d asked for twice", p, v)
	}
	u.asked[[2]int{p, v}] = true
	if u.broken[[2]int{p, v}] {
		unavailable := &UnavailableError{Note: "broken"}
		if v%2 == 0 { // with all that are broken too
			unavailable.Versions = NewSet(len(u.need[p]))
			for w := range u.need[p] {
				if u.broken[[2]int{p, w}] {
					unavailable.Versions.Add(w)
				}
			}
		}
		return nil, fmt.Errorf("reading metadata: %w", unavailable)
	}
	return u.need[p][v], nil
}

func (u *universe) Choose(p int, allowed Set) int {
	if u.hint != nil {
		return u.hint(p, allowed)
	}
	return allowed.Max()
}

// fits reports whether a choice satisfies everything; it is the specification.
func (u *universe) fits(roots []Dependency, picked []int) bool {
	at := func(p int) int {
		if p < len(picked) {
			return picked[p]
		}
		return -1
	}
	holds := func(d Dependency) bool {
		v := at(d.Package)
		if v < 0 {
			return d.Optional
		}
		return d.Allowed.Has(v)
	}
	for _, d := range roots {
		if !holds(d) {
			return false
		}
	}
	for p, v := range picked {
		if v < 0 {
			continue
		}
		if u.broken[[2]int{p, v}] {
			return false
		}
		if u.excluded != nil {
			for _, x := range u.excluded[p] {
				if x.Versions.Has(v) {
					return false
				}
			}
		}
		for _, d := range u.need[p][v] {
			if !holds(d) {
				return false
			}
		}
	}
	return true
}

// solvable tries every choice.
func (u *universe) solvable(roots []Dependency) bool {
	picked := make([]int, len(u.need))
	var try func(p int) bool
	try = func(p int) bool {
		if p == len(picked) {
			return u.fits(roots, picked)
		}
		for picked[p] = -1; picked[p] < len(u.need[p]); picked[p]++ {
			if try(p + 1) {
				return true
			}
		}
		return false
	}
	return try(0)
}

// random makes a small problem, dense enough that about half have no solution.
func random(r *rand.Rand) (*universe, []Dependency) {
	packages := 2 + r.IntN(5)
	u := &universe{need: make([][][]Dependency, packages), excluded: make([][]Exclusion, packages), broken: map[[2]int]bool{}}
	for p := range u.need {
		u.need[p] = make([][]Dependency, r.IntN(4))
	}
	dependency := func() Dependency {
		p := r.IntN(packages)
		s := NewSet(len(u.need[p]))
		for v := range u.need[p] {
			if r.IntN(5) < 3 {
				s.Add(v)
			}
		}
		return Dependency{Package: p, Allowed: s, Optional: r.IntN(6) == 0, Rank: Rank(r.IntN(8) / 6)}
	}
	for p := range u.need {
		for v := range u.need[p] {
			for range r.IntN(4) {
				u.need[p][v] = append(u.need[p][v], dependency())
			}
			if r.IntN(10) == 0 {
				u.broken[[2]int{p, v}] = true
			}
		}
		if r.IntN(8) == 0 {
			s := NewSet(len(u.need[p]))
			for v := range u.need[p] {
				if r.IntN(2) == 0 {
					s.Add(v)
				}
			}
			u.excluded[p] = []Exclusion{{Versions: s, Note: "excluded"}}
		}
	}
	var roots []Dependency
	for range 1 + r.IntN(3) {
		roots = append(roots, dependency())
	}
	return u, roots
}

// TestAgainstBruteForce holds the solver to the definition of a solution on random problems: it
// finds one whenever there is one, what it finds fits, holds nothing superfluous, and is the same
// again; a failure comes with a proof that holds.
func TestAgainstBruteForce(t *testing.T) {
	const cases = 30000
	unsolvable := 0
	for seed := range uint64(cases) {
		u, roots := random(rand.New(rand.NewPCG(seed, 1)))
		picked, err := Solve(u, roots)
		var none *NoSolutionError
		switch {
		case errors.As(err, &none):
			unsolvable++
			if u.solvable(roots) {
				t.Fatalf("seed %d: said to have no solution, but has one", seed)
			}
			if err := u.prove(roots, none.Why); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		case err != nil:
			t.Fatalf("seed %d: %v", seed, err)
		case !u.fits(roots, picked):
			t.Fatalf("seed %d: %v does not fit", seed, picked)
		default:
			if p := u.superfluous(roots, picked); p >= 0 {
				t.Fatalf("seed %d: nothing needs package %d of %v", seed, p, picked)
			}
		}
		u.asked = nil
		again, err2 := Solve(u, roots)
		if (err == nil) != (err2 == nil) || !slices.Equal(picked, again) {
			t.Fatalf("seed %d: %v, then %v", seed, picked, again)
		}
	}
	if unsolvable < cases/5 || unsolvable > cases*4/5 {
		t.Errorf("%d of %d problems had no solution: the generator is one-sided", unsolvable, cases)
	}
}

// superfluous gives a picked package that no chain of needs leads to, or -1.
func (u *universe) superfluous(roots []Dependency, picked []int) int {
	reached := make([]bool, len(picked))
	var reach func(ds []Dependency)
	reach = func(ds []Dependency) {
		for _, d := range ds {
			if d.Optional || reached[d.Package] {
				continue
			}
			reached[d.Package] = true
			reach(u.need[d.Package][picked[d.Package]])
		}
	}
	reach(roots)
	for p, v := range picked {
		if v >= 0 && !reached[p] {
			return p
		}
	}
	return -1
}

// prove checks every step of a proof: given facts must be in the universe, derived ones must
// follow from their two sources, and the last must be empty. What follows is checked by trying
// all choices for the packages that a step names.
func (u *universe) prove(roots []Dependency, why *Derivation) error {
	if len(why.Terms) != 0 {
		return fmt.Errorf("proof ends in %v", why.Terms)
	}
	holds := func(ts []Term, pick map[int]int) bool { // all terms hold
		for _, t := range ts {
			v := pick[t.Package]
			if (v >= 0 && t.Versions.Has(v)) == t.Negative {
				return false
			}
		}
		return true
	}
	seen := map[*Derivation]bool{}
	var check func(d *Derivation) error
	check = func(d *Derivation) error {
		if seen[d] {
			return nil
		}
		seen[d] = true
		if d.Left == nil {
			return u.given(roots, d)
		}
		if err := errors.Join(check(d.Left), check(d.Right)); err != nil {
			return err
		}
		packages := map[int]bool{}
		for _, ts := range [][]Term{d.Terms, d.Left.Terms, d.Right.Terms} {
			for _, x := range ts {
				packages[x.Package] = true
			}
		}
		var order []int
		for p := range packages {
			order = append(order, p)
		}
		pick := map[int]int{}
		var try func(k int) error
		try = func(k int) error {
			if k == len(order) {
				if holds(d.Terms, pick) && !holds(d.Left.Terms, pick) && !holds(d.Right.Terms, pick) {
					return fmt.Errorf("%v does not follow from %v and %v", d.Terms, d.Left.Terms, d.Right.Terms)
				}
				return nil
			}
			for v := -1; v < len(u.need[order[k]]); v++ {
				pick[order[k]] = v
				if err := try(k + 1); err != nil {
					return err
				}
			}
			return nil
		}
		return try(0)
	}
	return check(why)
}

// given checks a fact that a proof takes from the universe.
func (u *universe) given(roots []Dependency, d *Derivation) error {
	if d.Dependency == nil {
		for v := range u.need[d.Package] {
			if !d.Versions.Has(v) || u.broken[[2]int{d.Package, v}] {
				continue
			}
			if !slices.ContainsFunc(u.excluded[d.Package], func(x Exclusion) bool { return x.Versions.Has(v) }) {
				return fmt.Errorf("%d@%d is not excluded", d.Package, v)
			}
		}
		return nil
	}
	same := func(x Dependency) bool {
		return x.Package == d.Dependency.Package && x.Optional == d.Dependency.Optional && x.Allowed.Equal(d.Dependency.Allowed)
	}
	if d.Package < 0 {
		if !slices.ContainsFunc(roots, same) {
			return fmt.Errorf("the root does not need %v", d.Dependency)
		}
		return nil
	}
	for v := range d.Versions.Down() {
		if !slices.ContainsFunc(u.need[d.Package][v], same) {
			return fmt.Errorf("%d@%d does not need %v", d.Package, v, d.Dependency)
		}
	}
	return nil
}

func TestProviderErrorEndsTheSearch(t *testing.T) {
	u := &universe{need: [][][]Dependency{{nil}}, asked: map[[2]int]bool{{0, 0}: true}}
	one := NewSet(1)
	one.Add(0)
	if _, err := Solve(u, []Dependency{{Package: 0, Allowed: one}}); err == nil || errors.As(err, new(*NoSolutionError)) {
		t.Errorf("error %v, want the provider's own", err)
	}
}

func TestChooseIsAsked(t *testing.T) {
	u := &universe{need: [][][]Dependency{make([][]Dependency, 5)}, hint: func(_ int, allowed Set) int { return 2 }}
	s := NewSet(5)
	for v := range 5 {
		s.Add(v)
	}
	picked, err := Solve(u, []Dependency{{Package: 0, Allowed: s}})
	if err != nil || !slices.Equal(picked, []int{2}) {
		t.Errorf("picked %v, %v; want version 2", picked, err)
	}
	s.Remove(2)
	u.asked = nil
	if _, err := Solve(u, []Dependency{{Package: 0, Allowed: s}}); err == nil {
		t.Error("a version outside of what is allowed was taken")
	}
}

func TestSet(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 200} {
		s := NewSet(n)
		var want []int
		for v := n - 1; v >= 0; v -= 3 {
			s.Add(v)
			want = append(want, v)
		}
		if got := slices.Collect(s.Down()); !slices.Equal(got, want) || s.Len() != len(want) {
			t.Errorf("n=%d: %v, want %v", n, got, want)
		}
		if n > 0 && s.Max() != n-1 || n == 0 && s.Max() != -1 {
			t.Errorf("n=%d: max %d", n, s.Max())
		}
		if f := full(n); f.Len() != n+1 || f.Max() != n || !s.SubsetOf(f) || !f.Minus(s).Disjoint(s) || !f.Minus(s).Or(s).Equal(f) {
			t.Errorf("n=%d: the algebra is wrong", n)
		}
	}
}
