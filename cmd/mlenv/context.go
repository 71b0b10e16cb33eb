package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mlenv/render"
	"mlenv/resolve/model"
)

// writtenByUs is how a Dockerfile of ours begins, so that a directory may be written over. Everything in
// the directory goes with it: "-o ." in a project would remove the project.
const writtenByUs = "# Serves an MLflow Model"

// writeContext writes the build context to a new directory beside dir and then puts it in the
// place of dir, so that a build never sees half of it. Beside it is on the same file system, where a
// rename is one step.
func (r *dockerfileRun) writeContext(dir string, files []render.File) (err error) {
	if err := mayReplace(dir); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil { // MkdirTemp makes it for the user alone
		return err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(tmp, filepath.FromSlash(f.Name)), f); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// writeFile writes a new file or directory with the mode that it has in an image, whatever the umask:
// readable by all, since the user of the container is not known.
func writeFile(target string, f render.File) error {
	if f.Dir {
		return makeDir(target)
	}
	if err := makeDir(filepath.Dir(target)); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if f.Exec {
		mode = 0o755
	}
	var err error
	if f.Open == nil {
		err = os.WriteFile(target, f.Data, mode)
	} else {
		err = copyFile(f, target, mode)
	}
	if err != nil {
		return err
	}
	return os.Chmod(target, mode)
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

func copyFile(f render.File, target string, mode fs.FileMode) (err error) {
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, src); err != nil {
		return fmt.Errorf("copying %s: %w", f.Name, err)
	}
	return nil
}

// mayReplace refuses a directory that holds something else.
func mayReplace(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !strings.HasPrefix(string(data), writtenByUs) {
		return fmt.Errorf("%s is not empty, and it is not mlenv that filled it", dir)
	}
	return nil
}

// copies are what the context copies, but for wheels, which depend on the lock.
func (r *dockerfileRun) copies() (c render.Copies, err error) {
	c.Model, c.ModelCode = r.in.Model.FS, r.in.Model.CodeDirs()
	for _, name := range r.o.model.codePaths {
		abs, err := filepath.Abs(name)
		if err != nil {
			return c, err
		}
		c.ExtraCode = append(c.ExtraCode, modelTree(abs))
	}
	for _, p := range render.SourceTrees(r.in.Spec) {
		file := filepath.FromSlash(p)
		if !filepath.IsAbs(file) {
			file = filepath.Join(r.in.dir(), file)
		}
		c.Sources = append(c.Sources, modelTree(file))
	}
	return c, nil
}

// modelTree is a file or directory of which only what counts is taken, see model.Files.
func modelTree(name string) render.Tree {
	return render.Tree{FS: model.Files(os.DirFS(filepath.Dir(name))), Root: filepath.Base(name)}
}

// fileTree is a single file.
func fileTree(name string) render.Tree {
	return render.Tree{FS: os.DirFS(filepath.Dir(name)), Root: filepath.Base(name)}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
