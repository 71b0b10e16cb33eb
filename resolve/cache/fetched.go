package cache

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Fetched are files of models that were fetched, by their SHA-256, and notes by which they are found. The files of
// all models together are bounded: those that were used longest ago give way.
type Fetched struct {
	blobs *Blobs
	memos *Memos
	most  int64

	mu    sync.Mutex
	total int64 // bytes of the files; -1: not counted yet
}

// maxFetched is how many bytes of files are kept: some models of a few gigabytes, and no more of a disk than caches of
// package managers take.
const maxFetched = 16 << 30

// Fetched is the section of files of models. It is nil if nothing is remembered.
func (d *Dir) Fetched() *Fetched {
	if d == nil {
		return nil
	}
	return &Fetched{blobs: &Blobs{dir: d, root: filepath.Join(d.path, FetchedFormat)}, memos: d.Memos(), most: maxFetched, total: -1}
}

// fetchedNote is what a key stands for.
type fetchedNote struct {
	SHA  string `json:"sha256"`
	Note string `json:"note,omitempty"`
}

// fetchedKey is the memo's key of one that a caller has made.
func fetchedKey(key string) (Key, error) { return NewKey("fetched", key) }

// Find gives the SHA-256 of the file that was kept under a key, and the note that was left there.
func (f *Fetched) Find(ctx context.Context, key string) (sha, note string, ok bool) {
	if f == nil {
		return "", "", false
	}
	k, err := fetchedKey(key)
	if err != nil {
		return "", "", false
	}
	n, ok, err := f.memos.Get(ctx, k)
	var v fetchedNote
	if err != nil || !ok || !n.Decode(&v) {
		return "", "", false
	}
	return v.SHA, v.Note, true
}

// Open opens a file, after reading it whole and comparing its SHA-256, and tells whether there is one of that size. The
// file must not be written to.
func (f *Fetched) Open(sha string, size int64) (*os.File, bool) {
	if f == nil {
		return nil, false
	}
	return f.blobs.Open(sha, size)
}

// Keep keeps the file at a path, whose SHA-256 the caller has computed, and leaves a note under each of the keys. The
// file is not copied: it is the same one under another name, and must not be written to any more. That it cannot
// be kept is no error.
func (f *Fetched) Keep(ctx context.Context, path, sha string, notes map[string]string) {
	if f == nil || !hexDigest.MatchString(sha) {
		return
	}
	info, err := os.Stat(path)
	if err != nil || !f.room(info.Size()) {
		return
	}
	name := f.blobs.file(sha)
	if os.MkdirAll(filepath.Dir(name), 0o755) != nil {
		return
	}
	if err := os.Link(path, name); err != nil && !os.IsExist(err) {
		return
	}
	f.blobs.dir.used(name, info)
	for key, note := range notes {
		k, err := fetchedKey(key)
		if err != nil {
			continue
		}
		if n, err := NewNote(fetchedNote{sha, note}); err == nil {
			_ = f.memos.Put(ctx, k, n) // whose only error is that of a key
		}
	}
}

// room makes room for so many bytes, and reports whether there can be.
func (f *Fetched) room(size int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if size > f.most {
		return false
	}
	if f.total += size; f.total >= size && f.total <= f.most {
		return true
	}
	type file struct {
		name string
		size int64
		used time.Time
	}
	var files []file
	f.total = size
	err := filepath.WalkDir(f.blobs.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !hexDigest.MatchString(d.Name()) {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err == nil {
			f.total += info.Size()
			files = append(files, file{name, info.Size(), lastUse(info)})
		}
		return ignoreMissing(err)
	})
	if err != nil {
		f.total = -1
		return false
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, old := range files {
		if f.total <= f.most {
			break
		}
		if os.Remove(old.name) == nil {
			f.total -= old.size
		}
	}
	return f.total <= f.most
}
