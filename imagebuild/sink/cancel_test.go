package sink_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
)

// cutTransport breaks request n off, as a server does that goes away in the moment in which the
// caller gives up: what is seen of it is the end of a stream.
type cutTransport struct {
	cancel context.CancelFunc
	n      int64
	made   atomic.Int64
}

func (c *cutTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.made.Add(1) >= c.n {
		c.cancel()
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, io.EOF
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestCancelAtEveryRequest breaks a push off at its first request, its second one, and so on.
func TestCancelAtEveryRequest(t *testing.T) {
	for n := int64(1); ; n++ {
		reg := newChunkRegistry(t)
		ctx, cancel := context.WithCancel(context.Background())
		cut := &cutTransport{cancel: cancel, n: n}
		o := chunked
		o.Jobs = 1
		o.Remote = image.Remote{Transport: cut, Backoff: remote.Backoff{Duration: time.Microsecond, Steps: 3}}
		_, err := sink.Registry(reg.host+"/m:1", o).Send(ctx,
			sink.Artifact{Image: testImage(t, blobLayer(1, testBlob), testLayer(t, "small", "1"))})
		cancel()
		if cut.made.Load() < n {
			if err != nil {
				t.Errorf("whole: %v", err)
			}
			if n < 10 {
				t.Errorf("a push has %d requests, want those of chunks, a small layer, a configuration and a manifest", n-1)
			}
			return
		}
		if !errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
			t.Errorf("broken off at request %d: %v", n, err)
		}
	}
}

// cutLayer is a layer that cannot be read, because the caller gave up.
type cutLayer struct {
	v1.Layer
	cancel context.CancelFunc
}

func (l *cutLayer) Compressed() (io.ReadCloser, error) {
	l.cancel()
	return nil, io.ErrUnexpectedEOF
}

func TestCancelWhileReading(t *testing.T) {
	dir := t.TempDir()
	engine := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // which ends early
	}))
	t.Cleanup(engine.Close)
	for name, to := range map[string]sink.Sink{
		"oci":        sink.Layout(filepath.Join(dir, "layout"), "m:1"),
		"oci-tar":    sink.OCITar(filepath.Join(dir, "oci.tar"), "m:1"),
		"docker-tar": sink.DockerTar(filepath.Join(dir, "docker.tar"), "m:1"),
		"engine":     sink.Daemon{Host: engine.URL}.Load("m:1"),
		"registry":   sink.Registry(newRegistry(t).host+"/m:1", chunked),
	} {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := to.Send(ctx, sink.Artifact{Image: testImage(t, &cutLayer{testLayer(t, "a", "1"), cancel})})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCancelBefore returns a directory as the only place to a context that is done.
func TestCancelBefore(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := sink.Layout(filepath.Join(dir, "layout"), "m:1").Send(ctx, sink.Artifact{Image: testImage(t)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("it has made %v, %v", made, err)
	}
}
