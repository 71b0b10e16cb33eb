package imagebuild_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/flate"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	mlmodel "mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/serving"
)

// zipped is one file of a wheel.
type zipped struct {
	body   string
	mode   uint32 // permissions; 0: none are told
	stored bool
	level  int // of packing; 0: the usual one
}

// makeWheel writes a wheel with a valid RECORD.
func makeWheel(t testing.TB, dir, name, version string, files map[string]string) imagebuild.Wheel {
	t.Helper()
	all := map[string]zipped{}
	for k, v := range files {
		all[k] = zipped{body: v}
	}
	return packWheel(t, dir, name, version, all)
}

// packWheel is makeWheel for files that are packed in a certain way. A RECORD of theirs is kept.
func packWheel(t testing.TB, dir, name, version string, files map[string]zipped) imagebuild.Wheel {
	t.Helper()
	info := name + "-" + version + ".dist-info/"
	all := map[string]zipped{
		info + "METADATA": {body: "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"},
		info + "WHEEL":    {body: "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}
	maps.Copy(all, files)
	record := all[info+"RECORD"].body
	delete(all, info+"RECORD")
	for _, k := range slices.Sorted(maps.Keys(all)) {
		sum := sha256.Sum256([]byte(all[k].body))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", k, base64.RawURLEncoding.EncodeToString(sum[:]), len(all[k].body))
	}
	all[info+"RECORD"] = zipped{body: record + info + "RECORD,,\n"}

	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		f := all[k]
		h := &zip.FileHeader{Name: k, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(f.body)), UncompressedSize64: uint64(len(f.body))}
		if f.mode != 0 {
			h.CreatorVersion, h.ExternalAttrs = 3<<8, (0o100000|f.mode)<<16
		}
		packed := []byte(f.body)
		if f.stored {
			h.Method = zip.Store
		} else {
			packed = deflate(t, packed, f.level)
		}
		h.CompressedSize64 = uint64(len(packed))
		w, err := z.CreateRaw(h)
		if err == nil {
			_, err = w.Write(packed)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	filename := name + "-" + version + "-py3-none-any.whl"
	file := filepath.Join(dir, filename)
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return imagebuild.Wheel{
		Filename: filename, Name: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(b.Len()),
		Path: func(context.Context) (string, error) { return file, nil },
	}
}

func deflate(t testing.TB, plain []byte, level int) []byte {
	t.Helper()
	if level == 0 {
		level = flate.DefaultCompression
	}
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, level)
	if err == nil {
		_, err = z.Write(plain)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// opened counts how often the wheels' files are asked for.
func opened(r *imagebuild.Recipe) *atomic.Int64 {
	n := &atomic.Int64{}
	for i := range r.Wheels {
		path := r.Wheels[i].Path
		r.Wheels[i].Path = func(ctx context.Context) (string, error) {
			n.Add(1)
			return path(ctx)
		}
	}
	return n
}

func makeRecipe(t testing.TB, model fs.FS) imagebuild.Recipe {
	t.Helper()
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	b, err := base.Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := serving.New(serving.Input{Kind: serving.MLflow, MLflowVersion: pep440.MustParse("3.1.0")})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first := makeWheel(t, dir, "alpha", "1.0", map[string]string{"alpha/__init__.py": "x = 1\n", "shared/readme": "same\n"})
	first.Requested = true
	return imagebuild.Recipe{
		Base: &base.Found{Base: b, Image: img, Name: "registry.example/python:3.11.9-slim"},
		Wheels: []imagebuild.Wheel{
			first,
			makeWheel(t, dir, "beta", "2.0", map[string]string{"beta.py": "y = 2\n", "shared/readme": "same\n",
				"beta-2.0.dist-info/entry_points.txt": "[console_scripts]\nbeta = beta:main\n"}),
		},
		Lock: []byte("lock-version = \"1.0\"\n"), Model: imagebuild.Model{FS: mlmodel.Files(model), Code: []string{"code"}}, Runtime: rt,
		Labels:      map[string]string{"io.mlenv.run.id": "r1"},
		Annotations: map[string]string{"io.mlenv.run.id": "r1"},
		Created:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func model() fstest.MapFS {
	return fstest.MapFS{
		"MLmodel":                      {Data: []byte("run_id: r1\n")},
		"requirements.txt":             {Data: []byte("alpha==1.0\n")},
		"code/pricing/__init__.py":     {Data: []byte("")},
		"code/__pycache__/x.pyc":       {Data: []byte("no")},
		"code/pricing/__init__.pyc":    {Data: []byte("no")},
		"code/secret/core.pyc":         {Data: []byte("a module")},
		"model.pkl":                    {Data: bytes.Repeat([]byte("weights "), 20000)},
		"artifacts/weights.bin":        {Data: bytes.Repeat([]byte{7}, 100000)},
		"artifacts/run.sh":             {Data: []byte("#!/bin/sh\n"), Mode: 0o700},
		"artifacts/empty/.placeholder": {},
	}
}

func build(t *testing.T, b *imagebuild.Builder, r imagebuild.Recipe) *imagebuild.Image {
	t.Helper()
	img, err := b.Build(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := img.Close(); err != nil {
			t.Error(err)
		}
	})
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestBuild(t *testing.T) {
	r := makeRecipe(t, model())
	img := build(t, &imagebuild.Builder{Jobs: 2}, r)
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	files := extract(t, img)
	// A wheel's RECORD is the same for all who use it (see docs/limits.md).
	if record := files["opt/venv/lib/python3.11/site-packages/alpha-1.0.dist-info/RECORD"]; strings.Contains(record, "REQUESTED") || !strings.Contains(record, "INSTALLER") {
		t.Errorf("RECORD of what was requested:\n%s", record)
	}
	for name, want := range map[string]string{
		"opt/venv/pyvenv.cfg":         "home = /usr/local/bin\ninclude-system-site-packages = false\nversion = 3.11.9\nexecutable = /usr/local/bin/python3.11\n",
		"opt/venv/bin/python":         "-> /usr/local/bin/python3.11",
		"opt/venv/bin/python3.11":     "-> python",
		"opt/venv/lib64":              "-> lib",
		"opt/venv/pylock.toml":        "lock-version = \"1.0\"\n",
		"opt/venv/bin/mlenv-serve":    string(r.Runtime.Launcher),
		"opt/ml/model/MLmodel":        "run_id: r1\n",
		"usr/lib64/placeholder-never": "",
		"opt/venv/lib/python3.11/site-packages/alpha/__init__.py":             "x = 1\n",
		"opt/venv/lib/python3.11/site-packages/beta.py":                       "y = 2\n",
		"opt/venv/lib/python3.11/site-packages/shared/readme":                 "same\n",
		"opt/venv/lib/python3.11/site-packages/alpha-1.0.dist-info/INSTALLER": "mlenv\n",
		"opt/venv/lib/python3.11/site-packages/alpha-1.0.dist-info/REQUESTED": "",
		"opt/ml/model/code/pricing/__init__.py":                               "",
		"opt/ml/model/code/secret/core.pyc":                                   "a module",
		"lib":                                                                 "-> usr/lib",
	} {
		if got := files[name]; got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"opt/ml/model/code/__pycache__/x.pyc", "opt/ml/model/code/pricing/__init__.pyc", "opt/venv/lib/python3.11/site-packages/beta-2.0.dist-info/REQUESTED"} {
		if _, ok := files[name]; ok {
			t.Errorf("%s is in the image", name)
		}
	}
	if mode := modes(t, img)["opt/venv/bin/mlenv-serve"]; mode != 0o755 {
		t.Errorf("the launcher has mode %o", mode)
	}
	if got := files["opt/venv/bin/beta"]; !strings.HasPrefix(got, "#!/opt/venv/bin/python") {
		t.Errorf("bin/beta begins with %.40q", got)
	}
}

func TestConfig(t *testing.T) {
	img := build(t, &imagebuild.Builder{}, makeRecipe(t, model()))
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	env := strings.Join(c.Env, "\n")
	for _, want := range []string{"PATH=/opt/venv/bin:/usr/local/bin:", "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", "PYTHON_VERSION=3.11.9", "HOME=/tmp"} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment lacks %s:\n%s", want, env)
		}
	}
	if _, ok := c.ExposedPorts["8080/tcp"]; !ok || c.User != "1000:0" || c.StopSignal != "SIGTERM" || c.WorkingDir == "" {
		t.Errorf("configuration %+v", c)
	}
	if c.Healthcheck == nil || c.Healthcheck.Test[0] != "CMD" || strings.Join(c.Entrypoint, " ") != serving.Launcher || c.Cmd != nil {
		t.Errorf("health check %v, entrypoint %v, command %v", c.Healthcheck, c.Entrypoint, c.Cmd)
	}
	if c.Labels["io.mlenv.run.id"] != "r1" || !file.Created.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("labels %v, created %v", c.Labels, file.Created)
	}
	if len(file.History) < len(img.Contents)-2 || len(file.RootFS.DiffIDs) != len(img.Contents) {
		t.Errorf("%d entries of history, %d diffIDs, %d layers", len(file.History), len(file.RootFS.DiffIDs), len(img.Contents))
	}
}

// TestReproducible builds the same from different places, with caches cold, warm and damaged.
func TestReproducible(t *testing.T) {
	cache := t.TempDir()
	want := ""
	check := func(name string, b *imagebuild.Builder, m fs.FS) *imagebuild.Image {
		t.Helper()
		img := build(t, b, makeRecipe(t, m)) // new wheel files each time, in another directory
		if got := digest(t, img); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return img
	}
	check("without a cache", &imagebuild.Builder{}, model())
	check("cold", &imagebuild.Builder{Memo: memoIn(cache), Jobs: 3}, model())
	check("warm", &imagebuild.Builder{Memo: memoIn(cache), Jobs: 1}, model())
	damage(t, cache, func(data []byte) []byte { return data[:len(data)/2] })
	check("truncated", &imagebuild.Builder{Memo: memoIn(cache)}, model())
	damage(t, cache, func(data []byte) []byte { return bytes.Replace(data, []byte("sha256:"), []byte("sha256:0"), 1) })
	check("changed", &imagebuild.Builder{Memo: memoIn(cache)}, model())

	defer setUmask(0o077)()
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = time.FixedZone("nowhere", 5*3600)
	dir := t.TempDir()
	if err := os.CopyFS(dir, model()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "artifacts/run.sh"), 0o744); err != nil {
		t.Fatal(err)
	}
	check("on disk, with another umask and zone", &imagebuild.Builder{Memo: memoIn(t.TempDir())}, os.DirFS(dir))
}

func damage(t *testing.T, dir string, change func([]byte) []byte) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		n++
		return os.WriteFile(name, change(data), 0o644)
	})
	if err != nil || n == 0 {
		t.Fatalf("damaged %d files: %v", n, err)
	}
}

// TestRemembered builds twice: the second time no wheel is opened until somebody wants its bytes.
func TestRemembered(t *testing.T) {
	b := &imagebuild.Builder{Memo: memoIn(t.TempDir())}
	build(t, b, makeRecipe(t, model()))
	r := makeRecipe(t, model())
	n := opened(&r)
	img := build(t, b, r)
	if n.Load() != 0 {
		t.Errorf("wheels were opened %d times", n.Load())
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	if n.Load() != 2 {
		t.Errorf("reading the layers opened %d wheels, want 2", n.Load())
	}
}

// TestRelogged changes what changes when a model is logged again: the last layer alone is new.
func TestRelogged(t *testing.T) {
	b := &imagebuild.Builder{Memo: memoIn(t.TempDir())}
	before := build(t, b, makeRecipe(t, model()))
	again := model()
	again["MLmodel"] = &fstest.MapFile{Data: []byte("run_id: r2\n")}
	after := build(t, b, makeRecipe(t, again))
	if n := newLayers(before, after); n != 1 {
		t.Errorf("%d layers are new, want 1", n)
	}
	again["model.pkl"] = &fstest.MapFile{Data: bytes.Repeat([]byte("wiser   "), 20000)}
	if n := newLayers(before, build(t, b, makeRecipe(t, again))); n != 2 {
		t.Errorf("%d layers are new, want 2", n)
	}
}

func newLayers(before, after *imagebuild.Image) int {
	n := 0
	for _, l := range after.Contents {
		if !slices.ContainsFunc(before.Contents, func(o imagebuild.Layer) bool { return o.Digest == l.Digest }) {
			n++
		}
	}
	return n
}

// TestBuildOnBuilt builds on an image that was built: what is in it would be mixed with what is new.
func TestBuildOnBuilt(t *testing.T) {
	r := makeRecipe(t, model())
	img := build(t, &imagebuild.Builder{}, r)
	b, err := base.Inspect(img)
	if err != nil {
		t.Fatal(err)
	}
	r.Base = &base.Found{Base: b, Image: img}
	_, err = (&imagebuild.Builder{}).Build(context.Background(), r)
	var occupied *base.OccupiedError
	if !errors.As(err, &occupied) || occupied.Path != serving.Venv || !strings.HasPrefix(occupied.File, serving.Venv+"/") {
		t.Errorf("got %v", err)
	}
}

func TestCollision(t *testing.T) {
	tests := map[string]map[string]string{
		"an installer's file":    {"gamma-3.0.data/purelib/alpha-1.0.dist-info/RECORD": "other\n"},
		"a file for a directory": {"alpha": "other\n"},
		"a directory for a file": {"beta.py/x": "other\n"},
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			r := makeRecipe(t, nil)
			r.Wheels = append(r.Wheels, makeWheel(t, t.TempDir(), "gamma", "3.0", files))
			_, err := (&imagebuild.Builder{}).Build(context.Background(), r)
			var c *imagebuild.CollisionError
			if !errors.As(err, &c) {
				t.Fatalf("got %v, want a collision", err)
			}
			if !strings.Contains(err.Error(), "gamma-3.0-py3-none-any.whl") || strings.Count(err.Error(), ".whl")+strings.Count(err.Error(), "virtual") < 2 {
				t.Errorf("%v does not name both", err)
			}
		})
	}
}
