package sink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
)

// What the tests send: a blob of three whole chunks and a part of one.
const (
	testChunk = 10_000
	testBlob  = 35_000
)

var chunked = sink.RegistryOptions{Large: testBlob - 5000, Chunk: testChunk,
	Remote: image.Remote{Backoff: remote.Backoff{Duration: time.Microsecond, Steps: 3}}}

// blobLayer returns a layer of exactly n bytes.
func blobLayer(seed int64, n int) v1.Layer {
	data := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(data)
	return static.NewLayer(data, types.OCIUncompressedLayer)
}

// pulled checks that a registry gives back an image whole.
func pulled(t *testing.T, ref string, img v1.Image, opts ...remote.Option) {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(r, opts...)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := got.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		content, err := l.Compressed() // checks the digest
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			t.Error(err)
		}
		content.Close()
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := got.Digest(); err != nil || digest != want {
		t.Errorf("got %s, %v, want %s", digest, err, want)
	}
}

type faultFunc = func(w http.ResponseWriter, r *http.Request, n int, session *bytes.Buffer, line string) bool

// wholeChunks are the chunks of the blob when nothing breaks.
var wholeChunks = []string{"0-9999", "10000-19999", "20000-29999", "30000-34999"}

// chunkTests break uploads off in many ways.
var chunkTests = map[string]struct {
	fault   func(reg *chunkRegistry) faultFunc
	chunks  []string // the Content-Range of each, in order
	again   int64    // bytes that the registry received in vain
	uploads int      // sessions
}{
	"nothing breaks": {nil, wholeChunks, 0, 1},
	"in the middle of a chunk": {func(reg *chunkRegistry) faultFunc {
		return func(_ http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 2 {
				reg.take(r, s, 1234)
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}, []string{"0-9999", "10000-19999", "11234-21233", "21234-31233", "31234-34999"}, 0, 1},
	"after a chunk, before its answer": {func(reg *chunkRegistry) faultFunc {
		return func(_ http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 3 {
				reg.take(r, s, testChunk)
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}, wholeChunks, 0, 1},
	"before a chunk, by a proxy": {func(*chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, _ *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 4 {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			return false
		}
	}, append(slices.Clone(wholeChunks), "30000-34999"), 0, 1},
	"at every second chunk": {func(reg *chunkRegistry) faultFunc {
		return func(_ http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Header.Get("Content-Range") != "" && n%2 == 0 {
				reg.take(r, s, 5000)
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}, []string{"0-9999", "10000-19999", "15000-24999", "25000-34999", "30000-34999"}, 0, 1},
	"the status cannot be had at first": {func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 2 {
				reg.take(r, s, 5000)
				panic(http.ErrAbortHandler)
			}
			if r.Method == http.MethodGet && s != nil && s.Len() > 0 && len(reg.seen) > 0 && !slices.Contains(reg.log[:len(reg.log)-1], "GET") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
	}, []string{"0-9999", "10000-19999", "15000-24999", "25000-34999"}, 0, 1},
	"the session is lost": {func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, _ *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 3 {
				clear(reg.sessions)
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		}
	}, append(slices.Clone(wholeChunks[:3]), wholeChunks...), 2 * testChunk, 2},
	"the session is lost, said as Docker's registry says it": {func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			lost := r.Method == http.MethodPatch && n == 3
			if lost {
				clear(reg.sessions)
			}
			if lost || r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/uploads/") {
				w.WriteHeader(http.StatusBadRequest)
				return true
			}
			return false
		}
	}, append(slices.Clone(wholeChunks[:3]), wholeChunks...), 2 * testChunk, 2},
	"the session is lost before its first chunk": {func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, _ *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 1 {
				clear(reg.sessions)
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		}
	}, append(slices.Clone(wholeChunks[:1]), wholeChunks...), 0, 2},
	"the blob is made, its answer lost": {func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPut && n == 1 {
				reg.put(w, r, s)
				panic(http.ErrAbortHandler)
			}
			return false
		}
	}, wholeChunks, 0, 1},
	"the blob is not made at first": {func(*chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, _ *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPut && n == 1 {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return false
		}
	}, wholeChunks, 0, 1},
	"what arrived is not what was sent": {func(*chunkRegistry) faultFunc {
		return func(_ http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPut && n == 1 {
				s.Bytes()[77] ^= 1
			}
			return false
		}
	}, append(slices.Clone(wholeChunks), wholeChunks...), testBlob, 2},
	"less was kept than arrived": {func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 2 {
				reg.take(r, s, testChunk)
				s.Truncate(12_000)
				reg.respond(w, r, s, http.StatusAccepted)
				return true
			}
			return false
		}
	}, []string{"0-9999", "10000-19999", "12000-21999", "22000-31999", "32000-34999"}, 8000, 1},
	"the status names more than was sent": {claims(func(w http.ResponseWriter) {
		w.Header().Set("Range", "0-29999")
	}), append(slices.Clone(wholeChunks[:2]), wholeChunks...), 15_000, 2},
	"the status names nothing": {claims(func(http.ResponseWriter) {}), append(slices.Clone(wholeChunks[:2]), wholeChunks...), 15_000, 2},
	"the status is nonsense": {claims(func(w http.ResponseWriter) {
		w.Header().Set("Range", "5-x")
	}), append(slices.Clone(wholeChunks[:2]), wholeChunks...), 15_000, 2},
	"the status may mean one byte or none": {claims(func(w http.ResponseWriter) {
		w.Header().Set("Range", "0-0")
	}), append(slices.Clone(wholeChunks[:2]), wholeChunks...), 15_000, 2},
}

// TestChunks looks at what is sent after a break: never again what the registry has.
func TestChunks(t *testing.T) {
	for what, tt := range chunkTests {
		t.Run(what, func(t *testing.T) {
			reg := newChunkRegistry(t)
			if tt.fault != nil {
				reg.fault = tt.fault(reg)
			}
			img := testImage(t, blobLayer(1, testBlob), testLayer(t, "small", "1"))
			sent := send(t, sink.Registry(reg.host+"/m:1", chunked), sink.Artifact{Image: img})
			var want []string
			for _, c := range tt.chunks {
				want = append(want, "PATCH "+c)
			}
			if got := reg.lines("PATCH "); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			small := reg.received - testBlob - tt.again
			if small <= 0 || small > 2000 {
				t.Errorf("the registry received %d bytes of chunks and small blobs, want %d and some", reg.received, testBlob+tt.again)
			}
			if sent.Bytes < reg.received {
				t.Errorf("%d bytes counted, %d received", sent.Bytes, reg.received)
			}
			if reg.begun != tt.uploads+2 { // the small layer and the configuration
				t.Errorf("%d uploads, want %d", reg.begun-2, tt.uploads)
			}
			pulled(t, reg.host+"/m:1", img)
		})
	}
}

// claims breaks the second chunk off and answers the question that follows.
func claims(header func(w http.ResponseWriter)) func(reg *chunkRegistry) faultFunc {
	return func(reg *chunkRegistry) faultFunc {
		return func(w http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && n == 2 {
				reg.take(r, s, 5000)
				panic(http.ErrAbortHandler)
			}
			if r.Method == http.MethodGet && s != nil {
				header(w)
				w.WriteHeader(http.StatusNoContent)
				return true
			}
			return false
		}
	}
}

// TestChunksRefused pushes to registries that know uploads in one piece alone.
func TestChunksRefused(t *testing.T) {
	for _, status := range []int{400, 403, 405, 413, 415, 416, 501} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			reg := newChunkRegistry(t)
			reg.fault = func(w http.ResponseWriter, r *http.Request, _ int, _ *bytes.Buffer, _ string) bool {
				if r.Header.Get("Content-Range") != "" {
					w.WriteHeader(status)
					return true
				}
				return false
			}
			img := testImage(t, blobLayer(1, testBlob))
			send(t, sink.Registry(reg.host+"/m:1", chunked), sink.Artifact{Image: img})
			if n := len(reg.lines("PATCH ")); n != 1 {
				t.Errorf("%d chunks were tried", n)
			}
			pulled(t, reg.host+"/m:1", img)
		})
	}
	t.Run("all but the first", func(t *testing.T) {
		reg := newChunkRegistry(t)
		reg.fault = func(w http.ResponseWriter, r *http.Request, _ int, s *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPatch && s != nil && s.Len() > 0 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			return false
		}
		img := testImage(t, blobLayer(1, testBlob))
		send(t, sink.Registry(reg.host+"/m:1", chunked), sink.Artifact{Image: img})
		pulled(t, reg.host+"/m:1", img)
	})
	t.Run("uploads to another host", func(t *testing.T) {
		reg := newChunkRegistry(t)
		reg.fault = func(w http.ResponseWriter, r *http.Request, n int, _ *bytes.Buffer, _ string) bool {
			if r.Method == http.MethodPost && n == 1 {
				w.Header().Set("Location", "http://elsewhere.example/upload")
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			return false
		}
		img := testImage(t, blobLayer(1, testBlob))
		send(t, sink.Registry(reg.host+"/m:1", chunked), sink.Artifact{Image: img})
		if got := reg.lines("PATCH "); len(got) > 0 {
			t.Errorf("sent %q", got)
		}
		pulled(t, reg.host+"/m:1", img)
	})
}

// TestChunksEnd pushes to a registry that never takes a chunk: the tries are bounded, no tag appears.
func TestChunksEnd(t *testing.T) {
	reg := newChunkRegistry(t)
	reg.fault = func(w http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
		if r.Method == http.MethodPatch && s.Len() > 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}
	_, err := sink.Registry(reg.host+"/m:1", chunked).Send(context.Background(), sink.Artifact{Image: testImage(t, blobLayer(1, testBlob))})
	if err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("got %v", err)
	}
	// One try got the first chunk there and set the count back.
	if n := len(reg.lines("PATCH 10000-")); n < 3 || n > 4 {
		t.Errorf("the second chunk was tried %d times", n)
	}
	if ref, err := name.ParseReference(reg.host + "/m:1"); err != nil {
		t.Error(err)
	} else if _, err := remote.Head(ref); err == nil {
		t.Error("the tag is there")
	}
}

// TestChunkLength pushes to a registry that wants larger chunks.
func TestChunkLength(t *testing.T) {
	reg := newChunkRegistry(t)
	reg.least = "20000"
	img := testImage(t, blobLayer(1, testBlob))
	send(t, sink.Registry(reg.host+"/m:1", chunked), sink.Artifact{Image: img})
	if got, want := reg.lines("PATCH "), []string{"PATCH 0-19999", "PATCH 20000-34999"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	reg.log = nil
	if sent := send(t, sink.Registry(reg.host+"/m:1", chunked), sink.Artifact{Image: img}); sent.Bytes != 0 || len(reg.lines("P")) != 0 {
		t.Errorf("pushed again, %d bytes were sent: %q", sent.Bytes, reg.log)
	}
}

// TestChunkMount mounts a large layer, and sends it where the registry does not mount.
func TestChunkMount(t *testing.T) {
	for what, refuse := range map[string]bool{"mounted": false, "refused": true} {
		t.Run(what, func(t *testing.T) {
			reg := newChunkRegistry(t)
			o := chunked
			o.Mounts = mountsIn(t.TempDir())
			img := testImage(t, blobLayer(1, testBlob))
			send(t, sink.Registry(reg.host+"/one:1", o), sink.Artifact{Image: img})
			reg.log = nil
			var mounts []string
			there := false
			reg.fault = func(w http.ResponseWriter, r *http.Request, _ int, _ *bytes.Buffer, _ string) bool {
				if strings.HasPrefix(r.URL.Path, "/v2/two/blobs/sha256:") && r.Method == http.MethodHead && !there {
					w.WriteHeader(http.StatusNotFound)
					return true
				}
				if r.Method == http.MethodPut {
					there = true
				}
				from := r.URL.Query().Get("from")
				if from == "" {
					return false
				}
				mounts = append(mounts, from)
				there = !refuse
				w.WriteHeader(map[bool]int{false: http.StatusCreated, true: http.StatusForbidden}[refuse])
				return true
			}
			send(t, sink.Registry(reg.host+"/two:1", o), sink.Artifact{Image: img})
			if !slices.Equal(mounts, []string{"one"}) {
				t.Errorf("asked to mount from %q", mounts)
			}
			if got := len(reg.lines("PATCH ")) > 0; got != refuse {
				t.Errorf("sent: %v, want %v", got, refuse)
			}
		})
	}
}

// TestChunkContent sends layers that are not what their digest says: no blob is made, nothing tried twice.
func TestChunkContent(t *testing.T) {
	right := testLayer(t, "a", "right")
	sum, err := right.Measure(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := chunked
	o.Large, o.Chunk = 1, sum.Size/2
	for what, content := range map[string]string{"other bytes": "wrong", "longer": strings.Repeat("longer", 100), "shorter": ""} {
		t.Run(what, func(t *testing.T) {
			reg := newChunkRegistry(t)
			opened := 0
			wrong := layer.Known(sum, func() (v1.Layer, error) { opened++; return testLayer(t, "a", content), nil })
			_, err := sink.Registry(reg.host+"/m:1", o).Send(context.Background(), sink.Artifact{Image: testImage(t, wrong)})
			if !errors.Is(err, layer.ErrChanged) {
				t.Errorf("got %v, want ErrChanged", err)
			}
			if n := len(reg.lines("PUT")); n > 0 || opened != 1 {
				t.Errorf("opened %d times, %d blobs made", opened, n)
			}
		})
	}
}

// TestChunkCancel ends a push within a chunk.
func TestChunkCancel(t *testing.T) {
	reg := newChunkRegistry(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reg.fault = func(_ http.ResponseWriter, r *http.Request, n int, s *bytes.Buffer, _ string) bool {
		if r.Method == http.MethodPatch && n == 2 {
			reg.take(r, s, 10)
			cancel()
			panic(http.ErrAbortHandler)
		}
		return false
	}
	_, err := sink.Registry(reg.host+"/m:1", chunked).Send(ctx, sink.Artifact{Image: testImage(t, blobLayer(1, testBlob))})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(reg.lines("PATCH ")); n != 2 {
		t.Errorf("%d chunks were sent", n)
	}
}

// keychain has one name and password for everything.
type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: k.user, Password: k.password}), nil
}

// TestChunkCredentials pushes to a registry that wants a password with every request.
func TestChunkCredentials(t *testing.T) {
	reg := newChunkRegistry(t)
	reg.fault = func(w http.ResponseWriter, r *http.Request, _ int, _ *bytes.Buffer, _ string) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "u" && password == "p" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	o := chunked
	o.Remote.Keychain = keychain{"u", "p"}
	img := testImage(t, blobLayer(1, testBlob))
	send(t, sink.Registry(reg.host+"/m:1", o), sink.Artifact{Image: img})
	if n := len(reg.lines("PATCH ")); n != 4 {
		t.Errorf("%d chunks were sent", n)
	}
	pulled(t, reg.host+"/m:1", img, remote.WithAuthFromKeychain(o.Remote.Keychain))
	o.Remote.Keychain = keychain{"u", "wrong"}
	if _, err := sink.Registry(reg.host+"/n:1", o).Send(context.Background(), sink.Artifact{Image: img}); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
}
