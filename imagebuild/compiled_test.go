package imagebuild_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/compile"
	"mlenv/resolve/cache"
	mlmodel "mlenv/resolve/model"
	"mlenv/resolve/pep440"
)

// hostBase is a base of a CPython of this machine, which can compile.
func hostBase(t *testing.T) *base.Found {
	t.Helper()
	dirs := append([]string{"/usr/bin", "/usr/local/bin"}, filepath.SplitList(os.Getenv("PATH"))...)
	for _, version := range []string{"3.11", "3.12", "3.13", "3.14", "3.10", "3.9"} {
		file, err := base.FindHost(pep440.MustParse(version), dirs)
		if err != nil {
			continue
		}
		img, err := base.Host(t.Context(), file, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := base.Inspect(img)
		if err != nil {
			t.Fatal(err)
		}
		return &base.Found{Base: b, Image: img, Name: "registry.example/python:host"}
	}
	t.Skip("no CPython 3.9 to 3.14 on this machine")
	return nil
}

func compiler(t *testing.T, b *base.Found, jobs int) *compile.Compiler {
	t.Helper()
	c := &compile.Compiler{Image: b.Image, Python: b.Python, Minor: int(b.Version.Release()[1]), Dir: t.TempDir(), Jobs: jobs}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Compiled files are in layers of their own, above which and below which nothing changes; they are the same
// whoever makes them, and what is remembered of them is as good.
func TestCompiled(t *testing.T) {
	b := hostBase(t)
	files := model()
	files["code/pricing/__init__.py"].Data = []byte("rate = {'a', 'b', 'c'}\n")
	r := makeRecipe(t, mlmodel.Files(files))
	r.Base = b
	dir := t.TempDir()
	gamma := makeWheel(t, dir, "gamma", "1.0", map[string]string{
		"gamma/__init__.py": "def f(x):\n    return x in {'p', 'q', 'r', 's'}\n", "gamma/old.py": "print 1\n", "gamma/tests/test_f.py": "x = 1\n", "gamma/empty.py": "",
	})
	r.Wheels = append(r.Wheels, gamma)
	plain := build(t, &imagebuild.Builder{Jobs: 2}, r)

	memo := memoIn(t.TempDir())
	r.Compiler = compiler(t, b, 1)
	first := build(t, &imagebuild.Builder{Jobs: 2, Memo: memo}, r)
	if err := validate.Image(first); err != nil {
		t.Error(err)
	}
	want := digest(t, first)
	if lost := layersOf(plain); !subset(lost, layersOf(first)) {
		t.Errorf("layers %v, without compiled files %v", layersOf(first), lost)
	}
	there, cached := extract(t, first), func(name string) string { return compile.Cached(name, r.Compiler.Minor) }
	site := filepath.Join("opt/venv/lib", "python"+b.Minor(), "site-packages")
	for name, compiled := range map[string]bool{
		site + "/alpha/__init__.py": true, site + "/gamma/__init__.py": true, site + "/gamma/empty.py": true, "opt/ml/model/code/pricing/__init__.py": true,
		site + "/gamma/old.py": false, site + "/gamma/tests/test_f.py": false, "usr/local/lib/python" + b.Minor() + "/json/decoder.py": true,
	} {
		data, ok := there[cached(name)]
		if ok != compiled {
			t.Errorf("%s: compiled: %v", name, ok)
		}
		if ok && (data[4] != 3 || !strings.Contains(data, "/"+name)) {
			t.Errorf("%s: its compiled file is of another source: %q", name, data)
		}
	}

	r.Compiler = compiler(t, b, 3)
	if got := digest(t, build(t, &imagebuild.Builder{Jobs: 1}, r)); got != want {
		t.Errorf("compiled by three processes: %s, want %s", got, want)
	}
	// Whatever is remembered needs no Python at all, until somebody wants the bytes.
	r.Compiler = &compile.Compiler{Image: b.Image, Python: b.Python, Minor: r.Compiler.Minor, Dir: "/nowhere"}
	again := build(t, &imagebuild.Builder{Jobs: 2, Memo: memo}, r)
	if got := digest(t, again); got != want {
		t.Errorf("remembered: %s, want %s", got, want)
	}
	if err := readAll(t, again); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("the bytes came from nowhere: %v", err)
	}
}

func layersOf(img *imagebuild.Image) (out []string) {
	for _, l := range img.Contents {
		if l.Holds != "lock and small files of the model" {
			out = append(out, l.Digest.String())
		}
	}
	return out
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

// A wheel whose compiled modules were kept is not compiled again, though the layer that it is in is another.
func TestCompiledIsKept(t *testing.T) {
	b, dir := hostBase(t), t.TempDir()
	store := cache.Open(dir, nil)
	with := func(t *testing.T, r imagebuild.Recipe, memo imagebuild.Memo) string {
		t.Helper()
		r.Base, r.Compiler = b, compiler(t, b, 1)
		r.Compiler.Blobs = store.Blobs()
		img := build(t, &imagebuild.Builder{Jobs: 1, Memo: memo}, r)
		if err := readAll(t, img); err != nil {
			t.Error(err)
		}
		return digest(t, img)
	}
	r := makeRecipe(t, mlmodel.Files(model()))
	want := with(t, r, store.Memos())
	if err := os.RemoveAll(kindDir(dir, imagebuild.LayersMemo)); err != nil {
		t.Fatal(err)
	}
	if got := with(t, r, store.Memos()); got != want {
		t.Errorf("from what was kept: %s, want %s", got, want)
	}
	// What was damaged is compiled anew.
	for _, kept := range keptFiles(t, dir) {
		if err := os.WriteFile(kept, []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(kindDir(dir, imagebuild.LayersMemo)); err != nil {
		t.Fatal(err)
	}
	if got := with(t, r, store.Memos()); got != want {
		t.Errorf("after damage: %s, want %s", got, want)
	}
}

// keptFiles are the files that are kept in a cache by their SHA-256.
func keptFiles(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, cache.BlobsFormat, "sha256", "*"))
	if err != nil || len(all) == 0 {
		t.Fatalf("nothing is kept: %v", err)
	}
	return all
}

// A base without the Python that it is said to have is an error, never an image without compiled files.
func TestCompilerFails(t *testing.T) {
	r := makeRecipe(t, model()) // whose Python is none
	r.Compiler = compiler(t, r.Base, 1)
	_, err := (&imagebuild.Builder{}).Build(t.Context(), r)
	if err == nil || !strings.Contains(err.Error(), "compiling /") && !strings.Contains(err.Error(), "looking for the base's Python: ") {
		t.Errorf("%v", err)
	}
}
