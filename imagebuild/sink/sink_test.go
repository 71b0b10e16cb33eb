package sink_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
)

func testLayer(t *testing.T, file, content string) *layer.Layer {
	t.Helper()
	l, err := layer.New([]layer.Entry{{Path: file, Content: layer.Bytes([]byte(content))}}, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testImage(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: types.OCILayer}); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func testIndex(t *testing.T) v1.ImageIndex {
	t.Helper()
	shared := testLayer(t, "shared", strings.Repeat("shared ", 1000))
	var adds []mutate.IndexAddendum
	for _, arch := range []string{"amd64", "arm64"} {
		img := testImage(t, shared, testLayer(t, "arch", arch))
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		adds = append(adds, mutate.IndexAddendum{Add: img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
}

// testRegistry is a registry that notes requests. refuse, where not nil, answers some of them.
type testRegistry struct {
	host   string
	mu     sync.Mutex
	log    []string
	refuse func(w http.ResponseWriter, r *http.Request) bool
}

func newRegistry(t *testing.T) *testRegistry {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	reg := &testRegistry{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reg.mu.Lock()
		reg.log = append(reg.log, r.Method+" "+r.URL.RequestURI())
		refuse := reg.refuse
		reg.mu.Unlock()
		if refuse == nil || !refuse(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	reg.host = strings.TrimPrefix(s.URL, "http://")
	return reg
}

// count counts the requests that hold a text since it was last asked.
func (r *testRegistry) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, line := range r.log {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (r *testRegistry) answer(refuse func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = refuse
}

func (r *testRegistry) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
}

func send(t *testing.T, s sink.Sink, a sink.Artifact) sink.Sent {
	t.Helper()
	sent, err := s.Send(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestRegistry(t *testing.T) {
	reg := newRegistry(t)
	img := testImage(t, testLayer(t, "a", "1"), testLayer(t, "b", "2"))
	to := sink.Registry(reg.host+"/models/churn:1", sink.RegistryOptions{})
	sent := send(t, to, sink.Artifact{Image: img})
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if want := reg.host + "/models/churn@" + digest.String(); sent.Reference != want || sent.Bytes == 0 {
		t.Errorf("sent %+v, want %s", sent, want)
	}
	ref, err := name.ParseReference(sent.Reference)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	reg.forget()
	if again := send(t, to, sink.Artifact{Image: img}); again.Bytes != 0 || reg.count("PATCH") != 0 {
		t.Errorf("the second push sent %d bytes", again.Bytes)
	}
}

func TestRegistryIndex(t *testing.T) {
	reg := newRegistry(t)
	sent := send(t, sink.Registry(reg.host+"/m:1", sink.RegistryOptions{Mounts: mountsIn(t.TempDir())}), sink.Artifact{Index: testIndex(t)})
	ref, err := name.ParseReference(sent.Reference)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	if n := reg.count("PATCH"); n != 5 {
		t.Errorf("%d blobs were uploaded, want 3 layers and 2 configurations", n)
	}
}

// TestMount pushes an image to a second repository of the registry, which is asked to mount.
func TestMount(t *testing.T) {
	reg := newRegistry(t)
	o := sink.RegistryOptions{Mounts: mountsIn(t.TempDir())}
	l := testLayer(t, "a", "1")
	send(t, sink.Registry(reg.host+"/one:1", o), sink.Artifact{Image: testImage(t, l)})
	// The test's registry shares blobs between repositories, so it must deny that it has them.
	reg.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/two/blobs/") {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	})
	reg.forget()
	send(t, sink.Registry(reg.host+"/two:1", o), sink.Artifact{Image: testImage(t, l, testLayer(t, "b", "2"))})
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	mount := "POST /v2/two/blobs/uploads/?from=one&mount=" + strings.ReplaceAll(digest.String(), ":", "%3A")
	if reg.count(mount) != 1 || reg.count("mount=") != 1 {
		t.Errorf("want one %q in\n%s", mount, strings.Join(reg.log, "\n"))
	}
}

// TestInterruptedPush breaks off pushes in every way: the tag never shows anything but a whole image.
func TestInterruptedPush(t *testing.T) {
	img := testImage(t, testLayer(t, "a", "1"), testLayer(t, "b", strings.Repeat("2", 1<<20)))
	ways := map[string]func(cancel func(), w http.ResponseWriter, r *http.Request) bool{
		"cancelled at the first blob": func(cancel func(), _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				cancel()
			}
			return false
		},
		"cancelled before the manifest": func(cancel func(), _ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") {
				cancel()
			}
			return false
		},
		"the registry refuses a blob": func(_ func(), w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		},
		"the registry is gone": func(_ func(), w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				panic(http.ErrAbortHandler)
			}
			return false
		},
	}
	for what, way := range ways {
		t.Run(what, func(t *testing.T) {
			reg := newRegistry(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			reg.answer(func(w http.ResponseWriter, r *http.Request) bool { return way(cancel, w, r) })
			to := sink.Registry(reg.host+"/m:1", sink.RegistryOptions{Remote: image.Remote{Backoff: remote.Backoff{Steps: 2}}})
			if _, err := to.Send(ctx, sink.Artifact{Image: img}); err == nil {
				t.Fatal("the push succeeded")
			}
			reg.answer(nil)
			ref, err := name.ParseReference(reg.host + "/m:1")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := remote.Head(ref); err == nil {
				t.Error("the tag is there")
			}
			send(t, to, sink.Artifact{Image: img})
			got, err := remote.Image(ref)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChanged sends a layer whose remembered digest is wrong.
func TestChanged(t *testing.T) {
	right := testLayer(t, "a", "right")
	sum, err := right.Measure(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := layer.Known(sum, func() (v1.Layer, error) { return testLayer(t, "a", "wrong"), nil })
	img := testImage(t, wrong)
	reg := newRegistry(t)
	dir := t.TempDir()
	for what, to := range map[string]sink.Sink{
		"registry":   sink.Registry(reg.host+"/m:1", sink.RegistryOptions{}),
		"layout":     sink.Layout(filepath.Join(dir, "layout"), "m"),
		"OCI tar":    sink.OCITar(filepath.Join(dir, "oci.tar"), "m"),
		"Docker tar": sink.DockerTar(filepath.Join(dir, "docker.tar"), "m:1"),
	} {
		if _, err := to.Send(context.Background(), sink.Artifact{Image: img}); !errors.Is(err, layer.ErrChanged) {
			t.Errorf("%s: got %v, want ErrChanged", what, err)
		}
	}
	for _, name := range []string{"oci.tar", "docker.tar", "layout/index.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*.mlenv-*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	one, two := testImage(t, testLayer(t, "a", "1")), testImage(t, testLayer(t, "a", "2"))
	send(t, sink.Layout(dir, "churn:1"), sink.Artifact{Image: one})
	send(t, sink.Layout(dir, "index"), sink.Artifact{Index: testIndex(t)})
	send(t, sink.Layout(dir, "churn:1"), sink.Artifact{Image: two})
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	want, err := two.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(manifest.Manifests); n != 2 || manifest.Manifests[1].Digest != want {
		t.Errorf("the layout names %+v", manifest.Manifests)
	}
	if again := send(t, sink.Layout(dir, "churn:1"), sink.Artifact{Image: two}); again.Bytes != 0 {
		t.Errorf("writing again wrote %d bytes", again.Bytes)
	}
}

func TestOCITar(t *testing.T) {
	dir := t.TempDir()
	var files [2][]byte
	for i := range files {
		name := filepath.Join(dir, "x.tar")
		send(t, sink.OCITar(name, "churn:1"), sink.Artifact{Index: testIndex(t)})
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = data
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("written twice, the files differ")
	}
	out := t.TempDir()
	r := tar.NewReader(bytes.NewReader(files[0]))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(out, h.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
}

func TestDockerTar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.tar")
	img := testImage(t, testLayer(t, "a", "1"), testLayer(t, "b", "2"))
	send(t, sink.DockerTar(file, "churn:1"), sink.Artifact{Image: img})
	tag, err := name.NewTag("churn:1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if _, err := sink.DockerTar(file, "churn:1").Send(context.Background(), sink.Artifact{Index: testIndex(t)}); !errors.Is(err, sink.ErrOnePlatform) {
		t.Errorf("an index: %v", err)
	}
}

// TestDaemon loads into what speaks the engine's API on a socket.
func TestDaemon(t *testing.T) {
	answers := map[string]struct {
		answer string
		status int
		want   string
	}{
		"loaded":           {`{"stream":"Loaded image: churn:1\n"}`, 200, ""},
		"an error in 200":  {`{"stream":"x"}{"errorDetail":{"message":"no space left"},"error":"no space left"}`, 200, "no space left"},
		"an error in 500":  {`{"message":"broken"}`, 500, "broken"},
		"nonsense for 200": {`<html>`, 200, "answer"},
	}
	img := testImage(t, testLayer(t, "a", "1"))
	for what, tt := range answers {
		t.Run(what, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(&got, r.Body); err != nil {
					t.Error(err)
				}
				if r.URL.Path != "/images/load" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(tt.status)
				if _, err := io.WriteString(w, tt.answer); err != nil {
					t.Error(err)
				}
			})}
			served := make(chan error)
			go func() { served <- s.Serve(listener) }()
			sent, err := sink.Daemon{Host: "unix://" + socket}.Load("churn:1").Send(context.Background(), sink.Artifact{Image: img})
			if cerr := s.Close(); cerr != nil {
				t.Error(cerr)
			}
			<-served
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want something of %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if sent.Bytes != int64(got.Len()) || sent.Reference != "churn:1" {
				t.Errorf("sent %+v, received %d bytes", sent, got.Len())
			}
		})
	}
}

// TestLayoutRepairs puts damaged blobs where whole ones belong.
func TestLayoutRepairs(t *testing.T) {
	dir := t.TempDir()
	l := static.NewLayer(bytes.Repeat([]byte("x"), 1000), types.OCIUncompressedLayer)
	img := testImage(t, l)
	send(t, sink.Layout(dir, ""), sink.Artifact{Image: img})
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "blobs", "sha256", digest.Hex)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, damaged := range map[string][]byte{"truncated": whole[:10], "changed": bytes.Repeat([]byte("y"), 1000)} {
		if err := os.WriteFile(name, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		send(t, sink.Layout(dir, ""), sink.Artifact{Image: img})
		if data, err := os.ReadFile(name); err != nil || !bytes.Equal(data, whole) {
			t.Errorf("%s: %d bytes, %v", what, len(data), err)
		}
	}
	var index v1.IndexManifest
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &index); err != nil || len(index.Manifests) != 1 {
		t.Errorf("the index has %d images, %v", len(index.Manifests), err)
	}
}
