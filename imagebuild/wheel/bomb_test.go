package wheel

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"mlenv/imagebuild/layer"
)

// rawZip writes an archive whose directory says whatever it is told to.
func rawZip(t *testing.T, packed []byte, headers ...zip.FileHeader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range recorded(demo()) {
		w, err := z.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(f.body))
	}
	for _, h := range headers {
		w, err := z.CreateRaw(&h)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(packed)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pack(b []byte) []byte {
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func TestBombs(t *testing.T) {
	packed := pack(make([]byte, 10<<20))
	header := func(name string, packed, size uint64, method uint16) zip.FileHeader {
		return zip.FileHeader{Name: name, Method: method, CompressedSize64: packed, UncompressedSize64: size}
	}
	n := uint64(len(packed))
	overlap := rawZip(t, packed, header("a", n, 10<<20, 8), header("b", n, 10<<20, 8))
	// The directory's entry of b is made to point at a.
	dir := bytes.LastIndex(overlap, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(overlap[dir+42:], uint32(bytes.Index(overlap, append([]byte{0}, 'a'))-29))
	for want, data := range map[string][]byte{
		"cannot come out":     rawZip(t, packed, header("a", n, n*2000, 8)),
		"is not possible":     rawZip(t, packed, header("a", n, 1<<50, 8)),
		"two sizes differ":    rawZip(t, packed, header("a", n, n+1, 0)),
		"compression method":  rawZip(t, packed, header("a", n, n, 12)),
		"a zip bomb":          rawZip(t, bytes.Repeat(packed, 120), header("a", 120*n, 1200<<20, 8)),
		"shared with another": overlap,
		"beyond the end":      rawZip(t, packed, header("a", n<<20, n<<20, 8)),
		"reading the zip":     []byte("not a zip"),
		"its size or CRC-32":  rawZip(t, packed, header("a", n, 10<<20, 8)),
	} {
		name := filepath.Join(t.TempDir(), "demo_pkg-1.0-py3-none-any.whl")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestLyingSizes measures a file whose size in the directory and RECORD is not that of its bytes.
func TestLyingSizes(t *testing.T) {
	for claim, want := range map[int]string{999: "longer than 999", 1001: "shorter than 1001"} {
		body := bytes.Repeat([]byte("x"), claim)
		packed := pack(bytes.Repeat([]byte("x"), 1000))
		files := recorded(demo(zipped{name: "a", body: string(body)}))
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, f := range files {
			h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
			data := pack([]byte(f.body))
			if f.name == "a" {
				data = packed
			}
			h.CompressedSize64, h.UncompressedSize64, h.CRC32 = uint64(len(data)), uint64(len(f.body)), crc32.ChecksumIEEE([]byte(f.body))
			w, err := z.CreateRaw(h)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(data)
		}
		z.Close()
		w, err := read(bytes.NewReader(b.Bytes()), int64(b.Len()), "x.whl")
		if err != nil {
			t.Fatal(err)
		}
		l, err := w.Layer(scheme, Options{}, layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Digest(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
