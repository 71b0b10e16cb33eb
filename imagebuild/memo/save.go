package memo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
)

// stallTimes is how many times as long as for an answer a repository may take nothing of what is written
// to it: registries hash a layer before they answer.
const stallTimes = 3

// Save writes the notes of images that were sent and are still open, and with them the layers that the
// repository does not have. pushed are the references that the images were pushed to: of one in the
// same registry the layers are mounted. A layer that would have to be made again to be written is left
// out. It never fails: what could not be written is told to Warn.
func (r *Repository) Save(ctx context.Context, images []*imagebuild.Image, pushed []string) {
	if r.options.ReadOnly || r.isOff() {
		return
	}
	rem := r.remote
	if stall := stallTimes * r.options.Timeout; rem.Timeout <= 0 || rem.Timeout > stall {
		rem.Timeout = stall
	}
	rem.Backoff = remote.Backoff{Duration: time.Second, Factor: 1, Steps: 1} // the next build writes what this one could not
	s := &saving{Repository: r, session: rem.Session(r.from.repo, transport.PushScope), pushed: r.sameRegistry(pushed), wrong: map[string]bool{}}
	jobs := r.options.Jobs
	if jobs < 1 {
		jobs = 8
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(jobs)
	done := map[string]bool{}
	var todo []func() error
	for _, img := range images {
		for _, c := range img.Carried {
			old, known := r.has[c.Hash]
			if done[c.Hash] || known && bytes.Equal(old, c.Note.Value) {
				continue
			}
			done[c.Hash] = true
			s.wrong[c.Hash] = known
			todo = append(todo, func() error { return s.save(within, img, c) })
		}
	}
	for _, one := range todo {
		group.Go(one)
	}
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		r.fail(fmt.Errorf("writing notes to %s: %w", r.from.repo, s.session.Explain(ctx, err)))
	}
}

// saving is one run of Save.
type saving struct {
	*Repository
	session *image.Session
	pushed  []name.Repository
	wrong   map[string]bool // hashes of keys whose notes in the repository have turned out wrong
}

// sameRegistry gives the repositories that layers can be mounted from.
func (r *Repository) sameRegistry(pushed []string) (out []name.Repository) {
	for _, text := range pushed {
		if ref, err := image.ParseReference(text); err == nil && ref.Context().RegistryStr() == r.from.repo.RegistryStr() {
			out = append(out, ref.Context())
		}
	}
	return out
}

// save writes one note, unless it is there.
func (s *saving) save(ctx context.Context, img *imagebuild.Image, c imagebuild.Carried) error {
	opts := s.session.Options(ctx, remote.WithJobs(2))
	to := s.from.repo.Tag(tag(c.Kind, c.Hash))
	if !s.wrong[c.Hash] {
		if _, err := remote.Head(to, opts...); err == nil {
			return nil
		} else if !image.IsNotFound(err) {
			return err
		}
	}
	n, err := newNoteImage(c)
	if err != nil {
		return err
	}
	for _, digest := range c.Layers {
		l, err := s.layer(img, digest)
		if l == nil || err != nil {
			return err
		}
		if err := n.add(l); err != nil {
			return err
		}
	}
	if err := n.seal(); err != nil {
		return err
	}
	return remote.Write(to, n, opts...)
}

// layer gives a layer of an image as it is written best, or nil where it should not be written.
func (s *saving) layer(img *imagebuild.Image, digest v1.Hash) (v1.Layer, error) {
	l, err := img.LayerByDigest(digest)
	if err != nil {
		return nil, err
	}
	if len(s.pushed) > 0 {
		return &remote.MountableLayer{Layer: l, Reference: s.pushed[0].Digest(digest.String())}, nil
	}
	if _, known := layer.Remembered(l); known {
		return nil, nil
	}
	return l, nil
}

// noteImage is a note as an image.
type noteImage struct {
	manifest v1.Manifest
	layers   []v1.Layer
	config   []byte
	raw      []byte
}

func newNoteImage(c imagebuild.Carried) (*noteImage, error) {
	data, err := json.Marshal(note{c.Kind, c.Hash, c.Note.Value})
	if err != nil {
		return nil, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return &noteImage{config: data, manifest: v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: noteArtifact,
		Config: v1.Descriptor{MediaType: noteConfig, Digest: digest, Size: size, Data: data},
	}}, nil
}

// add puts a layer into the image. Its annotations and those of the form of the image's manifest are not
// the note's business: the manifest is the same whatever image the layer came from.
func (n *noteImage) add(l v1.Layer) error {
	d, err := partial.Descriptor(l)
	if err != nil {
		return err
	}
	n.layers = append(n.layers, l)
	if d.MediaType == types.DockerLayer {
		d.MediaType = types.OCILayer
	}
	n.manifest.Layers = append(n.manifest.Layers, v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	return nil
}

// seal writes the manifest. One without layers has the empty one (OCI image-spec 1.1, "Guidance for an
// Empty Descriptor").
func (n *noteImage) seal() (err error) {
	if len(n.layers) == 0 {
		if err := n.add(static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json")); err != nil {
			return err
		}
	}
	n.raw, err = json.Marshal(n.manifest)
	return err
}

func (n *noteImage) Layers() ([]v1.Layer, error)         { return n.layers, nil }
func (n *noteImage) MediaType() (types.MediaType, error) { return n.manifest.MediaType, nil }
func (n *noteImage) Size() (int64, error)                { return int64(len(n.raw)), nil }
func (n *noteImage) ConfigName() (v1.Hash, error)        { return n.manifest.Config.Digest, nil }
func (n *noteImage) RawConfigFile() ([]byte, error)      { return n.config, nil }
func (n *noteImage) Digest() (v1.Hash, error)            { return partial.Digest(n) }
func (n *noteImage) Manifest() (*v1.Manifest, error)     { return n.manifest.DeepCopy(), nil }
func (n *noteImage) RawManifest() ([]byte, error)        { return n.raw, nil }

// ConfigFile gives none: a note is no container's configuration.
func (n *noteImage) ConfigFile() (*v1.ConfigFile, error) { return nil, errNote }

func (n *noteImage) LayerByDigest(v1.Hash) (v1.Layer, error) { return nil, errNote }
func (n *noteImage) LayerByDiffID(v1.Hash) (v1.Layer, error) { return nil, errNote }

var errNote = errors.New("a note is written, not read")
