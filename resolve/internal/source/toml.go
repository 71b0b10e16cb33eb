package source

import (
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// FoldedKey finds the first key of a TOML document that is the name of a field of t, or of what that holds, but for
// upper and lower case. TOML's keys differ by case, and other readers ignore such a one; package toml would take it
// for the field. Line counts from 1. The data must be valid. Tables of [tool] but ours may call their keys what they like.
func FoldedKey(data []byte, t reflect.Type) (key string, line int, ok bool) {
	names := map[string]bool{}
	fieldNames(t, names)
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		path, node := keysOf(e, func(name string) bool { return names[name] })
		if e.Kind == unstable.Table || e.Kind == unstable.ArrayTable {
			table = path
		} else {
			path = slices.Concat(table, path)
		}
		foreign := len(path) > 1 && path[0] == "tool" && path[1] != "mlenv"
		if node != nil && !foreign {
			return string(node.Data), p.Shape(node.Raw).Start.Line, true
		}
	}
	return "", 0, false
}

// keysOf gives the parts of an expression's key, and the first key in it, or in the inline tables of its
// value, that is another's name but for case.
func keysOf(e *unstable.Node, known func(string) bool) (path []string, folded *unstable.Node) {
	look := func(n *unstable.Node) {
		if lower := strings.ToLower(string(n.Data)); folded == nil && lower != string(n.Data) && known(lower) {
			folded = n
		}
	}
	for it := e.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		look(it.Node())
	}
	if e.Kind == unstable.KeyValue {
		inline(e.Value(), look)
	}
	return path, folded
}

// inline looks at the keys of the inline tables in a value.
func inline(v *unstable.Node, look func(*unstable.Node)) {
	if v.Kind != unstable.InlineTable && v.Kind != unstable.Array {
		return
	}
	for it := v.Children(); it.Next(); {
		n := it.Node()
		if n.Kind != unstable.KeyValue {
			inline(n, look)
			continue
		}
		for keys := n.Key(); keys.Next(); {
			look(keys.Node())
		}
		inline(n.Value(), look)
	}
}

// fieldNames collects the names by which package toml knows the fields of a type.
func fieldNames(t reflect.Type, names map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		fieldNames(t.Elem(), names)
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if name != "" && name != "-" && !names[name] {
				names[name] = true
				fieldNames(f.Type, names)
			}
		}
	}
}
