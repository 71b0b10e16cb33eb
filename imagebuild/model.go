package imagebuild

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/layer"
)

// modelFiles lists the files of the model, sorted by path.
func (w *work) modelFiles() ([]layer.Entry, error) {
	files, err := treeFiles(w.recipe.Model.FS, ".", w.paths.model)
	if err != nil {
		return nil, fmt.Errorf("reading the model's files: %w", err)
	}
	return files, nil
}

// treeFiles lists the files below root as they lie below at in the image. A link to a file is the file.
func treeFiles(fsys fs.FS, root, at string) ([]layer.Entry, error) {
	var out []layer.Entry
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		info, err := fs.Stat(fsys, name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a link to one", name)
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		rel := name
		if root != "." {
			rel = strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		}
		out = append(out, layer.Entry{Path: path.Join(at, rel), Mode: mode, Source: name,
			Content: layer.Content{Size: info.Size(), Open: func() (io.ReadCloser, error) { return fsys.Open(name) }}})
		return nil
	})
	return out, err
}

// extraPart is the layer of code that is not the model's own; nil where there is none.
func (w *work) extraPart() (*part, error) {
	var entries []layer.Entry
	for _, t := range w.recipe.Model.Extra {
		files, err := treeFiles(t.FS, t.Root, path.Join(w.paths.code, path.Base(t.Root)))
		if err != nil {
			return nil, fmt.Errorf("reading code: %w", err)
		}
		entries = append(entries, files...)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	w.code = append(w.code, entries...)
	if err := w.checkSizes(entries); err != nil {
		return nil, err
	}
	least := len(layer.Split(layer.WithParents(entries, w.paths.code), w.recipe.maxLayer()))
	return &part{holds: "code", least: least, make: func(ctx context.Context) (contents, error) {
		err := w.hashAll(ctx, entries)
		return contents{entries: layer.WithParents(entries, w.paths.code)}, err
	}}, nil
}

// sortModel tells code, larger and small files apart.
func (w *work) sortModel(files []layer.Entry) (code, large, small []layer.Entry) {
	for _, f := range files {
		rel := strings.TrimPrefix(f.Path, w.paths.model+"/")
		switch {
		case isBelow(rel, w.recipe.Model.Code):
			code = append(code, f)
		case f.Content.Size > smallFile && rel != "MLmodel":
			large = append(large, f)
		default:
			small = append(small, f)
		}
	}
	return code, large, small
}

func isBelow(name string, dirs []string) bool {
	for _, dir := range dirs {
		dir = path.Clean(dir)
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// modelPart is a layer of files of the model. It is remembered by their content, which is hashed
// each time, unless the file system vouches for it (see digest).
func (w *work) modelPart(holds string, files []layer.Entry) part {
	files = append([]layer.Entry{}, files...)
	type id struct{ Path, Mode, SHA256 string }
	p := part{holds: holds, least: w.countLayers(files)}
	for _, f := range files {
		p.plan.Size += f.Content.Size
	}
	p.make = func(context.Context) (contents, error) {
		return contents{entries: layer.WithParents(files, w.paths.model)}, nil
	}
	p.prepare = func(ctx context.Context) (any, error) {
		var key []id
		for i, f := range files {
			sum, err := w.digest(ctx, f)
			if err != nil {
				return nil, err
			}
			files[i].Content.Sum = v1.Hash{Algorithm: "sha256", Hex: sum}
			key = append(key, id{f.Path, f.Mode.String(), sum})
		}
		return key, nil
	}
	return p
}

// settled is how long a file must have been left alone before its digest was remembered, so that a
// change within the same tick of the file system's clock cannot hide.
const settled = 2 * time.Second

// digest gives the SHA-256 of a file's content. A large file that has the size, inode, and times of
// modification and change that it had when it was hashed before is not read again, as long as it
// had come to rest by then: the times are those of the file system, which sets the second itself.
func (w *work) digest(ctx context.Context, f layer.Entry) (string, error) {
	name := strings.TrimPrefix(f.Path, w.paths.model+"/")
	key, changed, ok := stamp(w.recipe.Model.FS, name)
	if f.Content.Size <= largeFile {
		ok = false // quick enough to hash
	}
	file := source{name: name, path: f.Path, open: f.Content.Open, fsys: w.recipe.Model.FS, stamp: key}
	if ok {
		at, found, err := w.recall(ctx, FilesMemo, key, &file.sum)
		if err != nil {
			return "", err
		}
		if found && at.After(changed.Add(settled)) {
			file.remembered = true
			w.keep(file)
			return file.sum, nil
		}
	}
	var err error
	if file.sum, err = hashFile(ctx, f.Content.Open); err != nil {
		return "", fmt.Errorf("reading the model's %s: %w", name, err)
	}
	w.keep(file)
	if again, _, same := stamp(w.recipe.Model.FS, name); ok && same && again == key {
		return file.sum, w.remember(ctx, FilesMemo, key, file.sum)
	}
	return file.sum, nil
}

// hashAll puts the digests of small files into them, which are in no key, so that a change is
// noticed and the file that changed is named.
func (w *work) hashAll(ctx context.Context, files []layer.Entry) error {
	for i, f := range files {
		sum, err := hashFile(ctx, f.Content.Open)
		if err != nil {
			return fmt.Errorf("reading %s: %w", f.Source, err)
		}
		files[i].Content.Sum = v1.Hash{Algorithm: "sha256", Hex: sum}
		w.keep(source{name: f.Source, path: f.Path, open: f.Content.Open, sum: sum})
	}
	return nil
}
