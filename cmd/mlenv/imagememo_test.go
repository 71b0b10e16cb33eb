package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestImageNotes builds with an empty cache: what the registry has already is not fetched from the
// index, unless nothing is to be believed of it.
func TestImageNotes(t *testing.T) {
	w := newImageWorld(t)
	lock := filepath.Join(t.TempDir(), "pylock.toml")
	if _, errs, code := command(t, w.env, "lock", w.model, "--base", "oci:"+w.base, "--index-url", w.index.URL, "-o", lock); code != 0 {
		t.Fatal(errs)
	}
	first := w.image(t, "--lock", lock, "--push", w.registry+"/churn:1", "--memo", w.registry+"/notes")
	tests := []struct {
		name    string
		args    []string
		fetched bool
	}{
		{"the same tag", []string{"--push", w.registry + "/churn:1"}, false},
		{"nothing is believed", []string{"--push", w.registry + "/churn:1", "--no-memo"}, true},
		{"all is compared", []string{"--push", w.registry + "/churn:1", "--verify-memo", "100"}, true},
		{"another repository", []string{"--push", w.registry + "/other:1", "--memo-from", w.registry + "/churn:1"}, false},
		{"another repository, by notes", []string{"--push", w.registry + "/third:1", "--memo-read", w.registry + "/notes"}, false},
		{"a layout by notes", []string{"-o", "oci:" + filepath.Join(t.TempDir(), "a"), "--memo", w.registry + "/notes"}, false},
		{"a layout", []string{"-o", "oci:" + filepath.Join(t.TempDir(), "a"), "--memo-from", w.registry + "/churn:1"}, false},
	}
	for _, tt := range tests {
		w.env["MLENV_CACHE_DIR"] = t.TempDir()
		w.index.Forget()
		got := w.image(t, append(tt.args, "--lock", lock)...)
		if got.Digest != first.Digest {
			t.Errorf("%s: %s, want %s", tt.name, got.Digest, first.Digest)
		}
		wheels := 0
		for _, r := range w.index.Requests() {
			if strings.HasSuffix(r, ".whl") {
				wheels++
			}
		}
		if (wheels > 0) != tt.fetched {
			t.Errorf("%s: %d wheels were fetched", tt.name, wheels)
		}
	}
	for _, args := range [][]string{{"--verify-memo", "101"}, {"--no-memo", "--memo-from", "x/y:1"}, {"--memo-from", "http://x/y"}, {"--memo", "http://x/y"}, {"--memo-read", "X:1"}} {
		if _, errs, code := command(t, w.env, w.args(args...)...); code != exitFailure || !strings.Contains(errs, args[0]) {
			t.Errorf("%s: exit code %d\n%s", args, code, errs)
		}
	}
}
