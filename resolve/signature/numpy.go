package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"mlenv/resolve/pattern"
)

// dtype is a numpy type: the letter of its kind and its size in bytes.
type dtype struct {
	kind byte
	size int
}

// dtypes are numpy's types by name. "str" is also pandas' type for text.
var dtypes = map[string]dtype{
	"bool": {'b', 1}, "int8": {'i', 1}, "int16": {'i', 2}, "int32": {'i', 4}, "int64": {'i', 8},
	"uint8": {'u', 1}, "uint16": {'u', 2}, "uint32": {'u', 4}, "uint64": {'u', 8},
	"float16": {'f', 2}, "float32": {'f', 4}, "float64": {'f', 8}, "complex64": {'c', 8}, "complex128": {'c', 16},
	"str": {'U', 0}, "bytes": {'S', 0}, "object": {'O', 8}, "datetime": {'M', 8}, "datetimetz": {'M', 8},
}

// canonicalDType returns the name in dtypes for the dtype of a tensor-spec, or "" if it is unknown.
func canonicalDType(name string) string {
	switch {
	case dtypes[name].kind != 0:
		return name
	case name == "float":
		return "float64"
	case name == "int":
		return "int64"
	case strings.HasPrefix(name, "<U") || name == "U" || name == "str_":
		return "str"
	case strings.HasPrefix(name, "|S") || name == "S" || name == "bytes_":
		return "bytes"
	case strings.HasPrefix(name, "datetime64"):
		return "datetime"
	case name == "O":
		return "object"
	}
	return ""
}

// numpyType returns the name of the numpy type for a scalar kind.
func (k Kind) numpyType() string {
	return map[Kind]string{Boolean: "bool", Integer: "int32", Long: "int64", Float: "float32", Double: "float64",
		String: "str", Binary: "bytes", Datetime: "datetime"}[k]
}

// array is a numpy ndarray.
type array struct {
	dtype  string
	shape  []int
	flat   []any
	sparse bool // a sparse matrix, for which flat is nil
}

// scalar is a numpy scalar.
type scalar struct {
	dtype string
	value any
}

// flatten returns the shape of nested lists and their leaves in order. If ragged is true, lists of
// different lengths become leaves; otherwise they are an error.
func flatten(v any, ragged bool) ([]int, []any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, []any{v}, nil
	}
	if len(list) == 0 {
		return []int{0}, nil, nil
	}
	var inner []int
	var flat []any
	lists := 0
	for i, item := range list {
		shape, leaves, err := flatten(item, ragged)
		if err != nil {
			return nil, nil, err
		}
		if _, ok := item.([]any); ok {
			lists++
		}
		if i > 0 && fmt.Sprint(shape) != fmt.Sprint(inner) {
			if ragged {
				return []int{len(list)}, list, nil
			}
			return nil, nil, errors.New("lists of different lengths do not make an array")
		}
		inner = shape
		flat = append(flat, leaves...)
	}
	return append([]int{len(list)}, inner...), flat, nil
}

// newArray does what numpy.array(v, dtype) does. If dtype is "", it is inferred.
func newArray(v any, dtype string) (*array, error) {
	if a, ok := v.(*array); ok {
		v = a.list()
	}
	shape, flat, err := flatten(unwrap(v), dtype == "object")
	if err != nil {
		return nil, err
	}
	if dtype == "" {
		dtype = inferNumpy(flat)
	}
	a := &array{dtype: dtype, shape: shape, flat: make([]any, len(flat))}
	for i, leaf := range flat {
		if a.flat[i], err = castNumpy(leaf, dtype); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// unwrap replaces numpy scalars and arrays in nested lists by their values.
func unwrap(v any) any {
	switch v := v.(type) {
	case scalar:
		return v.value
	case *array:
		return v.list()
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = unwrap(v[i])
		}
		return out
	}
	return v
}

// list returns the array as nested lists.
func (a *array) list() any {
	if len(a.shape) == 0 {
		return a.flat[0]
	}
	return unflatten(a.shape, a.flat)
}

// unflatten undoes flatten.
func unflatten(shape []int, flat []any) []any {
	out := make([]any, shape[0])
	step := 0
	if shape[0] > 0 {
		step = len(flat) / shape[0]
	}
	for i := range out {
		part := flat[i*step : (i+1)*step]
		if len(shape) == 1 {
			out[i] = part[0]
		} else {
			out[i] = unflatten(shape[1:], part)
		}
	}
	return out
}

// inferNumpy returns the dtype that numpy.array gives to values.
func inferNumpy(flat []any) string {
	var bools, ints, bigs, floats, texts, others int
	for _, v := range flat {
		switch v.(type) {
		case bool:
			bools++
		case int64:
			ints++
		case *big.Int:
			bigs++
		case float64:
			floats++
		case string:
			texts++
		default:
			others++
		}
	}
	switch {
	case others > 0:
		return "object"
	case texts > 0:
		return "str"
	case bigs > 0 && floats == 0:
		return "object" // integers that no numpy type holds
	case floats > 0 || bigs > 0 || len(flat) == 0:
		return "float64"
	case ints > 0:
		return "int64"
	}
	return "bool"
}

// timestamp is a date and time. It has no fields because its value never matters.
type timestamp struct{}

// numpyDate matches the dates that numpy reads (ISO 8601 without week dates).
var numpyDate = pattern.New(`^[+-]?\d{4,}(-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?)?)?)?$`)

// castNumpy converts a Python value as numpy does when it fills an array.
func castNumpy(v any, dtype string) (any, error) {
	switch dtypes[dtype].kind {
	case 'b':
		return truth(v), nil
	case 'i', 'u':
		return castInt(v, dtype)
	case 'f', 'c':
		return castFloat(v)
	case 'U':
		if s, ok := v.(string); ok {
			return s, nil
		}
		return fmt.Sprint(v), nil
	case 'S':
		if s, ok := v.(string); ok && strings.ContainsFunc(s, func(r rune) bool { return r > 127 }) {
			return nil, errors.New("text that is not ASCII is not binary")
		}
		return []byte(fmt.Sprint(v)), nil
	case 'M':
		switch v := v.(type) {
		case nil, bool, int64, timestamp:
			return timestamp{}, nil
		case string:
			if v == "" || v == "NaT" || numpyDate.MatchString(v) && validDate(v) {
				return timestamp{}, nil
			}
		}
		return nil, fmt.Errorf("%s is not a date", describe(v))
	}
	return v, nil
}

// describe returns a value as messages show it.
func describe(v any) string {
	if s, ok := v.(string); ok {
		const most = 40
		if runes := []rune(s); len(runes) > most {
			s = string(runes[:most]) + "…"
		}
		return strconv.Quote(s)
	}
	switch v := v.(type) {
	case bool, int64, float64, *big.Int:
		return fmt.Sprint(v)
	}
	return typeName(v)
}

// truth is Python's bool().
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case *object:
		return len(v.keys) > 0
	}
	return true
}

// castInt converts a value to an integer type. It truncates fractions, as int() does.
func castInt(v any, dtype string) (any, error) {
	var n *big.Int
	switch v := v.(type) {
	case bool:
		n = big.NewInt(0)
		if v {
			n.SetInt64(1)
		}
	case int64:
		n = big.NewInt(v)
	case *big.Int:
		n = v
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%v is not an integer", v)
		}
		n, _ = big.NewFloat(v).Int(nil)
	case string:
		var ok bool
		if n, ok = new(big.Int).SetString(strings.TrimSpace(v), 10); !ok {
			return nil, fmt.Errorf("%s is not an integer", describe(v))
		}
	default:
		return nil, fmt.Errorf("%s is not an integer", describe(v))
	}
	d := dtypes[dtype]
	// The range is [low, high): from 0 for unsigned types, else half of it below 0.
	bits := uint(d.size * 8)
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), bits)
	if d.kind == 'i' {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	if n.Cmp(low) < 0 || n.Cmp(high) >= 0 {
		return nil, fmt.Errorf("%s is too large for %s", n, dtype)
	}
	if n.IsInt64() {
		return n.Int64(), nil
	}
	return n, nil
}

// castFloat converts a value to a floating-point number. None becomes NaN.
func castFloat(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return math.NaN(), nil
	case bool:
		if v {
			return 1.0, nil
		}
		return 0.0, nil
	case int64:
		return float64(v), nil
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		if math.IsInf(f, 0) {
			return nil, fmt.Errorf("%s is too large", v)
		}
		return f, nil
	case float64:
		return v, nil
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		// Go reads hexadecimal numbers, too, which Python's float() does not.
		if err == nil && !strings.ContainsAny(v, "xXpP") || math.IsInf(f, 0) {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%s is not a number", describe(v))
}

// decodeBase64 does what Python's base64.decodebytes does, which ignores characters outside the
// alphabet.
func decodeBase64(s string) ([]byte, error) {
	clean := strings.Map(func(r rune) rune {
		if r == '+' || r == '/' || r == '=' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, s)
	body := strings.TrimRight(clean, "=")
	if i := strings.IndexByte(body, '='); i >= 0 {
		body = body[:i]
	}
	// Four characters are three bytes. The last group may be short if "=" fills it up; one character alone is
	// less than a byte.
	missing := (4 - len(body)%4) % 4
	if len(body)%4 == 1 || len(clean)-len(body) < missing {
		return nil, errors.New("is not base64")
	}
	return base64.RawStdEncoding.DecodeString(body)
}
