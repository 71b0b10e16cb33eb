package layer

import (
	"bufio"
	"fmt"
	"io"
)

// spliced is the sink that writes a series of gzip members.
type spliced struct {
	out        *bufio.Writer // of the blob
	tar        *hasher       // of the tar stream; nil if it is not measured, and so need not be inflated
	onProgress func(int64)
	chunks     *chunks
	buf        []byte // bytes of the tar stream that are not in a member yet
	raw        *bufio.Reader
	inflater
	copybuf []byte
}

func newSpliced(out io.Writer, tar *hasher, onProgress func(int64)) *spliced {
	s := &spliced{out: bufio.NewWriterSize(out, 128<<10), tar: tar, onProgress: onProgress}
	s.chunks = newChunks(s.out)
	s.buf = s.chunks.buffer()
	if tar != nil {
		s.raw = bufio.NewReaderSize(nil, 64<<10)
	} else {
		s.copybuf = make([]byte, 64<<10)
	}
	return s
}

func (s *spliced) begin(e *Entry) {
	if s.tar != nil {
		s.tar.begin(e)
	}
}

func (s *spliced) end(e *Entry) {
	if s.tar != nil {
		s.tar.end(e)
	}
}

func (s *spliced) report(n int) {
	if s.onProgress != nil {
		s.onProgress(int64(n))
	}
}

func (s *spliced) plain(p []byte) error {
	if s.tar != nil {
		s.tar.Write(p)
		s.report(len(p))
	}
	for len(p) > 0 {
		if len(s.buf) == chunkSize {
			if err := s.flush(); err != nil {
				return err
			}
		}
		n := min(len(p), chunkSize-len(s.buf))
		s.buf = append(s.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

func (s *spliced) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	b := s.buf
	s.buf = s.chunks.buffer()
	return s.chunks.add(b)
}

// splice writes a member that wraps the DEFLATE stream of a file.
func (s *spliced) splice(e *Entry, raw io.Reader) error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.chunks.drain(); err != nil {
		return err
	}
	if _, err := s.out.Write(gzipHeader); err != nil {
		return err
	}
	if err := s.copy(e, raw); err != nil {
		return err
	}
	_, err := s.out.Write(gzipTrailer(s.out.AvailableBuffer(), e.Content.CRC, e.Content.Size))
	return err
}

func (s *spliced) copy(e *Entry, raw io.Reader) error {
	if s.tar == nil {
		n, err := io.CopyBuffer(onlyWriter{s.out}, onlyReader{raw}, s.copybuf)
		if err == nil && n != e.Content.Packed {
			err = e.fail(fmt.Errorf("there are %d packed bytes instead of %d", n, e.Content.Packed))
		}
		return err
	}
	t := &tee{r: raw, w: s.out}
	s.raw.Reset(t)
	s.tar.begin(e)
	err := s.inflate(e, s.raw, s.tar.space, func(n int) error {
		s.tar.take(n)
		s.report(n)
		return nil
	})
	if err != nil {
		return err
	}
	s.tar.end(e)
	if t.n != e.Content.Packed {
		return e.fail(fmt.Errorf("there are %d packed bytes instead of %d", t.n, e.Content.Packed))
	}
	return nil
}

func (s *spliced) close() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.chunks.drain(); err != nil {
		return err
	}
	return s.out.Flush()
}

// tee copies what is read to a writer, and counts it. An error of the writer is returned by Read.
type tee struct {
	r io.Reader
	w io.Writer
	n int64
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if n > 0 {
		if _, err := t.w.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}

// These hide ReadFrom and WriteTo, with which io.CopyBuffer would bypass its buffer.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
