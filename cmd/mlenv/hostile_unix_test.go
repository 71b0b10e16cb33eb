//go:build linux || darwin

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/index/indextest"
)

// Bounds on what one hostile input may take.
const (
	hostileMemory = 500 << 20 // bytes of resident memory
	hostileCPU    = 60        // seconds, of a machine that may be slow
	hostileFile   = 1 << 30   // bytes of a file
)

// hostileWorld makes inputs that nobody means well with. Everything depends on the seed alone.
type hostileWorld struct {
	*imageWorld
	rng *rand.Rand
	dir string
}

// bad is what the inputs are made of, beside what is right in them.
var bad = []string{
	"\x00", "\xff\xfe", "\x1b[2J", "\n::add-mask::x\n", "\u202e", "\u2028", strings.Repeat("A", 70_000), strings.Repeat("[", 20_000), strings.Repeat("(", 20_000),
	strings.Repeat("{", 20_000), strings.Repeat("a,", 20_000), strings.Repeat("!=1,", 5_000), strings.Repeat("- ", 20_000), "../../../../etc/passwd", "/etc/passwd",
	"-1", "99999999999999999999", "1e999", "null", "&a [*a, *a]", "<<: *x", "%s%n%x", "${HOME}", "`id`", "$(id)", "'\"", "\\", "\r\n\r\n", "#", ";", "@", "://", "?", strings.Repeat("1.", 5_000),
}

// spoil changes a text in a few places.
func (w *hostileWorld) spoil(text []byte) []byte {
	out := bytes.Clone(text)
	if w.rng.IntN(10) == 0 {
		return out // so that it shows that what is right is accepted
	}
	for range 1 + w.rng.IntN(4) {
		if len(out) == 0 {
			return []byte(bad[w.rng.IntN(len(bad))])
		}
		at := w.rng.IntN(len(out))
		switch w.rng.IntN(5) {
		case 0:
			out[at] ^= byte(1 << w.rng.IntN(8))
		case 1:
			out = out[:at]
		case 2:
			end := min(len(out), at+1+w.rng.IntN(200))
			out = bytes.Join([][]byte{out[:end], out[at:end], out[end:]}, nil)
		case 3:
			out = append(out[:at], out[min(len(out), at+1+w.rng.IntN(50)):]...)
		default:
			out = bytes.Join([][]byte{out[:at], []byte(bad[w.rng.IntN(len(bad))]), out[at:]}, nil)
		}
	}
	return out
}

// spoiledModel is the world's model with one file spoiled.
func (w *hostileWorld) spoiledModel(t *testing.T) string {
	dir := filepath.Join(w.dir, "model")
	must(t, os.RemoveAll(dir))
	must(t, os.CopyFS(dir, os.DirFS(w.model)))
	must(t, os.WriteFile(filepath.Join(dir, "conda.yaml"), []byte("channels: [conda-forge]\ndependencies:\n- python=3.11.9\n- pip:\n  - churn\n"), 0o600))
	name := filepath.Join(dir, []string{"MLmodel", "requirements.txt", "python_env.yaml", "conda.yaml", "code/churn/__init__.py"}[w.rng.IntN(5)])
	data, err := os.ReadFile(name)
	must(t, err)
	if strings.HasSuffix(name, ".py") {
		data = []byte("import os, numpy as np\nfrom . import x\ntry:\n    import y\nexcept ImportError:\n    z = f'{y!r}'\n")
	}
	must(t, os.WriteFile(name, w.spoil(data), 0o600))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// models are read by every command that reads models.
func (w *hostileWorld) models(t *testing.T) []string {
	dir := w.spoiledModel(t)
	return [][]string{
		{"resolve", dir}, {"check", dir, "--format", "sarif"}, {"check", dir}, {"diff", w.model, dir},
		{"lock", dir, "--index-url", w.index.URL, "-o", filepath.Join(w.dir, "pylock.toml")},
	}[w.rng.IntN(5)]
}

// wheels are built into images.
func (w *hostileWorld) wheels(t *testing.T) []string {
	dir := filepath.Join(w.dir, "wheels")
	must(t, os.RemoveAll(dir))
	must(t, os.Mkdir(dir, 0o700))
	for _, d := range indextest.Parse("mlflow 3.1.0: churn", "churn 2.0: deep", "deep 0.1", "pip 24.0") {
		data := d.Bytes()
		if d.Name == "churn" {
			data = w.spoil(data)
		}
		must(t, os.WriteFile(filepath.Join(dir, d.Filename()), data, 0o600))
	}
	return []string{"image", w.model, "--base", "oci:" + w.base, "--no-index", "--find-links", dir, "-o", "oci:" + filepath.Join(w.dir, "layout")}
}

// server answers every request with what it is given.
func (w *hostileWorld) server(t *testing.T, contentType string, body []byte) string {
	zip := w.rng.IntN(4) == 0
	endless := w.rng.IntN(6) == 0
	redirect := w.rng.IntN(8) == 0
	length := w.rng.IntN(8) == 0
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case redirect && len(r.URL.Path) < 200:
			http.Redirect(rw, r, r.URL.Path+"/x", http.StatusFound)
			return
		case length:
			rw.Header().Set("Content-Range", "bytes 0-1/4611686018427387904")
		}
		rw.Header().Set("Content-Type", contentType)
		var out io.Writer = rw
		if zip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			rw.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(rw)
			defer z.Close()
			out = z
		}
		for i := 0; i == 0 || endless && i < 20_000; i++ {
			if _, err := out.Write(body); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// indexes are asked for locks.
func (w *hostileWorld) indexes(t *testing.T) []string {
	kind := []string{"application/vnd.pypi.simple.v1+json", "text/html", "application/octet-stream", "application/vnd.pypi.simple.v2+json"}[w.rng.IntN(4)]
	page := `{"meta":{"api-version":"1.1"},"name":"churn","versions":["2.0"],"files":[{"filename":"churn-2.0-py3-none-any.whl","url":"churn-2.0-py3-none-any.whl","hashes":{"sha256":"` + strings.Repeat("0", 64) + `"},"size":100,"core-metadata":true}]}`
	if kind == "text/html" {
		page = `<!DOCTYPE html><html><body><a href="churn-2.0-py3-none-any.whl#sha256=` + strings.Repeat("0", 64) + `">churn-2.0-py3-none-any.whl</a></body></html>`
	}
	return []string{"lock", w.model, "--index-url", w.server(t, kind, w.spoil([]byte(page))), "--network-timeout", "5", "-o", filepath.Join(w.dir, "pylock.toml")}
}

// registries are asked for bases, and for images to compare with.
func (w *hostileWorld) registries(t *testing.T) []string {
	kind := string([]types.MediaType{types.OCIManifestSchema1, types.OCIImageIndex, types.DockerManifestList, types.DockerManifestSchema1}[w.rng.IntN(4)])
	hash := "sha256:" + strings.Repeat("0", 64)
	manifest := `{"schemaVersion":2,"mediaType":"` + kind + `","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":100,"digest":"` + hash + `"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":100,"digest":"` + hash + `"}],` +
		`"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":100,"digest":"` + hash + `","platform":{"os":"linux","architecture":"amd64"}}]}`
	ref := strings.TrimPrefix(w.server(t, kind, w.spoil([]byte(manifest))), "http://") + "/churn:1"
	return [][]string{
		{"diff", w.model, ref, "--network-timeout", "5"},
		{"lock", w.model, "--base", ref, "--index-url", w.index.URL, "--network-timeout", "5", "-o", filepath.Join(w.dir, "pylock.toml")},
	}[w.rng.IntN(2)]
}

// bases are looked into.
func (w *hostileWorld) bases(t *testing.T) []string {
	img, err := basetest.Slim("3.11.9")
	must(t, err)
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(w.layer(t), types.OCILayer), MediaType: types.OCILayer})
	must(t, err)
	if w.rng.IntN(10) == 0 {
		file, err := img.ConfigFile()
		must(t, err)
		file = file.DeepCopy()
		for i := range 300_000 {
			file.Config.Env = append(file.Config.Env, "A"+strconv.Itoa(i)+"=aaaaaaaaaaaaaaaaaaaaaaaa")
		}
		img, err = mutate.ConfigFile(img, file)
		must(t, err)
	}
	dir := filepath.Join(w.dir, "base")
	must(t, os.RemoveAll(dir))
	w.store(t, dir, img)
	return []string{"lock", w.model, "--base", "oci:" + dir, "--index-url", w.index.URL, "-o", filepath.Join(w.dir, "pylock.toml")}
}

func (w *hostileWorld) store(t *testing.T, dir string, img v1.Image) {
	if _, err := sink.Layout(dir, "x").Send(t.Context(), sink.Artifact{Image: img}); err != nil {
		// A layer that cannot be read cannot be written either; the base is then an empty one.
		must(t, os.RemoveAll(dir))
		_, err = sink.Layout(dir, "x").Send(t.Context(), sink.Artifact{Image: empty.Image})
		must(t, err)
	}
}

// layer is one that fills the memory, hides something, or is spoiled.
func (w *hostileWorld) layer(t *testing.T) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(t, err)
	archive := tar.NewWriter(z)
	entry := func(name, link string, kind byte, size int64) {
		must(t, archive.WriteHeader(&tar.Header{Name: name, Linkname: link, Typeflag: kind, Size: size, Mode: 0o755}))
		_, err := io.CopyN(archive, zeros{}, size)
		must(t, err)
	}
	switch w.rng.IntN(7) {
	case 0:
		entry("var/lib/dpkg/status", "", tar.TypeReg, int64(1+w.rng.IntN(400))<<20)
	case 1:
		for i := range 100 {
			entry(strings.Repeat("x", 500_000)+strconv.Itoa(i), "", tar.TypeReg, 0)
		}
	case 2:
		entry(strings.Repeat("d/", 20_000)+"f", "", tar.TypeReg, 0)
	case 3:
		for i := range 50_000 {
			entry(fmt.Sprintf("d%d/%s/f", i%100, strings.Repeat("e/", i%50)), "", tar.TypeReg, 0)
		}
	case 4:
		entry("opt/venv/.wh"+strings.Repeat(".", 1+w.rng.IntN(3)), "", tar.TypeReg, 0)
	case 5:
		for i := range 100 {
			entry(fmt.Sprintf("usr/local/bin/python3.%d", i), "", tar.TypeReg, 1<<20)
			entry(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", (i+1)%100), tar.TypeSymlink, 0)
		}
	default:
		entry("\x1b[2J\n::error::x", "", tar.TypeReg, 10)
		entry("usr/local/bin/python3", "/usr/local/bin/python3", tar.TypeSymlink, 0)
	}
	must(t, archive.Close())
	must(t, z.Close())
	if w.rng.IntN(4) == 0 {
		return w.spoil(out.Bytes())
	}
	return out.Bytes()
}

// zeros are as many as are read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestHostile gives mlenv models, wheels, indexes, registries and bases of hostile hands, each in a
// process of its own with bounds on memory, time and files. It may refuse or accept them; it may not
// crash, hang, take more than its bounds, or print what steers a terminal or a CI system.
func TestHostile(t *testing.T) {
	rounds := 2 // of each kind; make soak does more
	if n, err := strconv.Atoi(os.Getenv(hostileInputs)); err == nil {
		rounds = n
	}
	w := &hostileWorld{newImageWorld(t), rand.New(rand.NewPCG(1, 2)), t.TempDir()}
	type count struct{ tried, refused, accepted int }
	for _, kind := range []struct {
		name string
		make func(*testing.T) []string
	}{{"models", w.models}, {"wheels", w.wheels}, {"indexes", w.indexes}, {"registries", w.registries}, {"bases", w.bases}} {
		var n count
		most := int64(0)
		for round := range rounds {
			args := kind.make(t)
			env := map[string]string{"HOME": w.env["HOME"], "MLENV_CACHE_DIR": filepath.Join(w.dir, "cache"), tellFile: strconv.Itoa(hostileFile), tellCPU: strconv.Itoa(hostileCPU)}
			p := newProcess(env, args...)
			_ = p.Run() // the exit code says it
			code := p.ProcessState.ExitCode()
			usage, ok := p.ProcessState.SysUsage().(*syscall.Rusage)
			if !ok {
				t.Fatal("nothing is known of what the process took")
			}
			rss := int64(usage.Maxrss)
			if runtime.GOOS == "linux" {
				rss <<= 10 // it is in kilobytes there
			}
			most = max(most, rss)
			switch n.tried++; code {
			case exitOK, exitFindings:
				n.accepted++
			case exitFailure:
				n.refused++
			default:
				t.Errorf("%s %d: %s ended with %s\n%.2000s", kind.name, round, args[0], p.ProcessState, p.stderr.String())
			}
			if rss > hostileMemory {
				t.Errorf("%s %d: %s took %d MB", kind.name, round, args[0], rss>>20)
			}
			if wrong := steers(p.stderr.String()); wrong != "" {
				t.Errorf("%s %d: %s: stderr %.300q", kind.name, round, args[0], wrong)
			}
		}
		t.Logf("%s: %d tried, %d refused, %d accepted; at most %d MB", kind.name, n.tried, n.refused, n.accepted, most>>20)
	}
}
