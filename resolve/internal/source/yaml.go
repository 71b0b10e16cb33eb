package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"mlenv/resolve/pattern"
	"mlenv/resolve/secret"
)

// Kind is the shape of a Node.
type Kind int

// The kinds of nodes.
const (
	Null Kind = iota
	Scalar
	List
	Map
)

// Node is a value in a YAML document. Scalars are kept as written: 3.10 stays "3.10" and does not
// become 3.1. Aliases and merge keys have been resolved.
type Node struct {
	Kind  Kind
	Text  string // of a scalar, after YAML's own quoting and folding
	Tag   string // of a scalar: "!!str", "!!int", "!!float", "!!bool", "!!timestamp", …
	Plain bool   // a scalar written without quotes, starting on Line
	Line  int    // from 1
	Items []*Node
	Pairs []Pair // in the order of the file
}

// Pair is one entry of a Map.
type Pair struct {
	Key   string
	Line  int
	Value *Node
}

// Get returns the value of a key of a Map, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// String describes the kind of the node for messages, such as "a list".
func (n *Node) String() string {
	switch n.Kind {
	case Scalar:
		switch n.Tag {
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "true or false"
		}
		return "text"
	case List:
		return "a list"
	case Map:
		return "a mapping"
	}
	return "empty"
}

const (
	maxMarks = 1 << 18 // punctuation marks; limits the parser's memory, and its quadratic time for flow lists
	maxNodes = 1 << 18 // after aliases are resolved
	maxDepth = 200
)

// ParseYAML reads the one document of a YAML file. An empty file is a Null node. Errors are of type
// *Error, joined with errors.Join when there are several.
func ParseYAML(name string, data []byte) (root *Node, err error) {
	if e := CheckUTF8(name, data); e != nil {
		return nil, e
	}
	marks := 0
	for _, c := range data {
		switch c {
		case ',', ':', '-', '[', '{', '?':
			marks++
		}
	}
	if marks > maxMarks {
		return nil, &Error{File: name, Msg: fmt.Sprintf("holds more than %d YAML values, which no file of a model does", maxMarks)}
	}
	defer func() {
		// yaml.v3 reports what it cannot parse as an error; some malformed input makes it panic.
		if r := recover(); r != nil {
			root, err = nil, &Error{File: name, Msg: "is not YAML"}
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, yamlError(name, err)
	}
	if len(doc.Content) == 0 {
		return &Node{Line: 1}, nil
	}
	t := &tree{file: name, open: map[*yaml.Node]bool{}}
	root = t.node(doc.Content[0], 0)
	if len(t.errs) > 0 {
		return nil, errors.Join(t.errs...)
	}
	return root, nil
}

var yamlLine = pattern.New(`^(?:yaml: )?(?:unmarshal errors:\s*)?(?:line (\d+): )?`)

func yamlError(name string, err error) *Error {
	msg := err.Error()
	m := yamlLine.FindStringSubmatch(msg)
	line, _ := strconv.Atoi(m[1])
	msg, _ = secret.Scrub(strings.Join(strings.Fields(msg[len(m[0]):]), " "))
	e := &Error{File: name, Line: line, Msg: "is not YAML: " + msg}
	if strings.Contains(msg, "cannot start any token") {
		e.Hint = "indent with spaces, and put values that start with a special character in quotes"
	}
	return e
}

// tree converts yaml.Nodes to Nodes.
type tree struct {
	file  string
	nodes int
	alias int                 // the line of the outermost alias being resolved, or 0
	open  map[*yaml.Node]bool // anchors being resolved; detects cycles
	errs  []error
}

func (t *tree) fail(line int, format string, args ...any) {
	if len(t.errs) < 20 {
		t.errs = append(t.errs, &Error{File: t.file, Line: line, Msg: fmt.Sprintf(format, args...)})
	}
}

func (t *tree) node(y *yaml.Node, depth int) *Node {
	n := &Node{Line: y.Line}
	t.nodes++
	if t.nodes > maxNodes {
		if t.nodes == maxNodes+1 {
			line := y.Line
			if t.alias > 0 {
				line = t.alias
			}
			t.fail(line, "the file holds, with its aliases, more than %d values", maxNodes)
		}
		return n
	}
	if depth > maxDepth {
		t.fail(y.Line, "is nested more than %d deep", maxDepth)
		t.nodes = maxNodes + 1
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		if t.open[y.Alias] {
			t.fail(y.Line, "the alias *%s refers to a value that contains it", y.Value)
			return n
		}
		outermost := t.alias == 0
		if outermost {
			t.alias = y.Line
		}
		t.open[y.Alias] = true
		n = t.node(y.Alias, depth+1)
		delete(t.open, y.Alias)
		if outermost {
			t.alias = 0
		}
	case yaml.ScalarNode:
		t.scalar(n, y)
	case yaml.SequenceNode:
		n.Kind = List
		t.open[y] = true
		for _, c := range y.Content {
			n.Items = append(n.Items, t.node(c, depth+1))
		}
		delete(t.open, y)
	case yaml.MappingNode:
		n.Kind = Map
		t.open[y] = true
		t.mapping(n, y, depth)
		delete(t.open, y)
	}
	return n
}

func (t *tree) scalar(n *Node, y *yaml.Node) {
	n.Tag = y.ShortTag()
	if n.Tag == "!!null" {
		return
	}
	n.Kind = Scalar
	n.Text = y.Value
	n.Plain = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		n.Line++ // the text starts after the line with "|" or ">"
	}
}

func (t *tree) mapping(n *Node, y *yaml.Node, depth int) {
	first := map[string]int{}
	var merges []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			t.fail(k.Line, "a key must be text")
			continue
		}
		value := t.node(v, depth+1)
		if k.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if line, ok := first[k.Value]; ok {
			key, _ := secret.Scrub(k.Value)
			t.fail(k.Line, "the key %q appears twice, first on line %d", key, line)
			continue
		}
		first[k.Value] = k.Line
		n.Pairs = append(n.Pairs, Pair{Key: k.Value, Line: k.Line, Value: value})
	}
	for _, m := range merges {
		from := []*Node{m}
		if m.Kind == List {
			from = m.Items
		}
		for _, f := range from {
			if f.Kind != Map {
				t.fail(f.Line, "only mappings can be merged with <<")
				continue
			}
			for _, p := range f.Pairs {
				if _, ok := first[p.Key]; !ok {
					first[p.Key] = p.Line
					n.Pairs = append(n.Pairs, p)
				}
			}
		}
	}
}
