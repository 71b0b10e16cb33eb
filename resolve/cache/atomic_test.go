package cache

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func replace(name, text string, o Options) error {
	return Replace(name, o, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "report.json")
	for _, o := range []Options{{}, {Sync: true}} {
		for _, text := range []string{"one", "", "two"} {
			if err := replace(name, text, o); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(name); err != nil || string(data) != text {
				t.Errorf("wrote %q, %v, want %q", data, err, text)
			}
		}
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("it failed")
	err := Replace(name, Options{}, func(w io.Writer) error {
		_, err := io.WriteString(w, "three")
		return errors.Join(err, failed)
	})
	if data, rerr := os.ReadFile(name); !errors.Is(err, failed) || rerr != nil || string(data) != "two" {
		t.Errorf("%v, and the file is %q, %v", err, data, rerr)
	}
	if err := replace(name, "four", Options{}); err != nil {
		t.Fatal(err)
	}
	if info := stat(t, name); info.Mode().Perm() != 0o600 {
		t.Errorf("its permissions became %v", info.Mode())
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

// TestReplaceSweeps leaves temporary files behind: those of the file that is written go, if nobody
// writes them.
func TestReplaceSweeps(t *testing.T) {
	if !canLock {
		t.Skip("no locks here")
	}
	dir := t.TempDir()
	put(t, dir, ".a.mlenv-1.tmp", ".b.mlenv-1.tmp", ".a.tmp", ".a.mlenv-1", "a.mlenv-1.tmp")
	living, err := createTemp(filepath.Join(dir, "a"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer living.discard()
	gone := func(name string) bool {
		_, err := os.Stat(name)
		return errors.Is(err, os.ErrNotExist)
	}
	if err := replace(filepath.Join(dir, "a"), "x", Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".b.mlenv-1.tmp", ".a.tmp", ".a.mlenv-1", "a.mlenv-1.tmp", filepath.Base(living.Name())} {
		if gone(filepath.Join(dir, name)) {
			t.Errorf("%s is gone", name)
		}
	}
	if !gone(filepath.Join(dir, ".a.mlenv-1.tmp")) {
		t.Error("what was left behind of a is still there")
	}
	Sweep(dir)
	if !gone(filepath.Join(dir, ".b.mlenv-1.tmp")) || gone(living.Name()) {
		t.Errorf("after Sweep: %q", names(t, dir))
	}
	if err := living.commit(filepath.Join(dir, "c")); err != nil {
		t.Error(err)
	}
}
