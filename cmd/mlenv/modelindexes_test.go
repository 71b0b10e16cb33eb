package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/index/indextest"
)

// TestModelIndexes holds that the policy decides whether models may name indexes, for every command that
// takes packages from them.
func TestModelIndexes(t *testing.T) {
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	base := "oci:" + filepath.Join(t.TempDir(), "base")
	if err := crane.SaveOCI(img, strings.TrimPrefix(base, "oci:")); err != nil {
		t.Fatal(err)
	}
	w := newPoisonWorld(t, base)
	w.model(t, w.attacker, "--index-url "+w.honest.URL)
	for _, tt := range []struct {
		policy string // "" for none
		code   int
		says   string // "" for nothing
	}{
		{"", exitOK, "warning: the model takes packages from " + w.honest.URL},
		{"model-indexes: warn\n", exitOK, "warning: the model takes packages from " + w.honest.URL},
		{"model-indexes: allow\n", exitOK, ""},
		{"model-indexes: refuse\n", exitFindings, "error: the model takes packages from " + w.honest.URL},
	} {
		out := filepath.Join(t.TempDir(), "out")
		for name, args := range map[string][]string{
			"lock":       {"lock", w.attacker, "-o", out, "--serve", "none"},
			"dockerfile": {"dockerfile", w.attacker, "-o", out + "-context", "--serve", "none", "--no-lock"},
			"image":      {"image", w.attacker, "-o", "oci:" + out + "-layout", "--base", w.base, "--serve", "none"},
			"check":      {"check", w.attacker, "--date", "2026-01-01"},
		} {
			if tt.policy != "" {
				args = append(args, "--policy", writePolicy(t, tt.policy))
			}
			stdout, stderr, code := command(t, w.env, args...)
			said := strings.Contains(stdout+stderr, "[model-index]")
			if code != tt.code || said != (tt.says != "") || !strings.Contains(stdout+stderr, tt.says) {
				t.Errorf("%s with the policy %q: exit code %d\n%s%s", name, tt.policy, code, stdout, stderr)
			}
		}
		if _, err := os.Stat(out); (err == nil) != (tt.code == exitOK) {
			t.Errorf("with the policy %q: %v", tt.policy, err)
		}
	}
}

// TestModelIndexOnThisMachine holds that a model takes no files of this machine but its own.
func TestModelIndexOnThisMachine(t *testing.T) {
	w := newPoisonWorld(t, "")
	outside := t.TempDir()
	indextest.Write(t, outside, indextest.Dist{Name: "secret", Version: "1.0"})
	t.Chdir(outside)
	for name, line := range map[string]string{
		"an index":           "--index-url file:///proc/self/cwd/",
		"another index":      "--extra-index-url FILE:" + outside,
		"links":              "--find-links file:///proc/self/cwd/",
		"a page of links":    "--find-links links.html",
		"links from the cwd": "--find-links .",
	} {
		w.model(t, w.attacker, "secret\n"+line)
		page := `<a href="file:///proc/self/cwd/secret-1.0-py3-none-any.whl">x</a><a href="../` + filepath.Base(outside) + `/secret-1.0-py3-none-any.whl">x</a>`
		if err := os.WriteFile(filepath.Join(w.attacker, "links.html"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := command(t, w.env, "lock", w.attacker, "-o", "-", "--serve", "none", "--index-url", w.honest.URL)
		if code == exitOK || strings.Contains(name, "index") != strings.Contains(stderr, "outside the model") {
			t.Errorf("%s: exit code %d\n%s", name, code, stderr)
		}
	}
	// The model's own folder is found wherever the command runs.
	w.model(t, w.attacker, "own\n--find-links wheels")
	indextest.Write(t, filepath.Join(w.attacker, "wheels"), indextest.Dist{Name: "own", Version: "1.0"})
	if _, stderr, code := command(t, w.env, "lock", w.attacker, "-o", "-", "--serve", "none", "--index-url", w.honest.URL); code != exitOK {
		t.Errorf("a folder of the model: exit code %d\n%s", code, stderr)
	}
}
