package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mlenv/render"
	"mlenv/resolve/model"
)

// writtenByUs is how a Dockerfile of ours begins, so that a directory may be written over.
const writtenByUs = "# Serves an MLflow Model"

// writeContext writes the build context to a new directory beside dir and then puts it in the
// place of dir, so that a build never sees half of it.
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
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(tmp, filepath.FromSlash(f.Name)), f); err != nil {
			return err
		}
	}
	if err := r.copyTrees(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// writeFile writes a new file with the mode that it has in an image, whatever the umask.
func writeFile(target string, f render.File) error {
	mode := fs.FileMode(0o644)
	if f.Exec {
		mode = 0o755
	}
	if err := os.WriteFile(target, f.Data, mode); err != nil {
		return err
	}
	return os.Chmod(target, mode)
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

// copyTrees copies what the Dockerfile takes from the context besides the files for the installer.
func (r *dockerfileRun) copyTrees(to string) error {
	code := func(name string) bool {
		for _, c := range r.in.Model.Code {
			if name == c.Text || strings.HasPrefix(name, c.Text+"/") {
				return true
			}
		}
		return false
	}
	from := r.in.Model.FS
	if err := copyTree(from, ".", filepath.Join(to, "model"), code); err != nil {
		return err
	}
	for _, c := range r.in.Model.Code {
		if err := copyTree(from, c.Text, filepath.Join(to, "model-code", filepath.FromSlash(c.Text)), nil); err != nil {
			return err
		}
	}
	for _, name := range r.o.model.codePaths {
		abs, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		if err := copyTree(model.Files(os.DirFS(filepath.Dir(abs))), filepath.Base(abs), filepath.Join(to, "extra-code", filepath.Base(abs)), nil); err != nil {
			return err
		}
	}
	for _, p := range r.wheels {
		if err := copyTree(os.DirFS(filepath.Dir(p)), filepath.Base(p), filepath.Join(to, "wheels", filepath.Base(p)), nil); err != nil {
			return err
		}
	}
	for _, p := range render.SourceTrees(r.in.Spec) {
		abs := filepath.FromSlash(p)
		if !filepath.IsAbs(abs) {
			abs = filepath.Join(r.in.dir(), abs)
		}
		if err := copyTree(model.Files(os.DirFS(filepath.Dir(abs))), filepath.Base(abs), filepath.Join(to, "source", filepath.Base(abs)), nil); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a file or directory. Modes are those that an image needs, whatever the umask:
// readable by all, for the user of the container is not known.
func copyTree(from fs.FS, root, to string, skip func(name string) bool) error {
	return fs.WalkDir(from, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if skip != nil && skip(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		target := to
		if name != root {
			target = filepath.Join(to, filepath.FromSlash(strings.TrimPrefix(name, root+"/")))
		}
		if root == "." {
			target = filepath.Join(to, filepath.FromSlash(path.Clean(name)))
		}
		info, err := fs.Stat(from, name) // through a symlink
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return makeDir(target)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", name)
		}
		if err := makeDir(filepath.Dir(target)); err != nil {
			return err
		}
		return copyFile(from, name, target, info.Mode())
	})
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

func copyFile(from fs.FS, name, target string, mode fs.FileMode) (err error) {
	src, err := from.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	perm := fs.FileMode(0o644)
	if mode&0o111 != 0 {
		perm = 0o755
	}
	dst, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, src); err != nil {
		return fmt.Errorf("copying %s: %w", name, err)
	}
	return dst.Chmod(perm)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
