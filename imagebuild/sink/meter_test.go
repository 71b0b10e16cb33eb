package sink_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
)

// gauge adds up what sinks tell.
type gauge struct {
	mu           sync.Mutex
	toSend, sent int64
	steps        int
}

func (g *gauge) step(s sink.Step) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.toSend += s.ToSend
	g.sent += s.Sent
	g.steps++
}

// metered sends an artifact and gives what was to be sent and what was sent.
func metered(t *testing.T, s sink.Sink, a sink.Artifact) (toSend, sent int64) {
	t.Helper()
	g := &gauge{}
	a.Progress = g.step
	send(t, s, a)
	return g.toSend, g.sent
}

// contentSize returns how many bytes an image's layers and configuration have.
func contentSize(t *testing.T, img v1.Image) (n int64) {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	n = m.Config.Size
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// TestProgress adds up what is told: all that is to be sent was sent, once, whatever failed on the
// way, and what is there already is not to be sent.
func TestProgress(t *testing.T) {
	img := testImage(t, testLayer(t, "a", strings.Repeat("1", 1<<20)), testLayer(t, "b", "2"))
	a := sink.Artifact{Image: img}
	reg := newRegistry(t)
	dir := t.TempDir()
	engine := httptest.NewServer(engineAPI(t))
	t.Cleanup(engine.Close)
	sinks := map[string]sink.Sink{
		"registry":           sink.Registry(reg.host+"/m:1", sink.RegistryOptions{}),
		"registry in chunks": sink.Registry(reg.host+"/large:1", sink.RegistryOptions{Large: 1, Chunk: 1000}),
		"layout":             sink.Layout(filepath.Join(dir, "layout"), "m"),
		"OCI tar":            sink.OCITar(filepath.Join(dir, "oci.tar"), "m"),
		"Docker tar":         sink.DockerTar(filepath.Join(dir, "docker.tar"), "m:1"),
		"engine":             sink.Daemon{Host: "tcp://" + engine.Listener.Addr().String()}.Load("m:1"),
	}
	for what, s := range sinks {
		// The test's registry shares blobs between repositories, so each sink has its own image.
		own := a
		if strings.HasPrefix(what, "registry") {
			own.Image = testImage(t, testLayer(t, what, strings.Repeat("1", 1<<20)))
		}
		want := contentSize(t, own.Image)
		toSend, sent := metered(t, s, own)
		if toSend < want || sent < toSend || sent > toSend+20000 { // of tar headers and manifests
			t.Errorf("%s: sent %d of %d bytes, want at least %d", what, sent, toSend, want)
		}
		if strings.HasPrefix(what, "registry") && (sent != want || toSend != want) {
			t.Errorf("%s: sent %d of %d bytes, want %d", what, sent, toSend, want)
		}
		if !strings.HasPrefix(what, "registry") && what != "layout" {
			continue
		}
		if toSend, sent := metered(t, s, own); toSend != 0 || sent != 0 {
			t.Errorf("%s: again, sent %d of %d bytes", what, sent, toSend)
		}
	}
}

// A blob that is sent twice, because the registry failed, counts once.
func TestProgressOfRepeated(t *testing.T) {
	img := testImage(t, testLayer(t, "a", strings.Repeat("1", 1<<20)))
	reg := newRegistry(t)
	failed := false
	reg.answer(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") && !failed {
			failed = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	g := &gauge{}
	to := sink.Registry(reg.host+"/m:1", sink.RegistryOptions{Jobs: 1, Remote: image.Remote{Backoff: remote.Backoff{Steps: 3}}})
	if _, err := to.Send(context.Background(), sink.Artifact{Image: img, Progress: g.step}); err != nil {
		t.Fatal(err)
	}
	if want := contentSize(t, img); !failed || g.toSend != want || g.sent < want {
		t.Errorf("sent %d of %d bytes, want %d", g.sent, g.toSend, want)
	}
}

// What is mounted from another repository is not to be sent.
func TestProgressOfMounted(t *testing.T) {
	reg := newRegistry(t)
	o := sink.RegistryOptions{Mounts: mountsIn(t.TempDir())}
	l := testLayer(t, "a", strings.Repeat("1", 1<<20))
	send(t, sink.Registry(reg.host+"/one:1", o), sink.Artifact{Image: testImage(t, l)})
	// The test's registry shares blobs between repositories, and mounts none: it must do as if.
	reg.answer(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/two/blobs/"):
			w.WriteHeader(http.StatusNotFound)
			return true
		case r.Method == http.MethodPost && r.URL.Query().Get("mount") != "":
			w.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	})
	img := testImage(t, l, testLayer(t, "b", "2"))
	size, err := l.Size()
	if err != nil {
		t.Fatal(err)
	}
	toSend, sent := metered(t, sink.Registry(reg.host+"/two:1", o), sink.Artifact{Image: img})
	if want := contentSize(t, img) - size; toSend != want || sent != want {
		t.Errorf("sent %d of %d bytes, want %d", sent, toSend, want)
	}
}
