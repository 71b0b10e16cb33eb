package fetch_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
	"mlenv/resolve/model"
)

// options are those of a client that does not wait.
func options(t *testing.T, s *fetchtest.Server) fetch.Options {
	return fetch.Options{Tracking: s.URL, Dir: t.TempDir(), Sleep: func(context.Context, time.Duration) error { return nil }}
}

// contents reads all files of a model.
func contents(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var data []byte
			data, err = fs.ReadFile(fsys, name)
			out[name] = string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// empty fails where a directory holds anything.
func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestOpen opens the same model by every URI that it has, on every kind of server, and finds the same
// files, the same resolution, and nothing on disk afterwards.
func TestOpen(t *testing.T) {
	servers := map[string]func(*fetchtest.Server){
		"proxied":   func(s *fetchtest.Server) { s.Churn("mlflow-artifacts:/0", 5000) },
		"chunked":   func(s *fetchtest.Server) { s.Churn("mlflow-artifacts:/0", 5000); s.Chunked = true },
		"bucket":    func(s *fetchtest.Server) { s.Churn("s3://bucket/0", 5000); s.NoServe = true },
		"disk":      func(s *fetchtest.Server) { s.Churn("/srv/0", 5000); s.NoServe = true; s.PageSize = 2 },
		"misserved": func(s *fetchtest.Server) { s.Churn("mlflow-artifacts:/0", 5000); s.NoServe = true },
		"era 2": func(s *fetchtest.Server) {
			s.Era2 = true
			s.Put("mlflow-artifacts:/0/r1/artifacts/model", fetchtest.Model(5000))
			s.Runs = []fetchtest.Run{{ID: "r1", Root: "mlflow-artifacts:/0/r1/artifacts"}}
			root := "mlflow-artifacts:/0/r1/artifacts/model"
			s.Versions = []fetchtest.Version{{Name: "churn", Number: "1", Stage: "Production", Aliases: "champion", Source: root, Root: root, RunID: "r1"}}
		},
		"era 2, bucket": func(s *fetchtest.Server) {
			s.Era2, s.NoServe, s.PageSize = true, true, 1
			s.Put("s3://b/0/r1/artifacts/model", fetchtest.Model(5000))
			s.Runs = []fetchtest.Run{{ID: "r1", Root: "s3://b/0/r1/artifacts"}}
			root := "s3://b/0/r1/artifacts/model"
			s.Versions = []fetchtest.Version{{Name: "churn", Number: "1", Stage: "Production", Aliases: "champion", Source: root, Root: root, RunID: "r1"}}
		},
	}
	for kind, fill := range servers {
		s := fetchtest.New(t)
		fill(s)
		uris := []string{"models:/churn@champion", "models:/churn/1", "models:/churn/production", "runs:/r1/model"}
		if len(s.Logged) > 0 {
			uris = append(uris, "models:/m-1")
		}
		for _, uri := range uris {
			t.Run(kind+" "+uri, func(t *testing.T) {
				o := options(t, s)
				m, err := fetch.Open(context.Background(), uri, o)
				if err != nil {
					t.Fatal(err)
				}
				want := fetchtest.Model(5000)
				if strings.HasPrefix(uri, "models:/churn") {
					want["registered_model_meta"] = "model_name: churn\nmodel_version: '1'\n"
					if m.RegisteredName.Text != "churn" || m.Source.Name != "churn" || m.Source.Version != "1" {
						t.Errorf("resolved to %+v", m.Source)
					}
				}
				got := contents(t, m.FS)
				for name := range want {
					if got[name] != want[name] {
						t.Errorf("%s has %d bytes, want %d", name, len(got[name]), len(want[name]))
					}
				}
				if len(got) != len(want) || m.Source.Root == "" || m.Source.URI != uri || !strings.HasPrefix(uri, "models:/m-") && m.Source.RunID != "r1" {
					t.Errorf("%d files, want %d; resolved to %+v", len(got), len(want), m.Source)
				}
				if data, err := os.ReadFile(filepath.Join(m.Dir, "model.pkl")); err != nil || len(data) != 5000 {
					t.Errorf("model.pkl is not in the directory: %v", err)
				}
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				empty(t, o.Dir)
			})
		}
	}
}

// TestWithin opens a model that lies in a directory of a version, a run's or a file store's: it is that alone, and not the registered
// one, whose name it does not get.
func TestWithin(t *testing.T) {
	for _, base := range []string{"mlflow-artifacts:/0", "s3://bucket/0"} {
		s := fetchtest.New(t)
		s.NoServe = !strings.HasPrefix(base, "mlflow")
		s.Churn(base, 10)
		for name, text := range fetchtest.Model(20) {
			s.Files[base+"/models/m-1/artifacts/parts/a b/"+name] = []byte(text)
		}
		for _, uri := range []string{"models:/churn/1/parts/a b", "models:/churn/Production/parts/a b", "models:/churn@champion/parts/a b", "runs:/r1/model/parts/a b"} {
			m, err := fetch.Open(context.Background(), uri, options(t, s))
			if err != nil {
				t.Fatal(err)
			}
			got := contents(t, m.FS)
			if len(got) != len(fetchtest.Model(20)) || len(got["model.pkl"]) != 20 || !strings.HasSuffix(m.Source.Root, "/m-1/artifacts/parts/a b") {
				t.Errorf("%s: %d files, %d bytes of weights, %+v", uri, len(got), len(got["model.pkl"]), m.Source)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestLatest resolves what moves: latest, a stage, an alias, and the newest of two logged models of a run.
func TestLatest(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 10)
	s.Versions = append(s.Versions, fetchtest.Version{Name: "churn", Number: "10", Stage: "None", Source: "models:/m-2", Root: s.Versions[1].Root, RunID: "2"})
	s.Versions = append(s.Versions, fetchtest.Version{Name: "a b/c@d.ü", Number: "1", Stage: "None", Aliases: "x", Root: s.Versions[1].Root, RunID: "2"})
	s.Runs[0].Outputs = []string{"m-2", "m-1", "m-3"}
	for uri, want := range map[string]string{
		"models:/churn/latest": "10 m-2", "models:/churn/LATEST": "10 m-2", "models:/churn/Production": "1 m-1", "models:/churn/none": "10 m-2",
		"models:/churn@champion": "1 m-1", "runs:/r1/model": " m-2", "models:/a b/c@d.ü": "err", "models:/churn/2": "2 m-2",
	} {
		m, err := fetch.Open(context.Background(), uri, options(t, s))
		if err != nil {
			if want != "err" {
				t.Errorf("%s: %v", uri, err)
			}
			continue
		}
		if got := m.Source.Version + " " + m.Source.ModelID; got != want {
			t.Errorf("%s is %s, want %s", uri, got, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLazy reads what a model declares, and does not touch the weights.
func TestLazy(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 5<<20)
	o := options(t, s)
	var seen []string
	o.Progress = func(e fetch.Event) {
		if e.Done {
			seen = append(seen, e.File)
		}
	}
	m, err := fetch.Open(context.Background(), "models:/churn/1", o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if s.Sent() > 2000 || slices.Contains(seen, "model.pkl") {
		t.Errorf("fetched %d bytes, %v", s.Sent(), seen)
	}
	for range 3 {
		if _, err := fs.ReadFile(m.FS, "model.pkl"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Sent(); n > 5<<20+2000 {
		t.Errorf("fetched %d bytes in all", n)
	}
}

// TestLocal opens a model of a directory by its path and by file:, and one of a file store by its name.
func TestLocal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.ToSlash(dir) + "/mlruns/0/models/m-1/artifacts"
	for name, text := range fetchtest.Model(10) {
		write("mlruns/0/models/m-1/artifacts/"+name, text)
		write("mlruns/0/r0/artifacts/old/"+name, text)
	}
	write("mlruns/0/meta.yaml", "name: Default\n")
	write("mlruns/0/models/m-1/meta.yaml", "model_id: m-1\nname: model\nsource_run_id: r1\ncreation_timestamp: 5\nartifact_location: "+at+"\n")
	write("mlruns/0/r1/meta.yaml", "run_id: r1\nartifact_uri: file://"+filepath.ToSlash(dir)+"/mlruns/0/r1/artifacts\n")
	write("mlruns/0/r0/meta.yaml", "run_id: r0\nartifact_uri: "+filepath.ToSlash(dir)+"/mlruns/0/r0/artifacts\n")
	write("mlruns/models/churn/meta.yaml", "name: churn\n")
	for _, v := range []string{"2", "10"} {
		write("mlruns/models/churn/version-"+v+"/meta.yaml", "version: "+v+"\ncurrent_stage: Staging\nrun_id: r1\nsource: models:/m-1\nstorage_location: "+at+"\n")
	}
	write("mlruns/models/churn/aliases/champion", "2")
	for uri, want := range map[string]string{
		dir + "/mlruns/0/models/m-1/artifacts": "", "file://" + at: "", "models:/m-1": "", "runs:/r1/model": "", "runs:/r0/old": "",
		"models:/churn/2": "2", "models:/churn/2/..": "within the model", "models:/churn/2/none": "no such directory", "models:/churn@champion": "2", "models:/churn/latest": "10", "models:/churn/staging": "10",
		"models:/churn/3": "no version 3", "models:/nope/1": "no model nope", "models:/churn@x": "no alias x", "models:/churn/Production": "the stage Production",
		"models:/m-2": "no logged model m-2", "runs:/../x": "is no name", "runs:/r1/other": "no such directory", "models:/../1": "is no name",
	} {
		for _, tracking := range []string{filepath.Join(dir, "mlruns"), "file://" + filepath.ToSlash(dir) + "/mlruns"} {
			m, err := fetch.Open(context.Background(), uri, fetch.Options{Tracking: tracking})
			if len(want) > 2 {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", uri, err, want)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", uri, err)
				continue
			}
			files := contents(t, m.FS)
			meta := files["registered_model_meta"]
			if want != "" && meta != "model_name: churn\nmodel_version: '"+want+"'\n" || want == "" && meta != "" || files["model.pkl"] == "" {
				t.Errorf("%s: %q in %d files", uri, meta, len(files))
			}
			if _, err := os.Stat(filepath.Join(m.Dir, "MLmodel")); err != nil || m.Remote || m.Close() != nil {
				t.Errorf("%s: %v", uri, err)
			}
		}
	}
}

// TestModelFaults are faults of the model itself: they are reported as those of a directory are.
func TestModelFaults(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("mlflow-artifacts:/bad", map[string]string{"MLmodel": "flavors: 5\n", "x": "y"})
	s.Put("mlflow-artifacts:/none", map[string]string{"x": "y"})
	for uri, want := range map[string]string{"mlflow-artifacts:/bad": "flavors must be a mapping", "mlflow-artifacts:/none": "not an MLflow Model"} {
		o := options(t, s)
		_, err := fetch.Open(context.Background(), uri, o)
		var bad *model.Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
		empty(t, o.Dir)
	}
}

// memoryStore is a Store of files in memory.
type memoryStore map[string]string

func (m memoryStore) List(_ context.Context, add func(fetch.File) error) error {
	for name, text := range m {
		if err := add(fetch.File{Path: name, Size: int64(len(text)), Tag: "1"}); err != nil {
			return err
		}
	}
	return nil
}

func (m memoryStore) Open(_ context.Context, f fetch.File, offset int64) (*fetch.Body, error) {
	return &fetch.Body{ReadCloser: io.NopCloser(strings.NewReader(m[f.Path][offset:])), Begins: offset, Size: f.Size, Tag: f.Tag}, nil
}

// TestStores opens models that lie where the caller alone can read them: by their own URI, and by a version of which no
// server lists the files.
func TestStores(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 100)
	s.Versions[0].Root = "s3://bucket/elsewhere"
	o := options(t, s)
	var asked []string
	o.Stores = map[string]func(context.Context, string) (fetch.Store, error){"s3": func(_ context.Context, uri string) (fetch.Store, error) {
		asked = append(asked, uri)
		return memoryStore(fetchtest.Model(100)), nil
	}}
	for _, uri := range []string{"s3://bucket/model", "models:/churn/1", "models:/churn/2"} {
		m, err := fetch.Open(context.Background(), uri, o)
		if err != nil {
			t.Fatal(err)
		}
		if files := contents(t, m.FS); files["model.pkl"] != fetchtest.Model(100)["model.pkl"] {
			t.Errorf("%s: %d files", uri, len(files))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"s3://bucket/model", "s3://bucket/elsewhere"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
}

// TestVersionOfDeletedRun opens a registered version whose run was deleted since: its files are still there.
func TestVersionOfDeletedRun(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("s3://bucket/0", 10)
	s.Runs[0].Deleted = true
	m, err := fetch.Open(context.Background(), "models:/churn/1", options(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
