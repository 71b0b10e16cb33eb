package imagebuild

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
)

// overlap is a path that several wheels hold with different content. pip installs such sets, and the
// wheel that it happens to install last wins. Here the rule is fixed: the file of the package whose
// name comes last in the alphabet is installed, so that all the paths that two packages dispute go to
// the same one, on every machine. Each package's RECORD stays as it is, as with pip.
type overlap struct {
	Path   string   `json:"path"`   // in the image
	Wheels []string `json:"wheels"` // SHA-256 of each that holds it, by name of package; the last one wins
}

func (o overlap) winner() string { return o.Wheels[len(o.Wheels)-1] }

// mayOverlap reports whether one wheel's file may take the place of another's. What installers write of
// a package is its own: a wheel that holds another's is no accident.
func mayOverlap(name string) bool {
	return !slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.HasSuffix(part, ".dist-info") })
}

// remembersOverlaps reports whether overlaps that were remembered can be of these wheels.
func remembersOverlaps(overlaps []overlap, wheels []Wheel) bool {
	known := bySHA256(wheels)
	return !slices.ContainsFunc(overlaps, func(o overlap) bool {
		ordered := slices.IsSortedFunc(o.Wheels, func(a, b string) int { return strings.Compare(known[a].Name, known[b].Name) })
		return !ordered || len(o.Wheels) < 2 || slices.ContainsFunc(o.Wheels, func(sha string) bool { return known[sha].SHA256 == "" })
	})
}

func bySHA256(wheels []Wheel) map[string]Wheel {
	out := make(map[string]Wheel, len(wheels))
	for _, one := range wheels {
		out[one.SHA256] = one
	}
	return out
}

// makeOverlay makes the layer that holds the winners' files, which must win whatever order the wheels'
// own layers have: those stay the same for every model. It gives nil where no layer is needed: within
// one layer the winner's file alone is there already.
func (w *work) makeOverlay(ctx context.Context, bud budget) (*made, error) {
	group := map[string]int{}
	for i, wheels := range planWheels(w.recipe.Wheels, bud) {
		for _, one := range wheels {
			group[one.SHA256] = i
		}
	}
	known, paths := bySHA256(w.recipe.Wheels), map[string][]string{}
	for _, o := range w.overlaps {
		if slices.ContainsFunc(o.Wheels, func(sha string) bool { return group[sha] != group[o.Wheels[0]] }) {
			paths[o.winner()] = append(paths[o.winner()], o.Path)
		}
	}
	if len(paths) == 0 {
		return nil, nil
	}
	var winners []Wheel
	for sha := range paths {
		winners = append(winners, known[sha])
	}
	winners = sortedWheels(winners)
	type overlayKey struct {
		Overlay wheelKey
		Paths   map[string][]string
	}
	p := w.overlayPart()
	p.key = overlayKey{w.wheelsKey(winners), paths}
	p.make = func(ctx context.Context) (contents, error) {
		var entries []layer.Entry
		for _, one := range winners {
			o, err := w.wheels.take(ctx, one)
			if err != nil {
				return contents{}, err
			}
			for _, e := range o.entries {
				if _, ok := slices.BinarySearch(paths[one.SHA256], e.Path); ok {
					entries = append(entries, e)
				}
			}
		}
		return contents{entries: layer.WithParents(entries, w.paths.venv)}, nil
	}
	m, err := w.makePart(ctx, p)
	return &m, err
}

// overlayPart is in no plan: whether it is needed shows when the wheels are open.
func (w *work) overlayPart() part { return part{holds: "files that several wheels hold", index: -1} }

// overlapFindings says which wheels hold the same paths, once for each set of them and kind of file.
func (w *work) overlapFindings() finding.List {
	type kind struct {
		rule   finding.ID
		wheels string
	}
	known, site := bySHA256(w.recipe.Wheels), path.Join(w.paths.venv, "lib", "python"+w.paths.base.Minor(), "site-packages")
	files := map[kind][]string{}
	for _, o := range w.overlaps {
		var names []string
		for _, sha := range o.Wheels {
			names = append(names, known[sha].Filename)
		}
		k := kind{finding.WheelFilesOverlap, strings.Join(names, " ")}
		if rel, ok := strings.CutPrefix(o.Path, site+"/"); ok && isModule(rel) {
			k.rule = finding.WheelModulesOverlap
		}
		files[k] = append(files[k], o.Path)
	}
	var out finding.List
	for k, paths := range files {
		names := strings.Fields(k.wheels)
		sort.Strings(paths)
		what := "/" + paths[0]
		if n := len(paths) - 1; n > 0 {
			what += fmt.Sprintf(" and %d more", n)
		}
		winner := names[len(names)-1]
		if k.rule == finding.WheelModulesOverlap {
			out.Add(k.rule, winner, nil, "%s hold the same modules with different content: %s; those of %s are installed, so the other's code runs with files that are not its own",
				andList(names), what, winner)
		} else {
			out.Add(k.rule, winner, nil, "%s hold the same files with different content, none of them part of a package: %s; those of %s are installed",
				andList(names), what, winner)
		}
	}
	return out.Sorted()
}

// isModule reports whether a path below site-packages is a module, or belongs to an importable package:
// its top directory then has a name that Python can import.
func isModule(rel string) bool {
	top, _, inside := strings.Cut(rel, "/")
	if inside {
		return !strings.ContainsAny(top, ".- ")
	}
	return strings.HasSuffix(rel, ".py") || strings.HasSuffix(rel, ".so") || strings.HasSuffix(rel, ".pyd")
}

func andList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
