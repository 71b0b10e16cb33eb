package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// enforceTensors does what MLflow's _enforce_tensor_schema does, after the check for missing
// inputs.
func (s *Signature) enforceTensors(data any) []Mismatch {
	if !s.named() {
		return s.enforceTensor(data)
	}
	// Where there is one input, MLflow takes an array without its name.
	if a, ok := data.(*array); ok && len(s.Inputs) == 1 && !a.sparse {
		o := newObject()
		o.set(s.Inputs[0].Name, a)
		data = o
	}
	var out []Mismatch
	for _, c := range s.Inputs {
		var err error
		switch data := data.(type) {
		case *object:
			v, ok := data.values[c.Name]
			a, isArray := v.(*array)
			switch {
			case !ok:
				err = errors.New("the example does not have it")
			case !isArray:
				err = fmt.Errorf("%s is not an array", typeName(v))
			default:
				err = a.fits(c.Type)
			}
		case *frame:
			i := data.index(c.Name)
			if i < 0 {
				err = errors.New("the example does not have it")
			} else {
				err = data.columns[i].reshape(c.Type)
			}
		default:
			return []Mismatch{mismatch("", "the signature has named tensors, but the example is %s", typeName(data))}
		}
		if err != nil {
			out = append(out, mismatch(c.Name, "the input %s should be %s: %v", c.Name, c.Type, err))
		}
	}
	return out
}

// enforceTensor checks data against the only tensor of a signature without names.
func (s *Signature) enforceTensor(data any) []Mismatch {
	t := s.Inputs[0].Type
	var err error
	switch data := data.(type) {
	case *array:
		err = data.fits(t)
	case *frame:
		err = data.fitsTensor(t)
	default:
		err = fmt.Errorf("the example is %s", typeName(data))
	}
	if err != nil {
		return []Mismatch{mismatch("", "the input should be the tensor %s: %v", t, err)}
	}
	return nil
}

// fitsTensor checks a table that MLflow converts to an array: a single column by its values, which may be
// lists, several as the columns of a matrix.
func (f *frame) fitsTensor(t *Type) error {
	switch {
	case f.rows == 0 || len(f.names) == 0:
		return errors.New("the table is empty")
	case len(f.names) == 1:
		return f.columns[0].reshape(t)
	case !slices.Equal(t.Shape, []int{-1, len(f.names)}):
		return fmt.Errorf("the table has %d columns", len(f.names))
	}
	a := &array{dtype: f.columns[0].dtype, shape: []int{f.rows, len(f.names)}}
	for _, c := range f.columns[1:] {
		a.dtype = commonDType(a.dtype, c.dtype)
	}
	return a.fits(t)
}

// commonDType returns the dtype of an array that holds columns of dtypes a and b: the wider one of a kind,
// float64 for numbers of different kinds, else object.
func commonDType(a, b string) string {
	x, y := dtypes[a], dtypes[b]
	number := func(k byte) bool { return strings.IndexByte("iuf", k) >= 0 }
	switch {
	case a == b && a != "str":
		return a
	case number(x.kind) && number(y.kind):
		if x.kind == y.kind {
			if x.size > y.size {
				return a
			}
			return b
		}
		return "float64"
	}
	return "object"
}

// fits does what MLflow's _enforce_tensor_spec does.
func (a *array) fits(t *Type) error {
	if len(t.Shape) == 1 && t.Shape[0] == -1 && t.DType == "object" {
		return nil // MLflow writes this for what it knows nothing of, and checks nothing
	}
	if len(t.Shape) > 1 && slices.Contains(t.Shape[1:], -1) && len(a.shape) == 1 && a.dtype == "object" {
		return nil // ragged: MLflow does not check the shape
	}
	bad := len(t.Shape) != len(a.shape)
	for i := 0; !bad && i < len(t.Shape); i++ {
		bad = t.Shape[i] != -1 && t.Shape[i] != a.shape[i]
	}
	if bad {
		return fmt.Errorf("the example has the shape %s", strings.ReplaceAll(fmt.Sprint(a.shape), " ", ", "))
	}
	if a.dtype != t.DType {
		return fmt.Errorf("the example has the dtype %s", a.dtype)
	}
	return nil
}

// reshape does what MLflow's _reshape_and_cast_pandas_column_values does.
func (s series) reshape(t *Type) error {
	if len(t.Shape) == 0 || t.Shape[0] != -1 || slices.Contains(t.Shape[1:], -1) {
		return errors.New("a table's column only fits a shape where just the first length is open")
	}
	if len(s.values) == 0 {
		return errors.New("the table is empty")
	}
	first := s.values[0]
	if isScalar(first) {
		if !slices.Equal(t.Shape, []int{-1}) && !slices.Equal(t.Shape, []int{-1, 1}) {
			return errors.New("the example has single values")
		}
		_, err := newArray(s.values, t.DType)
		return err
	}
	list, ok := first.([]any)
	if !ok || len(list) == 0 || !isScalar(list[0]) {
		return fmt.Errorf("%s is neither a single value nor a list of single values", typeName(first))
	}
	// Each row is one flat list, which numpy then gives the shape: only the number of values counts.
	size := 1
	for _, n := range t.Shape[1:] {
		size *= n
	}
	for _, v := range s.values {
		row, ok := v.([]any)
		if !ok || len(row) != len(list) || len(row) != size {
			return fmt.Errorf("lists of %d values do not make the shape", len(list))
		}
	}
	_, err := newArray(s.values, t.DType)
	return err
}
