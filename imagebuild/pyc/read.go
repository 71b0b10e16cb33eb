package pyc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep values may be nested: as deep as CPython itself reads.
const maxDepth = 2000

var errShort = errors.New("it ends too early")

// A field is one part of a code object in marshal's format.
type field uint8

const (
	integer field = iota // four bytes
	object
	text
	name  // a string
	names // a tuple of strings
)

// codeFields returns the parts of a code object in the order of w_complex_object in CPython's marshal.c.
func codeFields(minor int) []field {
	if minor >= 11 {
		return []field{
			integer, integer, integer, integer, integer, // arguments (three), stack, flags
			object, object, names, names, object, // code, constants, names, local names, their kinds
			text, name, name, // file, name, qualified name
			integer, object, object, // first line, lines, exceptions
		}
	}
	return []field{
		integer, integer, integer, integer, integer, integer, // arguments (three), locals, stack, flags
		object, object, names, names, names, names, // code, constants, names, local names (three)
		text, name, // file, name
		integer, object, // first line, lines
	}
}

// reader reads one marshalled value.
type reader struct {
	minor  int
	fields []field
	data   []byte
	at     int
	depth  int
	refs   []*node // nil: a value that is being read
	pool   *pool
}

func (r *reader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.data)-r.at {
		return nil, errShort
	}
	r.at += n
	return r.data[r.at-n : r.at], nil
}

// length reads a length of four bytes. It is no more than the bytes that are left, since everything takes one.
func (r *reader) length() (int, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint32(b)
	if int64(n) > int64(len(r.data)-r.at) {
		return 0, errShort
	}
	return int(n), nil
}

// value reads one value and all below it.
func (r *reader) value() (*node, error) {
	if r.depth++; r.depth > maxDepth {
		return nil, fmt.Errorf("values are nested more than %d deep", maxDepth)
	}
	defer func() { r.depth-- }()
	b, err := r.take(1)
	if err != nil {
		return nil, err
	}
	kind, flagged := b[0]&^flagRef, b[0]&flagRef != 0
	if kind == typeRef {
		return r.reference()
	}
	// A container takes its number before its members, as in CPython.
	slot := len(r.refs)
	if flagged {
		if singleton(kind) {
			return nil, fmt.Errorf("a value of type %q with a number", kind)
		}
		r.refs = append(r.refs, nil)
	}
	n, err := r.body(kind)
	if err != nil {
		return nil, err
	}
	if flagged {
		r.refs[slot] = n
	}
	return n, nil
}

func (r *reader) reference() (*node, error) {
	b, err := r.take(4)
	if err != nil {
		return nil, err
	}
	i := binary.LittleEndian.Uint32(b)
	if int64(i) >= int64(len(r.refs)) || r.refs[i] == nil {
		return nil, fmt.Errorf("a reference to value %d, which there is not yet", i)
	}
	return r.refs[i], nil
}

func (r *reader) body(kind byte) (*node, error) {
	switch kind {
	case typeNone, typeFalse, typeTrue, typeEllipsis:
		return r.pool.atom(kind, nil), nil
	case typeInt:
		return r.fixed(kind, 4)
	case typeFloat:
		return r.fixed(kind, 8)
	case typeComplex:
		return r.fixed(kind, 16)
	case typeLong:
		return r.long()
	case typeBytes:
		return r.sized(kind)
	case typeUnicode, typeInterned, typeASCII, typeASCIIInterned, typeShortASCII, typeShortASCIIInterned:
		return r.str(kind)
	case typeTuple, typeFrozenset:
		n, err := r.length()
		if err != nil {
			return nil, err
		}
		return r.members(kind, n)
	case typeSmallTuple:
		b, err := r.take(1)
		if err != nil {
			return nil, err
		}
		return r.members(typeTuple, int(b[0]))
	case typeSlice:
		if r.minor >= 14 {
			return r.members(kind, 3)
		}
	case typeCode:
		return r.code()
	}
	return nil, fmt.Errorf("a value of type %q, which no code object of Python 3.%d holds", kind, r.minor)
}

func (r *reader) fixed(kind byte, size int) (*node, error) {
	b, err := r.take(size)
	if err != nil {
		return nil, err
	}
	return r.pool.atom(kind, b), nil
}

func (r *reader) sized(kind byte) (*node, error) {
	n, err := r.length()
	if err != nil {
		return nil, err
	}
	return r.fixed(kind, n)
}

// long reads an integer of many digits. Its length carries the sign, and stays part of the data.
func (r *reader) long() (*node, error) {
	start := r.at
	b, err := r.take(4)
	if err != nil {
		return nil, err
	}
	n := int64(int32(binary.LittleEndian.Uint32(b)))
	if n < 0 {
		n = -n
	}
	if 2*n > int64(len(r.data)-r.at) {
		return nil, errShort
	}
	digits, err := r.take(int(2 * n))
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(digits); i += 2 {
		if digits[i] >= 0x80 {
			return nil, errors.New("an integer with a digit of more than 15 bits")
		}
	}
	if n == 0 || digits[len(digits)-1] == 0 && digits[len(digits)-2] == 0 {
		return nil, errors.New("an integer with leading zeros")
	}
	return r.pool.atom(typeLong, r.data[start:r.at]), nil
}

func (r *reader) str(kind byte) (*node, error) {
	var b []byte
	var err error
	if kind == typeShortASCII || kind == typeShortASCIIInterned {
		if b, err = r.take(1); err == nil {
			b, err = r.take(int(b[0]))
		}
	} else {
		var n int
		if n, err = r.length(); err == nil {
			b, err = r.take(n)
		}
	}
	if err != nil {
		return nil, err
	}
	if !(ascii(b) || kind == typeUnicode || kind == typeInterned) || !validText(b) {
		return nil, errors.New("a string that is not in its own encoding")
	}
	return r.pool.atom(typeUnicode, b), nil
}

func (r *reader) members(kind byte, n int) (*node, error) {
	kids := make([]*node, 0, min(n, 16)) // the number is only what the data claim
	for range n {
		k, err := r.value()
		if err != nil {
			return nil, err
		}
		if kind != typeTuple && k.kind == typeCode {
			return nil, errors.New("a code object in a frozenset or slice")
		}
		kids = append(kids, k)
	}
	return r.pool.container(kind, kids), nil
}

// code reads a code object. No two are one node: a function's identity can be seen.
func (r *reader) code() (*node, error) {
	var integers []byte
	var kids []*node
	for _, f := range r.fields {
		if f == integer {
			b, err := r.take(4)
			if err != nil {
				return nil, err
			}
			integers = append(integers, b...)
			continue
		}
		k, err := r.value()
		if err != nil {
			return nil, err
		}
		if !k.fits(f) {
			return nil, errors.New("a code object whose names are no strings")
		}
		kids = append(kids, k)
	}
	return r.pool.create(typeCode, string(integers), kids), nil
}

// fits says whether the value can be that part of a code object, and notes what it says of names.
func (n *node) fits(f field) bool {
	switch f {
	case text:
		return n.kind == typeUnicode
	case name:
		n.named = true
		return n.kind == typeUnicode
	case names:
		if n.named { // looked at for another code object
			return true
		}
		for _, k := range n.kids {
			if !k.fits(name) {
				return false
			}
		}
		n.named = n.kind == typeTuple
		return n.named
	}
	return true
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// validText says whether b is UTF-8 in which surrogates may stand alone, as CPython's "surrogatepass" has it.
func validText(b []byte) bool {
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			b = b[n:]
			continue
		}
		if len(b) < 3 || b[0] != 0xED || b[1]&0xE0 != 0xA0 || b[2]&0xC0 != 0x80 {
			return false
		}
		b = b[3:]
	}
	return true
}
