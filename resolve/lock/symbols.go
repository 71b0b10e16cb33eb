package lock

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"mlenv/resolve/dist"
	"mlenv/resolve/pylock"
)

// Loadable makes sure that what a lock installs on the targets can be loaded there: wheels that nobody
// has checked for the C library that they need (see dist.Unchecked) are fetched and read. dir is the
// lock's directory, to which its paths are relative. The error is a *dist.SymbolsError for each wheel
// that cannot, joined.
func Loadable(ctx context.Context, index Index, l *pylock.Lock, dir string, targets []dist.Target) error {
	return loadable(targets, l, func(p pylock.Pick, f dist.File) (string, error) {
		if p.File.Path != "" {
			return localPath(dir, p.File.Path), nil
		}
		return index.Fetch(ctx, f)
	})
}

// loadable is Loadable for the files that at finds; those for which it gives "" are not looked at.
func loadable(targets []dist.Target, l *pylock.Lock, at func(pylock.Pick, dist.File) (string, error)) error {
	var errs []error
	seen := map[string]bool{}
	for _, t := range targets {
		picks, _ := l.Choose(t)
		for _, p := range picks {
			f, err := dist.NewFile(p.Name, p.File.FileName(), p.File.Address())
			key := t.Libc.String() + " " + f.Filename
			if err != nil || !dist.Unchecked(f.Tags) || seen[key] {
				continue
			}
			seen[key] = true
			f.Hashes, f.Size, f.Index = p.File.Hashes, p.File.Size, p.Index
			name, err := at(p, f)
			if err != nil {
				return fmt.Errorf("fetching %s: %w", f.Filename, err)
			}
			if name != "" {
				errs = append(errs, dist.CheckSymbols(f.Filename, name, t.Libc))
			}
		}
	}
	return errors.Join(errs...)
}

// localPath is a path of a lock on this machine.
func localPath(dir, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// checkLocal is Loadable for the files of this machine alone: those of indexes, which may be large, are
// fetched and looked at when an image is built.
func (s *session) checkLocal(l *pylock.Lock) error {
	return loadable(s.p.Targets, l, func(p pylock.Pick, f dist.File) (string, error) {
		if p.File.Path != "" {
			return localPath(s.p.Dir, p.File.Path), nil
		}
		if u, err := url.Parse(f.URL); err == nil && u.Scheme == "file" {
			return filepath.FromSlash(u.Path), nil
		}
		return "", nil
	})
}
