package fetch_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/resolve/cache"
	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

// remembering are options with a memory below a directory, as one run after another has it.
func remembering(t *testing.T, s *fetchtest.Server, dir string) fetch.Options {
	t.Helper()
	o := options(t, s)
	d := cache.Open(dir, nil)
	o.Memory = d.Fetched()
	var err error
	if o.Dir, err = d.Models(); err != nil {
		t.Fatal(err)
	}
	return o
}

// weightsOf opens a model and gives its weights.
func weightsOf(t *testing.T, uri string, o fetch.Options) string {
	t.Helper()
	m, err := fetch.Open(context.Background(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(m.FS, "model.pkl")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	empty(t, o.Dir)
	return string(data)
}

// TestAgain fetches the weights of a model in one run, and asks for a byte of them in the next, by every URI that has
// them by that name. What has changed, and what the server gives no tag for, is fetched again.
func TestAgain(t *testing.T) {
	const size = 2 << 20
	for name, tt := range map[string]struct {
		set, change func(*fetchtest.Server)
		most        int64 // bytes of files that the second run may fetch
	}{
		"same":    {most: 10_000},
		"changed": {change: func(s *fetchtest.Server) { s.Files[weights] = []byte(strings.Repeat("others! ", size/8)) }, most: 2*size + 10_000}, // the server begins to send it when it is asked for the last byte
		"longer":  {change: func(s *fetchtest.Server) { s.Files[weights] = []byte(strings.Repeat("others! ", size/8+1)) }, most: size + 10_008},
		"no tag":  {set: func(s *fetchtest.Server) { s.Chunked = true }, most: size + 10_000},
	} {
		s := fetchtest.New(t)
		s.Churn("mlflow-artifacts:/0", size)
		if tt.set != nil {
			tt.set(s)
		}
		dir := t.TempDir()
		if got := weightsOf(t, "models:/churn/1", remembering(t, s, dir)); got != string(s.Files[weights]) {
			t.Fatalf("%s: %d bytes", name, len(got))
		}
		if tt.change != nil {
			tt.change(s)
		}
		before := s.Sent()
		for _, uri := range []string{"models:/churn@champion", "runs:/r1/model", "models:/m-1"} {
			if got := weightsOf(t, uri, remembering(t, s, dir)); got != string(s.Files[weights]) {
				t.Errorf("%s: %s: %d other bytes", name, uri, len(got))
			}
			if n := s.Sent() - before; name != "no tag" && n > tt.most+3*2000 {
				t.Errorf("%s: %s: fetched %d bytes", name, uri, n)
			}
		}
		if n := s.Sent() - before; name == "no tag" && n < 3*size {
			t.Errorf("%s: fetched %d bytes: what was believed?", name, n)
		}
	}
}

// TestLies has a server answer the question whether its file is the same in ways that prove nothing: the file is fetched,
// and is what the server has now.
func TestLies(t *testing.T) {
	const size = 2 << 20
	part := func(header string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for line := range strings.SplitSeq(header, "|") {
				k, v, _ := strings.Cut(line, "=")
				w.Header().Set(k, strings.ReplaceAll(v, "LAST", fmt.Sprint(size-1)))
			}
			w.WriteHeader(status)
			fmt.Fprint(w, "w")
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"no tag":       part("Content-Range=bytes LAST-LAST/2097152", 206),
		"another tag":  part(`ETag="other"|Content-Range=bytes LAST-LAST/2097152`, 206),
		"a weak tag":   part(`ETag=W/TAG|Content-Range=bytes LAST-LAST/2097152`, 206),
		"another size": part(`ETag=TAG|Content-Range=bytes LAST-LAST/2097153`, 206),
		"another part": part(`ETag=TAG|Content-Range=bytes 0-0/2097152`, 206),
		"no part":      part(`ETag=TAG`, 206),
		"not modified": part(`ETag=TAG`, 304),
		"a short file": part(`ETag=TAG`, 200),
		"gone":         part(`ETag=TAG`, 416),
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Churn("mlflow-artifacts:/0", size)
			dir := t.TempDir()
			weightsOf(t, "models:/churn/1", remembering(t, s, dir))
			tag := ""
			s.Files[weights] = []byte(strings.Repeat("others! ", size/8))
			asked := 0
			s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/model.pkl") || r.Header.Get("Range") == "" {
					return false
				}
				asked++
				tag = r.Header.Get("If-Range")
				answer(tagged{w, tag}, r)
				return true
			}
			if got := weightsOf(t, "models:/churn/1", remembering(t, s, dir)); got != string(s.Files[weights]) {
				t.Errorf("%d other bytes", len(got))
			}
			if asked != 1 || tag == "" {
				t.Errorf("asked %d times, by the tag %q", asked, tag)
			}
		})
	}
}

// tagged puts the tag that was asked by into the headers that say TAG.
type tagged struct {
	http.ResponseWriter
	tag string
}

func (w tagged) WriteHeader(status int) {
	h := w.Header()
	h.Set("ETag", strings.ReplaceAll(h.Get("ETag"), "TAG", w.tag))
	w.ResponseWriter.WriteHeader(status)
}

// TestDamagedMemory damages the file that was kept: it is fetched again.
func TestDamagedMemory(t *testing.T) {
	const size = 2 << 20
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", size)
	dir := t.TempDir()
	weightsOf(t, "models:/churn/1", remembering(t, s, dir))
	kept, err := filepath.Glob(filepath.Join(dir, "fetched-v1", "sha256", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	if err := os.WriteFile(kept[0], []byte(strings.Repeat("x", size)), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := weightsOf(t, "models:/churn/1", remembering(t, s, dir)); got != string(s.Files[weights]) {
		t.Errorf("%d other bytes", len(got))
	}
}

// TestDownloadCopies takes what was kept for a download, too, but as a copy: the user may write to it.
func TestDownloadCopies(t *testing.T) {
	const size = 2 << 20
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", size)
	dir := t.TempDir()
	weightsOf(t, "models:/churn/1", remembering(t, s, dir))
	before := s.Sent()
	to := filepath.Join(t.TempDir(), "model")
	if _, err := fetch.Download(context.Background(), "models:/churn/1", to, remembering(t, s, dir)); err != nil {
		t.Fatal(err)
	}
	if n := s.Sent() - before; n > 10_000 {
		t.Errorf("fetched %d bytes", n)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "fetched-v1", "sha256", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	a, err := os.Stat(kept[0])
	b, err2 := os.Stat(filepath.Join(to, "model.pkl"))
	if err != nil || err2 != nil || os.SameFile(a, b) || b.Size() != size || b.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v: the same file: %v", err, err2, os.SameFile(a, b))
	}
}
