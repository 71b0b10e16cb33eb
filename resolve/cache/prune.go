package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// PagesDir is the directory of the records that go stale. All others are kept until Clean.
const PagesDir = "pages"

// tempAge is how old a temporary file must be before it counts as left behind by a dead process.
const tempAge = 24 * time.Hour

// section matches the directories that are mlenv's: what is kept and the version of its format.
// Only these are ever removed, so that a cache directory named by mistake loses nothing else.
var section = regexp.MustCompile(`^[a-z]+-v[0-9]+$`)

// Removed counts what Prune or Clean removed.
type Removed struct {
	Files int
	Bytes int64
}

// Prune removes pages that were last fetched or confirmed before olderThan, temporary files that
// a dead process left behind (unchanged for a day before now), and other formats of this cache.
// Distributions and metadata are immutable and stay. It may run beside processes that use the
// cache. A directory that does not exist has nothing to remove.
func Prune(dir string, now, olderThan time.Time) (Removed, error) {
	var r Removed
	entries, err := os.ReadDir(dir)
	if err != nil {
		return r, ignoreMissing(err)
	}
	kind, _, _ := strings.Cut(Format, "-")
	for _, e := range entries {
		if e.IsDir() && e.Name() != Format && section.MatchString(e.Name()) && strings.HasPrefix(e.Name(), kind+"-v") {
			if err := r.tree(filepath.Join(dir, e.Name())); err != nil {
				return r, err
			}
		}
	}
	root := filepath.Join(dir, Format)
	if err := r.older(filepath.Join(root, tempDir), now.Add(-tempAge)); err != nil {
		return r, err
	}
	return r, r.older(filepath.Join(root, PagesDir), olderThan)
}

// Clean removes everything that mlenv keeps in dir: every directory named "what-vN", and
// CACHEDIR.TAG. Other files are left alone, and so is dir itself unless that leaves it empty.
func Clean(dir string) (Removed, error) {
	var r Removed
	entries, err := os.ReadDir(dir)
	if err != nil {
		return r, ignoreMissing(err)
	}
	for _, e := range entries {
		if e.IsDir() && section.MatchString(e.Name()) {
			if err := r.tree(filepath.Join(dir, e.Name())); err != nil {
				return r, err
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "CACHEDIR.TAG")); ignoreMissing(err) != nil {
		return r, err
	}
	os.Remove(dir) // succeeds only on an empty directory
	return r, nil
}

// tree removes a directory and all below it.
func (r *Removed) tree(dir string) error {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			r.Files++
			r.Bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// older removes the files below dir that were last changed before t.
func (r *Removed) older(dir string, t time.Time) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(t) {
			return ignoreMissing(err)
		}
		if err := os.Remove(path); err != nil {
			return ignoreMissing(err)
		}
		r.Files++
		r.Bytes += info.Size()
		return nil
	})
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
