package layer

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Kind says what an Entry is.
type Kind uint8

// The kinds of entries. Hard links, devices and the like are not needed in an image of Python files.
const (
	File Kind = iota
	Dir
	Symlink
)

// Epoch is the modification time of every entry. A constant keeps the bytes of a layer the same for everybody;
// it is not 0 because some programs take that for "missing", and it is not before 1980 because zip archives
// cannot hold such times, so that packing an installed package with Python's zipfile would fail.
// Python compares a source file's time and size with those in a .pyc: as no .pyc of a model's sources is ever in a
// layer of ours, a constant time cannot make a stale one look fresh.
var Epoch = time.Unix(315532800, 0).UTC() // 1980-01-01T00:00:00Z

// An Entry is one file, directory or symbolic link of a layer. The owner is always 0:0 and the time always Epoch.
type Entry struct {
	// Path is slash-separated, relative to the root of the image, clean and without a leading slash:
	// "opt/venv/bin/python".
	Path string
	Kind Kind
	// Mode holds permission bits and, for directories, fs.ModeSticky. 0 means 0644 for files and 0755 for directories.
	// It is not used for symbolic links.
	Mode fs.FileMode
	// Link is the target of a symbolic link, written as it is.
	Link string
	// Content is what a File holds.
	Content Content
	// Source says in words where the entry comes from, for messages only: a wheel's file name, say.
	Source string
}

// Content is what a file holds. It is opened once or twice for each time the layer is read, never kept in memory.
// The zero value is an empty file.
type Content struct {
	// Size counts the bytes of the file itself.
	Size int64
	// Sum is the digest of the file itself, with algorithm sha256, sha384 or sha512; zero where unknown.
	// It is checked when the layer is measured.
	Sum v1.Hash
	// Deflated says that Open gives a raw DEFLATE stream (RFC 1951) of exactly Packed bytes, whose content has CRC
	// as its checksum. Else Open gives the file's own bytes.
	Deflated bool
	Packed   int64
	// CRC is the CRC-32 (IEEE) of the file itself; it is checked when HasCRC is set or the content is Deflated.
	CRC    uint32
	HasCRC bool
	// Open starts reading from the beginning. It may be called from several goroutines.
	Open func() (io.ReadCloser, error)
}

// Bytes returns a content that is in memory already: for small generated files.
func Bytes(b []byte) Content {
	h, _, _ := v1.SHA256(bytes.NewReader(b))
	return Content{Size: int64(len(b)), Sum: h, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

// FromFile returns the content of a file on disk, which must not change until the last reader of the layer is done:
// a file that grew or shrank is an error, one that changed otherwise too, since the layer's digest no longer fits.
func FromFile(name string) (Content, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return Content{}, err
	}
	if !fi.Mode().IsRegular() {
		return Content{}, fmt.Errorf("%s is not a regular file", name)
	}
	return Content{Size: fi.Size(), Open: func() (io.ReadCloser, error) { return os.Open(name) }}, nil
}

// Same reports whether two contents surely are the same bytes: by their digests where both are known,
// else by size and CRC-32, else it says no.
func (c Content) Same(d Content) bool {
	if c.Size != d.Size {
		return false
	}
	if c.Size == 0 {
		return true
	}
	if c.Sum.Hex != "" && c.Sum.Algorithm == d.Sum.Algorithm {
		return c.Sum == d.Sum
	}
	return c.hasCRC() && d.hasCRC() && c.CRC == d.CRC
}

func (c Content) hasCRC() bool { return c.Deflated || c.HasCRC }

// Same reports whether two entries of one path are the same file, directory or link. Of two files either may stand for
// both but for their modes: see Either.
func (e Entry) Same(f Entry) bool {
	if e.Path != f.Path || e.Kind != f.Kind {
		return false
	}
	switch e.Kind {
	case Symlink:
		return e.Link == f.Link
	case Dir:
		return e.mode() == f.mode()
	}
	return e.Content.Same(f.Content)
}

// Either returns one of two files that are the same: the first where it alone may be executed, else
// the second.
func Either(e, f Entry) Entry {
	if e.mode()&0o111 != 0 && f.mode()&0o111 == 0 {
		return e
	}
	return f
}

func (e Entry) mode() fs.FileMode {
	switch {
	case e.Kind == Symlink:
		return 0o777
	case e.Mode == 0 && e.Kind == Dir:
		return 0o755
	case e.Mode == 0:
		return 0o644
	}
	return e.Mode
}

// WithParents returns the entries, sorted by path, with a directory entry of mode 0755 for every parent that is
// missing, down from the owned paths and these included. Directories above the owned paths are left to the base image:
// an entry for "lib" would replace the link that "lib" is where /usr is merged.
func WithParents(entries []Entry, owned ...string) []Entry {
	out := slices.Clone(entries)
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		seen[e.Path] = true
	}
	for _, e := range entries {
		for p := path.Dir(e.Path); p != "." && !seen[p] && within(p, owned); p = path.Dir(p) {
			seen[p] = true
			out = append(out, Entry{Path: p, Kind: Dir, Source: e.Source})
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func within(p string, roots []string) bool {
	for _, r := range roots {
		if p == r || strings.HasPrefix(p, r) && p[len(r)] == '/' {
			return true
		}
	}
	return false
}
