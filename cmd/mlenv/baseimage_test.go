package main

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/layer"
	"mlenv/imagebuild/sink"
)

// hub stands for the default registry: every request to it goes to a registry in the test.
type hub struct{ host string } // "": it cannot be reached

func (h *hub) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != name.DefaultRegistry {
		return http.DefaultTransport.RoundTrip(r)
	}
	if h.host == "" {
		return nil, errors.New("no route to host")
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", h.host
	return http.DefaultTransport.RoundTrip(r)
}

// newHub has docker-library's images under tags; a tag maps to the Python that it has.
func newHub(t *testing.T, tags map[string]string) *hub {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	h := &hub{strings.TrimPrefix(s.URL, "http://")}
	for tag, python := range tags {
		img, err := basetest.Slim(python)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference("python:" + tag)
		if err == nil {
			err = remote.Write(ref, img, remote.WithTransport(h))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// commandWith is command with another way to registries, which are not waited for.
func commandWith(t *testing.T, transport http.RoundTripper, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	a := &app{
		lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		stdin:  strings.NewReader(""), stdout: &out, stderr: &errs, transport: transport,
		sleep:   func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		backoff: remote.Backoff{Duration: time.Microsecond, Factor: 1, Steps: 2},
	}
	err := a.run(t.Context(), args)
	a.printError(context.Background(), err)
	return out.String(), errs.String(), exitCode(err)
}

// TestImageDefaultBase builds on docker-library's image of the model's Python: the exact one, else
// that of the same minor version, else none.
func TestImageDefaultBase(t *testing.T) {
	for _, tt := range []struct {
		what     string
		hub      *hub
		base     string // "": none can be had
		findings string
		stderr   []string
	}{
		{"the exact version", newHub(t, map[string]string{"3.11.9-slim": "3.11.9", "3.11-slim": "3.11.12"}),
			"index.docker.io/library/python:3.11.9-slim", "", nil},
		{"the minor version", newHub(t, map[string]string{"3.11-slim": "3.11.12"}),
			"index.docker.io/library/python:3.11-slim", "base-not-exact", []string{"no python:3.11.9-slim", "built on python:3.11-slim instead"}},
		{"another version", newHub(t, map[string]string{"3.12-slim": "3.12.1"}), "", "", []string{"library/python", "--base host", "--base oci:DIR"}},
		{"no registry", &hub{}, "", "", []string{"no route to host", "--base host", "--base oci:DIR"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w := newImageWorld(t)
			out, errs, code := commandWith(t, tt.hub, w.env, "image", w.model, "--index-url", w.index.URL,
				"--push", w.registry+"/churn:1", "--format", "json")
			for _, want := range tt.stderr {
				if !strings.Contains(errs, want) {
					t.Errorf("stderr does not say %q:\n%s", want, errs)
				}
			}
			if tt.base == "" {
				if code != exitFailure || out != "" {
					t.Errorf("exit code %d, stdout %q", code, out)
				}
				return
			}
			var r imageReport
			if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
				t.Fatalf("exit code %d, %v\n%s", code, err, errs)
			}
			var rules []string
			for _, f := range r.Findings {
				if strings.HasPrefix(string(f.Rule), "base-") {
					rules = append(rules, string(f.Rule))
				}
			}
			if got := strings.Join(rules, " "); got != tt.findings {
				t.Errorf("findings %q, want %q", got, tt.findings)
			}
			if got := labelsOf(t, r.References[0])["org.opencontainers.image.base.name"]; got != tt.base {
				t.Errorf("built on %s, want %s", got, tt.base)
			}
		})
	}
}

func labelsOf(t *testing.T, reference string) map[string]string {
	t.Helper()
	config, _ := described(t, pulled(t, reference))
	return config.Config.Labels
}

// write sends an image, or an index, to a file or directory.
func write(t *testing.T, s sink.Sink, a sink.Artifact) {
	t.Helper()
	if _, err := s.Send(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

func slimBase(t *testing.T, version string, more ...layer.Entry) v1.Image {
	t.Helper()
	img, err := basetest.Slim(version)
	if err == nil && len(more) > 0 {
		img, err = basetest.With(img, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestImageBaseInFiles builds on the same base out of every kind of file, alone and beside others.
func TestImageBaseInFiles(t *testing.T) {
	w := newImageWorld(t)
	dir := t.TempDir()
	layout, tar, docker := filepath.Join(dir, "several"), filepath.Join(dir, "base.tar"), filepath.Join(dir, "docker.tar")
	a := sink.Artifact{Image: slimBase(t, "3.11.9")}
	digest, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	write(t, sink.Layout(layout, "other:latest"), sink.Artifact{Image: slimBase(t, "3.12.1")})
	write(t, sink.Layout(layout, "base:latest"), a) // as mlenv itself names images
	write(t, sink.OCITar(tar, "base:latest"), a)
	write(t, sink.DockerTar(docker, "base:latest"), a)
	want := w.image(t, "--push", w.registry+"/churn:1")
	for _, ref := range []string{
		"oci:" + layout + ":base:latest", "oci:" + layout + "@" + digest.String(), "oci-tar:" + tar, "oci-tar:" + tar + ":base:latest",
	} {
		if got := w.image(t, "--base", ref, "-o", "oci:"+filepath.Join(t.TempDir(), "x")); got.Digest != want.Digest {
			t.Errorf("on %s: %s, want %s", ref, got.Digest, want.Digest)
		}
	}
	// Docker's tarball holds layers without their compression, so that their digests are others.
	got := w.image(t, "--base", "docker-tar:"+docker, "--push", w.registry+"/churn:2")
	if labels := labelsOf(t, got.References[0]); len(got.Layers) != len(want.Layers) || labels["io.mlenv.model.id"] != "m1" {
		t.Errorf("on docker-tar: %d layers, want %d; labels %v", len(got.Layers), len(want.Layers), labels)
	}
}

// noPython has a model say nothing of its Python.
func noPython(t *testing.T, w *imageWorld) {
	t.Helper()
	edit(t, filepath.Join(w.model, "MLmodel"), "    python_version: 3.11.9\n", "")
	edit(t, filepath.Join(w.model, "python_env.yaml"), "python: 3.11.9\n", "")
}

// edit replaces what must be in a file.
func edit(t *testing.T, file, old, text string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), old, text, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestImageRefusesBase names bases on which the image cannot be built, and says what helps.
func TestImageRefusesBase(t *testing.T) {
	java := "  spark:\n    pyspark_version: 3.5.0\n"
	for what, tt := range map[string]struct {
		change func(t *testing.T, w *imageWorld)
		args   []string
		want   []string
		not    string
		code   int
	}{
		"another platform": {nil, []string{"--platform", "linux/arm64"},
			[]string{"the base is for linux/amd64, not for linux/arm64", "--platform linux/amd64"}, "docker login", exitFailure},
		"of two platforms one": {nil, []string{"--platform", "linux/amd64", "--platform", "linux/arm64"},
			[]string{"the base is for linux/amd64, not for linux/arm64"}, "docker login", exitFailure},
		"one platform in two spellings": {nil, []string{"--platform", "linux/arm64", "--platform", "linux/arm64/v8"},
			[]string{"linux/arm64/v8 is given twice"}, "", exitFailure},
		"another Python": {nil, []string{"--python", "3.12.1"},
			[]string{"Python 3.12.1 is needed, but the base has Python 3.11.9", "another --python"}, "lock", exitFailure},
		"an environment in it": {func(t *testing.T, w *imageWorld) {
			out := filepath.Join(t.TempDir(), "built")
			w.image(t, "-o", "oci:"+out)
			w.base = out + ":churn-model:latest"
		}, nil, []string{"already has files in /opt/venv, such as /opt/venv/", "choose another --base", "not built by mlenv"}, "", exitFailure},
		"a model in it": {func(t *testing.T, w *imageWorld) {
			w.base = filepath.Join(t.TempDir(), "base")
			write(t, sink.Layout(w.base, ""), sink.Artifact{Image: slimBase(t, "3.11.9", basetest.Text("opt/ml/model/MLmodel", ""))})
		}, nil, []string{"already has files in /opt/ml/model, such as /opt/ml/model/MLmodel", "choose another --base"}, "", exitFailure},
		"the default without a Python": {noPython, []string{"--base", ""}, []string{"the model names no Python version", "--python"}, "slim", exitFailure},
		"host without a Python":        {noPython, []string{"--base", "host"}, []string{"the model names no Python version", "--python"}, "slim", exitFailure},
		"a layout that is not there":   {nil, []string{"--base", "oci:/nonexistent"}, []string{"oci:/nonexistent: ", "oci-tar:FILE"}, "login", exitFailure},
		"a tar that is not there":      {nil, []string{"--base", "oci-tar:/nonexistent"}, []string{"/nonexistent: no such file", "oci-tar:FILE"}, "login", exitFailure},
		"Docker's tar that is not there": {nil, []string{"--base", "docker-tar:/nonexistent"},
			[]string{"/nonexistent: no such file", "docker-tar:FILE"}, "login", exitFailure},
		"no Java": {func(t *testing.T, w *imageWorld) {
			edit(t, filepath.Join(w.model, "MLmodel"), "flavors:\n", "flavors:\n"+java)
		}, nil,
			[]string{"default-jre-headless", "a Java runtime in addition to its Python"}, "without -slim", exitFindings},
		"no OpenMP": {func(t *testing.T, w *imageWorld) {
			edit(t, filepath.Join(w.model, "MLmodel"), "flavors:\n", "flavors:\n  lightgbm:\n    lgb_version: 4.5.0\n")
		}, nil, []string{"libgomp1", "python:3.11 without -slim"}, "Java", exitFindings},
	} {
		t.Run(what, func(t *testing.T) {
			w := newImageWorld(t)
			if tt.change != nil {
				tt.change(t, w)
			}
			args := w.args(append([]string{"-o", "oci:" + filepath.Join(t.TempDir(), "x")}, tt.args...)...)
			out, errs, code := commandWith(t, &hub{}, w.env, args...)
			if code != tt.code || out != "" {
				t.Errorf("exit code %d, stdout %q", code, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(errs, want) {
					t.Errorf("stderr does not say %q:\n%s", want, errs)
				}
			}
			if tt.not != "" && strings.Contains(errs, tt.not) {
				t.Errorf("stderr speaks of %q:\n%s", tt.not, errs)
			}
		})
	}
}

// TestImageJava builds a model that runs on Java on a base that has a JVM of another package.
func TestImageJava(t *testing.T) {
	w := newImageWorld(t)
	edit(t, filepath.Join(w.model, "MLmodel"), "flavors:\n", "flavors:\n  spark:\n    pyspark_version: 3.5.0\n")
	w.base = filepath.Join(t.TempDir(), "base")
	write(t, sink.Layout(w.base, ""), sink.Artifact{Image: slimBase(t, "3.11.9",
		basetest.Exe("usr/lib/jvm/temurin/bin/java", basetest.ELF(elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2")),
		basetest.Link("usr/bin/java", "/usr/lib/jvm/temurin/bin/java"))})
	w.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "x"))
}

// TestImagePythonOfBase builds a model that names no Python: that of the base is taken, and said.
func TestImagePythonOfBase(t *testing.T) {
	w := newImageWorld(t)
	noPython(t, w)
	r := w.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "x"))
	said := false
	for _, f := range r.Findings {
		said = said || f.Rule == "python-of-base" && strings.Contains(f.Message, "3.11.9")
	}
	if !said {
		t.Errorf("no finding says which Python was taken: %v", r.Findings)
	}
	lock := filepath.Join(t.TempDir(), "pylock.toml")
	_, errs, code := command(t, w.env, "lock", w.model, "--base", "oci:"+w.base, "--index-url", w.index.URL, "-o", lock)
	if code != 0 || !strings.Contains(errs, "using that of the base, 3.11.9") {
		t.Errorf("lock: exit code %d\n%s", code, errs)
	}
	_, errs, code = command(t, w.env, "lock", w.model, "--base", "host", "--index-url", w.index.URL, "-o", lock)
	if code != exitFailure || !strings.Contains(errs, "the model names no Python version") {
		t.Errorf("lock --base host: exit code %d\n%s", code, errs)
	}
}

// TestImageLockAgainstBase gives locks that were made for something else than the base.
func TestImageLockAgainstBase(t *testing.T) {
	w := newImageWorld(t)
	newer := filepath.Join(t.TempDir(), "newer")
	write(t, sink.Layout(newer, ""), sink.Artifact{Image: slimBase(t, "3.12.1")})
	for what, tt := range map[string]struct {
		lock, image []string
		want        string // "": it fits
	}{
		"the same":          {nil, nil, ""},
		"an older libc":     {[]string{"--libc", "glibc:2.28"}, nil, ""},
		"another Python":    {nil, []string{"--python", "3.12.1", "--base", "oci:" + newer}, "Python 3.11.9, but the base has 3.12.1"},
		"a newer libc":      {[]string{"--libc", "glibc:2.39"}, nil, "glibc:2.39, but the base has glibc:2.36"},
		"another libc":      {[]string{"--libc", "musl:1.2"}, nil, "musl:1.2, but the base has glibc:2.36"},
		"another processor": {[]string{"--platform", "linux/arm64"}, nil, "linux/arm64, but the base has linux/amd64"},
	} {
		t.Run(what, func(t *testing.T) {
			lock := filepath.Join(t.TempDir(), "pylock.toml")
			made := append([]string{"lock", w.model, "--index-url", w.index.URL, "-o", lock}, tt.lock...)
			if _, errs, code := command(t, w.env, made...); code != 0 {
				t.Fatal(errs)
			}
			args := append([]string{"--lock", lock, "-o", "oci:" + filepath.Join(t.TempDir(), "x")}, tt.image...)
			out, errs, code := command(t, w.env, w.args(args...)...)
			if tt.want == "" {
				if code != 0 {
					t.Errorf("exit code %d\n%s", code, errs)
				}
				return
			}
			if code != exitFailure || out != "" || !strings.Contains(errs, "the lock was made for") || !strings.Contains(errs, tt.want) || !strings.Contains(errs, "hint:") {
				t.Errorf("exit code %d, want %q in\n%s", code, tt.want, errs)
			}
		})
	}
}
