package base

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// tarOf makes a layer of headers; a file's content is zeros.
func tarOf(t *testing.T, headers ...tar.Header) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
}

// zeros are as many as are read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// What no engine would unpack, and what is made to fill the memory, is refused in so many words.
func TestHostileLayers(t *testing.T) {
	deep := strings.Repeat("d/", 20_000) + "f"
	for _, tt := range []struct {
		name   string
		layers [][]tar.Header
		want   string // part of the error; "": none
	}{
		{"a path of 20,000 parts", [][]tar.Header{{{Name: deep}}}, "a path of 40001 bytes"},
		{"a link of 600 kB", [][]tar.Header{{{Name: "a", Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("x", 600_000)}}}, "a path of 600000 bytes"},
		{"a name of 600 kB", [][]tar.Header{{{Name: strings.Repeat("x", 600_000)}}}, "a path of 600000 bytes"},
		{"a whiteout of nothing", [][]tar.Header{{{Name: "opt/venv/x"}}, {{Name: "opt/venv/.wh."}}}, "the whiteout /opt/venv/.wh."},
		{"a whiteout of its own directory", [][]tar.Header{{{Name: "opt/venv/x"}}, {{Name: "opt/venv/.wh.."}}}, "the whiteout /opt/venv/.wh.."},
		{"a whiteout of the directory above", [][]tar.Header{{{Name: "opt/venv/x"}}, {{Name: "opt/venv/.wh..."}}}, "the whiteout /opt/venv/.wh..."},
		{"what AUFS keeps", [][]tar.Header{{{Name: ".wh..wh.plnk", Typeflag: tar.TypeDir}, {Name: ".wh..wh.aufs"}}}, ""},
		{"a database with a long line", [][]tar.Header{{{Name: "var/lib/dpkg/status", Size: 100 << 20}}}, ""},
		{"a database without end", [][]tar.Header{{{Name: "var/lib/dpkg/status", Size: 300 << 20}}}, "package database has more than 256 MB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layers []v1.Layer
			for _, headers := range tt.layers {
				layers = append(layers, tarOf(t, headers...))
			}
			_, err := readTree(layers)
			var refused *Error
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
		})
	}
}

// A whiteout hides what lower layers have, and nothing of its own layer: whether our paths are empty is
// told by what may be there.
func TestWhiteoutsOfOneLayer(t *testing.T) {
	dir := tar.Header{Name: "opt/venv", Typeflag: tar.TypeDir}
	for _, tt := range []struct {
		name   string
		layers [][]tar.Header
		there  bool
	}{
		{"below", [][]tar.Header{{dir, {Name: "opt/venv/x"}}, {{Name: "opt/venv/.wh.x"}}}, false},
		{"the directory", [][]tar.Header{{dir, {Name: "opt/venv/x"}}, {{Name: "opt/.wh.venv"}}}, false},
		{"the same layer", [][]tar.Header{{dir, {Name: "opt/venv/x"}, {Name: "opt/venv/.wh.x"}}}, true},
		{"the same layer, its directory", [][]tar.Header{{{Name: "opt/venv/x"}, {Name: "opt/.wh.venv"}}}, true},
		{"opaque below", [][]tar.Header{{dir, {Name: "opt/venv/x"}}, {{Name: "opt/venv/.wh..wh..opq"}}}, false},
		{"opaque, the same layer", [][]tar.Header{{{Name: "opt/venv/x"}, {Name: "opt/venv/.wh..wh..opq"}}}, true},
		{"opaque, the directory above", [][]tar.Header{{{Name: "opt/venv/x"}, {Name: "opt/.wh..wh..opq"}}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layers []v1.Layer
			for _, headers := range tt.layers {
				layers = append(layers, tarOf(t, headers...))
			}
			tree, err := readTree(layers)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(tree.under("/opt/venv")) > 0; got != tt.there {
				t.Errorf("there is something: %v", got)
			}
		})
	}
}

// A database may say what it likes of its packages' names; no more is kept than names and versions.
func TestHostileDatabase(t *testing.T) {
	long := strings.Repeat("x", maxField+1)
	got, err := databaseFacts(strings.NewReader("Package: a\nVersion: 1\nDescription: "+strings.Repeat("y", 200_000)+"\n\nPackage: "+long+"\nVersion: 2\n\nPackage: c\nVersion: "+long+"\n"), dpkgKeys)
	if err != nil || fmt.Sprint(got.packages) != "map[a:1 c:]" {
		t.Errorf("%v %v", got.packages, err)
	}
	var b strings.Builder
	for i := range maxPackages + 2 {
		fmt.Fprintf(&b, "P:p%d\nV:1\n\n", i)
	}
	if _, err := databaseFacts(strings.NewReader(b.String()), apkKeys); err == nil || !strings.Contains(err.Error(), "packages") {
		t.Errorf("the error is %v", err)
	}
}

// BenchmarkScale prints how many times longer a base of twice as many files takes.
func BenchmarkScale(b *testing.B) {
	for name, header := range map[string]func(i int) tar.Header{
		"flat":   func(i int) tar.Header { return tar.Header{Name: fmt.Sprintf("f%d", i)} },
		"deep":   func(i int) tar.Header { return tar.Header{Name: strings.Repeat("d/", 1000) + fmt.Sprint(i)} },
		"opaque": func(i int) tar.Header { return tar.Header{Name: fmt.Sprintf("d%d/.wh..wh..opq", i)} },
	} {
		b.Run(name, func(b *testing.B) {
			made := map[int]v1.Layer{}
			for _, n := range []int{10_000, 20_000} {
				var buf bytes.Buffer
				w := tar.NewWriter(&buf)
				for i := range n {
					h := header(i)
					h.Typeflag = tar.TypeReg
					if err := w.WriteHeader(&h); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
				made[n] = static.NewLayer(buf.Bytes(), types.OCIUncompressedLayer)
			}
			var took [2]time.Duration
			for b.Loop() {
				for i, n := range []int{10_000, 20_000} {
					start := time.Now()
					if _, err := readTree([]v1.Layer{made[n]}); err != nil {
						b.Fatal(err)
					}
					took[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
		})
	}
}
