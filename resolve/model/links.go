package model

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mlenv/resolve/internal/source"
)

// LinkError reports that a symbolic link cannot be followed within the model. It is treated like a
// missing file: it wraps fs.ErrNotExist.
type LinkError struct {
	Name   string // of the link, slash-separated, relative to the model
	Target string // as in the link
	Why    LinkFault
}

// LinkFault is what is wrong with a link.
type LinkFault string

// The faults of links.
const (
	Dangling LinkFault = "is not there"
	Leaving  LinkFault = "is outside the model"
	Circular LinkFault = "leads back to itself"
)

// Error implements error.
func (e *LinkError) Error() string {
	return e.Name + " is a link to " + e.LeadsTo()
}

// LeadsTo returns the target of the link and what is wrong with it.
func (e *LinkError) LeadsTo() string { return e.Target + ", which " + string(e.Why) }

// Unwrap returns fs.ErrNotExist.
func (e *LinkError) Unwrap() error { return fs.ErrNotExist }

// maxLinks is how many links are followed to resolve one name. It is the limit of Linux.
const maxLinks = 40

// follow returns the name that a name leads to after all links have been followed. Links may be
// absolute if they point into the model's directory. If a link cannot be followed, the error is a
// *LinkError. A name that does not exist is returned as it is: opening it will fail.
func (f filesFS) follow(name string) (string, error) {
	links, ok := f.FS.(fs.ReadLinkFS)
	if !ok || !fs.ValidPath(name) {
		return name, nil
	}
	var link *LinkError // the first link, which is the one the owner of the model can fix
	at, rest := ".", strings.Split(name, "/")
	for followed := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				link.Why = Leaving
				return "", link
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := links.Lstat(next)
		switch {
		case err != nil && link != nil && errors.Is(err, fs.ErrNotExist):
			link.Why = Dangling
			return "", link
		case err != nil:
			return path.Join(append([]string{next}, rest...)...), nil
		case info.Mode()&fs.ModeSymlink == 0:
			at = next
			continue
		}
		target, err := links.ReadLink(next)
		if err != nil {
			return name, nil
		}
		target = filepath.ToSlash(target)
		if link == nil {
			link = &LinkError{Name: next, Target: target}
		}
		if followed++; followed > maxLinks {
			link.Why = Circular
			return "", link
		}
		if path.IsAbs(target) {
			if target, ok = f.inside(target); !ok {
				link.Why = Leaving
				return "", link
			}
			at = "."
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	return at, nil
}

// inside returns an absolute path relative to the model, and whether it is inside.
func (f filesFS) inside(target string) (string, bool) {
	for _, dir := range f.dirs {
		if target == dir {
			return ".", true
		}
		if rel, ok := strings.CutPrefix(target, dir+"/"); ok {
			return rel, true
		}
	}
	return "", false
}

// resolveLinks returns the entries of a directory with links replaced by the files they lead to,
// because that is what a reader finds. A link to a directory that contains it is an error, so that
// walking the tree ends.
func (f filesFS) resolveLinks(dir string, entries []fs.DirEntry) []fs.DirEntry {
	out := entries[:0:0]
	for _, e := range entries {
		if dir == "." && f.isKubernetesData(e.Name()) {
			continue
		}
		if e.Type()&fs.ModeSymlink == 0 {
			out = append(out, e)
			continue
		}
		info, err := f.Stat(path.Join(dir, e.Name()))
		var bad *LinkError
		switch {
		case err == nil:
			out = append(out, fs.FileInfoToDirEntry(renamedEntry{info, e.Name()}))
		case errors.As(err, &bad) && f.hideBad:
		default:
			out = append(out, e)
		}
	}
	return out
}

// isKubernetesData reports whether an entry belongs to the internals of a volume mounted by
// Kubernetes: ..data is a link to a directory named after a time, and the files of the volume are
// links through it.
func (f filesFS) isKubernetesData(name string) bool {
	if !strings.HasPrefix(name, "..") {
		return false
	}
	info, err := fs.Lstat(f.FS, "..data")
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// checkCircle returns an error for a link to a directory that contains the link, under any name.
func (f filesFS) checkCircle(name, real string) error {
	for at := path.Dir(name); ; at = path.Dir(at) {
		above, err := f.follow(at)
		if err == nil && (above == real || real == "." || strings.HasPrefix(above, real+"/")) {
			target, _ := fs.ReadLink(f.FS, name)
			return &LinkError{Name: name, Target: filepath.ToSlash(target), Why: Circular}
		}
		if at == "." {
			return nil
		}
	}
}

// renamedEntry is a file under the name of a link to it.
type renamedEntry struct {
	fs.FileInfo
	name string
}

func (n renamedEntry) Name() string { return n.name }

// badLinks returns the links in a model that cannot be followed, sorted by name.
func badLinks(fsys filesFS) []LinkError {
	fsys.hideBad = false
	var out []LinkError
	// Directories that cannot be listed are reported when they are read.
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		var bad *LinkError
		if _, err := fsys.Stat(name); errors.As(err, &bad) {
			one := *bad
			one.Name = name
			out = append(out, one)
		}
		return nil
	})
	return out
}

// linkReason returns the *LinkError because of which a file is missing, or nil if no link is the
// reason.
func linkReason(fsys fs.FS, name string) error {
	err := statError(fsys, name)
	var bad *LinkError
	if errors.As(err, &bad) {
		return source.ReadError(name, err)
	}
	return nil
}
