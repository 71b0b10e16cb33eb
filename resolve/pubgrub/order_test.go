package pubgrub

import (
	"slices"
	"testing"
)

// chained has a package (1) whose every version needs the same version of another one (2), all of which
// need an old version of a third (0) that was decided before.
func chained(versions int) (*universe, []Dependency) {
	u := &universe{need: make([][][]Dependency, 3)}
	u.need[0] = make([][]Dependency, 2)
	for v := range versions {
		u.need[1] = append(u.need[1], []Dependency{{Package: 2, Allowed: span(versions, v, v+1)}})
		u.need[2] = append(u.need[2], []Dependency{{Package: 0, Allowed: span(2, 0, 1)}})
	}
	return u, []Dependency{{Package: 0, Allowed: span(2, 0, 2)}, {Package: 1, Allowed: span(versions, 0, versions)}}
}

// What keeps failing because of an earlier decision is decided before it, though what it needs alone is
// in the way: not all of its versions are tried.
func TestFailingPackagesComeFirst(t *testing.T) {
	const versions = 500
	u, roots := chained(versions)
	picked, err := Solve(u, roots)
	if want := []int{0, versions - 1, versions - 1}; err != nil || !slices.Equal(picked, want) {
		t.Fatalf("picked %v, %v; want %v", picked, err, want)
	}
	if n := len(u.asked); n > 4*conflictThreshold {
		t.Errorf("the dependencies of %d versions were asked for", n)
	}
}

// twins is a universe in which package 1 is package 0 with an extra.
type twins struct{ *universe }

func (twins) Twin(p int) (int, bool) { return 0, p == 1 }

// Of a package that goes with another one, no version is tried that the other one cannot have.
func TestTwinsAreTriedTogether(t *testing.T) {
	const versions = 100
	u := &universe{need: make([][][]Dependency, 2)}
	u.need[0] = make([][]Dependency, versions)
	for v := range versions {
		u.need[1] = append(u.need[1], []Dependency{{Package: 0, Allowed: span(versions, v, v+1)}})
	}
	roots := []Dependency{{Package: 0, Allowed: span(versions, 0, 10)}, {Package: 1, Allowed: span(versions, 0, versions)}}
	picked, err := Solve(twins{u}, roots)
	if want := []int{9, 9}; err != nil || !slices.Equal(picked, want) {
		t.Fatalf("picked %v, %v; want %v", picked, err, want)
	}
	if n := len(u.asked); n != 2 {
		t.Errorf("the dependencies of %d versions were asked for, not of the two that are chosen", n)
	}
}
