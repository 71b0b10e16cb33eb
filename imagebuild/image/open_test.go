package image_test

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
)

const (
	lockAt  = "opt/venv/pylock.toml"
	modelAt = "opt/ml/model/"
)

// file is one of a layer: one whose name begins with .wh. deletes what is below it.
type file struct{ name, text string }

func text(name, content string) file { return file{name, content} }

func tarOf(t *testing.T, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// makeImage makes an image of layers, the first of them the base's; the others are marked as mlenv's,
// each with its kind.
func makeImage(t *testing.T, kinds []string, layers ...[]file) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for i, files := range layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tarOf(t, files))), nil })
		if err != nil {
			t.Fatal(err)
		}
		add := mutate.Addendum{Layer: l}
		if i > 0 && i <= len(kinds) && kinds[i-1] != "" {
			add.Annotations = map[string]string{image.KindAnnotation: kinds[i-1]}
		}
		if img, err = mutate.Append(img, add); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	if kinds != nil {
		config.History = []v1.History{{CreatedBy: "base"}, {CreatedBy: "nothing", EmptyLayer: true}}
		for range kinds {
			config.History = append(config.History, v1.History{CreatedBy: image.CreatedBy})
		}
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func read(t *testing.T, img v1.Image) *image.Contents {
	t.Helper()
	c, err := image.Read(&image.Image{Image: img, Digest: "sha256:known"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listing returns the lock and the model's files with what they hold.
func listing(t *testing.T, c *image.Contents) string {
	t.Helper()
	var out []string
	if c.Lock != nil {
		out = append(out, "lock="+string(c.Lock))
	}
	if c.Model != nil {
		err := fs.WalkDir(c.Model, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(c.Model, name)
			out = append(out, name+"="+string(data))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(append(out, c.Skipped...), " ")
}

func TestRead(t *testing.T) {
	big := strings.Repeat("x", 5<<20)
	for _, tt := range []struct {
		name   string
		kinds  []string
		layers [][]file
		want   string
	}{
		{"nothing", nil, [][]file{{text("etc/passwd", "x")}}, ""},
		{"all in the last layer", nil, [][]file{
			{text(modelAt+"stale", "1")},
			{text(lockAt, "L"), text(modelAt+"MLmodel", "M"), text(modelAt+"code/a.py", "a")},
		}, "lock=L MLmodel=M code/a.py=a"},
		{"an upper layer wins", nil, [][]file{
			{text(lockAt, "old"), text(modelAt+"MLmodel", "old")},
			{text(modelAt+"MLmodel", "new")},
		}, "lock=old MLmodel=new"},
		{"a file is removed", nil, [][]file{
			{text(lockAt, "L"), text(modelAt+"MLmodel", "M"), text(modelAt+"gone", "1"), text(modelAt+"kept", "1")},
			{text(modelAt+".wh.gone", "")},
		}, "lock=L MLmodel=M kept=1"},
		{"a directory is emptied", nil, [][]file{
			{text(lockAt, "L"), text(modelAt+"MLmodel", "M"), text(modelAt+"code/old.py", "1")},
			{text(modelAt+"code/.wh..wh..opq", ""), text(modelAt+"code/new.py", "2")},
		}, "lock=L MLmodel=M code/new.py=2"},
		{"a file replaces a directory", nil, [][]file{
			{text(lockAt, "L"), text(modelAt+"MLmodel", "M"), text(modelAt+"code/old.py", "1")},
			{text(modelAt+"code", "2")},
		}, "lock=L MLmodel=M code=2"},
		{"the base is left alone", []string{"", ""}, [][]file{
			{text(modelAt+"MLmodel", "of the base")},
			{text("opt/venv/x", "")},
			{text(lockAt, "L")},
		}, "lock=L"},
		{"the layer of code is read, that of weights is not", []string{image.CodeLayer, "", ""}, [][]file{
			{text("etc/passwd", "x")},
			{text(modelAt+"code/a.py", "a")},
			{text(modelAt+"weights", "w")},
			{text(lockAt, "L"), text(modelAt+"MLmodel", "M")},
		}, "lock=L MLmodel=M code/a.py=a"},
		{"what is too large is named", nil, [][]file{
			{text(lockAt, "L"), text(modelAt+"MLmodel", "M"), text(modelAt+"weights", big)},
		}, "lock=L MLmodel=M weights"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, listing(t, read(t, makeImage(t, tt.kinds, tt.layers...)))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func open(t *testing.T, ref string, p *v1.Platform) *image.Image {
	t.Helper()
	img, err := image.Open(t.Context(), ref, p, image.Remote{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Of an image in a registry no more is fetched than its last layer.
func TestOnlyWhatIsNeededIsFetched(t *testing.T) {
	var mu sync.Mutex
	fetched := map[string]bool{}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := strings.LastIndex(r.URL.Path, "/blobs/"); at > 0 && r.Method == http.MethodGet {
			mu.Lock()
			fetched[r.URL.Path[at+7:]] = true
			mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	}))
	defer s.Close()
	img := makeImage(t, []string{"", image.CodeLayer, "", ""},
		[]file{text("etc/passwd", "x")}, []file{text("opt/venv/x", "")}, []file{text(modelAt+"code/a.py", "a")},
		[]file{text(modelAt+"weights", "w")}, []file{text(lockAt, "L"), text(modelAt+"MLmodel", "M")})
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/churn:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	clear(fetched)
	got, err := image.Read(open(t, ref.Name(), nil))
	if err != nil {
		t.Fatal(err)
	}
	if list := listing(t, got); list != "lock=L MLmodel=M code/a.py=a" {
		t.Errorf("read %s", list)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{m.Config.Digest.String(): true, m.Layers[2].Digest.String(): true, m.Layers[4].Digest.String(): true}
	if diff := cmp.Diff(want, fetched); diff != "" {
		t.Errorf("blobs fetched (-want +got)\n%s", diff)
	}
	var size int64
	for _, l := range m.Layers {
		size += l.Size
	}
	if got.Size != size {
		t.Errorf("the size is %d, want %d", got.Size, size)
	}
}

// twoPlatforms returns an index with images whose locks say which they are.
func twoPlatforms(t *testing.T) v1.ImageIndex {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{"arm64", "amd64", "unknown"} {
		img := makeImage(t, nil, []file{text(lockAt, arch)})
		p := &v1.Platform{OS: "linux", Architecture: arch}
		if arch == "unknown" {
			p.OS = arch // as attestations are marked
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	return index
}

// Every place gives the same images, by platform.
func TestPlacesAndPlatforms(t *testing.T) {
	dir := t.TempDir()
	index := sink.Artifact{Index: twoPlatforms(t)}
	for _, s := range []sink.Sink{sink.Layout(filepath.Join(dir, "layout"), "churn:1"), sink.OCITar(filepath.Join(dir, "one.tar"), "churn:1")} {
		if _, err := s.Send(t.Context(), index); err != nil {
			t.Fatal(err)
		}
	}
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	pushed := strings.TrimPrefix(s.URL, "http://") + "/churn:1"
	ref, err := name.ParseReference(pushed)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index.Index); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"oci:" + dir + "/layout", "oci:" + dir + "/layout:churn:1", "oci-tar:" + dir + "/one.tar", pushed} {
		for _, arch := range []string{"", "amd64", "arm64"} {
			p, want := (*v1.Platform)(nil), "amd64"
			if arch != "" {
				p, want = &v1.Platform{OS: "linux", Architecture: arch}, arch
			}
			c, err := image.Read(open(t, place, p))
			if err != nil {
				t.Fatal(err)
			}
			if string(c.Lock) != want {
				t.Errorf("%s for %q: the image for %s", place, arch, c.Lock)
			}
		}
		_, err := image.Open(t.Context(), place, &v1.Platform{OS: "linux", Architecture: "s390x"}, image.Remote{})
		if err == nil || !strings.Contains(err.Error(), "there is no image for linux/s390x, only for linux/arm64, linux/amd64") {
			t.Errorf("%s for s390x: %v", place, err)
		}
	}
}

// A layout whose bytes are not what their names say is refused.
func TestDamage(t *testing.T) {
	for _, what := range []string{"layer", "manifest", "config"} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "layout")
			img := makeImage(t, nil, []file{text(lockAt, "L"), text(modelAt+"MLmodel", "M")})
			if _, err := sink.Layout(dir, "").Send(t.Context(), sink.Artifact{Image: img}); err != nil {
				t.Fatal(err)
			}
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			digest, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			blob := map[string]v1.Hash{"layer": m.Layers[0].Digest, "manifest": digest, "config": m.Config.Digest}[what]
			at := filepath.Join(dir, "blobs", "sha256", blob.Hex)
			data, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			if what == "layer" {
				data[4] ^= 1 // the time in gzip's header, which no reader looks at
			} else {
				data = append(data, ' ')
			}
			if err := os.WriteFile(at, data, 0o644); err != nil {
				t.Fatal(err)
			}
			opened, err := image.Open(t.Context(), "oci:"+dir, nil, image.Remote{})
			if err == nil {
				_, err = image.Read(opened)
			}
			if err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
