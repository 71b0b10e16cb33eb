package imagebuild

import (
	"encoding/binary"
	"path"
	"slices"
	"strings"

	"mlenv/imagebuild/layer"
)

// rootHash is how many bytes of a root's hash are kept. Two roots with the same hash cost time alone.
const rootHash = 4

// roots are the beginnings of a wheel's paths, as hashes in order: the names that it has directly in
// site-packages, and the first two names of whatever it has elsewhere in the environment. Wheels none
// of whose roots are the same hold no path in common, and none has a file where another has a directory.
// That is so for most wheels, and takes 20 bytes for each to remember, where an outline takes kilobytes.
//
// They are nil for a wheel with files in unusual places, where the first two names do not tell.
func (p paths) roots(claims []layer.Entry) []byte {
	site := path.Join(p.venv, "lib", "python"+p.base.Minor(), "site-packages") + "/"
	ours := map[string]bool{} // what the environment has itself
	for _, e := range p.reserved() {
		ours[e.Path] = true
	}
	seen := map[uint32]bool{}
	for _, e := range claims {
		if e.Kind == layer.Dir {
			continue
		}
		root := ""
		if rel, ok := strings.CutPrefix(e.Path, site); ok {
			name, _, _ := strings.Cut(rel, "/")
			root = site + name
		} else {
			rel, ok := strings.CutPrefix(e.Path, p.venv+"/")
			names := strings.SplitN(rel, "/", 3)
			// A file directly in the environment may be where another wheel has a directory, and so
			// may one in a directory above site-packages.
			if !ok || len(names) < 2 || strings.HasPrefix(names[0], "lib") || ours[path.Join(p.venv, names[0])] {
				return nil
			}
			root = path.Join(p.venv, names[0], names[1])
		}
		seen[binary.BigEndian.Uint32(hashOf(root, rootHash))] = true
	}
	var sorted []uint32
	for r := range seen {
		sorted = append(sorted, r)
	}
	slices.Sort(sorted)
	var out []byte
	for _, r := range sorted {
		out = binary.BigEndian.AppendUint32(out, r)
	}
	return out
}

// neighbours gives the wheels that may hold paths in common with another, or with the environment
// itself, in the order given.
func (w *work) neighbours(wheels []Wheel, done []made) []Wheel {
	facts := map[string]wheelFacts{}
	for _, m := range done {
		for sha, f := range m.facts {
			facts[sha] = f
		}
	}
	count := map[uint32]int{}
	each := func(roots []byte, visit func(uint32)) {
		for ; len(roots) >= rootHash; roots = roots[rootHash:] {
			visit(binary.BigEndian.Uint32(roots))
		}
	}
	for _, e := range w.paths.reserved() {
		// What lies directly in the environment only wheels without roots can have.
		each(w.paths.roots([]layer.Entry{e}), func(r uint32) { count[r]++ })
	}
	unusual := false
	for _, one := range wheels {
		unusual = unusual || len(facts[one.SHA256].Roots) == 0
		each(facts[one.SHA256].Roots, func(r uint32) { count[r]++ })
	}
	if unusual {
		return wheels
	}
	var out []Wheel
	for _, one := range wheels {
		shared := false
		each(facts[one.SHA256].Roots, func(r uint32) { shared = shared || count[r] > 1 })
		if shared {
			out = append(out, one)
		}
	}
	return out
}
