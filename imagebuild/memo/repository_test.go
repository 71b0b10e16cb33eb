package memo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/memo"
)

var packages = []string{"mlflow 3.1.0: churn", "churn 1.0: deep", "deep 0.1", "wide 1.0"}

// noWarnings fails the test if a repository warns.
func noWarnings(t *testing.T) memo.RepositoryOptions {
	return memo.RepositoryOptions{Warn: func(err error) { t.Error(err) }}
}

// TestRepository builds on machines that know nothing but a repository of notes.
func TestRepository(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s, packages...)
	want, _ := m.mustBuild(m.repository(s, noWarnings(t)), ref(s, "churn:1"))
	if m.fetched.Load() == 0 || s.count("PUT /v2/notes/manifests/") == 0 {
		t.Fatal("nothing was made, or nothing noted")
	}
	if n := s.count("POST /v2/notes/blobs/uploads/?from=churn"); n < len(packages) {
		t.Errorf("%d layers were mounted into the repository", n)
	}
	for _, tt := range []struct {
		push    string
		mounts  bool
		fetched bool
		most    int64 // bytes sent
	}{{"risk:1", true, false, 7000}, {"price:1", false, false, 1 << 20}} {
		s.mounts = tt.mounts
		m := newMachine(t, s, packages...)
		c := m.repository(s, noWarnings(t))
		s.forget()
		m.open(ref(s, "python:3.11.9-slim"), c)
		if n := s.count("GET /v2/python/blobs/"); n != 1 {
			t.Errorf("%s: %d blobs of the base were fetched", tt.push, n)
		}
		got, sent := m.mustBuild(c, ref(s, "%s", tt.push))
		if got != want || sent.Bytes > tt.most || m.fetched.Load() != 0 || (sent.Unmounted > 0) == tt.mounts {
			t.Errorf("%s: %s, want %s; %+v; %d wheels were fetched", tt.push, got, want, sent, m.fetched.Load())
		}
		if n := s.count("PUT /v2/notes/"); n != 0 {
			t.Errorf("%s: %d notes were written that are there", tt.push, n)
		}
		if n := s.count("GET /v2/notes/blobs"); tt.mounts && n != 0 {
			t.Errorf("%s: %d notes took a second request", tt.push, n)
		}
	}
}

// TestRepositoryTwoWriters writes the same notes from two machines at once.
func TestRepositoryTwoWriters(t *testing.T) {
	s := newServer(t)
	var group sync.WaitGroup
	digests := [2]string{}
	for i := range digests {
		m := newMachine(t, s, packages...)
		c := m.repository(s, noWarnings(t))
		group.Go(func() {
			p, err := m.build(c, ref(s, "churn:%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			h, err := p.Artifact.Digest()
			if err != nil {
				t.Error(err)
			}
			digests[i] = h.String()
		})
	}
	group.Wait()
	if digests[0] != digests[1] {
		t.Errorf("the images are %s", digests)
	}
	s.forget()
	m := newMachine(t, s, packages...)
	if m.mustBuild(m.repository(s, noWarnings(t)), ref(s, "churn:3")); m.fetched.Load() != 0 {
		t.Errorf("%d wheels were fetched", m.fetched.Load())
	}
}

// TestRepositoryReadOnly writes nothing, and neither does one that has failed.
func TestRepositoryReadOnly(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s, packages...)
	m.mustBuild(m.repository(s, memo.RepositoryOptions{ReadOnly: true}), ref(s, "churn:1"))
	for _, method := range []string{"POST", "PATCH", "PUT", "HEAD"} {
		if n := s.count(method + " /v2/notes/"); n != 0 {
			t.Errorf("%d requests %s", n, method)
		}
	}
}

// TestRepositoryFails builds with a repository that does not answer as it should: that costs a warning.
func TestRepositoryFails(t *testing.T) {
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	over := make(chan struct{})
	defer close(over)
	tests := map[string]struct {
		fail  func(http.ResponseWriter, *http.Request) bool
		warns bool
	}{
		"not there":    {status(http.StatusNotFound), true}, // when it is written to
		"unauthorized": {status(http.StatusUnauthorized), true},
		"forbidden":    {status(http.StatusForbidden), true},
		"broken":       {status(http.StatusInternalServerError), true},
		"read only": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}, true},
		"a portal": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<html>Welcome!</html>"))
			return true
		}, true},
		"silent": {func(http.ResponseWriter, *http.Request) bool { <-over; return true }, true},
	}
	s := newServer(t)
	want, _ := newMachine(t, s, packages...).mustBuild(&memo.Chain{}, ref(s, "churn:1"))
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			s.mu.Lock()
			s.fail = func(w http.ResponseWriter, r *http.Request) bool {
				return strings.HasPrefix(r.URL.Path, "/v2/notes/") && tt.fail(w, r)
			}
			s.mu.Unlock()
			var mu sync.Mutex
			var warnings []error
			o := memo.RepositoryOptions{Warn: func(err error) {
				mu.Lock()
				defer mu.Unlock()
				warnings = append(warnings, err)
			}}
			if what == "silent" {
				o.Timeout = 50 * time.Millisecond
			}
			m := newMachine(t, s, packages...)
			if got, _ := m.mustBuild(m.repository(s, o), ref(s, "churn:1")); got != want {
				t.Errorf("the image is %s, want %s", got, want)
			}
			if (len(warnings) == 1) != tt.warns {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

// TestRepositoryForged replaces notes: what is not of its key, or names what its manifest does not hold,
// is not believed; a wrong note of the right form is found out when the bytes are wanted, and corrected.
func TestRepositoryForged(t *testing.T) {
	repo := func(s *server) name.Repository {
		r, err := name.NewRepository(s.host + "/notes")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	type changes = func(t *testing.T, s *server, all map[string]*v1.Manifest)
	each := func(change func(m *v1.Manifest, value map[string]any)) changes {
		return func(t *testing.T, s *server, all map[string]*v1.Manifest) {
			for tag, m := range all {
				if !strings.HasPrefix(tag, "layers-") {
					continue
				}
				var n map[string]any
				decoder := json.NewDecoder(bytes.NewReader(m.Config.Data))
				decoder.UseNumber()
				if err := decoder.Decode(&n); err != nil {
					t.Fatal(err)
				}
				change(m, n["value"].(map[string]any))
				data, err := json.Marshal(n)
				if err != nil {
					t.Fatal(err)
				}
				m.Config.Data = data
				if m.Config.Digest, m.Config.Size, err = v1.SHA256(bytes.NewReader(data)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	sum := func(value map[string]any) map[string]any { return value["sums"].([]any)[0].(map[string]any) }
	other := "sha256:" + strings.Repeat("8", 64)
	tests := map[string]struct {
		change changes
		warns  bool
	}{
		"nothing":           {each(func(*v1.Manifest, map[string]any) {}), false},
		"a layer of nobody": {each(func(_ *v1.Manifest, value map[string]any) { sum(value)["digest"] = other }), true},
		"no layers":         {each(func(m *v1.Manifest, _ map[string]any) { m.Layers = m.Layers[:0] }), true},
		"tags exchanged": {func(_ *testing.T, _ *server, all map[string]*v1.Manifest) {
			var tags []string
			for tag := range all {
				tags = append(tags, tag)
			}
			slices.Sort(tags)
			for i := range len(tags) / 2 {
				all[tags[i]], all[tags[len(tags)-1-i]] = all[tags[len(tags)-1-i]], all[tags[i]]
			}
		}, true},
		"bytes of another digest": {func(_ *testing.T, _ *server, all map[string]*v1.Manifest) {
			for _, m := range all {
				m.Config.Data = append(m.Config.Data, ' ')
			}
		}, true},
		"another size": {each(func(_ *v1.Manifest, value map[string]any) { sum(value)["size"] = json.Number("7") }), true},
		"no sums":      {each(func(_ *v1.Manifest, value map[string]any) { value["sums"] = nil }), false},
		"no wheels":    {each(func(_ *v1.Manifest, value map[string]any) { value["wheels"] = []any{} }), false},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			s := newServer(t)
			m := newMachine(t, s, packages...)
			want, _ := m.mustBuild(m.repository(s, noWarnings(t)), ref(s, "churn:1"))
			all := map[string]*v1.Manifest{}
			tags, err := remote.List(repo(s))
			if err != nil || len(tags) < 4 {
				t.Fatalf("tags %v, %v", tags, err)
			}
			for _, tag := range tags {
				d, err := remote.Get(repo(s).Tag(tag))
				if err == nil {
					all[tag], err = v1.ParseManifest(bytes.NewReader(d.Manifest))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			tt.change(t, s, all)
			for tag, m := range all {
				data, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.host+"/v2/notes/manifests/"+tag, bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", string(m.MediaType))
				resp, err := http.DefaultClient.Do(r)
				if err != nil || resp.StatusCode != http.StatusCreated {
					t.Fatal(resp.Status, err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			warned := false
			m = newMachine(t, s, packages...)
			c := m.repository(s, memo.RepositoryOptions{Warn: func(error) { warned = true }})
			if got, _ := m.mustBuild(c, ref(s, "other:1")); got != want || warned != tt.warns {
				t.Errorf("the image is %s, want %s; warned: %t", got, want, warned)
			}
			if tt.warns || what == "nothing" {
				return
			}
			m = newMachine(t, s, packages...)
			if m.mustBuild(m.repository(s, noWarnings(t)), ref(s, "third:1")); m.fetched.Load() > 0 {
				t.Errorf("the notes are still wrong: %d wheels were fetched", m.fetched.Load())
			}
		})
	}
}

// TestNewRepository refuses what is no repository, and shows no password.
func TestNewRepository(t *testing.T) {
	for _, text := range []string{"", "UPPER/x", "user:hunter2@registry.example.com/x", "registry.example.com/x:tag", "http://registry.example.com/x"} {
		if _, err := memo.NewRepository(t.Context(), text, remotes, memo.RepositoryOptions{}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
