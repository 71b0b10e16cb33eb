package model

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// extraFS is a directory with small files beside those that are in it, which hide what is there under
// their names. They lie at its root.
type extraFS struct {
	fs.FS
	extra map[string][]byte
}

// Open implements fs.FS.
func (f extraFS) Open(name string) (fs.File, error) {
	if data, ok := f.extra[name]; ok {
		return &extraFile{Reader: bytes.NewReader(data), info: extraInfo{name, int64(len(data))}}, nil
	}
	return f.FS.Open(name)
}

// Stat implements fs.StatFS.
func (f extraFS) Stat(name string) (fs.FileInfo, error) {
	if data, ok := f.extra[name]; ok {
		return extraInfo{name, int64(len(data))}, nil
	}
	return fs.Stat(f.FS, name)
}

// Lstat implements fs.ReadLinkFS.
func (f extraFS) Lstat(name string) (fs.FileInfo, error) {
	if _, ok := f.extra[name]; ok {
		return f.Stat(name)
	}
	return fs.Lstat(f.FS, name)
}

// ReadLink implements fs.ReadLinkFS.
func (f extraFS) ReadLink(name string) (string, error) {
	if _, ok := f.extra[name]; ok {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return fs.ReadLink(f.FS, name)
}

// ReadDir implements fs.ReadDirFS.
func (f extraFS) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(f.FS, name)
	if name != "." || err != nil {
		return entries, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { _, ok := f.extra[e.Name()]; return ok })
	for extra, data := range f.extra {
		entries = append(entries, fs.FileInfoToDirEntry(extraInfo{extra, int64(len(data))}))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// extraFile is an extra file that is open.
type extraFile struct {
	*bytes.Reader
	info extraInfo
}

func (f *extraFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *extraFile) Close() error               { return nil }

// extraInfo describes an extra file.
type extraInfo struct {
	name string
	size int64
}

func (i extraInfo) Name() string       { return path.Base(i.name) }
func (i extraInfo) Size() int64        { return i.size }
func (i extraInfo) Mode() fs.FileMode  { return 0o644 }
func (i extraInfo) ModTime() time.Time { return time.Time{} }
func (i extraInfo) IsDir() bool        { return false }
func (i extraInfo) Sys() any           { return nil }
