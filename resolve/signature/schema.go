package signature

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the kind of a type.
type Kind string

// The kinds of MLflow's types; the scalars have MLflow's names.
const (
	Boolean  Kind = "boolean"
	Integer  Kind = "integer"
	Long     Kind = "long"
	Float    Kind = "float"
	Double   Kind = "double"
	String   Kind = "string"
	Binary   Kind = "binary"
	Datetime Kind = "datetime"
	Array    Kind = "array"
	Object   Kind = "object"
	Map      Kind = "map"
	Any      Kind = "any"
	Tensor   Kind = "tensor"
)

// scalarKinds are the kinds of single values: those that MLflow calls DataType.
var scalarKinds = []Kind{Boolean, Integer, Long, Float, Double, String, Binary, Datetime}

// Type is the type of a column, or of its elements.
type Type struct {
	Kind       Kind
	Item       *Type    // of an Array's items and a Map's values
	Properties []Column // of an Object
	DType      string   // of a Tensor: numpy's name, "float64"
	Shape      []int    // of a Tensor; -1 means any length
}

func (t *Type) isScalar() bool { return slices.Contains(scalarKinds, t.Kind) }

// String returns the type in a form such as "array(long)".
func (t *Type) String() string {
	switch t.Kind {
	case Array, Map:
		return string(t.Kind) + "(" + t.Item.String() + ")"
	case Object:
		var parts []string
		for _, p := range t.Properties {
			parts = append(parts, p.Name+": "+p.Type.String())
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case Tensor:
		return t.DType + strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ", ")
	}
	return string(t.Kind)
}

// Column is one input, output or property.
type Column struct {
	Name     string
	Named    bool
	Type     *Type
	Required bool
}

// Param is one parameter.
type Param struct {
	Name  string
	Type  *Type
	List  bool // shape (-1,)
	Shape bool // has a shape other than (-1,), which MLflow rejects
}

// Signature is a model's signature.
type Signature struct {
	Inputs, Outputs []Column // nil if the signature does not have them
	Params          []Param
	HasParams       bool
	// FromTypeHint is is_signature_from_type_hint: the inputs are passed to such a model as they
	// are.
	FromTypeHint bool
}

// Part is a part of a signature, named by its key in MLmodel.
type Part string

// The parts.
const (
	Inputs  Part = "inputs"
	Outputs Part = "outputs"
	Params  Part = "params"
)

// PartError reports what is wrong with a part of a signature. It wraps a *SyntaxError if the part
// is not JSON.
type PartError struct {
	Part Part
	Err  error
}

func (e *PartError) Error() string { return string(e.Part) + ": " + e.Err.Error() }
func (e *PartError) Unwrap() error { return e.Err }

// Parse reads the JSON texts of a signature; "" and "null" mean that a part is missing. The error
// is a *PartError.
func Parse(inputs, outputs, params string) (*Signature, error) {
	s := &Signature{}
	var err error
	if s.Inputs, err = parseColumns(inputs); err != nil {
		return nil, &PartError{Inputs, err}
	}
	if s.Outputs, err = parseColumns(outputs); err != nil {
		return nil, &PartError{Outputs, err}
	}
	if s.HasParams = present(params); s.HasParams {
		if s.Params, err = parseParams(params); err != nil {
			return nil, &PartError{Params, err}
		}
	}
	return s, nil
}

// present reports whether a part of a signature is there. MLflow writes null for one that is not.
func present(text string) bool { text = strings.TrimSpace(text); return text != "" && text != "null" }

// parseColumns reads the inputs or the outputs, as MLflow's Schema.from_json does.
func parseColumns(text string) ([]Column, error) {
	if !present(text) {
		return nil, nil
	}
	v, err := parseJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("must be a list, but it is %s", typeName(v))
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("is an empty list")
	}
	var out []Column
	for i, item := range list {
		c, err := parseColumn(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", columnName(c, i), err)
		}
		out = append(out, c)
	}
	return out, checkColumns(out)
}

// columnName returns a column as messages name it.
func columnName(c Column, i int) string {
	if c.Named {
		return fmt.Sprintf("column %q", c.Name)
	}
	return fmt.Sprintf("column %d", i)
}

// checkColumns checks what MLflow's Schema requires of its columns as a whole.
func checkColumns(columns []Column) error {
	tensors := 0
	for _, c := range columns {
		if c.Named != columns[0].Named {
			return fmt.Errorf("some columns have a name and some have none")
		}
		if !c.Named && !c.Required {
			return fmt.Errorf("a column without a name cannot be optional")
		}
		if c.Type.Kind == Tensor {
			tensors++
		}
	}
	switch {
	case tensors > 0 && tensors < len(columns):
		return fmt.Errorf("tensors and other columns are mixed")
	case tensors > 1 && !columns[0].Named:
		return fmt.Errorf("several tensors need names")
	}
	return nil
}

// parseColumn reads a column or a property. One that does not say whether it is required is, as it was
// before MLflow had optional columns.
func parseColumn(v any) (Column, error) {
	c := Column{Required: true}
	o, ok := v.(*object)
	if !ok {
		return c, fmt.Errorf("must be an object, but it is %s", typeName(v))
	}
	if name, ok := o.values["name"]; ok && name != nil {
		c.Name, c.Named = text(name), true
	}
	if required, ok := o.values["required"].(bool); ok {
		c.Required = required
	}
	var err error
	c.Type, err = parseType(o)
	return c, err
}

// text returns a column's name as text. MLflow also has columns that are named by numbers.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return fmt.Sprint(v)
}

// parseType reads a type, with the types within it.
func parseType(o *object) (*Type, error) {
	word, ok := o.values["type"].(string)
	if !ok {
		return nil, fmt.Errorf("has no type")
	}
	t := &Type{Kind: Kind(word)}
	switch t.Kind {
	case Array, Map:
		key := "items"
		if t.Kind == Map {
			key = "values"
		}
		inner, ok := o.values[key].(*object)
		if !ok {
			return nil, fmt.Errorf("the type %s needs %s", word, key)
		}
		var err error
		t.Item, err = parseType(inner)
		return t, err
	case Object:
		return t, t.parseProperties(o)
	case Any:
		return t, nil
	case "sparkml_vector":
		// MLflow hands such a column to the model as lists of numbers.
		return &Type{Kind: Array, Item: &Type{Kind: Double}}, nil
	case Tensor:
		return t, t.parseTensor(o)
	}
	if !t.isScalar() {
		return nil, fmt.Errorf("there is no type %q", word)
	}
	return t, nil
}

// parseProperties reads the properties of an object in the order in which they are written.
func (t *Type) parseProperties(o *object) error {
	properties, ok := o.values["properties"].(*object)
	if !ok || len(properties.keys) == 0 {
		return fmt.Errorf("the type object needs properties")
	}
	for _, name := range properties.keys {
		p, err := parseColumn(properties.values[name])
		if err != nil {
			return fmt.Errorf("property %q: %w", name, err)
		}
		p.Name, p.Named = name, true
		t.Properties = append(t.Properties, p)
	}
	return nil
}

// parseTensor reads a tensor-spec: numpy's dtype and the lengths of the shape.
func (t *Type) parseTensor(o *object) error {
	spec, ok := o.values["tensor-spec"].(*object)
	if !ok {
		return fmt.Errorf("a tensor needs tensor-spec")
	}
	t.DType, _ = spec.values["dtype"].(string)
	t.DType = canonicalDType(t.DType)
	if t.DType == "" {
		return fmt.Errorf("a tensor needs a dtype")
	}
	shape, ok := spec.values["shape"].([]any)
	if !ok {
		return fmt.Errorf("a tensor needs a shape")
	}
	for _, n := range shape {
		i, ok := n.(int64)
		if !ok || i < -1 || i > 1<<31 {
			return fmt.Errorf("a shape has the length %v", n)
		}
		t.Shape = append(t.Shape, int(i))
	}
	return nil
}

// parseParams reads the parameters, whose defaults have to be of their own type: MLflow refuses to load
// others.
func parseParams(text string) ([]Param, error) {
	v, err := parseJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("must be a list, but it is %s", typeName(v))
	}
	var out []Param
	for i, item := range list {
		o, ok := item.(*object)
		if !ok {
			return nil, fmt.Errorf("entry %d must be an object, but it is %s", i, typeName(item))
		}
		name, _ := o.values["name"].(string)
		if name == "" || !o.has("default") {
			return nil, fmt.Errorf("entry %d needs a name, a type and a default", i)
		}
		if !o.has("type") {
			o.set("type", o.values["dtype"]) // the key in old versions of MLflow
		}
		p := Param{Name: name}
		if p.Type, err = parseType(o); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if !p.Type.isScalar() && p.Type.Kind != Object || p.Type.Kind == Binary {
			return nil, fmt.Errorf("%q: the type %s is not for parameters", name, p.Type)
		}
		if shape, ok := o.values["shape"].([]any); ok {
			p.List = len(shape) == 1 && shape[0] == int64(-1)
			p.Shape = !p.List
		}
		if err := p.fits(o.values["default"]); err != nil {
			return nil, fmt.Errorf("%q: the default does not fit: %w", name, err)
		}
		out = append(out, p)
	}
	return out, nil
}
