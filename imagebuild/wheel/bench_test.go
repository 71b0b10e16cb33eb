//go:build unix

package wheel

import (
	"archive/zip"
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"mlenv/imagebuild/layer"
)

// words makes text that shrinks to about a third, as code does.
func words(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = fmt.Appendf(b, "%x ", r.Uint32N(1<<20)*r.Uint32N(50))
		if r.IntN(3) == 0 {
			b = append(b, "self.assertEqual(value, "...)
		}
	}
	return b[:n]
}

// big writes a wheel of the given number of files, 13 KB each as in a large real environment, and returns its name
// and the bytes that it unpacks to.
func big(b *testing.B, files int) (string, int64) {
	b.Helper()
	name := filepath.Join(b.TempDir(), "demo_pkg-1.0-py3-none-any.whl")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	z := zip.NewWriter(out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) })
	rows := []row{{path: demoInfo + "RECORD"}}
	total := int64(0)
	put := func(name string, body []byte) {
		w, err := z.Create(name)
		if err != nil {
			b.Fatal(err)
		}
		w.Write(body)
		total += int64(len(body))
	}
	r := rand.New(rand.NewPCG(1, 2))
	pool := words(r, 8<<20)
	for i := range files {
		n := 1000 + r.IntN(24000)
		at := r.IntN(len(pool) - n)
		file := fmt.Sprintf("demo_pkg/part%d/sub%d/module_%d.py", i%50, i%7, i)
		put(file, pool[at:at+n])
		rows = append(rows, rowOf(file, pool[at:at+n]))
	}
	for _, f := range demo() {
		put(f.name, []byte(f.body))
		rows = append(rows, rowOf(f.name, []byte(f.body)))
	}
	put(demoInfo+"RECORD", formatRecord(rows))
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	return name, total
}

// cpuTime returns the processor seconds that the process has used, which other work on the machine disturbs less than
// the clock.
func cpuTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkLayer measures a layer of a wheel of about 200 MB, spliced and in the ways of others; MB/s are of the unpacked files.
// Run it with -benchtime 1x or 3x.
func BenchmarkLayer(b *testing.B) {
	name, total := big(b, 46_000)
	fi, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("a wheel of %d MB, %d MB unpacked", fi.Size()>>20, total>>20)
	open := func() *Wheel {
		w, err := Open(name)
		if err != nil {
			b.Fatal(err)
		}
		return w
	}
	measure := func(c layer.Compression) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(total)
			start := cpuTime()
			for b.Loop() {
				w := open()
				l, err := w.Layer(scheme, Options{}, layer.Options{Compression: c})
				if err != nil {
					b.Fatal(err)
				}
				s, err := l.Measure(context.Background(), nil)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(s.Size)/1e6, "MB/blob")
				w.Close()
			}
			b.ReportMetric((cpuTime()-start)/float64(b.N), "cpu-s/op")
		}
	}
	b.Run("spliced", measure(layer.Splice))
	b.Run("gzip-6", measure(layer.Gzip))
	b.Run("zstd", measure(layer.Zstd))
	again := func(compress func(io.Writer) io.WriteCloser) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(total)
			start := cpuTime()
			for b.Loop() {
				w := open()
				recompress(b, w, compress)
				w.Close()
			}
			b.ReportMetric((cpuTime()-start)/float64(b.N), "cpu-s/op")
		}
	}
	b.Run("klauspost-gzip-6", again(func(w io.Writer) io.WriteCloser { z, _ := gzip.NewWriterLevel(w, 6); return z }))
	b.Run("compress-gzip-6", again(func(w io.Writer) io.WriteCloser { z, _ := stdgzip.NewWriterLevel(w, 6); return z }))
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			w := open()
			if _, err := w.Layer(scheme, Options{}, layer.Options{}); err != nil {
				b.Fatal(err)
			}
			w.Close()
		}
	})
	b.Run("second-pass", func(b *testing.B) {
		w := open()
		defer w.Close()
		l, err := w.Layer(scheme, Options{}, layer.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(total)
		for b.Loop() {
			r, err := l.Compressed()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// recompress is what tools do that know nothing of wheels: one stream, compressed and hashed in its order.
func recompress(b *testing.B, w *Wheel, compress func(io.Writer) io.WriteCloser) {
	l, err := w.Layer(scheme, Options{}, layer.Options{})
	if err != nil {
		b.Fatal(err)
	}
	r, err := l.Uncompressed()
	if err != nil {
		b.Fatal(err)
	}
	diffID, digest := sha256.New(), sha256.New()
	z := compress(digest)
	if _, err := io.Copy(io.MultiWriter(diffID, z), r); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	if bytes.Equal(diffID.Sum(nil), digest.Sum(nil)) {
		b.Fatal("nothing was compressed")
	}
}
