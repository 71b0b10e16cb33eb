package cache

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

var testNow = time.Date(2025, 1, 31, 0, 0, 0, 0, time.UTC)

// age sets when a file was written and read last.
func age(t *testing.T, name string, written, read time.Duration) {
	t.Helper()
	if err := os.Chtimes(name, testNow.Add(-read), testNow.Add(-written)); err != nil {
		t.Fatal(err)
	}
}

// put writes files of three bytes, an hour ago.
func put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("123"), 0o644); err != nil {
			t.Fatal(err)
		}
		age(t, path, time.Hour, time.Hour)
	}
}

var (
	sha    = strings.Repeat("0", 64)
	hashed = "00/" + sha[2:]
)

// foreign are files that lie in a cache directory, or look as if they did, and are not mlenv's.
var foreign = []string{
	"mine.txt", "photos/cat", "photos-v1/cat", "layers-v1/weights.bin", "layers-v1/layers/me.json", "bases-v1/bases/sofa.json",
	"memos-v1/README", "fetched-v1/sha256/cat", "memos-v1/layers/00/note", "blobs-v1/sha256/cat", "index-v2/pages/mine", "index-v2/files/00/cat.jpg",
	"index-v2/tmp/mine", "index-v1/pages/mine", "index-v99/pages/0123456789abcdef/six", "places-v1/a.json", "memos-v1/.hidden.tmp", "memos-v1/layers/.tmp-1",
}

// older are files in formats that are no longer read.
var older = []string{
	"layers-v1/layers/" + hashed + ".json", "layers-v1/unions/00/.tmp-123", "bases-v1/bases/" + sha + ".json",
	"bases-v1/host/" + sha + ".json", "bases-v1/blobs/sha256/" + sha, "bases-v1/blobs/sha256/.tmp-1",
	"places-v1/registry.example_5000/" + hashed + ".json", "index-v1/tmp/w-1234",
	"index-v1/metadata/" + hashed, "index-v1/pages/0123456789abcdef/six", "index-v1/files/00/" + sha + "/six-1.0-py3-none-any.whl",
}

func TestPrune(t *testing.T) {
	for _, tt := range []struct {
		name          string
		written, read time.Duration // before now
		kept          bool
	}{
		{"index-v2/pages/0123456789abcdef/six", 29 * day, 99 * day, true},
		{"index-v2/pages/0123456789abcdef/six", 31 * day, 31 * day, false},
		{"index-v2/pages/0123456789abcdef/six", 31 * day, time.Hour, false}, // read, but not confirmed
		{"index-v2/metadata/" + hashed, 99 * day, 29 * day, true},
		{"index-v2/metadata/" + hashed, 29 * day, 99 * day, true},
		{"index-v2/metadata/" + hashed, 99 * day, 31 * day, false},
		{"index-v2/metadata/true/" + hashed, 99 * day, 31 * day, false},
		{"index-v2/metadata/claimed/" + sha[:32], 99 * day, 31 * day, false},
		{"index-v2/salt", 99 * day, 29 * day, true},
		{"index-v2/salt", 99 * day, 31 * day, false},
		{"index-v2/origins/" + sha[:32], 99 * day, 31 * day, false},
		{"index-v2/files/00/" + sha + "/six-1.0-py3-none-any.whl", 99 * day, 29 * day, true},
		{"index-v2/files/00/" + sha + "/six-1.0-py3-none-any.whl", 99 * day, 31 * day, false},
		{"memos-v1/layers/" + hashed, 99 * day, 29 * day, true},
		{"memos-v1/fetched/" + hashed, 99 * day, 31 * day, false},
		{"fetched-v1/sha256/" + sha, 99 * day, 29 * day, true},
		{"fetched-v1/sha256/" + sha, 99 * day, 31 * day, false},
		{"memos-v1/layers/" + hashed, 99 * day, 30*day + useStep, true}, // use is noted to the hour
		{"memos-v1/layers/" + hashed, 99 * day, 30*day + useStep + 1, false},
		{"memos-v1/mounts/" + hashed, 99 * day, 31 * day, false},
		{"blobs-v1/sha256/" + sha, 99 * day, 29 * day, true},
		{"blobs-v1/sha256/" + sha, 99 * day, 31 * day, false},
		{"index-v2/tmp/p-0123", 23 * time.Hour, 99 * day, true},
		{"index-v2/tmp/p-0123", 25 * time.Hour, time.Hour, false},
		{"index-v2/tmp/p-0123.note", 25 * time.Hour, time.Hour, false},
		{"memos-v1/layers/00/." + sha[2:] + ".mlenv-1.tmp", 23 * time.Hour, 99 * day, true},
		{"memos-v1/layers/00/." + sha[2:] + ".mlenv-1.tmp", 25 * time.Hour, time.Hour, false},
		{"index-v1/metadata/" + hashed, 0, 0, false}, // which believed whoever claimed a hash
		{"places-v1/registry.example_5000/" + hashed + ".json", 0, 0, false},
	} {
		dir := t.TempDir()
		put(t, dir, tt.name)
		path := filepath.Join(dir, filepath.FromSlash(tt.name))
		age(t, path, tt.written, tt.read)
		removed, err := Open(dir, nil).Prune(testNow, testNow.Add(-30*day))
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(path)
		if kept := err == nil; kept != tt.kept || (removed == Removed{}) != tt.kept {
			t.Errorf("%s, written %v and read %v ago: kept %t, removed %+v", tt.name, tt.written, tt.read, kept, removed)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 != tt.kept {
			t.Errorf("%s: left %v, %v", tt.name, entries, err)
		}
	}
}

// TestPruneAndClean mixes mlenv's files with others: these stay, whatever their names.
func TestPruneAndClean(t *testing.T) {
	dir := t.TempDir()
	d := Open(dir, nil)
	put(t, dir, foreign...)
	put(t, dir, older...)
	if err := os.Symlink(filepath.Join(dir, "photos"), filepath.Join(dir, MemosFormat, "unions")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "photos/"+hashed)
	want := append(slices.Clone(foreign), "photos/"+hashed, "memos-v1/unions")
	age(t, filepath.Join(dir, "index-v1/tmp/w-1234"), 25*time.Hour, 25*time.Hour)
	removed, err := d.Prune(testNow, testNow.Add(-30*day))
	if want := (Removed{Files: len(older), Bytes: 3 * int64(len(older))}); err != nil || removed != want {
		t.Errorf("pruned %+v, %v, want %+v", removed, err, want)
	}
	compare := func(when string, want []string) {
		t.Helper()
		slices.Sort(want)
		got := names(t, dir)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	compare("after prune", want)

	if err := d.Index().Write("pages/0123456789abcdef/six", nil); err != nil {
		t.Fatal(err)
	}
	keep(t, d.Index(), "a.whl", "a")
	key, note := testNote(t, "layers", 1, 1)
	if err := d.Memos().Put(t.Context(), key, note); err != nil {
		t.Fatal(err)
	}
	readBlob(t, d.Blobs(), "blob", sum("blob"), "")
	if removed, err = d.Clean(); err != nil || removed.Files != 4 {
		t.Errorf("cleaned %+v, %v", removed, err)
	}
	compare("after clean", want)

	// Of a directory that has nothing else, nothing is left.
	dir = filepath.Join(t.TempDir(), "cache")
	d = Open(dir, nil)
	keep(t, d.Index(), "a.whl", "a")
	put(t, dir, older...)
	if _, err := d.Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("left: %q", names(t, dir))
	}
	for what, f := range map[string]func() (Removed, error){
		"prune": func() (Removed, error) { return d.Prune(testNow, testNow) }, "clean": d.Clean,
	} {
		if r, err := f(); err != nil || r != (Removed{}) {
			t.Errorf("%s of a directory that does not exist: %+v, %v", what, r, err)
		}
	}
}

// TestLivingWriter prunes and cleans while a file is being written: it stays, and is kept in the end.
func TestLivingWriter(t *testing.T) {
	if !canLock {
		t.Skip("no locks here")
	}
	dir := t.TempDir()
	d := Open(dir, nil)
	temp, err := d.Index().Create()
	if err != nil {
		t.Fatal(err)
	}
	defer temp.Discard()
	if _, err := temp.WriteString("a"); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(99 * day)
	if _, err := d.Prune(later, later); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Clean(); err != nil {
		t.Fatal(err)
	}
	path, err := temp.Keep(sum("a"), "a.whl")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Index().File(sum("a"), "a.whl"); err != nil || got != path {
		t.Errorf("kept %s, %v", got, err)
	}
}

// TestUse reads an entry of each section: the time of use is set if it is an hour old, that of
// writing never.
func TestUse(t *testing.T) {
	dir := t.TempDir()
	d := Open(dir, func() time.Time { return testNow })
	key, note := testNote(t, "layers", 1, 1)
	if err := d.Memos().Put(t.Context(), key, note); err != nil {
		t.Fatal(err)
	}
	wheel := keep(t, d.Index(), "a.whl", "a")
	readBlob(t, d.Blobs(), "blob", sum("blob"), "")
	for name, read := range map[string]func() bool{
		d.Memos().file(key, key.Hash()): func() bool { _, ok, _ := d.Memos().Get(t.Context(), key); return ok },
		wheel:                           func() bool { _, err := d.Index().File(sum("a"), "a.whl"); return err == nil },
		d.Blobs().file(sum("blob")): func() bool {
			f, ok := d.Blobs().Open(sum("blob"), 4)
			if ok {
				f.Close()
			}
			return ok
		},
	} {
		for _, tt := range []struct{ ago, want time.Duration }{{99 * day, 0}, {59 * time.Minute, 59 * time.Minute}, {-time.Hour, -time.Hour}} {
			age(t, name, 100*day, tt.ago)
			before := stat(t, name)
			if !read() {
				t.Fatalf("%s is absent", name)
			}
			info := stat(t, name)
			got := accessTime(info)
			// Where mlenv does not set the time, the kernel may: to its own, which is much later.
			kernel := tt.ago == tt.want && got.After(testNow.Add(day))
			if !got.Equal(testNow.Add(-tt.want)) && !kernel || !info.ModTime().Equal(before.ModTime()) {
				t.Errorf("%s: read %v ago, then at %v; written %v, then %v", name, tt.ago, got, before.ModTime(), info.ModTime())
			}
		}
	}
}

func stat(t *testing.T, name string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
