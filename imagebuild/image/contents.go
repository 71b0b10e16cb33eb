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

// Contents is what an image holds of its environment.
type Contents struct {
	Config *v1.ConfigFile
	Size   int64  // bytes of all layers, as they are stored; 0 where that is not known without packing them
	Lock   []byte // pylock.toml, nil if there is none
	// Model holds the small files of the model, nil if there is no MLmodel. Larger ones are not in
	// it, and neither are those of layers that did not have to be read.
	Model fs.FS
	// Skipped are files of the model that were seen but are too large to be kept.
	Skipped []string
}

// What is kept of an image, in bytes. Code and environment files are far smaller.
const (
	maxFile  = 4 << 20
	maxFiles = 128 << 20

	// Bounds on the layers that are read, which are mostly mlenv's own, and anybody's else.
	maxEntries = 1_000_000
	maxName    = 4096 // bytes of a path; Linux opens none that is longer
)

// Where mlenv puts things, as tar paths.
var (
	lockPath  = strings.TrimPrefix(serving.LockPath, "/")
	modelPath = strings.TrimPrefix(serving.ModelPath, "/")
)

// CreatedBy is what the history of an image says of the layers that mlenv put on its base.
const CreatedBy = "mlenv image"

// BaseDigest is the annotation with the digest of the base that an image is built on (OCI
// image-spec, "Pre-Defined Annotation Keys").
const BaseDigest = "org.opencontainers.image.base.digest"

// KindAnnotation is the annotation of a layer's descriptor that says what the layer is, where a
// reader of images has to know it. Most layers have none.
const KindAnnotation = "io.mlenv.layer.kind"

// CodeLayer is the kind of a layer that holds code of the model, which people compare between two
// versions, and which therefore is read although it is not the last one.
const CodeLayer = "code"

// Read reads an image's layers from the last to the first until it has the lock and MLmodel. In
// images of mlenv both are in the last layer, which is small.
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
	code := func(int) bool { return true } // a Docker tarball has no annotations, but is at hand
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
	first := firstOurs(config, len(layers))
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

// firstOurs returns the first layer that could hold something of mlenv's: the first one that is not
// the base's, where the history tells.
func firstOurs(config *v1.ConfigFile, layers int) int {
	at := 0
	for _, h := range config.History {
		if h.EmptyLayer || at >= layers {
			continue
		}
		if h.CreatedBy == CreatedBy {
			return at
		}
		at++
	}
	return 0
}

// found is what the layers read so far, the upper ones, hold.
type found struct {
	files   map[string][]byte // by tar path
	hidden  map[string]bool   // paths that an upper layer removed or replaced
	skipped map[string]bool   // relative to the model
	size    int
	entries int // of all layers that were read
}

func (f *found) complete() bool {
	return f.files[lockPath] != nil && f.files[modelPath+"/MLmodel"] != nil
}

// read takes in a layer below those read before.
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
			// Reading to the end is what lets the layer check its digest.
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

// wanted tells whether a file is of interest and not hidden by an upper layer.
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

// model returns the model's files as a file system: a zip in memory is one.
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
