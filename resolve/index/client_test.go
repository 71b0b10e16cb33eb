package index_test

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/pep508"
)

// client makes a client of the indexes whose pauses take no time.
func client(t *testing.T, change func(*index.Settings), indexes ...*indextest.Index) *index.Client {
	t.Helper()
	s := index.Settings{CacheDir: t.TempDir(), Sleep: func(context.Context, time.Duration) error { return nil }}
	for _, x := range indexes {
		s.Indexes = append(s.Indexes, x.URL)
		if x.CertFile != "" {
			s.CertFile = x.CertFile
		}
	}
	if change != nil {
		change(&s)
	}
	c, err := index.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func files(t *testing.T, c *index.Client, name pep508.Name) []dist.File {
	t.Helper()
	all, err := c.Files(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func filenames(all []dist.File) []string {
	var names []string
	for _, f := range all {
		names = append(names, f.Filename)
	}
	return names
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

var small = []indextest.Dist{
	{Name: "Some.Project", Version: "1.10", Requires: []string{"other>=2"}, RequiresPython: ">=3.8"},
	{Name: "some-project", Version: "1.9", Yanked: true, YankedReason: "broken & <wrong>", Tags: "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"},
	{Name: "some-project", Version: "1.9", Sdist: true, UploadTime: time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)},
	{Name: "some-project", Version: "2.0rc1", Build: "1abc", Listed: indextest.Listed{NoMetadata: true}},
}

func TestPages(t *testing.T) {
	for _, form := range []string{"json", "html"} {
		for _, secure := range []bool{false, true} {
			x := indextest.New(t, small...)
			if secure {
				x = indextest.NewTLS(t, small...)
			}
			x.HTML = form == "html"
			dir := t.TempDir()
			for _, run := range []string{"cold", "warm"} {
				c := client(t, func(s *index.Settings) { s.CacheDir = dir }, x)
				checkSmall(t, x, form, files(t, c, "some-project"))
				if t.Failed() {
					t.Fatalf("above: %s %s, secure %v", form, run, secure)
				}
			}
			equal(t, "requests", x.Requests(), []string{"GET /simple/some-project/"})
		}
	}
}

func checkSmall(t *testing.T, x *indextest.Index, form string, all []dist.File) {
	t.Helper()
	equal(t, "files", filenames(all), []string{
		"some_project-1.9-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
		"some_project-1.9.tar.gz", "some_project-1.10-py3-none-any.whl", "some_project-2.0rc1-1abc-py3-none-any.whl",
	})
	if t.Failed() {
		return
	}
	yanked, sdist, plain, built := all[0], all[1], all[2], all[3]
	if !yanked.Yanked || yanked.YankedReason != "broken & <wrong>" || len(yanked.Tags) != 2 || plain.Yanked {
		t.Errorf("yanked: %+v", yanked)
	}
	if sdist.Wheel || !plain.Wheel || built.Build != "1abc" || built.HasMetadata || !plain.HasMetadata {
		t.Errorf("kinds: %+v %+v", sdist, built)
	}
	if plain.RequiresPython != ">=3.8" || plain.Index != x.URL || plain.URL != x.FileURL(small[0]) {
		t.Errorf("plain: %+v", plain)
	}
	if plain.Hashes["sha256"] != small[0].SHA256() || len(plain.MetadataHashes["sha256"]) != 64 {
		t.Errorf("hashes: %v %v", plain.Hashes, plain.MetadataHashes)
	}
	if form == "json" && (plain.Size != int64(len(small[0].Bytes())) || !sdist.UploadTime.Equal(small[2].UploadTime)) {
		t.Errorf("size %d, upload time %v", plain.Size, sdist.UploadTime)
	}
}

func TestMetadataAndFetch(t *testing.T) {
	x := indextest.New(t, small...)
	c := client(t, nil, x)
	ctx := context.Background()
	f := files(t, c, "some-project")[2]
	m, err := c.Metadata(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.RequiresDist) != 1 || m.RequiresDist[0].String() != "other>=2" {
		t.Errorf("requirements: %v", m.RequiresDist)
	}
	path, err := c.Fetch(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, f.Filename) {
		t.Errorf("path %s does not end in the file name", path)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(small[0].Bytes()) {
		t.Errorf("content differs: %v", err)
	}
	if z, err := zip.OpenReader(path); err != nil {
		t.Error(err)
	} else {
		z.Close()
	}
	_, err = c.Files(ctx, "absent")
	var missing *index.NotFoundError
	if !errors.As(err, &missing) || missing.Name != "absent" {
		t.Errorf("a name that is nowhere: %v", err)
	}
}
