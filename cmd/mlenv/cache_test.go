package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"mlenv/imagebuild/base/basetest"
	"mlenv/resolve/cache"
)

// cacheFiles gives the files of a cache that lie in its sections.
func cacheFiles(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Dir(path) != dir {
			found[strings.TrimPrefix(filepath.ToSlash(path[len(dir):]), "/")] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ageCache makes all of a cache so old.
func ageCache(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	for name := range cacheFiles(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(name)), at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCacheOfImages prunes and cleans what commands have really written: what the last build used
// stays, and in the end there is nothing.
func TestCacheOfImages(t *testing.T) {
	t.Parallel()
	w := newImageWorld(t)
	img, err := basetest.Slim("3.11.9")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.registry + "/base:1")
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	w.env["MLENV_CACHE_DIR"] = dir
	args := []string{"image", w.model, "--base", w.registry + "/base:1", "--index-url", w.index.URL, "--push", w.registry + "/churn:1"}
	build := func() string {
		t.Helper()
		out, errs, code := command(t, w.env, args...)
		if code != exitOK {
			t.Fatalf("exit code %d\n%s", code, errs)
		}
		return out
	}
	cached := func(args ...string) string {
		t.Helper()
		out, errs, code := command(t, w.env, append([]string{"cache"}, args...)...)
		if code != exitOK {
			t.Fatalf("exit code %d\n%s", code, errs)
		}
		return out
	}
	want := build()
	before := cacheFiles(t, dir)
	for _, kind := range []string{
		cache.IndexFormat + "/pages/", cache.IndexFormat + "/metadata/", cache.IndexFormat + "/files/", cache.BlobsFormat + "/sha256/",
		cache.MemosFormat + "/layers/", cache.MemosFormat + "/unions/", cache.MemosFormat + "/bases/", cache.MemosFormat + "/mounts/",
	} {
		if !anyBelow(before, kind) {
			t.Errorf("nothing is kept in %s", kind)
		}
	}
	if got := cached("prune"); got != "removed 0 files, 0.0 MB\n" {
		t.Errorf("of a new cache: %s", got)
	}

	// A build with nothing but old entries uses notes, and no wheel or layer of the base.
	ageCache(t, dir, 40*24*time.Hour)
	if got := build(); got != want {
		t.Errorf("built again it is %s, want %s", got, want)
	}
	cached("prune", "--days", "30")
	after := cacheFiles(t, dir)
	for kind, stays := range map[string]bool{
		"/layers/": true, "/bases/": true, "/mounts/": true, "/metadata/": true, "/files/": false, "/sha256/": false,
	} {
		if got := anyBelow(after, kind); got != stays {
			t.Errorf("pruned, there is something in %s: %t", kind, got)
		}
	}
	if got := build(); got != want {
		t.Errorf("built after pruning it is %s, want %s", got, want)
	}

	ageCache(t, dir, 40*24*time.Hour)
	cached("prune", "--days", "30")
	if left := cacheFiles(t, dir); len(left) > 0 {
		t.Errorf("pruned, with all of it old, there is %v", left)
	}
	if got := build(); got != want {
		t.Errorf("built with nothing in the cache it is %s, want %s", got, want)
	}
	cached("clean")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("clean leaves %v", cacheFiles(t, dir))
	}
}

// anyBelow reports whether one of the files lies in a directory.
func anyBelow(files map[string]bool, dir string) bool {
	for name := range files {
		if strings.Contains(name, dir) {
			return true
		}
	}
	return false
}
