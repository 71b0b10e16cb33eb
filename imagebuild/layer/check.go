package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A ContentError reports that the content of an entry does not match the entry.
type ContentError struct {
	Path   string
	Source string // Entry.Source
	Err    error
}

// Error implements error.
func (e *ContentError) Error() string {
	if e.Source == "" {
		return e.Path + ": " + e.Err.Error()
	}
	return e.Source + ": " + e.Path + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *ContentError) Unwrap() error { return e.Err }

func sorted(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries
}

// check returns an error if sorted entries cannot form a layer.
func check(entries []Entry) error {
	files := make(map[string]bool)
	for i := range entries {
		e := &entries[i]
		if err := checkEntry(e); err != nil {
			return e.fail(err)
		}
		if i > 0 && entries[i-1].Path == e.Path {
			return e.fail(errors.New("the path appears twice"))
		}
		if e.Kind != Dir {
			files[e.Path] = true
		}
	}
	for i := range entries {
		for p := path.Dir(entries[i].Path); p != "."; p = path.Dir(p) {
			if files[p] {
				return entries[i].fail(fmt.Errorf("%s is not a directory", p))
			}
		}
	}
	return nil
}

func checkEntry(e *Entry) error {
	if e.Path == "." || !fs.ValidPath(e.Path) || strings.ContainsRune(e.Path, 0) {
		return errors.New("the path is not a clean, relative one")
	}
	if strings.HasPrefix(path.Base(e.Path), ".wh.") {
		return errors.New("in a layer a name like this deletes files (OCI image-spec, \"Whiteouts\")")
	}
	allowed := fs.ModePerm
	if e.Kind == Dir {
		allowed |= fs.ModeSticky
	}
	if e.Mode&^allowed != 0 {
		return fmt.Errorf("mode %v has more than permission bits", e.Mode)
	}
	switch e.Kind {
	case File:
		return checkContent(&e.Content)
	case Symlink:
		if e.Link == "" || strings.ContainsRune(e.Link, 0) {
			return errors.New("the link has no usable target")
		}
	case Dir:
	default:
		return fmt.Errorf("there is no kind %d", e.Kind)
	}
	return nil
}

func checkContent(c *Content) error {
	switch {
	case c.Size < 0 || c.Packed < 0:
		return errors.New("the size is negative")
	case c.Size > 0 && c.Open == nil:
		return errors.New("the content cannot be opened")
	case c.Sum.Hex != "" && newHash(c.Sum.Algorithm) == nil:
		return fmt.Errorf("digests of the kind %q cannot be checked", c.Sum.Algorithm)
	}
	return nil
}

const (
	headerMax = 4 << 10  // a tar header with pax records for a path of the longest kind, padding, and two members
	layerEnd  = 16 << 10 // the end of the tar stream
)

// Estimate returns how many bytes an entry takes in a spliced layer at most, except for unusually
// long names.
func Estimate(e Entry) int64 {
	if e.Kind != File {
		return headerMax
	}
	if e.Content.Deflated {
		return headerMax + e.Content.Packed
	}
	return headerMax + e.Content.Size + e.Content.Size/1024
}

// Fits reports whether a spliced layer with only this entry is at most max bytes.
func Fits(e Entry, max int64) bool { return layerEnd+Estimate(e) <= max }

// Split splits the entries, sorted by path, into groups such that the layer of each group is
// smaller than max bytes. A single file that does not fit gets a group of its own. There is always
// at least one group. Parents are not repeated in every group: call WithParents for each group.
func Split(entries []Entry, max int64) [][]Entry {
	entries = sorted(entries)
	var groups [][]Entry
	from, size := 0, int64(layerEnd)
	for i, e := range entries {
		n := Estimate(e)
		if i > from && size+n > max {
			groups = append(groups, entries[from:i:i])
			from, size = i, layerEnd
		}
		size += n
	}
	return append(groups, entries[from:])
}
