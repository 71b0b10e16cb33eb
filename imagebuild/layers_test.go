package imagebuild_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"mlenv/imagebuild"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/finding"
)

// noise does not shrink.
func noise(seed byte, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// counted counts how often files are opened, or one file.
type counted struct {
	fs.FS
	opened *atomic.Int64
	only   string // "": all files
}

func (c counted) Open(name string) (fs.File, error) {
	if f, err := fs.Stat(c.FS, name); err == nil && !f.IsDir() && (c.only == "" || c.only == name) {
		c.opened.Add(1)
	}
	return c.FS.Open(name)
}

func (c counted) Stat(name string) (fs.FileInfo, error) { return fs.Stat(c.FS, name) }

// bulky has a wheel, code and files that go into several layers of limit bytes.
func bulky(t *testing.T) imagebuild.Recipe {
	m := model()
	wheel := map[string]string{}
	for i := range byte(6) {
		wheel[fmt.Sprint("bulky/", i)] = noise(i, 60_000)
		m[fmt.Sprint("code/", i, ".bin")] = &fstest.MapFile{Data: []byte(noise(10+i, 60_000))}
		m[fmt.Sprint("shards/", i, ".bin")] = &fstest.MapFile{Data: []byte(noise(20+i, 90_000))}
		m[fmt.Sprint("small/", i, ".bin")] = &fstest.MapFile{Data: []byte(noise(30+i, 60_000))}
	}
	r := makeRecipe(t, m)
	r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "bulky", "1.0", wheel))
	return r
}

// TestMaxLayer splits every kind of part, and has what is remembered of each piece read.
func TestMaxLayer(t *testing.T) {
	const limit = 200_000
	want := extract(t, build(t, &imagebuild.Builder{}, bulky(t)))
	b := &imagebuild.Builder{Memo: memoIn(t.TempDir()), Jobs: 2}
	digests := map[string]bool{}
	for _, reused := range []bool{false, true} {
		r := bulky(t)
		r.MaxLayer = limit
		n := opened(&r)
		img := build(t, b, r)
		if (n.Load() == 0) != reused {
			t.Errorf("remembered %v: wheels were opened %d times", reused, n.Load())
		}
		if err := validate.Image(img); err != nil {
			t.Errorf("remembered %v: %v", reused, err)
		}
		if got := extract(t, img); !maps.Equal(got, want) {
			t.Errorf("remembered %v: the files are others", reused)
		}
		pieces := map[string]int{}
		for _, l := range img.Contents {
			pieces[l.Holds]++
			if !l.Base && l.Size > limit {
				t.Errorf("the layer of %s has %d bytes, more than %d", l.Holds, l.Size, limit)
			}
		}
		for _, holds := range []string{"bulky-1.0-py3-none-any.whl", "code of the model", "lock and small files of the model"} {
			if pieces[holds] < 2 {
				t.Errorf("%s is in %d layers: %v", holds, pieces[holds], pieces)
			}
		}
		digests[digest(t, img)] = true
	}
	if len(digests) != 1 {
		t.Error("what was remembered has another digest")
	}
}

// TestMaxLayerRefuses says before anything is read that there is no room.
func TestMaxLayerRefuses(t *testing.T) {
	many := model()
	for i := range byte(100) {
		many[fmt.Sprint("shards/", i)] = &fstest.MapFile{Data: []byte(noise(i, 70_000))}
	}
	lumps := model()
	lumps["code/lump.bin"] = &fstest.MapFile{Data: make([]byte, 300_000)}
	for what, tt := range map[string]struct {
		model fstest.MapFS
		limit int64
		wheel imagebuild.Wheel
		want  []string
		opens bool
	}{
		"a file of the model": {model: model(), limit: 170_000, want: []string{"/opt/ml/model/model.pkl has 160000 bytes", "170000"}},
		"a file of code":      {model: lumps, limit: 200_000, want: []string{"/opt/ml/model/code/lump.bin has 300000 bytes"}},
		"many files":          {model: many, limit: 190_000, want: []string{"40 are possible"}},
		"a large wheel": {model: model(), limit: 190_000, want: []string{"40 are possible"},
			wheel: imagebuild.Wheel{Name: "huge", Filename: "huge.whl", SHA256: strings.Repeat("0", 64), Size: 40 * 190_000}},
		"a file of a wheel": {model: model(), limit: 190_000, opens: true,
			want:  []string{"site-packages/lump.bin", "(from lump-1.0-py3-none-any.whl)", "bytes, for which"},
			wheel: makeWheel(t, t.TempDir(), "lump", "1.0", map[string]string{"lump.bin": noise(1, 199_000) + strings.Repeat(" ", 1000)})},
	} {
		t.Run(what, func(t *testing.T) {
			n := &atomic.Int64{}
			r := makeRecipe(t, counted{FS: tt.model, opened: n})
			if tt.wheel.Name != "" {
				r.Wheels = append(r.Wheels, tt.wheel)
			}
			r.MaxLayer = tt.limit
			_, err := (&imagebuild.Builder{}).Build(context.Background(), r)
			var large *imagebuild.TooLargeError
			var layers *imagebuild.TooManyLayersError
			if !errors.As(err, &large) && !errors.As(err, &layers) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if n.Load() > 0 && !tt.opens {
				t.Errorf("%d files of the model were opened", n.Load())
			}
		})
	}
}

// TestSizesAreFound builds from a lock without sizes, as pip writes it: the layers are those of a lock
// with them, and each wheel is measured once.
func TestSizesAreFound(t *testing.T) {
	recipe := func(sized bool) imagebuild.Recipe {
		r := makeRecipe(t, nil)
		dir := t.TempDir()
		for i := range 20 {
			r.Wheels = append(r.Wheels, makeWheel(t, dir, fmt.Sprint("small", i), "1.0", nil))
		}
		r.Wheels = append(r.Wheels, makeWheel(t, dir, "large", "1.0", map[string]string{"large.bin": noise(1, 8<<20)}))
		for i := range r.Wheels {
			if !sized {
				r.Wheels[i].Size = 0
			}
		}
		return r
	}
	img := build(t, &imagebuild.Builder{}, recipe(true))
	want := layerDigests(t, img)
	b := &imagebuild.Builder{Memo: memoIn(t.TempDir()), Jobs: 3}
	for _, reused := range []bool{false, true} {
		r := recipe(false)
		n := opened(&r)
		img := build(t, b, r)
		if got := layerDigests(t, img); !slices.Equal(got, want) {
			t.Errorf("remembered %v: %s, want %s", reused, got, want)
		}
		if (n.Load() == 0) != reused {
			t.Errorf("remembered %v: wheels were opened %d times", reused, n.Load())
		}
		if r.Wheels[0].Size != 0 {
			t.Error("the caller's recipe was changed")
		}
		alone := false
		for _, l := range img.Contents {
			alone = alone || l.Holds == "large-1.0-py3-none-any.whl"
		}
		if !alone {
			t.Errorf("the large wheel shares a layer: %+v", img.Contents)
		}
	}
}

// TestSameFileInTwoWheels holds that a file may come from two wheels, however each has packed it, and
// whether or not it may be executed: beside each other in one layer, or in two.
func TestSameFileInTwoWheels(t *testing.T) {
	text := strings.Repeat("the same\n", 1000)
	for what, other := range map[string]zipped{
		"packed":              {body: text},
		"stored":              {body: text, stored: true},
		"executable":          {body: text, mode: 0o755},
		"stored, executable":  {body: text, stored: true, mode: 0o755},
		"packed in other way": {body: text, level: flate.HuffmanOnly},
	} {
		for _, large := range []bool{false, true} {
			r := makeRecipe(t, nil)
			one := packWheel(t, t.TempDir(), "one", "1.0", map[string]zipped{"shared/file": {body: text}})
			two := packWheel(t, t.TempDir(), "two", "1.0", map[string]zipped{"shared/file": other})
			if large {
				two.Size = 8 << 20 // so that it is in a layer of its own
			}
			r.Wheels = append(r.Wheels, one, two)
			img := build(t, &imagebuild.Builder{}, r)
			if err := validate.Image(img); err != nil {
				t.Errorf("%s, large %v: %v", what, large, err)
			}
			if extract(t, img)["opt/venv/lib/python3.11/site-packages/shared/file"] != text {
				t.Errorf("%s, large %v: the file is another", what, large)
			}
		}
	}
}

// TestReserved lets wheels write where the last layer does.
func TestReserved(t *testing.T) {
	for file, other := range map[string]string{
		"gamma-3.0.data/data/pylock.toml":                           "the lock",
		"gamma-3.0.data/data/pylock.toml/x":                         "the lock",
		"gamma-3.0.data/scripts/mlenv-serve":                        "mlenv's launcher",
		"gamma-3.0.data/purelib/alpha-1.0.dist-info/REQUESTED":      "alpha-1.0-py3-none-any.whl",
		"gamma-3.0.data/purelib/beta-2.0.dist-info/REQUESTED":       "beta-2.0-py3-none-any.whl",
		"gamma-3.0.data/purelib/alpha-1.0.dist-info/REQUESTED/file": "alpha-1.0-py3-none-any.whl",
	} {
		r := makeRecipe(t, nil)
		r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "gamma", "3.0", map[string]string{file: "x"}))
		_, err := (&imagebuild.Builder{}).Build(context.Background(), r)
		var c *imagebuild.CollisionError
		if !errors.As(err, &c) || !slices.Contains(c.Wheels[:], other) || !slices.Contains(c.Wheels[:], "gamma-3.0-py3-none-any.whl") {
			t.Errorf("%s: got %v, want a collision with %s", file, err, other)
		}
	}
}

// TestNotes holds that what is odd about a wheel is told, also when the wheel is not opened again.
func TestNotes(t *testing.T) {
	b := &imagebuild.Builder{Memo: memoIn(t.TempDir())}
	var many string
	for i := range 100 {
		many += fmt.Sprintf("many/%02d.py,,\n", i)
	}
	for _, reused := range []bool{false, true} {
		r := makeRecipe(t, nil)
		dir := t.TempDir()
		r.Wheels = append(r.Wheels,
			packWheel(t, dir, "odd", "1.0", map[string]zipped{"odd-1.0.dist-info/RECORD": {body: "odd/gone.py,,\n"}}),
			packWheel(t, dir, "many", "1.0", map[string]zipped{"many-1.0.dist-info/RECORD": {body: many}}))
		n := opened(&r)
		img := build(t, b, r)
		var said []string
		for _, f := range img.Findings {
			said = append(said, f.Message)
			if f.Rule != "wheel-record" || f.Severity != finding.Warning {
				t.Errorf("%+v", f)
			}
		}
		notes := strings.Join(said, "\n")
		for _, want := range []string{
			"odd-1.0-py3-none-any.whl: odd/gone.py: RECORD lists it, but the wheel lacks it",
			"many-1.0-py3-none-any.whl: and 95 more",
		} {
			if !strings.Contains(notes, want) {
				t.Errorf("remembered %v: nobody says %q:\n%s", reused, want, notes)
			}
		}
		if len(img.Findings) != 1+6 || (n.Load() == 0) != reused {
			t.Errorf("remembered %v: %d notes, wheels were opened %d times", reused, len(img.Findings), n.Load())
		}
	}
}

// TestCompressions holds that compressing again changes the layers' bytes and nothing else. That an
// image with Zstandard is valid go-containerregistry cannot tell, so its layers are read here.
func TestCompressions(t *testing.T) {
	want := extract(t, build(t, &imagebuild.Builder{}, bulky(t)))
	digests := map[string]bool{}
	for c, tt := range map[layer.Compression]struct {
		mediaType types.MediaType
		unpack    func(io.Reader) (io.Reader, error)
	}{
		layer.Splice: {types.OCILayer, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		layer.Gzip:   {types.OCILayer, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		layer.Zstd:   {types.OCILayerZStd, func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }},
	} {
		b := &imagebuild.Builder{Memo: memoIn(t.TempDir()), Jobs: 2}
		first := ""
		for _, reused := range []bool{false, true} {
			r := bulky(t)
			r.Compression = c
			img := build(t, b, r)
			if got := extract(t, img); !maps.Equal(got, want) {
				t.Errorf("%d, remembered %v: the files are others", c, reused)
			}
			if got := digest(t, img); first == "" {
				first = got
			} else if got != first {
				t.Errorf("%d, remembered %v: %s, want %s", c, reused, got, first)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range layers {
				if !img.Contents[i].Base {
					checkBlob(t, l, img.Contents[i], tt.mediaType, tt.unpack)
				}
			}
		}
		digests[first] = true
	}
	if len(digests) != 3 {
		t.Errorf("%d digests of three compressions", len(digests))
	}
}

// checkBlob compares a layer's blob with what the image says of it.
func checkBlob(t *testing.T, l v1.Layer, want imagebuild.Layer, mediaType types.MediaType, unpack func(io.Reader) (io.Reader, error)) {
	t.Helper()
	got, err := l.MediaType()
	if err != nil || got != mediaType {
		t.Errorf("%s: media type %s, want %s: %v", want.Holds, got, mediaType, err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	blob, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := unpack(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	diffID, _, err := v1.SHA256(plain)
	if err != nil {
		t.Fatal(err)
	}
	if digest, size, _ := v1.SHA256(bytes.NewReader(blob)); digest != want.Digest || size != want.Size || diffID != want.DiffID {
		t.Errorf("%s: %s of %d bytes, unpacked %s; want %+v", want.Holds, digest, size, diffID, want)
	}
}

// TestLargeFileIsNotReadAgain looks at which large files are believed to be what they were: those
// whose times are the same, and were long past when the file was hashed.
func TestLargeFileIsNotReadAgain(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	name := filepath.Join(dir, "weights.bin")
	for file, size := range map[string]int64{name: 64<<20 + 1, filepath.Join(dir, "MLmodel"): 10} {
		if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, size)); err != nil {
			t.Fatal(err)
		}
	}
	n := &atomic.Int64{}
	first := makeRecipe(t, counted{FS: os.DirFS(dir), opened: n, only: "weights.bin"})
	run := func(b *imagebuild.Builder) string {
		t.Helper()
		n.Store(0)
		return digest(t, build(t, b, first))
	}
	remember := func(after time.Duration) { // what is remembered was written so long after the file was changed
		t.Helper()
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		at := info.ModTime().Add(after)
		damage(t, kindDir(cache, "files"), func(data []byte) []byte { return data })
		err = filepath.WalkDir(kindDir(cache, "files"), func(file string, d fs.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(file, at, at))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b := &imagebuild.Builder{Memo: memoIn(cache)}
	want := run(b)
	if n.Load() != 2 {
		t.Errorf("opened %d times at first, want 2: to hash and to put into a layer", n.Load())
	}
	for what, tt := range map[string]struct {
		after   time.Duration
		builder *imagebuild.Builder
		opens   int64
	}{
		"long past": {time.Hour, b, 0}, "too fresh": {time.Second, b, 1},
		"nothing is believed": {time.Hour, &imagebuild.Builder{Memo: memoIn(cache), Fresh: true}, 2},
	} {
		remember(tt.after)
		if got := run(tt.builder); got != want || n.Load() != tt.opens {
			t.Errorf("%s: opened %d times, want %d; %s, want %s", what, n.Load(), tt.opens, got, want)
		}
	}

	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("other"), 32<<20)
	if err = errors.Join(err, f.Close(), os.Chtimes(name, before.ModTime(), before.ModTime())); err != nil {
		t.Fatal(err)
	}
	remember(time.Hour)
	if got := run(b); got == want || n.Load() != 2 {
		t.Errorf("changed, with its old time: opened %d times, %s", n.Load(), got)
	}
}
