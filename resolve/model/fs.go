package model

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Files returns the files in fsys that are part of a model, or of code that belongs to it. It
// leaves out what Python compiles by itself, which appears when somebody tries the model and must
// not change a digest or an image: directories named __pycache__, and .pyc files next to their
// source. A .pyc file without its source is a module and is kept.
//
// Symbolic links within fsys look like the files they lead to, in listings too. Others cannot be
// opened; the error is a *LinkError. The internal entries of volumes mounted by Kubernetes (..data)
// are left out.
//
// Only regular files and directories can be opened: opening a named pipe would wait for a writer
// that may never come. Other files are listed, so that whoever walks the tree can reject them.
// Files(nil) is nil.
func Files(fsys fs.FS) fs.FS {
	if _, ok := fsys.(filesFS); ok || fsys == nil {
		return fsys
	}
	return filesFS{FS: fsys}
}

// filesFS is the file system of Files.
type filesFS struct {
	fs.FS
	dirs    []string // the absolute paths of its root, slash-separated; targets of links may start with them
	hideBad bool     // do not list links that cannot be followed
}

var (
	errNotRegular   = errors.New("is not a regular file")
	errNotDirectory = errors.New("is not a directory")
)

func (f filesFS) Open(name string) (fs.File, error) {
	if err := f.check("open", name); err != nil {
		return nil, err
	}
	real, err := f.real("open", name)
	if err != nil {
		return nil, err
	}
	if info, err := fs.Stat(f.FS, real); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	file, err := f.FS.Open(real)
	if dir, ok := file.(fs.ReadDirFile); ok && err == nil {
		return &directory{ReadDirFile: dir, fsys: f, name: name}, nil
	}
	return file, err
}

func (f filesFS) Stat(name string) (fs.FileInfo, error) {
	if err := f.check("stat", name); err != nil {
		return nil, err
	}
	real, err := f.real("stat", name)
	if err != nil {
		return nil, err
	}
	return fs.Stat(f.FS, real)
}

// real is like follow, but rejects a link to a directory that contains the link.
func (f filesFS) real(op, name string) (string, error) {
	real, err := f.follow(name)
	if err == nil && real != name {
		if info, e := fs.Stat(f.FS, real); e == nil && info.IsDir() {
			err = f.checkCircle(name, real)
		}
	}
	if err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return real, nil
}

func (f filesFS) Lstat(name string) (fs.FileInfo, error) {
	if err := f.check("lstat", name); err != nil {
		return nil, err
	}
	return fs.Lstat(f.FS, name)
}

func (f filesFS) ReadLink(name string) (string, error) {
	if err := f.check("readlink", name); err != nil {
		return "", err
	}
	return fs.ReadLink(f.FS, name)
}

func (f filesFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.check("readdir", name); err != nil {
		return nil, err
	}
	real, err := f.real("readdir", name)
	if err != nil {
		return nil, err
	}
	// To read a directory is to open it, and that waits where it is a named pipe.
	if info, err := fs.Stat(f.FS, real); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDirectory}
	}
	entries, err := fs.ReadDir(f.FS, real)
	return f.dropIgnored(name, entries), err
}

// dropIgnored removes the entries of a directory that are not part of the model.
func (f filesFS) dropIgnored(dir string, entries []fs.DirEntry) []fs.DirEntry {
	return slices.DeleteFunc(f.resolveLinks(dir, entries), func(e fs.DirEntry) bool {
		return e.IsDir() && e.Name() == pycache || !e.IsDir() && f.compiled(path.Join(dir, e.Name()))
	})
}

const pycache = "__pycache__"

// check returns fs.ErrNotExist for files that are not part of the model.
func (f filesFS) check(op, name string) error {
	hidden := f.compiled(name)
	if strings.Contains(name, pycache) {
		for at := name; at != "." && at != "/" && !hidden; at = path.Dir(at) {
			if path.Base(at) == pycache {
				info, err := fs.Lstat(f.FS, at)
				hidden = err == nil && info.IsDir()
			}
		}
	}
	if hidden {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return nil
}

// compiled reports whether a file is a .pyc next to its source. Python ignores such files.
func (f filesFS) compiled(name string) bool {
	if path.Ext(name) != ".pyc" {
		return false
	}
	_, err := fs.Stat(f.FS, strings.TrimSuffix(name, "c"))
	return err == nil
}

// directory is an open directory that lists only files that are part of the model.
type directory struct {
	fs.ReadDirFile
	fsys filesFS
	name string
}

func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.ReadDirFile.ReadDir(n)
	for n > 0 && err == nil {
		if entries = d.fsys.dropIgnored(d.name, entries); len(entries) > 0 {
			return entries, nil
		}
		entries, err = d.ReadDirFile.ReadDir(n) // all entries were left out, but io.EOF was not reached
	}
	return d.fsys.dropIgnored(d.name, entries), err
}
