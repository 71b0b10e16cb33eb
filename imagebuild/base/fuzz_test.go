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
	f.Add(bytes.Repeat([]byte{0}, 100_000))
	f.Add([]byte("Package: " + strings.Repeat("x", 2000) + "\x1b[2J\nVersion: 1\n::error::x\n\nPackage: libc6\nVersion: 99999999999999999999\u202e\n"))
	f.Add([]byte("root:x:0:0:\x1b[2J:/../..:/bin/sh\n:::::\nx:x:99999999999999999999:-1::/:\n"))
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
	for _, headers := range [][]tar.Header{
		{
			{Name: "../../etc/.wh.passwd"}, {Name: "a/.wh..wh..opq"}, {Name: "usr/bin/python3", Typeflag: tar.TypeSymlink, Linkname: "../bin/python3"},
			{Name: "b", Typeflag: tar.TypeLink, Linkname: "usr/bin/python3"}, {Name: "", Typeflag: tar.TypeDir}, {Name: ".wh."},
		},
		{{Name: "opt/venv/.wh.."}, {Name: "opt/venv/.wh..."}, {Name: "opt/.wh.venv"}, {Name: "opt/venv/x"}, {Name: "opt/venv/.wh..wh..opq"}},
		{{Name: "l0", Typeflag: tar.TypeSymlink, Linkname: "l1"}, {Name: "l1", Typeflag: tar.TypeSymlink, Linkname: "/l0"}, {Name: "l2", Typeflag: tar.TypeSymlink, Linkname: "."}, {Name: "l2/l2/x"}},
		{{Name: strings.Repeat("d/", 500) + "f"}, {Name: "\x1b[2J\n::error::x"}, {Name: "f"}, {Name: "f/below"}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}},
		{{Name: "usr/lib/libpython3.11.so.1.0", Typeflag: tar.TypeSymlink, Linkname: "\u202e"}, {Name: "var/lib/dpkg/status", Typeflag: tar.TypeFifo}, {Name: "lib", Typeflag: tar.TypeBlock}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
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
