package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/finding"
	"mlenv/resolve/index/indextest"
)

// imageWorld is all that building an image takes, on loopback and in temporary folders.
type imageWorld struct {
	model, base, registry string
	index                 *indextest.Index
	env                   map[string]string
}

func newImageWorld(t *testing.T) *imageWorld {
	t.Helper()
	w := &imageWorld{model: filepath.Join(t.TempDir(), "Churn Model"), base: sharedBase(t)}
	for file, text := range map[string]string{
		"MLmodel": "run_id: r1\nmodel_uuid: m1\nmlflow_version: 3.1.0\nutc_time_created: '2026-01-02 03:04:05.678901'\nflavors:\n  python_function:\n" +
			"    loader_module: churn\n    code: code\n    env:\n      virtualenv: python_env.yaml\n    python_version: 3.11.9\n",
		"requirements.txt":       "mlflow==3.1.0\nchurn\n",
		"python_env.yaml":        "python: 3.11.9\nbuild_dependencies:\n- pip==24.0\ndependencies:\n- -r requirements.txt\n",
		"code/churn/__init__.py": "",
		"model.pkl":              strings.Repeat("weights ", 20000),
	} {
		name := filepath.Join(w.model, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.index = indextest.New(t, indextest.Parse("mlflow 3.1.0: churn", "churn 1.0: deep", "churn 2.0: deep", "deep 0.1", "pip 24.0")...)
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	w.registry = strings.TrimPrefix(s.URL, "http://")
	w.env = map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "HOME": t.TempDir()}
	return w
}

// sharedBase is a layout with the base of most tests, which is written once. Nobody may write to it.
func sharedBase(t *testing.T) string {
	t.Helper()
	dir, err := writeSharedBase()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var writeSharedBase = sync.OnceValues(func() (string, error) {
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(sharedDir, "base")
	_, err = sink.Layout(dir, "base").Send(context.Background(), sink.Artifact{Image: img})
	return dir, err
})

// twoPlatforms gives the world a base for two platforms.
func (w *imageWorld) twoPlatforms(t *testing.T) {
	t.Helper()
	both, err := basetest.Index("3.11.9", "amd64", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	w.base = filepath.Join(t.TempDir(), "both")
	if _, err := sink.Layout(w.base, "").Send(context.Background(), sink.Artifact{Index: both}); err != nil {
		t.Fatal(err)
	}
}

func (w *imageWorld) args(more ...string) []string {
	return append([]string{"image", w.model, "--base", "oci:" + w.base, "--index-url", w.index.URL}, more...)
}

// image builds, and gives what --format json prints.
func (w *imageWorld) image(t *testing.T, more ...string) imageReport {
	t.Helper()
	out, errs, code := command(t, w.env, w.args(append(more, "--format", "json")...)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	var r imageReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return r
}

// pulled gives an image of a registry.
func pulled(t *testing.T, reference string) v1.Image {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// described gives an image's configuration and manifest.
func described(t *testing.T, img v1.Image) (*v1.ConfigFile, *v1.Manifest) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return config, manifest
}

func TestImage(t *testing.T) {
	w := newImageWorld(t)
	out, errs, code := command(t, w.env, w.args("--push", w.registry+"/churn:1", "--label", "team=risk", "--env", "A=1")...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	if !strings.HasPrefix(out, w.registry+"/churn@sha256:") || strings.Count(out, "\n") != 1 {
		t.Errorf("stdout is %q", out)
	}
	img := pulled(t, strings.TrimSpace(out))
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, manifest := described(t, img)
	for key, want := range map[string]string{
		"io.mlenv.run.id": "r1", "io.mlenv.model.id": "m1", "io.mlenv.mlflow.version": "3.1.0", "team": "risk",
		"org.opencontainers.image.created": "2026-01-02T03:04:05Z",
	} {
		if config.Config.Labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, config.Config.Labels[key], want)
		}
		if got := manifest.Annotations[key]; got != want && key != "team" {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}
	if got := strings.Join(config.Config.Entrypoint, " "); got != "/opt/venv/bin/mlenv-serve" {
		t.Errorf("the entrypoint is %s", got)
	}
	if got := config.Created.UTC().Format("2006-01-02T15:04:05"); got != "2026-01-02T03:04:05" {
		t.Errorf("created %s", got)
	}
	if text, err := img.RawConfigFile(); err != nil || strings.Contains(string(text), w.base) || strings.Contains(string(text), w.index.Host) {
		t.Errorf("the configuration names a place of this machine (%v):\n%s", err, text)
	}
}

// TestImageAgain builds the same model again and again: from caches, without them, from another
// place, after it was logged anew.
func TestImageAgain(t *testing.T) {
	w := newImageWorld(t)
	first := w.image(t, "--push", w.registry+"/churn:1")
	if first.BytesSent == 0 || first.Size == 0 {
		t.Errorf("the first push sent %d of %d bytes", first.BytesSent, first.Size)
	}
	again := w.image(t, "--push", w.registry+"/churn:1")
	if again.Digest != first.Digest || again.BytesSent != 0 {
		t.Errorf("again: %s and %d bytes sent, want %s and none", again.Digest, again.BytesSent, first.Digest)
	}
	for _, l := range again.Layers {
		if strings.HasSuffix(l.Holds, ".whl") && l.Status != "reused" {
			t.Errorf("%s was made again", l.Holds)
		}
	}
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(w.model, moved); err != nil {
		t.Fatal(err)
	}
	w.model, w.env["MLENV_CACHE_DIR"] = moved, t.TempDir()
	if cold := w.image(t, "-o", "oci-tar:"+filepath.Join(t.TempDir(), "x.tar")); cold.Digest != first.Digest {
		t.Errorf("elsewhere, with an empty cache: %s, want %s", cold.Digest, first.Digest)
	}
	file := filepath.Join(w.model, "MLmodel")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "r1", "r2", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if relogged := w.image(t, "--push", w.registry+"/churn:2"); relogged.Digest == first.Digest || relogged.BytesSent > 20000 {
		t.Errorf("logged anew: %d bytes sent, digest %s", relogged.BytesSent, relogged.Digest)
	}
}

// TestImageTampered gives a remembered layer the digest of another. That is found out when the
// bytes are wanted, and the image is built anew.
func TestImageTampered(t *testing.T) {
	w := newImageWorld(t)
	want := w.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "a"))
	w2 := *w
	w2.env = map[string]string{"MLENV_CACHE_DIR": t.TempDir(), "HOME": w.env["HOME"]}
	w2.index = indextest.New(t, indextest.Parse("mlflow 3.1.0: churn", "churn 2.0: deep", "deep 0.2", "pip 24.0")...)
	w2.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "b"))
	mine, theirs := remembered(t, w.env["MLENV_CACHE_DIR"]), remembered(t, w2.env["MLENV_CACHE_DIR"])
	known := slices.Collect(maps.Values(mine))
	swapped := 0
	for name, digest := range mine {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range theirs {
			if swapped == 0 && !slices.Contains(known, other) {
				if err := os.WriteFile(name, reseal(t, name, strings.ReplaceAll(string(data), digest, other)), 0o644); err != nil {
					t.Fatal(err)
				}
				swapped++
			}
		}
	}
	if swapped == 0 {
		t.Fatal("nothing was tampered with")
	}
	out := filepath.Join(t.TempDir(), "c")
	if got := w.image(t, "-o", "oci:"+out); got.Digest != want.Digest {
		t.Errorf("got %s, want %s", got.Digest, want.Digest)
	}
}

func TestImageRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, w *imageWorld)
		args   []string
		want   []string
		code   int
	}{
		"a source distribution": {
			func(t *testing.T, w *imageWorld) {
				w.index.Remove("deep")
				w.index.Add(indextest.Dist{Name: "deep", Version: "0.1", Sdist: true})
			}, nil, []string{"deep 0.1 has no wheel", "--find-links"}, 1},
		"a base of another Python": {nil, []string{"--python", "3.12.1"}, []string{"3.12.1", "3.11.9", "hint:"}, 1},
		"a base that is not there": {nil, []string{"--base", "oci:/nonexistent"}, []string{"/nonexistent"}, 1},
		"an unknown output":        {nil, []string{"--output", "zip:x"}, []string{"oci-tar:FILE"}, 1},
		"a file too large":         {nil, []string{"--max-layer-size", "100KB"}, []string{"model.pkl has 160000 bytes", "larger --max-layer-size"}, 1},
		"an unknown platform":      {nil, []string{"--platform", "windows/amd64"}, []string{"linux/ARCH"}, 1},
		"a system package that the base lacks": {
			func(t *testing.T, w *imageWorld) {
				file := filepath.Join(w.model, "MLmodel")
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(string(data)+"  lightgbm:\n    lgb_version: 4.5.0\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}, nil, []string{"libgomp1", "system-package-missing", "python:3.11 without -slim"}, exitFindings},
		"conda packages": {
			func(t *testing.T, w *imageWorld) {
				text := "channels: [conda-forge]\ndependencies:\n- python=3.11.9\n- libstdcxx-ng=12\n- pip:\n  - mlflow==3.1.0\n"
				if err := os.WriteFile(filepath.Join(w.model, "conda.yaml"), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(w.model, "MLmodel")
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(strings.Replace(string(data), "env:\n", "env:\n      conda: conda.yaml\n", 1)), 0o644); err != nil {
					t.Fatal(err)
				}
			}, nil, []string{"libstdcxx-ng", "mlenv dockerfile"}, 1},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			w := newImageWorld(t)
			if tt.change != nil {
				tt.change(t, w)
			}
			dir := t.TempDir()
			out, errs, code := command(t, w.env, w.args(append([]string{"-o", "oci:" + filepath.Join(dir, "x")}, tt.args...)...)...)
			if code != tt.code || out != "" {
				t.Errorf("exit code %d, stdout %q", code, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(errs, want) {
					t.Errorf("stderr does not say %q:\n%s", want, errs)
				}
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestImageLocked builds from a lock that fits, and refuses one that no longer does.
func TestImageLocked(t *testing.T) {
	w := newImageWorld(t)
	lock := filepath.Join(t.TempDir(), "pylock.toml")
	if _, errs, code := command(t, w.env, "lock", w.model, "--base", "oci:"+w.base, "--index-url", w.index.URL, "-o", lock); code != 0 {
		t.Fatal(errs)
	}
	out := "oci:" + filepath.Join(t.TempDir(), "x")
	w.image(t, "--lock", lock, "--locked", "-o", out)
	file := filepath.Join(w.model, "requirements.txt")
	if err := os.WriteFile(file, []byte("mlflow==3.1.0\nchurn<2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := command(t, w.env, w.args("--lock", lock, "--locked", "-o", out)...); code != exitFindings || !strings.Contains(errs, "churn") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
	stdout, _, _ := command(t, w.env, w.args("--lock", lock, "--locked", "-o", out, "--format", "json")...)
	var r imageReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || r.Digest != "" ||
		!slices.ContainsFunc(r.Findings, func(f finding.Finding) bool {
			return f.Rule == "lock-out-of-date" && strings.Contains(f.Message, "churn")
		}) {
		t.Errorf("%v; the report of a lock that no longer fits:\n%s", err, stdout)
	}
	w.image(t, "--lock", lock, "-o", out) // exactly the lock, whatever the model says
	// But nothing that is newer than it may be.
	for _, args := range [][]string{{"--lock", lock}, {"--lock", lock, "--locked"}} {
		args = append(args, "--exclude-newer", "2001-01-01", "-o", out)
		if _, errs, code := command(t, w.env, w.args(args...)...); code != exitFailure || !strings.Contains(errs, "the lock has files that are too new") {
			t.Errorf("%q: exit code %d\n%s", args, code, errs)
		}
	}
}

// TestImagePlatforms builds the images of two platforms and their index.
func TestImagePlatforms(t *testing.T) {
	w := newImageWorld(t)
	if _, errs, code := command(t, w.env, w.args("--platform", "linux/amd64", "--platform", "linux/amd64")...); code != exitFailure || !strings.Contains(errs, "twice") {
		t.Errorf("exit code %d\n%s", code, errs)
	}
	w.twoPlatforms(t)
	r := w.image(t, "--platform", "linux/amd64", "--platform", "linux/arm64", "--push", w.registry+"/churn:1")
	ref, err := name.ParseReference(r.References[0])
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range manifest.Manifests {
		found = append(found, d.Platform.String())
	}
	if strings.Join(found, " ") != "linux/amd64 linux/arm64" || manifest.Annotations["io.mlenv.run.id"] != "r1" {
		t.Errorf("platforms %v, annotations %v", found, manifest.Annotations)
	}
	if again := w.image(t, "--platform", "linux/amd64", "--platform", "linux/arm64", "--push", w.registry+"/churn:1"); again.Digest != r.Digest || again.BytesSent != 0 {
		t.Errorf("again: %s and %d bytes, want %s", again.Digest, again.BytesSent, r.Digest)
	}
}
