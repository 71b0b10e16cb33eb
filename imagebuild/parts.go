package imagebuild

import (
	"context"
	"fmt"
	"maps"
	"path"
	"sort"
	"strings"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/wheel"
	"mlenv/resolve/serving"
)

// paths are where things lie in the image, as tar paths, with the base's symbolic links followed.
type paths struct {
	base   *base.Base
	venv   string
	model  string
	code   string
	scheme wheel.Scheme
}

func newPaths(b *base.Base) paths {
	venv := b.Resolve(serving.Venv)
	return paths{
		base:   b,
		venv:   strings.TrimPrefix(venv, "/"),
		code:   strings.TrimPrefix(b.Resolve(serving.CodePath), "/"),
		model:  strings.TrimPrefix(b.Resolve(serving.ModelPath), "/"),
		scheme: wheel.Scheme{Prefix: venv, Minor: b.Minor(), Python: serving.Python},
	}
}

// skeleton is the virtual environment as Python's venv module makes it (PEP 405), without
// activation scripts and pip.
func (p paths) skeleton() []layer.Entry {
	minor := p.base.Minor()
	config := fmt.Sprintf("home = %s\ninclude-system-site-packages = false\nversion = %s\nexecutable = %s\n",
		path.Dir(p.base.Python), p.base.Version, p.base.Python)
	link := func(name, target string) layer.Entry {
		return layer.Entry{Path: path.Join(p.venv, name), Kind: layer.Symlink, Link: target, Source: "the virtual environment"}
	}
	return []layer.Entry{
		{Path: path.Join(p.venv, "pyvenv.cfg"), Content: layer.Bytes([]byte(config)), Source: "the virtual environment"},
		link("bin/python", p.base.Python), link("bin/python3", "python"), link("bin/python"+minor, "python"),
		link("lib64", "lib"),
	}
}

// reserved are the paths of the environment itself, which no wheel may have: the skeleton's, and what
// the last layer puts beside it.
func (p paths) reserved() []layer.Entry {
	different := layer.Content{Size: -1} // from any file's
	return append(p.skeleton(),
		layer.Entry{Path: path.Join(p.venv, lockName), Source: "the lock", Content: different},
		layer.Entry{Path: p.launcher(), Source: "mlenv's launcher", Content: different})
}

// launcher is the path of the program that starts the server.
func (p paths) launcher() string { return path.Join(p.venv, "bin", serving.LauncherName) }

// requested is the path of the file by which installers mark what the user asked for (PEP 376).
func (p paths) requested(distInfo string) string {
	return path.Join(p.venv, "lib", "python"+p.base.Minor(), "site-packages", distInfo, "REQUESTED")
}

// lockName is the name of the lock in the environment.
const lockName = "pylock.toml"

// parts are all parts but the last, whose content depends on theirs.
func (w *work) parts(b budget) ([]part, error) {
	parts := []part{w.skeletonPart()}
	for _, group := range planWheels(w.recipe.Wheels, b) {
		parts = append(parts, w.wheelPart(group))
	}
	free := b.ours - fixedParts - (leastOf(parts) - 1) // for the model's larger files, if no other is split
	extra, err := w.extraPart()
	if err != nil {
		return nil, err
	}
	if extra != nil {
		parts = append(parts, *extra)
		free -= extra.least - 1
	}
	if w.recipe.Model.FS != nil {
		files, err := w.modelFiles()
		if err != nil {
			return nil, err
		}
		if err := w.checkSizes(files); err != nil {
			return nil, err
		}
		parts = append(parts, w.modelParts(files, b, free)...)
	}
	if need := leastOf(parts) + w.countLayers(w.small); need > b.ours {
		return nil, &TooManyLayersError{Need: need, Base: w.recipe.Base.Layers, Most: b.ours}
	}
	return parts, nil
}

// modelParts are the parts of the model's files but for the small ones, which are put aside.
func (w *work) modelParts(files []layer.Entry, b budget, free int) []part {
	code, larger, small := w.sortModel(files)
	w.small, w.code = small, append(append(w.code, code...), small...)
	free -= w.countLayers(code) - 1 + w.countLayers(small) - 1
	var parts []part
	if len(code) > 0 {
		p := w.modelPart("code of the model", code)
		p.kind = image.CodeLayer
		parts = append(parts, p)
	}
	for _, group := range planModel(larger, b, free, w.countLayers) {
		holds := fmt.Sprintf("%d files of the model", len(group))
		if len(group) == 1 {
			holds = strings.TrimPrefix(group[0].Path, w.paths.model+"/")
		}
		parts = append(parts, w.modelPart(holds, group))
	}
	return parts
}

// leastOf is how many layers the parts take at the least.
func leastOf(parts []part) int {
	n := 0
	for _, p := range parts {
		n += max(1, p.least)
	}
	return n
}

// countLayers is how many layers files of the model take; one where there are none.
func (w *work) countLayers(files []layer.Entry) int {
	return len(layer.Split(layer.WithParents(files, w.paths.model), w.recipe.maxLayer()))
}

func (w *work) skeletonPart() part {
	return part{holds: "virtual environment", make: func(context.Context) (contents, error) {
		minor := w.paths.base.Minor()
		entries := append(w.paths.skeleton(), layer.Entry{
			Path: path.Join(w.paths.venv, "lib", "python"+minor, "site-packages"), Kind: layer.Dir,
		})
		entries = layer.WithParents(entries, w.paths.venv)
		for _, root := range []string{w.paths.venv, w.paths.model} {
			for _, dir := range w.paths.base.Parents("/" + root) {
				entries = addDir(entries, strings.TrimPrefix(dir, "/"))
			}
		}
		sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
		return contents{entries: entries}, nil
	}}
}

func addDir(entries []layer.Entry, name string) []layer.Entry {
	for _, e := range entries {
		if e.Path == name {
			return entries
		}
	}
	return append(entries, layer.Entry{Path: name, Kind: layer.Dir})
}

func (w *work) wheelPart(group []Wheel) part {
	holds := fmt.Sprintf("%d wheels", len(group))
	if len(group) == 1 {
		holds = group[0].Filename
	}
	plan := Planned{Wheels: group}
	for _, one := range group {
		plan.Size += one.Size
	}
	least := leastLayers(group, w.recipe.maxLayer())
	return part{holds: holds, plan: plan, key: w.wheelsKey(group), least: least, make: func(ctx context.Context) (contents, error) {
		c, err := w.wheels.takeAll(ctx, group, w.paths)
		c.entries = layer.WithParents(c.entries, w.paths.venv)
		return c, err
	}}
}

// lastPart holds what differs between two models with the same environment and weights.
func (w *work) lastPart(entries []layer.Entry) part {
	return part{holds: "lock and small files of the model", make: func(context.Context) (contents, error) {
		return contents{entries: layer.WithParents(entries, w.paths.venv, w.paths.model)}, nil
	}}
}

// makeLast makes the last layer, or gives nil where it would be empty.
func (w *work) makeLast(ctx context.Context, index int, done []made) (*made, error) {
	facts := map[string]wheelFacts{}
	for _, m := range done {
		maps.Copy(facts, m.facts)
	}
	var entries []layer.Entry
	if w.recipe.Lock != nil {
		entries = append(entries, layer.Entry{Path: path.Join(w.paths.venv, lockName), Content: layer.Bytes(w.recipe.Lock)})
	}
	if rt := w.recipe.Runtime; rt != nil && rt.Launcher != nil {
		entries = append(entries, layer.Entry{Path: w.paths.launcher(), Mode: 0o755, Content: layer.Bytes(rt.Launcher)})
	}
	for _, one := range w.recipe.Wheels {
		if !one.Requested {
			continue
		}
		known, ok := facts[one.SHA256]
		if !ok {
			return nil, fmt.Errorf("the .dist-info directory of %s is not known", one.Filename)
		}
		entries = append(entries, layer.Entry{Path: w.paths.requested(known.DistInfo), Content: layer.Bytes(nil)})
	}
	if err := w.hashAll(ctx, w.small); err != nil {
		return nil, err
	}
	entries = append(entries, w.small...)
	if len(entries) == 0 {
		return nil, nil
	}
	last := w.lastPart(entries)
	last.index = index
	m, err := w.makePart(ctx, last)
	return &m, err
}
