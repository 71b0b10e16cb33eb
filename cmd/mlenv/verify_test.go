package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/verify"
)

// relabelled pushes an image with one label changed, and gives its reference.
func relabelled(t *testing.T, ref, to, label, value string) string {
	t.Helper()
	img := pulled(t, ref)
	config, _ := described(t, img)
	config = config.DeepCopy()
	config.Config.Labels[label] = value
	forged, err := mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	at, err := name.ParseReference(to)
	if err == nil {
		err = remote.Write(at, forged)
	}
	if err != nil {
		t.Fatal(err)
	}
	var digest v1.Hash
	if digest, err = forged.Digest(); err != nil {
		t.Fatal(err)
	}
	return at.Context().Digest(digest.String()).Name()
}

func settingsOf(t *testing.T, ref string) string {
	t.Helper()
	config, _ := described(t, pulled(t, ref))
	return config.Config.Labels["io.mlenv.settings"]
}

// TestVerify proves what mlenv image built, in every form of layers, and does not prove what was changed.
func TestVerify(t *testing.T) {
	w := newImageWorld(t)
	private, public := keyPair(t)
	code := filepath.Join(t.TempDir(), "more")
	if err := os.MkdirAll(code, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(code, "x.py"), []byte("x = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "mlenv.yaml")
	if err := os.WriteFile(policy, []byte("verify:\n  require: [signature, sbom, provenance]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	again := []string{"--rebuild", "--base", "oci:" + w.base, "--index-url", w.index.URL}
	var signed string
	for what, args := range map[string][]string{
		"signed": {"--sign-key", private, "--sbom", "spdx-json", "--provenance"},
		"flags": {"--env", "A=1", "--env", "B=x=y", "--label", "team=risk", "--annotation", "a=b", "--port", "9000", "--workers", "2", "--user", "5000:5000",
			"--code-paths", code, "--compression", "zstd", "--max-layer-size", "1MB"},
		"docker":     {"--manifest", "docker", "--compression", "gzip", "--target", "sagemaker"},
		"entrypoint": {"--entrypoint", "python", "--entrypoint", "x.py", "--extra-pip-requirements", "deep"},
		"no server":  {"--serve", "none"},
	} {
		ref := w.image(t, append(args, "--push", w.registry+"/churn:"+strings.ReplaceAll(what, " ", "-"))...).References[0]
		if what == "signed" {
			signed = ref
		}
		out, errs, code := command(t, w.env, slices.Concat([]string{"verify", ref}, again)...)
		if code != 0 || !strings.Contains(out, "rebuild     proven") {
			t.Errorf("%s: exit code %d\n%s%s", what, code, out, errs)
		}
	}
	compiled := relabelled(t, signed, w.registry+"/churn:compiled", "io.mlenv.settings", strings.Replace(settingsOf(t, signed), "{", `{"compiled":true,`, 1))
	if out, errs, code := command(t, w.env, slices.Concat([]string{"verify", compiled}, again)...); code != exitFailure || !strings.Contains(errs, "hint: --compile allows it") {
		t.Errorf("compiled: exit code %d\n%s%s", code, out, errs)
	}
	out, errs, exit := command(t, w.env, slices.Concat([]string{"verify", signed, "--key", public, "--policy", policy, "--format", "json"}, again)...)
	var r verifyReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || exit != 0 || !r.Proven || len(r.Checks) != 6 || len(r.Demanded) != 5 {
		t.Errorf("exit code %d, %v\n%s%s", exit, err, out, errs)
	}
	forged := relabelled(t, signed, w.registry+"/churn:forged", "io.mlenv.run.id", "r2")
	out, errs, exit = command(t, w.env, slices.Concat([]string{"verify", forged, "--key", public, "--format", "json"}, again)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || exit != exitFindings || r.Proven || len(r.Differences) != 1 || r.Differences[0].Field != "config.Labels.io.mlenv.run.id" {
		t.Errorf("forged: exit code %d, %v\n%s%s", exit, err, out, errs)
	}
	old := relabelled(t, signed, w.registry+"/churn:old", "io.mlenv.settings", `{"formats":"layer 1"}`)
	if out, errs, exit = command(t, w.env, slices.Concat([]string{"verify", old}, again)...); exit != exitFailure || !strings.Contains(out, "rebuild     untried") || !strings.Contains(errs, "other formats (layer 1)") {
		t.Errorf("by another version: exit code %d\n%s%s", exit, out, errs)
	}
}

func TestVerifyErrors(t *testing.T) {
	w := newImageWorld(t)
	private, public := keyPair(t)
	_, other := keyPair(t)
	ref := w.image(t, "--push", w.registry+"/churn:1", "--sign-key", private).References[0]
	policy := filepath.Join(t.TempDir(), "mlenv.yaml")
	if err := os.WriteFile(policy, []byte("verify:\n  require: [provenance]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		args []string
		code int
		want string // on stdout or stderr
	}{
		"nothing demanded":    {[]string{ref}, exitFailure, "nothing is to be verified"},
		"no key":              {[]string{ref, "--policy", policy}, exitFailure, "there is no --key"},
		"a private key":       {[]string{ref, "--key", private}, exitFailure, "it is a private key"},
		"signed":              {[]string{ref, "--key", public}, exitOK, "signature   proven: signed by the key"},
		"by another":          {[]string{ref, "--key", other}, exitFindings, "signature   failed: " + "it is not signed by the key"},
		"no provenance":       {[]string{ref, "--key", public, "--policy", policy}, exitFindings, "provenance  missing: none is attached"},
		"files have no notes": {[]string{"oci:" + w.base, "--key", public}, exitFailure, "--key is for images in registries"},
		"not mlenv's":         {[]string{"oci:" + w.base, "--rebuild"}, exitFindings, string(verify.Untried)},
	} {
		out, errs, code := command(t, w.env, append([]string{"verify"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: exit code %d\n%s%s", what, code, out, errs)
		}
	}
}
