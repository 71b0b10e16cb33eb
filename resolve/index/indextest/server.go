// Package indextest serves a package index to tests: in the process, on the loopback, from a few
// lines that say which distributions there are. It speaks JSON and HTML, metadata files, ranges,
// ETags and gzip as the Python Package Index does, over HTTP/1.1 or HTTP/2 with TLS, and it fails
// on demand.
package indextest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Index is a running index. Its exported fields may be set before the first request.
type Index struct {
	URL      string // of the Simple API, ends in "/simple/"
	Host     string // "http://127.0.0.1:1234", of which Files and all else is part
	CertFile string // the certificate to trust, of NewTLS

	HTML         bool   // pages are HTML whatever is asked for
	NoRanges     bool   // files come whole whatever is asked for
	CacheControl string // of pages; "max-age=600" if ""
	NoETag       bool   // pages carry no ETag
	User         string // if set, all requests need this user and Password (HTTP basic)
	Password     string

	// Sign, if set, makes each page list its files with a query that holds it, another one each time. A
	// file is then given only to who has the query of its project's last page, as object stores do whose
	// signatures expire.
	Sign string

	mu       sync.Mutex
	signed   map[string]int    // how often the page of a project was signed, by normalized name
	dists    map[string][]Dist // by normalized name
	files    map[string]Dist   // by path
	faults   []*fault
	requests []*http.Request
}

type fault struct {
	pattern string
	left    int // negative: for ever
	handler http.Handler
}

// New starts an index over plain HTTP that ends with the test.
func New(t testing.TB, dists ...Dist) *Index {
	return start(t, false, dists)
}

// NewTLS is New over HTTP/2 with TLS; CertFile names its certificate.
func NewTLS(t testing.TB, dists ...Dist) *Index {
	return start(t, true, dists)
}

func start(t testing.TB, secure bool, dists []Dist) *Index {
	t.Helper()
	x := &Index{dists: map[string][]Dist{}, files: map[string]Dist{}, signed: map[string]int{}}
	s := httptest.NewUnstartedServer(x)
	if secure {
		s.EnableHTTP2 = true
		s.StartTLS()
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		x.CertFile = filepath.Join(t.TempDir(), "cert.pem")
		if err := os.WriteFile(x.CertFile, block, 0o644); err != nil {
			t.Fatal(err)
		}
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	x.Host, x.URL = s.URL, s.URL+"/simple/"
	x.Add(dists...)
	return x
}

// Add adds distributions, also while the index runs.
func (x *Index) Add(dists ...Dist) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, d := range dists {
		name := normalize(d.Name)
		x.dists[name] = append(x.dists[name], d)
		x.files[filePath(d)] = d
	}
}

// Remove takes a project away.
func (x *Index) Remove(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.dists, normalize(name))
}

// FileURL is where the index serves a distribution.
func (x *Index) FileURL(d Dist) string { return x.Host + filePath(d) }

func filePath(d Dist) string { return "/files/" + normalize(d.Name) + "/" + d.Filename() }

// On lets a handler answer requests whose path matches the pattern (path.Match, for example
// "/simple/numpy/" or "/files/*/*.whl") for so many times; a negative number means always. Faults are
// tried in the order in which they were set.
func (x *Index) On(pattern string, times int, h http.Handler) {
	if _, err := path.Match(pattern, ""); err != nil {
		panic("indextest: " + err.Error())
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.faults = append(x.faults, &fault{pattern, times, h})
}

// Requests lists what has been asked so far: "GET /simple/numpy/ 200" without the status. Ranges
// follow the path: "GET /files/a/a-1.0-py3-none-any.whl bytes=-65536".
func (x *Index) Requests() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []string
	for _, r := range x.requests {
		s := r.Method + " " + r.URL.Path
		if v := r.Header.Get("Range"); v != "" {
			s += " " + v
		}
		all = append(all, s)
	}
	return all
}

// Queries gives the queries of the requests so far, in the order of Requests.
func (x *Index) Queries() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []string
	for _, r := range x.requests {
		all = append(all, r.URL.RawQuery)
	}
	return all
}

// Headers gives the headers of the requests so far, in the order of Requests.
func (x *Index) Headers() []http.Header {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []http.Header
	for _, r := range x.requests {
		all = append(all, r.Header)
	}
	return all
}

// Forget empties the list of requests.
func (x *Index) Forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.requests = nil
}

// ServeHTTP answers a request.
func (x *Index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := x.note(r); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	x.Serve(w, r)
}

// Serve answers a request as if no fault were set; fault handlers may fall back on it.
func (x *Index) Serve(w http.ResponseWriter, r *http.Request) {
	if x.User != "" {
		if user, password, _ := r.BasicAuth(); user != x.User || password != x.Password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/simple/"); ok {
		x.servePage(w, r, strings.TrimSuffix(name, "/"))
		return
	}
	p, meta := strings.CutSuffix(r.URL.Path, ".metadata")
	x.mu.Lock()
	d, ok := x.files[p]
	x.mu.Unlock()
	if !ok || meta && d.NoMetadata {
		http.NotFound(w, r)
		return
	}
	if x.Sign != "" && r.URL.RawQuery != x.signature(d.Name) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	content := d.Bytes()
	if meta {
		content = []byte(d.METADATA())
	}
	if x.NoRanges {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", etag(content))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// note writes a request down and gives the fault that is due.
func (x *Index) note(r *http.Request) http.Handler {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.requests = append(x.requests, r.Clone(r.Context()))
	for _, f := range x.faults {
		if ok, _ := path.Match(f.pattern, r.URL.Path); ok && f.left != 0 {
			f.left--
			return f.handler
		}
	}
	return nil
}

// signature is the query that the last page of a project has put behind its files.
func (x *Index) signature(name string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return fmt.Sprintf("X-Amz-Expires=60&X-Amz-Signature=%s%d", x.Sign, x.signed[normalize(name)])
}

func (x *Index) servePage(w http.ResponseWriter, r *http.Request, name string) {
	x.mu.Lock()
	x.signed[name]++
	dists, ok := slices.Clone(x.dists[name]), len(x.dists[name]) > 0 || name == ""
	x.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	var content []byte
	if x.HTML || !strings.Contains(r.Header.Get("Accept"), "simple.v1+json") {
		w.Header().Set("Content-Type", "text/html")
		content = x.htmlPage(dists)
	} else {
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		content = x.jsonPage(name, dists)
	}
	control := x.CacheControl
	if control == "" {
		control = "max-age=600, public"
	}
	w.Header().Set("Cache-Control", control)
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if !x.NoETag {
		w.Header().Set("ETag", etag(content))
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(content)
		z.Close()
		content = b.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func (x *Index) link(d Dist) string {
	switch {
	case d.URL != "":
		return d.URL
	case x.Sign != "":
		return "../.." + filePath(d) + "?" + x.signature(d.Name)
	}
	return "../.." + filePath(d)
}

func (x *Index) jsonPage(name string, dists []Dist) []byte {
	files := []map[string]any{}
	for _, d := range dists {
		f := map[string]any{"filename": d.Filename(), "url": x.link(d), "hashes": map[string]string{}, "yanked": d.Yanked}
		if !d.NoHash {
			f["hashes"] = map[string]string{"sha256": d.SHA256()}
		}
		if !d.NoSize {
			f["size"] = len(d.Bytes())
		}
		if d.RequiresPython != "" {
			f["requires-python"] = d.RequiresPython
		}
		if d.YankedReason != "" {
			f["yanked"] = d.YankedReason
		}
		if !d.UploadTime.IsZero() {
			f["upload-time"] = d.UploadTime.UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		if !d.NoMetadata {
			f["core-metadata"] = map[string]string{"sha256": hexSum([]byte(d.METADATA()))}
		}
		files = append(files, f)
	}
	page := map[string]any{"meta": map[string]string{"api-version": "1.1"}, "name": name, "files": files, "versions": []string{}}
	b, err := json.Marshal(page)
	must(err)
	return b
}

func (x *Index) htmlPage(dists []Dist) []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html><html><head><meta name=\"pypi:repository-version\" content=\"1.1\"></head><body>\n")
	for _, d := range dists {
		href := x.link(d)
		if !d.NoHash {
			href += "#sha256=" + d.SHA256()
		}
		fmt.Fprintf(&b, "<a href=%q", html.EscapeString(href))
		if d.RequiresPython != "" {
			fmt.Fprintf(&b, ` data-requires-python="%s"`, html.EscapeString(d.RequiresPython))
		}
		if d.Yanked || d.YankedReason != "" {
			fmt.Fprintf(&b, ` data-yanked="%s"`, html.EscapeString(d.YankedReason))
		}
		if !d.NoMetadata {
			fmt.Fprintf(&b, ` data-core-metadata="sha256=%s"`, hexSum([]byte(d.METADATA())))
		}
		fmt.Fprintf(&b, ">%s</a><br>\n", html.EscapeString(d.Filename()))
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}

func normalize(name string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-_.", r) }), "-"))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func etag(b []byte) string { return `"` + hexSum(b)[:16] + `"` }
