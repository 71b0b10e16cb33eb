package model

import (
	"errors"
	"io/fs"
)

// regularFS opens regular files and directories alone. Opening a named pipe would wait for a
// writer that may never come.
type regularFS struct{ fs.FS }

var errNotRegular = errors.New("is not a regular file")

func (f regularFS) Open(name string) (fs.File, error) {
	if info, err := fs.Stat(f.FS, name); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	return f.FS.Open(name)
}

func (f regularFS) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(f.FS, name) }
func (f regularFS) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(f.FS, name) }
func (f regularFS) ReadLink(name string) (string, error)       { return fs.ReadLink(f.FS, name) }
func (f regularFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(f.FS, name) }
