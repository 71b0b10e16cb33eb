package sink_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// chunkRegistry is a registry that takes uploads to the letter of the OCI Distribution Specification:
// each chunk must begin where the last one ended and be as long as it says. What arrives of a chunk
// that breaks off is kept. Blobs and manifests are go-containerregistry's test registry's.
type chunkRegistry struct {
	inner http.Handler
	host  string

	mu       sync.Mutex
	sessions map[string]*bytes.Buffer
	begun    int
	log      []string // METHOD or PATCH FIRST-LAST
	received int64    // bytes of all PATCH requests

	least string                                                                                       // OCI-Chunk-Min-Length
	fault func(w http.ResponseWriter, r *http.Request, n int, session *bytes.Buffer, line string) bool // answers the nth request of its line's method
	seen  map[string]int
}

func newChunkRegistry(t *testing.T) *chunkRegistry {
	t.Helper()
	reg := &chunkRegistry{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		sessions: map[string]*bytes.Buffer{}, seen: map[string]int{}}
	s := httptest.NewUnstartedServer(reg)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	reg.host = strings.TrimPrefix(s.URL, "http://")
	return reg
}

func (reg *chunkRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	line := r.Method
	if cr := r.Header.Get("Content-Range"); cr != "" {
		line += " " + cr
	}
	upload := strings.Contains(r.URL.Path, "/blobs/uploads/")
	if upload || strings.Contains(r.URL.Path, "/blobs/") {
		reg.log = append(reg.log, line)
	}
	session := reg.sessions[path.Base(r.URL.Path)]
	reg.seen[r.Method]++
	if reg.fault != nil && reg.fault(w, r, reg.seen[r.Method], session, line) {
		return
	}
	switch {
	case !upload:
		reg.inner.ServeHTTP(w, r)
	case r.Method == http.MethodPost && r.URL.Query().Get("mount") == "":
		reg.begun++
		id := fmt.Sprintf("session-%d", reg.begun)
		reg.sessions[id] = &bytes.Buffer{}
		if reg.least != "" {
			w.Header().Set("OCI-Chunk-Min-Length", reg.least)
		}
		w.Header().Set("Location", r.URL.Path+id+"?state=0")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPost:
		reg.inner.ServeHTTP(w, r)
	case session == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet:
		reg.respond(w, r, session, http.StatusNoContent)
	case r.Method == http.MethodPatch:
		reg.patch(w, r, session)
	case r.Method == http.MethodPut:
		reg.put(w, r, session)
	}
}

// respond answers with the address of the next request and what has arrived.
func (reg *chunkRegistry) respond(w http.ResponseWriter, r *http.Request, session *bytes.Buffer, status int) {
	w.Header().Set("Location", fmt.Sprintf("http://%s%s?state=%d", r.Host, r.URL.Path, session.Len()))
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(session.Len()-1, 0)))
	w.WriteHeader(status)
}

// take keeps up to n bytes of a request's body.
func (reg *chunkRegistry) take(r *http.Request, session *bytes.Buffer, n int64) {
	got, _ := io.CopyN(session, r.Body, n)
	reg.received += got
}

func (reg *chunkRegistry) patch(w http.ResponseWriter, r *http.Request, session *bytes.Buffer) {
	if cr := r.Header.Get("Content-Range"); cr != "" {
		var first, last int64
		_, err := fmt.Sscanf(cr, "%d-%d", &first, &last)
		if err != nil || first != int64(session.Len()) || last-first+1 != r.ContentLength {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
	} else if session.Len() > 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	reg.take(r, session, r.ContentLength)
	reg.respond(w, r, session, http.StatusAccepted)
}

// put makes a blob of an upload. The test registry compares the digest.
func (reg *chunkRegistry) put(w http.ResponseWriter, r *http.Request, session *bytes.Buffer) {
	delete(reg.sessions, path.Base(r.URL.Path))
	whole := httptest.NewRequest(http.MethodPost, path.Dir(r.URL.Path)+"/?digest="+r.URL.Query().Get("digest"), bytes.NewReader(session.Bytes()))
	reg.inner.ServeHTTP(w, whole)
}

// lines returns the requests with chunks, or all of a method.
func (reg *chunkRegistry) lines(prefix string) []string {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	var out []string
	for _, l := range reg.log {
		if strings.HasPrefix(l, prefix) {
			out = append(out, l)
		}
	}
	return out
}
