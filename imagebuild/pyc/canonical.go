package pyc

import (
	"encoding/binary"
	"fmt"
)

// Canonical returns the one form of a code object of CPython 3.minor that marshal.dumps wrote in any of its ways.
// It loads as an equal code object, and its own canonical form is itself. Data that are no code object are an error.
func Canonical(minor int, data []byte) ([]byte, error) {
	if !Supported(minor) {
		return nil, fmt.Errorf("compiled modules of Python 3.%d are not supported", minor)
	}
	r := reader{minor: minor, fields: codeFields(minor), data: data, pool: newPool()}
	top, err := r.value()
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading compiled code at byte %d: %w", r.at, err)
	case top.kind != typeCode:
		return nil, fmt.Errorf("compiled code is a value of type %q", top.kind)
	case r.at != len(data):
		return nil, fmt.Errorf("compiled code is followed by %d other bytes", len(data)-r.at)
	}
	w := writer{fields: r.fields, out: make([]byte, 0, len(data))}
	count(top)
	w.value(top)
	return w.out, nil
}

// count says of every node how often it will be written, if not by reference. What is below a node is written
// with it, once.
func count(n *node) {
	if n.short() {
		return
	}
	if n.uses++; n.uses > 1 {
		return
	}
	for _, k := range n.kids {
		count(k)
	}
}

// writer writes nodes, each in full where it comes first, and as a reference later.
type writer struct {
	fields []field
	out    []byte
	refs   int32
}

func (w *writer) value(n *node) {
	if n.index >= 0 {
		w.out = append(w.out, typeRef)
		w.number(int(n.index))
		return
	}
	at := len(w.out)
	w.out = append(w.out, n.kind)
	if n.uses > 1 {
		n.index = w.refs
		w.refs++
	}
	w.body(n, at)
	if n.uses > 1 {
		w.out[at] |= flagRef
	}
}

// body writes what follows the type byte, and corrects that byte, which is at at.
func (w *writer) body(n *node, at int) {
	switch n.kind {
	case typeNone, typeFalse, typeTrue, typeEllipsis: // the type says it all
	case typeInt, typeFloat, typeComplex, typeLong:
		w.out = append(w.out, n.data...)
	case typeBytes:
		w.number(len(n.data))
		w.out = append(w.out, n.data...)
	case typeUnicode:
		w.str(n, at)
	case typeTuple, typeFrozenset:
		if n.kind == typeTuple && len(n.kids) < 256 {
			w.out[at] = typeSmallTuple
			w.out = append(w.out, byte(len(n.kids)))
		} else {
			w.number(len(n.kids))
		}
		w.values(n.kids)
	case typeSlice:
		w.values(n.kids)
	case typeCode:
		integers, kids := n.data, n.kids
		for _, f := range w.fields {
			if f == integer {
				w.out = append(w.out, integers[:4]...)
				integers = integers[4:]
				continue
			}
			w.value(kids[0])
			kids = kids[1:]
		}
	}
}

// str writes a string in the shortest of its types.
func (w *writer) str(n *node, at int) {
	var kind byte
	interned := n.named || looksLikeName(n.data)
	switch b := []byte(n.data); {
	case !ascii(b) && interned:
		kind = typeInterned
	case !ascii(b):
		kind = typeUnicode
	case len(b) < 256 && interned:
		kind = typeShortASCIIInterned
	case len(b) < 256:
		kind = typeShortASCII
	case interned:
		kind = typeASCIIInterned
	default:
		kind = typeASCII
	}
	w.out[at] = kind
	if kind == typeShortASCII || kind == typeShortASCIIInterned {
		w.out = append(w.out, byte(len(n.data)))
	} else {
		w.number(len(n.data))
	}
	w.out = append(w.out, n.data...)
}

func (w *writer) values(ns []*node) {
	for _, n := range ns {
		w.value(n)
	}
}

func (w *writer) number(n int) { w.out = binary.LittleEndian.AppendUint32(w.out, uint32(n)) }

// looksLikeName says whether CPython interns a constant with this text, in all_name_chars of its codeobject.c.
func looksLikeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}
