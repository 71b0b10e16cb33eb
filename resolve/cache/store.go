package cache

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mlenv/resolve/pattern"
)

const (
	// PagesDir is the directory of the records that go stale.
	PagesDir = "pages"

	filesDir = "files" // files/ab/<sha256>/<file name>
	tempDir  = "tmp"
	saltName = "salt"
)

// magic opens every record; its last byte is the version of the records' frame.
const magic = "mle\x01"

const frame = len(magic) + 4 // magic and CRC-32C

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var hexDigest = pattern.New(`^[0-9a-f]{64}$`)

// A Store is the section of what indexes said and sent: small checksummed records (pages and
// metadata) and whole distributions by their SHA-256. Only the beginning of a large file, which
// another process may go on with, has the same temporary name in all processes; see Resume.
type Store struct {
	dir  *Dir
	root string // the directory of the section
}

// Read gives the content of a record. The key is a slash-separated relative path. A record that
// is absent, damaged or of another frame gives an error that is fs.ErrNotExist.
func (s *Store) Read(key string) ([]byte, error) {
	path, err := s.record(key)
	if err != nil {
		return nil, err
	}
	data, _, err := s.dir.read(path)
	if err != nil {
		return nil, err
	}
	if len(data) < frame || string(data[:len(magic)]) != magic ||
		binary.LittleEndian.Uint32(data[len(magic):]) != crc32.Checksum(data[frame:], castagnoli) {
		return nil, fmt.Errorf("reading cache record %s: damaged: %w", key, fs.ErrNotExist)
	}
	return data[frame:], nil
}

// Write replaces the content of a record by some parts, one after the other.
func (s *Store) Write(key string, parts ...[]byte) error {
	path, err := s.record(key)
	if err != nil {
		return err
	}
	t, err := s.dir.create(path)
	if err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	defer t.discard()
	sum := uint32(0)
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	head := binary.LittleEndian.AppendUint32([]byte(magic), sum)
	for _, p := range slices.Insert(parts, 0, head) {
		if _, err := t.Write(p); err != nil {
			return err
		}
	}
	if err := t.commit(path); err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	return nil
}

// Remove removes a record; one that is absent is no error.
func (s *Store) Remove(key string) error {
	path, err := s.record(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// saltSize is that of an HMAC-SHA-256 key.
const saltSize = 32

// Salt gives 32 random bytes that are this cache's own, for keys that must not tell what they are made
// of. They are made when first asked for, in a file that only the user can read. Of two processes that
// make them at once one loses what it writes meanwhile.
func (s *Store) Salt() ([]byte, error) {
	path := filepath.Join(s.root, saltName)
	if data, _, err := s.dir.read(path); err == nil && len(data) == saltSize {
		return data, nil
	}
	s.dir.mark()
	t, err := createTemp(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing to the cache: %w", err)
	}
	defer t.discard()
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	if _, err := t.Write(salt); err != nil {
		return nil, fmt.Errorf("writing to the cache: %w", err)
	}
	if err := t.commit(path); err != nil {
		return nil, fmt.Errorf("writing to the cache: %w", err)
	}
	return salt, nil
}

func (s *Store) record(key string) (string, error) {
	if !fs.ValidPath(key) {
		return "", fmt.Errorf("cache key %q is no relative path", key)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// File gives the path of the distribution with that SHA-256 (in hexadecimal), after reading it
// whole and comparing. A file that no longer has its hash is removed. Absent or damaged gives
// fs.ErrNotExist.
//
// The hash is taken on every call: at well over 1 GB/s it costs less than whatever is about to be
// done with the file, and no note of "verified before" can go stale.
func (s *Store) File(sha, filename string) (string, error) {
	path, err := s.filePath(sha, filename)
	if err != nil {
		return "", err
	}
	f, err := s.dir.openWhole(path, sha)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// openWhole opens a file of the cache at its beginning, after reading it whole and comparing its
// SHA-256. One that no longer has it is removed and is absent.
func (d *Dir) openWhole(name, sha string) (f *os.File, err error) {
	if f, err = os.Open(name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<18)); err != nil {
		return nil, fmt.Errorf("reading cached %s: %w", filepath.Base(name), err)
	}
	if hex.EncodeToString(h.Sum(nil)) != sha {
		os.Remove(name)
		return nil, fmt.Errorf("cached %s is damaged: %w", filepath.Base(name), fs.ErrNotExist)
	}
	d.used(name, info)
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

func (s *Store) filePath(sha, filename string) (string, error) {
	if !hexDigest.MatchString(sha) {
		return "", fmt.Errorf("%q is no hexadecimal SHA-256: %w", sha, fs.ErrNotExist)
	}
	if filename == "" || filename != filepath.Base(filename) || filename[0] == '.' {
		return "", fmt.Errorf("%q is no file name", filename)
	}
	return filepath.Join(s.root, filesDir, sha[:2], sha, filename), nil
}

// A Temp is a distribution that is being written and that nobody else sees.
type Temp struct {
	*temp
	store *Store
	note  string // the key of the note on a file of Resume; "" for one of Create
}

// Create opens a new temporary file. The caller ends it by Keep or Discard.
func (s *Store) Create() (*Temp, error) {
	t, err := s.dir.create(filepath.Join(s.root, tempDir, "download"))
	if err != nil {
		return nil, fmt.Errorf("writing to the cache: %w", err)
	}
	return &Temp{temp: t, store: s}, nil
}

// Keep closes the temporary file and makes it the distribution with that SHA-256, which the
// caller has computed from what it wrote. It gives the path.
func (t *Temp) Keep(sha, filename string) (string, error) {
	path, err := t.store.filePath(sha, filename)
	if err != nil {
		t.Discard()
		return "", err
	}
	if err := t.commit(path); err != nil {
		t.Discard()
		return "", fmt.Errorf("writing to the cache: %w", err)
	}
	t.forget()
	return path, nil
}

// Discard closes and removes the temporary file. After Keep or Leave it does nothing.
func (t *Temp) Discard() {
	if !t.over {
		t.discard()
		t.forget()
	}
}
