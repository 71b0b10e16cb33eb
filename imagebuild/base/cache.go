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

// format is the version of what is remembered of a base.
const format = "6"

// The kinds of notes on bases.
const (
	baseMemo = "bases" // a Base, by its digest
	hostMemo = "host"  // the layer.Sum of a layer of this machine's files, by their state
)

// memoKey is what a note depends on.
type memoKey struct {
	Format string // of this package
	Name   string // the image's digest, or the state of the files
}

// InspectOnce is Inspect, remembered by the image's digest. What is remembered and cannot be believed
// is inspected again. Where dir is nil nothing is remembered.
func InspectOnce(ctx context.Context, img v1.Image, dir *cache.Dir) (*Base, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	var known Base
	ok, err := recall(ctx, dir, baseMemo, digest.String(), &known)
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
	return b, remember(ctx, dir, baseMemo, digest.String(), b)
}

// recall reads a note into out and tells whether it was there.
func recall(ctx context.Context, dir *cache.Dir, kind, name string, out any) (bool, error) {
	key, err := cache.NewKey(kind, memoKey{format, name})
	if err != nil {
		return false, err
	}
	n, ok, err := dir.Memos().Get(ctx, key)
	return ok && n.Decode(out), err
}

// remember writes a note. A cache that cannot be written costs time only.
func remember(ctx context.Context, dir *cache.Dir, kind, name string, value any) error {
	key, err := cache.NewKey(kind, memoKey{format, name})
	if err != nil {
		return err
	}
	n, err := cache.NewNote(value)
	if err != nil {
		return err
	}
	return dir.Memos().Put(ctx, key, n)
}

// cachedImage keeps a registry's layers on disk once they were read to the end.
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

// Compressed reads the kept blob if it is whole, else the layer, which is kept then.
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
