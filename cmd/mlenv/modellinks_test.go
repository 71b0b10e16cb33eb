package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModelLinks holds that every command says the same of a link that cannot be followed, naming it and
// its target, and that a model made of links within itself is built to the same image as one of files.
func TestModelLinks(t *testing.T) {
	w := newImageWorld(t)
	before := w.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "x"))
	linked := *w
	linked.model = filepath.Join(t.TempDir(), "Churn Model")
	if err := os.CopyFS(filepath.Join(linked.model, "..v1"), os.DirFS(w.model)); err != nil {
		t.Fatal(err)
	}
	link := func(name, target string) {
		if err := os.Symlink(target, filepath.Join(linked.model, name)); err != nil {
			t.Skip(err) // links need a privilege on Windows
		}
	}
	link("..data", "..v1")
	for _, name := range []string{"MLmodel", "requirements.txt", "python_env.yaml", "code", "model.pkl"} {
		link(name, "..data/"+name)
	}
	after := linked.image(t, "-o", "oci:"+filepath.Join(t.TempDir(), "x"))
	if before.Digest != after.Digest {
		t.Error("a model mounted by Kubernetes gives another image")
	}
	link("gone.bin", "../elsewhere/gone.bin")
	for _, args := range [][]string{{"resolve", linked.model}, {"check", linked.model}, linked.args("-o", "oci:"+filepath.Join(t.TempDir(), "x"))} {
		out, errs, code := command(t, w.env, args...)
		if want := "gone.bin is a link to ../elsewhere/gone.bin, which is outside the model"; code != exitFindings || !strings.Contains(out+errs, want) || strings.Contains(errs, "escapes") {
			t.Errorf("%s: exit code %d\n%s%s", args[0], code, out, errs)
		}
	}
}
