package base

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/resolve/cache"
)

// format is the version of the cached values.
const format = "7"

// Memos is the kind of the memos of bases: a Base, by its digest.
const Memos = "bases"

// hostMemo is the kind of the memos of layers of this machine's files: a layer.Sum, by their state.
const hostMemo = "host"

// memoKey is what a memo depends on.
type memoKey struct {
	Format string // of this package
	Name   string // the image's digest, or the state of the files
}

// Memo remembers what was found in bases: cache.Memos is one, in a directory.
type Memo interface {
	Get(ctx context.Context, key cache.Key) (cache.Note, bool, error)
	Put(ctx context.Context, key cache.Key, n cache.Note) error
}

// Remembered returns the key and the value under which a base is remembered. Whoever has the note
// need not fetch the base's layers.
func (b *Base) Remembered() (kind string, of any) { return Memos, memoKey{format, b.Digest} }

// InspectOnce is like Inspect but remembers the result by the image's digest. If a remembered result
// is invalid, the image is inspected again. If m is nil, nothing is remembered.
func InspectOnce(ctx context.Context, img v1.Image, m Memo) (*Base, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	var known Base
	ok, err := recall(ctx, m, Memos, digest.String(), &known)
	if err != nil {
		return nil, err
	}
	if ok && known.Digest == digest.String() {
		return &known, nil
	}
	b, err := Inspect(img)
	if err != nil {
		return nil, err
	}
	return b, remember(ctx, m, Memos, digest.String(), b)
}

// recall reads a memo into out and reports whether it exists.
func recall(ctx context.Context, m Memo, kind, name string, out any) (bool, error) {
	if m == nil {
		return false, nil
	}
	key, err := cache.NewKey(kind, memoKey{format, name})
	if err != nil {
		return false, err
	}
	n, ok, err := m.Get(ctx, key)
	return ok && n.Decode(out), err
}

// remember writes a memo. It is not an error if the cache cannot be written, which only costs time.
func remember(ctx context.Context, m Memo, kind, name string, value any) error {
	if m == nil {
		return nil
	}
	key, err := cache.NewKey(kind, memoKey{format, name})
	if err != nil {
		return err
	}
	n, err := cache.NewNote(value)
	if err != nil {
		return err
	}
	return m.Put(ctx, key, n)
}

// cachedImage is an image from a registry that keeps layers on disk after they have been read
// completely.
type cachedImage struct {
	v1.Image
	blobs *cache.Blobs
}

func (c *cachedImage) Layers() ([]v1.Layer, error) {
	layers, err := c.Image.Layers()
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		kept, err := partial.CompressedToLayer(&cachedLayer{l, c.blobs})
		if err != nil {
			return nil, err
		}
		if m, ok := l.(*remote.MountableLayer); ok {
			kept = &remote.MountableLayer{Layer: kept, Reference: m.Reference}
		}
		layers[i] = kept
	}
	return layers, nil
}

type cachedLayer struct {
	layer v1.Layer
	blobs *cache.Blobs
}

func (c *cachedLayer) Digest() (v1.Hash, error)            { return c.layer.Digest() }
func (c *cachedLayer) DiffID() (v1.Hash, error)            { return c.layer.DiffID() }
func (c *cachedLayer) Size() (int64, error)                { return c.layer.Size() }
func (c *cachedLayer) MediaType() (types.MediaType, error) { return c.layer.MediaType() }

// Compressed returns the blob on disk if it is complete, else the layer, which is then kept.
func (c *cachedLayer) Compressed() (io.ReadCloser, error) {
	digest, err := c.layer.Digest()
	if err != nil {
		return nil, err
	}
	size, err := c.layer.Size()
	if err != nil {
		return nil, err
	}
	if f, ok := c.blobs.Open(digest.Hex, size); ok {
		return f, nil
	}
	r, err := c.layer.Compressed()
	if err != nil {
		return nil, err
	}
	return c.blobs.Keep(digest.Hex, r), nil
}
