package layer

import (
	"bytes"
	"compress/flate"
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

// Kind is the type of an Entry.
type Kind uint8

// The kinds of entries. Hard links, devices and the like are not needed in an image of Python files.
const (
	File Kind = iota
	Dir
	Symlink
)

// Epoch is the modification time of every entry. A constant keeps the bytes of a layer
// reproducible. It is not 0 because some programs treat that as "missing", and not before 1980
// because zip archives cannot store such times: packing an installed package with Python's zipfile
// would fail. A constant time cannot make a stale compiled module look current: those that layers hold have the hash
// of their source (PEP 552), and not its time.
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
	// Link is the target of a symbolic link, stored as it is.
	Link string
	// Content is the content of a File.
	Content Content
	// Source describes where the entry comes from, such as the file name of a wheel. It is used in
	// messages only.
	Source string
}

// Content is the content of a file. It is opened once or twice whenever the layer is read, and
// never kept in memory. The zero value is an empty file.
type Content struct {
	// Size is the size of the uncompressed file in bytes.
	Size int64
	// Sum is the digest of the uncompressed file, with algorithm sha256, sha384 or sha512; zero if
	// unknown. It is checked when the layer is measured.
	Sum v1.Hash
	// Deflated means that Open returns a raw DEFLATE stream (RFC 1951) of exactly Packed bytes, and
	// that CRC is set. Otherwise Open returns the bytes of the file.
	Deflated bool
	Packed   int64
	// CRC is the CRC-32 (IEEE) of the uncompressed file. It is checked if HasCRC is set or the
	// content is Deflated.
	CRC    uint32
	HasCRC bool
	// Open returns a new reader from the beginning. It may be called from several goroutines.
	Open func() (io.ReadCloser, error)
}

// Bytes returns the content of a small file that is in memory.
func Bytes(b []byte) Content {
	h, _, _ := v1.SHA256(bytes.NewReader(b))
	return Content{Size: int64(len(b)), Sum: h, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

// FromFile returns the content of a file on disk, which must not change until the last reader of
// the layer is done: if the file grows, shrinks or changes, reading the layer fails, because its
// digest no longer matches.
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

// Same reports whether two contents are known to be the same. It compares their digests if both are
// known, else size and CRC-32 if both are known; otherwise it returns false.
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
	return c.hasCRC() && d.hasCRC() && c.CRC == d.CRC && sameBytes(c, d)
}

// sameBytes compares two contents of one size by reading them. What cannot be read is not the same.
func sameBytes(c, d Content) bool {
	a, err := c.Plain()
	if err != nil {
		return false
	}
	defer a.Close()
	b, err := d.Plain()
	if err != nil {
		return false
	}
	defer b.Close()
	left, right := make([]byte, 64<<10), make([]byte, 64<<10)
	for done := int64(0); done < c.Size; {
		part := int(min(int64(len(left)), c.Size-done))
		if _, err := io.ReadFull(a, left[:part]); err != nil {
			return false
		}
		if _, err := io.ReadFull(b, right[:part]); err != nil || !bytes.Equal(left[:part], right[:part]) {
			return false
		}
		done += int64(part)
	}
	return true
}

// Plain opens a content's own bytes, whether or not they are kept compressed.
func (c Content) Plain() (io.ReadCloser, error) {
	r, err := c.Open()
	if err != nil || !c.Deflated {
		return r, err
	}
	return &inflated{flate.NewReader(r), r}, nil
}

// inflated is what a DEFLATE stream holds.
type inflated struct {
	io.Reader
	from io.Closer
}

func (i *inflated) Close() error { return i.from.Close() }

func (c Content) hasCRC() bool { return c.Deflated || c.HasCRC }

// Same reports whether two entries with the same path are the same file, directory or link. Two
// files may differ in their modes: see Either.
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

// Either returns one of two files that are the same: the first if only that one is executable, else
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

// WithParents returns the entries, sorted by path, and adds a directory with mode 0755 for every
// missing parent at or below the owned paths. Directories above them are left to the base image: an
// entry for "lib" would replace the symbolic link /lib of images with a merged /usr.
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
