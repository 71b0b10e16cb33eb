package index

import "sync"

// chunkSize is that of the pieces in which pages are encoded.
const chunkSize = 128 << 10

// memory is what answers are read into, one after the other: dozens come at the same time, hundreds in
// all, and new memory for each costs more than reading it.
type memory struct{ scans, chunks, tails sync.Pool }

// scan gives a buffer for a scanner. done takes it back.
func (m *memory) scan() (buf *[scanBuffer]byte, done func()) {
	buf, ok := m.scans.Get().(*[scanBuffer]byte)
	if !ok {
		buf = new([scanBuffer]byte)
	}
	return buf, func() { m.scans.Put(buf) }
}

func (m *memory) chunk() []byte {
	if c, ok := m.chunks.Get().(*[chunkSize]byte); ok {
		return c[:]
	}
	return make([]byte, chunkSize)
}

// keepChunk takes a chunk back; one of another size is left to the garbage collector.
func (m *memory) keepChunk(c []byte) {
	if cap(c) == chunkSize {
		m.chunks.Put((*[chunkSize]byte)(c[:chunkSize]))
	}
}

// tail gives a buffer for the end of a wheel.
func (m *memory) tail() *[tailSize]byte {
	if t, ok := m.tails.Get().(*[tailSize]byte); ok {
		return t
	}
	return new([tailSize]byte)
}
