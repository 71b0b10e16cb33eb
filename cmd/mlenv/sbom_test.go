package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSBOM describes the same environment as a model, as a lock and as an image: the packages are the
// same.
func TestSBOM(t *testing.T) {
	w := newImageWorld(t)
	ref := w.image(t, "--push", w.registry+"/churn:1").References[0]
	lockFile := filepath.Join(t.TempDir(), "pylock.toml")
	if _, errs, code := command(t, w.env, "lock", w.model, "--base", "oci:"+w.base, "--index-url", w.index.URL, "-o", lockFile); code != 0 {
		t.Fatal(errs)
	}
	index, base := []string{"--index-url", w.index.URL}, []string{"--base", "oci:" + w.base}
	packages := map[string][]string{}
	for what, args := range map[string][]string{
		"model": slices.Concat([]string{w.model}, index, base), "lock": slices.Concat([]string{lockFile}, index, base),
		"image": slices.Concat([]string{ref}, index), "tagged": slices.Concat([]string{w.registry + "/churn:1"}, index),
		"model with lock": slices.Concat([]string{w.model, "--lock", lockFile}, index, base),
	} {
		for _, format := range []string{"spdx-json", "cyclonedx-json"} {
			out, errs, code := command(t, w.env, append([]string{"sbom", "--format", format}, args...)...)
			if code != 0 {
				t.Fatalf("%s: exit code %d\n%s", what, code, errs)
			}
			again, _, _ := command(t, w.env, append([]string{"sbom", "--format", format}, args...)...)
			if out != again {
				t.Errorf("%s as %s is not the same again", what, format)
			}
			var doc struct {
				Packages   []struct{ Name, VersionInfo, SPDXID string }
				Components []struct{ Name, Version string }
			}
			if err := json.Unmarshal([]byte(out), &doc); err != nil {
				t.Fatal(err)
			}
			for _, p := range doc.Packages {
				if strings.HasPrefix(p.SPDXID, "SPDXRef-pypi-") {
					packages[what] = append(packages[what], p.Name+" "+p.VersionInfo)
				}
			}
			if len(doc.Packages)+len(doc.Components) < 5 || !strings.Contains(out, `"pkg:generic/python@3.11.9"`) {
				t.Errorf("%s: %s", what, out)
			}
		}
	}
	want := []string{"churn 2.0", "deep 0.1", "mlflow 3.1.0", "pip 24.0"}
	for what, got := range packages {
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if len(packages) != 5 {
		t.Errorf("packages of %d", len(packages))
	}
}

func TestSBOMErrors(t *testing.T) {
	w := newImageWorld(t)
	if err := os.WriteFile(filepath.Join(w.model, "no.toml"), []byte("no lock"), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":        {nil, "MODEL, LOCK or IMAGE is missing"},
		"no such file":   {[]string{"gone.toml"}, "is neither a file nor a directory"},
		"not a lock":     {[]string{filepath.Join(w.model, "no.toml")}, "no.toml"},
		"an empty image": {[]string{"oci:" + w.base}, "holds no lock (/opt/venv/pylock.toml)"},
		"two platforms":  {[]string{w.model, "--platform", "linux/amd64", "--platform", "linux/arm64"}, "a document is of one --platform"},
		"another format": {[]string{w.model, "--format", "xml"}, "want spdx-json or cyclonedx-json"},
	} {
		out, errs, code := command(t, w.env, append([]string{"sbom"}, tt.args...)...)
		if code != exitFailure || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr\n%s", what, code, out, errs)
		}
	}
}
