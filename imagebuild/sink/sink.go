// Package sink sends images to their destination: a registry, an OCI layout, a tarball, or the
// daemon of a container engine. Whatever goes wrong, no sink leaves a partial image under its name:
// registries get the tag last, and files and directories are renamed when they are complete.
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
	Image v1.Image // nil if Index is set
	Index v1.ImageIndex

	// Progress, if not nil, is called with the progress of sending. It is called from several
	// goroutines.
	Progress func(Step)
}

// Digest returns the digest of the manifest or index.
func (a Artifact) Digest() (v1.Hash, error) {
	if a.Image != nil {
		return a.Image.Digest()
	}
	return a.Index.Digest()
}

// Sent is the result of sending.
type Sent struct {
	Reference string `json:"reference"` // with the digest, if the kind of sink has digests
	Bytes     int64  `json:"bytes"`     // of content sent or written
	Unmounted int64  `json:"unmounted"` // bytes of blobs that the registry did not mount from a repository that should have them
}

// Sink is a destination for artifacts.
type Sink struct {
	Name string // for messages and progress: "registry.example.com/churn:1"
	// Once means that what was sent can neither be replaced nor sent again, as with a pipe or a
	// device.
	Once bool
	// Check, if not nil, finds out whether the sink accepts images, without leaving anything
	// behind. It is better to know this before gigabytes are built. After it has succeeded once, it
	// does nothing.
	Check func(ctx context.Context) error
	// Send sends an artifact. If the context is done meanwhile, it returns the context's error.
	Send func(ctx context.Context, a Artifact) (Sent, error)
}

// cancellable returns a sink that returns the context's error once the context is done, whatever
// the actual error is. Canceling also breaks connections, pipes and request bodies, and errors such
// as io.EOF would be mistaken for their fault. If the context is done from the start, the sink does
// nothing at all.
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

// ErrOnePlatform reports that a kind of sink cannot hold an index.
var ErrOnePlatform = errors.New("it holds the image of one platform only")

// blob is one file of an OCI layout.
type blob struct {
	digest v1.Hash
	size   int64
	open   func() (io.ReadCloser, error)
	layer  v1.Layer // nil if the blob is not a layer

	manifest bool
}

// manifestOf is the methods that images and indexes have in common.
type manifestOf interface {
	Digest() (v1.Hash, error)
	Size() (int64, error)
	MediaType() (types.MediaType, error)
	RawManifest() ([]byte, error)
}

// blobs returns the blobs of an artifact without duplicates, with each blob before those that refer
// to it, and the descriptor of the artifact.
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

func layerBlob(l v1.Layer) (blob, error) {
	digest, err := l.Digest()
	if err != nil {
		return blob{}, err
	}
	size, err := l.Size()
	return blob{digest: digest, size: size, open: l.Compressed, layer: l}, err
}

func (c *collector) image(img v1.Image) (v1.Descriptor, error) {
	layers, err := img.Layers()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, l := range layers {
		b, err := layerBlob(l)
		if err != nil {
			return v1.Descriptor{}, err
		}
		c.add(b)
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
