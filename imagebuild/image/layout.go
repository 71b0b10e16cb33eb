package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxManifest is the maximum size in bytes of manifests, indexes and configurations. Registries
// accept manifests of up to 4 MiB, and a configuration usually has about 10 kB.
const maxManifest = 8 << 20

// refName is the annotation with the name of an image in a layout (OCI image-spec, annotations).
const refName = "org.opencontainers.image.ref.name"

// files opens the files of a layout by name.
type files interface {
	Open(name string) (fs.File, error)
}

// openLayout opens an image in an OCI image layout (OCI image-spec, "Image Layout").
func openLayout(fsys files, want string, p *v1.Platform) (*Image, error) {
	data, err := readAll(fsys, "index.json")
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("reading index.json: %w", err)
	}
	var fits []v1.Descriptor
	for _, d := range index.Manifests {
		if want == "" || d.Digest.String() == want || d.Annotations[refName] == want {
			fits = append(fits, d)
		}
	}
	if len(fits) == 0 {
		return nil, fmt.Errorf("the layout has no image %s, only %s", want, strings.Join(names(index.Manifests), ", "))
	}
	d := fits[0]
	if len(fits) > 1 { // several platforms of one image, or else several images
		for _, f := range fits {
			if f.Platform == nil {
				return nil, fmt.Errorf("the layout has %d images; name one with :NAME or @sha256:…: %s", len(fits), strings.Join(names(fits), ", "))
			}
		}
		if d, err = choose(fits, p); err != nil {
			return nil, err
		}
	}
	return pick(layout{fsys}, d, p)
}

// names returns the names or digests by which the images of a layout can be selected.
func names(list []v1.Descriptor) []string {
	var out []string
	for _, d := range list {
		one := d.Annotations[refName]
		if one == "" {
			one = d.Digest.String()
		}
		out = append(out, one)
	}
	return out
}

// layout implements store for a layout.
type layout struct{ files }

func blobPath(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

func (l layout) manifest(h v1.Hash) ([]byte, error) {
	data, err := readAll(l.files, blobPath(h))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); h.Algorithm != "sha256" || hex.EncodeToString(sum[:]) != h.Hex {
		return nil, &damaged{h}
	}
	return data, nil
}

func (l layout) index(h v1.Hash) (*v1.IndexManifest, error) {
	data, err := l.manifest(h)
	if err != nil {
		return nil, err
	}
	return v1.ParseIndexManifest(bytes.NewReader(data))
}

func (l layout) image(h v1.Hash) (v1.Image, error) {
	raw, err := l.manifest(h)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", h, err)
	}
	return partial.CompressedToImage(&stored{layout: l, raw: raw, parsed: m})
}

// stored is an image in a layout.
type stored struct {
	layout layout
	raw    []byte
	parsed *v1.Manifest
}

func (s *stored) RawManifest() ([]byte, error)        { return s.raw, nil }
func (s *stored) MediaType() (types.MediaType, error) { return s.parsed.MediaType, nil }
func (s *stored) Manifest() (*v1.Manifest, error)     { return s.parsed, nil }
func (s *stored) RawConfigFile() ([]byte, error)      { return s.layout.manifest(s.parsed.Config.Digest) }
func (s *stored) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(s) }
func (s *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range s.parsed.Layers {
		if d.Digest == h {
			return &blob{s.layout, d}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// blob is a layer in a layout.
type blob struct {
	layout layout
	desc   v1.Descriptor
}

func (b *blob) Digest() (v1.Hash, error)            { return b.desc.Digest, nil }
func (b *blob) Size() (int64, error)                { return b.desc.Size, nil }
func (b *blob) MediaType() (types.MediaType, error) { return b.desc.MediaType, nil }
func (b *blob) Compressed() (io.ReadCloser, error) {
	f, err := b.layout.Open(blobPath(b.desc.Digest))
	if err != nil {
		return nil, err
	}
	return &checked{ReadCloser: f, want: b.desc.Digest, sum: sha256.New()}, nil
}

// damaged reports that a blob does not match its digest.
type damaged struct{ digest v1.Hash }

func (d *damaged) Error() string { return "the blob " + d.digest.String() + " is damaged" }

// checked verifies the digest of a blob at the end of reading it.
type checked struct {
	io.ReadCloser
	want v1.Hash
	sum  hash.Hash
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:n]) // never fails
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.sum.Sum(nil)) != c.want.Hex {
		err = &damaged{c.want}
	}
	return n, err
}

func readAll(fsys files, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%s is too large", name)
	}
	return data, err
}

// tarFiles are the files in an uncompressed tar file, which are read directly from it. The tar file
// is opened again for each of them, so that there is nothing to close in the end.
type tarFiles struct {
	name string
	at   map[string]section
}

type section struct {
	offset, size int64
	header       *tar.Header
}

func openTar(name string) (*tarFiles, error) {
	if err := regular(name); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &tarFiles{name: name, at: map[string]section{}}
	return t, t.scan(f)
}

// regular returns an error for anything but a regular file. Others cannot be read twice, and
// opening a named pipe would wait for a writer.
func regular(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	return err
}

// scan records the offsets of the files.
func (t *tarFiles) scan(f *os.File) error {
	archive := tar.NewReader(f) // which seeks past the contents
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		t.at[path.Clean(h.Name)] = section{offset, h.Size, h}
	}
}

// Open opens a file of the tar.
func (t *tarFiles) Open(name string) (fs.File, error) {
	s, ok := t.at[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := os.Open(t.name)
	if err != nil {
		return nil, err
	}
	return &tarFile{io.NewSectionReader(f, s.offset, s.size), f, s.header}, nil
}

// tarFile is one open file of a tar file.
type tarFile struct {
	*io.SectionReader
	tar    *os.File
	header *tar.Header
}

func (f *tarFile) Stat() (fs.FileInfo, error) { return f.header.FileInfo(), nil }
func (f *tarFile) Close() error               { return f.tar.Close() }
