package sink

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// tarEntry is one file of a tarball.
type tarEntry struct {
	name string
	blob blob
}

// tarball is a tarball to be written.
type tarball struct {
	entries []tarEntry
	format  tar.Format
	modTime time.Time
}

// header gives the bytes in front of an entry's content.
func (t *tarball) header(e tarEntry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: e.name, Mode: 0o644, Typeflag: tar.TypeReg, Size: e.blob.size, ModTime: t.modTime, Format: t.format})
	return b.Bytes(), err
}

const (
	tarBlock = 512
	tarEnd   = 2 * tarBlock
)

// size is the size of the tarball in bytes.
func (t *tarball) size() (n int64, err error) {
	for _, e := range t.entries {
		head, err := t.header(e)
		if err != nil {
			return 0, err
		}
		n += int64(len(head)) + padded(e.blob.size)
	}
	return n + tarEnd, nil
}

func padded(n int64) int64 { return (n + tarBlock - 1) / tarBlock * tarBlock }

// writers is how many blobs are made and written at once, where that is possible. Each takes a few
// megabytes of memory.
func writers() int { return min(runtime.GOMAXPROCS(0), 8) }

// write writes the tarball, and gives the number of bytes. Since the sizes are known, so are the places
// in the file: into a regular file several entries are written at once. The bytes are the same.
func (t *tarball) write(ctx context.Context, w io.Writer, a Artifact) (int64, error) {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return t.writeAt(ctx, f, a)
		}
	}
	counted := &cancelWriter{ctx, &meterWriter{w, a}, 0}
	for _, e := range t.entries {
		head, err := t.header(e)
		if err != nil {
			return counted.n, err
		}
		if err := e.write(ctx, counted, head); err != nil {
			return counted.n, err
		}
	}
	_, err := counted.Write(make([]byte, tarEnd))
	return counted.n, err
}

// write writes one entry, with what fills up its last block.
func (e tarEntry) write(ctx context.Context, w io.Writer, head []byte) error {
	if _, err := w.Write(head); err != nil {
		return err
	}
	if err := copyBlob(ctx, w, e.blob); err != nil {
		return fmt.Errorf("writing blob %s: %w", e.blob.digest, err)
	}
	_, err := w.Write(make([]byte, padded(e.blob.size)-e.blob.size))
	return err
}

func (t *tarball) writeAt(ctx context.Context, f *os.File, a Artifact) (int64, error) {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(writers())
	at := int64(0)
	for _, e := range t.entries {
		head, err := t.header(e)
		if err != nil {
			return 0, err
		}
		place := &cancelWriter{within, &meterWriter{io.NewOffsetWriter(f, at), a}, 0}
		at += int64(len(head)) + padded(e.blob.size)
		group.Go(func() error { return e.write(within, place, head) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	_, err := (&meterWriter{io.NewOffsetWriter(f, at), a}).Write(make([]byte, tarEnd))
	return at + tarEnd, err
}
