package resolve_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"mlenv/resolve"
	"mlenv/resolve/model"
)

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

func digest(t *testing.T, dir, root string) string {
	t.Helper()
	d, err := resolve.CodeDigest(model.Files(os.DirFS(dir)), root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCodeDigestIsDirhash(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"code/a.py": "a = 1\n", "code/pkg/__init__.py": "", "code/pkg/data.txt": "x"})
	want, err := dirhash.HashDir(filepath.Join(dir, "code"), "code", dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	if got := digest(t, dir, "code"); got != want {
		t.Errorf("digest %s, dirhash %s", got, want)
	}
	writeTree(t, dir, map[string]string{"code/__pycache__/a.cpython-311.pyc": "1", "code/a.pyc": "2"})
	if got := digest(t, dir, "code"); got != want {
		t.Errorf("with compiled Python %s, without %s", got, want)
	}
	writeTree(t, dir, map[string]string{"elsewhere/code/a.py": "a = 1\n", "elsewhere/code/pkg/__init__.py": "", "elsewhere/code/pkg/data.txt": "x"})
	if got := digest(t, dir, "elsewhere/code"); got != want {
		t.Errorf("moved %s, before %s", got, want)
	}
	if got := digest(t, filepath.Join(dir, "code"), "."); got == want {
		t.Error("the names do not count")
	}
	for _, change := range []map[string]string{{"code/a.py": "a = 2\n"}, {"code/b.py": ""}, {"code/pkg/only.pyc": "3"}} {
		before := digest(t, dir, "code")
		writeTree(t, dir, change)
		if digest(t, dir, "code") == before {
			t.Errorf("%v does not change the digest", change)
		}
	}
}

func TestCodeDigestOfAFile(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"src/one.py": "1", "one.py": "1", "two.py": "1"})
	if a, b := digest(t, dir, "src/one.py"), digest(t, dir, "one.py"); a != b {
		t.Errorf("moved %s, before %s", a, b)
	}
	if a, b := digest(t, dir, "one.py"), digest(t, dir, "two.py"); a == b {
		t.Error("the name of a file does not count")
	}
}

func TestCodeDigestRefuses(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"code/a.py": "", "other/b.py": ""})
	if _, err := resolve.CodeDigest(model.Files(os.DirFS(dir)), "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	if err := os.Symlink("../gone", filepath.Join(dir, "code", "linked")); err != nil {
		t.Skipf("symbolic links cannot be made here: %v", err)
	}
	if _, err := resolve.CodeDigest(model.Files(os.DirFS(dir)), "code"); err == nil || !strings.Contains(err.Error(), "code/linked is a link to ../gone, which is not there") {
		t.Errorf("a link that leads nowhere: %v", err)
	}
}
