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
	if typeText(old) == typeText(now) {
		return Safe, ""
	}
	switch {
	case now.Kind == signature.Any:
		return Safe, "every value is taken now"
	case old.Kind == signature.Any:
		return Breaks, "not every value is taken any more"
	case old.Kind == signature.Tensor && now.Kind == signature.Tensor:
		return acceptsTensor(old, now)
	case slices.Contains(wider[old.Kind], now.Kind):
		return Safe, "MLflow widens " + string(old.Kind) + " to " + string(now.Kind)
	case numeric(old) && numeric(now):
		return MayBreak, "numbers in JSON are converted where they fit; a DataFrame of " + string(old.Kind) + " is refused"
	case old.Kind != now.Kind:
		return Breaks, "values of type " + string(old.Kind) + " are no longer taken"
	case old.Kind == signature.Object:
		return acceptsObject(old, now)
	}
	// Arrays and maps: nothing inside of them is widened.
	effect, why := accepts(old.Item, now.Item)
	return effect, "in its items: " + why
}

func acceptsTensor(old, now *signature.Type) (Effect, string) {
	fits := len(old.Shape) == len(now.Shape)
	for i := 0; fits && i < len(old.Shape); i++ {
		fits = now.Shape[i] == -1 || now.Shape[i] == old.Shape[i]
	}
	switch {
	case !fits:
		return Breaks, "tensors of the old shape are refused"
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
			e, w := accepts(p.old.Type, p.now.Type)
			note(e, "in the property "+p.name+": "+w)
		}
	}
	return effect, why
}
