package sink

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/resolve/cache"
)

// MountSources remembers in which repository of a registry a blob was seen last, so that it can be
// mounted into another. A wrong source costs only one request: the registry then accepts an upload,
// and the repository that has the blob now becomes the source.
type MountSources struct {
	Memo Memo // nil: nothing is remembered
}

// Memo is what MountSources remembers by: cache.Memos is one, in a directory.
type Memo interface {
	Get(ctx context.Context, key cache.Key) (cache.Note, bool, error)
	Put(ctx context.Context, key cache.Key, n cache.Note) error
}

// MountsMemo is the kind of the memos. The value is the name of a repository in the registry.
const MountsMemo = "mounts"

// MountKey is the key of the memos.
type MountKey struct{ Registry, Digest string }

func (s *MountSources) find(registry string, h v1.Hash) (name.Repository, bool) {
	if s == nil || s.Memo == nil {
		return name.Repository{}, false
	}
	key, err := cache.NewKey(MountsMemo, MountKey{registry, h.String()})
	if err != nil {
		return name.Repository{}, false
	}
	note, ok, err := s.Memo.Get(context.Background(), key)
	var in string
	if err != nil || !ok || !note.Decode(&in) {
		return name.Repository{}, false
	}
	repo, err := name.NewRepository(registry + "/" + in)
	return repo, err == nil
}

// remember records that a repository has the layers of an artifact. It replaces earlier records:
// the repository that was pushed to last certainly has the layers, an earlier one may have been
// deleted.
func (s *MountSources) remember(ctx context.Context, a Artifact, repo name.Repository) error {
	if s == nil || s.Memo == nil {
		return nil
	}
	blobs, _, err := a.blobs()
	if err != nil {
		return err
	}
	note, err := cache.NewNote(repo.RepositoryStr())
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if old, ok := s.find(repo.RegistryStr(), b.digest); ok && old.RepositoryStr() == repo.RepositoryStr() {
			continue
		}
		key, err := cache.NewKey(MountsMemo, MountKey{repo.RegistryStr(), b.digest.String()})
		if err != nil {
			return err
		}
		if err := s.Memo.Put(ctx, key, note); err != nil {
			return err
		}
	}
	return nil
}

// mountable returns the image, with layers prepared for mounting if another repository of the
// target's registry is known to have them.
func (s *MountSources) mountable(img v1.Image, target name.Repository) v1.Image {
	return &mountableImage{img, s, target}
}

type mountableImage struct {
	v1.Image
	sources *MountSources
	target  name.Repository
}

func (m *mountableImage) Layers() ([]v1.Layer, error) {
	layers, err := m.Image.Layers()
	if err != nil {
		return nil, err
	}
	out := make([]v1.Layer, len(layers))
	for i, l := range layers {
		out[i] = l
		if _, ok := l.(*remote.MountableLayer); ok {
			continue
		}
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		if repo, ok := m.sources.find(m.target.RegistryStr(), h); ok && repo.String() != m.target.String() {
			out[i] = &remote.MountableLayer{Layer: l, Reference: repo.Digest(h.String())}
		}
	}
	return out, nil
}
