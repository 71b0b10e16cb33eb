package wheel

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A zipped is one file of a wheel made for a test.
type zipped struct {
	name   string
	body   string
	mode   uint32 // with the file type
	stored bool
	change func(*zip.FileHeader)
}

const (
	demoInfo  = "demo_pkg-1.0.dist-info/"
	demoWheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\nTag: py2-none-any\n"
)

// demo returns the files of a small right wheel and more.
func demo(more ...zipped) []zipped {
	return append([]zipped{
		{name: "demo_pkg/__init__.py", body: "import sys\n"},
		{name: demoInfo + "METADATA", body: "Metadata-Version: 2.1\nName: demo-pkg\nVersion: 1.0\n"},
		{name: demoInfo + "WHEEL", body: demoWheel},
	}, more...)
}

// recorded adds a RECORD that fits the files.
func recorded(files []zipped) []zipped {
	var rows []row
	for _, f := range files {
		if f.name[len(f.name)-1] != '/' {
			rows = append(rows, rowOf(f.name, []byte(f.body)))
		}
	}
	rows = append(rows, row{path: demoInfo + "RECORD"})
	return append(files, zipped{name: demoInfo + "RECORD", body: string(formatRecord(rows))})
}

// build writes a wheel of exactly these files.
func build(t testing.TB, files []zipped) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if f.stored {
			h.Method = zip.Store
		}
		if f.mode != 0 {
			h.CreatorVersion, h.ExternalAttrs = 3<<8, f.mode<<16
		}
		if f.change != nil {
			f.change(h)
		}
		if strings.HasSuffix(f.name, "/") && f.body != "" { // a zip.Writer does not write such a thing, so it is put in below
			h.Name = strings.TrimSuffix(f.name, "/") + "\x00"
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	data := bytes.ReplaceAll(b.Bytes(), []byte("x\x00"), []byte("x/"))
	name := filepath.Join(t.TempDir(), "demo_pkg-1.0-py3-none-any.whl")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// open opens a wheel made of these files and a RECORD.
func open(t testing.TB, files []zipped) *Wheel {
	t.Helper()
	w, err := Open(build(t, recorded(files)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}
