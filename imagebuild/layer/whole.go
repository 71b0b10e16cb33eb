package layer

import (
	"bufio"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// whole is the sink that compresses the whole tar stream with one writer.
type whole struct {
	out        io.WriteCloser
	tar        *hasher // nil if the tar stream is not measured
	onProgress func(int64)
	raw        *bufio.Reader
	buf        []byte
	inflater
}

func newWhole(out io.WriteCloser, tar *hasher, onProgress func(int64)) *whole {
	return &whole{out: out, tar: tar, onProgress: onProgress, raw: bufio.NewReaderSize(nil, 64<<10), buf: make([]byte, 64<<10)}
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
		if w.onProgress != nil {
			w.onProgress(int64(len(p)))
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
	// The window is limited for the sake of readers that limit their memory, however large the
	// layer is.
	return zstd.NewWriter(out, zstd.WithWindowSize(4<<20), zstd.WithEncoderConcurrency(min(runtime.GOMAXPROCS(0), 4)))
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
