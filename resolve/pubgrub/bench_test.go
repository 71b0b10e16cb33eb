package pubgrub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// span allows versions lo to hi-1 of n.
func span(n, lo, hi int) Set {
	s := NewSet(n)
	for v := max(lo, 0); v < min(hi, n); v++ {
		s.Add(v)
	}
	return s
}

// wide has many packages that need a few later ones, within ranges that always leave a way.
func wide(packages, versions int) (*universe, []Dependency) {
	r := rand.New(rand.NewPCG(7, 7))
	u := &universe{need: make([][][]Dependency, packages)}
	for p := range u.need {
		u.need[p] = make([][]Dependency, versions)
		for v := range u.need[p] {
			for range 4 {
				if to := p + 1 + r.IntN(50); to < packages {
					lo := r.IntN(v + 1)
					u.need[p][v] = append(u.need[p][v], Dependency{Package: to, Allowed: span(versions, lo, max(lo+1, v+1))})
				}
			}
		}
	}
	return u, []Dependency{{Package: 0, Allowed: span(versions, 0, versions)}}
}

// ladder makes every package's newest versions fail deep down: the i-th package's version v needs
// version v of the next, and the last exists in its oldest version alone.
func ladder(packages, versions int) (*universe, []Dependency) {
	u := &universe{need: make([][][]Dependency, packages)}
	for p := range u.need {
		u.need[p] = make([][]Dependency, versions)
		for v := range u.need[p] {
			if p+1 < packages {
				u.need[p][v] = []Dependency{{Package: p + 1, Allowed: span(versions, v, v+1)}}
			}
		}
	}
	return u, []Dependency{
		{Package: 0, Allowed: span(versions, 0, versions)},
		{Package: packages - 1, Allowed: span(versions, 0, 1), Optional: true},
	}
}

// diamonds stacks pairs that agree on a shared package in one combination only, with harmless
// packages between: a solver that only steps back tries them all.
func diamonds(pairs, versions int, solvable bool) (*universe, []Dependency) {
	u := &universe{}
	var roots []Dependency
	for range pairs {
		a := len(u.need)
		left, right := make([][]Dependency, versions), make([][]Dependency, versions)
		for v := range versions {
			left[v] = []Dependency{{Package: a + 2, Allowed: span(versions, v, v+1)}}
			w := versions - 1 - v
			right[v] = []Dependency{{Package: a + 2, Allowed: span(versions, w, w+1)}}
			if v%2 == 1 { // odd versions of the left need something that clashes with every right
				left[v] = append(left[v], Dependency{Package: a + 3, Allowed: span(versions, 0, 1)})
			}
			right[v] = append(right[v], Dependency{Package: a + 3, Allowed: span(versions, 1, versions)})
		}
		u.need = append(u.need, left, right, make([][]Dependency, versions), make([][]Dependency, versions))
		roots = append(roots, Dependency{Package: a, Allowed: span(versions, 0, versions)},
			Dependency{Package: a + 1, Allowed: span(versions, 0, versions)})
	}
	if !solvable {
		last := len(u.need) - 2
		roots = append(roots, Dependency{Package: last, Allowed: span(versions, 1, 2)})
	}
	return u, roots
}

// long is one project with thousands of versions of which only an old one fits.
func long(versions, fit int) (*universe, []Dependency) {
	u := &universe{need: make([][][]Dependency, 2)}
	u.need[0], u.need[1] = make([][]Dependency, versions), make([][]Dependency, versions)
	for v := range versions {
		u.need[0][v] = []Dependency{{Package: 1, Allowed: span(versions, v, versions)}}
	}
	return u, []Dependency{{Package: 0, Allowed: span(versions, 0, versions)}, {Package: 1, Allowed: span(versions, 0, fit+1)}}
}

type problem struct {
	name     string
	make     func() (*universe, []Dependency)
	solvable bool
}

// hard are problems of a size; the tests take small ones, the benchmarks large ones.
func hard(size int) []problem {
	return []problem{
		{fmt.Sprintf("wide %dx20", 100*size), func() (*universe, []Dependency) { return wide(100*size, 20) }, true},
		{fmt.Sprintf("wide %dx50", 250*size), func() (*universe, []Dependency) { return wide(250*size, 50) }, true},
		{fmt.Sprintf("ladder %dx10", 50*size), func() (*universe, []Dependency) { return ladder(50*size, 10) }, true},
		{fmt.Sprintf("ladder %dx200", 5*size), func() (*universe, []Dependency) { return ladder(5*size, 200) }, true},
		{fmt.Sprintf("diamonds %dx20", 25*size), func() (*universe, []Dependency) { return diamonds(25*size, 20, true) }, true},
		{fmt.Sprintf("diamonds %dx20 none", 25*size), func() (*universe, []Dependency) { return diamonds(25*size, 20, false) }, false},
		{fmt.Sprintf("long %d", 250*size), func() (*universe, []Dependency) { return long(250*size, 10) }, true},
	}
}

// TestHard solves what resolvers that step back one version at a time give up on.
func TestHard(t *testing.T) {
	for _, h := range hard(4) {
		t.Run(h.name, func(t *testing.T) {
			u, roots := h.make()
			picked, err := Solve(u, roots)
			switch {
			case h.solvable && err != nil:
				t.Fatal(err)
			case h.solvable && !u.fits(roots, picked):
				t.Error("the solution does not fit")
			case !h.solvable && !errors.As(err, new(*NoSolutionError)):
				t.Errorf("error %v, want no solution", err)
			}
		})
	}
}

func BenchmarkSolve(b *testing.B) {
	for _, h := range hard(20) {
		b.Run(h.name, func(b *testing.B) {
			u, roots := h.make()
			b.ReportAllocs()
			for b.Loop() {
				u.asked = nil
				if _, err := Solve(u, roots); (err == nil) != h.solvable {
					b.Fatal(err)
				}
			}
		})
	}
}
