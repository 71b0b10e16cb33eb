package diff

import (
	"slices"
	"strings"

	"mlenv/resolve/signature"
)

// typeText writes a type with what may be left out: "{a: long, b?: string}".
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

// wider lists what MLflow turns into what without loss.
var wider = map[signature.Kind][]signature.Kind{
	signature.Integer: {signature.Long, signature.Double},
	signature.Float:   {signature.Double},
}

func numeric(t *signature.Type) bool {
	return slices.Contains([]signature.Kind{signature.Integer, signature.Long, signature.Float, signature.Double}, t.Kind)
}

// accepts says whether values of the old type are taken by the new one; "" where the types do not
// differ.
func accepts(old, now *signature.Type) (Effect, string) {
	switch effect, why, ok := alike(old, now); {
	case ok:
		return effect, why
	case slices.Contains(wider[old.Kind], now.Kind):
		return Safe, "MLflow widens " + string(old.Kind) + " to " + string(now.Kind)
	case numeric(old) && numeric(now):
		return MayBreak, "numbers in JSON are converted where they fit; a DataFrame of " + string(old.Kind) + " is refused"
	case unchecked(old, now):
		return MayBreak, "MLflow takes such values without looking at them; the model may not"
	case old.Kind != now.Kind:
		return Breaks, refuses(old)
	}
	return inside(old, now)
}

// within is accepts for what is in an array, a map or an object: nothing there is widened or
// converted.
func within(old, now *signature.Type) (Effect, string) {
	switch effect, why, ok := alike(old, now); {
	case ok:
		return effect, why
	case unchecked(old, now) && old.Kind != signature.Binary && (old.Kind != signature.Array || now.Kind == signature.Boolean):
		return MayBreak, "MLflow takes such values without looking at them; the model may not"
	case old.Kind != now.Kind:
		return Breaks, refuses(old)
	}
	return inside(old, now)
}

func refuses(old *signature.Type) string {
	return "values of type " + string(old.Kind) + " are no longer taken"
}

// alike handles types that are equal, that take everything, and those of one form.
func alike(old, now *signature.Type) (Effect, string, bool) {
	switch {
	case typeText(old) == typeText(now):
		return Safe, "", true
	case now.Kind == signature.Any:
		return Safe, "every value is taken now", true
	case old.Kind == signature.Any && now.Kind == signature.String:
		return MayBreak, "MLflow takes every value for a string; the model may not", true
	case old.Kind == signature.Any:
		return Breaks, "not every value is taken any more", true
	case old.Kind == signature.Tensor && now.Kind == signature.Tensor:
		effect, why := acceptsTensor(old, now)
		return effect, why, true
	case old.Kind == signature.Object && now.Kind == signature.Map:
		effect, why := Safe, "the properties are entries of the map"
		for _, p := range old.Properties {
			if e, w := within(p.Type, now.Item); worse(effect, e) != effect {
				effect, why = e, "in the property "+p.Name+": "+w
			}
		}
		return effect, why, true
	}
	return "", "", false
}

// unchecked tells whether MLflow lets values pass because pandas has both types as objects.
func unchecked(old, now *signature.Type) bool {
	asObject := []signature.Kind{signature.Binary, signature.Array, signature.Map, signature.Object}
	return (now.Kind == signature.String || now.Kind == signature.Boolean) && slices.Contains(asObject, old.Kind)
}

// inside compares what is in two types of the same kind.
func inside(old, now *signature.Type) (Effect, string) {
	if old.Kind == signature.Object {
		return acceptsObject(old, now)
	}
	effect, why := within(old.Item, now.Item)
	return effect, "in its items: " + why
}

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
			return Breaks, "tensors of the old shape are refused"
		}
	}
	switch {
	case fixed:
		return MayBreak, "only tensors of that length are taken now"
	case old.DType != now.DType:
		return MayBreak, "numbers in JSON are converted; arrays of " + old.DType + " are refused"
	}
	return Safe, "every old shape fits"
}

// acceptsObject compares properties. Unlike columns, properties that the schema lacks are refused.
func acceptsObject(old, now *signature.Type) (Effect, string) {
	effect, why := Safe, "what was right still is"
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
			note(Breaks, "the property "+p.name+" is refused now")
		case !p.old.Required && p.now.Required:
			note(Breaks, "the property "+p.name+" may no longer be left out")
		default:
			e, w := within(p.old.Type, p.now.Type)
			note(e, "in the property "+p.name+": "+w)
		}
	}
	return effect, why
}
