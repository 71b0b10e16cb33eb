// Package sink sends an image to where it is wanted: a registry, an OCI layout, a tarball, the
// daemon of a container engine. Whatever happens on the way, no sink shows a partial image under
// its name: registries get the tag last, files and directories are renamed when they are whole.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Artifact is what is sent: the image of one platform, or the index of several.
type Artifact struct {
	Image v1.Image // nil: Index
	Index v1.ImageIndex

	// Progress, where not nil, is told how sending comes along, by several goroutines.
	Progress func(Step)
}

// Digest of the manifest or index.
func (a Artifact) Digest() (v1.Hash, error) {
	if a.Image != nil {
		return a.Image.Digest()
	}
	return a.Index.Digest()
}

// Sent tells what a sink did.
type Sent struct {
	Reference string `json:"reference"` // with the digest, as far as the kind of sink knows digests
	Bytes     int64  `json:"bytes"`     // of content sent or written
}

// Sink is a place that an artifact can be sent to.
type Sink struct {
	Name string // for messages and progress: "registry.example.com/churn:1"
	// Once says that what was sent can neither be taken back nor sent again: a pipe or a device.
	Once bool
	// Check, where not nil, finds out whether the sink can be sent to, leaving nothing behind: what
	// makes the push of gigabytes fail is better known before they are made. Once it has succeeded,
	// it asks no more.
	Check func(ctx context.Context) error
	// Send sends an artifact. When the context ends meanwhile, the error is the context's.
	Send func(ctx context.Context, a Artifact) (Sent, error)
}

// cancellable returns a sink whose error is the context's once the context is done, whatever broke.
// A connection that the other side closes in the same moment, a pipe that nobody reads any more and
// a body that ends early are seen as io.EOF and the like, and would be taken for faults of theirs.
// A context that is done from the start keeps the sink from making so much as a directory.
func cancellable(name string, send func(ctx context.Context, a Artifact) (Sent, error)) Sink {
	return Sink{Name: name, Send: func(ctx context.Context, a Artifact) (sent Sent, err error) {
		if ctx.Err() == nil {
			sent, err = send(ctx, a)
			if err == nil || ctx.Err() == nil {
				return sent, err
			}
		}
		return Sent{}, fmt.Errorf("sending the image: %w", ctx.Err())
	}}
}

// ErrOnePlatform says that a kind of sink cannot hold an index.
var ErrOnePlatform = errors.New("it holds the image of one platform only")

// blob is one file of an OCI layout.
type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
	layer  v1.Layer // nil: it is none

	manifest bool
}

// manifestOf is what images and indexes have in common.
type manifestOf interface {
	Digest() (v1.Hash, error)
	Size() (int64, error)
	MediaType() (types.MediaType, error)
	RawManifest() ([]byte, error)
}

// blobs lists the blobs of an artifact, each once, content before what names it, and gives the
// artifact's own descriptor.
func (a Artifact) blobs() ([]blob, v1.Descriptor, error) {
	c := &collector{seen: map[v1.Hash]bool{}}
	if a.Image != nil {
		d, err := c.image(a.Image)
		return c.list, d, err
	}
	d, err := c.index(a.Index)
	return c.list, d, err
}

type collector struct {
	list []blob
	seen map[v1.Hash]bool
}

func (c *collector) add(b blob) {
	if !c.seen[b.digest] {
		c.seen[b.digest] = true
		c.list = append(c.list, b)
	}
}

func blobOf(digest v1.Hash, data []byte) blob {
	return blob{digest: digest, size: int64(len(data)), open: func() (io.ReadCloser, error) { return io.NopCloser(newReader(data)), nil }}
}

func (c *collector) image(img v1.Image) (v1.Descriptor, error) {
	layers, err := img.Layers()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return v1.Descriptor{}, err
		}
		size, err := l.Size()
		if err != nil {
			return v1.Descriptor{}, err
		}
		c.add(blob{digest: digest, size: size, open: l.Compressed, layer: l})
	}
	name, err := img.ConfigName()
	if err != nil {
		return v1.Descriptor{}, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	c.add(blobOf(name, config))
	return c.manifest(img)
}

func (c *collector) index(idx v1.ImageIndex) (v1.Descriptor, error) {
	m, err := idx.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsImage():
			img, err := idx.Image(d.Digest)
			if err != nil {
				return v1.Descriptor{}, err
			}
			if _, err := c.image(img); err != nil {
				return v1.Descriptor{}, err
			}
		case d.MediaType.IsIndex():
			child, err := idx.ImageIndex(d.Digest)
			if err != nil {
				return v1.Descriptor{}, err
			}
			if _, err := c.index(child); err != nil {
				return v1.Descriptor{}, err
			}
		default:
			return v1.Descriptor{}, fmt.Errorf("an index that names a %s", d.MediaType)
		}
	}
	return c.manifest(idx)
}

func (c *collector) manifest(m manifestOf) (v1.Descriptor, error) {
	raw, err := m.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := m.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	t, err := m.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	b := blobOf(digest, raw)
	b.manifest = true
	c.add(b)
	return v1.Descriptor{MediaType: t, Size: int64(len(raw)), Digest: digest}, nil
}
