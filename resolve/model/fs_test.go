package model

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestFiles holds that what Python compiled by itself is nowhere to be seen, by whatever way one looks,
// and that everything else is.
func TestFiles(t *testing.T) {
	shown := []string{"MLmodel", "code/a.py", "code/only.pyc", "code/pkg/__init__.py", "code/pkg/__pycache__.py", "notes/__pycache__"}
	hidden := []string{
		"code/a.pyc", "code/pkg/__init__.pyc", "code/__pycache__/a.cpython-311.pyc", "code/__pycache__/deep/data.txt",
		"__pycache__/x.py", "code/__pycache__", "__pycache__",
	}
	whole := fstest.MapFS{}
	for _, name := range slices.Concat(shown, hidden[:5]) {
		whole[name] = &fstest.MapFile{Data: []byte(name)}
	}
	fsys := Files(whole)
	if err := fstest.TestFS(fsys, shown...); err != nil {
		t.Error(err)
	}
	var walked []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			walked = append(walked, name)
		}
		return err
	})
	if err != nil || !slices.Equal(walked, shown) {
		t.Errorf("walked %q, %v; want %q", walked, err, shown)
	}
	for _, name := range hidden {
		_, errOpen := fsys.Open(name)
		_, errStat := fs.Stat(fsys, name)
		_, errLstat := fs.Lstat(fsys, name)
		_, errRead := fs.ReadFile(fsys, name)
		for way, err := range map[string]error{"open": errOpen, "stat": errStat, "lstat": errLstat, "read": errRead} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s %s: %v", way, name, err)
			}
		}
	}
	if _, twice := Files(fsys).(filesFS).FS.(filesFS); twice || Files(nil) != nil {
		t.Error("a file system is wrapped twice, or none is")
	}
}

// TestFilesReadInPieces holds that a directory whose first entries do not count does not seem to end.
func TestFilesReadInPieces(t *testing.T) {
	whole := fstest.MapFS{"a.pyc": {}, "a.py": {}, "b.pyc": {}, "b.py": {}, "c.py": {}}
	dir, err := Files(whole).Open(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for {
		entries, err := dir.(fs.ReadDirFile).ReadDir(1)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if err != nil {
			break
		}
	}
	if got := strings.Join(names, " "); got != "a.py b.py c.py" {
		t.Errorf("read %s", got)
	}
}

// TestFilesAndLinks holds that links are followed, in listings too, and that those which cannot be are
// seen as links.
func TestFilesAndLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.py"), []byte("a"), 0o666); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"b.py": "a.py", "b.pyc": "a.py", "gone.pyc": "nowhere", "up": "."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skipf("symbolic links cannot be made here: %v", err)
		}
	}
	fsys := Files(os.DirFS(dir))
	if data, err := fs.ReadFile(fsys, "b.py"); err != nil || string(data) != "a" {
		t.Errorf("through a link: %q, %v", data, err)
	}
	if to, err := fs.ReadLink(fsys, "b.py"); err != nil || to != "a.py" {
		t.Errorf("the link itself: %q, %v", to, err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	var got []string
	for _, e := range entries {
		got = append(got, e.Name()+" "+e.Type().String()[:1])
	}
	if want := []string{"a.py -", "b.py -", "gone.pyc L", "up L"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("listed %q, %v; want %q", got, err, want)
	}
}
