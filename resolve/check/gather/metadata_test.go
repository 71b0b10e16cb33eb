package gather_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mlenv/resolve/check/gather"
	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

// TestMetadata reads what an index lists, what it no longer lists, and a wheel beside the lock; a
// wheel that is nowhere, and whatever is not in the cache of a client that is offline, is missing.
func TestMetadata(t *testing.T) {
	dists := indextest.Parse("listed 1.0", "old 1.0", "here 1.0", "gone 1.0")
	x := indextest.New(t, dists...)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, dists[2].Filename()), dists[2].Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	l := &pylock.Lock{}
	for i, d := range dists {
		f := pylock.File{Name: d.Filename(), URL: x.FileURL(d), Hashes: map[string]string{"sha256": d.SHA256()}}
		p := pylock.Package{Name: pep508.Name([]string{"listed", "old", "here", "gone"}[i]), Version: pep440.MustParse("1.0"), Index: x.URL}
		if i == 1 {
			p.Index = "" // as if a direct URL
		}
		if i > 1 {
			f.URL, f.Path, p.Index = "", f.Name, ""
		}
		p.Wheels = []pylock.File{f}
		l.Packages = append(l.Packages, p)
	}
	target := dist.Target{Python: pep440.MustParse("3.11"), OS: "linux", Arch: "amd64"}
	for what, tt := range map[string]struct {
		offline bool
		missing []pep508.Name
	}{"online": {false, []pep508.Name{"gone"}}, "offline": {true, []pep508.Name{"gone", "listed", "old"}}} {
		client, err := index.New(index.Settings{Indexes: []string{x.URL}, CacheDir: t.TempDir(), Offline: tt.offline})
		if err != nil {
			t.Fatal(err)
		}
		found, missing, err := gather.Metadata(context.Background(), client, l, dir, target)
		if err != nil || len(found)+len(missing) != 4 || !slices.Equal(missing, tt.missing) {
			t.Errorf("%s: found %v, missing %v, %v", what, found, missing, err)
		}
	}
	x.On("/*", -1, http.NotFoundHandler())
	x.On("/*/*/*", -1, http.NotFoundHandler())
	client, err := index.New(index.Settings{Indexes: []string{x.URL}, CacheDir: t.TempDir(), Network: index.Network{Retries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := gather.Metadata(context.Background(), client, l, dir, target); err == nil {
		t.Error("a file that is gone is no error")
	}
}
