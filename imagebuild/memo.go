package imagebuild

import (
	"context"
	"time"

	"mlenv/resolve/cache"
)

// Memo remembers what was found out of what an image is made of: cache.Memos is one, in a directory.
// A build is the same with or without it, and with one that has forgotten everything.
//
// Nobody vouches for a note: see the package comment of cache for what a wrong one can do.
type Memo interface {
	// Get gives the note of a key, and tells whether there is one. An error ends the build, so what
	// merely cannot be reached or read is not there.
	Get(ctx context.Context, key cache.Key) (cache.Note, bool, error)
	// Put remembers a note in the place of any other of the same key. An error ends the build, so
	// that a note cannot be kept is none.
	Put(ctx context.Context, key cache.Key, n cache.Note) error
}

// The kinds of notes that a build gives to its Memo.
const (
	LayersMemo   = "layers"   // the digests and sizes of the layers of a part
	UnionsMemo   = "unions"   // that wheels go together
	OutlinesMemo = "outlines" // the paths of a wheel, as hashes
	SizesMemo    = "sizes"    // the size of a wheel's file
	FilesMemo    = "files"    // the SHA-256 of a file of this machine: of no use on another
)

// recall reads into out what is remembered, and tells whether there was something and when it was
// written. Where nothing is to be believed there is nothing.
func (w *work) recall(ctx context.Context, kind string, of, out any) (time.Time, bool, error) {
	if w.Memo == nil || w.Fresh {
		return time.Time{}, false, nil
	}
	key, err := cache.NewKey(kind, of)
	if err != nil {
		return time.Time{}, false, err
	}
	n, ok, err := w.Memo.Get(ctx, key)
	return n.Written, ok && n.Decode(out), err
}

// remember keeps a value for the next build.
func (w *work) remember(ctx context.Context, kind string, of, value any) error {
	if w.Memo == nil {
		return nil
	}
	key, err := cache.NewKey(kind, of)
	if err != nil {
		return err
	}
	n, err := cache.NewNote(value)
	if err != nil {
		return err
	}
	return w.Memo.Put(ctx, key, n)
}
