package base

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/image"
	"mlenv/resolve/cache"
	"mlenv/resolve/pep440"
)

// Options say where bases come from.
type Options struct {
	Remote   image.Remote
	Cache    *cache.Dir     // keeps layers, and what was found in them; nil: nothing is kept
	HostDirs []string       // where FindHost looks, for "host"
	Python   pep440.Version // the version that "host" should have, 3.11.7 or 3.11
}

// Source is a base image where it comes from.
type Source struct {
	Image  v1.Image
	Name   string // full reference, "" where others could not pull it: of a file, or of the machine's own
	Digest string // of what a registry's reference names, "sha256:…": an index where there is one; else the image's
}

// Open finds the base image of one platform. ref is a registry's reference, "oci:DIR" or
// "oci-tar:FILE" with ":NAME" or "@sha256:…" where the layout has several, "docker-tar:FILE", or
// "host" for this machine's own Python. Layers are fetched when they are read. An image that says
// that it is for another platform is a *WrongPlatformError: where there is no index, nobody has chosen.
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
		return source, nil // Inspect looks at the interpreter itself
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

// IsFile tells whether ref names an image in files.
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
