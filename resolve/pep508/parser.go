package pep508

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mlenv/resolve/pep440"
)

// parser reads requirements and markers by recursive descent. The first error is kept, and no
// method does anything after it: the position is at the end of the input, where nothing more is found.
type parser struct {
	in    string
	pos   int
	depth int // of nested parentheses
	err   error
}

// maxDepth limits the nesting of parentheses in a marker, and so the depth of the recursion: a goroutine
// whose stack outgrows its bound ends the process, and nothing can catch that.
const maxDepth = 100

func (p *parser) failAt(pos int, problem string) {
	if p.err == nil {
		p.err = &SyntaxError{Input: p.in, Column: column(p.in, pos), Problem: problem}
		p.pos = len(p.in)
	}
}

func (p *parser) fail(problem string) { p.failAt(p.pos, problem) }

func (p *parser) rest() string { return p.in[p.pos:] }

func (p *parser) end() bool { return p.pos == len(p.in) }

// space skips spaces and tabs and reports whether there were any.
func (p *parser) space() bool {
	start := p.pos
	for !p.end() && (p.in[p.pos] == ' ' || p.in[p.pos] == '\t') {
		p.pos++
	}
	return p.pos > start
}

// take consumes c if it is next, and reports whether it was.
func (p *parser) take(c byte) bool {
	if p.end() || p.in[p.pos] != c {
		return false
	}
	p.pos++
	return true
}

// word consumes w if it is the next word, and reports whether it was.
func (p *parser) word(w string) bool {
	if !strings.HasPrefix(p.rest(), w) || wordAt(p.in, p.pos+len(w)) {
		return false
	}
	p.pos += len(w)
	return true
}

// name reads the name of a project or extra; it returns "" if there is none. As in packaging, it
// may end in an underscore.
func (p *parser) name() string {
	s := p.rest()
	if s == "" || !alnum(s[0]) {
		return ""
	}
	n := 1
	for n < len(s) && nameByte(s[n]) {
		n++
	}
	for s[n-1] == '.' || s[n-1] == '-' {
		n--
	}
	p.pos += n
	return s[:n]
}

func (p *parser) requirement() (r Requirement) {
	p.space()
	if r.Spelling = p.name(); r.Spelling == "" {
		p.fail("expected a package name")
		return r
	}
	r.Name = NormalizeName(r.Spelling)
	p.space()
	r.Extras = p.extras()
	p.space()
	expected := "expected a version specifier, \";\", \"@\" or the end"
	if p.take('@') {
		r.URL = p.url()
		expected = "expected \";\" or the end after the URL"
	} else {
		start := p.pos
		r.Specifier = p.specifier()
		if p.pos > start {
			expected = "expected \",\", \";\" or the end after the version specifier"
		}
		p.space()
	}
	if p.err != nil || p.end() {
		return r
	}
	if !p.take(';') {
		p.fail(expected)
		return r
	}
	r.Marker = p.wholeMarker()
	return r
}

// url reads a URL and the space after it. It ends at the next space of any kind, whatever it contains; only
// blanks and tabs may follow.
func (p *parser) url() string {
	p.space()
	n := strings.IndexFunc(p.rest(), pep440.IsSpace)
	if n < 0 {
		n = len(p.rest())
	}
	if n == 0 {
		p.fail("expected a URL after \"@\"")
	}
	url := p.rest()[:n]
	p.pos += n
	p.space()
	return url
}

// extras reads a list of extras in brackets, if there is one.
func (p *parser) extras() (extras []Name) {
	if !p.take('[') {
		return nil
	}
	p.space()
	for name := p.name(); name != ""; name = p.name() {
		extras = append(extras, NormalizeName(name))
		p.space()
		if !p.take(',') {
			break
		}
		p.space()
		if p.end() || !alnum(p.in[p.pos]) {
			p.fail("expected the name of an extra after \",\"")
		}
	}
	if !p.take(']') {
		p.fail("expected \",\" or \"]\" in the list of extras")
	}
	slices.Sort(extras)
	return slices.Compact(extras)
}

// specifier reads a set of version specifiers, in parentheses or bare.
func (p *parser) specifier() (set pep440.Specifiers) {
	open := p.take('(')
	p.space()
	var clauses []pep440.Clause
	for !p.end() && strings.IndexByte("<>=!~", p.in[p.pos]) >= 0 {
		c, n, err := pep440.ScanClause(p.rest())
		switch after := p.pos + n; {
		case err == nil && (after == len(p.in) || strings.IndexByte(" \t,;)", p.in[after]) >= 0):
			clauses = append(clauses, c)
			p.pos = after
		default:
			p.badClause(n)
		}
		p.space()
		if !p.take(',') {
			break
		}
		p.space()
	}
	if open && !p.take(')') {
		p.fail("expected \",\" or \")\" in the version specifier")
	}
	return pep440.Join(clauses...)
}

// badClause reports what is wrong with the clause at the current position, the first n bytes of
// which are valid.
func (p *parser) badClause(n int) {
	text := p.rest()
	if end := strings.IndexAny(text[n:], ",;)"); end >= 0 {
		text = text[:n+end]
	}
	_, err := pep440.ParseClause(text)
	if err == nil {
		p.fail("expected a version specifier")
		return
	}
	p.fail(err.Error())
}

// wholeMarker reads a marker that must end with the input.
func (p *parser) wholeMarker() Marker {
	e := p.marker()
	if p.err == nil && !p.end() {
		p.fail("expected \"and\", \"or\" or the end of the marker")
	}
	if p.err != nil {
		return Marker{}
	}
	return e.marker()
}

// marker reads atoms joined by "and" and "or"; "and" binds tighter.
func (p *parser) marker() *expression {
	e := &expression{groups: [][]term{{p.atom()}}}
	for p.err == nil {
		last := &e.groups[len(e.groups)-1]
		switch {
		case p.word("and"):
			*last = append(*last, p.atom())
		case p.word("or"):
			e.groups = append(e.groups, []term{p.atom()})
		default:
			return e
		}
	}
	return e
}

// atom reads a comparison, or a marker in parentheses, with the space around it.
func (p *parser) atom() (t term) {
	p.space()
	if p.take('(') {
		if p.depth++; p.depth > maxDepth {
			p.fail("parentheses nested too deeply")
			return t
		}
		t = p.marker().term()
		p.depth--
		if !p.take(')') {
			p.fail("expected \"and\", \"or\" or \")\" in the marker")
		}
	} else {
		left := p.operand()
		p.space()
		op := p.operator()
		p.space()
		right := p.operand()
		if p.err == nil {
			t.is = newComparison(left, op, right)
		}
	}
	p.space()
	return t
}

// operand reads a variable or a quoted string.
func (p *parser) operand() (o operand) {
	if p.err != nil {
		return o
	}
	s := p.rest()
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		n := strings.IndexByte(s[1:], s[0])
		if n < 0 {
			p.fail("expected a closing quote")
			return o
		}
		text, problem := unquote(s[1 : 1+n])
		if problem != "" {
			p.fail(problem)
			return o
		}
		p.pos += n + 2
		return operand{text: text}
	}
	n := 0
	for n < len(s) && (s[n] == '.' || wordByte(s[n])) {
		n++
	}
	// Old variable names contain dots. Scanning past a dot after a name is harmless: nothing valid
	// can begin with one there.
	if v := variableOf(s[:n]); v != 0 && !wordAt(s, n) {
		p.pos += n
		return operand{text: variableNames[v], variable: v}
	}
	p.fail("expected a marker variable or a quoted string")
	return o
}

// operator reads a comparison operator.
func (p *parser) operator() string {
	if p.err != nil {
		return ""
	}
	if p.word("in") {
		return "in"
	}
	start := p.pos
	if p.word("not") {
		if p.space() && p.word("in") {
			return "not in"
		}
		p.fail("expected \"in\" after \"not\"")
		return ""
	}
	for _, op := range [...]string{"===", "==", "~=", "!=", "<=", ">=", "<", ">"} {
		if strings.HasPrefix(p.in[start:], op) {
			p.pos += len(op)
			return op
		}
	}
	p.fail("expected an operator, one of <=, <, !=, ==, >=, >, ~=, ===, in, not in")
	return ""
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func wordByte(c byte) bool { return alnum(c) || c == '_' }

func nameByte(c byte) bool { return wordByte(c) || c == '.' || c == '-' }

// wordAt reports whether s[i:] starts with a letter, digit or underscore.
func wordAt(s string, i int) bool {
	if i >= len(s) {
		return false
	}
	r, _ := utf8.DecodeRuneInString(s[i:])
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}
