package pyc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// The type bytes of marshal's format that a code object can hold, by their names in CPython's marshal.c.
const (
	typeNone               = 'N'
	typeFalse              = 'F'
	typeTrue               = 'T'
	typeEllipsis           = '.'
	typeInt                = 'i' // four bytes
	typeLong               = 'l' // digits of 15 bits
	typeFloat              = 'g' // IEEE 754, eight bytes
	typeComplex            = 'y' // two of them
	typeBytes              = 's'
	typeUnicode            = 'u' // UTF-8, with lone surrogates
	typeInterned           = 't'
	typeASCII              = 'a'
	typeASCIIInterned      = 'A'
	typeShortASCII         = 'z' // of at most 255 bytes
	typeShortASCIIInterned = 'Z'
	typeTuple              = '('
	typeSmallTuple         = ')' // of at most 255 members
	typeFrozenset          = '>'
	typeSlice              = ':' // since 3.14
	typeCode               = 'c'
	typeRef                = 'r'

	flagRef = 0x80 // or'ed to a type byte: later references may mean this value
)

// A node is one value. Values that are equal, and of one type, are one node, but for code objects.
type node struct {
	kind byte // for all strings typeUnicode, for all tuples typeTuple
	// data is what follows the type byte and any length: the number, the bytes, the text; for code its integers.
	data string
	kids []*node
	id   uint32 // in order of creation, so that parents can be told apart by their children's
	// named is set on strings that name something in a code object, and on tuples of nothing else.
	named bool
	size  int   // in bytes, at most one more than refSize
	uses  int32 // how often it is written, counted before it is
	index int32 // among those that are flagged, once it was written; -1 before
	sum   *[sha256.Size]byte
}

// pool holds every node that there is.
type pool struct {
	known map[string]*node
	next  uint32
	key   []byte // a buffer
}

func newPool() *pool { return &pool{known: map[string]*node{}} }

// atom returns the node of a value without members.
func (p *pool) atom(kind byte, data []byte) *node {
	p.key = append(append(p.key[:0], kind), data...)
	if n, ok := p.known[string(p.key)]; ok {
		return n
	}
	key := string(p.key)
	n := p.create(kind, key[1:], nil)
	p.known[key] = n
	return n
}

// container returns the node of a tuple, frozenset or slice. It keeps kids.
func (p *pool) container(kind byte, kids []*node) *node {
	if kind == typeFrozenset {
		slices.SortFunc(kids, func(a, b *node) int { return bytes.Compare(a.digest()[:], b.digest()[:]) })
	}
	p.key = append(p.key[:0], kind)
	for _, k := range kids {
		p.key = binary.LittleEndian.AppendUint32(p.key, k.id)
	}
	if n, ok := p.known[string(p.key)]; ok {
		return n
	}
	n := p.create(kind, "", kids)
	p.known[string(p.key)] = n
	return n
}

func (p *pool) create(kind byte, data string, kids []*node) *node {
	n := &node{kind: kind, data: data, kids: kids, size: size(kind, data, kids), id: p.next, index: -1}
	p.next++
	return n
}

// digest is a hash of all that the value is. Each node's is computed once, since a value that refers to itself
// many times over would otherwise take time that is exponential in its size.
func (n *node) digest() *[sha256.Size]byte {
	if n.sum == nil {
		h := sha256.New()
		h.Write([]byte{n.kind})
		h.Write([]byte(n.data))
		for _, k := range n.kids {
			h.Write(k.digest()[:])
		}
		n.sum = (*[sha256.Size]byte)(h.Sum(nil))
	}
	return n.sum
}

// singleton says whether there is one value of this type only, which is written as one byte.
func singleton(kind byte) bool {
	switch kind {
	case typeNone, typeFalse, typeTrue, typeEllipsis:
		return true
	}
	return false
}

// refSize is the number of bytes of a reference.
const refSize = 5

// short says whether the value takes no more bytes than a reference to it, which would therefore be of no use.
// Nothing that is worth a reference is within one that is short.
func (n *node) short() bool { return n.size <= refSize }

// size returns the number of bytes that a value takes, or more than refSize: it stops counting there.
func size(kind byte, data string, kids []*node) int {
	n := refSize + 1
	switch kind {
	case typeNone, typeFalse, typeTrue, typeEllipsis, typeSlice:
		n = 1
	case typeInt, typeBytes, typeFrozenset:
		n = 1 + 4
	case typeUnicode:
		if len(data) < 256 && ascii([]byte(data)) {
			n = 1 + 1
		}
	case typeTuple:
		n = 1 + 1
	}
	if kind == typeBytes || kind == typeUnicode {
		n += len(data)
	}
	for _, k := range kids {
		if n > refSize {
			break
		}
		n += k.size
	}
	return min(n, refSize+1)
}
