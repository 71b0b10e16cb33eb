package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Info is what saved_input_example_info in MLmodel says about input_example.json.
type Info struct {
	Type   string // dataframe, ndarray, json_object, sparse_matrix_csc or sparse_matrix_csr
	Params bool   // whether the file holds inputs and params
	// Request means that data other than a dataframe is under the key "inputs". MLflow wrote it so
	// when the format was called tf-serving.
	Request bool
}

// CheckExample returns the mismatches between the text of input_example.json and the signature. It
// returns an error if the text is not JSON.
func (s *Signature) CheckExample(info Info, data []byte) ([]Mismatch, error) {
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	var params any
	if info.Params {
		o, ok := v.(*object)
		if !ok || !o.has("inputs") || !o.has("params") {
			return []Mismatch{mismatch("", "MLmodel says that the example has inputs and params, but it does not")}, nil
		}
		v, params = o.values["inputs"], o.values["params"]
	}
	if o, ok := v.(*object); ok && info.Request && o.has("inputs") {
		v = o.values["inputs"]
	}
	input, err := s.readExample(info, v)
	if err != nil {
		return readMismatch(err), nil
	}
	return s.checkInput(input, params), nil
}

// checkInput does the checks that predict does before it calls the model.
func (s *Signature) checkInput(input, params any) []Mismatch {
	var out []Mismatch
	if len(s.Inputs) > 0 && !s.FromTypeHint {
		out = s.enforce(input)
	}
	return append(out, s.enforceParams(params)...)
}

// readExample does what MLflow's _read_example does.
func (s *Signature) readExample(info Info, v any) (any, error) {
	switch info.Type {
	case "json_object":
		return v, nil
	case "ndarray":
		return s.castInputs(v)
	case "dataframe":
		f, err := frameOfSplit(v)
		if err != nil {
			return nil, err
		}
		return f, s.castFrame(f)
	case "sparse_matrix_csc", "sparse_matrix_csr":
		return readSparse(v)
	}
	return nil, fmt.Errorf("MLmodel gives the example the type %q, which MLflow does not know", info.Type)
}

// readSparse reads the shape and dtype of a sparse matrix. Nothing else is compared.
func readSparse(v any) (any, error) {
	o, ok := v.(*object)
	if !ok || !o.has("data") || !o.has("indices") || !o.has("indptr") || !o.has("shape") {
		return nil, errors.New("a sparse matrix has data, indices, indptr and shape")
	}
	// MLflow compares the shape and the dtype of a sparse matrix, and never its values.
	data, err := newArray(o.values["data"], "")
	if err != nil {
		return nil, err
	}
	a := &array{dtype: data.dtype, sparse: true}
	shape, _ := o.values["shape"].([]any)
	for _, n := range shape {
		i, ok := n.(int64)
		if !ok {
			return nil, errors.New("the shape of a sparse matrix is made of integers")
		}
		a.shape = append(a.shape, int(i))
	}
	return a, nil
}

// The formats of a request to MLflow's scoring server.
var servingFormats = []string{"dataframe_split", "dataframe_records", "instances", "inputs"}

// CheckServing returns the mismatches between the signature and the text of
// serving_input_example.json, which is a request to the scoring server. It returns an error if the
// text is not JSON.
func (s *Signature) CheckServing(data []byte) ([]Mismatch, error) {
	v, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return []Mismatch{mismatch("", "a request must be an object with one of %s, but it is %s", strings.Join(servingFormats, ", "), typeName(v))}, nil
	}
	// By these keys the scoring server knows a request of OpenAI's API, which has no format key around it.
	if o.has("messages") || o.has("prompt") || o.has("input") {
		input, params := s.splitChat(o)
		return s.checkInput(input, params), nil
	}
	params := o.values["params"]
	var formats []string
	for _, key := range o.keys {
		if slices.Contains(servingFormats, key) {
			formats = append(formats, key)
		}
	}
	if s.FromTypeHint {
		if !o.has("inputs") {
			return []Mismatch{mismatch("", "a request to a model with a type hint must have the key inputs")}, nil
		}
		return s.checkInput(o.values["inputs"], params), nil
	}
	if len(formats) != 1 {
		return []Mismatch{mismatch("", "a request must have exactly one of %s, but it has %s", strings.Join(servingFormats, ", "), strings.Join(o.keys, ", "))}, nil
	}
	input, err := s.readServing(formats[0], o.values[formats[0]])
	if err != nil {
		return readMismatch(err), nil
	}
	return s.checkInput(input, params), nil
}

// splitChat splits a request in the chat, completion or embedding format into input and parameters.
func (s *Signature) splitChat(o *object) (input, params any) {
	data, given := newObject(), newObject()
	for _, key := range o.keys {
		to := data
		if s.param(key) != nil {
			to = given
		}
		to.set(key, o.values[key])
	}
	return data, given
}

// readServing does what the scoring server's infer_and_parse_data does.
func (s *Signature) readServing(format string, v any) (any, error) {
	switch format {
	case "dataframe_split":
		f, err := frameOfSplit(v)
		if err != nil {
			return nil, err
		}
		return f, s.castFrame(f)
	case "dataframe_records":
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("dataframe_records must be a list, but it is %s", typeName(v))
		}
		f, err := frameOfRows(list, nil)
		if err != nil {
			return nil, err
		}
		return f, s.castFrame(f)
	case "instances":
		return s.castInstances(v)
	}
	return s.castInputs(v)
}

// castFrame does what MLflow's cast_df_types_according_to_schema does. It modifies f.
func (s *Signature) castFrame(f *frame) error {
	if len(s.Inputs) == 0 {
		return nil
	}
	for i := range f.columns {
		c := s.columnFor(f, i)
		if c == nil {
			continue
		}
		cast, err := castColumn(f.columns[i], c.Type, c.Required)
		if err != nil {
			return &columnError{name: fmt.Sprint(f.names[i]), want: c.Type, err: err}
		}
		f.columns[i] = cast
	}
	return nil
}

// columnError reports that a column could not be cast.
type columnError struct {
	name string
	want *Type
	err  error
}

func (e *columnError) Error() string {
	return fmt.Sprintf("the column %s should be %s: %v", e.name, e.want, e.err)
}

// columnFor returns the column of the schema that column i of the table is cast to, or nil.
func (s *Signature) columnFor(f *frame, i int) *Column {
	switch {
	case s.named():
		return s.input(text(f.names[i]))
	case s.tensors():
		return &s.Inputs[0]
	case i < len(s.Inputs):
		return &s.Inputs[i]
	}
	return nil
}

// castColumn converts a column of a request's or an example's table to the type in the schema, before the
// schema is enforced: JSON has no dates, no bytes, and no types of numbers.
func castColumn(col series, t *Type, required bool) (series, error) {
	switch t.Kind {
	case Any:
		return col, nil
	case Array, Object, Map:
		for _, v := range col.values {
			if err := enforceType(v, t, required); err != nil {
				return col, err
			}
		}
		return col, nil
	case Tensor:
		if len(col.values) == 0 {
			return col, errors.New("the table is empty")
		}
		if isList(col.values[0]) {
			return col, nil
		}
		return col.astype(t.DType)
	case Binary:
		out := series{dtype: "object"}
		for _, v := range col.values {
			text, ok := v.(string)
			if !ok {
				return col, fmt.Errorf("%s is not base64 text", describe(v))
			}
			decoded, err := decodeBase64(text)
			if err != nil {
				return col, fmt.Errorf("%s %w", describe(v), err)
			}
			out.values = append(out.values, decoded)
		}
		return out, nil
	case Datetime:
		return col.toDatetime()
	case String:
		if col.dtype == "str" {
			return col, nil
		}
		return series{dtype: "object", values: col.values}, nil
	}
	return col.astype(t.Kind.numpyType())
}

// castInputs does what MLflow's _cast_schema_type does.
func (s *Signature) castInputs(v any) (any, error) {
	list, isList := v.([]any)
	if len(s.Inputs) > 0 {
		switch {
		case s.named() && len(s.Inputs) == 1 && isList && !slices.ContainsFunc(list, isDict):
			o := newObject()
			o.set(s.Inputs[0].Name, v)
			v = o
		case !s.named() && !isList && !isScalar(v):
			return nil, fmt.Errorf("the signature has no names, so the inputs must be one array or value, but they are %s", typeName(v))
		}
	}
	if o, ok := v.(*object); ok {
		return s.castDict(o)
	}
	if isList && !slices.ContainsFunc(list, func(v any) bool { return !isDict(v) }) {
		rows := make([]any, len(list))
		for i, row := range list {
			cast, err := s.castDict(row.(*object))
			if err != nil {
				return nil, err
			}
			rows[i] = cast
		}
		return rows, nil
	}
	if len(s.Inputs) > 0 {
		return convert(v, &s.Inputs[0])
	}
	return convert(v, nil)
}

// castDict converts each input of a dict to the type that the schema has for it.
func (s *Signature) castDict(o *object) (*object, error) {
	out := newObject()
	for _, key := range o.keys {
		cast, err := convert(o.values[key], s.input(key))
		if err != nil {
			want := &Type{Kind: Any}
			if c := s.input(key); c != nil {
				want = c.Type
			}
			return nil, &columnError{name: key, want: want, err: err}
		}
		out.set(key, cast)
	}
	return out, nil
}

// convert does what MLflow's convert_data_type does. c is nil for an input that the schema does not
// have.
func convert(v any, c *Column) (any, error) {
	switch {
	case c == nil:
		return newArray(v, "")
	case c.Type.Kind == Tensor:
		return newArray(v, c.Type.DType)
	case c.Type.Kind == Any:
		return v, nil
	case c.Type.Kind == Array:
		if err := enforceArray(v, c.Type, c.Required); err != nil {
			return nil, err
		}
		a, err := newArray(v, arrayDType(c.Type))
		if err != nil && c.Type.Item.Kind == Double {
			return newArray(v, "object") // pandas.to_numeric leaves lists of lists as they are
		}
		return a, err
	case !c.Type.isScalar():
		return v, enforceType(v, c.Type, c.Required)
	}
	a, err := newArray(v, c.Type.Kind.numpyType())
	if err != nil {
		return nil, err
	}
	if len(a.shape) == 0 {
		return scalar{a.dtype, a.flat[0]}, nil
	}
	return a, nil
}

// arrayDType returns the dtype of the array that a list is converted to after its items have been
// enforced.
func arrayDType(t *Type) string {
	if t.Item.isScalar() {
		return t.Item.Kind.numpyType()
	}
	return ""
}

// castInstances does what MLflow's parse_instances_data does.
func (s *Signature) castInstances(v any) (any, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || !isDict(list[0]) {
		cast, err := s.castInputs(v)
		if err != nil {
			return nil, err
		}
		if o, ok := cast.(*object); ok {
			return cast, s.sameLengths(o)
		}
		return cast, nil
	}
	columns := newObject()
	for _, row := range list {
		o, ok := row.(*object)
		if !ok {
			return nil, errors.New("objects and other values are mixed in instances")
		}
		cast, err := s.castDict(o)
		if err != nil {
			return nil, err
		}
		for _, key := range cast.keys {
			have, _ := columns.values[key].([]any)
			columns.set(key, append(have, cast.values[key]))
		}
	}
	for _, key := range columns.keys {
		a, err := stackArrays(columns.values[key].([]any))
		if err != nil {
			return nil, err
		}
		columns.values[key] = a
	}
	return columns, s.sameLengths(columns)
}

// stackArrays does what numpy.array does with a list of numpy values: they keep their dtype.
func stackArrays(values []any) (*array, error) {
	dtype := ""
	for i, v := range values {
		have := ""
		switch v := v.(type) {
		case scalar:
			have = v.dtype
		case *array:
			have = v.dtype
		}
		if i > 0 && have != dtype {
			dtype = ""
			break
		}
		dtype = have
	}
	return newArray(values, dtype)
}

// sameLengths does what the scoring server does after it has put instances into columns: those that the
// schema requires must have equally many rows.
func (s *Signature) sameLengths(o *object) error {
	length := -1
	for _, key := range o.keys {
		c := s.input(key)
		if s.named() && (c == nil || !c.Required || c.Type.Kind == Array) {
			continue
		}
		n := -1
		switch v := o.values[key].(type) {
		case []any:
			n = len(v)
		case *array:
			if len(v.shape) == 0 {
				return errors.New("single values and lists are mixed")
			}
			n = v.shape[0]
		default:
			continue
		}
		if length >= 0 && n != length {
			return errors.New("the inputs differ in length")
		}
		length = n
	}
	return nil
}
