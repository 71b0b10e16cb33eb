package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/index/indextest"
)

// rebase gives the world a base with another configuration.
func (w *imageWorld) rebase(t *testing.T, change func(*v1.Config)) {
	t.Helper()
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	change(&file.Config)
	if img, err = mutate.Config(img, file.Config); err != nil {
		t.Fatal(err)
	}
	w.base = filepath.Join(t.TempDir(), "base")
	if _, err := sink.Layout(w.base, "base").Send(context.Background(), sink.Artifact{Image: img}); err != nil {
		t.Fatal(err)
	}
}

// pushed builds, and gives what arrived in the registry.
func (w *imageWorld) pushed(t *testing.T, more ...string) (*v1.ConfigFile, *v1.Manifest) {
	t.Helper()
	r := w.image(t, append([]string{"--push", w.registry + "/churn:1"}, more...)...)
	return described(t, pulled(t, r.References[0]))
}

func (w *imageWorld) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.model, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// variable gives an image's environment variable, and whether there is one.
func variable(c *v1.ConfigFile, name string) (string, bool) {
	for _, entry := range c.Config.Env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// TestImageContract reads in the finished image what flags, model and base say of how it runs.
func TestImageContract(t *testing.T) {
	w := newImageWorld(t)
	w.write(t, "registered_model_meta", "model_name: churn-eu\nmodel_version: '7'\n")
	w.rebase(t, func(c *v1.Config) {
		c.Env = append(c.Env, "PYTHONPATH=/usr/lib/foreign", "PYTHONHOME=/usr", "KEPT=yes")
		c.Labels = map[string]string{"org.opencontainers.image.title": "python", "org.opencontainers.image.licenses": "PSF-2.0", "team": "base", "vendor": "kept"}
		c.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "true"}}
	})
	config, manifest := w.pushed(t, "--port", "9000", "--workers", "3", "--user", "12345:0", "--env", "A=1=2", "--label", "team=risk", "--annotation", "note=hello")
	c := config.Config
	if got := strings.Join(c.Entrypoint, " "); got != "/opt/venv/bin/mlenv-serve" {
		t.Errorf("the entrypoint is %s", got)
	}
	if text := string(inImage(t, w, "opt/venv/bin/mlenv-serve")); !strings.Contains(text, "\nSERVER = \"uvicorn\"\nPORT = 9000\nWORKERS = 3\n") {
		t.Errorf("the launcher is\n%s", text)
	}
	if _, ok := c.ExposedPorts["9000/tcp"]; !ok || len(c.ExposedPorts) != 1 {
		t.Errorf("exposed: %v", c.ExposedPorts)
	}
	if c.User != "12345:0" || c.StopSignal != "SIGTERM" || c.WorkingDir != "/opt/ml/model" || len(c.Cmd) > 0 {
		t.Errorf("user %q, stop signal %q, directory %q, command %q", c.User, c.StopSignal, c.WorkingDir, c.Cmd)
	}
	if c.Healthcheck == nil || c.Healthcheck.Test[0] != "CMD" || strings.Join(c.Healthcheck.Test[1:], " ") != "/opt/venv/bin/mlenv-serve ping" {
		t.Errorf("health check %+v", c.Healthcheck)
	}
	for name, want := range map[string]string{
		"A": "1=2", "KEPT": "yes", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "VIRTUAL_ENV": "/opt/venv",
		"PYTHON_VERSION": "3.11.9",
		"PATH":           "/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
	} {
		if got, _ := variable(config, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"PYTHONPATH", "PYTHONHOME"} {
		if got, ok := variable(config, name); ok {
			t.Errorf("the base's %s=%s stayed", name, got)
		}
	}
	lock := inImage(t, w, "opt/venv/pylock.toml")
	sum := sha256.Sum256(lock)
	for key, want := range map[string]string{
		"org.opencontainers.image.title": "churn-eu", "org.opencontainers.image.version": "7", "org.opencontainers.image.licenses": "",
		"io.mlenv.flavors": "python_function", "io.mlenv.lock.digest": "sha256:" + hex.EncodeToString(sum[:]),
	} {
		if got := c.Labels[key]; got != want {
			t.Errorf("label %s is %q, want %q", key, got, want)
		}
		if got := manifest.Annotations[key]; got != want {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}
	for _, key := range []string{"io.mlenv.spec.digest", "org.opencontainers.image.base.digest"} {
		if got := c.Labels[key]; !strings.HasPrefix(got, "sha256:") || manifest.Annotations[key] != got {
			t.Errorf("label %s is %q, annotation %q", key, got, manifest.Annotations[key])
		}
	}
	if c.Labels["team"] != "risk" || c.Labels["vendor"] != "kept" || manifest.Annotations["team"] != "" || manifest.Annotations["note"] != "hello" || c.Labels["note"] != "" {
		t.Errorf("labels %v, annotations %v", c.Labels, manifest.Annotations)
	}
}

// inImage reads a file of the image that was pushed last.
func inImage(t *testing.T, w *imageWorld, path string) []byte {
	t.Helper()
	return fileOf(t, pulled(t, w.registry+"/churn:1"), path)
}

// TestImageServers reads the contract of the other servers, and of none.
func TestImageServers(t *testing.T) {
	w := newImageWorld(t)
	w.index.Add(indextest.Parse("mlserver 1.6.1", "mlserver-mlflow 1.6.1")...)
	w.write(t, "registered_model_meta", "model_name: churn-eu\nmodel_version: 7\n")
	config, _ := w.pushed(t, "--serve", "mlserver", "--workers", "2")
	if got := strings.Join(config.Config.Entrypoint, " "); got != "/opt/venv/bin/mlenv-serve" {
		t.Errorf("mlserver: the entrypoint is %s", got)
	}
	if text := string(inImage(t, w, "opt/venv/bin/mlenv-serve")); !strings.Contains(text, "\nSERVER = \"mlserver\"\nPORT = 8080\nWORKERS = 2\n") {
		t.Errorf("mlserver: the launcher is\n%s", text)
	}
	for name, want := range map[string]string{"MLSERVER_MODEL_NAME": "churn-eu", "MLSERVER_MODEL_VERSION": "7"} {
		if got, _ := variable(config, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	config, _ = w.pushed(t, "--serve", "none")
	if c := config.Config; strings.Join(c.Entrypoint, " ") != "/opt/venv/bin/python" || len(c.ExposedPorts) > 0 || c.Healthcheck != nil {
		t.Errorf("none: entrypoint %q, ports %v, health check %v", c.Entrypoint, c.ExposedPorts, c.Healthcheck)
	}
	if got, _ := variable(config, "PYTHONPATH"); got != "/opt/ml/model/code" {
		t.Errorf("none: PYTHONPATH=%s", got)
	}
	config, _ = w.pushed(t, "--entrypoint", "/bin/worker", "--entrypoint", "--once")
	if c := config.Config; !slices.Equal(c.Entrypoint, []string{"/bin/worker", "--once"}) || c.Healthcheck != nil {
		t.Errorf("a command of one's own: entrypoint %q, health check %v", c.Entrypoint, c.Healthcheck)
	}
}

// TestImageCreated takes the time from SOURCE_DATE_EPOCH, from the model, or from nowhere.
func TestImageCreated(t *testing.T) {
	w := newImageWorld(t)
	w.env["SOURCE_DATE_EPOCH"] = "86400"
	if config, _ := w.pushed(t); config.Created.UTC().Format("2006-01-02T15:04:05") != "1970-01-02T00:00:00" {
		t.Errorf("created %s", config.Created)
	}
	delete(w.env, "SOURCE_DATE_EPOCH")
	text, err := os.ReadFile(filepath.Join(w.model, "MLmodel"))
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "MLmodel", strings.Replace(string(text), "utc_time_created", "nobody_knows", 1))
	first, _ := w.pushed(t)
	if second, _ := w.pushed(t); !first.Created.Equal(second.Created.Time) || first.Created.Year() > 2000 {
		t.Errorf("created %s, then %s", first.Created, second.Created)
	}
	for _, bad := range []string{"yesterday", "-1", "99999999999999"} {
		w.env["SOURCE_DATE_EPOCH"] = bad
		if _, errs, code := command(t, w.env, w.args()...); code != exitFailure || !strings.Contains(errs, "SOURCE_DATE_EPOCH") {
			t.Errorf("SOURCE_DATE_EPOCH=%s: exit code %d\n%s", bad, code, errs)
		}
	}
}

// TestImageBadValues are refused before anything is looked at: the base does not exist.
func TestImageBadValues(t *testing.T) {
	w := newImageWorld(t)
	for _, tt := range []struct{ args, want string }{
		{"--port 0", "--port must be at least 1"},
		{"--port 70000", "between 1 and 65535"},
		{"--workers 0", "--workers must be at least 1"},
		{"--workers -3", "at least one is needed"},
		{"--user model", "numeric"},
		{"--user 1000:users", "numeric"},
		{"--user 1000:", "numeric"},
		{"--env A", "KEY=VALUE"},
		{"--env =1", "KEY=VALUE"},
		{"--env A\tB=1", "name of an environment variable"},
		{"--label x", "KEY=VALUE"},
		{"--entrypoint ", "program, is empty"},
		{"--serve none --port 9000", "no meaning with --serve none"},
		{"--serve none --workers 2", "no meaning with --serve none"},
		{"--jobs 0", "--jobs must be at least 1"},
		{"--max-layer-size 1XB", "not a size"},
		{"--locked", "--locked needs --lock"},
	} {
		w.base = "/nonexistent"
		if strings.Contains(tt.args, "--locked") {
			w = newImageWorld(t)
		}
		_, errs, code := command(t, w.env, w.args(strings.Split(tt.args, " ")...)...)
		if code != exitFailure || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, want one that says %q\n%s", tt.args, code, tt.want, errs)
		}
	}
}

// TestImageLockServes refuses a lock without what the server needs, whoever made it.
func TestImageLockServes(t *testing.T) {
	w := newImageWorld(t)
	w.index.Add(indextest.Parse("setuptools 81.0", "setuptools 90.0", "mlflow 2.9.2: churn")...)
	w.write(t, "requirements.txt", "mlflow==2.9.2\nchurn\n") // which cannot do without an old setuptools
	lock := func(serve string) string {
		file := filepath.Join(t.TempDir(), "pylock.toml")
		if _, errs, code := command(t, w.env, "lock", w.model, "--base", "oci:"+w.base, "--index-url", w.index.URL, "--serve", serve, "-o", file); code != 0 {
			t.Fatal(errs)
		}
		return file
	}
	foreign := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, _, ok := strings.Cut(string(text), "[tool.mlenv")
		if !ok {
			t.Fatalf("the lock says nothing of mlenv:\n%s", text)
		}
		if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	out := "oci:" + filepath.Join(t.TempDir(), "x")
	for _, tt := range []struct {
		what, lock, serve, want string
	}{
		{"the right one", lock("mlflow"), "mlflow", ""},
		{"more than is needed", lock("mlflow"), "none", ""},
		{"one for no server", lock("none"), "mlflow", "made for the server none"},
		{"one for another server", lock("mlflow"), "mlserver", "made for the server mlflow"},
		{"a foreign one that does", foreign(lock("mlflow")), "mlflow", ""},
		{"a foreign one that does not", foreign(lock("none")), "mlflow", "lacks what the server mlflow needs: setuptools<82"},
	} {
		_, errs, code := command(t, w.env, w.args("--lock", tt.lock, "--serve", tt.serve, "-o", out)...)
		if (code == 0) != (tt.want == "") || !strings.Contains(errs, tt.want) || code != 0 && !strings.Contains(errs, "mlenv lock --serve") {
			t.Errorf("%s: exit code %d, want one that says %q\n%s", tt.what, code, tt.want, errs)
		}
	}
	// Flags that the Spec's digest does not cover make --locked solve again.
	if _, errs, code := command(t, w.env, w.args("--lock", lock("mlflow"), "--locked", "--no-binary", "churn", "-o", out)...); code == 0 {
		t.Errorf("a lock with a wheel that is not wanted is taken:\n%s", errs)
	}
}

// TestImageLocalFiles builds with wheels of a folder. Where the folder lies leaves no trace.
func TestImageLocalFiles(t *testing.T) {
	w := newImageWorld(t)
	wheels := func(dir string) string {
		for _, d := range indextest.Parse("local 1.0: churn", "direct 2.0") {
			err := os.MkdirAll(dir, 0o755)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, d.Filename()), d.Bytes(), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	var first string
	for _, dir := range []string{wheels(filepath.Join(t.TempDir(), "wheels")), wheels(filepath.Join(t.TempDir(), "some", "where", "else"))} {
		w.env["MLENV_CACHE_DIR"] = t.TempDir()
		r := w.image(t, "--find-links", dir, "--extra-pip-requirements", "local", "--extra-pip-requirements",
			filepath.Join(dir, "direct-2.0-py3-none-any.whl"), "--push", w.registry+"/churn:1")
		if first == "" {
			first = r.Digest
		}
		if r.Digest != first {
			t.Errorf("from %s: %s instead of %s", dir, r.Digest, first)
		}
		lock := string(inImage(t, w, "opt/venv/pylock.toml"))
		if strings.Contains(lock, "../") || strings.Contains(lock, filepath.Dir(dir)) || !strings.Contains(lock, `path = "local-1.0-py3-none-any.whl"`) {
			t.Errorf("the lock in the image:\n%s", lock)
		}
	}
}

// TestImageStrict ends with findings where warnings count.
func TestImageStrict(t *testing.T) {
	w := newImageWorld(t)
	w.write(t, "python_env.yaml", "python: 3.11.8\ndependencies:\n- -r requirements.txt\n") // MLmodel says 3.11.9
	out := "oci:" + filepath.Join(t.TempDir(), "x")
	if _, errs, code := command(t, w.env, w.args("-o", out)...); code != 0 || !strings.Contains(errs, "python-patch-differs") {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	if stdout, _, code := command(t, w.env, w.args("-o", out, "--strict")...); code != exitFindings || stdout != "" {
		t.Errorf("--strict: exit code %d, stdout %q", code, stdout)
	}
}

// fileOf reads a file of an image.
func fileOf(t *testing.T, img v1.Image, path string) []byte {
	t.Helper()
	all := mutate.Extract(img)
	defer all.Close()
	archive := tar.NewReader(all)
	for {
		h, err := archive.Next()
		if err != nil {
			t.Fatalf("looking for %s: %v", path, err)
		}
		if h.Name == path {
			data, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
}
