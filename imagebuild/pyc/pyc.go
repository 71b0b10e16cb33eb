// Package pyc makes compiled modules of Python the same bytes whoever compiled them.
//
// CPython compiles one source to code objects that are always equal, but writes them down differently: which
// of two equal constants is written as a reference to the other depends on reference counts, the order of a
// frozenset on hashes and addresses, and whether a string is marked as interned on what the process did before.
// None of it means anything to a reader. [Canonical] decides each of them by the content alone:
//
//   - equal constants become one, but two code objects never do, since their identity can be seen;
//   - the members of a frozenset are sorted by the SHA-256 of their content;
//   - a value is flagged as referred to exactly if it is used more than once;
//   - a string is interned if it names something, or looks like a name. The constructor of code objects interns
//     these anyway. Others are not: among them are strings of one character, which some versions of CPython
//     share between modules and then find interned.
//
// The data come from a process that ran code of a base image, so they are not trusted: what is malformed, too
// deep, or of a type that no code object holds is refused, and memory is bounded by a multiple of the input.
//
// The file format is that of PEP 552 with a checked hash of the source: it does not depend on any time, and a
// source that is changed later, in a derived image or a running container, is compiled anew.
package pyc

import (
	"encoding/binary"
	"fmt"
)

// Format is the version of this package's output. It must be part of every key under which that is remembered.
const Format = "1"

// magics are the numbers by which the releases of each minor version of CPython 3 know their own bytecode.
// Pre-releases have others, and are not supported.
var magics = map[int]uint16{9: 3425, 10: 3439, 11: 3495, 12: 3531, 13: 3571, 14: 3627}

// Supported says whether compiled modules of CPython 3.minor can be made.
func Supported(minor int) bool { return magics[minor] != 0 }

// Magic returns the first four bytes of the compiled modules of CPython 3.minor, as importlib.util.MAGIC_NUMBER
// has them.
func Magic(minor int) ([4]byte, error) {
	n, ok := magics[minor]
	if !ok {
		return [4]byte{}, fmt.Errorf("compiled modules of Python 3.%d are not supported", minor)
	}
	return [4]byte{byte(n), byte(n >> 8), '\r', '\n'}, nil
}

// checkedHash are the flags of PEP 552 for a file that holds the hash of its source, to be compared at import.
const checkedHash = 0b11

// File returns the bytes of a compiled module of CPython 3.minor: the header of PEP 552 with the hash of source,
// and the canonical form of code, which is what marshal.dumps gave for the compiled source.
func File(minor int, source, code []byte) ([]byte, error) {
	magic, err := Magic(minor)
	if err != nil {
		return nil, err
	}
	body, err := Canonical(minor, code)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 16+len(body))
	out = append(out, magic[:]...)
	out = binary.LittleEndian.AppendUint32(out, checkedHash)
	out = binary.LittleEndian.AppendUint64(out, SourceHash(minor, source))
	return append(out, body...), nil
}

// SourceHash returns the hash of a module's source that CPython 3.minor compares, as importlib.util.source_hash
// computes it: SipHash with the magic number as its key, of one compression round and three finalization rounds
// since 3.11, and of two and four before.
func SourceHash(minor int, source []byte) uint64 {
	magic := uint64(magics[minor]) | '\r'<<16 | '\n'<<24
	if minor >= 11 {
		return sipHash(magic, source, 1, 3)
	}
	return sipHash(magic, source, 2, 4)
}
