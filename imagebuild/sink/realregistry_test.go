package sink_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/sink"
)

// brokenLine breaks one chunk's request off after some bytes, and notes all chunks.
type brokenLine struct {
	mu    sync.Mutex
	chunk int   // which one, from 1 on
	after int64 // bytes of its body that get through; 0: the request is not made
	log   []string
	bytes int64
}

func (b *brokenLine) RoundTrip(r *http.Request) (*http.Response, error) {
	cr := r.Header.Get("Content-Range")
	if cr == "" {
		return remote.DefaultTransport.RoundTrip(r)
	}
	b.mu.Lock()
	b.log = append(b.log, cr)
	now := len(b.log) == b.chunk
	b.mu.Unlock()
	if now && b.after == 0 {
		return nil, errors.New("the line is broken")
	}
	if now {
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, b.after), failing{}))
	} else {
		b.bytes += r.ContentLength
	}
	return remote.DefaultTransport.RoundTrip(r)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line is broken") }

// TestRealRegistry pushes in chunks to the registry that MLENV_REGISTRY names (HOST:PORT, no
// credentials), over a line that breaks. Between two chunks nothing is lost in any registry; within
// a chunk Docker's registry drops the upload, others may keep it.
func TestRealRegistry(t *testing.T) {
	host := os.Getenv("MLENV_REGISTRY")
	if host == "" {
		t.Skip("MLENV_REGISTRY names no registry")
	}
	const size, part = 20 << 20, 4 << 20
	for what, line := range map[string]*brokenLine{
		"whole":           {},
		"between chunks":  {chunk: 4},
		"within a chunk":  {chunk: 4, after: 1 << 20},
		"the first chunk": {chunk: 1, after: 1 << 20},
	} {
		t.Run(what, func(t *testing.T) {
			img := testImage(t, blobLayer(rand.Int63(), size))
			o := chunked
			o.Large, o.Chunk, o.Remote.Transport = size, part, line
			ref := fmt.Sprintf("%s/chunks/%s:1", host, strings.ReplaceAll(what, " ", "-"))
			sent := send(t, sink.Registry(ref, o), sink.Artifact{Image: img})
			t.Logf("%d bytes sent, chunks %q", sent.Bytes, line.log)
			if line.after == 0 && line.bytes != size {
				t.Errorf("chunks of %d bytes were sent, want %d", line.bytes, size)
			}
			pulled(t, ref, img)
		})
	}
}
