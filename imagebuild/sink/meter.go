package sink

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Step is a change in the progress of sending an artifact.
type Step struct {
	ToSend int64 // additional bytes to send; negative if bytes need not be sent because they are there
	Sent   int64 // additional bytes sent; negative if bytes must be sent again
}

func (a Artifact) report(s Step) {
	if a.Progress != nil && s != (Step{}) {
		a.Progress(s)
	}
}

// meterWriter reports what is written through it.
type meterWriter struct {
	w io.Writer
	a Artifact
}

func (m *meterWriter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.a.report(Step{Sent: int64(n)})
	return n, err
}

// meterTransport reports the progress of a push. It counts the bytes of request bodies, and finds
// out from requests and responses which blobs the registry has. Manifests do not count: they are
// small and come last.
type meterTransport struct {
	next http.RoundTripper
	a    Artifact
	sent atomic.Int64
	// unmounted is the size of the blobs that the registry was asked to mount and did not. It accepts an
	// upload instead (OCI Distribution Specification 1.1, "Mounting a blob from another repository").
	unmounted atomic.Int64

	mu   sync.Mutex
	left map[string]int64 // sizes of the blobs whose state is not known yet, by digest
}

func newMeter(next http.RoundTripper, a Artifact, blobs []blob) *meterTransport {
	m := &meterTransport{next: next, a: a, left: map[string]int64{}}
	var all int64
	for _, b := range blobs {
		if !b.manifest {
			m.left[b.digest.String()] = b.size
			all += b.size
		}
	}
	a.report(Step{ToSend: all})
	return m
}

// RoundTrip implements http.RoundTripper.
func (m *meterTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body *meterBody
	counts := !strings.Contains(r.URL.Path, "/manifests/")
	if r.Body != nil && r.Body != http.NoBody {
		body = &meterBody{ReadCloser: r.Body, m: m, counts: counts}
		r = r.Clone(r.Context())
		r.Body = body
	}
	resp, err := m.next.RoundTrip(r)
	good := err == nil && resp.StatusCode >= 200 && resp.StatusCode < 300
	switch {
	case !good && body != nil && counts:
		m.a.report(Step{Sent: -body.n.Load()})
	case !good:
	case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/"):
		m.found(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	case r.Method == http.MethodPost && resp.StatusCode == http.StatusCreated:
		m.found(r.URL.Query().Get("mount"))
	case r.Method == http.MethodPost && r.URL.Query().Has("mount"):
		m.mu.Lock()
		m.unmounted.Add(m.left[r.URL.Query().Get("mount")])
		m.mu.Unlock()
	case r.Method == http.MethodPut && counts:
		m.take(r.URL.Query().Get("digest"))
	}
	return resp, err
}

// take removes a blob that the registry has from left, and returns its size.
func (m *meterTransport) take(digest string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.left[digest]
	delete(m.left, digest)
	return n
}

func (m *meterTransport) found(digest string) {
	m.a.report(Step{ToSend: -m.take(digest)})
}

// finish reports all remaining blobs as not to be sent: if a registry has the image already, it is
// never asked about its blobs.
func (m *meterTransport) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for digest, n := range m.left {
		m.a.report(Step{ToSend: -n})
		delete(m.left, digest)
	}
}

type meterBody struct {
	io.ReadCloser
	m      *meterTransport
	counts bool
	n      atomic.Int64
}

func (b *meterBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.m.sent.Add(int64(n))
	b.n.Add(int64(n))
	if b.counts {
		b.m.a.report(Step{Sent: int64(n)})
	}
	return n, err
}

// sizes returns the total size of blobs in bytes.
func sizes(blobs []blob) (n int64) {
	for _, b := range blobs {
		n += b.size
	}
	return n
}
