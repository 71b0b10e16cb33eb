package base

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
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
	Digest string // of what the reference names, "sha256:…": an index where there is one
}

// Open finds the base image of one platform. ref is a registry's reference, "oci:DIR" with ":NAME"
// or "@sha256:…" where the layout has several, "docker-tar:FILE", or "host" for this machine's own
// Python. Layers are fetched when they are read.
func Open(ctx context.Context, ref string, p v1.Platform, o Options) (*Source, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	switch {
	case ref == "host":
		return o.openHost(ctx, p)
	case kind == "oci" && rest != "":
		return openLayout(rest, p)
	case kind == "docker-tar" && rest != "":
		img, err := tarball.ImageFromPath(rest, nil)
		if err != nil {
			return nil, fmt.Errorf("reading the base %s: %w", ref, err)
		}
		return sourceOf(img)
	}
	return o.openRemote(ctx, ref, p)
}

func sourceOf(img v1.Image) (*Source, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	return &Source{Image: img, Digest: digest.String()}, nil
}

func (o Options) openHost(ctx context.Context, p v1.Platform) (*Source, error) {
	python, err := FindHost(o.Python, o.HostDirs)
	if err != nil {
		return nil, err
	}
	img, err := Host(ctx, python, o.Cache)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	if config.Architecture != p.Architecture {
		return nil, &Error{fmt.Sprintf("this machine's Python is for linux/%s, not for %s", config.Architecture, p)}
	}
	return sourceOf(img)
}

func (o Options) openRemote(ctx context.Context, text string, p v1.Platform) (*Source, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, fmt.Errorf("reading the base's reference %q: %w", text, err)
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

// openLayout opens an OCI layout, of which one image fits.
func openLayout(text string, p v1.Platform) (*Source, error) {
	dir, want := text, ""
	if at := strings.LastIndex(text, "@"); at > 0 {
		dir, want = text[:at], text[at+1:]
	} else if at := strings.LastIndex(text, ":"); at > 0 {
		dir, want = text[:at], text[at+1:]
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the base oci:%s: %w", text, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the base oci:%s: %w", text, err)
	}
	var fits []v1.Descriptor
	for _, d := range manifest.Manifests {
		if want == "" || d.Digest.String() == want || d.Annotations["org.opencontainers.image.ref.name"] == want {
			fits = append(fits, d)
		}
	}
	if len(fits) > 1 { // several platforms side by side
		fits = forPlatform(fits, p)
	}
	if len(fits) != 1 {
		return nil, &Error{fmt.Sprintf("the layout oci:%s has %d images that fit; name one as oci:DIR:NAME or oci:DIR@sha256:…", text, len(fits))}
	}
	img, err := layoutImage(index, fits[0], p)
	if err != nil {
		return nil, fmt.Errorf("reading the base oci:%s: %w", text, err)
	}
	return &Source{Image: img, Digest: fits[0].Digest.String()}, nil
}

func layoutImage(index v1.ImageIndex, d v1.Descriptor, p v1.Platform) (v1.Image, error) {
	if !d.MediaType.IsIndex() {
		return index.Image(d.Digest)
	}
	child, err := index.ImageIndex(d.Digest)
	if err != nil {
		return nil, err
	}
	manifest, err := child.IndexManifest()
	if err != nil {
		return nil, err
	}
	fits := forPlatform(manifest.Manifests, p)
	if len(fits) == 0 {
		return nil, &Error{fmt.Sprintf("it has no image for %s", p)}
	}
	return layoutImage(child, fits[0], p)
}

func forPlatform(list []v1.Descriptor, p v1.Platform) []v1.Descriptor {
	var out []v1.Descriptor
	for _, d := range list {
		if d.Platform != nil && d.Platform.Satisfies(p) {
			out = append(out, d)
		}
	}
	return out
}
