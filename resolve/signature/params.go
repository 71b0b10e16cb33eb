package signature

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// param returns the parameter of that name, or nil.
func (s *Signature) param(name string) *Param {
	i := slices.IndexFunc(s.Params, func(p Param) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Params[i]
}

func ofParams(name, format string, args ...any) Mismatch {
	return Mismatch{Column: name, Part: Params, Message: fmt.Sprintf(format, args...)}
}

// enforceParams does what MLflow's _enforce_params_schema does: it ignores unknown parameters, and
// missing ones get their default.
func (s *Signature) enforceParams(v any) []Mismatch {
	if !s.HasParams || v == nil {
		return nil
	}
	o, ok := v.(*object)
	if !ok {
		return []Mismatch{ofParams("params", "the parameters must be an object, but they are %s", typeName(v))}
	}
	var out []Mismatch
	for _, p := range s.Params {
		v, given := o.values[p.Name]
		if !given {
			continue
		}
		if err := p.fits(v); err != nil {
			kind := p.Type.String()
			if p.List {
				kind = "a list of " + kind
			}
			out = append(out, ofParams(p.Name, "the parameter %s should be %s: %v", p.Name, kind, err))
		}
	}
	return out
}

// fits does what MLflow's ParamSpec.validate_type_and_shape does.
func (p Param) fits(v any) error {
	switch {
	case p.Shape:
		return errors.New("the signature gives it a shape that MLflow does not accept")
	case p.List:
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s is not a list", describe(v))
		}
		if shape, _, err := flatten(v, false); err != nil || len(shape) != 1 {
			return errors.New("the list is not flat")
		}
		for _, item := range list {
			if err := fitsParam(item, p.Type.Kind); err != nil {
				return err
			}
		}
		return nil
	case p.Type.Kind == Object:
		return enforceObject(v, p.Type, true)
	}
	return fitsParam(v, p.Type.Kind)
}

// fitsParam does what MLflow's _enforce_param_datatype does.
func fitsParam(v any, k Kind) error {
	if v == nil {
		return nil // MLflow does not check the type of None
	}
	if k == Datetime {
		if s, ok := v.(string); ok && numpyDate.MatchString(s) && validDate(s) {
			return nil
		}
		return fmt.Errorf("%s is not a date", describe(v))
	}
	ok := false
	switch v.(type) {
	case bool:
		ok = k == Boolean
	case int64, *big.Int:
		ok = k == Integer || k == Long || k == Float || k == Double
	case float64:
		ok = k == Float || k == Double
	case string:
		ok = k == String
	}
	if !ok {
		return fmt.Errorf("%s is not", describe(v))
	}
	return nil
}
