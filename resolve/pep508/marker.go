package pep508

import (
	"slices"
	"strings"
)

// Marker is an environment marker. The zero Marker is always true. A Marker never changes, so that copies may
// share what it holds.
type Marker struct{ expr *expression }

// expression is a disjunction of conjunctions, as written: a parenthesized expression with more
// than one part is a single term. It is not multiplied out, which could make it exponentially longer, and
// would be another text than the author's.
type expression struct {
	groups [][]term
	text   string // canonical
}

// term is a comparison, or an expression in parentheses.
type term struct {
	is  *comparison
	sub *expression
}

// ParseMarker reads a marker expression. "" is the zero Marker. The error is a *SyntaxError.
func ParseMarker(s string) (Marker, error) {
	p := &parser{in: s}
	if p.space(); p.end() {
		return Marker{}, nil
	}
	m := p.wholeMarker()
	return m, p.err
}

// IsZero reports whether m is empty, and so always true.
func (m Marker) IsZero() bool { return m.expr == nil }

// String returns the canonical form, as packaging prints it: with double quotes, parentheses only
// where there are several parts, and normalized names of extras. Markers with equal strings are
// equal.
func (m Marker) String() string {
	if m.expr == nil {
		return ""
	}
	return m.expr.text
}

// Equal reports whether the canonical forms are the same.
func (m Marker) Equal(n Marker) bool { return m.String() == n.String() }

// MarshalText returns the canonical form.
func (m Marker) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is like ParseMarker.
func (m *Marker) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMarker(string(text))
	return err
}

// Eval evaluates m for an environment. A meaningless comparison is false: one between two strings,
// and ~= or === with something that is not a version.
func (m Marker) Eval(env Environment) bool { return m.expr == nil || m.expr.eval(&env) }

// And returns the conjunction of two markers. Parts that are in both appear once.
func (m Marker) And(n Marker) Marker {
	if m.IsZero() {
		return n
	}
	if n.IsZero() {
		return m
	}
	terms := m.expr.conjuncts(nil)
	return (&expression{groups: [][]term{n.expr.conjuncts(terms)}}).marker()
}

// Or returns the disjunction of two markers. Parts that are in both appear once.
func (m Marker) Or(n Marker) Marker {
	if m.IsZero() || n.IsZero() {
		return Marker{}
	}
	groups := slices.Clone(m.expr.groups)
	for _, g := range n.expr.groups {
		if !slices.ContainsFunc(groups, func(h []term) bool { return slices.EqualFunc(g, h, term.equal) }) {
			groups = append(groups, g)
		}
	}
	return (&expression{groups: groups}).marker()
}

// conjuncts appends to terms the terms that e is a conjunction of, without duplicates.
func (e *expression) conjuncts(terms []term) []term {
	parts := []term{{sub: e}}
	if len(e.groups) == 1 {
		parts = e.groups[0]
	}
	for _, t := range parts {
		if !slices.ContainsFunc(terms, t.equal) {
			terms = append(terms, t)
		}
	}
	return terms
}

// Variables returns the marker variables in m, sorted and without duplicates, by their current
// names in PEP 508.
func (m Marker) Variables() []string {
	var names []string
	if m.expr != nil {
		m.expr.walk(func(c *comparison) {
			for _, v := range [...]variable{c.left.variable, c.right.variable} {
				if v != 0 {
					names = append(names, variableNames[v])
				}
			}
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// UsesExtra reports whether m uses the variable extra (or extras, or dependency_groups).
func (m Marker) UsesExtra() bool {
	uses := false
	if m.expr != nil {
		m.expr.walk(func(c *comparison) {
			uses = uses || c.left.variable >= varExtra || c.right.variable >= varExtra
		})
	}
	return uses
}

// UsesPatch reports whether m names a variable that tells patch releases of Python apart. A lock for all
// patch releases of a minor version cannot be decided by the one at hand then.
func (m Marker) UsesPatch() bool {
	uses := false
	if m.expr != nil {
		of := func(v variable) bool { return v == varPythonFullVersion || v == varImplementationVersion }
		m.expr.walk(func(c *comparison) { uses = uses || of(c.left.variable) || of(c.right.variable) })
	}
	return uses
}

// walk calls f for every comparison.
func (e *expression) walk(f func(*comparison)) {
	for _, g := range e.groups {
		for _, t := range g {
			if t.is != nil {
				f(t.is)
			} else {
				t.sub.walk(f)
			}
		}
	}
}

func (e *expression) eval(env *Environment) bool {
	for _, g := range e.groups {
		holds := true
		for i := 0; holds && i < len(g); i++ {
			if g[i].is != nil {
				holds = g[i].is.eval(env)
			} else {
				holds = g[i].sub.eval(env)
			}
		}
		if holds {
			return true
		}
	}
	return false
}

// term returns e as a part of another expression. It needs no parentheses if it has only one part.
func (e *expression) term() term {
	if len(e.groups) == 1 && len(e.groups[0]) == 1 {
		return e.groups[0][0]
	}
	return term{sub: e}
}

// marker returns e as a Marker, with its canonical text.
func (e *expression) marker() Marker {
	if t := e.term(); t.sub != nil {
		e = t.sub
	}
	var b strings.Builder
	e.write(&b)
	whole := *e
	whole.text = b.String()
	return Marker{&whole}
}

func (e *expression) write(b *strings.Builder) {
	for i, g := range e.groups {
		if i > 0 {
			b.WriteString(" or ")
		}
		for j, t := range g {
			if j > 0 {
				b.WriteString(" and ")
			}
			t.write(b)
		}
	}
}

func (t term) write(b *strings.Builder) {
	if t.is == nil {
		b.WriteByte('(')
		t.sub.write(b)
		b.WriteByte(')')
		return
	}
	t.is.left.write(b)
	b.WriteByte(' ')
	b.WriteString(t.is.op)
	b.WriteByte(' ')
	t.is.right.write(b)
}

func (t term) equal(u term) bool {
	if t.is == u.is && t.sub == u.sub {
		return true
	}
	var a, b strings.Builder
	t.write(&a)
	u.write(&b)
	return a.String() == b.String()
}
