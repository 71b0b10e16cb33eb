package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mlenv/imagebuild/base"
	"mlenv/imagebuild/compile"
	"mlenv/resolve/pep440"
)

// The image with compiled modules is the same whoever makes it: in another place, with another umask, from a
// cold cache and a warm one, confined or not.
func TestImageCompile(t *testing.T) {
	t.Parallel()
	host, err := base.FindHost(pep440.MustParse("3.11"), append([]string{"/usr/bin", "/usr/local/bin"}, filepath.SplitList(os.Getenv("PATH"))...))
	if err != nil {
		t.Skip(err)
	}
	if err := compile.CanConfine(); err != nil {
		t.Skip(err)
	}
	w := newImageWorld(t)
	build := func(env map[string]string, flags ...string) string {
		t.Helper()
		dir := t.TempDir()
		all := map[string]string{"MLENV_CACHE_DIR": filepath.Join(dir, "cache"), "HOME": dir, "PATH": filepath.Dir(host)}
		for k, v := range env {
			all[k] = v
		}
		args := append([]string{"image", w.model, "--base", "host", "--python", "3.11", "--index-url", w.index.URL, "--quiet", "-o", "oci:" + filepath.Join(dir, "layout")}, flags...)
		digest := newProcess(all, args...).succeed(t)[0]
		left, _ := filepath.Glob(filepath.Join(all["MLENV_CACHE_DIR"], "models-v1", "*"))
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		return digest
	}
	cache := t.TempDir()
	plain, want := build(nil), build(map[string]string{"MLENV_CACHE_DIR": cache, "TZ": "Asia/Kathmandu", tellUmask: "077"}, "--compile")
	if plain == want {
		t.Error("nothing was compiled")
	}
	for way, got := range map[string]string{
		"warm":                 build(map[string]string{"MLENV_CACHE_DIR": cache}, "--compile"),
		"unconfined, one job":  build(map[string]string{tellUmask: "0"}, "--compile=unconfined", "--jobs", "1"),
		"not, after all of it": build(map[string]string{"MLENV_CACHE_DIR": cache}, "--compile=no"),
	} {
		if better := map[bool]string{true: plain, false: want}[strings.HasPrefix(way, "not")]; got != better {
			t.Errorf("%s: %s, want %s", way, got, better)
		}
	}
}

// What cannot be compiled is an error that says what to do, and no image.
func TestImageCompileRefused(t *testing.T) {
	w := newImageWorld(t)
	out := filepath.Join(t.TempDir(), "layout")
	for _, tt := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--compile=sometimes"}, "want no, yes or unconfined"},
		{[]string{"--compile", "--base", "oci:" + w.base}, "cannot be run"},
	} {
		_, errs, code := command(t, w.env, w.args(append([]string{"-o", "oci:" + out}, tt.flags...)...)...)
		if code != exitFailure || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: exit code %d: %s", tt.flags, code, errs)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q: an image was written", tt.flags)
		}
	}
}
