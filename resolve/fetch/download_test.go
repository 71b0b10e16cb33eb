package fetch_test

import (
	"context"
	"errors"

	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

// TestDownload writes what MLflow's own download writes, of a server and of a directory.
func TestDownload(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 5000)
	local := filepath.Join(t.TempDir(), "local")
	want := fetchtest.Model(5000)
	for name, text := range want {
		name = filepath.Join(local, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, uri := range []string{"models:/churn@champion", "runs:/r1/model", "file://" + filepath.ToSlash(local)} {
		there := t.TempDir()
		for _, dir := range []string{filepath.Join(there, "new", "model"), filepath.Join(there, "empty")} {
			if strings.HasSuffix(dir, "empty") {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			source, err := fetch.Download(context.Background(), uri, dir, options(t, s))
			if err != nil {
				t.Fatal(err)
			}
			got := contents(t, os.DirFS(dir))
			meta := got["registered_model_meta"]
			delete(got, "registered_model_meta")
			if len(got) != len(want) || got["model.pkl"] != want["model.pkl"] || got["code/mine/a.py"] != want["code/mine/a.py"] || (meta != "") != (source.Name != "") {
				t.Errorf("%s: %d files, %q", uri, len(got), meta)
			}
			_, err = fetch.Download(context.Background(), uri, dir, options(t, s))
			var e *fetch.Error
			if !errors.As(err, &e) || e.Kind != fetch.NotEmptyDir {
				t.Errorf("%s: into a full directory: %v", uri, err)
			}
		}
	}
}

// TestDownloadFails leaves nothing behind that is of no use.
func TestDownloadFails(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"files":   on("/code/mine/a.py", page(403)),
		"MLmodel": on("/MLmodel", page(403)),
		"listing": listing(`{"path":"..","is_dir":true}`),
		"name":    listing(`{"path":".mlenv-fetch","file_size":1}`),
	} {
		s := fetchtest.New(t)
		s.Churn("mlflow-artifacts:/0", 5000)
		s.Answer = answer
		there := t.TempDir()
		if err := os.Mkdir(filepath.Join(there, "empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Join(there, "new"), filepath.Join(there, "empty")} {
			if _, err := fetch.Download(context.Background(), "models:/churn/1", dir, options(t, s)); err == nil || errors.Is(err, fetch.ErrUnfinished) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := os.Stat(filepath.Join(there, "new")); !os.IsNotExist(err) {
			t.Errorf("%s: the directory was left", name)
		}
		empty(t, filepath.Join(there, "empty"))
	}
}

// TestDownloadGoesOn breaks a download off after two of three files, and goes on: what was there is not
// fetched again, unless the server has another file by then, or does not say.
func TestDownloadGoesOn(t *testing.T) {
	const size = 4 << 20
	for what, tt := range map[string]struct {
		change func(*fetchtest.Server)
		most   int64 // bytes fetched by the second download
	}{
		"same":    {func(*fetchtest.Server) {}, size/2 + 10_000},
		"changed": {func(s *fetchtest.Server) { s.Files[weights] = []byte(strings.Repeat("others! ", size/8)) }, size*2 + 10_000},
		"silent":  {func(s *fetchtest.Server) { s.Chunked = true }, size*2 + 10_000},
	} {
		s := fetchtest.New(t)
		s.Churn("mlflow-artifacts:/0", size)
		s.Files[strings.Replace(weights, "model.pkl", "a.bin", 1)] = []byte(strings.Repeat("A", size))
		var down atomic.Bool
		down.Store(true)
		done := make(chan struct{})
		s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if !down.Load() {
				return false
			}
			switch {
			case strings.HasSuffix(r.URL.Path, "/a.bin") && r.Method == http.MethodGet:
				return false
			case strings.HasSuffix(r.URL.Path, "/model.pkl"):
				<-done // the other file is there
				if r.Header.Get("Range") != "" {
					w.WriteHeader(403)
					return true
				}
				rec := httptest.NewRecorder()
				fetchtest.Route(s, rec, r)
				for k, v := range rec.Header() {
					w.Header()[k] = v
				}
				_, _ = w.Write(rec.Body.Bytes()[:size/2])
				panic(http.ErrAbortHandler)
			}
			return false
		}
		o := options(t, s)
		o.Progress = func(e fetch.Event) {
			if e.File == "a.bin" && e.Done {
				close(done)
			}
		}
		dir := filepath.Join(t.TempDir(), "model")
		_, err := fetch.Download(context.Background(), "models:/churn/1", dir, o)
		if !errors.Is(err, fetch.ErrUnfinished) {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "MLmodel")); !os.IsNotExist(err) {
			t.Errorf("%s: what is not complete has an MLmodel", what)
		}
		if _, err := fetch.Download(context.Background(), "models:/churn/2", dir, options(t, s)); err == nil || !strings.Contains(err.Error(), "of something else") {
			t.Errorf("%s: another model: %v", what, err)
		}
		down.Store(false)
		tt.change(s)
		before := s.Sent()
		if _, err := fetch.Download(context.Background(), "models:/churn@champion", dir, options(t, s)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := s.Sent() - before; n > tt.most {
			t.Errorf("%s: fetched %d bytes, want at most %d", what, n, tt.most)
		}
		got := contents(t, os.DirFS(dir))
		if got["model.pkl"] != string(s.Files[weights]) || len(got["a.bin"]) != size || len(got) != 8 {
			t.Errorf("%s: model.pkl has %d bytes, a.bin %d, %d files", what, len(got["model.pkl"]), len(got["a.bin"]), len(got))
		}
	}
}

const weights = "mlflow-artifacts:/0/models/m-1/artifacts/model.pkl"
