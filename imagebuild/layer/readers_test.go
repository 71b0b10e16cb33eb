package layer

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherReaders lets the programs that find layers in front of them read one of many members.
func TestOtherReaders(t *testing.T) {
	dir := t.TempDir()
	blob := filepath.Join(dir, "layer.tar.gz")
	l, err := New(sampleEntries(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(blob)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Measure(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	python := os.Getenv("MLENV_PYTHON")
	if python == "" {
		python = "python3"
	}
	extract := "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])"
	for _, reader := range [][]string{
		{"tar", "xzf", blob, "-C"}, {"bsdtar", "-xzf", blob, "-C"}, {"busybox", "tar", "xzf", blob, "-C"}, {python, "-W", "ignore", "-c", extract, blob},
	} {
		t.Run(filepath.Base(reader[0]), func(t *testing.T) {
			if _, err := exec.LookPath(reader[0]); err != nil {
				t.Skip(err)
			}
			to := t.TempDir()
			if out, err := exec.Command(reader[0], append(reader[1:], to)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for name, want := range sample() {
				got, err := os.ReadFile(filepath.Join(to, name))
				if err != nil || string(got) != string(want) {
					t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
				}
			}
			if target, err := os.Readlink(filepath.Join(to, "opt/x/link")); err != nil || target != "../y" {
				t.Error(target, err)
			}
			fi, err := os.Stat(filepath.Join(to, "opt/x/run"))
			if err != nil || !strings.HasPrefix(fi.Mode().String(), "-rwx") || !fi.ModTime().Equal(Epoch) {
				t.Error(fi, err)
			}
		})
	}
}
