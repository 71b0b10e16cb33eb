package dist

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// libraryWheel writes a wheel that holds a library of testdata. They were made of a few lines of C each:
// one calls getrandom (of glibc 2.25) and arc4random (of 2.36); in the other the version of the latter is
// marked as weak.
func libraryWheel(t *testing.T, library string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a-1.0-cp311-cp311-linux_x86_64.whl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("no library")
	if library != "" {
		if data, err = os.ReadFile(filepath.Join("testdata", library)); err != nil {
			t.Fatal(err)
		}
	}
	w := zip.NewWriter(f)
	for _, name := range []string{"a/__init__.py", "a/_native.so"} {
		e, err := w.Create(name)
		if err == nil {
			_, err = e.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCheckSymbols(t *testing.T) {
	for _, c := range []struct {
		library, libc string
		needs         string // of the error; "": fine
	}{
		{"needs-glibc-2.36.so", "glibc:2.36", ""},
		{"needs-glibc-2.36.so", "glibc:2.41", ""},
		{"needs-glibc-2.36.so", "glibc:2.35", "glibc:2.36"},
		{"needs-glibc-2.36.so", "musl:1.2", "glibc:2.36"},
		{"may-use-glibc-2.36.so", "glibc:2.25", ""},
		{"may-use-glibc-2.36.so", "glibc:2.24", "glibc:2.25"},
		{"", "glibc:2.17", ""},
		{"", "musl:1.2", ""},
	} {
		libc, err := ParseLibc(c.libc)
		if err != nil {
			t.Fatal(err)
		}
		err = CheckSymbols("a.whl", libraryWheel(t, c.library), libc)
		var symbols *SymbolsError
		switch {
		case c.needs == "" && err != nil:
			t.Errorf("%s on %s: %v", c.library, c.libc, err)
		case c.needs != "" && (!errors.As(err, &symbols) || symbols.Needs.String() != c.needs || symbols.File != "a/_native.so" || symbols.Wheel != "a.whl"):
			t.Errorf("%s on %s: %v, want that it needs %s", c.library, c.libc, err, c.needs)
		}
	}
	if err := CheckSymbols("a.whl", filepath.Join(t.TempDir(), "none.whl"), Libc{}); err == nil {
		t.Error("a wheel that is not there has been checked")
	}
}

func TestUnchecked(t *testing.T) {
	for name, want := range map[string]bool{
		"a-1.0-cp311-cp311-linux_x86_64.whl":                       true,
		"a-1.0-cp311-cp311-manylinux_2_17_x86_64.whl":              false,
		"a-1.0-cp311-cp311-linux_x86_64.manylinux_2_17_x86_64.whl": false,
		"a-1.0-py3-none-any.whl":                                   false,
		"a-1.0-py3-none-linux_aarch64.whl":                         true,
	} {
		w, err := ParseWheelName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Unchecked(w.Tags); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
