package sink

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"mlenv/resolve/cache"
)

// DockerTar returns a sink that writes a tarball for `docker load`. tag is the image's name, such
// as "churn:latest". See cache.FileTarget for files that are not regular ones.
func DockerTar(file, tag string) Sink {
	return cancellable("docker-tar:"+file, func(ctx context.Context, a Artifact) (Sent, error) {
		digest, write, err := dockerTar(ctx, a, tag)
		if err != nil {
			return Sent{}, err
		}
		var n int64
		err = cache.WriteTarget(ctx, file, onDisk, func(w io.Writer) (err error) {
			n, err = write(w)
			return err
		})
		if err != nil {
			return Sent{}, fmt.Errorf("writing %s: %w", file, err)
		}
		return Sent{Reference: "docker-tar:" + file + "@" + digest, Bytes: n}, nil
	})
}

// dockerTar returns the artifact's digest, and a function that writes its tarball and returns the
// number of bytes.
func dockerTar(ctx context.Context, a Artifact, tag string) (string, func(io.Writer) (int64, error), error) {
	if a.Image == nil {
		return "", nil, fmt.Errorf("a Docker tarball: %w", ErrOnePlatform)
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return "", nil, err
	}
	digest, err := a.Image.Digest()
	if err != nil {
		return "", nil, err
	}
	size, err := tarball.CalculateSize(map[name.Reference]v1.Image{ref: a.Image})
	if err != nil {
		return "", nil, err
	}
	a.report(Step{ToSend: size})
	return digest.String(), func(w io.Writer) (int64, error) {
		counted := &cancelWriter{ctx, &meterWriter{w, a}, 0}
		err := tarball.Write(ref, a.Image, counted)
		return counted.n, err
	}, nil
}

type cancelWriter struct {
	ctx context.Context
	w   io.Writer
	n   int64
}

func (c *cancelWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
