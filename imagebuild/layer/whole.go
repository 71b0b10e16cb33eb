package layer

import (
	"bufio"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// whole is the sink that puts the tar stream through one writer.
type whole struct {
	out  io.WriteCloser
	tar  *hasher // nil where nothing is measured
	told func(int64)
	raw  *bufio.Reader
	buf  []byte
	inflater
}

func newWhole(out io.WriteCloser, tar *hasher, told func(int64)) *whole {
	return &whole{out: out, tar: tar, told: told, raw: bufio.NewReaderSize(nil, 64<<10), buf: make([]byte, 64<<10)}
}

func (w *whole) begin(e *Entry) {
	if w.tar != nil {
		w.tar.begin(e)
	}
}

func (w *whole) end(e *Entry) {
	if w.tar != nil {
		w.tar.end(e)
	}
}

func (w *whole) plain(p []byte) error {
	if w.tar != nil {
		w.tar.Write(p)
		if w.told != nil {
			w.told(int64(len(p)))
		}
	}
	_, err := w.out.Write(p)
	return err
}

func (w *whole) splice(e *Entry, raw io.Reader) error {
	w.raw.Reset(raw)
	w.begin(e)
	err := w.inflate(e, w.raw, func() []byte { return w.buf }, func(n int) error { return w.plain(w.buf[:n]) })
	w.end(e)
	return err
}

func (w *whole) close() error { return w.out.Close() }

func newZstd(out io.Writer) (io.WriteCloser, error) {
	// One file of 2 MiB and one of 2 GiB must be fine for readers that limit their memory.
	return zstd.NewWriter(out, zstd.WithWindowSize(4<<20), zstd.WithEncoderConcurrency(min(runtime.GOMAXPROCS(0), 4)))
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
