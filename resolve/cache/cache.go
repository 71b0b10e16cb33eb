// Package cache keeps on disk what an index said and sent: small checksummed records (pages and
// metadata) and whole distributions addressed by their SHA-256.
//
// Nothing is ever written in place. A record or a file is written under a temporary name in the
// same file system and then renamed, so any number of processes may share a cache, and a process
// killed at any point leaves at most a temporary file behind. Only the beginning of a large file,
// which another process may go on with, is locked. What is read is verified: a record by its
// CRC-32C, a distribution by its SHA-256. What fails is treated as absent, and the next writer
// replaces it.
package cache

import (
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
	"regexp"
	"strings"
)

// Format names the directory of the current layout below the cache's directory. Another layout
// gets another name, and Prune removes the old one.
const Format = "index-v1"

const (
	filesDir = "files" // files/ab/<sha256>/<file name>
	tempDir  = "tmp"
)

// magic opens every record; its last byte is the version of the records' frame.
const magic = "mle\x01"

const frame = len(magic) + 4 // magic and CRC-32C

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// A Store is one cache directory. It may be used by many goroutines and processes at once.
type Store struct {
	root string // the directory of the current format
	tag  string // CACHEDIR.TAG
}

// New gives the store in dir, which need not exist: it is made by the first write.
func New(dir string) *Store {
	return &Store{root: filepath.Join(dir, Format), tag: filepath.Join(dir, "CACHEDIR.TAG")}
}

// Read gives the content of a record. The key is a slash-separated relative path. A record that
// is absent, damaged or of another frame gives an error that is fs.ErrNotExist.
func (s *Store) Read(key string) ([]byte, error) {
	path, err := s.record(key)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) < frame || string(data[:len(magic)]) != magic ||
		binary.LittleEndian.Uint32(data[len(magic):]) != crc32.Checksum(data[frame:], castagnoli) {
		return nil, fmt.Errorf("reading cache record %s: damaged: %w", key, fs.ErrNotExist)
	}
	return data[frame:], nil
}

// Write replaces the content of a record.
func (s *Store) Write(key string, data []byte) error {
	path, err := s.record(key)
	if err != nil {
		return err
	}
	t, err := s.Create()
	if err != nil {
		return err
	}
	defer t.Discard()
	var head [frame]byte
	copy(head[:], magic)
	binary.LittleEndian.PutUint32(head[len(magic):], crc32.Checksum(data, castagnoli))
	if _, err := t.Write(head[:]); err != nil {
		return err
	}
	if _, err := t.Write(data); err != nil {
		return err
	}
	return t.rename(path)
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
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, f, make([]byte, 1<<18)); err != nil {
		return "", fmt.Errorf("reading cached %s: %w", filename, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != sha {
		os.Remove(path)
		return "", fmt.Errorf("cached %s is damaged: %w", filename, fs.ErrNotExist)
	}
	return path, nil
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

// A Temp is a file that is being written and that nobody else sees.
type Temp struct {
	*os.File
	store *Store
	over  bool     // it was ended
	held  *os.File // what locks a file of Resume; nil for one of Create
	note  string   // the key of the note on a file of Resume
}

// Create opens a new temporary file. The caller ends it by Keep or Discard.
func (s *Store) Create() (*Temp, error) {
	f, err := s.openTemp(func(dir string) (*os.File, error) { return os.CreateTemp(dir, "w-*") })
	if err != nil {
		return nil, err
	}
	return &Temp{File: f, store: s}, nil
}

// openTemp opens a file in the directory of temporary files, which it makes if need be.
func (s *Store) openTemp(open func(dir string) (*os.File, error)) (*os.File, error) {
	dir := filepath.Join(s.root, tempDir)
	s.mark()
	f, err := open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the cache directory: %w", err)
		}
		f, err = open(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("writing to the cache: %w", err)
	}
	return f, nil
}

// tag tells backup programs to leave the directory out (bford.info/cachedir).
const tag = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is mlenv's cache.\n"

// mark puts the tag into the cache's directory. One that is cut short, as a full disk leaves it, is
// written again. Where that fails nothing is lost, and what follows tells why.
func (s *Store) mark() {
	info, err := os.Stat(s.tag)
	if err == nil && info.Size() > int64(strings.IndexByte(tag, '\n')) {
		return
	}
	if os.MkdirAll(filepath.Dir(s.tag), 0o755) == nil {
		os.WriteFile(s.tag, []byte(tag), 0o644)
	}
}

// Keep closes the temporary file and makes it the distribution with that SHA-256, which the
// caller has computed from what it wrote. It gives the path.
func (t *Temp) Keep(sha, filename string) (string, error) {
	path, err := t.store.filePath(sha, filename)
	if err != nil {
		t.Discard()
		return "", err
	}
	if err := t.rename(path); err != nil {
		t.Discard()
		return "", err
	}
	return path, nil
}

// Discard closes and removes the temporary file. After Keep or Leave it does nothing.
func (t *Temp) Discard() {
	if t.over {
		return
	}
	t.over = true
	t.Close()
	os.Remove(t.Name())
	t.unlock()
}

// unlock lets go of a file of Resume whose name is no longer in use.
func (t *Temp) unlock() {
	if t.held != nil {
		t.store.Remove(t.note)
		t.held.Close()
	}
}

func (t *Temp) rename(path string) error {
	if err := t.Chmod(0o644); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	err := os.Rename(t.Name(), path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making a cache directory: %w", err)
		}
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing to the cache: %w", err)
	}
	t.over = true
	t.unlock()
	return nil
}
