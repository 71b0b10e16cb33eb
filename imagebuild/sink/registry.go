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

// RegistryOptions is how to push to a registry. The zero value uses no credentials.
type RegistryOptions struct {
	Remote image.Remote
	Jobs   int           // blobs sent in parallel; 0: 4
	Mounts *MountSources // remembers where blobs are; may be nil

	Large int64 // in bytes: blobs of at least this size are sent in chunks; 0: 64 MiB
	Chunk int64 // size of a chunk in bytes, unless the registry wants more; 0: 32 MiB

	// Answer is how long the registry may take to answer the check before a push, not counting the
	// time it asks us to wait; 0: 30 s.
	Answer time.Duration
}

// Registry returns a sink that pushes to a registry. It does not send blobs that exist, mounts
// those that the registry is known to have in another repository, and pushes the manifest, and with
// it the tag, last. Requests that fail temporarily are repeated. Large blobs are sent in chunks;
// after an interruption the registry is asked how much it has. Small blobs, and all blobs if a
// registry does not support chunks, are sent in one piece, and from the beginning if that fails.
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
		o := o // a copy for this push, which counts what is sent
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
		// Without the tag: podman and skopeo reject a reference with tag and digest.
		return Sent{Reference: target.Context().Digest(digest.String()).Name(), Bytes: counter.sent.Load(), Unmounted: counter.unmounted.Load()}, nil
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

// imageIndex has another name because v1.ImageIndex has a method ImageIndex, which embedding would
// hide.
type imageIndex = v1.ImageIndex

// mountableIndex is an index whose images have layers prepared for mounting.
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
