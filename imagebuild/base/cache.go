package base

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// format is the version of what is remembered of a base.
const format = "5"

// note is what a file of the cache holds.
type note struct {
	Format string          `json:"format"`
	Check  string          `json:"check"` // SHA-256 of Value
	Value  json.RawMessage `json:"value"`
}

// InspectOnce is Inspect, remembered by the image's digest below a directory. What is there and
// cannot be believed is inspected again.
func InspectOnce(img v1.Image, dir string) (*Base, error) {
	if dir == "" {
		return Inspect(img)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bases", digest.Hex+".json")
	var known Base
	if recall(file, &known) && known.Digest == digest.String() {
		return &known, nil
	}
	b, err := Inspect(img)
	if err != nil {
		return nil, err
	}
	return b, remember(file, b)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// recall reads a note into a value and tells whether it was there and whole.
func recall(file string, value any) bool {
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	var n note
	return json.Unmarshal(data, &n) == nil && n.Format == format && n.Check == sum(n.Value) &&
		json.Unmarshal(n.Value, value) == nil
}

// remember writes a note. A cache that cannot be written costs time only.
func remember(file string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	data, err := json.Marshal(note{format, sum(text), text})
	if err != nil {
		return err
	}
	w, err := newTemp(file)
	if err != nil {
		return nil
	}
	if _, err := w.Write(data); err != nil {
		w.abort()
		return nil
	}
	w.keep()
	return nil
}

// temp is a file that becomes another when it is whole.
type temp struct {
	*os.File
	target string
}

func newTemp(target string) (*temp, error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(target), ".tmp-*")
	return &temp{f, target}, err
}

// abort and keep end with one name at most; that the disk fails costs what was to be kept.
func (t *temp) abort() {
	t.Close()
	os.Remove(t.Name())
}

func (t *temp) keep() {
	if t.Close() != nil || os.Rename(t.Name(), t.target) != nil {
		os.Remove(t.Name())
	}
}

// cachedImage keeps a registry's layers on disk once they were read to the end.
type cachedImage struct {
	v1.Image
	dir string
}

func (c *cachedImage) Layers() ([]v1.Layer, error) {
	layers, err := c.Image.Layers()
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return nil, err
		}
		kept, err := partial.CompressedToLayer(&cachedLayer{l, filepath.Join(c.dir, "blobs", "sha256", digest.Hex)})
		if err != nil {
			return nil, err
		}
		if m, ok := l.(*remote.MountableLayer); ok {
			kept = &remote.MountableLayer{Layer: kept, Reference: m.Reference}
		}
		layers[i] = kept
	}
	return layers, nil
}

type cachedLayer struct {
	layer v1.Layer
	file  string
}

func (c *cachedLayer) Digest() (v1.Hash, error)            { return c.layer.Digest() }
func (c *cachedLayer) DiffID() (v1.Hash, error)            { return c.layer.DiffID() }
func (c *cachedLayer) Size() (int64, error)                { return c.layer.Size() }
func (c *cachedLayer) MediaType() (types.MediaType, error) { return c.layer.MediaType() }

// Compressed reads the kept file if it is whole, and checks it on the way; else the layer.
func (c *cachedLayer) Compressed() (io.ReadCloser, error) {
	digest, err := c.layer.Digest()
	if err != nil {
		return nil, err
	}
	size, err := c.layer.Size()
	if err != nil {
		return nil, err
	}
	if c.whole(digest, size) {
		return os.Open(c.file)
	}
	r, err := c.layer.Compressed()
	if err != nil {
		return nil, err
	}
	t, err := newTemp(c.file)
	if err != nil {
		return r, nil
	}
	return &keeper{r: r, temp: t, hash: sha256.New(), want: digest.Hex}, nil
}

// whole tells whether the kept file has the layer's bytes. It is hashed each time: a base is small,
// and a reader cannot take back what it has handed on.
func (c *cachedLayer) whole(digest v1.Hash, size int64) bool {
	info, err := os.Stat(c.file)
	if err != nil || info.Size() != size {
		return false
	}
	f, err := os.Open(c.file)
	if err != nil {
		return false
	}
	defer f.Close()
	got, _, err := v1.SHA256(f)
	return err == nil && got == digest
}

// keeper copies what is read to a file, which is kept if it is the blob that was asked for.
type keeper struct {
	r    io.ReadCloser
	temp *temp
	hash hash.Hash
	want string
	end  bool
	bad  bool
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.hash.Write(p[:n]) // never fails
	if _, werr := k.temp.Write(p[:n]); werr != nil {
		k.bad = true
	}
	if errors.Is(err, io.EOF) {
		k.end = true
		if got := hex.EncodeToString(k.hash.Sum(nil)); got != k.want {
			k.bad = true
			return n, fmt.Errorf("the base's layer sha256:%s was sent as sha256:%s", k.want, got)
		}
	}
	return n, err
}

func (k *keeper) Close() error {
	if k.end && !k.bad {
		k.temp.keep()
	} else {
		k.temp.abort()
	}
	return k.r.Close()
}
