// Package memo finds notes about layers in registries: those that images carry, and those of a
// repository that holds nothing else. A machine that has built nothing before knows by them which
// layers it need not make, and where their bytes are.
//
// # Trust
//
// A note decides which bytes go into an image, and the layer that it names is never made to compare it,
// except by imagebuild.Builder.Verify. So notes must come from where nobody may write who may not change
// the images that are built with them. The repository that an image is pushed to is such a place:
// whoever may write there can replace the image itself. Notes are not copied into the cache on disk, so
// what one repository says has no influence on what is pushed to another.
package memo

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/cache"
)

// Chain is several memos behind each other, such as a directory, the image that is there already, and
// a repository of notes. The first that has a note of a key gives it; all are told of what is new. The
// zero value remembers nothing.
type Chain struct{ memos []imagebuild.Memo }

// Add puts a memo behind the others. It must not be called while the chain is in use.
func (c *Chain) Add(m imagebuild.Memo) { c.memos = append(c.memos, m) }

// Get implements imagebuild.Memo.
func (c *Chain) Get(ctx context.Context, key cache.Key) (cache.Note, bool, error) {
	for _, m := range c.memos {
		if n, ok, err := m.Get(ctx, key); ok || err != nil {
			return n, ok, err
		}
	}
	return cache.Note{}, false, nil
}

// Put implements imagebuild.Memo.
func (c *Chain) Put(ctx context.Context, key cache.Key, n cache.Note) error {
	for _, m := range c.memos {
		if err := m.Put(ctx, key, n); err != nil {
			return err
		}
	}
	return nil
}

// errUnknown says that no memo has told of a layer.
var errUnknown = errors.New("no note names the layer")

// Open implements imagebuild.Blobs: it gives the bytes of a layer that one of the memos has told of.
func (c *Chain) Open(digest v1.Hash) (io.ReadCloser, error) {
	err := errUnknown
	for _, m := range c.memos {
		b, ok := m.(imagebuild.Blobs)
		if !ok {
			continue
		}
		var r io.ReadCloser
		if r, err = b.Open(digest); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// source is a repository that notes come from.
type source struct {
	ctx     context.Context // of the command: layers are read long after the notes
	repo    name.Repository
	session *image.Session
}

func newSource(ctx context.Context, repo name.Repository, r image.Remote) *source {
	return &source{ctx, repo, r.Session(repo, transport.PullScope)}
}

// open gives the bytes of a layer.
func (s *source) open(digest v1.Hash) (io.ReadCloser, error) {
	l, err := remote.Layer(s.repo.Digest(digest.String()), s.session.Options(s.ctx)...)
	if err != nil {
		return nil, err
	}
	return l.Compressed()
}

// mountOf gives the registry and blob of which a note is to say where it can be mounted from.
func mountOf(key cache.Key) (registry string, digest v1.Hash, ok bool) {
	var of sink.MountKey
	if key.Kind != sink.MountsMemo || json.Unmarshal(key.Of, &of) != nil {
		return "", v1.Hash{}, false
	}
	digest, err := v1.NewHash(of.Digest)
	return of.Registry, digest, err == nil
}

// mount gives the note that this repository has a blob, if the registry is the one that is meant.
func (s *source) mount(registry string) (cache.Note, bool) {
	if registry != s.repo.RegistryStr() {
		return cache.Note{}, false
	}
	n, err := cache.NewNote(s.repo.RepositoryStr())
	return n, err == nil
}
