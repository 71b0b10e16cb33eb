package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"mlenv/imagebuild/image"
)

const (
	largeBlob = 64 << 20
	chunkSize = 32 << 20
)

// sendLarge sends the large blobs of an artifact in chunks, before go-containerregistry pushes the
// image and finds them in the registry. If that is not possible, it leaves them to
// go-containerregistry.
func (o RegistryOptions) sendLarge(ctx context.Context, a Artifact, repo name.Repository, session *image.Session) error {
	blobs, err := o.large(a)
	if err != nil || len(blobs) == 0 {
		return err
	}
	uploads := make([]*upload, len(blobs))
	for i, b := range blobs {
		uploads[i] = &upload{repo: repo, blob: b, chunk: o.Chunk, backoff: o.backoff()}
		if o.Chunk <= 0 {
			uploads[i].chunk = chunkSize
		}
		if from, ok := o.mountSource(b, repo); ok {
			uploads[i].from = from.RepositoryStr()
		}
	}
	client, err := session.Client(ctx)
	if err != nil {
		return nil // go-containerregistry retries, and reports what is wrong
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.jobs())
	for _, u := range uploads {
		u.client = client
		group.Go(func() error {
			if err := u.run(ctx); err != nil && !errors.Is(err, errOtherWay) {
				return fmt.Errorf("sending %s: %w", u.blob.digest, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// backoff returns the waiting times between tries, and their number.
func (o RegistryOptions) backoff() remote.Backoff {
	if o.Remote.Backoff.Steps > 0 {
		return o.Remote.Backoff
	}
	return remote.Backoff{Duration: time.Second, Factor: 3, Jitter: 0.1, Steps: 3}
}

// large returns the layers to send in chunks, without duplicates.
func (o RegistryOptions) large(a Artifact) ([]blob, error) {
	least := o.Large
	if least <= 0 {
		least = largeBlob
	}
	all, _, err := a.blobs()
	if err != nil {
		return nil, err
	}
	var out []blob
	for _, b := range all {
		if b.layer == nil || b.size < least {
			continue
		}
		if t, err := b.layer.MediaType(); err != nil || !t.IsDistributable() {
			continue
		}
		out = append(out, b)
	}
	return out, nil
}

// mountSource returns another repository of the registry that should have a blob.
func (o RegistryOptions) mountSource(b blob, target name.Repository) (name.Repository, bool) {
	from, ok := o.Mounts.find(target.RegistryStr(), b.digest)
	if m, is := b.layer.(*remote.MountableLayer); is {
		from, ok = m.Reference.Context(), m.Reference.Context().RegistryStr() == target.RegistryStr()
	}
	return from, ok && from.String() != target.String()
}
