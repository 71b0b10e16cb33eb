// Package zipdir reads the directory of a zip archive as a stream. archive/zip makes room for as many
// files as an archive claims, and keeps all that there are: megabytes of a hostile directory become
// gigabytes. Of a wheel a few files are wanted.
//
// Numbers are those of APPNOTE.TXT, section 4.3.
package zipdir

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	endSize     = 22 // of the end of central directory record, without its comment
	end64Size   = 56 // of the zip64 end of central directory record
	locatorSize = 20 // of what says where that is
	headerSize  = 46 // of an entry of the directory, without its name and more
	localSize   = 30 // of the header before a file's bytes

	// maxDirectory bounds the directory; that of 100,000 files is 10 MB.
	maxDirectory = 32 << 20
)

var errFormat = errors.New("it is no zip archive")

// A File is what the directory says of a file. None of it was checked.
type File struct {
	Name   string
	CRC    uint32
	Size   uint64 // of its content
	packed uint64
	offset uint64 // of the local header
	method uint16
}

// Files calls visit for every file of an archive of that many bytes, in the order of its directory, and
// ends at the first error.
func Files(r io.ReaderAt, size int64, visit func(File) error) error {
	from, length, base, err := directory(r, size)
	if err != nil {
		return err
	}
	dir := bufio.NewReaderSize(io.NewSectionReader(r, from, length), int(max(min(length, 64<<10), headerSize)))
	for {
		f, err := readFile(dir)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		f.offset += uint64(base)
		if err := visit(f); err != nil {
			return err
		}
	}
}

// directory finds the directory, and how far all offsets are from where they would be if nothing
// stood before the archive.
func directory(r io.ReaderAt, size int64) (from, length, base int64, err error) {
	tail, at, err := readEnd(r, size)
	if err != nil {
		return 0, 0, 0, err
	}
	le := binary.LittleEndian
	end := tail[at:]
	count, dirSize, dirAt := uint64(le.Uint16(end[10:])), uint64(le.Uint32(end[12:])), uint64(le.Uint32(end[16:]))
	dirEnd := size - int64(len(tail)) + int64(at)
	if count == 0xffff || dirSize == 0xffffffff || dirAt == 0xffffffff {
		var record [end64Size]byte
		switch at, err := zip64Record(r, dirEnd, record[:]); {
		case err != nil:
			return 0, 0, 0, err
		case at >= 0:
			dirSize, dirAt, dirEnd = le.Uint64(record[40:]), le.Uint64(record[48:]), at
		}
	}
	if dirSize > maxDirectory {
		return 0, 0, 0, fmt.Errorf("its directory has %d bytes, more than %d", dirSize, maxDirectory)
	}
	from = dirEnd - int64(dirSize)
	if from < 0 || dirAt > uint64(from) {
		return 0, 0, 0, errFormat
	}
	return from, int64(dirSize), from - int64(dirAt), nil
}

// readEnd reads the end of an archive that has the end of central directory record, and finds that in it.
func readEnd(r io.ReaderAt, size int64) (tail []byte, at int, err error) {
	for _, n := range []int64{endSize, 64 << 10} { // most archives have no comment
		tail = make([]byte, min(size, n))
		if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
			return nil, 0, err
		}
		if at := endRecord(tail); at >= 0 {
			return tail, at, nil
		}
	}
	return nil, 0, errFormat
}

// endRecord finds the end of central directory record in the end of an archive; negative if there is
// none. The last one counts whose comment fits.
func endRecord(tail []byte) int {
	for at := len(tail) - endSize; at >= 0; at-- {
		if at = bytes.LastIndex(tail[:at+4], []byte("PK\x05\x06")); at < 0 {
			return -1
		}
		if at+endSize+int(binary.LittleEndian.Uint16(tail[at+20:])) <= len(tail) {
			return at
		}
	}
	return -1
}

// zip64Record reads the zip64 end of central directory record before the position of the other end
// record, and says where it is; negative if there is none.
func zip64Record(r io.ReaderAt, end int64, record []byte) (int64, error) {
	var locator [locatorSize]byte
	if end < locatorSize+end64Size {
		return -1, nil
	}
	if _, err := r.ReadAt(locator[:], end-locatorSize); err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(locator[:], []byte("PK\x06\x07")) {
		return -1, nil
	}
	// It lies right before its locator, unless it is of a later kind; what the locator says of its place
	// is off by what stands before the archive.
	at := end - locatorSize - end64Size
	if _, err := r.ReadAt(record, at); err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(record, []byte("PK\x06\x06")) {
		return 0, errFormat
	}
	return at, nil
}

// readFile reads a file of the directory; io.EOF is its end.
func readFile(r *bufio.Reader) (e File, err error) {
	h, err := r.Peek(headerSize)
	if err != nil {
		if err == io.EOF && len(h) > 0 {
			err = errFormat
		}
		return e, err
	}
	if !bytes.HasPrefix(h, []byte("PK\x01\x02")) {
		return e, errFormat
	}
	le := binary.LittleEndian
	e.method, e.CRC = le.Uint16(h[10:]), le.Uint32(h[16:])
	e.packed, e.Size, e.offset = uint64(le.Uint32(h[20:])), uint64(le.Uint32(h[24:])), uint64(le.Uint32(h[42:]))
	name, extra, comment := int(le.Uint16(h[28:])), int(le.Uint16(h[30:])), int(le.Uint16(h[32:]))
	skip := headerSize + name + extra
	record, err := r.Peek(skip)
	if err == bufio.ErrBufferFull {
		record, skip = make([]byte, skip), 0 // 128 KB at most
		_, err = io.ReadFull(r, record)
	}
	if err != nil {
		return e, errFormat
	}
	e.Name = string(record[headerSize : headerSize+name])
	e.widen(record[headerSize+name:])
	if _, err := r.Discard(skip + comment); err != nil {
		return e, errFormat
	}
	return e, nil
}

// widen takes the numbers that need 64 bits from the extra fields.
func (e *File) widen(extra []byte) {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		field := extra[:n]
		extra = extra[n:]
		if id != 1 {
			continue
		}
		for _, v := range []*uint64{&e.Size, &e.packed, &e.offset} {
			if *v == 0xffffffff && len(field) >= 8 {
				*v, field = le.Uint64(field), field[8:]
			}
		}
		return
	}
}

// Open gives the content of a file of an archive of that many bytes. Its end is an error unless size
// and checksum fit.
func (e File) Open(r io.ReaderAt, size int64) (io.Reader, error) {
	if e.offset > uint64(size) || uint64(size)-e.offset < localSize {
		return nil, errFormat
	}
	var h [localSize]byte
	if _, err := r.ReadAt(h[:], int64(e.offset)); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(h[:], []byte("PK\x03\x04")) {
		return nil, errFormat
	}
	at := int64(e.offset) + localSize + int64(binary.LittleEndian.Uint16(h[26:])) + int64(binary.LittleEndian.Uint16(h[28:]))
	if at > size || e.packed > uint64(size-at) {
		return nil, errFormat
	}
	packed := io.NewSectionReader(r, at, int64(e.packed))
	switch e.method {
	case 0:
		return &summed{r: packed, e: e}, nil
	case 8:
		return &summed{r: flate.NewReader(packed), e: e}, nil
	}
	return nil, fmt.Errorf("%s is compressed by method %d", e.Name, e.method)
}

// summed compares what is read with what the directory says of it.
type summed struct {
	r   io.Reader
	e   File
	n   uint64
	crc uint32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += uint64(n)
	s.crc = crc32.Update(s.crc, crc32.IEEETable, p[:n])
	if s.n > s.e.Size || err == io.EOF && (s.n != s.e.Size || s.crc != s.e.CRC) {
		return n, fmt.Errorf("the size or checksum of %s does not fit", s.e.Name)
	}
	return n, err
}
