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
	// chunkSize is the most bytes of the tar stream that one gzip member of our own holds. Members are compressed beside
	// each other, and as their size is fixed, the bytes are the same for any number of cores.
	chunkSize = 512 << 10
	// level is klauspost/compress's level for chunks.
	level = 5
	// sampleSize is how much of a chunk, from each of three places, is compressed to see whether it pays.
	sampleSize = 4 << 10
)

// gzipHeader opens a member without a name, without a time, made on an unknown system (RFC 1952, section 2.3).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

func gzipTrailer(dst []byte, crc uint32, size int64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return binary.LittleEndian.AppendUint32(dst, uint32(size)) // modulo 2^32, as the standard says
}

// chunks compresses pieces of the tar stream beside each other and writes them, each as one gzip member, in their order.
type chunks struct {
	out     io.Writer
	free    [][]byte
	pending []chan [2][]byte // what was taken and the member made of it, first come first written
	workers int
	short   fixedHuffman
}

func newChunks(out io.Writer) *chunks {
	// More than eight do not pay: reading and hashing are not faster than that. It bounds memory on big machines.
	return &chunks{out: out, workers: min(runtime.GOMAXPROCS(0), 8)}
}

// buffer returns an empty buffer with room for a chunk.
func (c *chunks) buffer() []byte {
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, chunkSize+chunkSize/64) // stored bytes grow a little
}

// add takes over one chunk.
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

// drain writes all that was added.
func (c *chunks) drain() error {
	for len(c.pending) > 0 {
		if err := c.writeFirst(); err != nil {
			return err
		}
	}
	return nil
}

// compressChunk makes a gzip member of a chunk. What does not shrink by a tenth is stored: weights of neural networks,
// images, archives. Each chunk decides for itself, so that a file may hold both kinds.
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
