package pylock

import (
	"path"
	"path/filepath"
	"slices"
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

// inside returns a path relative to the lock's directory, or only the file name if the path leads
// out of it.
func inside(name string) string {
	if name != "" && !filepath.IsLocal(filepath.FromSlash(name)) {
		return path.Base(name)
	}
	return name
}
