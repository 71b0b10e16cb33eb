package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"mlenv/resolve/index/indextest"
)

// writeModel writes a file of the world's model.
func (w *imageWorld) writeModel(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.model, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// layoutImage gives the only image of a layout.
func layoutImage(t *testing.T, dir string) v1.Image {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%v: %+v", err, manifest)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// contents is all that an image holds: its manifest, its configuration and its files.
func contents(t *testing.T, img v1.Image) []byte {
	t.Helper()
	files := mutate.Extract(img)
	defer files.Close()
	all, err := io.ReadAll(files)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join([][]byte{all, config, manifest}, nil)
}

// A wheel's URL may hold the user and password for it. They are sent to that host, and are nowhere
// else: not in the lock, not in the image, not in what is printed, not in the cache.
func TestImageURLCredentials(t *testing.T) {
	const password = "hunter2secret"
	w := newImageWorld(t)
	private := indextest.Dist{Name: "churn", Version: "2.0", Requires: []string{"deep"}}
	host := indextest.New(t, private)
	host.User, host.Password = "someone", password
	url := strings.Replace(host.FileURL(private), "http://", "http://someone:"+password+"@", 1)
	dir := t.TempDir()

	args := []string{"--pip-requirements", "mlflow==3.1.0", "--pip-requirements", "churn @ " + url}
	out, errs, code := command(t, w.env, w.args(append(args, "-o", "oci:"+filepath.Join(dir, "flag"), "--format", "json")...)...)
	if code != 0 || strings.Contains(out+errs, password) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	img := layoutImage(t, filepath.Join(dir, "flag"))
	if all := contents(t, img); bytes.Contains(all, []byte(password)) || !bytes.Contains(all, []byte("/files/churn/")) {
		t.Error("the image holds the password, or does not say where churn is from")
	}

	w.writeModel(t, "requirements.txt", "mlflow==3.1.0\nchurn @ "+url+"\n")
	lock := filepath.Join(dir, "pylock.toml")
	for _, args := range [][]string{
		{"lock", w.model, "--base", "oci:" + w.base, "--index-url", w.index.URL, "-o", lock},
		w.args("--lock", lock, "-o", "oci:"+filepath.Join(dir, "model")),
		{"resolve", w.model, "--format", "json"},
	} {
		w.env["MLENV_CACHE_DIR"] = t.TempDir()
		out, errs, code := command(t, w.env, args...)
		if code != 0 || strings.Contains(out+errs, password) {
			t.Errorf("%s: exit code %d\n%s%s", args[0], code, out, errs)
		}
		if args[0] != "resolve" {
			holdsNo(t, w.env["MLENV_CACHE_DIR"], password)
		}
	}
	holdsNo(t, lock, password)

	host.Password = "another"
	w.env["MLENV_CACHE_DIR"] = t.TempDir()
	_, errs, code = command(t, w.env, w.args("-o", "oci:"+filepath.Join(dir, "refused"))...)
	if code != exitFailure || strings.Contains(errs, password) || !strings.Contains(errs, "401") {
		t.Errorf("with the wrong password: exit code %d\n%s", code, errs)
	}
}

// holdsNo looks for a text in all files below root.
func holdsNo(t *testing.T, root, text string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if seen++; bytes.Contains(data, []byte(text)) {
			t.Errorf("%s holds it", name)
		}
		return err
	})
	if err != nil || seen == 0 {
		t.Errorf("%d files, %v", seen, err)
	}
}
