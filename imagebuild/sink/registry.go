package sink

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"mlenv/imagebuild/image"
)

// RegistryOptions say how a registry is spoken to. The zero value asks for nothing that needs
// credentials.
type RegistryOptions struct {
	Remote image.Remote
	Jobs   int           // blobs sent at once; 0: 4
	Mounts *MountSources // remembers where blobs are; nil: nothing is remembered

	Large int64 // bytes: blobs from this size on are sent in chunks; 0: 64 MiB
	Chunk int64 // bytes of a chunk, unless the registry wants more; 0: 32 MiB

	// Answer is how long the registry may take to say that it can be pushed to, beside the waits
	// that it asks for; 0: 30 s.
	Answer time.Duration
}

// Registry pushes to a registry. What is there already is not sent, what the same registry is known
// to have in another repository is mounted, the manifest and so the tag come last. Requests that
// fail for a passing reason are repeated. Large blobs are sent in chunks, and where that breaks off
// the registry is asked how far it got; small ones, and all where a registry takes no chunks, are
// sent in one piece and again from their beginning.
func Registry(ref string, o RegistryOptions) Sink {
	s := cancellable(ref, func(ctx context.Context, a Artifact) (Sent, error) {
		target, err := image.ParseReference(ref)
		if err != nil {
			return Sent{}, err
		}
		digest, err := a.Digest()
		if err != nil {
			return Sent{}, err
		}
		blobs, _, err := a.blobs()
		if err != nil {
			return Sent{}, err
		}
		counter := newMeter(newSizes(blobs, o.Remote.RoundTripper()), a, blobs)
		o := o // of this push: all that is sent is counted
		o.Remote.Transport = counter
		session := o.Remote.Session(target.Context(), transport.PushScope)
		if err := o.sendLarge(ctx, a, target.Context(), session); err != nil {
			return Sent{}, fmt.Errorf("pushing to %s: %w", target, session.Explain(ctx, err))
		}
		opts := session.Options(ctx, remote.WithJobs(o.jobs()))
		if a.Image != nil {
			err = remote.Write(target, o.Mounts.mountable(a.Image, target.Context()), opts...)
		} else {
			err = remote.WriteIndex(target, &mountableIndex{a.Index, o.Mounts, target.Context()}, opts...)
		}
		if err != nil {
			return Sent{}, fmt.Errorf("pushing to %s: %w", target, session.Explain(ctx, err))
		}
		counter.finish()
		if err := o.Mounts.remember(ctx, a, target.Context()); err != nil {
			return Sent{}, err
		}
		// Without the tag: podman and skopeo refuse a reference that has both.
		return Sent{Reference: target.Context().Digest(digest.String()).Name(), Bytes: counter.sent.Load()}, nil
	})
	s.Check = once(func(ctx context.Context) error { return o.check(ctx, ref) })
	return s
}

func (o RegistryOptions) jobs() int {
	if o.Jobs < 1 {
		return 4
	}
	return o.Jobs
}

// imageIndex has a name of its own because v1.ImageIndex has a method ImageIndex.
type imageIndex = v1.ImageIndex

// mountableIndex gives an index's images with layers that can be mounted.
type mountableIndex struct {
	imageIndex
	sources *MountSources
	target  name.Repository
}

func (m *mountableIndex) Image(h v1.Hash) (v1.Image, error) {
	img, err := m.imageIndex.Image(h)
	if err != nil {
		return nil, err
	}
	return m.sources.mountable(img, m.target), nil
}
