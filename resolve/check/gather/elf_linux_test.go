package gather

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// TestLargeLibraries reads a library that is too large for the memory, and ones that claim to have more
// than they do.
func TestLargeLibraries(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	names := bytes.Clone(whole) // whose section of names has 2^62 bytes
	le := binary.LittleEndian
	sections, size, index := le.Uint64(names[40:]), uint64(le.Uint16(names[58:])), uint64(le.Uint16(names[62:]))
	le.PutUint64(names[sections+size*index+32:], 1<<62)
	for name, tt := range map[string]struct {
		data []byte
		want bool // it is a library
	}{
		"small":          {whole, true},
		"large":          {append(bytes.Clone(whole), make([]byte, inMemory)...), true},
		"2^62 bytes":     {names, false},
		"cut":            {whole[:len(whole)/2], false},
		"a file of text": {[]byte("x"), false},
	} {
		file := filepath.Join(t.TempDir(), "a-1-py3-none-any.whl")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		z := zip.NewWriter(f)
		w, err := z.Create("a/b.so")
		if err == nil {
			_, err = w.Write(tt.data)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Setenv("TMPDIR", t.TempDir())
		got, err := readELF(file)
		if err != nil || (len(got) == 1) != tt.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}
