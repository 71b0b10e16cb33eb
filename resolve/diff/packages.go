package diff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// Package is a locked package that differs.
type Package struct {
	Item
	// Relation is "direct" if the environment requires the package itself, "transitive" if another
	// package does, and "" if the lock does not say.
	Relation string `json:"relation,omitempty"`
	// Via is the shortest chain of packages that lead to a transitive one, the direct one first.
	Via []string `json:"via,omitempty"`
}

// The relations.
const (
	Direct     = "direct"
	Transitive = "transitive"
)

// packages compares two locks.
func (d *differ) packages() {
	if s := d.sideWithout(func(s *Side) bool { return s.Lock != nil }); s != nil {
		why := s.describe() + ", which locks nothing"
		if s.Kind == Image {
			why = s.Name + " does not contain a lock"
		}
		d.skip("locked packages", why)
		return
	}
	if d.old.Lock == nil {
		return
	}
	was, is := byName(d.old.Lock), byName(d.now.Lock)
	oldGraph, newGraph := newGraph(d.old.Lock), newGraph(d.now.Lock)
	names := slices.Collect(maps.Keys(was))
	for n := range is {
		if _, ok := was[n]; !ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		item, ok := comparePackage(n, was[n], is[n])
		if !ok {
			continue
		}
		g := newGraph // that of the lock which has the package: of both if both have it
		if item.Change == Removed {
			g = oldGraph
		}
		p := Package{Item: item}
		p.Relation, p.Via = g.relation(n)
		d.Packages = append(d.Packages, p)
	}
}

// byName returns a lock's packages by name; a lock for several platforms may have several of one.
func byName(l *pylock.Lock) map[pep508.Name][]*pylock.Package {
	out := map[pep508.Name][]*pylock.Package{}
	for i := range l.Packages {
		p := &l.Packages[i]
		out[p.Name] = append(out[p.Name], p)
	}
	return out
}

// comparePackage compares the entries of one package. A lock for several platforms may have
// several.
func comparePackage(name pep508.Name, was, is []*pylock.Package) (Item, bool) {
	item := Item{Name: string(name), Change: Changed, Old: describe(was), New: describe(is)}
	switch {
	case len(was) == 0:
		item.Change = Added
	case len(is) == 0:
		item.Change = Removed
	case item.Old == item.New || sameVersion(was, is):
		item.Change = Replaced
		return item, replaced(was, is)
	case len(was) == 1 && len(is) == 1 && !was[0].Version.IsZero() && !is[0].Version.IsZero():
		switch was[0].Version.Compare(is[0].Version) {
		case -1:
			item.Change = Upgraded
		case 1:
			item.Change = Downgraded
		}
	}
	return item, true
}

// sameVersion reports whether two packages from an index have the same version, even if it is
// written differently.
func sameVersion(was, is []*pylock.Package) bool {
	plain := func(p *pylock.Package) bool {
		return p.VCS == nil && p.Directory == nil && p.Archive == nil && !p.Version.IsZero()
	}
	return len(was) == 1 && len(is) == 1 && plain(was[0]) && plain(is[0]) && was[0].Version.Equal(is[0].Version)
}

// describe returns the versions of packages, with the source of those that are not from an index.
func describe(list []*pylock.Package) string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *pylock.Package) int { return a.Version.Compare(b.Version) })
	var out []string
	for _, p := range list {
		text := p.Version.String()
		switch {
		case p.VCS != nil:
			text += fmt.Sprintf(" (%s %s)", p.VCS.Type, short(p.VCS.CommitID))
		case p.Directory != nil:
			text += " (directory " + p.Directory.Path + ")"
		case p.Archive != nil && p.Archive.URL != "":
			text += " (by URL)"
		case p.Archive != nil:
			text += " (file " + p.Archive.Path + ")"
		}
		out = append(out, strings.TrimSpace(text))
	}
	return strings.Join(slices.Compact(out), ", ")
}

// short abbreviates a commit or digest to as much as people compare.
func short(id string) string {
	algorithm, hex, ok := strings.Cut(id, ":")
	if !ok {
		algorithm, hex = "", id
	} else {
		algorithm += ":"
	}
	return algorithm + hex[:min(len(hex), 12)]
}

// replaced reports whether a file of the same name has other content.
func replaced(was, is []*pylock.Package) bool {
	old := map[string]map[string]string{}
	eachFile(was, func(name string, hashes map[string]string) { old[name] = hashes })
	found := false
	eachFile(is, func(name string, hashes map[string]string) {
		for algorithm, sum := range hashes {
			if before, ok := old[name][algorithm]; ok && !strings.EqualFold(before, sum) {
				found = true
			}
		}
	})
	return found
}

// eachFile calls visit for every file of packages. An archive has no name in a lock; there is one at most.
func eachFile(list []*pylock.Package, visit func(name string, hashes map[string]string)) {
	for _, p := range list {
		if p.Archive != nil {
			visit("", p.Archive.Hashes)
		}
		if p.Sdist != nil {
			visit(p.Sdist.FileName(), p.Sdist.Hashes)
		}
		for i := range p.Wheels {
			visit(p.Wheels[i].FileName(), p.Wheels[i].Hashes)
		}
	}
}

// graph is how packages are required in one lock.
type graph struct {
	roots  map[pep508.Name]bool
	parent map[pep508.Name]pep508.Name // on a shortest chain from a root
}

// newGraph walks a lock's dependencies, starting with the direct requirements. Locks of other tools
// do not record these; it then starts with the packages that no other depends on.
func newGraph(l *pylock.Lock) *graph {
	needs := map[pep508.Name][]pep508.Name{}
	needed := map[pep508.Name]bool{}
	for i := range l.Packages {
		p := &l.Packages[i]
		for _, dep := range p.Dependencies {
			needs[p.Name] = append(needs[p.Name], dep.Name)
			needed[dep.Name] = true
		}
	}
	g := &graph{roots: map[pep508.Name]bool{}, parent: map[pep508.Name]pep508.Name{}}
	for _, n := range l.Tool.Requested {
		g.roots[n] = true
	}
	if len(g.roots) == 0 && len(needs) > 0 {
		for i := range l.Packages {
			if n := l.Packages[i].Name; !needed[n] {
				g.roots[n] = true
			}
		}
	}
	queue := slices.Sorted(maps.Keys(g.roots))
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		slices.Sort(needs[n])
		for _, dep := range needs[n] {
			if _, seen := g.parent[dep]; !seen && !g.roots[dep] {
				g.parent[dep] = n
				queue = append(queue, dep)
			}
		}
	}
	return g
}

// relation returns a package's relation and, if it is transitive, the chain that leads to it.
func (g *graph) relation(n pep508.Name) (string, []string) {
	if g.roots[n] {
		return Direct, nil
	}
	var via []string
	for {
		p, ok := g.parent[n]
		if !ok {
			break
		}
		via = append(via, string(p))
		n = p
	}
	if via == nil {
		return "", nil
	}
	slices.Reverse(via)
	return Transitive, via
}

// declaredAgainstLocked compares the requirements of a model with a lock and reports those that the
// lock does not satisfy. It skips requirements with a marker, as they may not apply.
func (d *differ) declaredAgainstLocked(declares, locked *Side) {
	have := byName(locked.Lock)
	for _, r := range declares.Spec.Requirements {
		if !r.Marker.IsZero() {
			continue
		}
		wants := r.Line()
		found := have[r.Name]
		fits := slices.ContainsFunc(found, func(p *pylock.Package) bool {
			return p.Version.IsZero() || r.Specifier.Match(p.Version)
		})
		if fits {
			continue
		}
		item := Item{Name: string(r.Name), Change: Added, New: wants}
		if text := describe(found); text != "" {
			item = Item{Name: string(r.Name), Change: Changed, Old: text, New: wants}
		}
		if declares == d.old {
			item = item.reversed()
		}
		d.Requirements = append(d.Requirements, item)
	}
	slices.SortFunc(d.Requirements, func(a, b Item) int { return cmp.Compare(a.Name, b.Name) })
}

// reversed returns the item with the sides swapped.
func (i Item) reversed() Item {
	i.Old, i.New = i.New, i.Old
	switch i.Change {
	case Added:
		i.Change = Removed
	case Removed:
		i.Change = Added
	}
	return i
}
