package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Places remembers in which repository of a registry a blob was seen last, so that it can be mounted
// into another. A place that is wrong costs one request: the registry then takes an upload, and the
// repository that has the blob now takes the place of the one that had lost it.
type Places struct {
	Dir string // "" remembers nothing
}

type place struct {
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
}

func (p *Places) file(registry string, h v1.Hash) string {
	return filepath.Join(p.Dir, strings.NewReplacer(":", "_", "/", "_").Replace(registry), h.Hex[:2], h.Hex[2:]+".json")
}

func (p *Places) find(registry string, h v1.Hash) (name.Repository, bool) {
	if p == nil || p.Dir == "" || len(h.Hex) < 3 {
		return name.Repository{}, false
	}
	data, err := os.ReadFile(p.file(registry, h))
	if err != nil {
		return name.Repository{}, false
	}
	var at place
	if json.Unmarshal(data, &at) != nil || at.Registry != registry {
		return name.Repository{}, false
	}
	repo, err := name.NewRepository(at.Registry + "/" + at.Repository)
	return repo, err == nil
}

// remember notes where the layers of an artifact now are. The repository that was pushed to last has
// them for sure; an earlier one may have been deleted since. That the disk does not take the notes
// is no failure to push.
func (p *Places) remember(a Artifact, repo name.Repository) error {
	if p == nil || p.Dir == "" {
		return nil
	}
	blobs, _, err := a.blobs()
	if err != nil {
		return err
	}
	data, err := json.Marshal(place{repo.RegistryStr(), repo.RepositoryStr()})
	if err != nil {
		return err
	}
	for _, b := range blobs {
		file := p.file(repo.RegistryStr(), b.digest)
		if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
			continue
		}
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = rename(file, func(f *os.File) error {
				_, err := f.Write(data)
				return err
			})
		}
		var onDisk *os.PathError
		var onRename *os.LinkError
		if errors.As(err, &onDisk) || errors.As(err, &onRename) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mountable gives the image with those layers ready for mounting of which another repository of the
// target's registry is known to have a copy.
func (p *Places) mountable(img v1.Image, target name.Repository) v1.Image {
	return &mountableImage{img, p, target}
}

type mountableImage struct {
	v1.Image
	places *Places
	target name.Repository
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
		if repo, ok := m.places.find(m.target.RegistryStr(), h); ok && repo.String() != m.target.String() {
			out[i] = &remote.MountableLayer{Layer: l, Reference: repo.Digest(h.String())}
		}
	}
	return out, nil
}
