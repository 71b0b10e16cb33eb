package layer

import "encoding/binary"

// fixedHuffmanMax is how many bytes fixedHuffman compresses at most. Longer data is worth a general
// compressor.
const fixedHuffmanMax = 4096

// fixedHuffman writes short DEFLATE streams: one block with the fixed Huffman codes (RFC 1951,
// section 3.2.6) and greedy matches. A tar header is nearly all zeros and repeats its path, so this
// compresses it as well as a general compressor does, and several times faster, since there are no
// large tables to clear for each header. And because it is part of mlenv, the bytes of a wheel's
// layer cannot change with a new version of a library.
type fixedHuffman struct {
	heads [1024]uint32 // base + position + 1 of the last occurrence of this hash
	base  uint32
	bits  uint64
	n     uint
	dst   []byte
}

// deflate appends the DEFLATE stream of src to dst. src is at most fixedHuffmanMax bytes.
func (f *fixedHuffman) deflate(dst, src []byte) []byte {
	if f.base > 1<<31 {
		*f = fixedHuffman{}
	}
	f.dst, f.bits, f.n = dst, 0, 0
	f.put(0b011, 3) // the last block, fixed codes
	for i := 0; i < len(src); {
		if length, dist := f.match(src, i); length >= 3 {
			f.pair(length, dist)
			for end := i + length; i < end; i++ {
				f.remember(src, i)
			}
			continue
		}
		f.remember(src, i)
		f.symbol(int(src[i]))
		i++
	}
	f.symbol(256)
	f.put(0, (8-f.n%8)%8)
	f.base += uint32(len(src))
	return f.dst
}

func hash3(b []byte) uint32 {
	return (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16) * 0x9E3779B1 >> 22
}

func (f *fixedHuffman) remember(src []byte, i int) {
	if i+3 <= len(src) {
		f.heads[hash3(src[i:])] = f.base + uint32(i) + 1
	}
}

func (f *fixedHuffman) match(src []byte, i int) (length, dist int) {
	if i+3 > len(src) {
		return 0, 0
	}
	h := f.heads[hash3(src[i:])]
	if h <= f.base {
		return 0, 0
	}
	j := int(h-f.base) - 1
	for length < 258 && i+length < len(src) && src[j+length] == src[i+length] {
		length++
	}
	return length, i - j
}

func (f *fixedHuffman) put(v uint64, n uint) {
	f.bits |= v << f.n
	f.n += n
	for f.n >= 8 {
		f.dst = append(f.dst, byte(f.bits))
		f.bits >>= 8
		f.n -= 8
	}
}

// code writes a Huffman code, most significant bit first.
func (f *fixedHuffman) code(v, n uint) {
	var r uint64
	for i := range n {
		r |= uint64(v>>i&1) << (n - 1 - i)
	}
	f.put(r, n)
}

func (f *fixedHuffman) symbol(s int) {
	v := uint(s)
	switch {
	case s < 144:
		f.code(0x30+v, 8)
	case s < 256:
		f.code(0x190+v-144, 9)
	case s < 280:
		f.code(v-256, 7)
	default:
		f.code(0xC0+v-280, 8)
	}
}

var (
	lengthBase = [29]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [24]int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073}
	distBits   = [24]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10}
)

func (f *fixedHuffman) pair(length, dist int) {
	i := last(lengthBase[:], length)
	f.symbol(257 + i)
	f.put(uint64(length-lengthBase[i]), lengthBits[i])
	i = last(distBase[:], dist)
	f.code(uint(i), 5)
	f.put(uint64(dist-distBase[i]), distBits[i])
}

// last returns the index of the last number that is at most n.
func last(ascending []int, n int) int {
	i := len(ascending) - 1
	for ascending[i] > n {
		i--
	}
	return i
}

// stored appends src to dst as stored DEFLATE blocks, with an overhead of 5 bytes per 65,535.
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
