package signature

import (
	"errors"
	"fmt"
	"slices"
)

// Mismatch is one way in which an example does not match its signature.
type Mismatch struct {
	Column  string // the column or parameter; "" for the example as a whole
	Part    Part   // Inputs or Params: the part of the signature that is violated
	Message string
}

func mismatch(column, format string, args ...any) Mismatch {
	return Mismatch{Column: column, Part: Inputs, Message: fmt.Sprintf(format, args...)}
}

// readMismatch returns the mismatch for an example that could not be read at all.
func readMismatch(err error) []Mismatch {
	m := mismatch("", "%v", err)
	var c *columnError
	if errors.As(err, &c) {
		m.Column = c.name
	}
	return []Mismatch{m}
}

// tensors reports whether the inputs are tensors, and named whether they have names. One column tells for
// all: parseColumns has refused signatures that mix them.
func (s *Signature) tensors() bool { return len(s.Inputs) > 0 && s.Inputs[0].Type.Kind == Tensor }
func (s *Signature) named() bool   { return len(s.Inputs) > 0 && s.Inputs[0].Named }

// input returns the input of that name, or nil.
func (s *Signature) input(name string) *Column {
	for i := range s.Inputs {
		if s.Inputs[i].Named && s.Inputs[i].Name == name {
			return &s.Inputs[i]
		}
	}
	return nil
}

// enforce does what MLflow's _enforce_schema does.
func (s *Signature) enforce(data any) []Mismatch {
	if s.tensors() {
		return s.enforceTensors(data)
	}
	f, err := s.table(data)
	if err != nil {
		return readMismatch(err)
	}
	if f == nil {
		return []Mismatch{mismatch("", "the signature has columns, but the example is %s", typeName(data))}
	}
	if !s.named() {
		return s.enforceUnnamed(f)
	}
	var out []Mismatch
	for _, c := range s.Inputs {
		i := f.index(c.Name)
		if i < 0 {
			if c.Required {
				out = append(out, mismatch(c.Name, "the column %s (%s) is required, but the example does not have it", c.Name, c.Type))
			}
			continue
		}
		// pandas then gives MLflow a table instead of a column.
		if f.duplicated(c.Name) {
			out = append(out, mismatch(c.Name, "the column %s appears twice", c.Name))
		} else if err := enforceColumn(f.columns[i], c.Type, c.Required); err != nil {
			out = append(out, mismatch(c.Name, "the column %s should be %s: %v", c.Name, c.Type, err))
		}
	}
	return out
}

// table returns the DataFrame that MLflow makes of the input to a column-based signature, or nil if
// MLflow does not make one.
func (s *Signature) table(data any) (*frame, error) {
	switch data := data.(type) {
	case *frame:
		return data, nil
	case *object:
		return s.tableOfDict(data)
	case []any:
		return frameOfRows(data, nil)
	case *array:
		if data.sparse {
			return nil, nil
		}
		return frameOfArray(data)
	}
	if isScalar(data) {
		return frameOfRows([]any{data}, nil)
	}
	return nil, nil
}

// tableOfDict returns the DataFrame for a dict. Like MLflow, it guesses whether the dict is a
// single row or has the columns as values: it is one row if the signature has arrays or objects, or
// if all values are scalars or lists of strings.
func (s *Signature) tableOfDict(o *object) (*frame, error) {
	single := slices.ContainsFunc(s.Inputs, func(c Column) bool { return c.Type.Kind == Array || c.Type.Kind == Object })
	if !single {
		single = true
		for _, v := range o.values {
			single = single && (v == nil || isScalar(v) || isTexts(v))
		}
	}
	if single {
		return frameOfRecords([]any{o})
	}
	// Text is a single value to pandas, also where numpy holds it, so that such a dict is one row, too.
	texts := len(o.values) > 0
	for _, v := range o.values {
		a, ok := v.(*array)
		texts = texts && ok && a.dtype == "str" && len(a.shape) == 0
	}
	if texts {
		return frameOfRecords([]any{o})
	}
	// pandas takes no array of several dimensions as a column; MLflow makes lists of it first.
	for _, v := range o.values {
		if a, ok := v.(*array); ok && len(a.shape) > 1 {
			lists := newObject()
			for _, key := range o.keys {
				lists.set(key, o.values[key])
				if a, ok := o.values[key].(*array); ok && len(a.shape) > 1 {
					lists.values[key] = a.list()
				}
			}
			return frameOfDict(lists)
		}
	}
	return frameOfDict(o)
}

// isTexts reports whether v is a list of strings.
func isTexts(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok })
}

// enforceUnnamed checks a table against columns without names, by position. Further columns of the table
// are ignored, as MLflow ignores them.
func (s *Signature) enforceUnnamed(f *frame) []Mismatch {
	if len(f.names) < len(s.Inputs) {
		return []Mismatch{mismatch("", "the signature has %d columns, but the example has %d", len(s.Inputs), len(f.names))}
	}
	var out []Mismatch
	for i, c := range s.Inputs {
		if err := enforceColumn(f.columns[i], c.Type, true); err != nil {
			out = append(out, mismatch(fmt.Sprint(i), "column %d should be %s: %v", i, c.Type, err))
		}
	}
	return out
}

// enforceColumn checks one column of a table: by its dtype where the type is a scalar's, else value by
// value.
func enforceColumn(col series, t *Type, required bool) error {
	if t.isScalar() {
		return col.enforce(t.Kind)
	}
	for _, v := range col.values {
		if err := enforceType(v, t, required); err != nil {
			return err
		}
	}
	return nil
}

// enforce does what MLflow's _enforce_mlflow_datatype does: it allows only lossless conversions.
func (s series) enforce(k Kind) error {
	if s.dtype == "object" && k != Binary && k != String {
		s = inferSeries(s.values)
	}
	// What follows is numpy's idea of a cast without loss. The size of 6 bytes stands for "at most 32 bits":
	// a float64 holds every integer of up to 53.
	want := k.numpyType()
	have := dtypes[s.dtype]
	kind := dtypes[want].kind
	switch {
	case k == String && (s.dtype == "object" || s.dtype == "str"),
		k == Binary && (s.dtype == "object" || s.dtype == "str" || have.kind == 'S'),
		s.dtype == want,
		k == Boolean && s.dtype == "object":
		return nil
	case k == Datetime && s.dtype == "datetimetz":
		return errors.New("it has a time zone, which MLflow's datetime does not allow")
	case k == Datetime && s.dtype == "object":
		_, err := s.toDatetime()
		return err
	case k == Double && s.dtype == "object":
		// MLflow means decimals here, but its check accepts every column of mixed values.
		return s.toNumeric()
	case have.kind == kind && have.size <= dtypes[want].size,
		have.kind == 'u' && kind == 'i' && have.size < dtypes[want].size,
		(have.kind == 'i' || have.kind == 'u') && want == "float64" && have.size <= 6,
		s.dtype == "int64" && kind == 'f' && s.onlyBits():
		return nil
	}
	return fmt.Errorf("%s cannot be converted to it without loss", dtypeWord(s.dtype))
}

// toNumeric does what pandas.to_numeric does.
func (s series) toNumeric() error {
	for _, v := range s.values {
		switch v := v.(type) {
		case []any:
			if len(v) > 0 {
				return fmt.Errorf("%s is not a number", describe(v))
			}
		case *object:
			if len(v.keys) > 0 {
				return fmt.Errorf("%s is not a number", describe(v))
			}
		default:
			if _, err := castFloat(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// onlyBits reports whether all values are 0 or 1.
func (s series) onlyBits() bool {
	return !slices.ContainsFunc(s.values, func(v any) bool { return v != int64(0) && v != int64(1) })
}

// dtypeWord returns a dtype as messages name it.
func dtypeWord(dtype string) string {
	switch dtype {
	case "object":
		return "a mixture of values"
	case "str":
		return "text"
	}
	return dtype
}

// enforceType does what MLflow's _enforce_type does.
func enforceType(v any, t *Type, required bool) error {
	switch t.Kind {
	case Any:
		return nil
	case Array:
		return enforceArray(v, t, required)
	case Object:
		return enforceObject(v, t, required)
	case Map:
		return enforceMap(v, t, required)
	}
	if !required && isNull(v) {
		return nil
	}
	if !isScalar(v) {
		return fmt.Errorf("%s is not a single value", typeName(v))
	}
	// A value of numpy's keeps its dtype; one of Python's gets the dtype that pandas would give a column of it.
	s := inferSeries([]any{v})
	if n, ok := v.(scalar); ok {
		s.dtype = n.dtype
	}
	if err := s.enforce(t.Kind); err != nil {
		return fmt.Errorf("%s is not %s", describe(unwrap(v)), t.Kind)
	}
	return nil
}

// items returns the items of a list or an array, and whether v is one.
func items(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case *array:
		list, ok := v.list().([]any)
		return list, ok
	}
	return nil, false
}

// enforceArray does what MLflow's _enforce_array does. An optional list may be null or empty.
func enforceArray(v any, t *Type, required bool) error {
	list, ok := items(v)
	if (!required || t.Item.Kind == Any) && (v == nil || ok && len(list) == 0) {
		return nil
	}
	if !ok {
		return fmt.Errorf("%s is not a list", typeName(v))
	}
	if t.Item.isScalar() {
		if len(list) == 0 {
			return nil
		}
		s := inferSeries(list)
		if a, ok := v.(*array); ok && len(a.shape) == 1 && a.dtype != "object" && a.dtype != "str" {
			s = series{a.dtype, a.flat}
		}
		if err := s.enforce(t.Item.Kind); err != nil {
			return fmt.Errorf("the list's items should be %s: %w", t.Item, err)
		}
		return s.convert(t.Item.Kind)
	}
	for _, item := range list {
		if err := enforceType(item, t.Item, required); err != nil {
			return err
		}
	}
	return nil
}

// convert does the conversion with to_numpy that MLflow does after it has checked the items of a
// list.
func (s series) convert(k Kind) error {
	for _, v := range s.values {
		if k == Datetime || k == Double && s.dtype == "object" {
			continue // enforce has converted it
		}
		if isList(v) && (k == String || k == Binary) {
			return fmt.Errorf("%s is not a single value", typeName(v))
		}
		if _, err := castNumpy(v, k.numpyType()); err != nil {
			return err
		}
	}
	return nil
}

// enforceObject does what MLflow's _enforce_object does: unlike a table, an object must have no property
// that the signature does not know.
func enforceObject(v any, t *Type, required bool) error {
	o, ok := v.(*object)
	if !required && (v == nil || ok && len(o.keys) == 0) {
		return nil
	}
	if !ok {
		return fmt.Errorf("%s is not an object", typeName(v))
	}
	for _, p := range t.Properties {
		if p.Required && !o.has(p.Name) {
			return fmt.Errorf("the property %s is missing", p.Name)
		}
	}
	for _, key := range o.keys {
		i := slices.IndexFunc(t.Properties, func(p Column) bool { return p.Name == key })
		if i < 0 {
			return fmt.Errorf("there is no property %s in the signature", key)
		}
		if err := enforceType(o.values[key], t.Properties[i].Type, t.Properties[i].Required); err != nil {
			return fmt.Errorf("property %s: %w", key, err)
		}
	}
	return nil
}

// enforceMap does what MLflow's _enforce_map does: any keys, values of one type.
func enforceMap(v any, t *Type, required bool) error {
	o, ok := v.(*object)
	if (!required || t.Item.Kind == Any) && (v == nil || ok && len(o.keys) == 0) {
		return nil
	}
	if !ok {
		return fmt.Errorf("%s is not an object", typeName(v))
	}
	for _, key := range o.keys {
		if err := enforceType(o.values[key], t.Item, required); err != nil {
			return fmt.Errorf("key %s: %w", key, err)
		}
	}
	return nil
}
