package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	dockertar "github.com/google/go-containerregistry/pkg/v1/tarball"

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
	t, err := dockerEntries(ref, a.Image)
	if err != nil {
		return "", nil, err
	}
	size, err := t.size()
	if err != nil {
		return "", nil, err
	}
	a.report(Step{ToSend: size})
	return digest.String(), func(w io.Writer) (int64, error) { return t.write(ctx, w, a) }, nil
}

// dockerEntries lists the files of the tarball of one image: the configuration, the layers and
// manifest.json, which names them.
func dockerEntries(ref name.Tag, img v1.Image) (*tarball, error) {
	list, err := dockertar.ComputeManifest(map[name.Reference]v1.Image{ref: img})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	t := &tarball{entries: []tarEntry{{list[0].Config, blobOfBytes(config)}}}
	seen := map[string]bool{}
	for i, l := range layers {
		name := list[0].Layers[i]
		if seen[name] {
			continue
		}
		seen[name] = true
		b, err := layerBlob(l)
		if err != nil {
			return nil, err
		}
		t.entries = append(t.entries, tarEntry{name, b})
	}
	t.entries = append(t.entries, tarEntry{"manifest.json", blobOfBytes(text)})
	return t, nil
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
