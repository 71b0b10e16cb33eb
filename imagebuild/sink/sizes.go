package sink

import (
	"fmt"
	"net/http"
	"path"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/layer"
)

// sizesTransport compares the sizes of remembered layers with those of the blobs that the registry
// has. Such layers are not built, so nothing else would show that the manifest is wrong. A
// difference is an error wrapping layer.ErrChanged.
type sizesTransport struct {
	next  http.RoundTripper
	sizes map[string]int64 // in bytes, by digest
}

// newSizes returns a transport for pushing an artifact's blobs.
func newSizes(blobs []blob, next http.RoundTripper) *sizesTransport {
	s := &sizesTransport{next, map[string]int64{}}
	for _, b := range blobs {
		l := b.layer
		if m, ok := l.(*remote.MountableLayer); ok {
			l = m.Layer
		}
		if sum, ok := layer.Remembered(l); ok {
			s.sizes[sum.Digest.String()] = sum.Size
		}
	}
	return s
}

// RoundTrip implements http.RoundTripper.
func (s *sizesTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(r)
	if err != nil || r.Method != http.MethodHead || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	digest := path.Base(r.URL.Path)
	// Some registries do not send the size, or send 0.
	if want, ok := s.sizes[digest]; ok && resp.ContentLength > 0 && resp.ContentLength != want {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: the registry has %d bytes of %s instead of %d", layer.ErrChanged, resp.ContentLength, digest, want)
	}
	return resp, nil
}
