package image

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/serving"
)

// Contents is what an image contains that describes its environment.
type Contents struct {
	Config *v1.ConfigFile
	Size   int64  // stored size of all layers in bytes; 0 if it is not known without compressing them
	Lock   []byte // pylock.toml, nil if there is none
	// Model has the small files of the model, or is nil if there is no MLmodel. It lacks large
	// files, and files in layers that did not have to be read.
	Model fs.FS
	// Skipped are files of the model that were found but are too large to keep.
	Skipped []string
}

// Limits on what is kept of an image, in bytes. Code and environment files are far smaller.
const (
	maxFile  = 4 << 20
	maxFiles = 128 << 20

	// Limits on the layers that are read. Most are made by mlenv, but an image can come from
	// anywhere.
	maxEntries = 1_000_000
	maxName    = 4096 // length of a path in bytes; the limit of Linux
)

// The paths where mlenv puts files, as in tar headers.
var (
	lockPath  = strings.TrimPrefix(serving.LockPath, "/")
	modelPath = strings.TrimPrefix(serving.ModelPath, "/")
)

// CreatedBy is the history entry of layers that mlenv adds to a base.
const CreatedBy = "mlenv image"

// BaseDigest is the annotation with the digest of the base that an image is built on (OCI
// image-spec, "Pre-Defined Annotation Keys").
const BaseDigest = "org.opencontainers.image.base.digest"

// BaseName is the annotation with the name by which the base can be pulled.
const BaseName = "org.opencontainers.image.base.name"

// KindAnnotation is the annotation of a layer's descriptor with the kind of the layer. Only layers
// that readers of images must recognize have it.
const KindAnnotation = "io.mlenv.layer.kind"

// The annotations by which an image tells the next build what is known of its layers.
const (
	LayerKey  = "io.mlenv.layer.key"  // of a layer's descriptor: hash of all that its bytes depend on
	LayerNote = "io.mlenv.layer.note" // likewise, JSON: its size unpacked, and what has to be known of its content
	Notes     = "io.mlenv.notes"      // of the manifest, JSON: notes about the whole
	Recipe    = "io.mlenv.recipe"     // likewise: how it was made
)

// CodeLayer is the kind of a layer with code of the model. It is read even if it is not the last
// layer, so that the code of two versions can be compared.
const CodeLayer = "code"

// Read reads an image's layers from the last to the first until it has found the lock and MLmodel.
// In images made by mlenv both are in the last layer, which is small.
func Read(img *Image) (*Contents, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	out := &Contents{Config: config}
	code := func(int) bool { return true } // a Docker tarball has no annotations, but reading it is cheap
	if img.Digest != "" {
		m, err := img.Manifest()
		if err != nil {
			return nil, fmt.Errorf("reading the image's manifest: %w", err)
		}
		for _, l := range m.Layers {
			out.Size += l.Size
		}
		code = func(i int) bool { return i < len(m.Layers) && m.Layers[i].Annotations[KindAnnotation] == CodeLayer }
	}
	first := FirstOurs(config, len(layers))
	f := &found{files: map[string][]byte{}, hidden: map[string]bool{}, skipped: map[string]bool{}}
	for i := len(layers) - 1; i >= first; i-- {
		if f.complete() && !code(i) {
			continue
		}
		if err := f.read(layers[i]); err != nil {
			return nil, fmt.Errorf("reading layer %d of the image: %w", i+1, err)
		}
	}
	out.Lock = f.files[lockPath]
	out.Skipped = slices.Sorted(maps.Keys(f.skipped))
	out.Model, err = f.model()
	return out, err
}

// ReadLock reads layers from the last to the first until it has found the lock, and returns nil if there
// is none.
func ReadLock(img *Image) ([]byte, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	f := &found{files: map[string][]byte{}, hidden: map[string]bool{}, skipped: map[string]bool{}}
	for i := len(layers) - 1; i >= FirstOurs(config, len(layers)) && f.files[lockPath] == nil; i-- {
		if err := f.read(layers[i]); err != nil {
			return nil, fmt.Errorf("reading layer %d of the image: %w", i+1, err)
		}
	}
	return f.files[lockPath], nil
}

// FirstOurs returns the index of the first layer that mlenv may have made: the first after the
// base, if the history shows where that ends.
func FirstOurs(config *v1.ConfigFile, layers int) int {
	first, entries := -1, 0
	for _, h := range config.History {
		if h.EmptyLayer {
			continue
		}
		if first < 0 && h.CreatedBy == CreatedBy {
			first = entries
		}
		entries++
	}
	if first < 0 {
		return 0
	}
	// Counted from the top: some bases have layers without a history.
	return max(0, layers-(entries-first))
}

// Below returns the image without the layers that mlenv added to its base: an image of the base's
// layers, though with the configuration of the whole. Of images that were not made by mlenv it
// returns all layers, because nothing shows where their base ends.
func Below(img *Image) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	n := FirstOurs(config, len(layers))
	if n == 0 && !slices.ContainsFunc(config.History, func(h v1.History) bool { return h.CreatedBy == CreatedBy }) {
		n = len(layers)
	}
	return &lower{img.Image, layers[:n]}, nil
}

// Ours returns the layers that Below leaves out, or all of an image that was not made by mlenv.
func Ours(img *Image) ([]v1.Layer, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the image's configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the image's layers: %w", err)
	}
	return layers[FirstOurs(config, len(layers)):], nil
}

// lower is an image of which the uppermost layers were taken away.
type lower struct {
	v1.Image
	layers []v1.Layer
}

func (l *lower) Layers() ([]v1.Layer, error) { return l.layers, nil }

// found is what the layers read so far contain. Upper layers are read first.
type found struct {
	files   map[string][]byte // by tar path
	hidden  map[string]bool   // paths that an upper layer removed or replaced
	skipped map[string]bool   // relative to the model
	size    int
	entries int // number of entries in all layers read
}

func (f *found) complete() bool {
	return f.files[lockPath] != nil && f.files[modelPath+"/MLmodel"] != nil
}

// read reads a layer below those read before.
func (f *found) read(layer v1.Layer) error {
	stream, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer stream.Close()
	hides := map[string]bool{}
	archive := tar.NewReader(stream)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			maps.Copy(f.hidden, hides)
			// Read to the end, so that the layer checks its digest.
			_, err = io.Copy(io.Discard, stream)
			return err
		}
		if err != nil {
			return err
		}
		if f.entries++; f.entries > maxEntries || len(h.Name) > maxName {
			return fmt.Errorf("it has more than %d files, or a path of more than %d bytes", maxEntries, maxName)
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		dir, file := path.Split(name)
		hidden, isWhiteout := strings.CutPrefix(file, ".wh.")
		switch {
		case file == ".wh..wh..opq":
			hides[path.Clean(dir)] = true
		case isWhiteout && (hidden == "" || hidden == "." || hidden == ".."):
			return fmt.Errorf("the whiteout /%s hides a directory from within", name)
		case isWhiteout:
			hides[path.Join(dir, hidden)] = true
		case f.wanted(name):
			if h.Typeflag != tar.TypeDir {
				hides[name] = true
			}
			if h.Typeflag == tar.TypeReg {
				if err := f.keep(name, h.Size, archive); err != nil {
					return fmt.Errorf("reading /%s: %w", name, err)
				}
			}
		}
	}
}

// wanted reports whether a file is of interest and not hidden by an upper layer.
func (f *found) wanted(name string) bool {
	if name != lockPath && !strings.HasPrefix(name, modelPath+"/") {
		return false
	}
	for at := name; at != "."; at = path.Dir(at) {
		if f.hidden[at] {
			return false
		}
	}
	return true
}

func (f *found) keep(name string, size int64, content io.Reader) error {
	if size > maxFile || f.size+int(size) > maxFiles {
		if name == lockPath {
			return errors.New("the lock is too large")
		}
		f.skipped[strings.TrimPrefix(name, modelPath+"/")] = true
		return nil
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	f.size += len(data)
	f.files[name] = data
	return nil
}

// model returns the model's files as a file system. A zip archive in memory is the simplest one
// that supports directories.
func (f *found) model() (fs.FS, error) {
	if f.files[modelPath+"/MLmodel"] == nil {
		return nil, nil
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		rel, ok := strings.CutPrefix(name, modelPath+"/")
		if !ok {
			continue
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: rel, Method: zip.Store})
		if err == nil {
			_, err = w.Write(f.files[name])
		}
		if err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
}
