package sink

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"mlenv/resolve/cache"
)

func newReader(data []byte) io.Reader { return bytes.NewReader(data) }

// refName is the annotation with the name of an image in a layout (OCI image-spec, annotations).
const refName = "org.opencontainers.image.ref.name"

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

// Layout returns a sink that writes to an OCI image layout directory. The directory is created if
// necessary; other images in it are kept. The image replaces one with the same name in the layout.
// With name "" it has no name and replaces the one without a name.
func Layout(dir, name string) Sink {
	return cancellable("oci:"+dir, func(ctx context.Context, a Artifact) (Sent, error) {
		blobs, desc, err := a.blobs()
		if err != nil {
			return Sent{}, err
		}
		a.report(Step{ToSend: sizes(blobs)})
		if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
			return Sent{}, err
		}
		sent, err := a.writeBlobs(ctx, dir, blobs)
		if err != nil {
			return Sent{}, err
		}
		if err := writeFile(filepath.Join(dir, "oci-layout"), []byte(layoutFile)); err != nil {
			return Sent{}, err
		}
		index, err := mergeIndex(filepath.Join(dir, "index.json"), named(desc, name), name)
		if err != nil {
			return Sent{}, err
		}
		if err := writeFile(filepath.Join(dir, "index.json"), index); err != nil {
			return Sent{}, err
		}
		// Remove temporary files that interrupted runs left behind.
		cache.Sweep(filepath.Join(dir, "blobs", "sha256"))
		return Sent{Reference: "oci:" + dir + "@" + desc.Digest.String(), Bytes: sent}, nil
	})
}

func named(d v1.Descriptor, name string) v1.Descriptor {
	if name != "" {
		d.Annotations = map[string]string{refName: name}
	}
	return d
}

// mergeIndex returns an index.json in which the descriptor replaces one with the same name.
func mergeIndex(file string, d v1.Descriptor, name string) ([]byte, error) {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		before := v1.IndexManifest{}
		if err := json.Unmarshal(old, &before); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		index.Annotations = before.Annotations
		for _, m := range before.Manifests {
			if m.Annotations[refName] != name && m.Digest != d.Digest {
				index.Manifests = append(index.Manifests, m)
			}
		}
	}
	index.Manifests = append(index.Manifests, d)
	return json.Marshal(index)
}

// writeBlobs writes several blobs at once, and returns the number of bytes written.
func (a Artifact) writeBlobs(ctx context.Context, dir string, blobs []blob) (int64, error) {
	var sent atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers())
	for _, b := range blobs {
		group.Go(func() error {
			n, err := a.writeBlob(ctx, dir, b)
			if err != nil {
				return fmt.Errorf("writing blob %s: %w", b.digest, err)
			}
			sent.Add(n)
			return nil
		})
	}
	err := group.Wait()
	return sent.Load(), err
}

// writeBlob writes a blob unless it exists, and returns the number of bytes written.
func (a Artifact) writeBlob(ctx context.Context, dir string, b blob) (int64, error) {
	name := filepath.Join(dir, "blobs", b.digest.Algorithm, b.digest.Hex)
	if isWhole(name, b) {
		a.report(Step{ToSend: -b.size})
		return 0, nil
	}
	return b.size, cache.Replace(name, onDisk, func(w io.Writer) error { return copyBlob(ctx, &meterWriter{w, a}, b) })
}

// isWhole reports whether a file contains the blob already.
func isWhole(name string, b blob) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != b.size {
		return false
	}
	got, _, err := v1.SHA256(f)
	return err == nil && got == b.digest
}

// copyBlob copies a blob and verifies its size and digest.
func copyBlob(ctx context.Context, w io.Writer, b blob) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), &cancelReader{ctx, r})
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); n != b.size || sum != b.digest.Hex {
		return fmt.Errorf("want %d bytes with digest %s, got %d with sha256:%s", b.size, b.digest, n, sum)
	}
	return nil
}

type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func writeFile(name string, data []byte) error {
	return cache.Replace(name, onDisk, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// onDisk makes all files of an image durable: nobody checks them again afterwards.
var onDisk = cache.Options{Sync: true}

// OCITar returns a sink that writes an OCI image layout as one tar file. Its bytes depend only on
// the artifact and the name. See cache.FileTarget for files that are not regular ones.
func OCITar(file, name string) Sink {
	return cancellable("oci-tar:"+file, func(ctx context.Context, a Artifact) (Sent, error) {
		blobs, desc, err := a.blobs()
		if err != nil {
			return Sent{}, err
		}
		index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex,
			Manifests: []v1.Descriptor{named(desc, name)}})
		if err != nil {
			return Sent{}, err
		}
		t := &tarball{format: tar.FormatPAX, modTime: time.Unix(0, 0), entries: []tarEntry{
			{"oci-layout", blobOfBytes([]byte(layoutFile))}, {"index.json", blobOfBytes(index)},
		}}
		for _, b := range blobs {
			t.entries = append(t.entries, tarEntry{"blobs/" + b.digest.Algorithm + "/" + b.digest.Hex, b})
		}
		size, err := t.size()
		if err != nil {
			return Sent{}, err
		}
		a.report(Step{ToSend: size})
		var n int64
		err = cache.WriteTarget(ctx, file, onDisk, func(w io.Writer) (err error) {
			n, err = t.write(ctx, w, a)
			return err
		})
		if err != nil {
			return Sent{}, fmt.Errorf("writing %s: %w", file, err)
		}
		return Sent{Reference: "oci-tar:" + file + "@" + desc.Digest.String(), Bytes: n}, nil
	})
}

// blobOfBytes is a file that is no blob of the image.
func blobOfBytes(data []byte) blob {
	sum := sha256.Sum256(data)
	return blobOf(v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}, data)
}
