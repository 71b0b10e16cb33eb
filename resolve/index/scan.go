package index

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	scanBuffer = 64 << 10
	// maxString bounds one string or number of a page, and one file of its list.
	maxString = 1 << 20
	// maxDepth bounds the nesting of what is passed over.
	maxDepth = 10000
)

// scanner reads JSON from a stream, a token at a time, without building what nobody asked for: a
// page of a large project is megabytes, of which a few fields count. What it takes for granted is
// that what is passed over need not be valid to the letter.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int
	off      int64  // of buf[0] in the stream
	mark     int    // what lies from here on is kept; -1: nothing
	fills    int    // how often buf was filled
	scratch  []byte // strings without their escapes
	readErr  error
}

func newScanner(r io.Reader, buf []byte) *scanner {
	if buf == nil {
		buf = make([]byte, scanBuffer)
	}
	return &scanner{r: r, buf: buf, mark: -1}
}

// whole has a value taken so that the strings in it are all good until the next value: where the buffer
// was filled meanwhile, it is taken once more, now that it lies in the buffer as a whole.
func (s *scanner) whole(take func() error) error {
	s.mark, s.scratch = s.pos, s.scratch[:0]
	fills := s.fills
	err := take()
	if err == nil && s.fills != fills {
		s.pos, s.scratch = s.mark, s.scratch[:0]
		err = take()
	}
	s.mark = -1
	return err
}

func (s *scanner) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", s.off+int64(s.pos), fmt.Sprintf(format, args...))
}

// fill reads more, keeping what lies from keep on, and gives how far that has moved down.
func (s *scanner) fill(keep int) (moved int, err error) {
	if s.readErr != nil {
		return 0, s.readErr
	}
	s.fills++
	if s.mark >= 0 {
		keep = min(keep, s.mark)
		s.mark -= keep
	}
	if keep > 0 {
		copy(s.buf, s.buf[keep:s.end])
		s.pos, s.end, s.off = s.pos-keep, s.end-keep, s.off+int64(keep)
	}
	if s.end == len(s.buf) {
		if len(s.buf) >= maxString {
			return 0, s.errorf("a string or file of more than %d bytes", maxString)
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	n, err := s.r.Read(s.buf[s.end:])
	s.end += n
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		s.readErr = err
	}
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return keep, err
	}
	return keep, nil
}

// peek gives the next byte that is no white space, without taking it.
func (s *scanner) peek() (byte, error) {
	for {
		for s.pos < s.end {
			if c := s.buf[s.pos]; c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
				return c, nil
			}
			s.pos++
		}
		if _, err := s.fill(s.pos); err != nil {
			return 0, err
		}
	}
}

// expect takes one byte of punctuation.
func (s *scanner) expect(want byte) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != want {
		return s.errorf("%q where %q should be", c, want)
	}
	s.pos++
	return nil
}

// more reports whether another element follows in an object or array, and takes the comma before
// it or the closing bracket.
func (s *scanner) more(first bool, closing byte) (bool, error) {
	c, err := s.peek()
	switch {
	case err != nil:
		return false, err
	case c == closing:
		s.pos++
		return false, nil
	case first:
		return true, nil
	}
	return true, s.expect(',')
}

// object calls f for each key, which is good until f takes the value, as it has to.
func (s *scanner) object(f func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		ok, err := s.more(first, '}')
		if err != nil || !ok {
			return err
		}
		key, err := s.string()
		if err != nil {
			return err
		}
		if s.pos < s.end && s.buf[s.pos] == ':' {
			s.pos++ // the key stays where it is
		} else {
			key = bytes.Clone(key)
			if err := s.expect(':'); err != nil {
				return err
			}
		}
		if err := f(key); err != nil {
			return err
		}
	}
}

// array calls f for each element; f takes it.
func (s *scanner) array(f func() error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		ok, err := s.more(first, ']')
		if err != nil || !ok {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// string takes a string. The bytes are good until the next call, or see whole.
func (s *scanner) string() ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	from, escaped := s.pos, false
	for {
		for s.pos < s.end {
			rest := s.buf[s.pos:s.end]
			i := bytes.IndexByte(rest, '"')
			if i >= 0 {
				rest = rest[:i]
			}
			j := bytes.IndexByte(rest, '\\')
			if j < 0 && i >= 0 {
				text := s.buf[from : s.pos+i]
				s.pos += i + 1
				if escaped {
					return s.unescape(text)
				}
				return text, nil
			}
			if j < 0 {
				s.pos = s.end
				break
			}
			// Past the backslash and what it escapes, a quote perhaps; but not past what there is.
			escaped = true
			if s.pos+j+1 >= s.end {
				s.pos += j
				break
			}
			s.pos += j + 2
		}
		moved, err := s.fill(from)
		if err != nil {
			return nil, err
		}
		from -= moved
	}
}

// unescape undoes the escapes of a string.
func (s *scanner) unescape(text []byte) ([]byte, error) {
	if s.mark < 0 {
		s.scratch = s.scratch[:0]
	}
	out := s.scratch
	from := len(out)
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		i++
		if i == len(text) {
			return nil, s.errorf("an escape that does not end")
		}
		switch c := text[i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := hexRune(text[i+1:])
			if n == 0 {
				return nil, s.errorf("an escape of no character")
			}
			i += n
			out = utf8.AppendRune(out, r)
		default:
			return nil, s.errorf("the unknown escape \\%c", c)
		}
	}
	s.scratch = out
	return out[from:], nil
}

// hexRune reads what follows \u, and a second \u if the two are a surrogate pair. n is how many
// bytes that were, 0 if it is wrong.
func hexRune(b []byte) (r rune, n int) {
	unit := func(b []byte) (rune, bool) {
		if len(b) < 4 {
			return 0, false
		}
		v, err := strconv.ParseUint(string(b[:4]), 16, 16)
		return rune(v), err == nil
	}
	r, ok := unit(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(b) >= 10 && b[4] == '\\' && b[5] == 'u' {
		if low, ok := unit(b[6:]); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				return full, 10
			}
		}
	}
	return utf8.RuneError, 4
}

// word takes a number, true, false or null.
func (s *scanner) word() ([]byte, error) {
	if _, err := s.peek(); err != nil {
		return nil, err
	}
	from := s.pos
	for {
		for s.pos < s.end {
			switch s.buf[s.pos] {
			case ',', '}', ']', ':', ' ', '\n', '\r', '\t', '"', '{', '[':
				if s.pos == from {
					return nil, s.errorf("%q where a value should be", s.buf[s.pos])
				}
				return s.buf[from:s.pos], nil
			}
			s.pos++
		}
		moved, err := s.fill(from)
		if from -= moved; errors.Is(err, io.ErrUnexpectedEOF) && s.pos > from {
			return s.buf[from:s.pos], nil
		} else if err != nil {
			return nil, err
		}
	}
}

// skip passes over a value.
func (s *scanner) skip() error {
	depth := 0
	for {
		c, err := s.peek()
		if err != nil {
			return err
		}
		switch c {
		case '{', '[':
			s.pos++
			if depth++; depth > maxDepth {
				return s.errorf("nested too deeply")
			}
			continue
		case '}', ']':
			if depth == 0 {
				return s.errorf("%q where a value should be", c)
			}
			s.pos++
			depth--
		case ',', ':':
			if depth == 0 {
				return s.errorf("%q where a value should be", c)
			}
			s.pos++
			continue
		case '"':
			_, err = s.string()
		default:
			_, err = s.word()
		}
		if err != nil {
			return err
		}
		if depth == 0 {
			return nil
		}
	}
}

// finish takes white space up to the end of the stream.
func (s *scanner) finish() error {
	c, err := s.peek()
	if err == nil {
		return s.errorf("%q after the end of the page", c)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
