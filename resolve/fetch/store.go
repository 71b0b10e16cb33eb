package fetch

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

// Store hands out the files below one root, wherever they are kept: a server's artifact routes, a
// bucket. It may be used by many goroutines at once. Its errors are an *Error where one of the kinds
// fits, and never hold a credential.
type Store interface {
	// List calls add for every file below the root, and for directories as far as the store knows them,
	// in any order. An error of add ends the listing and is List's error: a server's listing is not to be
	// trusted, and add checks it. So a store that lists one directory at a time calls add for a directory
	// before it asks what is in it.
	List(ctx context.Context, add func(File) error) error
	// Open begins to read a file that was listed, from the byte at offset on, or from the file's
	// beginning where the store cannot begin in the middle, or where the file is not f.Tag any more.
	Open(ctx context.Context, f File, offset int64) (*Body, error)
}

// Body is the content of a file on its way.
type Body struct {
	io.ReadCloser
	Begins int64  // the offset of its first byte: what was asked for, or 0
	Size   int64  // of the whole file, as the answer has it; -1 where it does not say
	Tag    string // of the whole file, see File; "" where the answer has none
	Sum    string // of the whole file, see File; "" where the answer has none
}

// File is a file or directory as a Store lists it.
type File struct {
	Path string // slash-separated, relative to the root
	Dir  bool
	Size int64 // bytes; -1 where the listing does not say
	// Tag changes whenever the content does, as an ETag or a version ID; "" where the store gives
	// nothing that proves this.
	Tag string
	// Sum is what the store says is a hash of the content: "md5:" and hexadecimal digits, or the same with "-" and the number of
	// the parts of whose MD5s it is the MD5. It is believed once it was found to be true. "" where there is none.
	Sum string
}

// The bounds of what is listed. The largest models that MLflow writes, sharded ones with tokenizers and
// code, have some hundred files; a listing past these bounds is an attack or the wrong directory.
const (
	maxFiles = 20_000
	maxDepth = 32
	maxPath  = 1024 // bytes
	maxTotal = 4 << 40
)

// listing collects what a Store lists, and refuses what cannot be files of one directory on any system.
type listing struct {
	files map[string]File   // by path, directories too
	lower map[string]string // by path in lower case: the path
	total int64
	count int
}

func newListing() *listing {
	return &listing{files: map[string]File{}, lower: map[string]string{}}
}

// add takes in a file. Its error is an *Error of kind BadListing.
func (l *listing) add(f File) error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	if l.count++; l.count > maxFiles {
		return badListing("lists more than %d files", maxFiles)
	}
	for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
		if err := l.enter(File{Path: dir, Dir: true}); err != nil {
			return err
		}
	}
	if known, ok := l.files[f.Path]; ok && !(known.Dir && f.Dir) {
		if known.Dir != f.Dir {
			return badListing("lists %q both as a file and as a directory", f.Path)
		}
		return badListing("lists %q twice", f.Path)
	}
	if f.Dir {
		f.Size, f.Tag, f.Sum = 0, "", ""
	} else if f.Size < -1 {
		return badListing("lists %q with a size of %d bytes", f.Path, f.Size)
	}
	if l.total += max(0, f.Size); l.total > maxTotal || l.total < 0 {
		return badListing("lists files of more than %d TiB", maxTotal>>40)
	}
	return l.enter(f)
}

// enter notes a path, which may be known already as a directory.
func (l *listing) enter(f File) error {
	if known, ok := l.files[f.Path]; ok {
		if !known.Dir || !f.Dir {
			return badListing("lists %q both as a file and as a directory", f.Path)
		}
		return nil
	}
	// A system that does not tell case apart would have one file where the server has two.
	low := strings.ToLower(f.Path)
	if other, ok := l.lower[low]; ok {
		return badListing("lists %q and %q, which are one file on some systems", other, f.Path)
	}
	l.lower[low] = f.Path
	l.files[f.Path] = f
	return nil
}

// checkPath refuses what is not the plain path of a file below a directory.
func checkPath(name string) error {
	switch {
	case name == "" || len(name) > maxPath || !utf8.ValidString(name):
		return badListing("lists a file with an empty, an overlong or an unreadable name")
	case strings.ContainsAny(name, "\x00\\"):
		return badListing("lists %q, which is not the name of a file on every system", name)
	case path.IsAbs(name) || path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return badListing("lists %q, which is not a path below the model", name)
	case len(name) > 1 && name[1] == ':':
		return badListing("lists %q, which is an absolute path on some systems", name)
	case strings.Count(name, "/") >= maxDepth:
		return badListing("lists directories more than %d deep", maxDepth)
	}
	return nil
}

func badListing(format string, args ...any) error {
	return &Error{Kind: BadListing, Msg: "the server " + fmt.Sprintf(format, args...)}
}
