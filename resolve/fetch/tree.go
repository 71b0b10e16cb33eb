package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is the file system of a model that a Store keeps. What is in it was listed once, at the
// beginning; the bytes of a file are fetched when it is first opened.
type tree struct {
	ctx   context.Context // of everything that is fetched: fs.FS has no place for one
	files map[string]File
	dirs  map[string][]string // the names in each directory, sorted
	extra map[string][]byte   // small files that are not the store's
	spool *spool
}

// newTree lists a store.
func newTree(ctx context.Context, s Store, extra map[string][]byte, sp *spool) (*tree, error) {
	l := newListing()
	if err := s.List(ctx, l.add); err != nil {
		return nil, err
	}
	if len(l.files) == 0 {
		return nil, &Error{Kind: Empty, Msg: "there are no files"}
	}
	for name, data := range extra {
		if known, ok := l.files[name]; ok && known.Dir {
			return nil, badListing("lists the directory %q, where MLflow puts a file", name)
		}
		l.files[name] = File{Path: name, Size: int64(len(data))}
	}
	t := &tree{ctx: ctx, files: l.files, dirs: map[string][]string{".": nil}, extra: extra, spool: sp}
	for name, f := range l.files {
		if f.Dir {
			t.dirs[name] = append(t.dirs[name], []string{}...)
		}
		t.dirs[path.Dir(name)] = append(t.dirs[path.Dir(name)], name)
	}
	for _, names := range t.dirs {
		slices.Sort(names)
	}
	return t, nil
}

// paths are the files, without directories, sorted.
func (t *tree) paths() []string {
	var out []string
	for name, f := range t.files {
		if !f.Dir {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Open implements fs.FS.
func (t *tree) Open(name string) (fs.File, error) {
	info, err := t.stat("open", name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := t.ReadDir(name)
		return &openDir{info: info, entries: entries}, err
	}
	if data, ok := t.extra[name]; ok {
		return &openFile{info: info, ReadCloser: io.NopCloser(strings.NewReader(string(data)))}, nil
	}
	f, err := t.spool.open(t.ctx, t.files[name])
	if err != nil {
		return nil, err
	}
	return &openFile{info: info, ReadCloser: f}, nil
}

// Stat implements fs.StatFS.
func (t *tree) Stat(name string) (fs.FileInfo, error) { return t.stat("stat", name) }

func (t *tree) stat(op, name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return fileInfo{File{Path: ".", Dir: true}}, nil
	}
	f, ok := t.files[name]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if !f.Dir && f.Size < 0 { // only the file itself can tell
		var err error
		if f.Size, err = t.spool.size(t.ctx, f); err != nil {
			return nil, err
		}
	}
	return fileInfo{f}, nil
}

// ReadDir implements fs.ReadDirFS.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	names, ok := t.dirs[name]
	if !ok {
		err := fs.ErrNotExist
		if _, file := t.files[name]; file {
			err = errors.New("not a directory")
		}
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []fs.DirEntry
	for _, n := range names {
		out = append(out, dirEntry{t, t.files[n]})
	}
	return out, nil
}

// fileInfo describes a file as an artifact store has it: there are no modes and no links there, and what
// MLflow downloads can be read by all and run by nobody.
type fileInfo struct{ f File }

func (i fileInfo) Name() string       { return path.Base(i.f.Path) }
func (i fileInfo) Size() int64        { return i.f.Size }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.f.Dir }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) Mode() fs.FileMode {
	if i.f.Dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// dirEntry is a file in a listing, whose size may have to be asked for.
type dirEntry struct {
	t *tree
	f File
}

func (e dirEntry) Name() string               { return path.Base(e.f.Path) }
func (e dirEntry) IsDir() bool                { return e.f.Dir }
func (e dirEntry) Type() fs.FileMode          { return fileInfo{e.f}.Mode().Type() }
func (e dirEntry) Info() (fs.FileInfo, error) { return e.t.Stat(e.f.Path) }

// openFile is an open file.
type openFile struct {
	io.ReadCloser
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// openDir is an open directory.
type openDir struct {
	info    fs.FileInfo
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.Name(), Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		out := d.entries
		d.entries = nil
		return out, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	out := d.entries[:n]
	d.entries = d.entries[n:]
	return out, nil
}
