package pyc

import (
	"encoding/binary"
	"math/bits"
)

// sipHash is SipHash-c-d by Aumasson and Bernstein with the key (k, 0): an add-rotate-xor hash of 64 bits. The
// standard library and golang.org/x have it only in unexported form, and with other numbers of rounds.
func sipHash(k uint64, data []byte, c, d int) uint64 {
	s := sipState{k ^ 0x736f6d6570736575, 0x646f72616e646f6d, k ^ 0x6c7967656e657261, 0x7465646279746573}
	last := uint64(len(data)) << 56
	for ; len(data) >= 8; data = data[8:] {
		s.word(binary.LittleEndian.Uint64(data), c)
	}
	for i, b := range data {
		last |= uint64(b) << (8 * i)
	}
	s.word(last, c)
	s[2] ^= 0xff
	s.rounds(d)
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

type sipState [4]uint64

func (s *sipState) word(m uint64, rounds int) {
	s[3] ^= m
	s.rounds(rounds)
	s[0] ^= m
}

func (s *sipState) rounds(n int) {
	for range n {
		s[0] += s[1]
		s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
		s[0] = bits.RotateLeft64(s[0], 32)
		s[2] += s[3]
		s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
		s[0] += s[3]
		s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
		s[2] += s[1]
		s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
		s[2] = bits.RotateLeft64(s[2], 32)
	}
}
