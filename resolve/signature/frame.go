package signature

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
)

// series is a pandas Series, one column of a frame.
type series struct {
	dtype  string
	values []any
}

// frame is a pandas DataFrame.
type frame struct {
	names   []any // strings, or int64 for columns that are named by numbers
	columns []series
	rows    int
}

// index returns the index of the first column with a name, or -1.
func (f *frame) index(name string) int {
	return slices.IndexFunc(f.names, func(n any) bool { return text(n) == name })
}

// duplicated reports whether several columns have a name.
func (f *frame) duplicated(name string) bool {
	n := 0
	for _, have := range f.names {
		if text(have) == name {
			n++
		}
	}
	return n > 1
}

// inferSeries returns a series with the dtype that pandas infers for values. None among numbers
// becomes NaN.
func inferSeries(values []any) series {
	s := series{values: slices.Clone(values)}
	var bools, ints, bigs, floats, texts, nones, nans, dates, others int
	for i, v := range s.values {
		if n, ok := v.(scalar); ok {
			v = n.value
			s.values[i] = v
		}
		switch v := v.(type) {
		case nil:
			nones++
		case bool:
			bools++
		case int64:
			ints++
		case *big.Int:
			bigs++
		case float64:
			if math.IsNaN(v) {
				nans++
			}
			floats++
		case string:
			texts++
		case timestamp:
			dates++
		default:
			others++
		}
	}
	// The order counts: what is not wholly of one sort stays a column of Python objects.
	n := len(values)
	switch {
	case n == 0 || others > 0 || nones == n:
		s.dtype = "object"
	case texts+nones+nans == n && texts > 0:
		s.dtype = "str"
	case bools == n:
		s.dtype = "bool"
	case ints+bigs+floats+nones == n && (bigs == 0 || bigs+ints == n && fitsUint(values)):
		s.dtype = "int64"
		switch {
		case floats+nones > 0:
			s.dtype = "float64"
			for i, v := range s.values {
				s.values[i], _ = castFloat(v)
			}
		case bigs > 0:
			s.dtype = "uint64"
		}
	case dates+nones == n:
		s.dtype = "datetime"
	default:
		s.dtype = "object"
	}
	return s
}

// fitsUint reports whether all values fit in a uint64.
func fitsUint(values []any) bool {
	return !slices.ContainsFunc(values, func(v any) bool { _, err := castInt(v, "uint64"); return err != nil })
}

// maxCells limits the size of a table. Short rows are padded, so without a limit a small file with
// one long row could become a huge table.
const maxCells = 1 << 24

var errTooLarge = errors.New("the table is too large to check")

// frameOfRows does what DataFrame(data, columns=…) does with a list.
func frameOfRows(data []any, names []any) (*frame, error) {
	// The first row decides whether they are dicts, lists or single values, and the others must follow.
	width, dicts, lists := 0, 0, 0
	for _, row := range data {
		switch row := row.(type) {
		case []any:
			width = max(width, len(row))
			lists++
		case *object:
			dicts++
		}
	}
	switch {
	case len(data) > 0 && isDict(data[0]):
		if dicts < len(data) {
			return nil, errors.New("objects and other values are mixed")
		}
		f, err := frameOfRecords(data)
		if err == nil && names != nil {
			f = f.selectColumns(names)
		}
		return f, err
	case len(data) > 0 && isList(data[0]):
		if lists+countNil(data) < len(data) {
			return nil, errors.New("rows and other values are mixed")
		}
	default:
		width = min(len(data), 1)
		rows := make([]any, len(data))
		for i, v := range data {
			rows[i] = []any{v}
		}
		data = rows
	}
	// Short rows are filled up with None, so that the longest one says how many columns there are.
	if names == nil {
		for i := range width {
			names = append(names, int64(i))
		}
	} else if len(data) > 0 && len(names) != width {
		return nil, fmt.Errorf("there are %d columns, but rows of %d values", len(names), width)
	}
	if len(names)*len(data) > maxCells {
		return nil, errTooLarge
	}
	f := &frame{names: names, rows: len(data)}
	for i := range names {
		values := make([]any, len(data))
		for j, row := range data {
			if list, ok := row.([]any); ok && i < len(list) {
				values[j] = list[i]
			}
		}
		f.columns = append(f.columns, inferSeries(values))
	}
	return f, nil
}

// isDict and isList report whether a value is a dict or a list of Python's.
func isDict(v any) bool { _, ok := v.(*object); return ok }
func isList(v any) bool { _, ok := v.([]any); return ok }

func countNil(list []any) (n int) {
	for _, v := range list {
		if v == nil {
			n++
		}
	}
	return n
}

// frameOfRecords does what DataFrame does with a list of dicts: missing values become NaN.
func frameOfRecords(data []any) (*frame, error) {
	f := &frame{rows: len(data)}
	seen := map[string]bool{}
	for _, row := range data {
		for _, key := range row.(*object).keys {
			if !seen[key] {
				seen[key] = true
				f.names = append(f.names, key)
			}
		}
	}
	if len(f.names)*len(data) > maxCells {
		return nil, errTooLarge
	}
	for _, name := range f.names {
		values := make([]any, len(data))
		for i, row := range data {
			key, _ := name.(string)
			if v, ok := row.(*object).values[key]; ok {
				values[i] = v
			} else {
				values[i] = math.NaN()
			}
		}
		f.columns = append(f.columns, inferSeries(values))
	}
	return f, nil
}

// selectColumns returns the table with the given columns. Those that it does not have are NaN.
func (f *frame) selectColumns(names []any) *frame {
	out := &frame{names: names, rows: f.rows}
	for _, name := range names {
		if i := f.index(text(name)); i >= 0 {
			out.columns = append(out.columns, f.columns[i])
		} else {
			out.columns = append(out.columns, inferSeries(slices.Repeat([]any{math.NaN()}, f.rows)))
		}
	}
	return out
}

// frameOfDict does what DataFrame does with a dict: lists are columns, which must have the same
// length, and scalars are repeated for all rows.
func frameOfDict(o *object) (*frame, error) {
	f := &frame{rows: -1}
	var index []string
	seen := map[string]bool{}
	dicts, lists := 0, 0
	for _, key := range o.keys {
		f.names = append(f.names, key)
		n := -1
		switch v := o.values[key].(type) {
		case []any:
			n = len(v)
		case *array:
			if len(v.shape) > 1 {
				return nil, fmt.Errorf("%s has %d dimensions", key, len(v.shape))
			}
			if len(v.shape) == 1 {
				n = v.shape[0]
			}
		case *object:
			// The keys of a nested object are row labels. The rows are the union of the keys of all
			// objects.
			for _, k := range v.keys {
				if !seen[k] {
					seen[k] = true
					index = append(index, k)
				}
			}
			dicts++
			continue
		}
		if n >= 0 {
			lists++
		}
		if n >= 0 && f.rows >= 0 && n != f.rows {
			return nil, errors.New("all columns must have the same length")
		}
		f.rows = max(f.rows, n)
	}
	if dicts > 0 {
		if lists > 0 {
			return nil, errors.New("lists and objects are mixed")
		}
		f.rows = len(index)
	}
	if f.rows < 0 && len(o.keys) > 0 {
		return nil, errors.New("there are only single values and no rows")
	}
	f.rows = max(f.rows, 0)
	if f.rows*len(o.keys) > maxCells {
		return nil, errTooLarge
	}
	for _, key := range o.keys {
		v := o.values[key]
		if d, ok := v.(*object); ok {
			v = d.aligned(index)
		}
		f.columns = append(f.columns, columnOf(v, f.rows))
	}
	return f, nil
}

// aligned returns a dict's values in the order of an index, with NaN for missing ones.
func (o *object) aligned(index []string) []any {
	values := make([]any, len(index))
	for i, key := range index {
		if values[i] = math.NaN(); o.has(key) {
			values[i] = o.values[key]
		}
	}
	return values
}

// columnOf returns a column of a dict: a list as it is, a single value repeated for every row.
func columnOf(v any, rows int) series {
	switch v := v.(type) {
	case []any:
		return inferSeries(v)
	case *array:
		if len(v.shape) == 1 {
			if v.dtype == "object" || v.dtype == "str" {
				return inferSeries(v.flat)
			}
			return series{dtype: v.dtype, values: v.flat}
		}
		return inferSeries(slices.Repeat([]any{v.flat[0]}, rows))
	}
	return inferSeries(slices.Repeat([]any{v}, rows))
}

// frameOfArray does what DataFrame does with an ndarray.
func frameOfArray(a *array) (*frame, error) {
	switch len(a.shape) {
	case 0:
		return nil, errors.New("a single value is not a table")
	case 1:
		return &frame{names: []any{int64(0)}, columns: []series{columnOf(a, a.shape[0])}, rows: a.shape[0]}, nil
	case 2:
		f := &frame{rows: a.shape[0]}
		for i := range a.shape[1] {
			var values []any
			for j := range a.shape[0] {
				values = append(values, a.flat[j*a.shape[1]+i])
			}
			s := series{dtype: a.dtype, values: values}
			if a.dtype == "object" || a.dtype == "str" {
				s = inferSeries(values)
			}
			f.names = append(f.names, int64(i))
			f.columns = append(f.columns, s)
		}
		return f, nil
	}
	return nil, fmt.Errorf("an array of %d dimensions is not a table", len(a.shape))
}

// frameOfSplit reads pandas' "split" format.
func frameOfSplit(v any) (*frame, error) {
	o, ok := v.(*object)
	if !ok {
		return nil, fmt.Errorf("the table must be an object with columns and data, but it is %s", typeName(v))
	}
	for _, key := range o.keys {
		if key != "columns" && key != "data" && key != "index" {
			return nil, fmt.Errorf("the table has the key %q beside columns, data and index", key)
		}
	}
	if !o.has("data") {
		return nil, errors.New("the table has no data")
	}
	var names []any
	switch columns := o.values["columns"].(type) {
	case nil:
	case []any:
		names = append([]any{}, columns...)
	default:
		return nil, errors.New("the table's columns are not a list")
	}
	switch data := o.values["data"].(type) {
	case []any:
		f, err := frameOfRows(data, names)
		if index, ok := o.values["index"].([]any); ok && err == nil && len(index) != f.rows {
			return nil, fmt.Errorf("the table has %d rows, but an index of %d", f.rows, len(index))
		}
		return f, err
	case *object:
		return frameOfDict(data)
	default:
		return nil, fmt.Errorf("the table's data is %s", typeName(data))
	}
}

// astype does what pandas' Series.astype does, for the types that schemas can have.
func (s series) astype(dtype string) (series, error) {
	out := series{dtype: dtype, values: make([]any, len(s.values))}
	for i, v := range s.values {
		var err error
		switch kind := dtypes[dtype].kind; {
		case kind == 'O' || kind == 'U':
			out.values[i] = v
			continue
		case (kind == 'i' || kind == 'u') && (s.dtype == "int64" || s.dtype == "uint64"):
			out.values[i] = v // numbers that are too large wrap around silently
			continue
		case (kind == 'i' || kind == 'u') && dtypes[s.dtype].kind == 'f':
			if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
				return s, fmt.Errorf("%v is not an integer", f)
			}
			out.values[i] = v
			continue
		case kind == 'b' && s.dtype == "str" && isNull(v):
			out.values[i] = false
			continue
		case kind == 'f' && isDict(v) || kind == 'f' && isList(v):
			err = fmt.Errorf("%s is not a number", describe(v))
		default:
			out.values[i], err = castNumpy(v, dtype)
		}
		if err != nil {
			return s, err
		}
	}
	return out, nil
}

// toDatetime does what pandas.to_datetime does.
func (s series) toDatetime() (series, error) {
	out := series{dtype: "datetime", values: make([]any, len(s.values))}
	layout := ""
	for i, v := range s.values {
		out.values[i] = timestamp{}
		switch v := v.(type) {
		case nil, int64, float64, timestamp: // numbers count nanoseconds since 1970
		case string:
			if v == "" || v == "NaT" || v == "nan" || v == "None" {
				continue
			}
			form, ok := dateForm(v)
			if !ok {
				return s, fmt.Errorf("%s is not a date", describe(v))
			}
			if layout != "" && form != layout {
				return s, fmt.Errorf("%s is a date in another format than the first", describe(v))
			}
			if layout = form; strings.HasSuffix(form, "z") {
				out.dtype = "datetimetz"
			}
		default:
			return s, fmt.Errorf("%s is not a date", describe(v))
		}
	}
	return out, nil
}
