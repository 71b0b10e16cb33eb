package layer

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// chunkSize is how much of the tar stream goes into one gzip member compressed by mlenv.
	// Members are compressed in parallel. As their size is fixed, the result does not depend on the
	// number of cores.
	chunkSize = 512 << 10
	// level is the level of klauspost/compress for chunks.
	level = 5
	// sampleSize is the size of the samples, taken at three offsets of a chunk, that are compressed
	// to find out whether compression pays off.
	sampleSize = 4 << 10
)

// gzipHeader starts a member without a name or time, made on an unknown system (RFC 1952, section
// 2.3), so that the header is always the same.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

func gzipTrailer(dst []byte, crc uint32, size int64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return binary.LittleEndian.AppendUint32(dst, uint32(size)) // modulo 2^32, as the standard says
}

// chunks compresses pieces of the tar stream in parallel and writes them in order, each as one gzip
// member.
type chunks struct {
	out     io.Writer
	free    [][]byte
	pending []chan [2][]byte // for each chunk in order, its bytes and the member made of them
	workers int
	short   fixedHuffman
}

func newChunks(out io.Writer) *chunks {
	// More than eight do not help, because reading and hashing become the bottleneck. The limit
	// also saves memory on big machines.
	return &chunks{out: out, workers: min(runtime.GOMAXPROCS(0), 8)}
}

// buffer returns an empty buffer with capacity for a chunk.
func (c *chunks) buffer() []byte {
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, chunkSize+chunkSize/64) // incompressible data grows a little
}

// add compresses one chunk. It keeps the slice.
func (c *chunks) add(plain []byte) error {
	if len(plain) <= fixedHuffmanMax {
		return c.addShort(plain)
	}
	if len(c.pending) >= c.workers {
		if err := c.writeFirst(); err != nil {
			return err
		}
	}
	done := make(chan [2][]byte, 1)
	c.pending = append(c.pending, done)
	member := c.buffer()
	go func() { done <- [2][]byte{plain, compressChunk(member, plain)} }()
	return nil
}

func (c *chunks) addShort(plain []byte) error {
	if err := c.drain(); err != nil {
		return err
	}
	member := append(c.buffer(), gzipHeader...)
	member = c.short.deflate(member, plain)
	member = gzipTrailer(member, crc32.ChecksumIEEE(plain), int64(len(plain)))
	_, err := c.out.Write(member)
	c.free = append(c.free, plain, member)
	return err
}

func (c *chunks) writeFirst() error {
	r := <-c.pending[0]
	c.pending = c.pending[1:]
	_, err := c.out.Write(r[1])
	c.free = append(c.free, r[0], r[1])
	return err
}

// drain writes everything that was added.
func (c *chunks) drain() error {
	for len(c.pending) > 0 {
		if err := c.writeFirst(); err != nil {
			return err
		}
	}
	return nil
}

// compressChunk returns the gzip member for a chunk. Data that does not shrink by a tenth, such as
// weights of neural networks, images and archives, is stored: inflating it later would take time
// for nothing. This is decided for each chunk, because a file may contain both kinds.
func compressChunk(dst, plain []byte) []byte {
	dst = append(dst, gzipHeader...)
	if compressible(plain) {
		w := bytes.NewBuffer(dst)
		z := deflaters.Get().(*flate.Writer)
		z.Reset(w)
		z.Write(plain) // a bytes.Buffer does not fail
		z.Close()
		deflaters.Put(z)
		dst = w.Bytes()
	} else {
		dst = stored(dst, plain)
	}
	return gzipTrailer(dst, crc32.ChecksumIEEE(plain), int64(len(plain)))
}

var deflaters = sync.Pool{New: func() any { z, _ := flate.NewWriter(nil, level); return z }}

var samplers = sync.Pool{New: func() any { z, _ := flate.NewWriter(nil, flate.BestSpeed); return z }}

func compressible(plain []byte) bool {
	if len(plain) < 4*sampleSize {
		return true
	}
	var n counter
	z := samplers.Get().(*flate.Writer)
	z.Reset(&n)
	for i := range 3 {
		at := (len(plain) - sampleSize) * (2*i + 1) / 6
		z.Write(plain[at : at+sampleSize])
	}
	z.Close()
	samplers.Put(z)
	return int64(n) < 3*sampleSize*9/10
}

// counter counts what is written to it.
type counter int64

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}
