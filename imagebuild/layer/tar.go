package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/klauspost/compress/flate"
)

// A sink consumes a tar stream. Deflated files are passed as DEFLATE streams, everything else as
// plain bytes.
type sink interface {
	plain(p []byte) error
	splice(e *Entry, raw io.Reader) error
	close() error
}

// marker is a sink that is notified where files passed as plain bytes begin and end.
type marker interface {
	begin(*Entry)
	end(*Entry)
}

var zeros [1024]byte

// writeTar writes the layer's tar stream (POSIX.1-2001, pax) to s. It always closes s, even after
// an error, because a sink may have running goroutines.
func writeTar(ctx context.Context, entries []Entry, s sink) error {
	if err := writeEntries(ctx, entries, s); err != nil {
		s.close()
		return err
	}
	return s.close()
}

func writeEntries(ctx context.Context, entries []Entry, s sink) error {
	var head bytes.Buffer
	buf := make([]byte, 64<<10)
	for i := range entries {
		e := &entries[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		head.Reset()
		if err := writeHeader(&head, e); err != nil {
			return e.fail(err)
		}
		if err := s.plain(head.Bytes()); err != nil {
			return err
		}
		if e.Kind != File || e.Content.Size == 0 {
			continue
		}
		if err := writeContent(ctx, e, s, buf); err != nil {
			return err
		}
		if n := e.Content.Size % 512; n > 0 {
			if err := s.plain(zeros[:512-n]); err != nil {
				return err
			}
		}
	}
	return s.plain(zeros[:])
}

func writeHeader(w io.Writer, e *Entry) error {
	h := tar.Header{Typeflag: tar.TypeReg, Name: e.Path, ModTime: Epoch, Mode: int64(e.mode().Perm())}
	switch e.Kind {
	case File:
		h.Size = e.Content.Size
	case Dir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
		if e.Mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
	case Symlink:
		h.Typeflag = tar.TypeSymlink
		h.Linkname = e.Link
	}
	return tar.NewWriter(w).WriteHeader(&h)
}

func writeContent(ctx context.Context, e *Entry, s sink, buf []byte) error {
	r, err := e.Content.Open()
	if err != nil {
		return e.fail(err)
	}
	defer r.Close()
	if e.Content.Deflated {
		err := s.splice(e, &interruptible{ctx, r})
		if ctx.Err() != nil {
			return ctx.Err() // not an error of the content
		}
		return err
	}
	m, _ := s.(marker)
	if m != nil {
		m.begin(e)
	}
	crc, left := uint32(0), e.Content.Size
	for left > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return e.fail(fmt.Errorf("it is shorter than %d bytes: %w", e.Content.Size, err))
		}
		if e.Content.HasCRC {
			crc = crc32.Update(crc, crc32.IEEETable, buf[:n])
		}
		if err := s.plain(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	if m != nil {
		m.end(e)
	}
	if n, err := r.Read(buf[:1]); n > 0 || err != io.EOF && err != nil {
		return e.fail(errors.Join(fmt.Errorf("it is longer than %d bytes", e.Content.Size), err))
	}
	if e.Content.HasCRC && crc != e.Content.CRC {
		return e.fail(errCRC)
	}
	return nil
}

var errCRC = errors.New("its CRC-32 does not match")

// interruptible stops reading when its context is done, as a file may have many gigabytes.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

func (e *Entry) fail(err error) error {
	return &ContentError{Path: e.Path, Source: e.Source, Err: err}
}

// inflater inflates one file after another.
type inflater struct {
	z   io.ReadCloser
	one [1]byte
}

// inflate reads the file of e from its DEFLATE stream into the buffers that space returns, and
// calls take with the number of bytes. It checks the size, the checksum, and that nothing follows
// the stream: readers would take extra bytes for the end of the gzip member.
func (f *inflater) inflate(e *Entry, raw byteReader, space func() []byte, take func(int) error) error {
	if f.z == nil {
		f.z = flate.NewReader(raw)
	} else if err := f.z.(flate.Resetter).Reset(raw, nil); err != nil {
		return err
	}
	crc, left := uint32(0), e.Content.Size
	for left > 0 {
		room := space()
		n, err := f.z.Read(room[:min(left, int64(len(room)))])
		crc = crc32.Update(crc, crc32.IEEETable, room[:n])
		left -= int64(n)
		if err := take(n); err != nil {
			return err
		}
		if err == io.EOF && left > 0 {
			return e.fail(fmt.Errorf("it is shorter than %d bytes", e.Content.Size))
		}
		if err != nil && err != io.EOF {
			return e.fail(fmt.Errorf("inflating: %w", err))
		}
	}
	if n, err := f.z.Read(f.one[:]); n > 0 {
		return e.fail(fmt.Errorf("it is longer than %d bytes", e.Content.Size))
	} else if err != io.EOF {
		return e.fail(fmt.Errorf("inflating: %w", err))
	}
	if crc != e.Content.CRC {
		return e.fail(errCRC)
	}
	if _, err := raw.ReadByte(); err != io.EOF {
		return e.fail(errors.New("there is data after the end of its DEFLATE stream"))
	}
	return nil
}

type byteReader interface {
	io.Reader
	io.ByteReader
}
