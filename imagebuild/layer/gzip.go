package layer

import (
	"bytes"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

const (
	// gzipBlock is how much is compressed at a time. A block may refer to the gzipTail bytes before
	// it. The bytes of a layer depend on both constants and on gzipLevel.
	gzipBlock = 1 << 20
	gzipTail  = 16 << 10
	gzipLevel = 6
	// gzipSlots is how many blocks are in memory: one that is being filled, and others that are
	// compressed in parallel. Each takes about 3 MB. The number does not depend on the number of
	// cores, because several layers are made in parallel anyway.
	gzipSlots = 3
)

// gzipped writes one gzip member. Each block ends on a byte boundary, as after a flush, so that
// blocks can be concatenated. The result is the same as with klauspost/pgzip, which needs too much
// memory: 160 to 190 MB for four layers in TestMemory on 16 and 64 cores, even with few workers.
type gzipped struct {
	out     io.Writer
	crc     uint32
	size    int64
	now     *gzipSlot   // being filled
	pending []*gzipSlot // being compressed, in order
	free    []*gzipSlot
	slots   int
	started bool
}

// A gzipSlot is a block with everything needed to compress it.
type gzipSlot struct {
	plain  []byte
	before []byte // the bytes before the block, which it may refer to
	packed bytes.Buffer
	z      *flate.Writer
	done   chan struct{}
}

func newGzip(out io.Writer) io.WriteCloser {
	return &gzipped{out: out, now: newGzipSlot(), slots: 1}
}

func newGzipSlot() *gzipSlot {
	z, _ := flate.NewWriterDict(nil, gzipLevel, nil) // writers made without a dictionary ignore the one in a reset
	return &gzipSlot{z: z, done: make(chan struct{}, 1)}
}

func (g *gzipped) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), gzipBlock-len(g.now.plain))
		g.now.plain = append(g.now.plain, p[:k]...)
		g.crc, g.size = crc32.Update(g.crc, crc32.IEEETable, p[:k]), g.size+int64(k)
		p = p[k:]
		if len(g.now.plain) == gzipBlock {
			if err := g.next(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// next starts to compress the current block and begins another one.
func (g *gzipped) next() error {
	full := g.now
	go full.compress(false)
	g.pending = append(g.pending, full)
	slot, err := g.slot()
	if err != nil {
		return err
	}
	slot.plain = slot.plain[:0]
	slot.before = append(slot.before[:0], full.plain[gzipBlock-gzipTail:]...)
	g.now = slot
	return nil
}

// slot returns a free slot. It waits until there is one.
func (g *gzipped) slot() (*gzipSlot, error) {
	if g.slots < gzipSlots {
		g.slots++
		return newGzipSlot(), nil
	}
	if len(g.free) == 0 {
		if err := g.writeFirst(); err != nil {
			return nil, err
		}
	}
	s := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	return s, nil
}

func (s *gzipSlot) compress(last bool) {
	s.packed.Reset()
	s.z.ResetDict(&s.packed, s.before)
	s.z.Write(s.plain) // a bytes.Buffer does not fail
	s.z.Flush()
	if last {
		s.z.Close()
	}
	s.done <- struct{}{}
}

func (g *gzipped) writeFirst() error {
	s := g.pending[0]
	g.pending = g.pending[1:]
	<-s.done
	if !g.started {
		g.started = true
		if _, err := g.out.Write(gzipHeader); err != nil {
			return err
		}
	}
	_, err := g.out.Write(s.packed.Bytes())
	g.free = append(g.free, s)
	return err
}

func (g *gzipped) Close() error {
	g.now.compress(true)
	g.pending = append(g.pending, g.now)
	for len(g.pending) > 0 {
		if err := g.writeFirst(); err != nil {
			return err
		}
	}
	_, err := g.out.Write(gzipTrailer(nil, g.crc, g.size))
	return err
}
