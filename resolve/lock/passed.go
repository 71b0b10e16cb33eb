package lock

import (
	"fmt"
	"slices"

	"mlenv/resolve/pubgrub"
)

// passed is a row of versions that were tried and cannot be used, and why.
type passed struct {
	id       int
	versions pubgrub.Set
	note     any // a reason, or a text
}

// requirer is a version that needs a package.
type requirer struct{ id, version int }

// passOver notes that versions cannot be used, and gives the error that says so to the solver.
func (p *provider) passOver(id int, e *pubgrub.UnavailableError) error {
	if p.w.p.Note == nil {
		return e // nobody wants to know
	}
	set := e.Versions
	if set == nil {
		set = pubgrub.NewSet(len(p.projects[id].versions))
	}
	set = set.Clone()
	set.Add(p.trying)
	p.passed = append(p.passed, passed{id, set, e.Note})
	return e
}

// passedOver says of which packages a newer version than the chosen one was tried, and why it was not
// taken: what it needs comes by a URL, say, or as source only. That a version conflicts with others
// is not said, for that is what solving is about.
func (p *provider) passedOver(solution []int) []string {
	s := &explanation{f: &failure{p: p}}
	chosen := func(id int) int {
		if id < len(solution) {
			return solution[id]
		}
		return -1
	}
	var out []string
	for _, x := range p.passed {
		if p.items[x.id].extra != "" || x.note == isPrerelease {
			continue
		}
		why := s.excluded(&pubgrub.Derivation{Package: x.id, Versions: x.versions, Note: x.note})
		if v := chosen(x.id); v >= 0 {
			if v < x.versions.Max() {
				out = append(out, why)
			}
			continue
		}
		// The package is not needed by what was chosen: who needed it was passed over because of it.
		for _, r := range p.requirers[x.id] {
			if v := chosen(r.id); v >= 0 && v < r.version {
				out = append(out, fmt.Sprintf("%s %s needs %s, and %s", p.items[r.id].name, p.projects[r.id].versions[r.version].version, p.items[x.id].name, why))
				break
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
