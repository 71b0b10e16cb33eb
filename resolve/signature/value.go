// Package signature checks whether input examples match the signature of an MLflow Model, with the
// same result as MLflow itself. An example goes through the same steps as in MLflow (reading,
// casting to the schema, schema enforcement), and the package imitates what pandas and numpy do to
// the values on the way. Many functions are therefore named after what they imitate; the tests
// compare the results with those recorded from real MLflow.
package signature

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"encoding/json"
)

// Python values are represented by any. JSON yields nil, bool, int64, *big.Int, float64, string,
// []any and *object; numpy and pandas add *array, scalar and *frame.

// object is a Python dict, which keeps the order of its keys.
type object struct {
	keys   []string
	values map[string]any
}

func newObject() *object { return &object{values: map[string]any{}} }

func (o *object) set(key string, v any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func (o *object) has(key string) bool { _, ok := o.values[key]; return ok }

// parser reads JSON as Python does: with NaN and Infinity and integers of any size. The last of
// several equal keys wins. encoding/json knows none of these, and loses the order of keys, by which pandas
// orders columns.
type parser struct {
	in    string
	at    int
	depth int
}

// maxDepth is how deeply lists and objects may be nested. Python's own parser stops at about 1000, and no
// example comes near it; without a limit a file of brackets would exhaust the stack.
const maxDepth = 500

// parseJSON reads one document.
func parseJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("is not UTF-8")
	}
	p := &parser{in: string(data)}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.in) {
		return nil, p.fail("more than one value")
	}
	return v, nil
}

// fail returns a SyntaxError for where the parser is.
func (p *parser) fail(format string, args ...any) error {
	line := 1 + strings.Count(p.in[:min(p.at, len(p.in))], "\n")
	return &SyntaxError{Line: line, Problem: fmt.Sprintf(format, args...)}
}

// SyntaxError reports that a text is not JSON.
type SyntaxError struct {
	Line    int // from 1
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("is not JSON: line %d: %s", e.Line, e.Problem)
}

func (p *parser) space() {
	for p.at < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.at]) >= 0 {
		p.at++
	}
}

// words are JSON's words, and those that Python reads beside them.
var words = map[string]any{
	"null": nil, "true": true, "false": false,
	"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1),
}

// value reads a value of any type.
func (p *parser) value() (any, error) {
	p.space()
	if p.at == len(p.in) {
		return nil, p.fail("unexpected end of input")
	}
	for word, v := range words {
		if strings.HasPrefix(p.in[p.at:], word) {
			p.at += len(word)
			return v, nil
		}
	}
	switch c := p.in[p.at]; {
	case c == '"':
		return p.text()
	case c == '[' || c == '{':
		if p.depth++; p.depth > maxDepth {
			return nil, p.fail("nested too deeply")
		}
		defer func() { p.depth-- }()
		if c == '[' {
			return p.list()
		}
		return p.object()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	default:
		return nil, p.fail("no value starts with %q", p.in[p.at:p.at+1])
	}
}

// text reads a string: it finds the end, and leaves the escapes to encoding/json.
func (p *parser) text() (string, error) {
	end := p.at + 1
	for end < len(p.in) && p.in[end] != '"' {
		if p.in[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.in) {
		return "", p.fail("a string is not closed")
	}
	var s string
	if err := json.Unmarshal([]byte(p.in[p.at:end+1]), &s); err != nil {
		return "", p.fail("a string is malformed")
	}
	p.at = end + 1
	return s, nil
}

// number reads an integer, of any size, or a floating-point number: to Python 1.0 is one and 1 is not.
func (p *parser) number() (any, error) {
	end := p.at
	for end < len(p.in) && strings.IndexByte("+-0123456789.eE", p.in[end]) >= 0 {
		end++
	}
	text := p.in[p.at:end]
	if !json.Valid([]byte(text)) {
		return nil, p.fail("%s is not a number", text)
	}
	p.at = end
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64) // out of range becomes ±Inf, as in Python
		if err != nil && !math.IsInf(f, 0) {
			return nil, p.fail("%s is not a number", text)
		}
		return f, nil
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, nil
	}
	const mostDigits = 4300 // Python's own limit
	if len(text) > mostDigits {
		return nil, p.fail("a number has more than %d digits", mostDigits)
	}
	b, _ := new(big.Int).SetString(text, 10)
	return b, nil
}

func (p *parser) list() (any, error) {
	p.at++
	list := []any{}
	for {
		if p.space(); p.at < len(p.in) && p.in[p.at] == ']' && len(list) == 0 {
			p.at++
			return list, nil
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if done, err := p.more(']'); done || err != nil {
			return list, err
		}
	}
}

func (p *parser) object() (any, error) {
	p.at++
	o := newObject()
	for {
		if p.space(); p.at < len(p.in) && p.in[p.at] == '}' && len(o.keys) == 0 {
			p.at++
			return o, nil
		}
		if p.at >= len(p.in) || p.in[p.at] != '"' {
			return nil, p.fail("a key must be a string")
		}
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		if p.space(); p.at >= len(p.in) || p.in[p.at] != ':' {
			return nil, p.fail("a colon is missing")
		}
		p.at++
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		o.set(key, v)
		if done, err := p.more('}'); done || err != nil {
			return o, err
		}
	}
}

// more reads the comma or the closing bracket after an item. done reports whether it was the
// bracket.
func (p *parser) more(closing byte) (done bool, err error) {
	p.space()
	if p.at < len(p.in) {
		switch p.at++; p.in[p.at-1] {
		case ',':
			return false, nil
		case closing:
			return true, nil
		}
		p.at--
	}
	return true, p.fail("a comma or %c is missing", closing)
}

// typeName returns the type of a value as messages name it.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64, *big.Int:
		return "an integer"
	case float64:
		return "a number"
	case string:
		return "text"
	case []any:
		return "a list"
	case *object:
		return "an object"
	case scalar:
		return typeName(v.value)
	case *array:
		return "an array"
	case *frame:
		return "a table"
	}
	return "something else"
}

// isScalar does what numpy.isscalar does. None is not a scalar.
func isScalar(v any) bool {
	switch v.(type) {
	case bool, int64, *big.Int, float64, string, scalar:
		return true
	}
	return false
}

func isNaN(v any) bool {
	f, ok := v.(float64)
	return ok && math.IsNaN(f)
}

func isNull(v any) bool { return v == nil || isNaN(v) }
