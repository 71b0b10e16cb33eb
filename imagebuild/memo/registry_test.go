package memo_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/memo"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/index/indextest"
	mlmodel "mlenv/resolve/model"
)

// server is a registry whose repositories do not share their blobs, and which can be told to fail.
type server struct {
	host string

	mu     sync.Mutex
	next   http.Handler
	has    map[string]map[string]bool // digests of blobs, by repository
	log    []string
	bytes  int64 // of the answers
	mounts bool
	fail   func(w http.ResponseWriter, r *http.Request) bool // nil: never; true: it has answered
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{next: registry.New(registry.Logger(log.New(io.Discard, "", 0))), has: map[string]map[string]bool{}, mounts: true}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.host = strings.TrimPrefix(h.URL, "http://")
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.log = append(s.log, r.Method+" "+r.URL.RequestURI())
	fail := s.fail
	s.mu.Unlock()
	if fail != nil && fail(w, r) || s.blob(w, r) {
		return
	}
	s.next.ServeHTTP(&counting{w, s}, r)
}

// blob keeps the blobs of repositories apart.
func (s *server) blob(w http.ResponseWriter, r *http.Request) bool {
	repo, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has[repo] == nil {
		s.has[repo] = map[string]bool{}
	}
	query := r.URL.Query()
	switch digest := query.Get("mount"); {
	case (r.Method == http.MethodHead || r.Method == http.MethodGet) && strings.HasPrefix(rest, "sha256:") && !s.has[repo][rest]:
		w.WriteHeader(http.StatusNotFound)
		return true
	case digest != "" && s.mounts && s.has[query.Get("from")][digest]:
		s.has[repo][digest] = true
		w.WriteHeader(http.StatusCreated)
		return true
	case digest != "":
		r.URL.RawQuery = ""
	case r.Method == http.MethodPut:
		s.has[repo][query.Get("digest")] = true
	}
	return false
}

type counting struct {
	http.ResponseWriter
	s *server
}

func (c *counting) Write(p []byte) (int, error) {
	c.s.mu.Lock()
	c.s.bytes += int64(len(p))
	c.s.mu.Unlock()
	return c.ResponseWriter.Write(p)
}

// forget begins to count anew.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.bytes = nil, 0
}

// count is how many requests begin with a method and path.
func (s *server) count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.log {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// set has requests fail.
func (s *server) set(fail func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *server) collect(repo, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has[repo], digest)
}

// machine is one that builds: without a cache, so that it has nothing but what registries say.
type machine struct {
	t       *testing.T
	wheels  []imagebuild.Wheel
	fetched atomic.Int64     // wheels
	save    *memo.Repository // that notes are written to; nil: none
	verify  int
	base    *base.Found
}

var (
	platform = v1.Platform{OS: "linux", Architecture: "amd64"}
	remotes  = image.Remote{Backoff: remote.Backoff{Duration: time.Microsecond, Factor: 1, Steps: 2}}
)

func newMachine(t *testing.T, s *server, packages ...string) *machine {
	t.Helper()
	m := &machine{t: t}
	ref := s.host + "/python:3.11.9-slim"
	if s.count("PUT /v2/python/manifests/") == 0 {
		img, err := basetest.Slim("3.11.9")
		if err != nil {
			t.Fatal(err)
		}
		to, err := name.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(to, img); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for i, d := range indextest.Parse(packages...) {
		d.Pad = 3000 << (i % 4)
		file := filepath.Join(dir, d.Filename())
		if err := os.WriteFile(file, d.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(d.Bytes())
		m.wheels = append(m.wheels, imagebuild.Wheel{
			Filename: d.Filename(), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(d.Bytes())), Name: d.Name,
			Path: func(context.Context) (string, error) { m.fetched.Add(1); return file, nil },
		})
	}
	m.open(ref, nil)
	return m
}

// open finds the base.
func (m *machine) open(ref string, known base.Memo) {
	m.t.Helper()
	found, _, err := base.Find(m.t.Context(), base.Request{Ref: ref, Platforms: []v1.Platform{platform}}, base.Options{Remote: remotes, Memo: known})
	if err != nil {
		m.t.Fatal(err)
	}
	m.base = found[0]
}

// build builds and pushes with what a chain knows.
func (m *machine) build(c *memo.Chain, ref string) (*imagebuild.Published, error) {
	m.t.Helper()
	m.fetched.Store(0)
	model := os.DirFS(m.modelDir())
	r := imagebuild.Recipe{
		Base: m.base, Wheels: m.wheels, Lock: []byte("lock-version = \"1.0\"\n"),
		Model: imagebuild.Model{FS: mlmodel.Files(model)}, Created: time.Unix(1767323045, 0).UTC(),
	}
	b := &imagebuild.Builder{Memo: c, Blobs: c, Jobs: 2, Verify: m.verify}
	if m.save != nil {
		b.Save = func(ctx context.Context, p *imagebuild.Published) { m.save.Save(ctx, p.Images, []string{ref}) }
	}
	return imagebuild.Publish(m.t.Context(), b, []imagebuild.Recipe{r}, sink.Registry(ref, sink.RegistryOptions{Remote: remotes, Mounts: &sink.MountSources{Memo: c}}))
}

func (m *machine) modelDir() string {
	m.t.Helper()
	dir := m.t.TempDir()
	for file, text := range map[string]string{"MLmodel": "run_id: r1\n", "weights.bin": strings.Repeat("weights ", 20000)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	return dir
}

// mustBuild builds, and gives the image's digest and how it was sent.
func (m *machine) mustBuild(c *memo.Chain, ref string) (string, sink.Sent) {
	m.t.Helper()
	p, err := m.build(c, ref)
	if err != nil {
		m.t.Fatal(err)
	}
	digest, err := p.Artifact.Digest()
	if err != nil {
		m.t.Fatal(err)
	}
	return digest.String(), p.Sent[0]
}

// repository is a chain of a repository of notes, to which the machine writes too.
func (m *machine) repository(s *server, o memo.RepositoryOptions) *memo.Chain {
	m.t.Helper()
	r, err := memo.NewRepository(m.t.Context(), s.host+"/notes", remotes, o)
	if err != nil {
		m.t.Fatal(err)
	}
	c := &memo.Chain{}
	c.Add(r)
	m.save = r
	return c
}

// images is a chain that knows what some images carry.
func images(t *testing.T, q memo.Request) *memo.Chain {
	t.Helper()
	q.Platforms = []v1.Platform{platform}
	known, errs := memo.ReadImages(t.Context(), remotes, q)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	c := &memo.Chain{}
	c.Add(known)
	return c
}

func ref(s *server, format string, args ...any) string {
	return s.host + "/" + fmt.Sprintf(format, args...)
}
