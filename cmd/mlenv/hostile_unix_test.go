//go:build linux || darwin

package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
	rng    *rand.Rand
	dir    string
	images http.Handler // a registry with a base and an image of the model

	// fair makes the next input one that is all right, by the same way as the others: it must be accepted,
	// lest a mistake of this test, which has everything refused, looks like a success.
	fair bool
}

// newHostileWorld makes one, with what its servers have that is right.
func newHostileWorld(t *testing.T) *hostileWorld {
	w := &hostileWorld{imageWorld: newImageWorld(t), rng: rand.New(rand.NewPCG(1, 2)), dir: t.TempDir()}
	w.images = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(w.images)
	t.Cleanup(s.Close)
	at := strings.TrimPrefix(s.URL, "http://")
	img, err := basetest.Slim("3.11.9")
	must(t, err)
	ref, err := name.ParseReference(at + "/python:1")
	must(t, err)
	must(t, remote.Write(ref, img))
	w.image(t, "--push", at+"/churn:1")
	return w
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
	if w.fair {
		return out
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

// server answers as another one does, but for the requests that a pattern matches: these get that one's
// answer spoiled, and perhaps too much of it, or a redirect to nowhere.
func (w *hostileWorld) server(t *testing.T, right http.Handler, pattern *regexp.Regexp) string {
	zip, endless, redirect, length := w.rng.IntN(4) == 0, w.rng.IntN(6) == 0, w.rng.IntN(8) == 0, w.rng.IntN(8) == 0
	contentType := []string{"", "", "", "application/octet-stream", "application/vnd.pypi.simple.v2+json", string(types.DockerManifestSchema1)}[w.rng.IntN(6)]
	if w.fair {
		return w.serve(t, right)
	}
	seed := w.rng.Uint64()
	return w.serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !pattern.MatchString(r.URL.Path) {
			right.ServeHTTP(rw, r)
			return
		}
		if redirect && len(r.URL.Path) < 200 {
			http.Redirect(rw, r, r.URL.Path+"/x", http.StatusFound)
			return
		}
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		right.ServeHTTP(answer, r)
		// The same path gets the same answer, whatever else is asked for at the time.
		path := fnv.New64()
		io.WriteString(path, r.URL.Path)
		by := &hostileWorld{rng: rand.New(rand.NewPCG(seed, path.Sum64()))}
		body := by.spoil(answer.Body.Bytes())
		rw.Header().Set("Content-Type", cmp.Or(contentType, answer.Header().Get("Content-Type")))
		if length {
			rw.Header().Set("Content-Range", "bytes 0-1/4611686018427387904")
		}
		w.write(rw, body, zip, endless)
	}))
}

func (w *hostileWorld) serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// write writes a body, compressed perhaps, once or many times. Of what comes once its digest is said.
func (w *hostileWorld) write(rw http.ResponseWriter, body []byte, zip, endless bool) {
	sum := sha256.Sum256(body)
	rw.Header().Set("Docker-Content-Digest", "sha256:"+hex.EncodeToString(sum[:]))
	var out io.Writer = rw
	if zip {
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
}

var (
	pageOfChurn = regexp.MustCompile(`/simple/churn/`)
	metadata    = regexp.MustCompile(`\.metadata$`) // of which the page says the hash: spoiled, it is always refused
	manifests   = regexp.MustCompile(`/manifests/`)
)

// indexes are asked for locks. Only what they say of one project is spoiled, so that the others lead to it.
func (w *hostileWorld) indexes(t *testing.T) []string {
	w.index.HTML = w.rng.IntN(3) == 0
	what := []*regexp.Regexp{pageOfChurn, pageOfChurn, pageOfChurn, metadata}[w.rng.IntN(4)]
	return []string{"lock", w.model, "--index-url", w.server(t, w.index, what) + "/simple/", "--network-timeout", "5", "-o", filepath.Join(w.dir, "pylock.toml")}
}

// registries are asked for bases, and for images to compare with.
func (w *hostileWorld) registries(t *testing.T) []string {
	at := strings.TrimPrefix(w.server(t, w.images, manifests), "http://")
	return [][]string{
		{"diff", w.model, at + "/churn:1", "--network-timeout", "5"},
		{"lock", w.model, "--base", at + "/python:1", "--index-url", w.index.URL, "--network-timeout", "5", "-o", filepath.Join(w.dir, "pylock.toml")},
	}[w.rng.IntN(2)]
}

// bases are looked into.
func (w *hostileWorld) bases(t *testing.T) []string {
	img, err := basetest.Slim("3.11.9")
	must(t, err)
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(w.layer(t), types.OCILayer), MediaType: types.OCILayer})
	must(t, err)
	if !w.fair && w.rng.IntN(10) == 0 {
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
	layer := tarred(t, func(entry entryFunc) {
		kind := w.rng.IntN(7)
		if w.fair {
			kind = -1
		}
		switch kind {
		case -1:
			entry("srv/data", "", tar.TypeReg, 1<<20)
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
	})
	if w.rng.IntN(4) == 0 {
		return w.spoil(layer)
	}
	return layer
}

// An entryFunc adds an entry to an archive, of so many zeros.
type entryFunc func(name, link string, kind byte, size int64)

// tarred makes a compressed archive.
func tarred(t *testing.T, fill func(entryFunc)) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(t, err)
	archive := tar.NewWriter(z)
	fill(func(name, link string, kind byte, size int64) {
		must(t, archive.WriteHeader(&tar.Header{Name: name, Linkname: link, Typeflag: kind, Size: size, Mode: 0o755}))
		_, err := io.CopyN(archive, zeros{}, size)
		must(t, err)
	})
	must(t, archive.Close())
	must(t, z.Close())
	return out.Bytes()
}

// zeros are as many as are read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// outcome is what became of a process with an input.
type outcome struct {
	code   int
	memory int64 // bytes that were resident at most
	stderr string
}

// try runs mlenv with bounds.
func (w *hostileWorld) try(t *testing.T, args []string) outcome {
	t.Helper()
	env := map[string]string{"HOME": w.env["HOME"], "MLENV_CACHE_DIR": filepath.Join(w.dir, "cache"), tellFile: strconv.Itoa(hostileFile), tellCPU: strconv.Itoa(hostileCPU)}
	p := newProcess(env, args...)
	_ = p.Run() // the exit code says it
	usage, ok := p.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("nothing is known of what the process took")
	}
	o := outcome{p.ProcessState.ExitCode(), int64(usage.Maxrss), p.stderr.String()}
	if runtime.GOOS == "linux" {
		o.memory <<= 10 // it is in kilobytes there
	}
	if o.code != exitOK && o.code != exitFindings && o.code != exitFailure {
		t.Errorf("%s ended with %s\n%.2000s", args[0], p.ProcessState, o.stderr)
	}
	if o.memory > hostileMemory {
		t.Errorf("%s took %d MB", args[0], o.memory>>20)
	}
	if wrong := steers(o.stderr); wrong != "" {
		t.Errorf("%s: stderr %.300q", args[0], wrong)
	}
	return o
}

// TestHostile gives mlenv models, wheels, indexes, registries and bases of hostile hands, each in a
// process of its own with bounds on memory, time and files. It may refuse or accept them; it may not
// crash, hang, take more than its bounds, or print what steers a terminal or a CI system. Every tenth is
// all right, and must be accepted.
func TestHostile(t *testing.T) {
	rounds := 2 // of each kind; make soak does more
	if n, err := strconv.Atoi(os.Getenv("MLENV_TEST_HOSTILE")); err == nil {
		rounds = n
	}
	w := newHostileWorld(t)
	for _, kind := range []struct {
		name string
		make func(*testing.T) []string
	}{{"models", w.models}, {"wheels", w.wheels}, {"indexes", w.indexes}, {"registries", w.registries}, {"bases", w.bases}} {
		var tried, refused, accepted, right int
		most := int64(0)
		for round := range rounds {
			t.Run(fmt.Sprint(kind.name, " ", round), func(t *testing.T) {
				w.fair = round%10 == 0
				o := w.try(t, kind.make(t))
				most = max(most, o.memory)
				tried++
				switch {
				case o.code != exitFailure:
					accepted++
				case w.fair:
					t.Errorf("what is all right was refused: %s", o.stderr)
					fallthrough
				default:
					refused++
				}
				if w.fair {
					right++
				}
			})
		}
		t.Logf("%s: %d tried, %d refused, %d accepted, %d of them all right; at most %d MB", kind.name, tried, refused, accepted, right, most>>20)
		if tried >= 50 && refused == 0 {
			t.Errorf("%s: nothing was refused: none of the inputs was hostile", kind.name)
		}
	}
}

// A base whose list of Debian packages is 3 GB of zeros, in a layer of 3 MB, is read with as little memory
// as any other: the list cannot be one, and no more is kept of a line than a line may have.
func TestHostileStatus(t *testing.T) {
	if os.Getenv("MLENV_TEST_HOSTILE") == "" {
		t.Skip("MLENV_TEST_HOSTILE is not set: it inflates 3 GB (make soak)")
	}
	w := newHostileWorld(t)
	img, err := basetest.Slim("3.11.9")
	must(t, err)
	layer := tarred(t, func(entry entryFunc) { entry("var/lib/dpkg/status", "", tar.TypeReg, 3<<30) })
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(layer, types.OCILayer), MediaType: types.OCILayer})
	must(t, err)
	dir := filepath.Join(w.dir, "base")
	w.store(t, dir, img)
	for _, args := range [][]string{
		{"lock", w.model, "--base", "oci:" + dir, "--index-url", w.index.URL, "-o", filepath.Join(w.dir, "pylock.toml")},
		{"image", w.model, "--base", "oci:" + dir, "--index-url", w.index.URL, "-o", "oci:" + filepath.Join(w.dir, "layout")},
	} {
		o := w.try(t, args)
		if o.code != exitFailure || !strings.Contains(o.stderr, "package database") {
			t.Errorf("%s: exit code %d, and not because of the package database: %s", args[0], o.code, o.stderr)
		}
		t.Logf("%s: a layer of %d KB, exit code %d, at most %d MB: %.300s", args[0], len(layer)>>10, o.code, o.memory>>20, o.stderr)
	}
}
