package layer

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// hasher hashes a stream, and each of the files in it, in two goroutines, so that hashing and
// producing the stream run in parallel.
type hasher struct {
	cur     *block
	work    chan *block // from the writer to the hash of the stream
	hashed  chan *block // from there to the hashes of the files
	free    chan *block // and back
	done    chan struct{}
	sum     hash.Hash
	file    hash.Hash // of the current file, or nil
	hashes  map[string]hash.Hash
	size    int64
	err     error // about the first file with a wrong digest
	stopped bool
}

// A block is a piece of the stream with the positions where files begin and end.
type block struct {
	buf   []byte
	marks []mark
}

// A mark is the beginning of a file or, if end is set, its end.
type mark struct {
	at    int
	entry *Entry
	end   bool
}

const (
	blockSize = 256 << 10
	blocks    = 6
)

func newHasher() *hasher {
	h := &hasher{
		work: make(chan *block, blocks), hashed: make(chan *block, blocks), free: make(chan *block, blocks),
		done: make(chan struct{}),
		sum:  sha256.New(), hashes: map[string]hash.Hash{},
	}
	for range blocks {
		h.free <- &block{buf: make([]byte, 0, blockSize)}
	}
	h.cur = <-h.free
	go h.hashStream()
	go h.hashFiles()
	return h
}

// space returns a buffer for the next bytes of the stream. After it is filled, take must be called
// with the number of bytes.
func (h *hasher) space() []byte {
	if len(h.cur.buf) == cap(h.cur.buf) {
		h.flush()
	}
	return h.cur.buf[len(h.cur.buf):cap(h.cur.buf)]
}

func (h *hasher) take(n int) {
	h.cur.buf = h.cur.buf[:len(h.cur.buf)+n]
	h.size += int64(n)
}

func (h *hasher) flush() {
	h.work <- h.cur
	h.cur = <-h.free
	h.cur.buf, h.cur.marks = h.cur.buf[:0], h.cur.marks[:0]
}

// Write implements io.Writer. It never fails.
func (h *hasher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := copy(h.space(), p)
		h.take(k)
		p = p[k:]
	}
	return n, nil
}

// begin and end mark the beginning and end of a file in the stream whose digest is to be checked.
func (h *hasher) begin(e *Entry) {
	if e.Content.Sum.Hex != "" {
		h.cur.marks = append(h.cur.marks, mark{len(h.cur.buf), e, false})
	}
}

func (h *hasher) end(e *Entry) {
	if e.Content.Sum.Hex != "" {
		h.cur.marks = append(h.cur.marks, mark{len(h.cur.buf), e, true})
	}
}

// stop waits for the goroutines to finish. It may be called more than once.
func (h *hasher) stop() error {
	if !h.stopped {
		h.stopped = true
		h.work <- h.cur
		close(h.work)
		<-h.done
	}
	return h.err
}

// digest stops the hasher and returns the digest of the stream.
func (h *hasher) digest() (v1.Hash, error) {
	if err := h.stop(); err != nil {
		return v1.Hash{}, err
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.sum.Sum(nil))}, nil
}

func (h *hasher) hashStream() {
	defer close(h.hashed)
	for b := range h.work {
		h.sum.Write(b.buf)
		h.hashed <- b
	}
}

func (h *hasher) hashFiles() {
	defer close(h.done)
	for b := range h.hashed {
		at := 0
		for _, m := range b.marks {
			h.inFile(b.buf[at:m.at])
			at = m.at
			if m.end {
				h.check(m.entry)
			} else {
				h.file = h.hash(m.entry.Content.Sum.Algorithm)
			}
		}
		h.inFile(b.buf[at:])
		h.free <- b
	}
}

func (h *hasher) inFile(p []byte) {
	if h.file != nil {
		h.file.Write(p)
	}
}

func (h *hasher) hash(algorithm string) hash.Hash {
	f := h.hashes[algorithm]
	if f == nil {
		f = newHash(algorithm)
		h.hashes[algorithm] = f
	}
	f.Reset()
	return f
}

func (h *hasher) check(e *Entry) {
	got := hex.EncodeToString(h.file.Sum(nil))
	h.file = nil
	if want := e.Content.Sum; got != want.Hex && h.err == nil {
		h.err = e.fail(fmt.Errorf("%s is %s, not %s", want.Algorithm, got, want.Hex))
	}
}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}
