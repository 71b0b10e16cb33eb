package render

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Tree is a file or directory that is copied into the build context.
type Tree struct {
	FS   fs.FS
	Root string // its path in FS, slash-separated; its last element is its name in the context
}

// Copies are the files that are copied into the build context, as opposed to those that are generated.
type Copies struct {
	Model     fs.FS    // the model's files, see model.Files; nil if there is no model
	ModelCode []string // directories of code in it; they change less often than the rest and are copied separately, so that they stay cached
	ExtraCode []Tree   // code that is not the model's own
	Wheels    []Tree
	Sources   []Tree // source trees and archives that are built with the image
}

// Files lists the directories and files in the order in which they can be written: each directory
// before its contents. Only directories are read. Symbolic links are followed; anything that is
// neither a file nor a directory is an error.
func (c Copies) Files() ([]File, error) {
	var out []File
	add := func(from Tree, at string, skip func(name string) bool) error {
		files, err := treeFiles(from, at, skip)
		out = append(out, files...)
		return err
	}
	if c.Model != nil {
		code := func(name string) bool { return slices.Contains(c.ModelCode, name) }
		if err := add(Tree{c.Model, "."}, modelDir, code); err != nil {
			return nil, err
		}
	}
	for _, dir := range c.ModelCode {
		if err := add(Tree{c.Model, dir}, path.Join(modelCodeDir, dir), nil); err != nil {
			return nil, err
		}
	}
	for _, group := range []struct {
		dir   string
		trees []Tree
	}{{extraCodeDir, c.ExtraCode}, {wheelsDir, c.Wheels}, {sourceDir, c.Sources}} {
		for _, t := range group.trees {
			if err := add(t, path.Join(group.dir, path.Base(t.Root)), nil); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// treeFiles lists a tree with its paths below at in the context, without what skip matches.
func treeFiles(t Tree, at string, skip func(name string) bool) ([]File, error) {
	var out []File
	err := fs.WalkDir(t.FS, t.Root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case skip != nil && skip(name) && d.IsDir():
			return fs.SkipDir
		case skip != nil && skip(name):
			return nil
		}
		info, err := fs.Stat(t.FS, name) // of what a link leads to
		if err != nil {
			return err
		}
		rel := name
		if t.Root != "." {
			rel = strings.TrimPrefix(strings.TrimPrefix(name, t.Root), "/")
		}
		f := File{Name: path.Join(at, rel)}
		switch {
		case info.IsDir():
			f.Dir = true
		case info.Mode().IsRegular():
			f.Exec = info.Mode()&0o111 != 0
			f.Open = func() (io.ReadCloser, error) { return t.FS.Open(name) }
		default:
			return fmt.Errorf("%s is neither a file nor a directory", name)
		}
		out = append(out, f)
		return nil
	})
	return out, err
}
