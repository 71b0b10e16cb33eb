package base

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/image"
	"mlenv/resolve/cache"
	"mlenv/resolve/pep440"
)

// Options is where bases come from.
type Options struct {
	Remote   image.Remote
	Cache    *cache.Dir     // for layers, and what was found in them; may be nil
	Memo     Memo           // for what was found, instead of the cache; may be nil
	HostDirs []string       // where FindHost looks for "host"
	Python   pep440.Version // the version that "host" should have, 3.11.7 or 3.11
}

// memo returns where results are remembered.
func (o Options) memo() Memo {
	if o.Memo != nil {
		return o.Memo
	}
	return o.Cache.Memos()
}

// Source is a base image that has been opened.
type Source struct {
	Image  v1.Image
	Name   string // full reference; "" if others cannot pull it, as for files and for the machine's own Python
	Digest string // of what the reference refers to, which may be an index, "sha256:…"; else of the image
}

// Open opens the base image for one platform. ref is a registry's reference, "oci:DIR" or
// "oci-tar:FILE" with ":NAME" or "@sha256:…" if the layout has several images, "docker-tar:FILE",
// or "host" for this machine's own Python. Layers are fetched when they are read. If the image is
// for another platform, as an image that is not in an index may be, the error is a
// *WrongPlatformError.
func Open(ctx context.Context, ref string, p v1.Platform, o Options) (*Source, error) {
	source, err := o.open(ctx, ref, p)
	if err != nil {
		return nil, err
	}
	config, err := source.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the base's configuration: %w", err)
	}
	if config.Architecture == "" {
		return source, nil // Inspect checks the interpreter itself
	}
	have := Base{OS: config.OS, Arch: config.Architecture, Variant: config.Variant}
	return source, have.IsFor(p)
}

func (o Options) open(ctx context.Context, ref string, p v1.Platform) (*Source, error) {
	if ref == "host" {
		return o.openHost(ctx)
	}
	opened, err := image.Open(ctx, ref, &p, o.Remote)
	if err != nil {
		return nil, fmt.Errorf("finding the base: %w", err)
	}
	if opened.Name == "" {
		return sourceOf(opened.Image)
	}
	img := opened.Image
	if o.Cache != nil {
		img = &cachedImage{Image: img, blobs: o.Cache.Blobs()}
	}
	return &Source{Image: img, Name: opened.Name, Digest: opened.Named}, nil
}

// IsFile reports whether ref refers to an image in files.
func IsFile(ref string) bool { return image.IsFile(ref) }

func sourceOf(img v1.Image) (*Source, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	return &Source{Image: img, Digest: digest.String()}, nil
}

func (o Options) openHost(ctx context.Context) (*Source, error) {
	python, err := FindHost(o.Python, o.HostDirs)
	if err != nil {
		return nil, err
	}
	img, err := Host(ctx, python, o.Cache)
	if err != nil {
		return nil, err
	}
	return sourceOf(img)
}
