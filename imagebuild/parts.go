package imagebuild

import (
	"context"
	"fmt"
	"path"
	"sort"
	"strings"

	"mlenv/imagebuild/base"
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

// parts are all parts but the last, whose content depends on theirs.
func (w *work) parts(b budget) ([]part, error) {
	parts := []part{w.skeletonPart()}
	for _, group := range planWheels(w.recipe.Wheels, b) {
		parts = append(parts, w.wheelPart(group))
	}
	extra, err := w.extraPart()
	if err != nil {
		return nil, err
	}
	if extra != nil {
		parts = append(parts, *extra)
	}
	if w.recipe.Model == nil {
		return parts, nil
	}
	files, err := w.modelFiles()
	if err != nil {
		return nil, err
	}
	code, large, _ := w.sortModel(files)
	if len(code) > 0 {
		parts = append(parts, w.modelPart("code of the model", code))
	}
	for _, group := range planModel(large, b) {
		holds := fmt.Sprintf("%d files of the model", len(group))
		if len(group) == 1 {
			holds = strings.TrimPrefix(group[0].Path, w.paths.model+"/")
		}
		parts = append(parts, w.modelPart(holds, group))
	}
	return parts, nil
}

func (w *work) skeletonPart() part {
	return part{holds: "virtual environment", make: func(context.Context) ([]layer.Entry, map[string]string, error) {
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
		return entries, nil, nil
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
	return part{holds: holds, plan: plan, key: w.wheelsKey(group), make: func(ctx context.Context) ([]layer.Entry, map[string]string, error) {
		entries, distInfo, err := w.shelf.takeAll(ctx, group)
		if err != nil {
			return nil, nil, err
		}
		return layer.WithParents(entries, w.paths.venv), distInfo, nil
	}}
}

// lastPart holds what differs between two models with the same environment and weights.
func (w *work) lastPart(entries []layer.Entry) part {
	return part{holds: "lock and small files of the model", make: func(context.Context) ([]layer.Entry, map[string]string, error) {
		return layer.WithParents(entries, w.paths.venv, w.paths.model), nil, nil
	}}
}

// makeLast makes the last layer, or gives nil where it would be empty.
func (w *work) makeLast(ctx context.Context, index int, done []made) (*made, error) {
	distInfo := map[string]string{}
	for _, m := range done {
		for sha, dir := range m.distInfo {
			distInfo[sha] = dir
		}
	}
	var entries []layer.Entry
	if w.recipe.Lock != nil {
		entries = append(entries, layer.Entry{Path: path.Join(w.paths.venv, "pylock.toml"), Content: layer.Bytes(w.recipe.Lock)})
	}
	site := path.Join(w.paths.venv, "lib", "python"+w.paths.base.Minor(), "site-packages")
	for _, one := range w.recipe.Wheels {
		if !one.Requested {
			continue
		}
		dir, ok := distInfo[one.SHA256]
		if !ok {
			return nil, fmt.Errorf("the .dist-info directory of %s is not known", one.Filename)
		}
		entries = append(entries, layer.Entry{Path: path.Join(site, dir, "REQUESTED"), Content: layer.Bytes(nil)})
	}
	if w.recipe.Model != nil {
		files, err := w.modelFiles()
		if err != nil {
			return nil, err
		}
		_, _, small := w.sortModel(files)
		entries = append(entries, small...)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	last := w.lastPart(entries)
	last.index = index
	m, err := w.makePart(ctx, last)
	return &m, err
}
