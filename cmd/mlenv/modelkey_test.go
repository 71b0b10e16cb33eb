package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/resolve/signing"
)

// signModel signs a model as OpenSSF Model Signing does.
func signModel(t *testing.T, dir, private string) (digest string) {
	t.Helper()
	key, err := (&app{}).signer(private, "")
	if err != nil {
		t.Fatal(err)
	}
	var resources []map[string]string
	all := sha256.New()
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		sum := sha256.Sum256(data)
		all.Write(sum[:])
		resources = append(resources, map[string]string{"name": name, "algorithm": "sha256", "digest": hex.EncodeToString(sum[:])})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	predicate, err := json.Marshal(map[string]any{"serialization": map[string]any{"method": "files", "hash_type": "sha256"}, "resources": resources})
	if err != nil {
		t.Fatal(err)
	}
	digest = hex.EncodeToString(all.Sum(nil))
	e, err := signing.Sign(context.Background(), signing.NewStatement("model", digest, signing.ModelSignature, predicate), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&signing.Bundle{Envelope: *e}).Marshal()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "model.sig"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// TestModelKey checks, packs and fetches a model that must be signed: unsigned, signed and changed.
func TestModelKey(t *testing.T) {
	w := newImageWorld(t)
	private, public := keyPair(t)
	_, other := keyPair(t)
	s, downloaded := serveModel(t, w)
	w.env["MLFLOW_TRACKING_URI"] = s.URL
	check := func(what, key, want string) {
		t.Helper()
		out, errs, code := command(t, w.env, "check", w.model, "--model-key", key)
		if strings.Contains(out, "model-signature") != (want != "") || !strings.Contains(out, want) || want != "" && code != exitFindings {
			t.Errorf("%s: check exits with %d\n%s%s", what, code, out, errs)
		}
		out, errs, code = command(t, w.env, w.args("--push", w.registry+"/churn:signed", "--model-key", key)...)
		if (code == 0) != (want == "") || !strings.Contains(errs, want) || want != "" && (code != exitFindings || out != "") {
			t.Errorf("%s: image exits with %d\n%s%s", what, code, out, errs)
		}
	}
	check("unsigned", public, "the model is not signed: it has no model.sig")
	digest := signModel(t, w.model, private)
	check("signed", public, "")
	check("by another", other, "not signed by the key")
	r := w.image(t, "--push", w.registry+"/churn:signed", "--model-key", public, "--provenance")
	if found := evidence(t, r.References[0], public); len(found) != 1 || !strings.Contains(string(found[0].Predicate), `"verifiedSignature":"`+digest+`"`) {
		t.Errorf("the provenance is %+v", found)
	}
	if err := os.WriteFile(filepath.Join(w.model, "model.pkl"), []byte("other weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("changed", public, "model.pkl was changed since")

	// What MLflow's server has was never signed, and lacks MLflow's note.
	dir := filepath.Join(t.TempDir(), "fetched")
	out, errs, code := command(t, w.env, "fetch", "models:/Churn Model/7", dir, "--model-key", public)
	if code != exitFailure || out != "" || !strings.Contains(errs, "is not to be used: the model is not signed") {
		t.Errorf("fetch exits with %d\n%s%s", code, out, errs)
	}
	signModel(t, downloaded, private)
	signature := filepath.Join(t.TempDir(), "churn.sig")
	if err := os.Rename(filepath.Join(downloaded, "model.sig"), signature); err != nil {
		t.Fatal(err)
	}
	dir += "-again"
	out, errs, code = command(t, w.env, "fetch", "models:/Churn Model/7", dir, "--model-key", public, "--model-signature", signature)
	if code != 0 || strings.TrimSpace(out) != filepath.ToSlash(dir) {
		t.Errorf("fetch exits with %d\n%s%s", code, out, errs)
	}
	if _, errs, code := command(t, w.env, "check", w.model, "--model-signature", signature); code != exitFailure || !strings.Contains(errs, "needs --model-key") {
		t.Errorf("without a key: exit code %d\n%s", code, errs)
	}
}
