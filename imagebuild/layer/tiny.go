package layer

import "encoding/binary"

// tinyMax is the most bytes that tiny is used for. More than that is worth a real compressor.
const tinyMax = 4096

// tiny writes short DEFLATE streams: one block with the fixed Huffman codes (RFC 1951, section 3.2.6) and greedy
// matches. Tar headers are nearly all zeros and repeat their path, so this is as small as what a big compressor makes,
// several times faster since there are no large tables to clear for each header, and, most of all, ours: the bytes
// of a layer made of a wheel cannot change because a library changed.
type tiny struct {
	heads [1024]uint32 // base + position + 1 of the last place with this hash
	base  uint32
	bits  uint64
	n     uint
	dst   []byte
}

// deflate appends the DEFLATE stream of src, at most tinyMax bytes, to dst.
func (t *tiny) deflate(dst, src []byte) []byte {
	if t.base > 1<<31 {
		*t = tiny{}
	}
	t.dst, t.bits, t.n = dst, 0, 0
	t.put(0b011, 3) // the last block, fixed codes
	for i := 0; i < len(src); {
		if length, dist := t.match(src, i); length >= 3 {
			t.pair(length, dist)
			for end := i + length; i < end; i++ {
				t.remember(src, i)
			}
			continue
		}
		t.remember(src, i)
		t.symbol(int(src[i]))
		i++
	}
	t.symbol(256)
	t.put(0, (8-t.n%8)%8)
	t.base += uint32(len(src))
	return t.dst
}

func hash3(b []byte) uint32 {
	return (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16) * 0x9E3779B1 >> 22
}

func (t *tiny) remember(src []byte, i int) {
	if i+3 <= len(src) {
		t.heads[hash3(src[i:])] = t.base + uint32(i) + 1
	}
}

func (t *tiny) match(src []byte, i int) (length, dist int) {
	if i+3 > len(src) {
		return 0, 0
	}
	h := t.heads[hash3(src[i:])]
	if h <= t.base {
		return 0, 0
	}
	j := int(h-t.base) - 1
	for length < 258 && i+length < len(src) && src[j+length] == src[i+length] {
		length++
	}
	return length, i - j
}

func (t *tiny) put(v uint64, n uint) {
	t.bits |= v << t.n
	t.n += n
	for t.n >= 8 {
		t.dst = append(t.dst, byte(t.bits))
		t.bits >>= 8
		t.n -= 8
	}
}

// code writes a Huffman code, whose most significant bit goes first.
func (t *tiny) code(v, n uint) {
	var r uint64
	for i := range n {
		r |= uint64(v>>i&1) << (n - 1 - i)
	}
	t.put(r, n)
}

func (t *tiny) symbol(s int) {
	v := uint(s)
	switch {
	case s < 144:
		t.code(0x30+v, 8)
	case s < 256:
		t.code(0x190+v-144, 9)
	case s < 280:
		t.code(v-256, 7)
	default:
		t.code(0xC0+v-280, 8)
	}
}

var (
	lengthBase = [29]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [24]int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073}
	distBits   = [24]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10}
)

func (t *tiny) pair(length, dist int) {
	i := last(lengthBase[:], length)
	t.symbol(257 + i)
	t.put(uint64(length-lengthBase[i]), lengthBits[i])
	i = last(distBase[:], dist)
	t.code(uint(i), 5)
	t.put(uint64(dist-distBase[i]), distBits[i])
}

// last returns the index of the last number that is not above n.
func last(ascending []int, n int) int {
	i := len(ascending) - 1
	for ascending[i] > n {
		i--
	}
	return i
}

// stored appends src to dst as stored DEFLATE blocks, which cost 5 bytes in 65,535.
func stored(dst, src []byte) []byte {
	for {
		n := min(len(src), 65535)
		var final byte
		if n == len(src) {
			final = 1
		}
		dst = append(dst, final)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, src[:n]...)
		if src = src[n:]; len(src) == 0 {
			return dst
		}
	}
}
