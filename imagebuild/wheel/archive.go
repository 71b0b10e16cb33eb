package wheel

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
)

// Bounds against archives that are made to fill disks. DEFLATE itself cannot do more than 1032 to 1, and wheels
// of real code and weights stay below 20 to 1.
const (
	maxUnpacked  = 64 << 30
	maxRatio     = 100
	ratioMatters = 1 << 30 // bytes unpacked from which on maxRatio holds
	deflateRatio = 1032
)

// A member is one file in the archive.
type member struct {
	name         string
	offset       int64 // of the packed bytes
	packed, size int64
	crc          uint32
	deflated     bool
	executable   bool
	sum          v1.Hash // from RECORD; zero where it has none
}

// readArchive reads the zip directory (APPNOTE.TXT 4.3; zip64 included) and checks it.
func (w *Wheel) readArchive(size int64) error {
	z, err := zip.NewReader(w.file, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // paths are checked below
		return fmt.Errorf("reading the zip directory: %w", err)
	}
	w.byName = make(map[string]*member, len(z.File))
	var packed int64
	for _, f := range z.File {
		name := tidyPath(f.Name)
		if err := checkFile(f, name); err != nil {
			return w.fail(f.Name, err)
		}
		if strings.HasSuffix(f.Name, "/") || strings.HasSuffix(f.Name, `\`) {
			continue
		}
		if name != f.Name {
			w.note(finding.WheelRecord, f.Name, "the archive's path is not clean; it is installed as "+name)
		}
		offset, err := f.DataOffset()
		if err != nil {
			return w.fail(f.Name, err)
		}
		m := &member{
			name: name, offset: offset, crc: f.CRC32, deflated: f.Method == zip.Deflate,
			packed: int64(f.CompressedSize64), size: int64(f.UncompressedSize64), executable: executable(f),
		}
		if old := w.byName[name]; old != nil {
			if err := w.checkTwice(old, m); err != nil {
				return err
			}
			continue
		}
		w.byName[m.name] = m
		w.members = append(w.members, m)
		w.Unpacked += m.size
		packed += m.packed
		if w.Unpacked > maxUnpacked || w.Unpacked > ratioMatters && w.Unpacked/maxRatio > packed {
			return fmt.Errorf("a zip bomb: more than %d bytes come out of %d", w.Unpacked, packed)
		}
	}
	if err := w.checkOverlap(size); err != nil {
		return err
	}
	slices.SortFunc(w.members, func(a, b *member) int { return strings.Compare(a.name, b.name) })
	w.noteCase()
	return nil
}

// checkTwice takes a path that the archive holds twice only if both are the same file: readers of zip archives differ in
// which of the two they take.
func (w *Wheel) checkTwice(a, b *member) error {
	if a.size != b.size || a.crc != b.crc {
		return w.fail(a.name, errTwice)
	}
	one, err := a.digest(w.file)
	if err != nil {
		return w.fail(a.name, err)
	}
	two, err := b.digest(w.file)
	if err != nil {
		return w.fail(a.name, err)
	}
	if one != two {
		return w.fail(a.name, errTwice)
	}
	a.executable = a.executable || b.executable
	w.note(finding.WheelRecord, a.name, "the archive holds it twice, with the same content")
	return nil
}

var errTwice = errors.New("the archive holds this path twice, with different content")

// checkFile checks what a zip directory says of a file, whose path is name when it is clean.
func checkFile(f *zip.File, name string) error {
	if err := checkPath(strings.TrimSuffix(name, "/")); err != nil {
		return err
	}
	const isEncrypted = 1<<0 | 1<<6 | 1<<13
	if f.Flags&isEncrypted != 0 {
		return errors.New("it is encrypted")
	}
	switch mode := f.ExternalAttrs >> 16 & 0o170000; {
	case mode != 0 && mode != 0o100000 && mode != 0o040000:
		return fmt.Errorf("it is neither a file nor a directory (mode %o): a wheel cannot hold links or devices", f.ExternalAttrs>>16)
	}
	if f.CompressedSize64 > maxUnpacked || f.UncompressedSize64 > maxUnpacked {
		return fmt.Errorf("a size of %d bytes is not possible", f.UncompressedSize64)
	}
	if strings.HasSuffix(f.Name, "/") {
		if f.UncompressedSize64 != 0 {
			return errors.New("it is a directory with content")
		}
		return nil
	}
	switch f.Method {
	case zip.Store:
		if f.CompressedSize64 != f.UncompressedSize64 {
			return errors.New("it is stored, but its two sizes differ")
		}
	case zip.Deflate:
		if f.UncompressedSize64 > (f.CompressedSize64+1)*deflateRatio {
			return fmt.Errorf("%d bytes cannot come out of %d", f.UncompressedSize64, f.CompressedSize64)
		}
	default:
		return fmt.Errorf("compression method %d is unknown to wheel installers", f.Method)
	}
	return nil
}

// checkPath refuses what leaves the tree, or what another reader could take for another path.
func checkPath(p string) error {
	switch {
	case !utf8.ValidString(p):
		return errors.New("the path is not in UTF-8")
	case !fs.ValidPath(p) || p == ".":
		return errors.New("the path is not a clean, relative one")
	case strings.ContainsRune(p, '\\'):
		return errors.New("the path has a backslash")
	case len(p) > 1 && p[1] == ':':
		return errors.New("the path begins with a drive letter")
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the path has a control character")
	case len(p) > 4096 || slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool { return len(s) > 255 }):
		return errors.New("the path is longer than Linux allows")
	}
	return nil
}

// executable says what pip says: only a regular file of a Unix archive can be one.
func executable(f *zip.File) bool {
	mode := f.ExternalAttrs >> 16
	return mode&0o170000 == 0o100000 && mode&0o111 != 0
}

// checkOverlap refuses files that share packed bytes, which is how a small zip holds petabytes.
func (w *Wheel) checkOverlap(size int64) error {
	byOffset := slices.Clone(w.members)
	slices.SortFunc(byOffset, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.packed, b.packed))
	})
	end := int64(0)
	for _, m := range byOffset {
		if m.offset < end || m.offset+m.packed > size {
			return w.fail(m.name, errors.New("its bytes are shared with another file, or beyond the end"))
		}
		end = m.offset + m.packed
	}
	return nil
}

func (w *Wheel) noteCase() {
	folded := make(map[string]string, len(w.members))
	for _, m := range w.members {
		low := strings.ToLower(m.name)
		if other, ok := folded[low]; ok {
			w.note(finding.WheelNamesByCase, m.name, "its name differs from "+other+" by case only")
		}
		folded[low] = m.name
	}
}

// content returns the member for a layer; its CRC-32, size and RECORD's hash are checked when the layer is measured.
func (m *member) content(r io.ReaderAt) layer.Content {
	return layer.Content{
		Size: m.size, Sum: m.sum, Deflated: m.deflated, Packed: m.packed, CRC: m.crc, HasCRC: true,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, m.offset, m.packed)), nil },
	}
}

// open returns the file's own bytes.
func (m *member) open(r io.ReaderAt) (io.ReadCloser, error) {
	packed := io.NewSectionReader(r, m.offset, m.packed)
	if !m.deflated {
		return io.NopCloser(packed), nil
	}
	return flate.NewReader(packed), nil
}

// read reads the file and checks everything that is known of it.
func (m *member) read(r io.ReaderAt, max int64) ([]byte, error) {
	if m.size > max {
		return nil, fmt.Errorf("it has %d bytes, more than %d", m.size, max)
	}
	f, err := m.open(r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, m.size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != m.size || crc32.ChecksumIEEE(b) != m.crc {
		return nil, errors.New("its size or CRC-32 does not match")
	}
	return b, m.check(b)
}

// check compares the file's bytes with RECORD.
func (m *member) check(b []byte) error {
	if m.sum.Hex == "" {
		return nil
	}
	if got := digest(m.sum.Algorithm, b); got != m.sum.Hex {
		return fmt.Errorf("%s is %s, not %s as RECORD says", m.sum.Algorithm, got, m.sum.Hex)
	}
	return nil
}

// digest reads the whole file, and gives its SHA-256.
func (m *member) digest(r io.ReaderAt) (v1.Hash, error) {
	f, err := m.open(r)
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	sum, crc := sha256.New(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(sum, crc), io.LimitReader(f, m.size+1))
	if err != nil {
		return v1.Hash{}, err
	}
	if n != m.size || crc.Sum32() != m.crc {
		return v1.Hash{}, errors.New("its size or CRC-32 does not match")
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, nil
}

// startsWith says whether the file begins with a prefix, without reading more of it.
func (m *member) startsWith(r io.ReaderAt, prefix string) (bool, error) {
	if m.size < int64(len(prefix)) {
		return false, nil
	}
	f, err := m.open(r)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(prefix))
	if _, err := io.ReadFull(f, head); err != nil {
		return false, err
	}
	return bytes.Equal(head, []byte(prefix)), nil
}
