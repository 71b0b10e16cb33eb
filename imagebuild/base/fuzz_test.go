package base

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// FuzzFacts reads hostile files under every name that matters: no panic, and bounded answers.
func FuzzFacts(f *testing.F) {
	f.Add([]byte("Package: libc6\nVersion: 2.36\n\nPackage: x"))
	f.Add([]byte("P:musl\nV:1.2.5-r10\n"))
	f.Add([]byte("#define PY_VERSION \"3.11.2+\"\n"))
	f.Add([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00>\x00"))
	f.Add([]byte("\x003.11.2\x003.11.2\x00stable release version 2.36\x00GLIBC_2.36\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{
			"/usr/bin/python3.11", "/usr/lib/libpython3.11.so.1.0", "/lib/libc.so.6", "/lib/ld-musl-x86_64.so.1",
			"/usr/include/python3.11/patchlevel.h", "/var/lib/dpkg/status", "/lib/apk/db/installed", "/etc/passwd",
		} {
			got, err := readFacts(name, int64(len(data)), bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s: %v", name, err) // only reading can fail, and this reader does not
			}
			if got == nil {
				continue
			}
			if got.interp != "" && got.machine == elf.EM_NONE {
				t.Errorf("%s: a loader %q without a machine", name, got.interp)
			}
			for _, v := range got.versions {
				if !strings.Contains(v, ".") {
					t.Errorf("%s: version %q", name, v)
				}
			}
		}
	})
}

// FuzzTree reads hostile layers: links that loop, whiteouts of everything, names that climb.
func FuzzTree(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "../../etc/.wh.passwd"}, {Name: "a/.wh..wh..opq"}, {Name: "usr/bin/python3", Typeflag: tar.TypeSymlink, Linkname: "../bin/python3"},
		{Name: "b", Typeflag: tar.TypeLink, Linkname: "usr/bin/python3"}, {Name: "", Typeflag: tar.TypeDir}, {Name: ".wh."},
	} {
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := newTree()
		if err := tree.addLayer(static.NewLayer(data, types.OCIUncompressedLayer)); err != nil && err == io.EOF {
			t.Fatal("an end of file that nobody named")
		}
		for name := range tree.nodes {
			if !strings.HasPrefix(name, "/") || strings.Contains(name+"/", "/../") {
				t.Errorf("path %q", name)
			}
			tree.resolve(name)
		}
		tree.sonames()
		tree.packages()
	})
}
