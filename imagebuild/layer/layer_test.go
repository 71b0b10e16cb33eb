package layer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// deflated returns the content of a file as a zip would hold it.
func deflated(b []byte) Content {
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	w.Write(b)
	w.Close()
	c := Bytes(b)
	c.Deflated, c.Packed, c.CRC = true, int64(z.Len()), crc32.ChecksumIEEE(b)
	c.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(z.Bytes())), nil }
	return c
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// sample has every kind of entry and of content, at the sizes where something changes.
func sample() map[string][]byte {
	text := bytes.Repeat([]byte("import this, and that. "), 100_000)
	files := map[string][]byte{
		"opt/x/empty": nil, "opt/x/one": []byte("1"), "opt/x/block": text[:512], "opt/x/block1": text[:513],
		"opt/x/tiny": text[:fixedHuffmanMax-512], "opt/x/tiny1": text[:fixedHuffmanMax-511], "opt/x/text": text,
		"opt/x/random": random(3*chunkSize + 17), "opt/x/chunk": text[:chunkSize], "opt/x/mixed": append(random(chunkSize), text...),
		"opt/x/" + strings.Repeat("long/", 60) + "name": []byte("pax"), "opt/x/ünïcode": []byte("utf-8"),
	}
	return files
}

// sampleEntries packs every second file as a zip does and leaves the others as they are.
func sampleEntries() []Entry { return slices.Clone(packedSample()) }

var packedSample = sync.OnceValue(func() []Entry {
	pack := func(b []byte) Content {
		if len(b)%2 == 0 {
			return deflated(b)
		}
		return Bytes(b)
	}
	var es []Entry
	for name, b := range sample() {
		es = append(es, Entry{Path: name, Content: pack(b)})
	}
	es = append(es,
		Entry{Path: "opt/x/link", Kind: Symlink, Link: "../y"},
		Entry{Path: "opt/x/run", Mode: 0o755, Content: pack([]byte("#!/bin/sh\n"))},
		Entry{Path: "opt/x/tmp", Kind: Dir, Mode: 0o777 | fs.ModeSticky})
	return WithParents(es, "opt/x")
})

func readTar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(Epoch) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s: time %v, owner %d:%d %q", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			got[h.Name] = b
		case tar.TypeSymlink:
			got[h.Name+" -> "+h.Linkname] = nil
		case tar.TypeDir:
			got[h.Name+" "+fs.FileMode(h.Mode).String()] = nil
		}
	}
}

func TestLayerIsWhatWentIn(t *testing.T) {
	for _, c := range []Compression{Splice, Gzip, Zstd} {
		l, err := New(sampleEntries(), Options{Compression: c})
		if err != nil {
			t.Fatal(err)
		}
		var tee bytes.Buffer
		sum, err := l.Measure(context.Background(), &tee)
		if err != nil {
			t.Fatal(err)
		}
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		blob, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(blob, tee.Bytes()) || int64(len(blob)) != sum.Size {
			t.Errorf("%d: the second pass gave %d bytes, the first %d, the sum says %d", c, len(blob), tee.Len(), sum.Size)
		}
		plain := unpack(t, c, blob)
		if h, _, _ := v1.SHA256(bytes.NewReader(plain)); h != sum.DiffID || int64(len(plain)) != sum.Unpacked {
			t.Errorf("%d: the tar stream is %s, %d bytes; the sum says %s, %d", c, h, len(plain), sum.DiffID, sum.Unpacked)
		}
		got := readTar(t, bytes.NewReader(plain))
		for name, want := range sample() {
			if b, ok := got[name]; !ok || !bytes.Equal(b, want) {
				t.Errorf("%d: %s has %d bytes, want %d", c, name, len(b), len(want))
			}
		}
		for _, name := range []string{"opt/x/ -rwxr-xr-x", "opt/x/link -> ../y", "opt/x/long/ -rwxr-xr-x"} {
			if _, ok := got[name]; !ok {
				t.Errorf("%d: no %s", c, name)
			}
		}
		if _, ok := got["opt/ -rwxr-xr-x"]; ok {
			t.Errorf("%d: there is a parent above the owned path", c)
		}
		u, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(u); err != nil || !bytes.Equal(b, plain) {
			t.Errorf("%d: Uncompressed differs: %v", c, err)
		}
	}
}

func unpack(t *testing.T, c Compression, blob []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	if c == Zstd {
		r, err = zstd.NewReader(bytes.NewReader(blob))
	} else {
		r, err = gzip.NewReader(bytes.NewReader(blob))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSameBytes holds the promise that the bytes depend on the entries alone. The digests are written down, so that
// a change of the format, or of a library that has a hand in it, is seen: then Format must be another.
func TestSameBytes(t *testing.T) {
	golden := map[Compression]string{
		Splice: "sha256:cad1b74ed30afff9d79917b6821e52de92a180d65c8ee0fdfbb184f17afbde22",
		Gzip:   "sha256:5ceb3bcfb826faacc2640471572fb12cec34e2b06aa9eda9bf5205c0d72ff527",
		Zstd:   "sha256:056aa3c9924da35a26314f20309642031cb4c7dc11021396dac660095cd77fc5",
	}
	diffIDs := map[string]bool{}
	for _, procs := range []int{1, 2, 7} {
		old := runtime.GOMAXPROCS(procs)
		defer runtime.GOMAXPROCS(old)
		for c, want := range golden {
			es := sampleEntries()
			rand.New(rand.NewPCG(1, uint64(procs))).Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
			l, err := New(es, Options{Compression: c})
			if err != nil {
				t.Fatal(err)
			}
			sum, err := l.Measure(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if sum.Digest.String() != want {
				t.Errorf("compression %d with %d cores: %s, want %s", c, procs, sum.Digest, want)
			}
			diffIDs[sum.DiffID.String()] = true
		}
	}
	if len(diffIDs) != 1 {
		t.Errorf("several tar streams: %v", diffIDs)
	}
}

func TestValidImage(t *testing.T) {
	l, err := New(sampleEntries(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := l.Measure(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	k := Known(sum, func() (v1.Layer, error) { return New(sampleEntries(), Options{}) })
	for _, l := range []v1.Layer{l, k} {
		img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{Layer: l})
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Error(err)
		}
	}
}

func TestKnownIsChecked(t *testing.T) {
	l, _ := New(sampleEntries(), Options{})
	sum, err := l.Measure(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	built := 0
	k := Known(sum, func() (v1.Layer, error) {
		built++
		return New(sampleEntries()[1:], Options{})
	})
	if d, _ := k.Digest(); d != sum.Digest || built != 0 {
		t.Errorf("digest %s, built %d times", d, built)
	}
	for _, open := range []func() (io.ReadCloser, error){k.Compressed, k.Uncompressed} {
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); !errors.Is(err, ErrChanged) {
			t.Errorf("other bytes went through: %v", err)
		}
	}
}

func TestFileChangesMeanwhile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "model.pkl")
	write := func(s string) {
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("weights")
	c, err := FromFile(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New([]Entry{{Path: "model.pkl", Content: c}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Digest(); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]string{"Weights": "not what was measured", "weight": "shorter", "weights!": "longer"} {
		write(s)
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func TestBadContent(t *testing.T) {
	text := bytes.Repeat([]byte("abc"), 1000)
	bad := func(change func(*Content)) Content {
		c := deflated(text)
		change(&c)
		return c
	}
	reopen := func(c *Content, f func([]byte) []byte) {
		r, _ := c.Open()
		b, _ := io.ReadAll(r)
		b = f(b)
		c.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	for want, c := range map[string]Content{
		"CRC-32":        bad(func(c *Content) { c.CRC++ }),
		"shorter":       bad(func(c *Content) { c.Size++ }),
		"longer":        bad(func(c *Content) { c.Size-- }),
		"sha256 ":       bad(func(c *Content) { c.Sum.Hex = strings.Repeat("0", 64) }),
		"after the end": bad(func(c *Content) { reopen(c, func(b []byte) []byte { return append(b, 0) }) }),
		"EOF":           bad(func(c *Content) { reopen(c, func(b []byte) []byte { return b[:len(b)-1] }) }),
		"corrupt":       bad(func(c *Content) { reopen(c, func(b []byte) []byte { return append([]byte{0xff}, b...) }) }),
		"packed":        bad(func(c *Content) { c.Packed++ }),
	} {
		for _, comp := range []Compression{Splice, Gzip, Zstd} {
			if want == "packed" && comp != Splice {
				continue // where nothing is spliced it does not matter
			}
			l, err := New([]Entry{{Path: "f", Source: "some.whl", Content: c}}, Options{Compression: comp})
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Digest()
			var ce *ContentError
			if !errors.As(err, &ce) || ce.Source != "some.whl" || ce.Path != "f" || !strings.Contains(err.Error(), want) {
				t.Errorf("%d: %v, want %q", comp, err, want)
			}
		}
	}
}

func TestBadEntries(t *testing.T) {
	f := func(p string) Entry { return Entry{Path: p} }
	for name, es := range map[string][]Entry{
		"absolute": {f("/a")}, "up": {f("../a")}, "dot": {f("./a")}, "root": {f(".")}, "empty": {f("")}, "slash": {f("a/")},
		"nul": {f("a\x00b")}, "whiteout": {f("a/.wh.b")}, "twice": {f("a"), f("a")}, "below a file": {f("a/b"), f("a")},
		"below a link": {{Path: "a", Kind: Symlink, Link: "b"}, f("a-b"), f("a/c/d")}, "setuid": {{Path: "a", Mode: 0o755 | fs.ModeSetuid}},
		"no target": {{Path: "a", Kind: Symlink}}, "no content": {{Path: "a", Content: Content{Size: 1}}},
		"md5": {{Path: "a", Content: Content{Sum: v1.Hash{Algorithm: "md5", Hex: "00"}}}},
	} {
		if _, err := New(es, Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	l, _ := New([]Entry{{Path: "f", Content: Content{Size: 1 << 40, Open: func() (io.ReadCloser, error) {
		cancel()
		return io.NopCloser(endless{}), nil
	}}}}, Options{})
	if _, err := l.Measure(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	r.Close() // must end the writer, or the test never ends
}

// TestCancelWhileInflating ends the context in the middle of a file that is packed: it is not read to its end.
func TestCancelWhileInflating(t *testing.T) {
	for _, c := range []Compression{Splice, Gzip, Zstd} {
		ctx, cancel := context.WithCancel(context.Background())
		after := 0
		l, _ := New([]Entry{{Path: "f", Content: Content{Size: 1 << 40, Deflated: true, Packed: 1 << 40, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(&storedBlocks{after: &after, stop: cancel}), nil
		}}}}, Options{Compression: c})
		_, err := l.Measure(ctx, nil)
		var ce *ContentError
		if !errors.Is(err, context.Canceled) || errors.As(err, &ce) || after > 0 {
			t.Errorf("%d: read %d times after the end: %v", c, after, err)
		}
	}
}

// storedBlocks is a long DEFLATE stream of stored blocks. It calls stop early, and does not go on much longer.
type storedBlocks struct {
	n     int
	after *int
	stop  func()
}

func (s *storedBlocks) Read(p []byte) (int, error) {
	block := append([]byte{0, 0xff, 0xff, 0, 0}, make([]byte, 65535)...)
	if s.n > 10*len(block) {
		if *s.after++; *s.after > 100 {
			return 0, errors.New("nobody heeds the context")
		}
	}
	n := copy(p, block[s.n%len(block):])
	if s.n += n; s.n > 10*len(block) && *s.after == 0 {
		s.stop()
	}
	return n, nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestProgressAddsUp(t *testing.T) {
	for _, c := range []Compression{Splice, Gzip} {
		var n int64
		l, _ := New(sampleEntries(), Options{Compression: c, Progress: func(k int64) { n += k }})
		sum, err := l.Measure(context.Background(), nil)
		if err != nil || n != sum.Unpacked {
			t.Errorf("%d: told %d of %d: %v", c, n, sum.Unpacked, err)
		}
	}
}

func TestSplit(t *testing.T) {
	es := sampleEntries()
	for _, limit := range []int64{1, 100_000, 2 << 20, 1 << 40} {
		var all []string
		for _, g := range Split(es, limit) {
			l, err := New(g, Options{})
			if err != nil {
				t.Fatal(err)
			}
			size, err := l.Size()
			if err != nil {
				t.Fatal(err)
			}
			if size > limit && len(g) > 1 {
				t.Errorf("limit %d: a layer of %d entries has %d bytes", limit, len(g), size)
			}
			for _, e := range g {
				all = append(all, e.Path)
			}
		}
		if len(all) != len(es) || !slices.IsSorted(all) {
			t.Errorf("limit %d: %d entries of %d, in order %v", limit, len(all), len(es), slices.IsSorted(all))
		}
	}
}

func TestIncompressibleIsStored(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		max  int
	}{{"random", random(4 << 20), 4<<20 + 4<<12}, {"zeros", make([]byte, 4<<20), 40_000}} {
		l, _ := New([]Entry{{Path: "f", Content: Bytes(c.data)}}, Options{})
		if n, err := l.Size(); err != nil || n > int64(c.max) {
			t.Errorf("%s: %d bytes, want at most %d: %v", c.name, n, c.max, err)
		}
	}
}

func FuzzFixedHuffman(f *testing.F) {
	f.Add([]byte(""))
	f.Add(zeros[:])
	f.Add(random(fixedHuffmanMax))
	f.Add(bytes.Repeat([]byte("abcabd"), 500))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), fixedHuffmanMax)]
		var short fixedHuffman
		first := short.deflate(nil, b)
		second := short.deflate(nil, b) // what is left of the first must not be seen
		got, err := io.ReadAll(flate.NewReader(bytes.NewReader(first)))
		if err != nil || !bytes.Equal(got, b) || !bytes.Equal(first, second) {
			t.Fatalf("%q: %v", b, err)
		}
		if s := stored(nil, b); len(s) != len(b)+5 {
			t.Fatalf("stored: %d bytes of %d", len(s), len(b))
		}
	})
}
