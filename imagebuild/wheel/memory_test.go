package wheel

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"mlenv/imagebuild/layer"
)

// holes writes zeros as holes.
type holes struct{ f *os.File }

func (h holes) Write(p []byte) (int, error) {
	if len(bytes.Trim(p, "\x00")) > 0 {
		return h.f.Write(p)
	}
	_, err := h.f.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}

// sparse writes a wheel with a stored file of that many zeros, which takes no room on the disk, and a deflated one.
func sparse(t *testing.T, stored, deflated int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "demo_pkg-1.0-py3-none-any.whl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(holes{f}, 1<<20)
	z := zip.NewWriter(out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 1) })
	zero := make([]byte, 1<<20)
	noise := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), 1<<20/37+1)[:1<<20]
	for i := range noise {
		noise[i] ^= byte(i * i >> 9) // so that it shrinks a little only
	}
	rows := []row{{path: demoInfo + "RECORD"}}
	put := func(name string, method uint16, block []byte, size int64) {
		sum, crc := sha256.New(), crc32.NewIEEE()
		h := &zip.FileHeader{Name: name, Method: method}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		for left := size; left > 0; left -= int64(len(block)) {
			io.MultiWriter(w, sum, crc).Write(block[:min(left, int64(len(block)))])
		}
		rows = append(rows, row{name, "sha256=" + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)), strconv.FormatInt(size, 10)})
	}
	put("demo_pkg/stored.bin", zip.Store, zero, stored)
	put("demo_pkg/deflated.bin", zip.Deflate, noise, deflated)
	for _, f := range demo() {
		put(f.name, zip.Deflate, []byte(f.body), int64(len(f.body)))
	}
	put(demoInfo+"RECORD", zip.Deflate, formatRecord(rows), int64(len(formatRecord(rows))))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMemory measures and reads the layers of a wheel beyond the 4 GiB of old zips and of a model file, and looks
// at the most memory that the process ever had. It takes minutes: set MLENV_BIG=1.
func TestMemory(t *testing.T) {
	stored, model := int64(4<<30+12345), int64(10<<30)
	if os.Getenv("MLENV_BIG") == "" {
		stored, model = 32<<20, 32<<20
	}
	w, err := Open(sparse(t, stored, stored/8))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l, err := w.Layer(scheme, Options{}, layer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	passes(t, l, stored+stored/8)
	weights := filepath.Join(t.TempDir(), "weights.bin")
	if err := os.WriteFile(weights, []byte("weights"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(weights, model); err != nil {
		t.Fatal(err)
	}
	c, err := layer.FromFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	if l, err = layer.New([]layer.Entry{{Path: "opt/ml/model/weights.bin", Content: c}}, layer.Options{}); err != nil {
		t.Fatal(err)
	}
	passes(t, l, model)
	peak, err := peakRSS()
	if err != nil {
		t.Skip(err)
	}
	t.Logf("at most %d MB resident", peak>>20)
	if limit := int64(150 << 20); peak > limit && !raceEnabled {
		t.Errorf("more than %d MB", limit>>20)
	}
}

func passes(t *testing.T, l *layer.Layer, atLeast int64) {
	t.Helper()
	sum, err := l.Measure(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != sum.Size || sum.Unpacked < atLeast {
		t.Errorf("%d bytes, %+v: %v", n, sum, err)
	}
}

// peakRSS returns the high-water mark of the process's memory, in bytes.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("no VmHWM")
}
