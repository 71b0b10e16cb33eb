// Package image names, opens and reads images wherever they are: in a registry, an OCI layout, or a
// tarball. It runs nothing, and fetches only what is read.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is an image that has been opened.
type Image struct {
	v1.Image
	// Name is the full reference by which others can pull it; "" for an image in files.
	Name string
	// Digest is the digest of the image's manifest, "sha256:…". It is "" for a Docker tarball,
	// which has none.
	Digest string
	// Named is the digest of what Name refers to, which may be an index that contains the image. It
	// is "" for an image in files.
	Named string
}

// IsFile reports whether ref refers to an image in files in one of the forms that Open accepts.
func IsFile(ref string) bool {
	kind, rest, _ := strings.Cut(ref, ":")
	return rest != "" && (kind == "oci" || kind == "oci-tar" || kind == "docker-tar")
}

// Open opens an image. ref is a reference to a registry, "oci:DIR" or "oci-tar:FILE", followed by
// ":NAME" or "@sha256:…" if there are several images, or "docker-tar:FILE". The platform selects
// one of the images of an index; nil means the only one, or else linux/amd64. Layers are fetched
// when they are read.
func Open(ctx context.Context, ref string, p *v1.Platform, r Remote) (*Image, error) {
	if !IsFile(ref) {
		return r.open(ctx, ref, p)
	}
	img, err := openFile(ref, p)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	}
	return img, nil
}

func openFile(ref string, p *v1.Platform) (*Image, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	if kind == "docker-tar" {
		if err := regular(rest); err != nil {
			return nil, err
		}
		if err := checkDockerTar(rest); err != nil {
			return nil, err
		}
		img, err := tarball.ImageFromPath(rest, nil)
		return &Image{Image: img}, err
	}
	dir, want := splitName(rest)
	if kind == "oci" {
		return openLayout(os.DirFS(dir), want, p)
	}
	tar, err := openTar(dir)
	if err != nil {
		return nil, err
	}
	return openLayout(tar, want, p)
}

// checkDockerTar returns an error for a tarball whose metadata is too large to read into memory.
// Package tarball would read it without a limit.
func checkDockerTar(name string) error {
	t, err := openTar(name)
	if err != nil {
		return err
	}
	data, err := readAll(t, "manifest.json")
	if err != nil {
		return err
	}
	var list tarball.Manifest
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("reading manifest.json: %w", err)
	}
	for _, d := range list {
		if at, ok := t.at[path.Clean(d.Config)]; ok && at.size > maxManifest {
			return fmt.Errorf("%s is too large", d.Config)
		}
	}
	return nil
}

// splitName splits ":NAME" or "@sha256:…" off the path of a layout.
func splitName(text string) (dir, want string) {
	if _, err := os.Stat(text); err == nil {
		return text, ""
	}
	if at := strings.LastIndex(text, "@"); at > 0 {
		return text[:at], text[at+1:]
	}
	// Directories may contain a colon, and so may names such as churn:v2. So cut at the first colon
	// that has an existing path before it.
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

func (r Remote) open(ctx context.Context, text string, p *v1.Platform) (*Image, error) {
	ref, err := ParseReference(text)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the image: %w", err)
	}
	s := r.Session(ref.Context(), transport.PullScope)
	desc, err := remote.Get(ref, s.Options(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", ref.Name(), s.Explain(ctx, err))
	}
	img, err := pick(registry{desc, ref.Context(), s.Options(ctx)}, desc.Descriptor, p)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", ref.Name(), s.Explain(ctx, err))
	}
	img.Name, img.Named = ref.Name(), desc.Digest.String()
	return img, nil
}

// OpenAll opens the images of all platforms, in the order of the index; an image that is in no index is
// the only one. Attestations are left out. Of files, Open's choice is the only one.
func OpenAll(ctx context.Context, ref string, r Remote) ([]*Image, error) {
	if IsFile(ref) {
		one, err := Open(ctx, ref, nil, r)
		return []*Image{one}, err
	}
	parsed, err := ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the image: %w", err)
	}
	s := r.Session(parsed.Context(), transport.PullScope)
	desc, err := remote.Get(parsed, s.Options(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", parsed.Name(), s.Explain(ctx, err))
	}
	from := registry{desc, parsed.Context(), s.Options(ctx)}
	list := []v1.Descriptor{desc.Descriptor}
	if desc.MediaType.IsIndex() {
		index, err := from.index(desc.Digest)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", parsed.Name(), s.Explain(ctx, err))
		}
		list = index.Manifests
	}
	var out []*Image
	for _, d := range list {
		if !isImage(d.MediaType) || d.Platform != nil && d.Platform.OS == "unknown" {
			continue
		}
		img, err := from.image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", parsed.Name(), s.Explain(ctx, err))
		}
		out = append(out, &Image{Image: img, Name: parsed.Name(), Digest: d.Digest.String(), Named: desc.Digest.String()})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no images", parsed.Name())
	}
	return out, nil
}

// store returns manifests by digest.
type store interface {
	index(h v1.Hash) (*v1.IndexManifest, error)
	image(h v1.Hash) (v1.Image, error)
}

// registry implements store for a repository. It does not fetch again what was already fetched by
// name.
type registry struct {
	first *remote.Descriptor
	repo  name.Repository
	opts  []remote.Option
}

func (r registry) get(h v1.Hash) (*remote.Descriptor, error) {
	if h == r.first.Digest {
		return r.first, nil
	}
	return remote.Get(r.repo.Digest(h.String()), r.opts...)
}

func (r registry) index(h v1.Hash) (*v1.IndexManifest, error) {
	desc, err := r.get(h)
	if err != nil {
		return nil, err
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, err
	}
	return index.IndexManifest()
}

func (r registry) image(h v1.Hash) (v1.Image, error) {
	desc, err := r.get(h)
	if err != nil {
		return nil, err
	}
	img, err := desc.Image()
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	// The configuration is read into memory, up to the size in its descriptor.
	if m.Config.Size < 0 || m.Config.Size > maxManifest {
		return nil, fmt.Errorf("the image's configuration is too large: %d bytes", m.Config.Size)
	}
	return img, nil
}

// depth is how deeply indexes may be nested.
const depth = 4

// pick follows a descriptor, which may be of an index, to one image.
func pick(s store, d v1.Descriptor, p *v1.Platform) (*Image, error) {
	for range depth {
		if !d.MediaType.IsIndex() {
			img, err := s.image(d.Digest)
			if err != nil {
				return nil, err
			}
			return &Image{Image: img, Digest: d.Digest.String()}, nil
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

// choose returns the descriptor for a platform.
func choose(list []v1.Descriptor, p *v1.Platform) (v1.Descriptor, error) {
	var images []v1.Descriptor
	var names []string
	for _, d := range list {
		// Attestations are listed next to images, with the platform "unknown".
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
	return v1.Descriptor{}, &NoPlatformError{Want: want, Have: names}
}

// NoPlatformError reports that an index has no image for the wanted platform.
type NoPlatformError struct {
	Want v1.Platform
	Have []string
}

func (e *NoPlatformError) Error() string {
	return fmt.Sprintf("there is no image for %s, only for %s", e.Want, strings.Join(e.Have, ", "))
}

func isImage(t types.MediaType) bool { return t.IsImage() || t == "" }
