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

// LinkError says that a symbolic link cannot be followed within the model. What stands behind it is
// as good as not there: it is an fs.ErrNotExist.
type LinkError struct {
	Name   string // of the link, slash-separated, relative to the model
	Target string // as the link has it
	Why    LinkFault
}

// LinkFault says what is wrong with a link.
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

// LeadsTo is the link's target, and what is wrong with it.
func (e *LinkError) LeadsTo() string { return e.Target + ", which " + string(e.Why) }

// Unwrap gives fs.ErrNotExist.
func (e *LinkError) Unwrap() error { return fs.ErrNotExist }

// mostLinks is how many links are followed for one name, as in Linux.
const mostLinks = 40

// follow gives the name of what a name leads to when all links have been followed. Links may be
// absolute where they point into one of the model's directories. A link that cannot be followed is a
// *LinkError. Names that are not there are given back: whoever opens them says so.
func (f filesFS) follow(name string) (string, error) {
	links, ok := f.FS.(fs.ReadLinkFS)
	if !ok || !fs.ValidPath(name) {
		return name, nil
	}
	var link *LinkError // the first link: the one that the model's owner can mend
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
		if followed++; followed > mostLinks {
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

// inside gives an absolute path relative to the model.
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

// resolveLinks gives a directory's entries with links that can be followed as what they lead to, since that
// is what a reader finds there. A directory that holds itself by way of a link is not walked for ever:
// such a link is a bad one.
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

// isKubernetesData tells whether an entry is of the machinery by which Kubernetes mounts a volume: ..data is a
// link to a directory with a time for its name, and the volume's files are links through it.
func (f filesFS) isKubernetesData(name string) bool {
	if !strings.HasPrefix(name, "..") {
		return false
	}
	info, err := fs.Lstat(f.FS, "..data")
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// checkCircle refuses a link to a directory in which the link itself lies, by whatever names.
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

// badLinks lists the links of a model that cannot be followed, by name.
func badLinks(fsys filesFS) []LinkError {
	fsys.hideBad = false
	var out []LinkError
	// What cannot be listed is reported by whoever reads it.
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

// linkReason says of a file that is needed why it is not there, nil where no link is the reason.
func linkReason(fsys fs.FS, name string) error {
	err := statError(fsys, name)
	var bad *LinkError
	if errors.As(err, &bad) {
		return source.ReadError(name, err)
	}
	return nil
}
