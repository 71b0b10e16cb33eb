package sink

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Step is a change in how much of an artifact is sent.
type Step struct {
	ToSend int64 // more bytes that are to be sent or, below zero, that need not be: they are there
	Sent   int64 // more bytes that were sent or, below zero, that must be sent again
}

func (a Artifact) tell(s Step) {
	if a.Progress != nil && s != (Step{}) {
		a.Progress(s)
	}
}

// meterWriter tells of what is written through it.
type meterWriter struct {
	w io.Writer
	a Artifact
}

func (m *meterWriter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.a.tell(Step{Sent: int64(n)})
	return n, err
}

// meterTransport counts the bytes of request bodies, and tells of an artifact's blobs by what is
// asked of a registry and what it answers. Manifests do not count: they are small and come last.
type meterTransport struct {
	next http.RoundTripper
	a    Artifact
	sent atomic.Int64

	mu   sync.Mutex
	left map[string]int64 // sizes of the blobs of which nothing is known yet, by digest
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
	a.tell(Step{ToSend: all})
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
		m.a.tell(Step{Sent: -body.n.Load()})
	case !good:
	case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/"):
		m.found(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	case r.Method == http.MethodPost && resp.StatusCode == http.StatusCreated:
		m.found(r.URL.Query().Get("mount"))
	case r.Method == http.MethodPut && counts:
		m.take(r.URL.Query().Get("digest"))
	}
	return resp, err
}

// take forgets a blob that is where it belongs, and gives its size.
func (m *meterTransport) take(digest string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.left[digest]
	delete(m.left, digest)
	return n
}

func (m *meterTransport) found(digest string) {
	m.a.tell(Step{ToSend: -m.take(digest)})
}

// finish takes away what nothing was heard of: a registry that has an image is not asked for its
// blobs.
func (m *meterTransport) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for digest, n := range m.left {
		m.a.tell(Step{ToSend: -n})
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
		b.m.a.tell(Step{Sent: int64(n)})
	}
	return n, err
}

// sizes returns how many bytes blobs have together.
func sizes(blobs []blob) (n int64) {
	for _, b := range blobs {
		n += b.size
	}
	return n
}
