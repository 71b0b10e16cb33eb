package pylock

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Portable returns a lock in which local files outside the lock's directory are reduced to their
// names. Their paths mean nothing on other machines, and their hashes identify them.
func Portable(l *Lock) *Lock {
	out := *l
	out.Packages = slices.Clone(l.Packages)
	for i := range out.Packages {
		p := &out.Packages[i]
		p.Wheels = slices.Clone(p.Wheels)
		for j := range p.Wheels {
			p.Wheels[j].Path = inside(p.Wheels[j].Path)
		}
		if p.Sdist != nil {
			sdist := *p.Sdist
			sdist.Path = inside(sdist.Path)
			p.Sdist = &sdist
		}
		if p.Archive != nil {
			archive := *p.Archive
			archive.Path = inside(archive.Path)
			p.Archive = &archive
		}
	}
	return &out
}

// Locate gives where a file is that a lock names by its path. The lock names it from dir. If it is not there, it is looked for
// in a model's directory: a lock that was made of the model's own wheels is good wherever else the same model lies, as in the
// directory of a download. There it is at the longest end of its path that leads to a file. Its hash is the caller's to
// check. Where there is no such file either, it is the place that the lock names.
func Locate(name, dir, model string) string {
	at := filepath.FromSlash(name)
	if !filepath.IsAbs(at) {
		at = filepath.Join(dir, at)
	}
	if isFile(at) || model == "" {
		return at
	}
	for rest, ok := path.Clean(filepath.ToSlash(name)), true; ok; _, rest, ok = strings.Cut(rest, "/") {
		if end := filepath.FromSlash(rest); filepath.IsLocal(end) && isFile(filepath.Join(model, end)) {
			return filepath.Join(model, end)
		}
	}
	return at
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// inside returns a path relative to the lock's directory, or only the file name if the path leads
// out of it.
func inside(name string) string {
	if name != "" && !filepath.IsLocal(filepath.FromSlash(name)) {
		return path.Base(name)
	}
	return name
}
