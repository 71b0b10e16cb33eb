package verify_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// forged is an image that was taken apart, to be changed and put together again as a forger would:
// all digests fit.
type forged struct {
	t        *testing.T
	manifest *v1.Manifest
	config   *v1.ConfigFile
	blobs    [][]byte
}

func takeApart(t *testing.T, img v1.Image) *forged {
	t.Helper()
	f := &forged{t: t}
	var err error
	if f.manifest, err = img.Manifest(); err == nil {
		f.manifest = f.manifest.DeepCopy()
		if f.config, err = img.ConfigFile(); err == nil {
			f.config = f.config.DeepCopy()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		f.blobs = append(f.blobs, data)
	}
	return f
}

// set replaces a layer.
func (f *forged) set(i int, blob []byte) {
	f.blobs[i] = blob
	f.manifest.Layers[i].Size = int64(len(blob))
	f.manifest.Layers[i].Digest, f.config.RootFS.DiffIDs[i] = digests(f.t, blob)
}

func digests(t *testing.T, blob []byte) (digest, diffID v1.Hash) {
	t.Helper()
	digest, _, err := v1.SHA256(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob))
	if err == nil {
		diffID, _, err = v1.SHA256(z)
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest, diffID
}

// file is one entry of a layer.
type file struct {
	*tar.Header
	content []byte
}

// files unpacks a layer.
func (f *forged) files(i int) (out []file) {
	f.t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(f.blobs[i]))
	if err != nil {
		f.t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			f.t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			f.t.Fatal(err)
		}
		out = append(out, file{h, data})
	}
}

// pack puts files into a layer.
func pack(t *testing.T, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, one := range files {
		one.Size = int64(len(one.content))
		err := w.WriteHeader(one.Header)
		if err == nil {
			_, err = w.Write(one.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// edit changes the files of a layer.
func (f *forged) edit(i int, change func([]file) []file) {
	f.t.Helper()
	f.set(i, pack(f.t, change(f.files(i))))
}

// find returns the layer that has a file.
func (f *forged) find(name string) int {
	f.t.Helper()
	for i := range f.blobs {
		for _, one := range f.files(i) {
			if one.Name == name {
				return i
			}
		}
	}
	f.t.Fatalf("no layer has %s", name)
	return -1
}

// change changes one file, wherever it is.
func (f *forged) change(name string, change func(*file)) {
	f.t.Helper()
	f.edit(f.find(name), func(all []file) []file {
		for i := range all {
			if all[i].Name == name {
				change(&all[i])
			}
		}
		return all
	})
}

// raws is what partial.CompressedToImage makes an image of.
type raws struct {
	manifest, config []byte
	blobs            map[v1.Hash][]byte
	types            map[v1.Hash]types.MediaType
}

func (r *raws) RawManifest() ([]byte, error)        { return r.manifest, nil }
func (r *raws) RawConfigFile() ([]byte, error)      { return r.config, nil }
func (r *raws) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (r *raws) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	return &blobLayer{h, r.blobs[h], r.types[h]}, nil
}

type blobLayer struct {
	digest v1.Hash
	data   []byte
	kind   types.MediaType
}

func (b *blobLayer) Digest() (v1.Hash, error)            { return b.digest, nil }
func (b *blobLayer) Size() (int64, error)                { return int64(len(b.data)), nil }
func (b *blobLayer) MediaType() (types.MediaType, error) { return b.kind, nil }
func (b *blobLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.data)), nil
}

// together makes an image of the parts.
func (f *forged) together() v1.Image {
	f.t.Helper()
	r := &raws{blobs: map[v1.Hash][]byte{}, types: map[v1.Hash]types.MediaType{}}
	for i, b := range f.blobs {
		d := f.manifest.Layers[i]
		r.blobs[d.Digest], r.types[d.Digest] = b, d.MediaType
	}
	var err error
	if r.config, err = json.Marshal(f.config); err != nil {
		f.t.Fatal(err)
	}
	if f.manifest.Config.Digest, f.manifest.Config.Size, err = v1.SHA256(bytes.NewReader(r.config)); err != nil {
		f.t.Fatal(err)
	}
	if r.manifest, err = json.Marshal(f.manifest); err != nil {
		f.t.Fatal(err)
	}
	img, err := partial.CompressedToImage(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return img
}

type tarHeader = tar.Header

// add puts a layer on top.
func (f *forged) add(blob []byte) {
	f.t.Helper()
	digest, diffID := digests(f.t, blob)
	f.blobs = append(f.blobs, blob)
	f.manifest.Layers = append(f.manifest.Layers, v1.Descriptor{MediaType: types.OCILayer, Digest: digest, Size: int64(len(blob))})
	f.config.RootFS.DiffIDs = append(f.config.RootFS.DiffIDs, diffID)
	f.config.History = append(f.config.History, v1.History{CreatedBy: "nobody"})
}

// drop takes a layer away.
func (f *forged) drop(i int) {
	f.blobs = slices.Delete(f.blobs, i, i+1)
	f.manifest.Layers = slices.Delete(f.manifest.Layers, i, i+1)
	f.config.RootFS.DiffIDs = slices.Delete(f.config.RootFS.DiffIDs, i, i+1)
	f.config.History = slices.Delete(f.config.History, len(f.config.History)-1, len(f.config.History))
}

// swap exchanges two layers.
func (f *forged) swap(i, j int) {
	f.blobs[i], f.blobs[j] = f.blobs[j], f.blobs[i]
	f.manifest.Layers[i], f.manifest.Layers[j] = f.manifest.Layers[j], f.manifest.Layers[i]
	d := f.config.RootFS.DiffIDs
	d[i], d[j] = d[j], d[i]
}

// without takes a package out of the text of a lock.
func (f *forged) without(name pep508.Name, text []byte) []byte {
	f.t.Helper()
	l, err := pylock.Parse("lock", text)
	if err != nil {
		f.t.Fatal(err)
	}
	l.Packages = slices.DeleteFunc(l.Packages, func(p pylock.Package) bool { return p.Name == name })
	return pylock.Format(l)
}
