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

// maxManifest bounds manifests, indexes and configurations, in bytes. Registries take manifests of
// 4 MiB, and a configuration is as long as the history of its image, some 10 kB.
const maxManifest = 8 << 20

// refName is the annotation that names an image of a layout (OCI image-spec, annotations).
const refName = "org.opencontainers.image.ref.name"

// files gives the files of a layout by name.
type files interface {
	Open(name string) (fs.File, error)
}

// openLayout opens an image of an OCI image layout (OCI image-spec, "Image Layout").
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
	if len(fits) > 1 { // several platforms side by side, else several images
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

// names are by what the images of a layout can be asked for.
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

// layout is the store of a layout.
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

// damaged says that a blob is not what its name says.
type damaged struct{ digest v1.Hash }

func (d *damaged) Error() string { return "the blob " + d.digest.String() + " is damaged" }

// checked compares a blob with its digest when its end is read.
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

// tarFiles are the files of an uncompressed tar, read where they lie in it. It is opened for each of
// them, so that nothing stays open that somebody would have to close.
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

// regular refuses what cannot be read twice: opening a named pipe waits for somebody to write.
func regular(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	return err
}

// scan notes where the files are.
func (t *tarFiles) scan(f *os.File) error {
	archive := tar.NewReader(f) // which seeks over content
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

// tarFile is one of them.
type tarFile struct {
	*io.SectionReader
	tar    *os.File
	header *tar.Header
}

func (f *tarFile) Stat() (fs.FileInfo, error) { return f.header.FileInfo(), nil }
func (f *tarFile) Close() error               { return f.tar.Close() }
