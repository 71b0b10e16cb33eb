// Package peek reads what an image says of its environment, without running it and without
// fetching more of it than needed: the lock, the small files of the model, the configuration.
package peek

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"mlenv/imagebuild/reference"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Options say how images are reached.
type Options struct {
	Keychain  authn.Keychain    // nil: anonymous
	Transport http.RoundTripper // nil: the default one
	UserAgent string
	// Platform chooses among the images of an index. nil takes the only one, else linux/amd64.
	Platform *v1.Platform
}

// Opened is an image where it lies.
type Opened struct {
	v1.Image
	// Digest is that of the image's manifest, "sha256:…"; "" for a Docker tarball, which has none.
	Digest string
}

// IsFile tells whether ref names an image in files, as Open understands it.
func IsFile(ref string) bool {
	kind, rest, _ := strings.Cut(ref, ":")
	return rest != "" && (kind == "oci" || kind == "oci-tar" || kind == "docker-tar")
}

// Open finds an image: a registry's reference, "oci:DIR" or "oci-tar:FILE", with ":NAME" or
// "@sha256:…" where there are several, or "docker-tar:FILE". Layers are fetched when they are read.
func Open(ctx context.Context, ref string, o Options) (*Opened, error) {
	if !IsFile(ref) {
		return openRemote(ctx, ref, o)
	}
	img, err := openFile(ref, o.Platform)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	}
	return img, nil
}

func openFile(ref string, p *v1.Platform) (*Opened, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	if kind == "docker-tar" {
		if err := regular(rest); err != nil {
			return nil, err
		}
		img, err := tarball.ImageFromPath(rest, nil)
		return &Opened{Image: img}, err
	}
	place, want := splitName(rest)
	if kind == "oci" {
		return openLayout(os.DirFS(place), want, p)
	}
	tar, err := openTar(place)
	if err != nil {
		return nil, err
	}
	return openLayout(tar, want, p)
}

// splitName takes ":NAME" or "@sha256:…" off the place of a layout.
func splitName(text string) (place, want string) {
	if _, err := os.Stat(text); err == nil {
		return text, ""
	}
	if at := strings.LastIndex(text, "@"); at > 0 {
		return text[:at], text[at+1:]
	}
	// A tag has no slash, a directory's name seldom a colon; a name such as churn:v2 has one.
	for at := 1; at < len(text); at++ {
		if text[at] != ':' {
			continue
		}
		if _, err := os.Stat(text[:at]); err == nil {
			return text[:at], text[at+1:]
		}
	}
	return text, ""
}

func openRemote(ctx context.Context, text string, o Options) (*Opened, error) {
	ref, err := reference.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the image: %w", err)
	}
	opts := []remote.Option{remote.WithContext(ctx)}
	if o.Keychain != nil {
		opts = append(opts, remote.WithAuthFromKeychain(o.Keychain))
	}
	if o.Transport != nil {
		opts = append(opts, remote.WithTransport(o.Transport))
	}
	if o.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(o.UserAgent))
	}
	desc, err := remote.Get(ref, opts...)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", ref.Name(), err)
	}
	img, err := pick(registry{ref.Context(), opts}, desc.Descriptor, o.Platform)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", ref.Name(), err)
	}
	return img, nil
}

// store gives manifests by their digests.
type store interface {
	index(h v1.Hash) (*v1.IndexManifest, error)
	image(h v1.Hash) (v1.Image, error)
}

// registry is the store of a repository.
type registry struct {
	repo name.Repository
	opts []remote.Option
}

func (r registry) index(h v1.Hash) (*v1.IndexManifest, error) {
	index, err := remote.Index(r.repo.Digest(h.String()), r.opts...)
	if err != nil {
		return nil, err
	}
	return index.IndexManifest()
}

func (r registry) image(h v1.Hash) (v1.Image, error) {
	return remote.Image(r.repo.Digest(h.String()), r.opts...)
}

// depth bounds how deep indexes are nested.
const depth = 4

// pick follows a descriptor to one image.
func pick(s store, d v1.Descriptor, p *v1.Platform) (*Opened, error) {
	for range depth {
		if !d.MediaType.IsIndex() {
			img, err := s.image(d.Digest)
			if err != nil {
				return nil, err
			}
			return &Opened{Image: img, Digest: d.Digest.String()}, nil
		}
		index, err := s.index(d.Digest)
		if err != nil {
			return nil, err
		}
		if d, err = choose(index.Manifests, p); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("indexes are nested too deeply")
}

// choose takes the image of a platform.
func choose(list []v1.Descriptor, p *v1.Platform) (v1.Descriptor, error) {
	var images []v1.Descriptor
	var names []string
	for _, d := range list {
		// Attestations stand beside images, under a platform that no machine has.
		if d.MediaType.IsIndex() || isImage(d.MediaType) && (d.Platform == nil || d.Platform.OS != "unknown") {
			images = append(images, d)
			if d.Platform != nil {
				names = append(names, d.Platform.String())
			}
		}
	}
	want := v1.Platform{OS: "linux", Architecture: "amd64"}
	if p != nil {
		want = *p
	}
	if len(images) == 1 && (p == nil || images[0].Platform == nil) {
		return images[0], nil
	}
	for _, d := range images {
		if d.Platform != nil && d.Platform.Satisfies(want) {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("there is no image for %s, only for %s", want, strings.Join(names, ", "))
}

func isImage(t types.MediaType) bool { return t.IsImage() || t == "" }
