package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/resolve/fetch/fetchtest"
	"mlenv/resolve/index/indextest"
)

// serveModel puts the model of an image's tests on an MLflow server, as version 7 of "Churn Model" with the
// alias champion, and beside it the directory that MLflow's own download of it gives.
func serveModel(t *testing.T, w *imageWorld) (s *fetchtest.Server, downloaded string) {
	t.Helper()
	s = fetchtest.New(t)
	const root = "mlflow-artifacts:/0/models/m-1/artifacts"
	downloaded = filepath.Join(t.TempDir(), "downloaded")
	if err := os.CopyFS(downloaded, os.DirFS(w.model)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(downloaded, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(downloaded, name)
		s.Files[root+"/"+filepath.ToSlash(rel)] = data
		return err
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(downloaded, "registered_model_meta"), []byte("model_name: Churn Model\nmodel_version: '7'\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Logged = []fetchtest.Logged{{ID: "m-1", Name: "model", RunID: "r1", Root: root}}
	s.Runs = []fetchtest.Run{{ID: "r1", Root: "mlflow-artifacts:/0/r1/artifacts", Outputs: []string{"m-1"}}}
	s.Versions = []fetchtest.Version{{Name: "Churn Model", Number: "7", Stage: "None", Aliases: "champion", Source: "models:/m-1", Root: root, RunID: "r1"}}
	return s, downloaded
}

// noModelLeft fails where the files of a model are still in the cache.
func noModelLeft(t *testing.T, env map[string]string) {
	t.Helper()
	if left, err := os.ReadDir(filepath.Join(env["MLENV_CACHE_DIR"], "models-v1")); err != nil && !os.IsNotExist(err) || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestImageOfURI builds the same image of a model's URI as of the directory that MLflow downloads it to:
// the same digest, with a wheel in the model too, fetching each file once.
func TestImageOfURI(t *testing.T) {
	w := newImageWorld(t)
	wheel := indextest.Parse("churn 1.0: deep")[0]
	if err := os.MkdirAll(filepath.Join(w.model, "wheels"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"wheels/" + wheel.Filename(): wheel.Bytes(),
		"requirements.txt":           []byte("mlflow==3.1.0\nwheels/" + wheel.Filename() + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(w.model, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, downloaded := serveModel(t, w)
	w.env["MLFLOW_TRACKING_URI"], w.env["MLFLOW_TRACKING_TOKEN"] = s.URL, "hunter2"
	s.Auth = "Bearer hunter2"
	w.model = downloaded
	want := w.image(t, "--push", w.registry+"/folder:1")
	for _, uri := range []string{"models:/Churn Model@champion", "models:/Churn Model/7"} {
		before := s.Sent()
		w.model, w.env["MLENV_CACHE_DIR"] = uri, t.TempDir()
		got := w.image(t, "--push", w.registry+"/uri:1")
		if got.Digest != want.Digest {
			t.Errorf("%s has the digest %s, its folder %s", uri, got.Digest, want.Digest)
		}
		if n := s.Sent() - before; n > 165_000 { // the weights once
			t.Errorf("fetched %d bytes", n)
		}
		if got.Source == nil || got.Source.Name != "Churn Model" || got.Source.Version != "7" || got.Source.ModelID != "m-1" || got.Source.URI != uri {
			t.Errorf("%s: the report says it is of %+v", uri, got.Source)
		}
		if text, _ := json.Marshal(got); strings.Contains(string(text), "hunter2") {
			t.Error("the report holds the token")
		}
		noModelLeft(t, w.env)
	}
	config, _ := described(t, pulled(t, w.registry+"/uri:1"))
	if l := config.Config.Labels; l["org.opencontainers.image.title"] != "Churn Model" || l["org.opencontainers.image.version"] != "7" {
		t.Errorf("labels %v", l)
	}

	lock := filepath.Join(t.TempDir(), "pylock.toml")
	w.model = "models:/Churn Model/7"
	args := w.args()[1:]
	_, errs, code := command(t, w.env, append(append([]string{"lock"}, args...), "-o", lock)...)
	text, err := os.ReadFile(lock)
	if code != 0 || err != nil || !strings.Contains(string(text), `"wheels/`+wheel.Filename()) {
		t.Fatalf("exit code %d, %v\n%s\n%s", code, err, errs, text)
	}
	if got := w.image(t, "--push", w.registry+"/locked:1", "--lock", lock); got.Digest != want.Digest {
		t.Errorf("by its lock it has the digest %s, not %s", got.Digest, want.Digest)
	}
	// The lock of one is good for the other, wherever that lies: the URI's for the directory, and the directory's, which names
	// its wheel by another path, for the URI.
	w.model = downloaded
	if got := w.image(t, "--push", w.registry+"/locked:2", "--lock", lock); got.Digest != want.Digest {
		t.Errorf("the directory has the digest %s by the lock of its URI, not %s", got.Digest, want.Digest)
	}
	other := filepath.Join(t.TempDir(), "pylock.toml")
	args = w.args()[1:]
	if _, errs, code := command(t, w.env, append(append([]string{"lock"}, args...), "-o", other)...); code != 0 {
		t.Fatal(errs)
	}
	w.model = "models:/Churn Model/7"
	w.image(t, "--push", w.registry+"/locked:3", "--lock", other)
	dir := filepath.Join(t.TempDir(), "context")
	if _, errs, code := command(t, w.env, "dockerfile", w.model, "--index-url", w.index.URL, "--lock", other, "--offline", "--installer", "pip", "-o", dir+"2"); code != 0 {
		t.Fatal(errs)
	}
	if _, err := os.Stat(filepath.Join(dir+"2", "wheels", wheel.Filename())); err != nil {
		t.Error(err)
	}
	if _, errs, code := command(t, w.env, "dockerfile", w.model, "--index-url", w.index.URL, "--lock", lock, "--offline", "--installer", "pip", "-o", dir); code != 0 {
		t.Fatal(errs)
	}
	for _, name := range []string{"model/model.pkl", "model/registered_model_meta", "wheels/" + wheel.Filename()} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	noModelLeft(t, w.env)
}

// TestURIInEveryCommand gives every command a URI, and one that names nothing.
func TestURIInEveryCommand(t *testing.T) {
	w := newImageWorld(t)
	s, _ := serveModel(t, w)
	w.env["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:1" // the flag is stronger
	const is = `models:/Churn Model@champion is version 7 of Churn Model, logged model m-1, run r1, at mlflow-artifacts:/0/models/m-1/artifacts`
	for _, cmd := range [][]string{
		{"resolve"}, {"check"}, {"lock", "-o", "-"}, {"dockerfile", "-o", "-"}, {"manifest", "--image", "registry/x:1"}, {"diff", "--against", "champion"},
	} {
		args := append(cmd, "--tracking-uri", s.URL)
		if cmd[0] == "lock" || cmd[0] == "dockerfile" {
			args = append(args, "--base", "oci:"+w.base, "--index-url", w.index.URL)
		}
		if cmd[0] == "dockerfile" {
			args = append(args[:5], "--index-url", w.index.URL, "--offline", "--no-lock")
		}
		out, errs, code := command(t, w.env, append(args, "models:/Churn Model@champion")...)
		if code != 0 || out == "" {
			t.Errorf("%v: exit code %d\n%s", cmd, code, errs)
		}
		if said := strings.Contains(errs, is); said != (cmd[0] != "diff") {
			t.Errorf("%v says of the URI:\n%s", cmd, errs)
		}
		_, errs, code = command(t, w.env, append(args, "models:/Churn Model/8")...)
		if code != 1 || strings.Count(errs, "\n") != 2 || !strings.Contains(errs, "has no version 8 of a model Churn Model\n  hint: check the spelling") {
			t.Errorf("%v: exit code %d\n%s", cmd, code, errs)
		}
	}
	if s.Sent() > 20_000 {
		t.Errorf("fetched %d bytes: the weights too", s.Sent())
	}
	noModelLeft(t, w.env)
}

// TestFetchHints has a sentence on what to do for every way in which a model cannot be fetched.
func TestFetchHints(t *testing.T) {
	w := newImageWorld(t)
	s, _ := serveModel(t, w)
	s.Runs = append(s.Runs, fetchtest.Run{ID: "r2", Root: "mlflow-artifacts:/0/r2/artifacts", Deleted: true})
	s.Answer = func(rw http.ResponseWriter, r *http.Request) bool {
		if name := r.URL.Query().Get("name"); name == "login" {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte("<html>Sign in</html>"))
			return true
		}
		return false
	}
	denying := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(403) }))
	defer denying.Close()
	bucket, profile := denying.URL, filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nsso_session=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		uri  string
		env  map[string]string
		want string
	}{
		"no server":     {"models:/x/1", map[string]string{"MLFLOW_TRACKING_URI": ""}, "name the server in MLFLOW_TRACKING_URI"},
		"sqlite":        {"models:/x/1", map[string]string{"MLFLOW_TRACKING_URI": "sqlite:///m.db"}, "mlflow server --backend-store-uri sqlite:///m.db"},
		"database":      {"models:/x/1", map[string]string{"MLFLOW_TRACKING_URI": "postgresql://u:hunter2@db/x"}, "mlflow server --backend-store-uri postgresql://db/x"},
		"settings":      {"models:/x/1", map[string]string{"MLFLOW_TRACKING_INSECURE_TLS": "hunter2"}, "docs/sources-of-models.md"},
		"down":          {"models:/x/1", map[string]string{"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, "check that the server runs"},
		"login":         {"models:/login/1", nil, "a login page means that a proxy wants a token"},
		"form":          {"models:/x/", nil, "write models:/NAME/VERSION"},
		"run":           {"runs:/x", nil, "write runs:/RUN_ID/PATH"},
		"dbfs":          {"dbfs:/x", nil, "mlflow artifacts download -u URI -d DIR"},
		"sftp":          {"sftp://u:hunter2@host/x", nil, "mlflow artifacts download"},
		"databricks":    {"models:/x/1", map[string]string{"MLFLOW_TRACKING_URI": "databricks"}, "set DATABRICKS_HOST and DATABRICKS_TOKEN"},
		"profile":       {"models:/a.b.c/1", map[string]string{"MLFLOW_TRACKING_URI": "databricks://nope"}, "set DATABRICKS_HOST and DATABRICKS_TOKEN"},
		"catalog":       {"models:/x/1", map[string]string{"MLFLOW_TRACKING_URI": "databricks", "DATABRICKS_HOST": "http://127.0.0.1:1", "DATABRICKS_TOKEN": "hunter2"}, "write models:/CATALOG.SCHEMA.NAME/VERSION"},
		"logged there":  {"models:/m-1", map[string]string{"MLFLOW_TRACKING_URI": "databricks", "DATABRICKS_HOST": "http://127.0.0.1:1", "DATABRICKS_TOKEN": "hunter2"}, "give the models:/ URI of a version"},
		"http":          {"https://example.com/model", nil, "write models:/NAME/VERSION, and name the server"},
		"no such model": {"models:/x/1", nil, "check the spelling"},
		"deleted run":   {"runs:/r2/model", nil, "mlflow runs restore"},
		"empty":         {"runs:/r1/other", nil, "its files were deleted"},
		"S3":            {"s3://bucket/x", map[string]string{"MLFLOW_S3_ENDPOINT_URL": bucket, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "hunter2"}, "set AWS_ACCESS_KEY_ID"},
		"S3 settings":   {"s3://bucket/x", map[string]string{"AWS_REGION": "hunter2!"}, "set AWS_ACCESS_KEY_ID"},
		"S3 profile":    {"s3://bucket/x", map[string]string{"AWS_CONFIG_FILE": profile}, "aws configure export-credentials"},
		"S3 form":       {"s3://", nil, "write s3://BUCKET/PATH"},
		"gs":            {"gs://bucket/x", map[string]string{"STORAGE_EMULATOR_HOST": bucket}, "GOOGLE_APPLICATION_CREDENTIALS"},
		"azure":         {"abfss://c1@account.dfs.core.windows.net/x", map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "SharedAccessSignature=sig=hunter2;BlobEndpoint=" + bucket}, "set AZURE_STORAGE_CONNECTION_STRING"},
		"azure form":    {"wasbs://account/x", nil, "write wasbs://CONTAINER@ACCOUNT"},
	} {
		env := map[string]string{"HOME": w.env["HOME"], "MLENV_CACHE_DIR": w.env["MLENV_CACHE_DIR"], "MLFLOW_TRACKING_URI": s.URL,
			"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
		for k, v := range tt.env {
			env[k] = v
		}
		_, errs, code := command(t, env, "check", tt.uri)
		if code != 1 || !strings.HasPrefix(errs, "error: ") || strings.Count(errs, "\n") != 2 || !strings.Contains(errs, "\n  hint: ") ||
			!strings.Contains(errs, tt.want) || strings.Contains(errs, "hunter2") {
			t.Errorf("%s: exit code %d\n%s", what, code, errs)
		}
	}
	noModelLeft(t, w.env)
}

// TestDiffVersions compares with the version before, which may be deleted.
func TestDiffVersions(t *testing.T) {
	s := fetchtest.New(t)
	s.Churn("mlflow-artifacts:/0", 100)
	s.Versions[1].Number = "5"
	env := map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "HOME": t.TempDir(), "MLFLOW_TRACKING_URI": s.URL}
	for _, tt := range []struct{ args, out, errs string }{
		{"models:/churn/5", "models:/churn/1\nnew  model models:/churn/5\n", ""},
		{"models:/churn/5 --against champion", "models:/churn@champion (version 1)\nnew  model models:/churn/5\n", ""},
		{"models:/churn@champion models:/churn/latest", "models:/churn@champion (version 1)\nnew  model models:/churn/latest (version 5)\n", ""},
		{"models:/churn/1", "", "no version before it is left"},
		{"models:/churn/5 --against nope", "", "no alias nope"},
		{"models:/m-1", "", "OLD and NEW are both needed"},
		{"models:/churn/1 models:/churn/5 --against 1", "", "give one of them"},
		{"x", "", "OLD and NEW are needed"},
	} {
		out, errs, _ := command(t, env, append([]string{"diff"}, strings.Fields(tt.args)...)...)
		if tt.out != "" && (!strings.Contains(out, tt.out) || !strings.Contains(out, "six") || errs != "") || tt.out == "" && !strings.Contains(errs, tt.errs) {
			t.Errorf("diff %s:\n%s\n%s", tt.args, out, errs)
		}
	}
	noModelLeft(t, env)
}

// TestFetchCommand downloads a model, by default to a directory with its name.
func TestFetchCommand(t *testing.T) {
	w := newImageWorld(t)
	s, downloaded := serveModel(t, w)
	w.env["MLFLOW_TRACKING_URI"] = s.URL
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		args      []string
		out, errs string
		code      int
	}{
		{[]string{"models:/Churn Model@champion"}, "churn-model\n", "is version 7 of Churn Model, logged model m-1", 0},
		{[]string{"models:/Churn Model@champion"}, "", "churn-model is not empty\n  hint: name a directory", 1},
		{[]string{"models:/m-1", "here/there", "--quiet"}, "here/there\n", "", 0},
		{[]string{"models:/Churn Model/8", "new"}, "", "has no version 8", 1},
		{[]string{"dir"}, "", "is not a URI", 1},
		{nil, "", "URI is missing", 1},
		{[]string{"models:/a/1", "b", "c"}, "", `there is also "c"`, 1},
	} {
		out, errs, code := command(t, w.env, append([]string{"fetch"}, tt.args...)...)
		if out != tt.out || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
			t.Errorf("%v: exit code %d, %q\n%s", tt.args, code, out, errs)
		}
	}
	for _, name := range []string{"model.pkl", "registered_model_meta", "code/churn/__init__.py"} {
		want, err := os.ReadFile(filepath.Join(downloaded, name))
		got, err2 := os.ReadFile(filepath.Join("churn-model", name))
		if err != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("%s: %v, %v, %d bytes", name, err, err2, len(got))
		}
	}
	if _, err := os.Stat("new"); !os.IsNotExist(err) {
		t.Error("a directory for a version that is not there")
	}
}
