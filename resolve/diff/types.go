package diff

import (
	"slices"
	"strings"

	"mlenv/resolve/signature"
)

// typeText returns a type as text, with optional properties marked: "{a: long, b?: string}".
func typeText(t *signature.Type) string {
	switch t.Kind {
	case signature.Array, signature.Map:
		return string(t.Kind) + "(" + typeText(t.Item) + ")"
	case signature.Object:
		var parts []string
		for _, p := range t.Properties {
			mark := ""
			if !p.Required {
				mark = "?"
			}
			parts = append(parts, p.Name+mark+": "+typeText(p.Type))
		}
		slices.Sort(parts) // the order of properties means nothing
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return t.String()
}

// widensTo lists the types to which MLflow converts values of a type without loss.
var widensTo = map[signature.Kind][]signature.Kind{
	signature.Integer: {signature.Long, signature.Double},
	signature.Float:   {signature.Double},
}

// numeric reports whether a type is one of numbers, which are all the same in JSON.
func numeric(t *signature.Type) bool {
	return slices.Contains([]signature.Kind{signature.Integer, signature.Long, signature.Float, signature.Double}, t.Kind)
}

// accepts returns the effect of a change of type: whether the new type accepts values of the old
// one. It returns "" if the types do not differ.
func accepts(old, now *signature.Type) (Effect, string) {
	switch effect, why, ok := sameForm(old, now); {
	case ok:
		return effect, why
	case slices.Contains(widensTo[old.Kind], now.Kind):
		return Safe, "MLflow widens " + string(old.Kind) + " to " + string(now.Kind)
	case numeric(old) && numeric(now):
		return MayBreak, "numbers in JSON are converted where they fit; a DataFrame of " + string(old.Kind) + " is rejected"
	case unchecked(old, now):
		return MayBreak, "MLflow accepts such values without checking them; the model may not"
	case old.Kind != now.Kind:
		return Breaks, refused(old)
	}
	return acceptsElements(old, now)
}

// acceptsNested is like accepts for elements of an array, map or object, which MLflow neither
// widens nor converts.
func acceptsNested(old, now *signature.Type) (Effect, string) {
	switch effect, why, ok := sameForm(old, now); {
	case ok:
		return effect, why
	case unchecked(old, now) && old.Kind != signature.Binary && (old.Kind != signature.Array || now.Kind == signature.Boolean):
		return MayBreak, "MLflow accepts such values without checking them; the model may not"
	case old.Kind != now.Kind:
		return Breaks, refused(old)
	}
	return acceptsElements(old, now)
}

// refused says that no value of the old type passes any longer.
func refused(old *signature.Type) string {
	return "values of type " + string(old.Kind) + " are no longer accepted"
}

// sameForm handles types that are equal, types that accept everything, and types of the same form.
// It returns false for all others.
func sameForm(old, now *signature.Type) (Effect, string, bool) {
	switch {
	case typeText(old) == typeText(now):
		return Safe, "", true
	case now.Kind == signature.Any:
		return Safe, "every value is accepted now", true
	case old.Kind == signature.Any && now.Kind == signature.String:
		return MayBreak, "MLflow accepts every value as a string; the model may not", true
	case old.Kind == signature.Any:
		return Breaks, "not every value is accepted any longer", true
	case old.Kind == signature.Tensor && now.Kind == signature.Tensor:
		effect, why := acceptsTensor(old, now)
		return effect, why, true
	case old.Kind == signature.Object && now.Kind == signature.Map:
		// Both are dicts: the properties become entries, which all have one type.
		effect, why := Safe, "the properties are entries of the map"
		for _, p := range old.Properties {
			if e, w := acceptsNested(p.Type, now.Item); worse(effect, e) != effect {
				effect, why = e, "in the property "+p.Name+": "+w
			}
		}
		return effect, why, true
	}
	return "", "", false
}

// unchecked reports whether MLflow accepts values without checking them, because pandas stores both
// types as objects.
func unchecked(old, now *signature.Type) bool {
	asObject := []signature.Kind{signature.Binary, signature.Array, signature.Map, signature.Object}
	return (now.Kind == signature.String || now.Kind == signature.Boolean) && slices.Contains(asObject, old.Kind)
}

// acceptsElements compares the elements of two types of the same kind.
func acceptsElements(old, now *signature.Type) (Effect, string) {
	if old.Kind == signature.Object {
		return acceptsObject(old, now)
	}
	effect, why := acceptsNested(old.Item, now.Item)
	return effect, "in its items: " + why
}

// acceptsTensor compares shapes and dtypes. A length that was open and is fixed now breaks only callers who
// send another one.
func acceptsTensor(old, now *signature.Type) (Effect, string) {
	if len(old.Shape) != len(now.Shape) {
		return Breaks, "tensors have another number of dimensions"
	}
	fixed := false
	for i := range old.Shape {
		switch {
		case now.Shape[i] == old.Shape[i] || now.Shape[i] == -1:
		case old.Shape[i] == -1:
			fixed = true
		default:
			return Breaks, "tensors of the old shape are rejected"
		}
	}
	switch {
	case fixed:
		return MayBreak, "only tensors of that length are accepted now"
	case old.DType != now.DType:
		return MayBreak, "numbers in JSON are converted; arrays of " + old.DType + " are rejected"
	}
	return Safe, "every old shape fits"
}

// acceptsObject compares properties. Unlike columns, properties that are not in the schema are
// rejected.
func acceptsObject(old, now *signature.Type) (Effect, string) {
	effect, why := Safe, "what was valid still is"
	note := func(e Effect, w string) {
		if worse(effect, e) != effect {
			effect, why = e, w
		}
	}
	for _, p := range pairs(old.Properties, now.Properties) {
		switch {
		case p.old == nil && p.now.Required:
			note(Breaks, "the property "+p.name+" is required, and callers do not send it yet")
		case p.old == nil:
		case p.now == nil:
			note(Breaks, "the property "+p.name+" is rejected now")
		case !p.old.Required && p.now.Required:
			note(Breaks, "the property "+p.name+" is no longer optional")
		default:
			e, w := acceptsNested(p.old.Type, p.now.Type)
			note(e, "in the property "+p.name+": "+w)
		}
	}
	return effect, why
}
