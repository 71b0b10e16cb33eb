package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"mlenv/resolve/model"
	"mlenv/resolve/signature"
)

// Effect is how a change of the signature affects callers of the model.
type Effect string

// The effects. Breaks means that valid calls are now rejected, or that something is missing from
// responses. MayBreak means that this depends on the values, or on how the caller sends or reads
// them.
const (
	Safe     Effect = "safe"
	MayBreak Effect = "may-break"
	Breaks   Effect = "breaks"
)

// worse returns the one of two effects that callers feel more.
func worse(a, b Effect) Effect {
	order := []Effect{Safe, MayBreak, Breaks}
	return order[max(slices.Index(order, a), slices.Index(order, b), 0)]
}

// SignatureChange is a column or parameter that differs, and the effect on callers.
type SignatureChange struct {
	Item
	Effect Effect `json:"effect"`
	Why    string `json:"why"`
}

// Signature is the differences between two signatures.
type Signature struct {
	Callers Effect            `json:"callers"` // the worst effect of all changes
	Inputs  []SignatureChange `json:"inputs"`
	Outputs []SignatureChange `json:"outputs"`
	Params  []SignatureChange `json:"params"`
}

// All calls visit for every change, with the part it belongs to: "input", "output" or "param".
func (s *Signature) All(visit func(part string, c SignatureChange)) {
	for _, group := range []struct {
		part string
		list []SignatureChange
	}{{"input", s.Inputs}, {"output", s.Outputs}, {"param", s.Params}} {
		for _, c := range group.list {
			visit(group.part, c)
		}
	}
}

// compareSignatures compares two signatures by the rules with which MLflow enforces them. It
// returns nil if they do not differ.
func compareSignatures(old, now model.Signature) *Signature {
	s := &Signature{Inputs: []SignatureChange{}, Outputs: []SignatureChange{}, Params: []SignatureChange{}}
	a, errOld := signature.Parse(old.Inputs.Text, old.Outputs.Text, old.Params.Text)
	b, errNew := signature.Parse(now.Inputs.Text, now.Outputs.Text, now.Params.Text)
	switch {
	case errOld != nil || errNew != nil:
		// Signatures that cannot be parsed are compared as text.
		s.Inputs = textChange(s.Inputs, "inputs", old.Inputs.Text, now.Inputs.Text)
		s.Outputs = textChange(s.Outputs, "outputs", old.Outputs.Text, now.Outputs.Text)
		s.Params = textChange(s.Params, "params", old.Params.Text, now.Params.Text)
	default:
		s.Inputs = append(s.Inputs, inputs(a.Inputs, b.Inputs)...)
		s.Outputs = append(s.Outputs, outputs(a.Outputs, b.Outputs)...)
		s.Params = append(s.Params, params(a.Params, b.Params, defaults(old.Params.Text), defaults(now.Params.Text))...)
	}
	if len(s.Inputs)+len(s.Outputs)+len(s.Params) == 0 {
		return nil
	}
	s.Callers = Safe
	s.All(func(_ string, c SignatureChange) { s.Callers = worse(s.Callers, c.Effect) })
	return s
}

// textChange appends a change of a part of which nothing but the text can be compared.
func textChange(list []SignatureChange, name, old, now string) []SignatureChange {
	if old == now {
		return list
	}
	return append(list, SignatureChange{Item{name, Changed, old, now}, MayBreak, "it is not written as MLflow writes signatures"})
}

// whole handles a schema that only one side has, or that has a different form altogether. It
// returns false if the columns can be compared one by one.
func whole(old, now []signature.Column) (SignatureChange, bool) {
	c := SignatureChange{Item: Item{Name: "schema", Change: Changed, Old: form(old), New: form(now)}}
	switch {
	case len(old) == 0 && len(now) == 0:
		return c, false
	case len(old) == 0:
		c.Change = Added
		c.Effect, c.Why = MayBreak, "values were not checked before and must match a schema now"
	case len(now) == 0:
		c.Change = Removed
		c.Effect, c.Why = MayBreak, "nothing is checked or converted any longer"
	case tensors(old) != tensors(now):
		c.Effect, c.Why = Breaks, "tensors and columns are passed in different ways"
		if t := now[0].Type; len(old)+len(now) == 2 && !now[0].Named && tensors(now) && len(t.Shape) == 1 && numeric(old[0].Type) {
			c.Effect, c.Why = MayBreak, "one column of numbers may be taken as a tensor"
		}
	case old[0].Named != now[0].Named:
		c.Effect, c.Why = names(old, now)
	default:
		return c, false
	}
	return c, true
}

// names returns the effect of a change from named columns to positions, or back.
func names(old, now []signature.Column) (Effect, string) {
	effect, why := Breaks, "columns are matched by name instead of position, or the other way round"
	switch {
	case tensors(old) && (old[0].Named || len(now) > 1):
		// Several arrays, or none without a name, cannot be told apart by position.
	case tensors(old):
		if e, w := acceptsTensor(old[0].Type, now[0].Type); e == Breaks {
			return e, w
		}
		effect, why = MayBreak, "the single tensor is accepted without its name; a dictionary with another name is rejected"
	case old[0].Named && len(now) <= len(old):
		effect, why = MayBreak, "columns are matched by position now"
	}
	return effect, why
}

// tensors reports whether a schema is one of tensors; MLflow allows no mixture.
func tensors(list []signature.Column) bool { return list[0].Type.Kind == signature.Tensor }

// form says of what form a schema is, for the line that says that it changed.
func form(list []signature.Column) string {
	switch {
	case len(list) == 0:
		return ""
	case tensors(list):
		return plural(len(list), "tensor")
	case !list[0].Named:
		return plural(len(list), "column") + " without names"
	}
	return plural(len(list), "column")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// pair is a column on both sides. A side that does not have the column is nil.
type pair struct {
	name     string
	old, now *signature.Column
}

// pairs matches columns by name or, if they have no names, by position. The order is that of the
// newer schema, with removed columns last.
func pairs(old, now []signature.Column) []pair {
	var out []pair
	name := func(c *signature.Column, i int) string {
		if c.Named {
			return c.Name
		}
		return fmt.Sprintf("column %d", i)
	}
	at := map[string]int{}
	for i := range now {
		n := name(&now[i], i)
		at[n] = len(out)
		out = append(out, pair{name: n, now: &now[i]})
	}
	for i := range old {
		n := name(&old[i], i)
		if j, ok := at[n]; ok {
			out[j].old = &old[i]
		} else {
			out = append(out, pair{name: n, old: &old[i]})
		}
	}
	return out
}

// columnText returns a column's type as reports show it.
func columnText(c *signature.Column) string {
	if c == nil {
		return ""
	}
	text := typeText(c.Type)
	if !c.Required {
		text += ", optional"
	}
	return text
}

// change returns the change of a column without its effect, and whether there is one.
func (p pair) change() (SignatureChange, bool) {
	c := SignatureChange{Item: Item{Name: p.name, Change: Changed, Old: columnText(p.old), New: columnText(p.now)}}
	switch {
	case p.old == nil:
		c.Change = Added
	case p.now == nil:
		c.Change = Removed
	}
	return c, c.Old != c.New
}

// inputs compares input columns: are calls that were valid still accepted?
func inputs(old, now []signature.Column) []SignatureChange {
	if c, ok := whole(old, now); ok {
		return []SignatureChange{c}
	}
	var out []SignatureChange
	for _, p := range pairs(old, now) {
		c, differs := p.change()
		if !differs {
			continue
		}
		switch {
		case p.old == nil && p.now.Required:
			c.Effect, c.Why = Breaks, "it is required, and callers do not send it yet"
		case p.old == nil:
			c.Effect, c.Why = Safe, "it is optional"
		case p.now == nil && !p.old.Named:
			c.Effect, c.Why = MayBreak, "values after the last column are dropped"
		case p.now == nil:
			c.Effect, c.Why = Safe, "MLflow ignores what is not in the schema"
		default:
			c.Effect, c.Why = accepts(p.old.Type, p.now.Type)
			if !p.old.Required && p.now.Required {
				c.Effect, c.Why = Breaks, "it is no longer optional"
			} else if c.Why == "" {
				c.Why = "it is optional now"
			}
		}
		out = append(out, c)
	}
	return out
}

// outputs compares output columns: do callers still get what they read before?
func outputs(old, now []signature.Column) []SignatureChange {
	if c, ok := whole(old, now); ok {
		// Outputs are not enforced: a schema that comes or goes changes no response.
		switch c.Change {
		case Added:
			c.Effect, c.Why = Safe, "it was not declared before"
		case Removed:
			c.Effect, c.Why = MayBreak, "it is no longer declared"
		default:
			c.Effect, c.Why = Breaks, "responses have another structure"
		}
		return []SignatureChange{c}
	}
	var out []SignatureChange
	for _, p := range pairs(old, now) {
		c, differs := p.change()
		if !differs {
			continue
		}
		switch {
		case p.old == nil:
			c.Effect, c.Why = Safe, "responses contain more than before"
		case p.now == nil:
			c.Effect, c.Why = Breaks, "responses no longer contain it"
		case typeText(p.old.Type) != typeText(p.now.Type):
			c.Effect, c.Why = Breaks, "callers get another type"
			// In JSON, numbers of all types look alike.
			if numeric(p.old.Type) && numeric(p.now.Type) || tensors([]signature.Column{*p.old}) {
				c.Effect = MayBreak
			}
		case p.old.Required:
			c.Effect, c.Why = MayBreak, "responses may not contain it"
		default:
			c.Effect, c.Why = Safe, "responses always contain it now"
		}
		out = append(out, c)
	}
	return out
}

// params compares parameters. All of them have defaults, so none is ever required.
func params(old, now []signature.Param, oldDefaults, newDefaults map[string]string) []SignatureChange {
	text := func(p *signature.Param, defaults map[string]string) string {
		t := typeText(p.Type)
		if p.List {
			t = "list of " + t
		}
		return t + " = " + defaults[p.Name]
	}
	was := map[string]*signature.Param{}
	for i := range old {
		was[old[i].Name] = &old[i]
	}
	var out []SignatureChange
	for i := range now {
		b := &now[i]
		c := SignatureChange{Item: Item{Name: b.Name, Change: Changed, New: text(b, newDefaults)}}
		a, ok := was[b.Name]
		delete(was, b.Name)
		switch {
		case !ok:
			c.Change, c.Effect, c.Why = Added, Safe, "it has a default"
		case text(a, oldDefaults) == c.New:
			continue
		case a.List != b.List:
			c.Effect, c.Why = Breaks, "one value and a list are not the same"
		case typeText(a.Type) != typeText(b.Type):
			c.Effect, c.Why = accepts(a.Type, b.Type)
			if a.Type.Kind == signature.Datetime && b.Type.Kind == signature.String {
				c.Effect, c.Why = MayBreak, "in JSON both are text; the model gets text now"
			}
		default:
			c.Effect, c.Why = MayBreak, "callers who omit it get another value"
		}
		if ok {
			c.Old = text(a, oldDefaults)
		}
		out = append(out, c)
	}
	for i := range old {
		if a := &old[i]; was[a.Name] != nil {
			out = append(out, SignatureChange{Item{Name: a.Name, Change: Removed, Old: text(a, oldDefaults)}, MayBreak,
				"MLflow ignores it, with a warning in the server's log only"})
		}
	}
	return out
}

// defaults returns the JSON text of every parameter's default.
func defaults(text string) map[string]string {
	var list []struct {
		Name    string          `json:"name"`
		Default json.RawMessage `json:"default"`
	}
	out := map[string]string{}
	if json.Unmarshal([]byte(text), &list) != nil {
		return out // cannot happen: signature.Parse has accepted it
	}
	for _, p := range list {
		var b bytes.Buffer
		if json.Compact(&b, p.Default) == nil {
			out[p.Name] = b.String()
		}
	}
	return out
}
