package base

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/peek"
	"mlenv/imagebuild/reference"
)

// Options say where bases come from.
type Options struct {
	Keychain  authn.Keychain    // nil: anonymous
	Transport http.RoundTripper // nil: the default one
	UserAgent string
	Backoff   remote.Backoff // between tries; zero: go-containerregistry's own
	Cache     string         // directory for layers and findings; "": nothing is kept
	HostDirs  []string       // where FindHost looks, for "host"
	Python    string         // the version that "host" should have, "3.11.7" or "3.11"
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
// that it is for another platform is a *WrongPlatform: where there is no index, nobody has chosen.
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
	switch {
	case ref == "host":
		return o.openHost(ctx)
	case IsFile(ref):
		opened, err := peek.Open(ctx, ref, peek.Options{Platform: &p})
		if err != nil {
			return nil, fmt.Errorf("finding the base: %w", err)
		}
		return sourceOf(opened.Image)
	}
	return o.openRemote(ctx, ref, p)
}

// IsFile tells whether ref names an image in files.
func IsFile(ref string) bool { return peek.IsFile(ref) }

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

func (o Options) openRemote(ctx context.Context, text string, p v1.Platform) (*Source, error) {
	ref, err := reference.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the base: %w", err)
	}
	opts := []remote.Option{remote.WithContext(ctx), remote.WithPlatform(p)}
	if o.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(o.Keychain))
	}
	if o.Transport != nil {
		opts = append(opts, remote.WithTransport(o.Transport))
	}
	if o.Backoff.Steps > 0 {
		opts = append(opts, remote.WithRetryBackoff(o.Backoff))
	}
	if o.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(o.UserAgent))
	}
	desc, err := remote.Get(ref, opts...)
	if err != nil {
		return nil, fmt.Errorf("finding the base %s: %w", ref.Name(), err)
	}
	img, err := desc.Image()
	if err != nil {
		return nil, fmt.Errorf("finding the base %s for %s: %w", ref.Name(), p, err)
	}
	if o.Cache != "" {
		img = &cachedImage{Image: img, dir: o.Cache}
	}
	return &Source{Image: img, Name: ref.Name(), Digest: desc.Digest.String()}, nil
}

// IsNotFound tells whether a registry answered that it does not have the image.
func IsNotFound(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}
